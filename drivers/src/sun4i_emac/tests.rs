use super::*;
use core::task::Waker;
use embassy_net_driver::{RxToken as _, TxToken as _};
use safe_mmio::fields::{ReadPure, ReadPureWrite, ReadWrite};
use std::{collections::VecDeque, vec, vec::Vec};

/// A controller: words that wait in its receive FIFO, and what it was given to send.
#[derive(Default)]
struct Fake {
    fifo: VecDeque<u32>,
    taken: usize,
    flushed: u32,
    sent: Vec<(u32, Vec<u8>)>,
}

impl Device for Fake {
    fn frames(&mut self) -> u32 {
        u32::from(!self.fifo.is_empty())
    }

    fn take(&mut self) -> u32 {
        self.taken += 1;
        self.fifo.pop_front().unwrap_or(0)
    }

    fn flush(&mut self) {
        self.flushed += 1;
        self.fifo.clear();
    }

    fn send(&mut self, channel: u32, frame: &[u8]) {
        self.sent.push((channel, frame.to_vec()));
    }

    fn acknowledge(&mut self, which: u32) -> u32 {
        which
    }
}

/// A byte of each frame that the fake receives.
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

impl Fake {
    /// Receives a frame of `length` bytes, with its check sequence.
    fn receive(&mut self, status: u32, length: u32) {
        self.fifo.extend([MARK, status | length]);
        let word =
            |word: u32| u32::from_le_bytes(core::array::from_fn(|at| byte(4 * word as usize + at)));
        self.fifo.extend((0..length.div_ceil(4)).map(word));
    }

    fn take_frame(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0xee; BUFFER];
        let bytes = take_frame(self, &mut buffer)?;
        Some(buffer[..bytes].to_vec())
    }
}

#[test]
fn frames_come_whole_and_one_after_the_other() {
    let mut fake = Fake::default();
    for length in [64, 67, 1518, 5] {
        fake.receive(SOUND, length);
    }
    for bytes in [60, 63, 1514, 1_usize] {
        let frame = fake.take_frame().expect("a frame");
        let expected: Vec<u8> = (0..bytes).map(byte).collect();
        assert!(frame == expected, "{bytes}");
    }
    assert_eq!((fake.frames(), fake.flushed), (0, 0));
}

#[test]
fn broken_frames_are_dropped_and_the_next_is_whole() {
    let mut fake = Fake::default();
    for (status, length) in [
        (0, 64),
        (1 << 20, 64),
        (SOUND, 4),
        (SOUND, 3),
        (SOUND, 1),
        (SOUND, 1519),
        (SOUND, BUFFER as u32),
    ] {
        fake.receive(status, length);
        fake.receive(SOUND, 64);
        assert_eq!(fake.take_frame(), None, "{status:#x} {length}");
        assert_eq!(fake.take_frame().map(|it| it.len()), Some(60));
        assert_eq!((fake.frames(), fake.flushed), (0, 0), "{length}");
    }
}

#[test]
fn what_is_no_frame_empties_the_fifo() {
    for words in [
        vec![0, SOUND | 64],
        vec![MARK ^ 1, SOUND | 64],
        vec![MARK, SOUND],
        vec![MARK, SOUND | (BUFFER as u32 + 1)],
        vec![MARK, SOUND | 0xffff],
        vec![MARK, u32::MAX],
        vec![u32::MAX; 100],
    ] {
        let mut fake = Fake {
            fifo: words.into(),
            ..Fake::default()
        };
        assert_eq!(fake.take_frame(), None);
        assert_eq!((fake.flushed, fake.taken, fake.frames()), (1, 2, 0));
        fake.receive(SOUND, 64);
        assert!(fake.take_frame().is_some());
    }
}

