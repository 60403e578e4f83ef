//! Grant tables (`grant_table.h`, version 1): letting another domain use pages of this one, and
//! using another's.
//!
//! A grant ends only when the other side has let go of the page. Until then neither its reference
//! nor its memory is used for anything else: both wait in the table, and are looked at again
//! whenever references are asked for.

use crate::{
    DomainId, Frame, XenError,
    hypercall::{self, MapSpace, grant_table},
    memory::SharedMemory,
};
use alloc::{sync::Arc, vec::Vec};
use core::{
    cell::RefCell,
    fmt,
    ops::{Deref, Range},
    sync::atomic::Ordering,
};
use critical_section::Mutex;

/// `struct grant_entry_v1`
pub(crate) mod entry {
    pub(crate) const BYTES: usize = 8;
    pub(crate) const FLAGS: usize = 0;
    pub(crate) const DOMAIN: usize = 2;
    pub(crate) const FRAME: usize = 4;
    pub(crate) const PER_FRAME: u32 = (crate::Frame::BYTES / BYTES) as u32;
    /// `GTF_permit_access`
    pub(crate) const PERMIT_ACCESS: u16 = 1;
    /// `GTF_readonly`
    pub(crate) const READ_ONLY: u16 = 1 << 2;
    /// `GTF_reading`, `GTF_writing`: the other side has it mapped.
    pub(crate) const IN_USE: u16 = 1 << 3 | 1 << 4;
}

/// `GNTTAB_NR_RESERVED_ENTRIES`: the toolstack's, for console and xenstore.
const RESERVED: u32 = 8;

/// The number of a grant, as the other domain is told it (`grant_ref_t`).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct GrantRef(pub u32);

impl fmt::Display for GrantRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the other domain may do with a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Read it.
    ReadOnly,
    /// Read and write it.
    ReadWrite,
}

/// Why there is no grant or no mapping.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GrantError {
    /// All references are in use.
    Exhausted {
        /// How many there are.
        references: u32,
    },
    /// A frame of memory has a number that a table of version 1 cannot hold.
    FrameOutOfRange(u64),
    /// The part of the address space for other domains' pages is full.
    WindowFull {
        /// How many pages it has.
        pages: usize,
    },
    /// Xen did not map or unmap (`GNTST_*`).
    Status {
        /// The reference.
        reference: GrantRef,
        /// Xen's number for what is wrong.
        status: i16,
    },
    /// The device tree's region has no room for the table.
    Region {
        /// Bytes of the region.
        bytes: u64,
    },
    /// Xen refused.
    Xen(XenError),
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exhausted { references } => {
                write!(f, "all {references} grant references are in use")
            }
            Self::FrameOutOfRange(frame) => {
                write!(
                    f,
                    "frame {frame:#x} is out of reach of a version 1 grant table"
                )
            }
            Self::WindowFull { pages } => {
                write!(
                    f,
                    "all {pages} pages for mapping grants of other domains are in use"
                )
            }
            Self::Status { reference, status } => {
                let text = status_text(status);
                write!(f, "grant reference {reference}: {text} ({status})")
            }
            Self::Region { bytes } => {
                write!(f, "the grant table's region has only {bytes} bytes")
            }
            Self::Xen(error) => write!(f, "grant table: {error}"),
        }
    }
}

impl core::error::Error for GrantError {}

impl From<XenError> for GrantError {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

/// What a `GNTST_*` number says.
fn status_text(status: i16) -> &'static str {
    match status {
        -2 => "Xen knows no such domain",
        -3 => "that domain grants nothing under this reference",
        -4 => "not a mapping of ours",
        -5 => "not an address to map at",
        -7 | -13 => "Xen has no room for one more mapping",
        -8 => "that domain does not permit it",
        -9 => "the page behind it cannot be shared",
        -12 => "not now; try again",
        _ => "Xen does not say why",
    }
}

/// How the table is used, for tests and status pages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Usage {
    /// References that are granted.
    pub granted: u32,
    /// References that were taken back but that the other side still uses.
    pub lingering: u32,
    /// References there can be.
    pub most: u32,
}

/// The grant table of this domain. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct GrantTable(Arc<Mutex<RefCell<Table>>>);

