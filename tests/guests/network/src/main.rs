//! Does on the network what datagrams to its port tell it, and answers how it went:
//!
//! - `resolve NAME`: the addresses of a name, with spaces between;
//! - `join GROUP`, `leave GROUP`: datagrams to the group are for it, too;
//! - `connect ADDRESS`: opens and closes a TCP connection.
//!
//! Everything else is sent back as it is.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use landfall::{
    Error,
    network::{Network, UdpSocket},
};

landfall::arguments! {
    /// UDP port of the datagrams
    port: u16 = 7000,
}

#[landfall::main]
async fn main(system: landfall::System, arguments: Arguments) -> Result<(), Error> {
    let network = system.network()?;
    let socket = network.bind_udp(arguments.port).await?;
    landfall::log::info!(target: "network", "UDP port {} is open", arguments.port);
    let mut buffer = [0; 1472];
    loop {
        let (length, from) = socket.receive_from(&mut buffer).await?;
        let asked = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let answer = obey(&network, &socket, &asked)
            .await
            .unwrap_or_else(|error| format!("error: {error}"));
        // Whoever asked may be gone.
        let _ = socket.send_to(answer.as_bytes(), from).await;
    }
}

async fn obey(network: &Network, socket: &UdpSocket, asked: &str) -> Result<String, Error> {
    match asked.split_once(' ') {
        Some(("resolve", name)) => {
            let addresses = network.resolve(name).await?;
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            Ok(addresses.join(" "))
        }
        Some(("join", group)) => match group.parse() {
            Ok(group) => socket.join(group).await.map(|()| "joined".into()),
            Err(_) => Ok("not an address".into()),
        },
        Some(("leave", group)) => match group.parse() {
            Ok(group) => socket.leave(group).await.map(|()| "left".into()),
            Err(_) => Ok("not an address".into()),
        },
        Some(("connect", remote)) => match remote.parse() {
            Ok(remote) => network
                .connect_tcp(remote)
                .await
                .map(|_| "connected".into()),
            Err(_) => Ok("not an address".into()),
        },
        _ => Ok(asked.into()),
    }
}