#[test]
fn both_channels_send_in_turn_and_short_frames_are_padded() {
    let mut fake = Fake::default();
    let (mut busy, mut buffer) = (0, [0xee; BUFFER]);
    let lengths = [3, 1514];
    for length in lengths {
        send(&mut fake, &mut busy, &mut buffer, length, |frame| {
            frame.fill(7);
        });
    }
    assert_eq!(busy, CHANNELS);
    let [(0, first), (1, second)] = &fake.sent[..] else {
        panic!("{:?}", fake.sent.iter().map(|it| it.0).collect::<Vec<_>>());
    };
    assert_eq!(first[..], [&[7; 3][..], &[0; 57]].concat());
    assert_eq!(second[..], [7; 1514]);
    // The second is done first.
    busy &= !done(0b10);
    send(&mut fake, &mut busy, &mut buffer, 60, |_| ());
    assert_eq!((busy, fake.sent[2].0), (CHANNELS, 1));
    busy &= !done(0b0100);
    send(&mut fake, &mut busy, &mut buffer, 60, |_| ());
    assert_eq!((busy, fake.sent[3].0), (CHANNELS, 0));
    // A frame that would be too long is cut.
    busy = 0;
    send(&mut fake, &mut busy, &mut buffer, 9000, |frame| {
        assert_eq!(frame.len(), 1514);
    });
}

#[test]
fn interrupts_free_their_channel_alone() {
    assert_eq!(done(RECEIVED), 0);
    assert_eq!([1, 2, 4, 8].map(done), [1, 2, 1, 2]);
    assert_eq!(done(u32::MAX), CHANNELS);
}