#[derive(Debug)]
struct Table {
    /// Where the table's frames are shown: as many as it may have.
    entries: SharedMemory,
    /// How many frames Xen shows there by now.
    frames: u32,
    most_frames: u32,
    free: Vec<u32>,
    /// The lowest reference that was never used.
    fresh: u32,
    lingering: Vec<Lingering>,
    window: Window,
}

/// What was granted and is still used.
#[derive(Debug)]
struct Lingering {
    references: Vec<GrantRef>,
    _memory: SharedMemory,
}

/// Guest physical addresses at which nothing is, for other domains' pages.
#[derive(Debug)]
struct Window {
    start: u64,
    pages: usize,
    free: Vec<u64>,
    fresh: u64,
}

impl GrantTable {
    /// Sets the table up in `region`, the first of the device tree's `xen,xen` node (Linux
    /// Documentation/devicetree/bindings/arm/xen.txt): its start shows the table, its rest is for
    /// mapping other domains' pages.
    ///
    /// # Errors
    /// [`GrantError::Region`], [`GrantError::Xen`].
    ///
    /// # Safety
    /// 1. The region holds no RAM, is mapped onto itself as normal memory for good, and nothing
    ///    else uses it.
    pub unsafe fn new(region: Range<u64>) -> Result<Self, GrantError> {
        let most_frames = grant_table::query_size()?.most_frames;
        let bytes = region.end.saturating_sub(region.start);
        let (pages, table) = (bytes / Frame::BYTES as u64, u64::from(most_frames));
        if most_frames == 0 || pages <= table || !region.start.is_multiple_of(Frame::BYTES as u64) {
            return Err(GrantError::Region { bytes });
        }
        let window = region.start + table * Frame::BYTES as u64;
        // SAFETY: 1. for its two parts; pages that nothing is mapped to are not accessed.
        let entries = unsafe { SharedMemory::at(region.start as usize, most_frames as usize) };
        let window = Window::new(window, (pages - table) as usize);
        let table = Self::with_entries(entries, most_frames, window);
        table.with(Table::grow)?;
        Ok(table)
    }

    fn with_entries(entries: SharedMemory, most_frames: u32, window: Window) -> Self {
        Self(Arc::new(Mutex::new(RefCell::new(Table {
            entries,
            frames: 0,
            most_frames,
            free: Vec::new(),
            fresh: RESERVED,
            lingering: Vec::new(),
            window,
        }))))
    }

    fn with<R>(&self, work: impl FnOnce(&mut Table) -> R) -> R {
        critical_section::with(|cs| work(&mut self.0.borrow_ref_mut(cs)))
    }

    /// Lets `domain` use all pages of `memory`.
    ///
    /// # Errors
    /// [`GrantError::Exhausted`], [`GrantError::FrameOutOfRange`], [`GrantError::Xen`]; nothing is
    /// granted then.
    pub fn share(
        &self,
        memory: SharedMemory,
        domain: DomainId,
        access: Access,
    ) -> Result<SharedPages, GrantError> {
        let mut pages = SharedPages {
            table: self.clone(),
            references: Vec::with_capacity(memory.pages()),
            memory: Some(memory),
        };
        for number in 0..pages.pages() {
            let frame = pages.frame(number);
            // What was granted so far is taken back when `pages` is dropped.
            let reference = self.with(|table| table.grant(domain, frame, access))?;
            pages.references.push(reference);
        }
        Ok(pages)
    }

    /// Maps the page that `domain` granted this one as `reference`.
    ///
    /// # Errors
    /// [`GrantError::WindowFull`], [`GrantError::Status`], [`GrantError::Xen`].
    pub fn map(
        &self,
        domain: DomainId,
        reference: GrantRef,
        access: Access,
    ) -> Result<ForeignPage, GrantError> {
        let address = self.with(|table| table.window.take())?;
        match map_at(address, domain, reference, access) {
            Ok(handle) => {
                // SAFETY: The window's page shows the other domain's now; it is mapped as normal
                // memory, and only this value has it.
                let memory = unsafe { SharedMemory::at(address as usize, 1) };
                Ok(ForeignPage {
                    table: self.clone(),
                    memory,
                    handle,
                })
            }
            Err(error) => {
                self.with(|table| table.window.free.push(address));
                Err(error)
            }
        }
    }

