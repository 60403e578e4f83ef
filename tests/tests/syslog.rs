//! Log lines that leave a machine for a syslog server.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, UdpSocket};

use landfall_tests::{DEADLINE, Lab};

#[test]
fn a_server_gets_a_machines_last_words() {
    let Some(lab) = Lab::open() else { return };
    for board in ["virt", "virt-armv7"] {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        server.set_read_timeout(Some(DEADLINE)).expect("not zero");
        let port = server.local_addr().expect("it is bound").port();
        // For the guest, this machine is its router.
        let arguments = [
            &format!("syslog=10.0.2.2:{port}"),
            "how=error",
            "log=net=debug",
        ];
        let machine = lab.machine("crash").board(board);
        let machine = arguments.iter().fold(machine, |it, word| it.argument(word));
        let mut guest = machine.start();
        let mut buffer = [0; 2048];
        // Priorities, modules and texts, whichever comes first: the error was there before the network was.
        let mut expected = vec![
            ("<11>1 20", "Z - crash - app - a planned error"),
            ("<14>1 20", "Z - crash - net - address 10.0.2.15/24, "),
        ];
        while !expected.is_empty() {
            let length = server.recv(&mut buffer).expect("a message");
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            // A PL031 keeps the time.
            expected
                .retain(|(start, rest)| !(message.starts_with(start) && message.contains(rest)));
        }
        assert_eq!(guest.wait_for_exit(), 1, "{}", guest.console());
    }
}
