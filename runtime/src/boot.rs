//! From a board's devices to a running app.

use crate::{
    App, BoardClock, Error, ExitCode, Peripherals, Platform, System,
    arguments::{self, Argument, Words, argument},
    entropy::{self, Generator, Seed},
    executor::{self, Spawner},
    logging,
    network::{
        self, Network, NetworkArguments,
        arguments::{CARDS, NAMES},
    },
    platform, shutdown, wall_clock,
};
use alloc::{boxed::Box, string::String, vec::Vec};
use core::{any::Any, future::Future, pin::Pin};
use landfall_log::{error, warn};
use landfall_net::{Config, Runner, Stack};
use landfall_offload::segmentation::SegmentationOffload;

/// What a board found for the runtime to use.
pub struct Devices {
    /// The boot arguments, as they were given.
    pub arguments: String,
    /// The board's clock.
    pub clock: BoardClock,
    /// What the board's entropy sources gave.
    pub seed: Seed,
    /// The way to the network.
    pub network: NetworkDevice,
    /// What runs beside the app for as long as the system runs.
    pub tasks: Vec<BoardTask>,
    /// Ready when whoever runs this machine wants it to end; `None` where nobody can say so.
    pub shutdown: Option<BoardTask>,
    /// I2C buses and LEDs.
    pub peripherals: Peripherals,
    /// What [`System::board`] returns: what no other board has.
    pub board: Option<Box<dyn Any>>,
}

/// A task of a board.
pub type BoardTask = Pin<Box<dyn Future<Output = ()>>>;

/// A board's way to the network.
pub enum NetworkDevice {
    /// None: apps that ask for a network end with a sentence.
    None,
    /// The sockets of the host that the process runs on.
    #[cfg(not(target_os = "none"))]
    HostSockets,
    /// Network cards, each for an IP stack of ours. Apps listen on all of them.
    Cards(Vec<Card>),
}

type StackTask = Pin<Box<dyn Future<Output = ()>>>;
type MakeStack = dyn FnOnce(Config) -> Result<(Stack, StackTask), landfall_net::Error>;

/// A network card whose type is forgotten.
pub struct Card(Box<MakeStack>);

impl Card {
    /// Wraps a network card's driver.
    pub fn new<D: SegmentationOffload + 'static>(driver: D) -> Self {
        Self(Box::new(|config| {
            let (stack, mut runner): (Stack, Runner<D>) = landfall_net::new(driver, config)?;
            let task: StackTask = Box::pin(async move { runner.run().await });
            Ok((stack, task))
        }))
    }
}

/// What every app understands.
const COMMON: &[Argument<'static>] = &[argument!(
    "R",
    "log",
    "LogFilter",
    "info",
    "what is logged: off, error, warn, info, debug or trace; for modules: info,net=debug"
)];

/// Runs `app` on `platform` until it ends, and ends the platform with it.
///
/// A board calls this once, last.
pub fn run(platform: &'static dyn Platform, devices: Devices, app: App) -> ! {
    platform::install(platform);
    logging::init();
    executor::run(platform, move |spawner| {
        if let Err(failure) = start(platform, devices, app, &spawner) {
            error!(target: "boot", "{failure}");
            platform.exit(match failure {
                Error::Argument(_) => ExitCode::Usage,
                _ => ExitCode::Failure,
            });
        }
    })
}

fn start(
    platform: &'static dyn Platform,
    devices: Devices,
    app: App,
    spawner: &Spawner,
) -> Result<(), Error> {
    let cards = match &devices.network {
        NetworkDevice::Cards(cards) => cards.len().min(CARDS),
        _ => 0,
    };
    let known = [
        app.arguments,
        COMMON,
        platform.arguments(),
        network::arguments::IPV4[..cards].as_flattened(),
        #[cfg(feature = "ipv6")]
        network::arguments::IPV6[..cards].as_flattened(),
        #[cfg(feature = "dns")]
        if_cards(cards, network::arguments::DNS),
        #[cfg(feature = "mdns")]
        if_cards(cards, network::arguments::NAME),
        wall_clock::ARGUMENTS,
        logging::ARGUMENTS,
    ];
    if asks_for_help(&devices.arguments) {
        arguments::help(&known, |text| platform.write(text));
        platform.exit(ExitCode::Success);
    }
    let words = Words::parse(&devices.arguments)?;
    words.check(&known)?;
    logging::configure(platform, app.identity, &words)?;
    let now_us = platform.now_us();
    wall_clock::init(now_us, &words, devices.clock)?;
    let mut random = Generator::new(devices.seed, now_us);
    let network = match devices.network {
        NetworkDevice::None => None,
        #[cfg(not(target_os = "none"))]
        NetworkDevice::HostSockets => Some(Network::host()),
        NetworkDevice::Cards(cards) => make_stacks(cards, &words, &mut random, spawner)?,
    };
    entropy::install(random);
    devices
        .tasks
        .into_iter()
        .for_each(|task| spawner.spawn(task));
    let system = System::new(
        platform,
        app.identity,
        network,
        spawner.clone(),
        devices.peripherals,
        devices.board,
    );
    #[cfg(feature = "mdns")]
    take_name(&system, &words)?;
    #[cfg(feature = "sntp")]
    crate::sntp::start(&system, &words)?;
    #[cfg(feature = "syslog")]
    logging::syslog::start(&system, &words)?;
    let running = (app.start)(system.clone(), &words)?;
    if let Some(asked) = devices.shutdown {
        spawner.spawn(shutdown::obey(asked, system.clone()));
    }
    spawner.spawn(async move {
        let ended = running.await;
        shutdown::finish(&system, ended).await
    });
    Ok(())
}

/// Makes a stack of each card, and starts its task.
fn make_stacks(
    cards: Vec<Card>,
    words: &Words,
    random: &mut Generator,
    spawner: &Spawner,
) -> Result<Option<Network>, Error> {
    if cards.len() > CARDS {
        let all = cards.len();
        warn!(target: "net", "{all} network cards, of which the first {CARDS} are used");
    }
    let mut stacks = Vec::new();
    for (number, card) in cards.into_iter().take(CARDS).enumerate() {
        let arguments = NetworkArguments::read(words, number)?;
        let (stack, task) = (card.0)(arguments.config(random.next_u64(), NAMES[number]))?;
        spawner.spawn(task);
        stacks.push(stack);
    }
    Ok((!stacks.is_empty()).then(|| Network::stacks(stacks)))
}

/// Lets others find this machine by its name.
#[cfg(feature = "mdns")]
fn take_name(system: &System, words: &Words) -> Result<(), Error> {
    let wanted: Option<String> = words.value("name")?;
    let name = wanted.as_deref().unwrap_or(system.identity().name);
    if let (Ok(network), true) = (system.network(), name != "off") {
        network.take_name(name, system);
    }
    Ok(())
}

/// Returns what is understood only where there are network cards.
#[cfg(any(feature = "dns", feature = "mdns"))]
fn if_cards(cards: usize, arguments: &'static [Argument<'static>]) -> &'static [Argument<'static>] {
    match cards {
        0 => &[],
        _ => arguments,
    }
}

fn asks_for_help(line: &str) -> bool {
    line.split_whitespace()
        .any(|word| matches!(word, "--help" | "-h" | "help"))
}
