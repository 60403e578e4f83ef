# U-Boot's script for a Cubieboard2 with Xen: loads Xen, dom0's kernel, its initramfs and the device tree, and
# tells Xen where they are (Xen's docs/misc/arm/device-tree/booting.txt). Made into boot.scr by
#   mkimage -A arm -T script -C none -n Xen -d boot.cmd boot.scr

# The files, on the partition that this script is on, and where dom0 finds its root.
setenv xen /boot/xen-4.17-armhf
setenv kernel /vmlinuz
setenv initrd /initrd.img
setenv dtb /boot/dtb
setenv dom0 "root=/dev/mmcblk0p1 rootwait rw"

# Clear of each other, in the lower half of the board's RAM. Xen takes its console from the tree's stdout-path.
setenv dtb_at 0x43000000
setenv xen_at 0x44000000
setenv kernel_at 0x46000000
setenv initrd_at 0x48000000
setenv from "${devtype} ${devnum}:${distro_bootpart}"

echo "Loading ${dtb}, ${xen}, ${kernel} and ${initrd} from ${from}"
load ${from} ${dtb_at} ${dtb}
fdt addr ${dtb_at}
fdt resize 4096
fdt set /chosen \#address-cells <1>
fdt set /chosen \#size-cells <1>
fdt set /chosen xen,xen-bootargs "console=dtuart dom0_mem=512M dom0_max_vcpus=2 bootscrub=0"
fdt set /chosen xen,dom0-bootargs "console=hvc0 ${dom0}"

load ${from} ${kernel_at} ${kernel}
fdt mknod /chosen module@0
fdt set /chosen/module@0 compatible multiboot,kernel multiboot,module
fdt set /chosen/module@0 reg <${kernel_at} 0x${filesize}>

load ${from} ${initrd_at} ${initrd}
fdt mknod /chosen module@1
fdt set /chosen/module@1 compatible multiboot,ramdisk multiboot,module
fdt set /chosen/module@1 reg <${initrd_at} 0x${filesize}>

load ${from} ${xen_at} ${xen}
bootz ${xen_at} - ${dtb_at}
