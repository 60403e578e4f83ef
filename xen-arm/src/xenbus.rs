//! How the two halves of a paravirtual device find each other (`io/xenbus.h`): each has a folder in
//! xenstore with its state in it, and watches the other's.
//!
//! A frontend (see [`crate::netfront`]) reads its own folder with [`Frontend`], finds its
//! [`Backend`] there, waits until that one is ready, writes what it offers, and says so with its
//! state.

use crate::{
    DomainId,
    xenstore::{Cause, StoreError, Watch, Xenstore},
};
use alloc::{format, string::String, vec::Vec};
use core::fmt;
use futures_util::future::try_join;

/// How far one half has come (`enum xenbus_state`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It has not said, or is not there.
    Unknown = 0,
    /// It starts.
    Initialising = 1,
    /// It waits for the other half's offer.
    InitWait = 2,
    /// It has made its offer.
    Initialised = 3,
    /// It works.
    Connected = 4,
    /// It is about to end.
    Closing = 5,
    /// It has ended.
    Closed = 6,
    /// It changes something while it works.
    Reconfiguring = 7,
    /// It has changed something.
    Reconfigured = 8,
}

impl State {
    fn of_number(number: u32) -> Self {
        match number {
            1 => Self::Initialising,
            2 => Self::InitWait,
            3 => Self::Initialised,
            4 => Self::Connected,
            5 => Self::Closing,
            6 => Self::Closed,
            7 => Self::Reconfiguring,
            8 => Self::Reconfigured,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "not there",
            Self::Initialising => "initialising",
            Self::InitWait => "waiting for this domain's offer",
            Self::Initialised => "initialised",
            Self::Connected => "connected",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reconfiguring => "reconfiguring",
            Self::Reconfigured => "reconfigured",
        })
    }
}

/// Returns the numbers of this domain's devices of a kind (`vif`, `vbd`, …), lowest first.
///
/// # Errors
/// [`StoreError`].
pub async fn devices(store: &Xenstore, kind: &str) -> Result<Vec<u32>, StoreError> {
    let names = match store.directory(&format!("device/{kind}")).await {
        Err(error) if error.cause == Cause::NotFound => Vec::new(),
        other => other?,
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// This domain's half of a device.
#[derive(Clone, Debug)]
pub struct Frontend {
    store: Xenstore,
    path: String,
}

impl Frontend {
    /// The frontend's folder of device `number` of a kind.
    pub fn new(store: &Xenstore, kind: &str, number: u32) -> Self {
        Self {
            store: store.clone(),
            path: format!("device/{kind}/{number}"),
        }
    }

    /// Returns the path of a key in its folder.
    pub fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Returns the store.
    pub fn store(&self) -> &Xenstore {
        &self.store
    }

    /// Finds the backend, anew each time: it may come back elsewhere.
    ///
    /// # Errors
    /// [`StoreError`]: a key that a toolstack writes is missing or wrong.
    pub async fn backend(&self) -> Result<Backend, StoreError> {
        let keys = [self.key("backend"), self.key("backend-id")];
        let (path, domain) =
            try_join(self.store.read(&keys[0]), self.store.read_as(&keys[1])).await?;
        if domain >= DomainId::FIRST_RESERVED {
            return Err(StoreError {
                path: self.key("backend-id"),
                cause: Cause::Value,
            });
        }
        Ok(Backend {
            store: self.store.clone(),
            path,
            domain: DomainId(domain),
        })
    }

    /// Returns its own state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn state(&self) -> Result<State, StoreError> {
        read_state(&self.store, &self.key("state")).await
    }

    /// Says how far this half has come.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_state(&self, state: State) -> Result<(), StoreError> {
        self.store.write(&self.key("state"), state as u32).await
    }
}

async fn read_state(store: &Xenstore, path: &str) -> Result<State, StoreError> {
    let number = store.find_as(path).await?;
    Ok(number.map_or(State::Unknown, State::of_number))
}

/// The other half of a device.
#[derive(Clone, Debug)]
pub struct Backend {
    store: Xenstore,
    /// Its folder.
    pub path: String,
    /// The domain that it runs in.
    pub domain: DomainId,
}

impl Backend {
    /// Returns its state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn state(&self) -> Result<State, StoreError> {
        read_state(&self.store, &self.key("state")).await
    }

    /// Returns the path of a key in its folder.
    pub fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Returns whether it has a feature: a key that is not 0. `missing` where there is no such key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn feature(&self, name: &str, missing: bool) -> Result<bool, StoreError> {
        let value = self.store.find_as::<u32>(&self.key(name)).await?;
        Ok(value.map_or(missing, |it| it != 0))
    }

    /// Watches everything in its folder.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn watch(&self) -> Result<Watch, StoreError> {
        self.store.watch(&self.path).await
    }
}
