//! The structures that hypercalls take, as Xen's public headers have them. `layouts` compares.

/// `struct xen_feature_info` (`version.h`)
#[repr(C)]
pub(crate) struct FeatureInfo {
    pub(crate) submap_index: u32,
    pub(crate) submap: u32,
}

/// `struct xen_add_to_physmap` (`memory.h`)
#[repr(C)]
pub(crate) struct AddToPhysmap {
    pub(crate) domain: u16,
    pub(crate) size: u16,
    pub(crate) space: u32,
    pub(crate) index: u64,
    pub(crate) frame: u64,
}

/// `struct xen_hvm_param` (`hvm/hvm_op.h`)
#[repr(C)]
pub(crate) struct HvmParam {
    pub(crate) domain: u16,
    pub(crate) pad: u16,
    pub(crate) index: u32,
    pub(crate) value: u64,
}

/// `struct sched_shutdown` (`sched.h`)
#[repr(C)]
pub(crate) struct Shutdown {
    pub(crate) reason: u32,
}

/// `struct sched_watchdog` (`sched.h`)
#[repr(C)]
pub(crate) struct Watchdog {
    pub(crate) id: u32,
    pub(crate) timeout: u32,
}

/// `struct vcpu_register_vcpu_info` (`vcpu.h`)
#[repr(C)]
pub(crate) struct RegisterVcpuInfo {
    pub(crate) frame: u64,
    pub(crate) offset: u32,
    pub(crate) reserved: u32,
}

/// `struct evtchn_alloc_unbound` (`event_channel.h`)
#[repr(C)]
pub(crate) struct AllocateUnbound {
    pub(crate) domain: u16,
    pub(crate) remote: u16,
    pub(crate) port: u32,
}

/// `struct evtchn_bind_interdomain` (`event_channel.h`)
#[repr(C)]
pub(crate) struct BindInterdomain {
    pub(crate) remote: u16,
    pub(crate) remote_port: u32,
    pub(crate) local_port: u32,
}

/// `struct gnttab_map_grant_ref` (`grant_table.h`)
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) host_address: u64,
    pub(crate) flags: u32,
    pub(crate) reference: u32,
    pub(crate) domain: u16,
    pub(crate) status: i16,
    pub(crate) handle: u32,
    pub(crate) bus_address: u64,
}

/// `struct gnttab_unmap_grant_ref` (`grant_table.h`)
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Unmap {
    pub(crate) host_address: u64,
    pub(crate) bus_address: u64,
    pub(crate) handle: u32,
    pub(crate) status: i16,
}

/// `struct gnttab_query_size` (`grant_table.h`): how many frames the table has and may have
#[repr(C)]
#[derive(Debug)]
pub(crate) struct QuerySize {
    pub(crate) domain: u16,
    pub(crate) frames: u32,
    pub(crate) most_frames: u32,
    pub(crate) status: i16,
}