    /// Returns how the table is used, after a look at what lingers.
    pub fn usage(&self) -> Usage {
        self.with(|table| {
            table.collect();
            let lingering = table
                .lingering
                .iter()
                .map(|it| it.references.len() as u32)
                .sum();
            Usage {
                granted: table.fresh - RESERVED - table.free.len() as u32 - lingering,
                lingering,
                most: table.most_frames * entry::PER_FRAME - RESERVED,
            }
        })
    }
}

/// Maps at `address`; returns Xen's handle of the mapping.
fn map_at(
    address: u64,
    domain: DomainId,
    reference: GrantRef,
    access: Access,
) -> Result<u32, GrantError> {
    /// `GNTMAP_host_map`, `GNTMAP_readonly`
    const HOST_MAP: u32 = 1 << 1;
    const READ_ONLY: u32 = 1 << 2;
    let mut what = grant_table::Map {
        host_address: address,
        flags: match access {
            Access::ReadOnly => HOST_MAP | READ_ONLY,
            Access::ReadWrite => HOST_MAP,
        },
        reference: reference.0,
        domain: domain.0,
        status: 0,
        handle: 0,
        bus_address: 0,
    };
    // SAFETY: 1. The window gave the address to this caller alone.
    unsafe { grant_table::map(&mut what) }?;
    match what.status {
        0 => Ok(what.handle),
        status => Err(GrantError::Status { reference, status }),
    }
}

impl Table {
    /// Has Xen show one more frame of the table.
    fn grow(&mut self) -> Result<(), GrantError> {
        if self.frames == self.most_frames {
            return Err(GrantError::Exhausted {
                references: self.most_frames * entry::PER_FRAME - RESERVED,
            });
        }
        let at = self.entries.frame(self.frames as usize);
        // SAFETY: 1. A frame of the region that was set aside for the table.
        unsafe { hypercall::add_to_physmap(MapSpace::GrantTable, self.frames.into(), at) }?;
        self.frames += 1;
        Ok(())
    }

    fn grant(
        &mut self,
        domain: DomainId,
        frame: Frame,
        access: Access,
    ) -> Result<GrantRef, GrantError> {
        let number = u32::try_from(frame.0).map_err(|_| GrantError::FrameOutOfRange(frame.0))?;
        let reference = self.unused()?;
        let offset = reference.0 as usize * entry::BYTES;
        self.entries
            .u16(offset + entry::DOMAIN)
            .store(domain.0, Ordering::Relaxed);
        self.entries
            .u32(offset + entry::FRAME)
            .store(number, Ordering::Relaxed);
        let flags = match access {
            Access::ReadOnly => entry::PERMIT_ACCESS | entry::READ_ONLY,
            Access::ReadWrite => entry::PERMIT_ACCESS,
        };
        // Last, for it makes the others count (`grant_table.h`, "Introducing a valid entry").
        self.entries
            .u16(offset + entry::FLAGS)
            .store(flags, Ordering::Release);
        Ok(reference)
    }

    fn unused(&mut self) -> Result<GrantRef, GrantError> {
        if self.free.is_empty() && self.fresh >= self.frames * entry::PER_FRAME {
            self.collect();
        }
        if let Some(reference) = self.free.pop() {
            return Ok(GrantRef(reference));
        }
        if self.fresh >= self.frames * entry::PER_FRAME {
            self.grow()?;
        }
        self.fresh += 1;
        Ok(GrantRef(self.fresh - 1))
    }

    /// Ends a grant; returns whether it is ended: not while the other side uses the page
    /// (`grant_table.h`, "Invalidating an unused GTF_permit_access entry").
    fn end(&mut self, reference: GrantRef) -> bool {
        let flags = self
            .entries
            .u16(reference.0 as usize * entry::BYTES + entry::FLAGS);
        let ended = flags.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |flags| {
            (flags & entry::IN_USE == 0).then_some(0)
        });
        if ended.is_ok() {
            self.free.push(reference.0);
        }
        ended.is_ok()
    }

    /// Ends what lingers, as far as the other side has let go.
    fn collect(&mut self) {
        let mut lingering = core::mem::take(&mut self.lingering);
        lingering.retain_mut(|it| {
            it.references.retain(|&reference| !self.end(reference));
            !it.references.is_empty()
        });
        self.lingering = lingering;
    }
}

