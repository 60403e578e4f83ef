//! The heap of images without an operating system: slabs in front of a list of free memory.
//!
//! `linked_list_allocator` finds memory by a walk over all that is free. With thousands of connections coming and going
//! that list has thousands of pieces, and the walk was two thirds of all that a server did. So small pieces come from
//! slabs: pages of the list, each cut into pieces of one size, from which one is taken and to which it is given back in a
//! few instructions, however many there are. A page that has no piece lent any more goes back to the list.
//!
//! Larger pieces, of which there are few, are the list's.

#![no_std]

#[cfg(test)]
extern crate std;

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};

/// Bytes and alignment of a page.
const PAGE: usize = 4096;
/// Bytes in front of a page's pieces.
const HEADER: usize = 32;
/// The alignment of every piece.
const GRAIN: usize = 16;
/// Sizes of pieces. The larger ones are what a page has room for 12, 9, 7, 5, 4, 3 and 2 times.
const SIZES: [u16; 15] = [
    16, 32, 48, 64, 96, 128, 192, 256, 336, 448, 576, 800, 1008, 1344, 2032,
];
const LARGEST: usize = SIZES[SIZES.len() - 1] as usize;

/// For each number of grains the index of the least size that has room for so many.
const INDEX: [u8; LARGEST / GRAIN + 1] = {
    let mut index = [0; LARGEST / GRAIN + 1];
    let (mut grains, mut size) = (0, 0);
    while grains < index.len() {
        if grains * GRAIN > SIZES[size] as usize {
            size += 1;
        }
        index[grains] = size as u8;
        grains += 1;
    }
    index
};

/// The beginning of a page.
struct Page {
    /// The neighbours among the pages of this size that have a free piece.
    next: *mut Page,
    previous: *mut Page,
    /// The first free piece, in which the address of the next is.
    free: *mut Piece,
    /// How many are lent.
    lent: u16,
    size: u8,
}

struct Piece {
    next: *mut Piece,
}

const _: () = assert!(size_of::<Page>() <= HEADER);

/// A heap. All memory is its own from [`Self::init`] on.
pub struct Heap {
    list: linked_list_allocator::Heap,
    /// For each size the first page that has a free piece.
    pages: [*mut Page; SIZES.len()],
    /// Bytes of free pieces.
    free_pieces: usize,
}

// SAFETY: The pages that the pointers lead to are this value's own.
#[expect(unsafe_code)]
unsafe impl Send for Heap {}

/// Returns the index of the size of pieces for `layout`, if it is for one.
fn size_index(layout: Layout) -> Option<usize> {
    let small = layout.size() <= LARGEST && layout.align() <= GRAIN;
    small.then(|| usize::from(INDEX[layout.size().div_ceil(GRAIN)]))
}

/// How many pieces of a size a page has.
fn pieces(size: usize) -> usize {
    (PAGE - HEADER) / size
}

impl Heap {
    /// Has no memory.
    pub const fn empty() -> Heap {
        Heap {
            list: linked_list_allocator::Heap::empty(),
            pages: [null_mut(); SIZES.len()],
            free_pieces: 0,
        }
    }

    /// Makes `memory` the heap. To be called once.
    pub fn init(&mut self, memory: &'static mut [MaybeUninit<u8>]) {
        self.list.init_from_slice(memory);
    }

    /// Bytes that are lent, with what their pages and the list need.
    pub fn used(&self) -> usize {
        self.list.used() - self.free_pieces
    }

    /// Bytes that are not.
    pub fn free(&self) -> usize {
        self.list.free() + self.free_pieces
    }

