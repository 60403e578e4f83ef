//! The hypercalls that a guest on ARM has (`arch-arm.h`), one safe function each where that can be.
//!
//! Structures are laid out as Xen's headers have them. On ARM `xen_ulong_t`, `xen_pfn_t` and guest
//! handles in structures are 64 bits wide for guests of both widths, so one layout serves both.

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
#[path = "aarch64.rs"]
mod cpu;
#[cfg(all(target_arch = "arm", target_os = "none"))]
#[path = "armv7.rs"]
mod cpu;
#[cfg(not(target_os = "none"))]
pub mod host;
#[cfg(not(target_os = "none"))]
use host as cpu;

pub(crate) mod structures;

use crate::{DomainId, Frame, XenError};
use core::{ffi::CStr, fmt};
use structures::{AddToPhysmap, FeatureInfo, HvmParam, RegisterVcpuInfo, Shutdown, Watchdog};

/// Hypercall numbers (`xen.h`, `__HYPERVISOR_*`).
pub mod number {
    /// `memory.h`
    pub const MEMORY_OP: usize = 12;
    /// `version.h`
    pub const XEN_VERSION: usize = 17;
    /// `xen.h`, `CONSOLEIO_*`
    pub const CONSOLE_IO: usize = 18;
    /// `grant_table.h`
    pub const GRANT_TABLE_OP: usize = 20;
    /// `vcpu.h`
    pub const VCPU_OP: usize = 24;
    /// `sched.h`
    pub const SCHED_OP: usize = 29;
    /// `event_channel.h`
    pub const EVENT_CHANNEL_OP: usize = 32;
    /// `hvm/hvm_op.h`
    pub const HVM_OP: usize = 34;
}

/// Makes a hypercall whose last argument is a structure.
///
/// # Safety
/// 1. `T` is the structure that `command` of hypercall `number` reads and writes, laid out as in
///    Xen's headers, and every address in it stays valid for the call.
unsafe fn call_with<T>(
    number: usize,
    command: usize,
    structure: &mut T,
) -> Result<usize, XenError> {
    let address = core::ptr::from_mut(structure) as usize;
    // SAFETY: 1. and the exclusive borrow, which lasts for the call.
    XenError::check(unsafe { cpu::call(number, [command, address, 0]) })
}

/// Makes a hypercall with plain numbers.
fn call_plain(number: usize, arguments: [usize; 3]) -> Result<usize, XenError> {
    // SAFETY: No argument is an address; callers here pass numbers and nothing else.
    XenError::check(unsafe { cpu::call(number, arguments) })
}

/// A version of Xen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Version {
    /// The 4 of 4.17.
    pub major: u16,
    /// The 17 of 4.17.
    pub minor: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Returns Xen's version (`version.h`, `XENVER_version`).
///
/// # Errors
/// [`XenError`].
pub fn version() -> Result<Version, XenError> {
    let value = call_plain(number::XEN_VERSION, [0, 0, 0])?;
    Ok(Version {
        major: (value >> 16) as u16,
        minor: value as u16,
    })
}

/// Features that Xen may have (`features.h`, `XENFEAT_*`), as bit numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Feature {
    /// The guest's frames are not the machine's: Xen translates.
    AutoTranslatedPhysmap = 2,
    /// The SMC calling convention is answered.
    ArmSmccc = 14,
    /// The guest's frames are the machine's.
    DirectMapped = 17,
}

/// Returns whether Xen has `feature` (`version.h`, `XENVER_get_features`).
///
/// # Errors
/// [`XenError`].
pub fn has_feature(feature: Feature) -> Result<bool, XenError> {
    /// `XENVER_get_features`
    const GET_FEATURES: usize = 6;
    let mut info = FeatureInfo {
        submap_index: feature as u32 / 32,
        submap: 0,
    };
    // SAFETY: 1. `struct xen_feature_info` of `version.h`.
    unsafe { call_with(number::XEN_VERSION, GET_FEATURES, &mut info) }?;
    Ok(info.submap & (1 << (feature as u32 % 32)) != 0)
}

/// What a frame of guest memory can be made to show (`memory.h`, `XENMAPSPACE_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum MapSpace {
    /// The shared info page.
    SharedInfo = 0,
    /// A frame of the grant table; the table grows to have it.
    GrantTable = 1,
}

/// Makes the guest's frame `at` show frame `index` of `space` (`memory.h`,
/// `XENMEM_add_to_physmap`). What was at `at` before is gone.
///
/// # Errors
/// [`XenError`].
///
/// # Safety
/// 1. Nothing but shared memory of this crate uses the frame `at` from now on.
pub unsafe fn add_to_physmap(space: MapSpace, index: u64, at: Frame) -> Result<(), XenError> {
    /// `XENMEM_add_to_physmap`
    const ADD_TO_PHYSMAP: usize = 7;
    let mut what = AddToPhysmap {
        domain: DomainId::SELF.0,
        size: 0,
        space: space as u32,
        index,
        frame: at.0,
    };
    // SAFETY: 1. `struct xen_add_to_physmap` of `memory.h`; the caller owns the frame.
    unsafe { call_with(number::MEMORY_OP, ADD_TO_PHYSMAP, &mut what) }?;
    Ok(())
}

