//! What a guest has to bear while it is loaded.

use crate::commands::wire::Faults;

/// Of one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// The cable is like this all the time.
    Faults(Faults),
    /// The cable is out for a moment.
    CableOut,
    /// The guest does not run for a moment: a machine that is suspended, a process that is stopped.
    Paused,
    /// The network card's other half in dom0 is away for a moment.
    NoBackend,
}

/// In turns, those that a guest can have.
pub(super) const PHASES: [(&str, Trouble); 8] = [
    ("no faults", Trouble::None),
    (
        "1 % lost",
        Trouble::Faults(Faults {
            loss: 10,
            ..NO_FAULTS
        }),
    ),
    (
        "3 % late and 1 % twice",
        Trouble::Faults(Faults {
            reorder: 30,
            duplicate: 10,
            ..NO_FAULTS
        }),
    ),
    (
        "1 % corrupted",
        Trouble::Faults(Faults {
            corrupt: 10,
            ..NO_FAULTS
        }),
    ),
    (
        "10 ms each way, 0.5 % lost",
        Trouble::Faults(Faults {
            delay_ms: 10,
            loss: 5,
            ..NO_FAULTS
        }),
    ),
    ("the cable is out for 2 s", Trouble::CableOut),
    ("paused for 2 s", Trouble::Paused),
    ("the backend is away for 2 s", Trouble::NoBackend),
];

pub(super) const NO_FAULTS: Faults = Faults {
    loss: 0,
    duplicate: 0,
    reorder: 0,
    corrupt: 0,
    delay_ms: 0,
    cut: false,
};
