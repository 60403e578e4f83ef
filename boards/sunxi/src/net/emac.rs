//! The Ethernet controller of either kind as one driver: the IP stack is compiled for each driver that it is given, and
//! a machine has but one.

use core::task::Context;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use landfall::SegmentationOffload;
use landfall_drivers::{sun4i_emac, sun8i_emac};

/// A network card.
pub(super) enum Emac {
    Sun4i(sun4i_emac::Sun4iEmac),
    Sun8i(sun8i_emac::Sun8iEmac),
}

impl Emac {
    /// Where its PHY is on the MDIO bus.
    pub(super) fn phy(&self) -> u8 {
        match self {
            Self::Sun4i(card) => card.phy(),
            Self::Sun8i(card) => card.phy(),
        }
    }
}

impl SegmentationOffload for Emac {}

impl Driver for Emac {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_>)> {
        match self {
            Self::Sun4i(card) => {
                let (received, answer) = card.receive(context)?;
                Some((RxToken::Sun4i(received), TxToken::Sun4i(answer)))
            }
            Self::Sun8i(card) => {
                let (received, answer) = card.receive(context)?;
                Some((RxToken::Sun8i(received), TxToken::Sun8i(answer)))
            }
        }
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<TxToken<'_>> {
        match self {
            Self::Sun4i(card) => card.transmit(context).map(TxToken::Sun4i),
            Self::Sun8i(card) => card.transmit(context).map(TxToken::Sun8i),
        }
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        match self {
            Self::Sun4i(card) => card.link_state(context),
            Self::Sun8i(card) => card.link_state(context),
        }
    }

    fn capabilities(&self) -> Capabilities {
        match self {
            Self::Sun4i(card) => card.capabilities(),
            Self::Sun8i(card) => card.capabilities(),
        }
    }

    fn hardware_address(&self) -> HardwareAddress {
        match self {
            Self::Sun4i(card) => card.hardware_address(),
            Self::Sun8i(card) => card.hardware_address(),
        }
    }
}

/// A received frame.
pub(super) enum RxToken<'a> {
    Sun4i(sun4i_emac::RxToken<'a>),
    Sun8i(sun8i_emac::RxToken<'a>),
}

impl embassy_net_driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        match self {
            Self::Sun4i(token) => token.consume(read),
            Self::Sun8i(token) => token.consume(read),
        }
    }
}

/// Room for one frame to send.
pub(super) enum TxToken<'a> {
    Sun4i(sun4i_emac::TxToken<'a>),
    Sun8i(sun8i_emac::TxToken<'a>),
}

impl embassy_net_driver::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        match self {
            Self::Sun4i(token) => token.consume(length, write),
            Self::Sun8i(token) => token.consume(length, write),
        }
    }
}
