//! Power State Coordination Interface (Arm DEN 0022): off and reset.

use crate::cpu::firmware::{Hvc, Smc};
use core::fmt;
use smccc::psci;

/// Which instruction reaches the firmware, as the device tree's `/psci` node says in `method`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Conduit {
    /// `hvc`: a hypervisor answers.
    Hvc,
    /// `smc`: firmware at EL3 answers.
    Smc,
}

impl fmt::Display for Conduit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hvc => "HVC",
            Self::Smc => "SMC",
        })
    }
}

/// Turns the machine off (SYSTEM_OFF); returns only when the firmware refuses.
pub fn system_off(conduit: Conduit) {
    // The error carries nothing that the caller could act on: the machine still runs.
    let _ = match conduit {
        Conduit::Hvc => psci::system_off::<Hvc>(),
        Conduit::Smc => psci::system_off::<Smc>(),
    };
}

/// Restarts the machine (SYSTEM_RESET); returns only when the firmware refuses.
pub fn system_reset(conduit: Conduit) {
    let _ = match conduit {
        Conduit::Hvc => psci::system_reset::<Hvc>(),
        Conduit::Smc => psci::system_reset::<Smc>(),
    };
}
