//! Two guests that share a page and an event channel by the means that drivers are made of: one
//! offers them, the other takes them. Each says what it did and saw.
//!
//! They find each other through xenstore: whoever tests writes the taker's number to `data/peer` of
//! the one that offers, which answers in `data/offer`.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

landfall::arguments! {
    /// the number of the domain that offers; 0: this one does
    from: u16 = 0,
}

#[cfg(target_os = "none")]
#[landfall::main]
async fn main(system: landfall::System, arguments: Arguments) -> Result<(), guest::Failure> {
    let xen = system.board().ok_or(guest::Failure::NoXen)?;
    match arguments.from {
        0 => guest::offer(&xen).await,
        other => guest::take(&xen, other).await,
    }
}

/// On a host there is no Xen.
#[cfg(not(target_os = "none"))]
#[landfall::main]
async fn main(_: landfall::System, arguments: Arguments) -> Result<(), core::fmt::Error> {
    landfall_log::error!(
        "only a guest of Xen can take what domain {} offers",
        arguments.from
    );
    Err(core::fmt::Error)
}

#[cfg(target_os = "none")]
mod guest {
    use alloc::{format, string::String};
    use core::{fmt, future::poll_fn, sync::atomic::Ordering};
    use futures_util::StreamExt;
    use landfall_log::info;
    use landfall_xenvm::Xen;
    use xen_arm::{
        DomainId,
        events::{EventChannel, EventError},
        grants::{Access, GrantError, GrantRef},
        memory::SharedMemory,
        xenstore::{Permission, StoreError},
    };

    /// What the one that offers writes to the page, and what the other answers.
    const QUESTION: u64 = 0x6c61_6e64_6661_6c6c;
    const ANSWER: u64 = !QUESTION;
    /// Where in the page.
    const AT: usize = 2048;

    #[derive(Debug)]
    pub(crate) enum Failure {
        NoXen,
        Store(StoreError),
        Event(EventError),
        Grant(GrantError),
        NoMemory,
        /// Something was not as it must be.
        Wrong(String),
    }

