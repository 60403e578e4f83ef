//! An app as the board starts it.

use crate::{
    System,
    arguments::{Argument, ArgumentError, ArgumentSet, Words},
};
use alloc::{boxed::Box, string::String};
use core::{fmt::Display, future::Future, pin::Pin};

/// A running app; its error is a sentence.
pub type AppFuture = Pin<Box<dyn Future<Output = Result<(), String>>>>;

type Start = Box<dyn FnOnce(System, &Words) -> Result<AppFuture, ArgumentError>>;

/// What an app is called: its package's name and version.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The name.
    pub name: &'static str,
    /// The version.
    pub version: &'static str,
}

/// An app's `main` with the arguments that it takes, without their types.
///
/// `#[landfall::main]` makes one and hands it to the board.
pub struct App {
    pub(crate) identity: &'static Identity,
    pub(crate) arguments: &'static [Argument<'static>],
    pub(crate) start: Start,
}

impl App {
    /// Wraps an app's `main`.
    pub fn new<A, M, F, E>(main: M) -> Self
    where
        A: ArgumentSet,
        M: FnOnce(System, A) -> F + 'static,
        F: Future<Output = Result<(), E>> + 'static,
        E: Display,
    {
        Self {
            identity: &Identity {
                name: "app",
                version: "",
            },
            arguments: A::KNOWN,
            start: Box::new(|system, words| {
                let running = main(system, A::read(words)?);
                Ok(Box::pin(async {
                    running.await.map_err(|error| alloc::format!("{error}"))
                }))
            }),
        }
    }

    /// Says what the app is called.
    pub fn named(self, identity: &'static Identity) -> Self {
        Self { identity, ..self }
    }
}