/// Parameters of a guest (`hvm/params.h`, `HVM_PARAM_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Parameter {
    /// The frame of the xenstore rings.
    StoreFrame = 1,
    /// The event channel of xenstore.
    StoreEventChannel = 2,
    /// The frame of the console rings.
    ConsoleFrame = 17,
    /// The event channel of the console.
    ConsoleEventChannel = 18,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StoreFrame => "HVM_PARAM_STORE_PFN",
            Self::StoreEventChannel => "HVM_PARAM_STORE_EVTCHN",
            Self::ConsoleFrame => "HVM_PARAM_CONSOLE_PFN",
            Self::ConsoleEventChannel => "HVM_PARAM_CONSOLE_EVTCHN",
        })
    }
}

/// Returns a parameter of this guest (`hvm/hvm_op.h`, `HVMOP_get_param`).
///
/// # Errors
/// [`XenError`].
pub fn parameter(parameter: Parameter) -> Result<u64, XenError> {
    /// `HVMOP_get_param`
    const GET_PARAM: usize = 1;
    let mut what = HvmParam {
        domain: DomainId::SELF.0,
        pad: 0,
        index: parameter as u32,
        value: 0,
    };
    // SAFETY: 1. `struct xen_hvm_param` of `hvm/hvm_op.h`.
    unsafe { call_with(number::HVM_OP, GET_PARAM, &mut what) }?;
    Ok(what.value)
}

/// Why a domain ends (`sched.h`, `SHUTDOWN_*`); what then happens is up to its `on_*=` settings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum ShutdownReason {
    /// It is done: `on_poweroff=`.
    PowerOff = 0,
    /// It wants to start anew: `on_reboot=`.
    Reboot = 1,
    /// It failed: `on_crash=`.
    Crash = 3,
}

const SCHEDOP_YIELD: usize = 0;
const SCHEDOP_BLOCK: usize = 1;
const SCHEDOP_SHUTDOWN: usize = 2;
const SCHEDOP_WATCHDOG: usize = 6;

/// Lets other domains run (`sched.h`, `SCHEDOP_yield`).
pub fn yield_now() {
    // It cannot fail; a Xen without it lets others run by its scheduler anyway.
    let _ = call_plain(number::SCHED_OP, [SCHEDOP_YIELD, 0, 0]);
}

/// Sleeps until an event is pending (`sched.h`, `SCHEDOP_block`). `wfi` does the same, and for
/// interrupts that are no events too.
pub fn block() {
    let _ = call_plain(number::SCHED_OP, [SCHEDOP_BLOCK, 0, 0]);
}

/// Ends this domain (`sched.h`, `SCHEDOP_shutdown`). Returns only if Xen refuses.
pub fn shutdown(reason: ShutdownReason) {
    let mut what = Shutdown {
        reason: reason as u32,
    };
    // SAFETY: 1. `struct sched_shutdown` of `sched.h`.
    let _ = unsafe { call_with(number::SCHED_OP, SCHEDOP_SHUTDOWN, &mut what) };
}

/// Sets a watchdog of this domain to end it in `timeout_s` seconds with the reason "watchdog", or
/// takes it back with 0 (`sched.h`, `SCHEDOP_watchdog`). `id` 0 asks for a new one, whose number is
/// returned.
///
/// # Errors
/// [`XenError`].
pub fn set_watchdog(id: u32, timeout_s: u32) -> Result<u32, XenError> {
    let mut what = Watchdog {
        id,
        timeout: timeout_s,
    };
    // SAFETY: 1. `struct sched_watchdog` of `sched.h`.
    let id = unsafe { call_with(number::SCHED_OP, SCHEDOP_WATCHDOG, &mut what) }?;
    Ok(id as u32)
}

/// Writes to Xen's own console (`xen.h`, `CONSOLEIO_write`). Xen permits it to guests only when it
/// was built for debugging.
///
/// # Errors
/// [`XenError::NotPermitted`], mostly.
pub fn console_write(text: &[u8]) -> Result<(), XenError> {
    const CONSOLEIO_WRITE: usize = 0;
    let arguments = [CONSOLEIO_WRITE, text.len(), text.as_ptr() as usize];
    // SAFETY: Xen reads `text`, which outlives the call.
    XenError::check(unsafe { cpu::call(number::CONSOLE_IO, arguments) })?;
    Ok(())
}

