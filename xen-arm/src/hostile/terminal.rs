//! The console's daemon by a script.

use super::{Script, pattern};
use crate::{console::Console, memory::SharedMemory, ring::peer::view};
use alloc::vec;
use core::{
    sync::atomic::Ordering,
    task::{Context, Waker},
};

/// `struct xencons_interface` (`io/console.h`): where the indices are.
const INDICES: [usize; 4] = [3072, 3076, 3080, 3084];
/// Text that is written in one script, at most: each piece that does not fit waits for the daemon.
const MOST_TEXT: usize = 48 * 1024;

/// Plays the console's daemon.
///
/// # Panics
/// When the console breaks a promise: that is what it is for.
pub fn console(script: &[u8]) {
    let mut script = Script::new(script);
    let page = SharedMemory::allocate(1).expect("a host has memory");
    let daemon = view(&page);
    let mut console = Console::new(page);
    let mut written = 0;
    while !script.is_over() {
        match script.u8() % 6 {
            0 if written < MOST_TEXT => written += write(&mut console, &mut script),
            1 => read(&mut console, &mut script),
            2 => console.pump(),
            // The daemon keeps the rules: it takes, or gives, as much as there is.
            3 => follow(&daemon, script.u8() % 2),
            4 => set_index(&daemon, &mut script),
            _ => {
                let offset = 8 * script.below(512);
                daemon.u64(offset).store(script.u64(), Ordering::SeqCst);
            }
        }
    }
}

fn write(console: &mut Console, script: &mut Script<'_>) -> usize {
    let text = pattern(script.u8().into(), script.below(700));
    console.write(&text);
    text.len()
}

fn read(console: &mut Console, script: &mut Script<'_>) {
    let mut into = vec![0; script.below(2000)];
    let read = console.read(&mut into, &Context::from_waker(Waker::noop()));
    assert!(read <= into.len());
    assert!(into[read..].iter().all(|&byte| byte == 0));
}

/// Makes the index of the input's producer, or of the output's consumer, what honest ones become.
fn follow(daemon: &SharedMemory, ring: u8) {
    let index = |number: usize| daemon.u32(INDICES[number]);
    if ring == 0 {
        let full = index(0).load(Ordering::SeqCst).wrapping_add(1024);
        index(1).store(full, Ordering::SeqCst);
    } else {
        let produced = index(3).load(Ordering::SeqCst);
        index(2).store(produced, Ordering::SeqCst);
    }
}

fn set_index(daemon: &SharedMemory, script: &mut Script<'_>) {
    let offset = INDICES[usize::from(script.u8() % 4)];
    let near = u32::from(script.u16());
    let value = match script.u8() % 3 {
        0 => near,
        1 => daemon.u32(offset).load(Ordering::SeqCst).wrapping_add(near),
        _ => script.u32(),
    };
    daemon.u32(offset).store(value, Ordering::SeqCst);
}
