//! The client against an honest store.

mod model;
pub(crate) mod world;

use super::*;
use crate::xenstore::hostile::take_events;
use alloc::{boxed::Box, rc::Rc, string::ToString, vec};
use core::cell::{Cell, RefCell};
use futures_util::{
    StreamExt,
    future::{join_all, select},
};
use model::{Model, Registered};
use proptest::{prelude::*, sample};
use std::collections::BTreeSet;
use world::World;

/// Bytes that a daemon writes at a time.
fn pieces() -> impl Strategy<Value = usize> {
    sample::select(vec![1, 7, 100, 5000])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_come_in_any_order(seed in any::<u32>(), piece in pieces(), count in 1_usize..60) {
        let mut world = World::new(seed, piece);
        for number in 0..count {
            let store = world.store.clone();
            world.spawn(async move {
                let key = format!("key-{number}");
                assert_eq!(store.find_as::<u32>(&key).await, Ok(None));
                let value = "x".repeat(number * 7);
                store.write(&key, &value).await.unwrap();
                assert_eq!(store.read(&key).await, Ok(value));
                store.remove(&key).await.unwrap();
            });
        }
        world.run_all();
        prop_assert_eq!(world.store.dropped(), 0);
        prop_assert!(world.model.borrow().get("key-0").is_none());
    }

    #[test]
    fn transactions_that_meet_are_done_again(seed in any::<u32>(), piece in pieces(), count in 1_usize..12) {
        let mut world = World::new(seed, piece);
        world.set("counter", "0");
        for _ in 0..count {
            let store = world.store.clone();
            world.spawn(async move {
                let step = async |it: &Xenstore| {
                    let number: usize = it.read_as("counter").await?;
                    it.write("counter", number + 1).await?;
                    Ok(number)
                };
                store.transaction(step).await.unwrap();
            });
        }
        world.run_all();
        let model = world.model.borrow();
        let counted = count.to_string();
        prop_assert_eq!(model.get("counter"), Some(counted.as_bytes()));
        prop_assert_eq!(model.open_transactions(), 0);
    }

    #[test]
    fn a_watch_tells_of_every_change(seed in any::<u32>(), piece in pieces(), changes in 0_usize..40) {
        let mut world = World::new(seed, piece);
        let store = world.store.clone();
        let mut watch = world.run(async move { store.watch("device").await }).unwrap();
        world.settle();
        let mut expected: BTreeSet<String> = ["device".into()].into();
        for number in 0..changes {
            let key = format!("device/vif/{}", number % 30);
            world.set(&key, "1");
            expected.insert(key);
        }
        world.set("devices", "not below the key");
        let seen = world.run(async move {
            let mut seen = BTreeSet::new();
            while seen.len() < expected.len() {
                seen.insert(watch.next().await.unwrap());
            }
            (seen == expected).then_some(watch)
        });
        prop_assert!(seen.is_some());
        world.settle();
        prop_assert_eq!(world.store.dropped(), 0);
    }
}

#[test]
fn a_value_comes_back_as_it_went() {
    let mut world = World::new(1, 5000);
    let store = world.store.clone();
    world.run(async move {
        store.write("number", 42).await.unwrap();
        assert_eq!(store.read_as("number").await, Ok(42_u32));
        assert_eq!(store.find_as("number").await, Ok(Some(42_u8)));
        store.write("text", " 4x ").await.unwrap();
        let error = store.read_as::<u32>("text").await.unwrap_err();
        assert_eq!(error, StoreError::new("text", Cause::Value));
        let error = store.read("nothing").await.unwrap_err();
        assert_eq!(error.to_string(), "xenstore nothing: no such key");
        store.make_directory("folder").await.unwrap();
        store.make_directory("number").await.unwrap();
        assert_eq!(store.read("number").await.unwrap(), "42", "it was there");
        assert_eq!(store.read_bytes("folder").await.unwrap(), b"");
        let error = store.remove("no/such/thing").await.unwrap_err();
        assert_eq!(error.cause, Cause::NotFound);
    });
}

#[test]
fn permissions_come_back_as_they_went() {
    let mut world = World::new(1, 5000);
    let store = world.store.clone();
    let all = [(true, true), (true, false), (false, true), (false, false)];
    let list: Vec<Permission> = (0..)
        .zip(all)
        .map(|(domain, (read, write))| Permission {
            domain: DomainId(domain),
            read,
            write,
        })
        .collect();
    world.run(async move {
        store.write("key", "").await.unwrap();
        store.set_permissions("key", &list).await.unwrap();
        assert_eq!(store.permissions("key").await.unwrap(), list);
    });
    let model = world.model.borrow();
    assert_eq!(model.get("key"), Some(&b""[..]));
}