    /// Returns memory for `layout`, if there is some.
    pub fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let Some(index) = size_index(layout) else {
            return self.list.allocate_first_fit(layout).ok();
        };
        let mut page = self.pages[index];
        if page.is_null() {
            page = self.new_page(index)?;
        }
        // SAFETY: A page in the list is one that `new_page` made and that has a free piece, which is memory of that page that
        // nobody else has.
        #[expect(unsafe_code)]
        let piece = unsafe {
            let piece = (*page).free;
            (*page).free = (*piece).next;
            (*page).lent += 1;
            if (*page).free.is_null() {
                self.unlink(page);
            }
            piece
        };
        self.free_pieces -= usize::from(SIZES[index]);
        NonNull::new(piece.cast())
    }

    /// Takes memory back.
    ///
    /// # Safety
    /// `memory` is what [`Self::allocate`] returned for the same layout, and was not given back.
    #[expect(unsafe_code)]
    pub unsafe fn deallocate(&mut self, memory: NonNull<u8>, layout: Layout) {
        let Some(index) = size_index(layout) else {
            // SAFETY: It came from the list, as its layout says.
            return unsafe { self.list.deallocate(memory, layout) };
        };
        let piece: *mut Piece = memory.as_ptr().cast();
        // A page begins at a multiple of its size.
        let page: *mut Page = memory.as_ptr().map_addr(|at| at & !(PAGE - 1)).cast();
        // SAFETY: As its layout says, it is a piece of a page that `new_page` made, with room for an address, and nobody uses
        // it any more.
        unsafe {
            let was_full = (*page).free.is_null();
            piece.write(Piece { next: (*page).free });
            (*page).free = piece;
            (*page).lent -= 1;
            if was_full {
                self.link(page, index);
            }
        }
        self.free_pieces += usize::from(SIZES[index]);
        // SAFETY: The same page.
        unsafe {
            // One is kept, so that a piece that comes and goes is not a page that comes and goes.
            let alone = (*page).next.is_null() && (*page).previous.is_null();
            if (*page).lent == 0 && !alone {
                self.unlink(page);
                let size = usize::from(SIZES[index]);
                self.free_pieces -= pieces(size) * size;
                let page = NonNull::new_unchecked(page.cast());
                self.list.deallocate(page, PAGE_LAYOUT);
            }
        }
    }

    /// Cuts a page of the list into pieces.
    fn new_page(&mut self, index: usize) -> Option<*mut Page> {
        let memory = self.list.allocate_first_fit(PAGE_LAYOUT).ok()?;
        let page: *mut Page = memory.as_ptr().cast();
        let size = usize::from(SIZES[index]);
        let mut free: *mut Piece = null_mut();
        for number in (0..pieces(size)).rev() {
            // SAFETY: Within the page, behind its header, and aligned, since the header and all sizes are multiples of what
            // an address needs.
            #[expect(unsafe_code)]
            unsafe {
                let piece: *mut Piece = memory.as_ptr().add(HEADER + number * size).cast();
                piece.write(Piece { next: free });
                free = piece;
            }
        }
        // SAFETY: The beginning of the page, which is aligned to its size.
        #[expect(unsafe_code)]
        unsafe {
            page.write(Page {
                next: null_mut(),
                previous: null_mut(),
                free,
                lent: 0,
                size: index as u8,
            });
            self.link(page, index);
        }
        self.free_pieces += pieces(size) * size;
        Some(page)
    }

    /// Puts a page in front of those with a free piece.
    ///
    /// # Safety
    /// It is one that `new_page` made, and not among them.
    #[expect(unsafe_code)]
    unsafe fn link(&mut self, page: *mut Page, index: usize) {
        let first = self.pages[index];
        // SAFETY: Pages in the list are whole, and this one is by the caller's word.
        unsafe {
            (*page).next = first;
            (*page).previous = null_mut();
            if !first.is_null() {
                (*first).previous = page;
            }
        }
        self.pages[index] = page;
    }

    /// Takes a page out of those with a free piece.
    ///
    /// # Safety
    /// It is among them.
    #[expect(unsafe_code)]
    unsafe fn unlink(&mut self, page: *mut Page) {
        // SAFETY: Pages in the list are whole, and so are their neighbours.
        unsafe {
            let Page {
                next,
                previous,
                size,
                ..
            } = *page;
            match previous.is_null() {
                true => self.pages[usize::from(size)] = next,
                false => (*previous).next = next,
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
            ((*page).next, (*page).previous) = (null_mut(), null_mut());
        }
    }
}

const PAGE_LAYOUT: Layout = match Layout::from_size_align(PAGE, PAGE) {
    Ok(layout) => layout,
    Err(_) => panic!("a page's size is a power of two"),
};

#[cfg(test)]
mod tests;
