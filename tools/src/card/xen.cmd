# What U-Boot does with this card: it loads Xen, dom0's kernel, its initramfs and the device tree, and tells Xen in the
# tree where they are (Xen's docs/misc/arm/device-tree/booting.txt). It reads boot.scr, which is this text behind a header:
#   mkimage -T script -A arm -C none -d boot.cmd boot.scr

# The names in the card's root folder, and places in RAM: clear of each other, in the lower half of a board's gibibyte.
setenv tree_at 0x43000000
setenv xen_at 0x44000000
setenv linux_at 0x46000000
setenv initramfs_at 0x48000000
setenv from "${devtype} ${devnum}:${distro_bootpart}"
setenv missing

echo "Landfall: loading Xen, Linux and the device tree from ${from}"
if test -n "${fdt_addr}"; then
  # U-Boot for QEMU, which has a tree of its machine. On a board there is none but the card's.
  fdt addr ${fdt_addr}
  fdt move ${fdt_addr} ${tree_at} 0x100000
else
  load ${from} ${tree_at} /@TREE@ || setenv missing "${missing} @TREE@"
  fdt addr ${tree_at}
fi
fdt resize 4096
fdt set /chosen \#address-cells <1>
fdt set /chosen \#size-cells <1>
# dom0 has one CPU and stays on it, so that guests have the others. Xen's console is the tree's stdout-path.
fdt set /chosen xen,xen-bootargs "console=dtuart dom0_mem=@MEMORY@M dom0_max_vcpus=1 dom0_vcpus_pin bootscrub=0"
fdt set /chosen xen,dom0-bootargs "console=hvc0 rdinit=/init loglevel=4"

load ${from} ${linux_at} /linux || setenv missing "${missing} linux"
fdt mknod /chosen module@0
fdt set /chosen/module@0 compatible multiboot,kernel multiboot,module
fdt set /chosen/module@0 reg <${linux_at} 0x${filesize}>

load ${from} ${initramfs_at} /initramfs || setenv missing "${missing} initramfs"
fdt mknod /chosen module@1
fdt set /chosen/module@1 compatible multiboot,ramdisk multiboot,module
fdt set /chosen/module@1 reg <${initramfs_at} 0x${filesize}>

load ${from} ${xen_at} /xen || setenv missing "${missing} xen"
if test -n "${missing}"; then
  echo "Landfall: cannot load${missing}: write the card again"
else
  bootz ${xen_at} - ${tree_at}
  echo "Landfall: Xen does not start: write the card again"
fi
