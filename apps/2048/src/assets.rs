//! The page's files, as `build.rs` lists them.

use landfall_http::{Asset, Gzip};

include!(concat!(env!("OUT_DIR"), "/assets.rs"));