#[test]
fn what_is_no_path_or_too_long_is_not_sent() {
    let mut world = World::new(1, 5000);
    let store = world.store.clone();
    world.run(async move {
        for path in ["", "a/", "a\0b", &"x".repeat(2049)] {
            let causes = [
                store.read(path).await.unwrap_err().cause,
                store.write(path, "").await.unwrap_err().cause,
                store.watch(path).await.err().unwrap().cause,
                store.directory(path).await.unwrap_err().cause,
            ];
            let is_path = |it: &Cause| matches!(it, Cause::Path(_));
            assert!(causes.iter().all(is_path), "{path}");
        }
        // Path, a zero byte and value are 4096 bytes at most (`XENSTORE_PAYLOAD_MAX`).
        store.write("key", "x".repeat(4092)).await.unwrap();
        let error = store.write("key", "x".repeat(4093)).await.unwrap_err();
        assert_eq!(error.cause, Cause::TooLong { bytes: 4097 });
        assert_eq!(store.read("key").await.unwrap().len(), 4092);
        let longest = format!("/{}", "p".repeat(3071));
        store.write(&longest, "").await.unwrap();
    });
    assert_eq!(world.store.dropped(), 0);
}

/// Names of different lengths that take up about `bytes` bytes, in order.
fn names(bytes: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut total = 0;
    while total < bytes {
        names.push(format!(
            "{:05}{}",
            names.len(),
            "n".repeat(names.len() % 90)
        ));
        total += names[names.len() - 1].len() + 1;
    }
    names
}

#[test]
fn directories_of_any_length_are_listed() {
    for bytes in [
        0, 1, 100, 4000, 4090, 4096, 4097, 5000, 8170, 8190, 20_000, 100_000,
    ] {
        let mut world = World::new(1, 5000);
        let names = names(bytes);
        world.set("folder", "");
        names
            .iter()
            .for_each(|it| world.set(&format!("folder/{it}"), ""));
        let store = world.store.clone();
        let list = world.run(async move { store.directory("folder").await });
        assert_eq!(list, Ok(names), "{bytes} bytes");
    }
}

/// A store with a long directory, to which `happening` happens between reads of its parts.
fn restless(mut happening: impl FnMut(&mut Model) + 'static) -> World {
    let mut world = World::new(1, 5000);
    for name in names(20_000) {
        world.set(&format!("folder/{name}"), "");
    }
    world.model.borrow_mut().after_part = Some(Box::new(move |model| happening(model)));
    world
}

#[test]
fn a_directory_that_changes_while_it_is_read_is_read_anew() {
    let mut count = 0;
    let mut world = restless(move |model| {
        count += 1;
        if count <= 7 {
            model.set(&format!("folder/{count}"), "");
        }
    });
    let store = world.store.clone();
    let list = world.run(async move { store.directory("folder").await });
    assert_eq!(list.unwrap().len(), names(20_000).len() + 7);
}

#[test]
fn a_directory_that_never_rests_is_given_up() {
    let mut count = 0;
    let mut world = restless(move |model| {
        count += 1;
        model.set(&format!("folder/{count}"), "");
    });
    let store = world.store.clone();
    let list = world.run(async move { store.directory("folder").await });
    assert_eq!(list.unwrap_err().cause, Cause::Again);
}

#[test]
fn a_directory_that_is_emptied_while_it_is_read_is_empty() {
    let mut done = false;
    let mut world = restless(move |model| {
        if !core::mem::replace(&mut done, true) {
            model.delete("folder");
            model.set("folder", "");
        }
    });
    let store = world.store.clone();
    let list = world.run(async move { store.directory("folder").await });
    assert_eq!(list, Ok(Vec::new()));
}

#[test]
fn a_directory_that_is_too_long_is_no_reason_to_run_out_of_memory() {
    let mut world = World::new(1, 5000);
    for number in 0..300 {
        world.set(&format!("folder/{}{number}", "n".repeat(900)), "");
    }
    let store = world.store.clone();
    let list = world.run(async move { store.directory("folder").await });
    assert_eq!(list.unwrap_err().cause, Cause::NoSpace);
}

