//! One answer, as it is.

use std::net::SocketAddr;

use super::Connection;

/// Prints the body of what a server answers. The client closes first, so that it is the client that remembers the
/// connection, in TIME-WAIT.
pub(super) fn run(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut connection = Connection::open_for(address, path, "")?;
    connection.ask()?;
    let text = String::from_utf8_lossy(&connection.received);
    print!(
        "{}",
        text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    );
    Ok(())
}