impl Window {
    fn new(start: u64, pages: usize) -> Self {
        Self {
            start,
            pages,
            free: Vec::new(),
            fresh: 0,
        }
    }

    fn take(&mut self) -> Result<u64, GrantError> {
        if let Some(address) = self.free.pop() {
            return Ok(address);
        }
        if self.fresh == self.pages as u64 {
            return Err(GrantError::WindowFull { pages: self.pages });
        }
        self.fresh += 1;
        Ok(self.start + (self.fresh - 1) * Frame::BYTES as u64)
    }
}

/// Pages that another domain may use; dropping them takes that back.
#[derive(Debug)]
pub struct SharedPages {
    table: GrantTable,
    references: Vec<GrantRef>,
    /// Always there until it is dropped.
    memory: Option<SharedMemory>,
}

impl SharedPages {
    /// Returns the reference of page `number`.
    pub fn reference(&self, number: usize) -> GrantRef {
        self.references[number]
    }

    /// Returns the memory, for writing in place.
    ///
    /// # Safety
    /// 1. It was shared for reading only.
    pub(crate) unsafe fn private_bytes(&mut self) -> &mut [u8] {
        let memory = self.memory.as_mut().expect("present until it is dropped");
        // SAFETY: 1.
        unsafe { memory.private_bytes() }
    }
}

impl Deref for SharedPages {
    type Target = SharedMemory;

    fn deref(&self) -> &SharedMemory {
        self.memory.as_ref().expect("present until it is dropped")
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        let mut references = core::mem::take(&mut self.references);
        let Some(memory) = self.memory.take() else {
            return;
        };
        self.table.with(|table| {
            references.retain(|&reference| !table.end(reference));
            if !references.is_empty() {
                table.lingering.push(Lingering {
                    references,
                    _memory: memory,
                });
            }
        });
    }
}

/// Another domain's page, mapped here; dropping it unmaps it.
#[derive(Debug)]
pub struct ForeignPage {
    table: GrantTable,
    memory: SharedMemory,
    handle: u32,
}

impl Deref for ForeignPage {
    type Target = SharedMemory;

    fn deref(&self) -> &SharedMemory {
        &self.memory
    }
}

impl Drop for ForeignPage {
    fn drop(&mut self) {
        let address = self.memory.address() as u64;
        let mut what = grant_table::Unmap {
            host_address: address,
            bus_address: 0,
            handle: self.handle,
            status: 0,
        };
        // SAFETY: 1. This value had the only way to the mapping.
        let result = unsafe { grant_table::unmap(&mut what) };
        if result.is_ok() && what.status == 0 {
            self.table.with(|table| table.window.free.push(address));
        } else {
            // The address is never used again, for something may still be there.
            log::warn!(target: "xen", "a mapped grant could not be unmapped: status {}", what.status);
        }
    }
}

#[cfg(any(test, not(target_os = "none")))]
impl GrantTable {
    /// Makes a table of `most_frames` frames in memory of the heap, for tests on a host; also a
    /// second way to its entries, as Xen has one.
    pub fn on_host(most_frames: u32) -> (Self, SharedMemory) {
        let entries = SharedMemory::allocate(most_frames as usize).expect("a host has memory");
        let entries = entries.keep();
        let xens = crate::ring::peer::view(&entries);
        let table = Self::with_entries(entries, most_frames, Window::new(1 << 40, 2));
        table.with(|table| table.frames = 1);
        (table, xens)
    }

