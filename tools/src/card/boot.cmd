# What U-Boot does with this card. It reads boot.scr, which is this text behind a header:
#   mkimage -T script -A arm -C none -d boot.cmd boot.scr
# Boot arguments are in landfall.txt; change them there.
setenv bootargs
if load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} /landfall.txt; then
  env import -t ${ramdisk_addr_r} ${filesize} bootargs
fi
echo "Landfall: loading @IMAGE@"
if load ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} /@IMAGE@; then
  # The device tree is U-Boot's own, to which it adds memory, addresses, boot arguments and PSCI.
  bootz ${kernel_addr_r} - ${fdtcontroladdr}
fi
echo "Landfall: @IMAGE@ does not start; is it whole?"
