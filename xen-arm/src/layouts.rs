//! What this crate takes for the sizes and offsets of Xen's structures, each beside its name in Xen's public
//! headers: checked against the number on every target when it is compiled, and the numbers against
//! the headers themselves, as a compiler for 32-bit and for 64-bit ARM reads them, in a test.

use crate::{
    console, grants,
    hypercall::structures::{
        AddToPhysmap, AllocateUnbound, BindInterdomain, FeatureInfo, HvmParam, Map, QuerySize,
        RegisterVcpuInfo, Shutdown, Unmap, Watchdog,
    },
    netfront, ring, shared_info, xenstore,
};
use core::mem::offset_of;

macro_rules! layouts {
    ($($header:literal = $ours:expr => $number:literal;)*) => {
        $(const _: () = assert!($ours == $number, $header);)*

        /// What the headers have, and the number.
        #[cfg(test)]
        const HEADERS: &[(&str, usize)] = &[$(($header, $number)),*];
    };
}

layouts! {
    "sizeof(struct xen_feature_info)" = size_of::<FeatureInfo>() => 8;
    "offsetof(struct xen_feature_info, submap_idx)" = offset_of!(FeatureInfo, submap_index) => 0;
    "offsetof(struct xen_feature_info, submap)" = offset_of!(FeatureInfo, submap) => 4;

    "sizeof(struct xen_add_to_physmap)" = size_of::<AddToPhysmap>() => 24;
    "offsetof(struct xen_add_to_physmap, domid)" = offset_of!(AddToPhysmap, domain) => 0;
    "offsetof(struct xen_add_to_physmap, size)" = offset_of!(AddToPhysmap, size) => 2;
    "offsetof(struct xen_add_to_physmap, space)" = offset_of!(AddToPhysmap, space) => 4;
    "offsetof(struct xen_add_to_physmap, idx)" = offset_of!(AddToPhysmap, index) => 8;
    "offsetof(struct xen_add_to_physmap, gpfn)" = offset_of!(AddToPhysmap, frame) => 16;

    "sizeof(struct xen_hvm_param)" = size_of::<HvmParam>() => 16;
    "offsetof(struct xen_hvm_param, domid)" = offset_of!(HvmParam, domain) => 0;
    "offsetof(struct xen_hvm_param, index)" = offset_of!(HvmParam, index) => 4;
    "offsetof(struct xen_hvm_param, value)" = offset_of!(HvmParam, value) => 8;

    "sizeof(struct sched_shutdown)" = size_of::<Shutdown>() => 4;
    "offsetof(struct sched_shutdown, reason)" = offset_of!(Shutdown, reason) => 0;

    "sizeof(struct sched_watchdog)" = size_of::<Watchdog>() => 8;
    "offsetof(struct sched_watchdog, id)" = offset_of!(Watchdog, id) => 0;
    "offsetof(struct sched_watchdog, timeout)" = offset_of!(Watchdog, timeout) => 4;

    "sizeof(struct vcpu_register_vcpu_info)" = size_of::<RegisterVcpuInfo>() => 16;
    "offsetof(struct vcpu_register_vcpu_info, mfn)" = offset_of!(RegisterVcpuInfo, frame) => 0;
    "offsetof(struct vcpu_register_vcpu_info, offset)" = offset_of!(RegisterVcpuInfo, offset) => 8;

    "sizeof(struct evtchn_alloc_unbound)" = size_of::<AllocateUnbound>() => 8;
    "offsetof(struct evtchn_alloc_unbound, dom)" = offset_of!(AllocateUnbound, domain) => 0;
    "offsetof(struct evtchn_alloc_unbound, remote_dom)" = offset_of!(AllocateUnbound, remote) => 2;
    "offsetof(struct evtchn_alloc_unbound, port)" = offset_of!(AllocateUnbound, port) => 4;

    "sizeof(struct evtchn_bind_interdomain)" = size_of::<BindInterdomain>() => 12;
    "offsetof(struct evtchn_bind_interdomain, remote_dom)" = offset_of!(BindInterdomain, remote) => 0;
    "offsetof(struct evtchn_bind_interdomain, remote_port)" = offset_of!(BindInterdomain, remote_port) => 4;
    "offsetof(struct evtchn_bind_interdomain, local_port)" = offset_of!(BindInterdomain, local_port) => 8;
    "sizeof(struct evtchn_send)" = size_of::<u32>() => 4;
    "sizeof(struct evtchn_close)" = size_of::<u32>() => 4;

    "sizeof(struct gnttab_map_grant_ref)" = size_of::<Map>() => 32;
    "offsetof(struct gnttab_map_grant_ref, host_addr)" = offset_of!(Map, host_address) => 0;
    "offsetof(struct gnttab_map_grant_ref, flags)" = offset_of!(Map, flags) => 8;
    "offsetof(struct gnttab_map_grant_ref, ref)" = offset_of!(Map, reference) => 12;
    "offsetof(struct gnttab_map_grant_ref, dom)" = offset_of!(Map, domain) => 16;
    "offsetof(struct gnttab_map_grant_ref, status)" = offset_of!(Map, status) => 18;
    "offsetof(struct gnttab_map_grant_ref, handle)" = offset_of!(Map, handle) => 20;
    "offsetof(struct gnttab_map_grant_ref, dev_bus_addr)" = offset_of!(Map, bus_address) => 24;

    "sizeof(struct gnttab_unmap_grant_ref)" = size_of::<Unmap>() => 24;
    "offsetof(struct gnttab_unmap_grant_ref, host_addr)" = offset_of!(Unmap, host_address) => 0;
    "offsetof(struct gnttab_unmap_grant_ref, dev_bus_addr)" = offset_of!(Unmap, bus_address) => 8;
    "offsetof(struct gnttab_unmap_grant_ref, handle)" = offset_of!(Unmap, handle) => 16;
    "offsetof(struct gnttab_unmap_grant_ref, status)" = offset_of!(Unmap, status) => 20;

    "sizeof(struct gnttab_query_size)" = size_of::<QuerySize>() => 16;
    "offsetof(struct gnttab_query_size, dom)" = offset_of!(QuerySize, domain) => 0;
    "offsetof(struct gnttab_query_size, nr_frames)" = offset_of!(QuerySize, frames) => 4;
    "offsetof(struct gnttab_query_size, max_nr_frames)" = offset_of!(QuerySize, most_frames) => 8;
    "offsetof(struct gnttab_query_size, status)" = offset_of!(QuerySize, status) => 12;

    "sizeof(struct grant_entry_v1)" = grants::entry::BYTES => 8;
    "offsetof(struct grant_entry_v1, flags)" = grants::entry::FLAGS => 0;
    "offsetof(struct grant_entry_v1, domid)" = grants::entry::DOMAIN => 2;
    "offsetof(struct grant_entry_v1, frame)" = grants::entry::FRAME => 4;

    "sizeof(((struct shared_info *)0)->evtchn_pending) / sizeof(xen_ulong_t)" = shared_info::WORDS => 64;
    "offsetof(struct shared_info, vcpu_info[0].evtchn_upcall_pending)" = shared_info::offset::UPCALL_PENDING => 0;
    "offsetof(struct shared_info, vcpu_info[0].evtchn_pending_sel)" = shared_info::offset::PENDING_SELECTOR => 8;
    "offsetof(struct shared_info, evtchn_pending)" = shared_info::offset::PENDING => 48;
    "offsetof(struct shared_info, evtchn_mask)" = shared_info::offset::MASK => 560;
    "offsetof(struct shared_info, wc_version)" = shared_info::offset::WALL_CLOCK_VERSION => 1072;
    "offsetof(struct shared_info, wc_sec)" = shared_info::offset::WALL_CLOCK_SECONDS => 1076;
    "offsetof(struct shared_info, wc_nsec)" = shared_info::offset::WALL_CLOCK_NANOSECONDS => 1080;
    "offsetof(struct shared_info, wc_sec_hi)" = shared_info::offset::WALL_CLOCK_SECONDS_HIGH => 1084;

    "offsetof(struct xencons_interface, in)" = console::INPUT.bytes => 0;
    "sizeof(((struct xencons_interface *)0)->in)" = console::INPUT.size as usize => 1024;
    "offsetof(struct xencons_interface, in_cons)" = console::INPUT.consumer => 3072;
    "offsetof(struct xencons_interface, in_prod)" = console::INPUT.producer => 3076;
    "offsetof(struct xencons_interface, out)" = console::OUTPUT.bytes => 1024;
    "sizeof(((struct xencons_interface *)0)->out)" = console::OUTPUT.size as usize => 2048;
    "offsetof(struct xencons_interface, out_cons)" = console::OUTPUT.consumer => 3080;
    "offsetof(struct xencons_interface, out_prod)" = console::OUTPUT.producer => 3084;

    "offsetof(struct xenstore_domain_interface, req)" = xenstore::REQUESTS.bytes => 0;
    "sizeof(((struct xenstore_domain_interface *)0)->req)" = xenstore::REQUESTS.size as usize => 1024;
    "offsetof(struct xenstore_domain_interface, req_cons)" = xenstore::REQUESTS.consumer => 2048;
    "offsetof(struct xenstore_domain_interface, req_prod)" = xenstore::REQUESTS.producer => 2052;
    "offsetof(struct xenstore_domain_interface, rsp)" = xenstore::RESPONSES.bytes => 1024;
    "offsetof(struct xenstore_domain_interface, rsp_cons)" = xenstore::RESPONSES.consumer => 2056;
    "offsetof(struct xenstore_domain_interface, rsp_prod)" = xenstore::RESPONSES.producer => 2060;
    "sizeof(struct xsd_sockmsg)" = xenstore::HEADER => 16;

    "offsetof(struct netif_tx_sring, req_prod)" = ring::offset::REQUEST_PRODUCER => 0;
    "offsetof(struct netif_tx_sring, req_event)" = ring::offset::REQUEST_EVENT => 4;
    "offsetof(struct netif_tx_sring, rsp_prod)" = ring::offset::RESPONSE_PRODUCER => 8;
    "offsetof(struct netif_tx_sring, rsp_event)" = ring::offset::RESPONSE_EVENT => 12;
    "offsetof(struct netif_tx_sring, ring)" = ring::offset::SLOTS => 64;
    "sizeof(union netif_tx_sring_entry)" = netfront::TRANSMIT_SLOT => 12;
    "sizeof(union netif_rx_sring_entry)" = netfront::RECEIVE_SLOT => 8;
}