    /// Marks the page behind `reference` as used, or not used, by the other side.
    pub fn set_in_use(entries: &SharedMemory, reference: GrantRef, used: bool) {
        let flags = entries.u16(reference.0 as usize * entry::BYTES + entry::FLAGS);
        if used {
            flags.fetch_or(entry::IN_USE, Ordering::SeqCst);
        } else {
            flags.fetch_and(!entry::IN_USE, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypercall::host;
    use alloc::boxed::Box;

    const PEER: DomainId = DomainId(3);

    /// A table; Xen shows frames as it is asked.
    fn table(frames: u32) -> (GrantTable, SharedMemory) {
        host::install(Box::new(|_, _| 0));
        GrantTable::on_host(frames)
    }

    fn page() -> SharedMemory {
        SharedMemory::allocate(1).unwrap()
    }

    #[test]
    fn an_entry_names_domain_and_frame() {
        let (table, entries) = table(1);
        let pages = SharedMemory::allocate(2).unwrap();
        let shared = table.share(pages, PEER, Access::ReadOnly).unwrap();
        for number in 0..2 {
            let at = shared.reference(number).0 as usize * 8;
            assert_eq!(entries.u16(at).load(Ordering::Relaxed), 0b101);
            assert_eq!(entries.u16(at + 2).load(Ordering::Relaxed), 3);
            let frame = entries.u32(at + 4).load(Ordering::Relaxed);
            assert_eq!(u64::from(frame), shared.frame(number).0);
        }
        assert!(shared.reference(0).0 >= RESERVED);
        let at = shared.reference(0).0 as usize * 8;
        drop(shared);
        assert_eq!(entries.u16(at).load(Ordering::Relaxed), 0);
        assert_eq!(table.usage().granted, 0);
    }

    #[test]
    fn a_reference_in_use_is_not_given_out_again() {
        let (table, entries) = table(1);
        let shared = table.share(page(), PEER, Access::ReadWrite).unwrap();
        let reference = shared.reference(0);
        GrantTable::set_in_use(&entries, reference, true);
        drop(shared);
        assert_eq!((table.usage().granted, table.usage().lingering), (0, 1));
        let others: Vec<_> = (0..504 - 1)
            .map(|_| table.share(page(), PEER, Access::ReadWrite).unwrap())
            .collect();
        assert!(others.iter().all(|it| it.reference(0) != reference));
        let error = table.share(page(), PEER, Access::ReadWrite).unwrap_err();
        assert_eq!(error, GrantError::Exhausted { references: 504 });
        GrantTable::set_in_use(&entries, reference, false);
        let again = table.share(page(), PEER, Access::ReadWrite).unwrap();
        assert_eq!(again.reference(0), reference);
        assert_eq!(table.usage().lingering, 0);
    }

    #[test]
    fn the_table_grows_when_it_must() {
        let (table, _entries) = table(3);
        let shared: Vec<_> = (0..1000)
            .map(|_| table.share(page(), PEER, Access::ReadWrite).unwrap())
            .collect();
        assert_eq!(table.with(|it| it.frames), 2);
        drop(shared);
        assert_eq!(
            table.usage(),
            Usage {
                granted: 0,
                lingering: 0,
                most: 3 * 512 - 8
            }
        );
    }

    #[test]
    fn half_of_a_grant_is_taken_back() {
        let (table, _entries) = table(1);
        let most = SharedMemory::allocate(504).unwrap();
        let _most = table.share(most, PEER, Access::ReadOnly).unwrap();
        let two = SharedMemory::allocate(2).unwrap();
        assert!(table.share(two, PEER, Access::ReadOnly).is_err());
        assert_eq!(table.usage().granted, 504);
    }

    #[test]
    fn a_mapping_that_xen_refuses_says_why() {
        let (table, _entries) = table(1);
        host::install(Box::new(|_, [command, structure, _]| {
            assert_eq!(command, 0);
            // SAFETY: `struct gnttab_map_grant_ref`: the status is at offset 18.
            unsafe { ((structure + 18) as *mut i16).write(-3) };
            0
        }));
        for _ in 0..5 {
            let error = table.map(PEER, GrantRef(9), Access::ReadWrite).unwrap_err();
            let text = std::format!("{error}");
            assert_eq!(
                text,
                "grant reference 9: that domain grants nothing under this reference (-3)"
            );
        }
    }

    #[test]
    fn mappings_have_addresses_of_their_own() {
        let (table, _entries) = table(1);
        let one = table.map(PEER, GrantRef(9), Access::ReadWrite).unwrap();
        let two = table.map(PEER, GrantRef(9), Access::ReadOnly).unwrap();
        assert_ne!(one.address(), two.address());
        let error = table.map(PEER, GrantRef(9), Access::ReadWrite).unwrap_err();
        assert_eq!(error, GrantError::WindowFull { pages: 2 });
        let address = one.address();
        drop(one);
        let again = table.map(PEER, GrantRef(9), Access::ReadWrite).unwrap();
        assert_eq!(again.address(), address);
    }
}
