//! What `virtio-drivers` asks of its machine: memory that devices reach.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::{alloc::Layout, ptr::NonNull};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Memory from the heap, for machines whose addresses are the devices' addresses and whose devices
/// are coherent with the caches, as virtio devices of a hypervisor are.
#[derive(Debug)]
pub struct IdentityHal;

fn layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages.checked_mul(PAGE_SIZE)?, PAGE_SIZE)
        .ok()
        .filter(|it| it.size() > 0)
}

// SAFETY: `dma_alloc` returns fresh, zeroed, page-aligned memory of its own, and addresses are the
// same for the CPU and the device.
unsafe impl Hal for IdentityHal {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let memory = layout(pages).and_then(|layout| {
            // SAFETY: The size is not zero.
            NonNull::new(unsafe { alloc_zeroed(layout) })
        });
        // Address 0 is how this interface says that there is none.
        memory.map_or((0, NonNull::dangling()), |it| (it.as_ptr() as PhysAddr, it))
    }

    unsafe fn dma_dealloc(_: PhysAddr, memory: NonNull<u8>, pages: usize) -> i32 {
        if let Some(layout) = layout(pages) {
            // SAFETY: The caller passes what `dma_alloc` returned for as many pages.
            unsafe { dealloc(memory.as_ptr(), layout) };
        }
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).expect("no device is at address 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