/// Sets registers up that are memory alone; returns them as they are left.
fn started(action: impl FnOnce(&mut Controller<'_>)) -> Registers {
    let mut registers = Registers::default();
    let mut controller = Controller(UniqueMmioPointer::from(&mut registers));
    controller.start([1, 2, 3, 4, 5, 6]);
    action(&mut controller);
    registers
}

#[test]
fn the_controller_is_set_up_for_all_that_the_stack_wants() {
    let registers = started(|_| {});
    let Registers {
        control: ReadPureWrite(control),
        receive_control: ReadPureWrite(receive_control),
        interrupt_enable: ReadPureWrite(interrupts),
        mac_control_0: ReadPureWrite(mac_0),
        mac_control_1: ReadPureWrite(mac_1),
        address_high: ReadPureWrite(high),
        address_low: ReadPureWrite(low),
        mdio_configuration: ReadPureWrite(mdio),
        ..
    } = &registers;
    assert_eq!(*control, 0b111);
    // Frames to this host, to groups (of IPv6, say) and to all; with types.
    assert_eq!(*receive_control, 0x53_0100);
    assert_eq!(*interrupts, 0x10f);
    assert_eq!((*mac_0, *mac_1, *mdio), (0xc, 0x32, 0x34));
    assert_eq!((*high, *low), (0x01_0203, 0x04_0506));
}

#[test]
fn the_link_is_the_controllers_too() {
    let link = |speed_mbps, full_duplex| {
        let registers = started(|it| {
            it.set_link(Link {
                speed_mbps: 100,
                full_duplex: true,
            });
            it.set_link(Link {
                speed_mbps,
                full_duplex,
            });
        });
        (registers.speed.0, registers.mac_control_1.0 & FULL_DUPLEX)
    };
    assert_eq!(link(100, true), (1 << 8, 1));
    assert_eq!(link(10, false), (0, 0));
}

#[test]
fn a_frame_is_written_in_words_and_its_length_in_bytes() {
    let registers = started(|it| it.send(1, &[1, 2, 3, 4, 5]));
    let ReadWrite(last) = registers.transmit_data;
    assert_eq!(last, 5);
    let lengths = registers.transmit_length.each_ref().map(|it| it.0);
    let controls = registers.transmit_control.each_ref().map(|it| it.0);
    assert_eq!(
        (registers.transmit_select.0, lengths, controls),
        (1, [0, 5], [0, 1])
    );
}

#[test]
fn registers_of_a_phy_are_read_and_written_by_address() {
    let mut read = None;
    let registers = started(|it| {
        read = it.read(3, 2);
        it.write(1, 4, 0x1e1);
    });
    assert_eq!(read, Some(0));
    let (ReadPureWrite(address), ReadPureWrite(data)) =
        (&registers.mdio_address, &registers.mdio_write);
    assert_eq!((*address, *data), (0x104, 0x1e1));
    let ReadPure(state) = registers.mdio_state;
    assert_eq!(state & MDIO_BUSY, 0);
}

#[test]
fn a_bus_that_stays_busy_has_no_phy() {
    let registers = Box::leak(Box::<Registers>::default());
    registers.mdio_state = ReadPure(MDIO_BUSY);
    registers.mdio_read = ReadPure(0x22);
    let registers = UniqueMmioPointer::from(registers);
    static EVENTS: Events = Events::new();
    let card = Sun4iEmac::new(registers, [2; 6], &EVENTS);
    assert_eq!(card.err(), Some(EmacError::NoPhy));
}

/// A card with registers that are memory alone, which read as they were written last.
fn card(events: &'static Events) -> Sun4iEmac {
    let registers = Box::leak(Box::<Registers>::default());
    registers.mdio_read = ReadPure(0x22);
    let registers = UniqueMmioPointer::from(registers);
    Sun4iEmac::new(registers, [2; 6], events).expect("a PHY answers")
}

#[test]
fn who_sends_leaves_what_was_received_to_who_receives() {
    static EVENTS: Events = Events::new();
    let mut card = card(&EVENTS);
    let mut context = Context::from_waker(Waker::noop());
    // A bit that is not the driver's is not cleared either.
    let raised = RECEIVED | SENT | 1 << 20;
    card.busy = CHANNELS;
    field!(card.controller.0, interrupt_status).write(raised);
    assert!(card.transmit(&mut context).is_some());
    let cleared = |card: &Sun4iEmac| field_shared!(card.controller.0, interrupt_status).read();
    assert_eq!(cleared(&card), SENT);
    card.busy = CHANNELS;
    field!(card.controller.0, interrupt_status).write(RECEIVED | 1 << 20);
    assert!(card.transmit(&mut context).is_none());
    assert_eq!(cleared(&card), 0);
    field!(card.controller.0, interrupt_status).write(raised);
    assert!(card.receive(&mut context).is_none());
    assert_eq!(cleared(&card), RECEIVED | SENT);
}

#[test]
fn a_fifo_that_never_ends_hurts_nobody_and_is_counted() {
    static EVENTS: Events = Events::new();
    let mut card = card(&EVENTS);
    field!(card.controller.0, receive_frames).write(1);
    let mut context = Context::from_waker(Waker::noop());
    assert!(card.receive(&mut context).is_none());
    assert_eq!(EVENTS.dropped(), 2 * BROKEN_AT_ONCE);
}

#[test]
fn a_frame_waits_for_room_to_answer_it() {
    static EVENTS: Events = Events::new();
    let mut card = card(&EVENTS);
    let mut context = Context::from_waker(Waker::noop());
    (card.waiting, card.busy) = (Some(60), CHANNELS);
    assert!(card.receive(&mut context).is_none());
    card.busy = 1;
    let (received, answer) = card.receive(&mut context).expect("the frame, and room");
    received.consume(|frame| assert_eq!(frame.len(), 60));
    answer.consume(60, |_| ());
    assert_eq!((card.waiting, card.busy), (None, CHANNELS));
}

#[test]
fn the_link_is_looked_at_when_that_is_asked() {
    static EVENTS: Events = Events::new();
    let mut card = card(&EVENTS);
    let mut context = Context::from_waker(Waker::noop());
    // Every register of the PHY reads as 0x22, which has no link, and then as one that has.
    assert!(card.link_state(&mut context) == LinkState::Down);
    assert!(!EVENTS.has_link());
    card.busy = CHANNELS;
    let registers = Box::leak(Box::<Registers>::default());
    registers.mdio_read = ReadPure(0x01e5);
    card.controller = Controller(UniqueMmioPointer::from(registers));
    let state = card.link_state(&mut context);
    assert!(state == LinkState::Down, "nobody has asked");
    EVENTS.look_at_link();
    assert!(card.link_state(&mut context) == LinkState::Up);
    assert!(
        EVENTS.has_link() && card.has_room(),
        "what was stuck is let go"
    );
    assert_eq!(field_shared!(card.controller.0, speed).read(), SPEED_100);
}
