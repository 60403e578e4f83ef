//! The thermometer on any board: the wiring. The service itself is in `lib.rs`.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use thermometer::{Address, Error, Interval, Source};

landfall::arguments! {
    /// TCP port to listen on
    port: u16 = 8080,
    /// where temperatures come from: simulated, i2c (an LM75 on the machine's bus), or board (how warm it is itself)
    source: Source = Source::Simulated,
    /// number of the I2C bus, as the machine's manual has it
    bus: u8 = 0,
    /// the sensor's address on the bus, 0x48 where not given
    address: Address = Address::LM75,
    /// time between two readings, from 100ms to 1h
    interval: Interval = Interval::FIVE_SECONDS,
    /// the simulated sensor leaves each so many-th reading unanswered; 0 is none
    fail: u32 = 0,
}

#[landfall::main]
async fn main(system: landfall::System, arguments: Arguments) -> Result<(), Error> {
    let sensor = match arguments.source {
        Source::Simulated => thermometer::simulated(arguments.address, arguments.fail),
        Source::Board => thermometer::board(system.thermometer()?),
        Source::I2c => thermometer::lm75(system.i2c(arguments.bus)?, arguments.address),
    };
    let listener = system.network()?.bind_tcp(arguments.port).await?;
    thermometer::run(system, listener, sensor, arguments.interval).await
}
