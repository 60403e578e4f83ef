//! From a board's devices to a running app.

use crate::{
    App, Error, ExitCode, Platform, System,
    arguments::{self, Argument, ArgumentError, Cidr, Words},
    entropy::{Random, SEED},
    executor::{self, Spawner},
    logging,
    network::{Network, NetworkArguments},
    platform,
};
use alloc::{boxed::Box, format, string::String};
use core::{future::Future, net::Ipv4Addr, pin::Pin};
use embassy_net_driver::Driver;
use landfall_net::{Config, Runner, Stack};
use log::{error, info, warn};

/// What a board found for the runtime to use.
pub struct Devices {
    /// The boot arguments, as they were given.
    pub arguments: String,
    /// What the board's entropy sources gave; `None` where there is none.
    pub seed: Option<[u8; SEED]>,
    /// The way to the network.
    pub network: NetworkDevice,
}

/// A board's way to the network.
pub enum NetworkDevice {
    /// None: apps that ask for a network end with a sentence.
    None,
    /// The sockets of the host that the process runs on.
    #[cfg(not(target_os = "none"))]
    HostSockets,
    /// A network card, for our own IP stack.
    Card(Card),
}

type StackTask = Pin<Box<dyn Future<Output = ()>>>;
type MakeStack = dyn FnOnce(Config) -> Result<(Stack, StackTask), landfall_net::Error>;

/// A network card whose type is forgotten.
pub struct Card(Box<MakeStack>);

impl NetworkDevice {
    /// Wraps a network card's driver.
    pub fn card<D: Driver + 'static>(driver: D) -> Self {
        Self::Card(Card(Box::new(|config| {
            let (stack, mut runner): (Stack, Runner<D>) = landfall_net::new(driver, config)?;
            let task: StackTask = Box::pin(async move { runner.run().await });
            Ok((stack, task))
        })))
    }
}

/// What every app understands.
const COMMON: &[Argument] = &[Argument {
    key: "log",
    help: "how much to log: off, error, warn, info, debug or trace",
    default: "info",
}];

/// What an app with our own IP stack understands.
const ADDRESS: &[Argument] = &[
    Argument {
        key: "ip",
        help: "this machine's address and prefix, such as 10.0.2.15/24",
        default: "by DHCP",
    },
    Argument {
        key: "gateway",
        help: "the router to other networks",
        default: "by DHCP",
    },
];

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
    let address: &[Argument] = match devices.network {
        NetworkDevice::Card(_) => ADDRESS,
        _ => &[],
    };
    let known = [app.arguments, COMMON, address];
    if asks_for_help(&devices.arguments) {
        platform.write(arguments::help(&known).as_bytes());
        platform.exit(ExitCode::Success);
    }
    let words = Words::parse(&devices.arguments)?;
    words.check(&known)?;
    if let Some(level) = words.value("log")? {
        logging::set_level(level);
    }
    if devices.seed.is_none() {
        warn!(target: "entropy", "no source of entropy was found: random numbers can be guessed");
    }
    let mut random = Random::new(devices.seed.unwrap_or_default(), platform.now_us());
    let network = match devices.network {
        NetworkDevice::None => None,
        #[cfg(not(target_os = "none"))]
        NetworkDevice::HostSockets => Some(Network::host()),
        NetworkDevice::Card(card) => {
            let config = NetworkArguments::read(&words)?.config(random.next_u64());
            let (stack, task) = (card.0)(config)?;
            spawner.spawn(task);
            Some(Network::stack(stack))
        }
    };
    let system = System::new(platform, network, spawner.clone(), random);
    let running = (app.start)(system, &words)?;
    spawner.spawn(async move {
        match running.await {
            Ok(()) => {
                info!(target: "app", "ended");
                platform.exit(ExitCode::Success)
            }
            Err(failure) => {
                error!(target: "app", "{failure}");
                platform.exit(ExitCode::Failure)
            }
        }
    });
    Ok(())
}

fn asks_for_help(line: &str) -> bool {
    line.split_whitespace()
        .any(|word| matches!(word, "--help" | "-h" | "help"))
}

impl NetworkArguments {
    fn read(words: &Words) -> Result<Self, ArgumentError> {
        let address: Option<Cidr> = words.value("ip")?;
        let gateway: Option<Ipv4Addr> = words.value("gateway")?;
        if let (None, Some(gateway)) = (address, gateway) {
            return Err(ArgumentError::BadValue {
                key: "gateway".into(),
                value: format!("{gateway}"),
                expected: "an address in ip=… beside it",
            });
        }
        Ok(Self {
            address: address.map(|it| (it.address, it.prefix)),
            gateway,
        })
    }
}