    impl fmt::Display for Failure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::NoXen => f.write_str("this is no guest of Xen"),
                Self::Store(error) => error.fmt(f),
                Self::Event(error) => error.fmt(f),
                Self::Grant(error) => error.fmt(f),
                Self::NoMemory => f.write_str("no memory for a page"),
                Self::Wrong(what) => f.write_str(what),
            }
        }
    }

    impl From<StoreError> for Failure {
        fn from(error: StoreError) -> Self {
            Self::Store(error)
        }
    }

    impl From<EventError> for Failure {
        fn from(error: EventError) -> Self {
            Self::Event(error)
        }
    }

    impl From<GrantError> for Failure {
        fn from(error: GrantError) -> Self {
            Self::Grant(error)
        }
    }

    fn expect(right: bool, what: impl fmt::Display) -> Result<(), Failure> {
        match right {
            true => Ok(()),
            false => Err(Failure::Wrong(format!("wrong: {what}"))),
        }
    }

    async fn event(channel: &EventChannel) {
        poll_fn(|context| channel.poll_event(context)).await;
    }

    /// Waits until `path` has numbers, as many as are wanted.
    async fn numbers<const N: usize>(xen: &Xen, path: &str) -> Result<[u32; N], Failure> {
        let mut changes = xen.store.watch(path).await?;
        loop {
            changes.next().await;
            // Before there is something to read, or it is allowed to, there is an error.
            let Ok(text) = xen.store.read(path).await else {
                continue;
            };
            let mut words = text.split_whitespace().map(str::parse);
            let mut numbers = [0; N];
            for number in &mut numbers {
                let word = words.next().and_then(Result::ok);
                *number = word.ok_or_else(|| Failure::Wrong(format!("{path}: {text:?}")))?;
            }
            return Ok(numbers);
        }
    }

    /// Shares a page with whoever takes it, and takes it back while it is still in use.
    pub(crate) async fn offer(xen: &Xen) -> Result<(), Failure> {
        xen.store.make_directory("data").await?;
        let [peer] = numbers(xen, "data/peer").await?;
        let peer = DomainId(peer as u16);
        let page = SharedMemory::allocate(1).ok_or(Failure::NoMemory)?;
        page.u64(AT).store(QUESTION, Ordering::Relaxed);
        let before = xen.grants.usage();
        let page = xen.grants.share(page, peer, Access::ReadWrite)?;
        let first = page.reference(0);
        let channel = xen.channels.allocate(peer)?;
        xen.store
            .write("data/offer", format!("{} {}", first.0, channel.port()))
            .await?;
        let own = xen.store.permissions("data").await?;
        let reader = Permission {
            domain: peer,
            read: true,
            write: false,
        };
        xen.store
            .set_permissions("data/offer", &[own[0], reader])
            .await?;
        info!("grant {} is offered to domain {}", first.0, peer.0);
        event(&channel).await;
        let answer = page.u64(AT).load(Ordering::Relaxed);
        expect(answer == ANSWER, format_args!("the answer {answer:#x}"))?;
        // It is still mapped there: neither page nor reference may be used for anything else.
        drop(page);
        let lingering = xen.grants.usage().lingering;
        expect(lingering == 1, format_args!("{lingering} grants linger"))?;
        let page = SharedMemory::allocate(1).ok_or(Failure::NoMemory)?;
        let other = xen.grants.share(page, peer, Access::ReadOnly)?;
        expect(
            other.reference(0) != first,
            "a reference in use was given out",
        )?;
        info!("grant {} is kept while it is in use", first.0);
        xen.store
            .write("data/offer", format!("{} 0", other.reference(0).0))
            .await?;
        channel.notify();
        event(&channel).await;
        drop(other);
        let after = xen.grants.usage();
        expect(
            after == before,
            format_args!("{after:?}, and before {before:?}"),
        )?;
        info!("all grants are taken back");
        Ok(())
    }

    /// Uses what domain `from` offers.
    pub(crate) async fn take(xen: &Xen, from: u16) -> Result<(), Failure> {
        let path = format!("/local/domain/{from}/data/offer");
        let from = DomainId(from);
        let [reference, port] = numbers(xen, &path).await?;
        let channel = xen.channels.bind(from, port)?;
        let page = xen
            .grants
            .map(from, GrantRef(reference), Access::ReadWrite)?;
        let question = page.u64(AT).load(Ordering::Relaxed);
        expect(
            question == QUESTION,
            format_args!("the question {question:#x}"),
        )?;
        page.u64(AT).store(ANSWER, Ordering::Relaxed);
        info!("grant {reference} is mapped and answered");
        channel.notify();
        event(&channel).await;
        let [other, _] = numbers(xen, &path).await?;
        let other = GrantRef(other);
        // Granted for reading only, and never granted.
        for (reference, access) in [
            (other, Access::ReadWrite),
            (GrantRef(500), Access::ReadOnly),
        ] {
            match xen.grants.map(from, reference, access) {
                Ok(_) => expect(false, format_args!("grant {} was mapped", reference.0))?,
                Err(error) => info!("refused: {error}"),
            }
        }
        let read_only = xen.grants.map(from, other, Access::ReadOnly)?;
        let text = read_only.u64(AT).load(Ordering::Relaxed);
        expect(text == 0, format_args!("{text:#x} in a page of zeros"))?;
        let answer = page.u64(AT).load(Ordering::Relaxed);
        expect(answer == ANSWER, "the first page has changed")?;
        // Each mapping takes a place of its own, and gives it back.
        drop(read_only);
        drop(page);
        for _ in 0..5000 {
            drop(xen.grants.map(from, other, Access::ReadOnly)?);
        }
        info!("all mappings are gone");
        channel.notify();
        Ok(())
    }
}
