//! 2048 on any board: the wiring. The service itself is in `lib.rs`.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use app_2048::monitor::Watched;

landfall::arguments! {
    /// TCP port to listen on
    port: u16 = 8080,
}

#[landfall::main(name = "2048")]
async fn main(system: landfall::System, arguments: Arguments) -> Result<(), landfall::Error> {
    let listener = system.network()?.bind_tcp(arguments.port).await?;
    app_2048::serve(listener, Watched::new(system)).await
}