#[cfg(test)]
mod tests {
    use super::HEADERS;
    use std::{env, format, fs, process::Command, string::String};

    /// Where `cargo landfall test` has put libxen-dev's headers.
    const VARIABLE: &str = "LANDFALL_XEN_HEADERS";

    /// The host's compiler as one for ARM: of the same width, with 64-bit numbers aligned as AAPCS32 and AAPCS64
    /// (4.1 of both) align them.
    const ARM: [(&str, &[&str]); 2] = [
        ("32 bits", &["-m32", "-malign-double", "-D__arm__"]),
        ("64 bits", &["-D__aarch64__"]),
    ];

    fn source() -> String {
        let mut text =
            String::from("#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n");
        for header in [
            "xen",
            "version",
            "memory",
            "hvm/hvm_op",
            "sched",
            "vcpu",
            "event_channel",
            "grant_table",
            "io/console",
            "io/xs_wire",
            "io/netif",
        ] {
            text += &format!("#include <xen/{header}.h>\n");
        }
        for (expression, number) in HEADERS {
            text += &format!("_Static_assert({expression} == {number}, \"{expression}\");\n");
        }
        text
    }

    #[test]
    fn layouts_are_those_of_xens_headers() {
        let Some(headers) = env::var_os(VARIABLE) else {
            std::eprintln!("skipped: {VARIABLE} does not say where Xen's headers are");
            return;
        };
        if !cfg!(target_arch = "x86_64") {
            std::eprintln!("skipped: this machine's compiler has no -m32");
            return;
        }
        let folder = env::temp_dir().join(format!("landfall-layouts-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        // The only function of the C library that the headers mention, in a macro that is not used here.
        fs::write(folder.join("string.h"), "").expect("a file");
        let file = folder.join("layouts.c");
        fs::write(&file, source()).expect("a file");
        for (width, options) in ARM {
            let mut compiler = Command::new("cc");
            compiler
                .args(["-std=gnu11", "-ffreestanding", "-fsyntax-only"])
                .args(["-U__x86_64__", "-U__i386__"])
                .args(options)
                .arg("-I")
                .arg(&folder)
                .arg("-isystem")
                .arg(&headers)
                .arg(&file);
            let output = compiler.output().expect("a C compiler, cc");
            let complaints = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{width}: {complaints}");
        }
        fs::remove_dir_all(&folder).expect("it was made");
    }
}