/// Has Xen keep this virtual CPU's share of the shared info (`vcpu.h`, `struct vcpu_info`) at
/// `offset` of `frame` instead of in the shared info page (`VCPUOP_register_vcpu_info`).
///
/// # Errors
/// [`XenError`].
///
/// # Safety
/// 1. Nothing but shared memory of this crate uses the frame from now on.
pub unsafe fn register_vcpu_info(vcpu: u32, frame: Frame, offset: u32) -> Result<(), XenError> {
    /// `VCPUOP_register_vcpu_info`
    const REGISTER_VCPU_INFO: usize = 10;
    let mut what = RegisterVcpuInfo {
        frame: frame.0,
        offset,
        reserved: 0,
    };
    let arguments = [
        REGISTER_VCPU_INFO,
        vcpu as usize,
        core::ptr::from_mut(&mut what) as usize,
    ];
    // SAFETY: `struct vcpu_register_vcpu_info` of `vcpu.h`, which outlives the call; 1.
    XenError::check(unsafe { cpu::call(number::VCPU_OP, arguments) })?;
    Ok(())
}

/// Returns the text that `XENVER_extraversion` has: what follows the version, such as `.7`.
///
/// # Errors
/// [`XenError`].
pub fn extra_version(buffer: &mut [u8; 16]) -> Result<&str, XenError> {
    /// `XENVER_extraversion`
    const EXTRAVERSION: usize = 1;
    // SAFETY: 1. `xen_extraversion_t` of `version.h`: 16 bytes.
    unsafe { call_with(number::XEN_VERSION, EXTRAVERSION, buffer) }?;
    let text = CStr::from_bytes_until_nul(buffer).unwrap_or_default();
    Ok(text.to_str().unwrap_or_default())
}

pub(crate) mod event_channel {
    //! `event_channel.h`

    use super::{call_with, number};
    use crate::hypercall::structures::{AllocateUnbound, BindInterdomain};
    use crate::{DomainId, XenError};

    /// Makes a port to which `remote` can bind (`EVTCHNOP_alloc_unbound`).
    pub(crate) fn allocate_unbound(remote: DomainId) -> Result<u32, XenError> {
        let mut what = AllocateUnbound {
            domain: DomainId::SELF.0,
            remote: remote.0,
            port: 0,
        };
        // SAFETY: 1. `struct evtchn_alloc_unbound`.
        unsafe { call_with(number::EVENT_CHANNEL_OP, 6, &mut what) }?;
        Ok(what.port)
    }

    /// Binds to the port that `remote` made for this domain (`EVTCHNOP_bind_interdomain`).
    pub(crate) fn bind_interdomain(remote: DomainId, port: u32) -> Result<u32, XenError> {
        let mut what = BindInterdomain {
            remote: remote.0,
            remote_port: port,
            local_port: 0,
        };
        // SAFETY: 1. `struct evtchn_bind_interdomain`.
        unsafe { call_with(number::EVENT_CHANNEL_OP, 0, &mut what) }?;
        Ok(what.local_port)
    }

    /// Closes a port (`EVTCHNOP_close`).
    pub(crate) fn close(port: u32) -> Result<(), XenError> {
        on_port(3, port)
    }

    /// Notifies the other end (`EVTCHNOP_send`).
    pub(crate) fn send(port: u32) -> Result<(), XenError> {
        on_port(4, port)
    }

    fn on_port(command: usize, mut port: u32) -> Result<(), XenError> {
        // SAFETY: 1. `struct evtchn_close` and `struct evtchn_send`: a port.
        unsafe { call_with(number::EVENT_CHANNEL_OP, command, &mut port) }?;
        Ok(())
    }
}

pub(crate) mod grant_table {
    //! `grant_table.h`

    use super::{cpu, number};
    pub(crate) use crate::hypercall::structures::{Map, QuerySize, Unmap};
    use crate::{DomainId, XenError};

    /// `GNTTABOP_map_grant_ref`, of one reference.
    ///
    /// # Safety
    /// 1. Nothing uses the frame at `host_address`.
    pub(crate) unsafe fn map(what: &mut Map) -> Result<(), XenError> {
        // SAFETY: The structure of `command` 0; 1.
        unsafe { one(0, what) }
    }

    /// `GNTTABOP_unmap_grant_ref`, of one mapping.
    ///
    /// # Safety
    /// 1. Nothing uses the mapping any more.
    pub(crate) unsafe fn unmap(what: &mut Unmap) -> Result<(), XenError> {
        // SAFETY: The structure of `command` 1; 1.
        unsafe { one(1, what) }
    }

    /// `GNTTABOP_query_size`, of this domain.
    pub(crate) fn query_size() -> Result<QuerySize, XenError> {
        let mut what = QuerySize {
            domain: DomainId::SELF.0,
            frames: 0,
            most_frames: 0,
            status: 0,
        };
        // SAFETY: The structure of `command` 6.
        unsafe { one(6, &mut what) }?;
        if what.status < 0 {
            return Err(XenError::Other(i32::from(what.status)));
        }
        Ok(what)
    }

    /// Grant table operations take an array; here it has one element.
    ///
    /// # Safety
    /// 1. `T` is the structure of `command`, and its addresses are good.
    unsafe fn one<T>(command: usize, what: &mut T) -> Result<(), XenError> {
        let arguments = [command, core::ptr::from_mut(what) as usize, 1];
        // SAFETY: 1. and the exclusive borrow, which lasts for the call.
        XenError::check(unsafe { cpu::call(number::GRANT_TABLE_OP, arguments) })?;
        Ok(())
    }
}
