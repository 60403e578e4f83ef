//! A lab for as long as one command needs it.

use anyhow::Result;

use super::place::Place;
use super::{Lab, boot, end};

/// A lab that was there, or was brought up for this. Dropped, one that was brought up is ended.
#[derive(Debug)]
pub(crate) struct Stay {
    place: Place,
    lab: Lab,
    is_ours: bool,
}

impl Stay {
    /// Finds the lab at `place`, or brings it up.
    pub(crate) fn begin(place: Place, options: &boot::Options) -> Result<Self> {
        let (lab, is_ours) = boot::up(&place, options)?;
        Ok(Self {
            place,
            lab,
            is_ours,
        })
    }

    /// The lab.
    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Returns whether it ends with this value.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_ours
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        if !self.is_ours {
            return;
        }
        let ended = self
            .place
            .lock()
            .and_then(|_lock| end(&self.place, self.lab.record()));
        if let Err(error) = ended {
            eprintln!("warning: the lab is still up: {error:#}");
        }
    }
}
