//! What holds for rings, grants and event channels whatever happens, in any order: each is compared
//! with a model that is too simple to be wrong.

mod events;
mod grants;
mod ring;

use proptest::prelude::*;

/// Many short histories, none of which is written to a file.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