#[test]
fn a_transaction_that_always_meets_another_is_given_up() {
    let mut world = World::new(1, 5000);
    world.model.borrow_mut().always_again = true;
    let store = world.store.clone();
    let tries = Rc::new(Cell::new(0));
    let count = tries.clone();
    let result = world.run(async move {
        let step = async |it: &Xenstore| {
            count.set(count.get() + 1);
            it.write("key", "").await
        };
        store.transaction(step).await
    });
    assert_eq!(result.unwrap_err().cause, Cause::Again);
    assert_eq!(tries.get(), ATTEMPTS);
    assert_eq!(world.model.borrow().get("key"), None);
}

#[test]
fn a_transaction_that_fails_or_is_dropped_changes_nothing() {
    let mut world = World::new(1, 5000);
    let store = world.store.clone();
    let result: Result<(), _> = world.run(async move {
        let step = async |it: &Xenstore| {
            it.write("key", "").await?;
            it.read("nothing").await.map(drop)
        };
        store.transaction(step).await
    });
    assert_eq!(result.unwrap_err().cause, Cause::NotFound);
    let store = world.store.clone();
    world.run(async move {
        let never = store.transaction(async |it| {
            it.write("key", "").await?;
            core::future::pending::<Result<(), _>>().await
        });
        let other = store.write("other", "");
        let never = core::pin::pin!(never);
        select(never, core::pin::pin!(other)).await;
    });
    world.settle();
    let model = world.model.borrow();
    assert_eq!((model.get("key"), model.open_transactions()), (None, 0));
    assert_eq!(world.store.dropped(), 0);
}

#[test]
fn an_answer_that_nobody_waits_for_is_thrown_away() {
    let mut world = World::new(1, 5000);
    world.set("key", "value");
    let store = world.store.clone();
    world.run(async move {
        let mut context = Context::from_waker(core::task::Waker::noop());
        for _ in 0..10 {
            let read = core::pin::pin!(store.read("key"));
            assert!(read.poll(&mut context).is_pending(), "it is dropped now");
        }
        let reads = (0..10).map(|_| store.read("key"));
        for value in join_all(reads).await {
            assert_eq!(value.unwrap(), "value");
        }
    });
    world.settle();
    assert_eq!(world.store.dropped(), 0);
}

#[test]
fn a_watch_that_is_dropped_is_taken_back() {
    let mut world = World::new(3, 5000);
    let store = world.store.clone();
    let watches = world.run(async move {
        let mut watches = Vec::new();
        for path in ["a", "a", "/b", "@releaseDomain"] {
            watches.push(store.watch(path).await.unwrap());
        }
        watches
    });
    let registered = |world: &World| -> Vec<Registered> { world.model.borrow().watches.clone() };
    assert_eq!(registered(&world).len(), 4);
    world.settle();
    for mut watch in watches {
        assert_eq!(take_events(&mut watch), (1, false), "the first event");
    }
    world.settle();
    assert_eq!(registered(&world), []);
    // Dropped while it was being asked for.
    let store = world.store.clone();
    world.run(async move {
        let mut context = Context::from_waker(core::task::Waker::noop());
        assert!(
            core::pin::pin!(store.watch("a"))
                .poll(&mut context)
                .is_pending()
        );
    });
    world.settle();
    assert_eq!(registered(&world), []);
}

#[test]
fn the_events_of_a_lazy_watcher_become_one_for_everything() {
    let mut world = World::new(1, 5000);
    let store = world.store.clone();
    let mut watch = world.run(async move { store.watch("a").await }).unwrap();
    for number in 0..1000 {
        world.set(&format!("a/{number}"), "");
    }
    world.settle();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = seen.clone();
    world.spawn(async move {
        while let Some(path) = watch.next().await {
            log.borrow_mut().push(path);
        }
    });
    world.settle();
    assert!(seen.borrow().len() <= 64);
    assert!(seen.borrow().iter().any(|it| it == "a"), "all has changed");
}

#[test]
fn devices_are_found_by_their_numbers() {
    let mut world = World::new(1, 5000);
    let store = world.store.clone();
    let none = world.run(async move { crate::xenbus::devices(&store, "vif").await });
    assert_eq!(none, Ok(vec![]));
    for name in ["10", "2", "x", "-1"] {
        world.set(&format!("device/vif/{name}/state"), "1");
    }
    let store = world.store.clone();
    let found = world.run(async move { crate::xenbus::devices(&store, "vif").await });
    assert_eq!(found, Ok(vec![2, 10]));
}
