//! The stack: what apps hold of it, and the state behind that.
//!
//! [`Inner`] is borrowed for the length of one call and never across an `await`. Wakers are called
//! while it is borrowed: they only queue tasks.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::{Poll, Waker};

use embassy_net_driver::{Driver, HardwareAddress};
use landfall_offload::segmentation::SegmentationOffload;
use landfall_tcp::Pool;
use smoltcp::iface::Interface;
use smoltcp::phy::DeviceCapabilities;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Cidr};

use crate::clock;
use crate::connection::{Endpoint, Key, Schedule, Table, Work};
use crate::demux::DHCP_CLIENT;
use crate::device::{self, ChecksumDuty, OneFrame};
use crate::dhcp::DhcpClient;
use crate::flows::Flows;
use crate::listener::Backlog;
use crate::lists::Ports;
use crate::udp::Datagrams;
use crate::waiters::Waiters;
use crate::{
    Address, AddressConfig, AddressSource, Config, ConnectionCounts, Counters, Error, Runner,
    TcpListener, TcpSocket, UdpSocket,
};

/// So much of the memory may be kept for bytes of connections to come, and so much is left alone by those that hold some
/// already.
const POOL_PART: usize = 16;

/// Makes a stack on `device`: the handle for apps, and the network task.
pub fn new<D: SegmentationOffload>(
    mut device: D,
    config: Config,
) -> Result<(Stack, Runner<D>), Error> {
    let inner = Inner::new(&mut device, config)?;
    let stack = Stack(Rc::new(RefCell::new(inner)));
    Ok((stack.clone(), Runner::new(stack, device)))
}

/// The network as an app sees it. Clones are handles to the same stack.
#[derive(Clone)]
pub struct Stack(Rc<RefCell<Inner>>);

impl Stack {
    /// Runs `f` on the state of the stack.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }

    /// Waits until this host has an address by which others reach it, and returns it.
    pub async fn wait_address(&self) -> IpAddr {
        poll_fn(|cx| {
            self.with(|inner| match inner.usable() {
                Some(address) => Poll::Ready(address),
                None => {
                    inner.address_waiters.register(cx.waker());
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// Returns this host's IPv4 address, if it has one.
    pub fn address(&self) -> Option<Address> {
        self.with(|inner| inner.address)
    }

    /// Returns all of this host's addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.with(|inner| {
            let all = inner.interface.ip_addrs().iter();
            all.map(|own| own.address().into()).collect()
        })
    }

    /// Waits until the addresses are others than `known`.
    pub async fn wait_other_addresses(&self, known: &[IpAddr]) {
        poll_fn(|cx| {
            if self.addresses() != known {
                return Poll::Ready(());
            }
            self.with(|inner| inner.address_waiters.register(cx.waker()));
            Poll::Pending
        })
        .await;
    }

    /// Returns whether packets for `peer` need no router.
    pub fn is_near(&self, peer: IpAddr) -> bool {
        self.with(|inner| {
            let peer = inner.reachable(SocketAddr::new(peer, 1));
            peer.is_ok_and(|peer| inner.next_hop(peer.addr) == Some(peer.addr))
        })
    }

    /// Returns the name servers, the configured ones first.
    pub fn dns_servers(&self) -> Vec<IpAddr> {
        self.with(|inner| {
            let configured = inner.config.dns_servers.into_iter().flatten();
            let leased = inner.address.into_iter().flat_map(|own| own.dns_servers);
            let servers = configured.chain(leased.flatten().map(IpAddr::from));
            #[cfg(feature = "ipv6")]
            let servers = servers.chain(inner.ipv6.servers());
            servers.collect()
        })
    }

    /// Returns this host's hardware address.
    pub fn hardware_address(&self) -> [u8; 6] {
        self.with(|inner| inner.hardware)
    }

    /// Listens on a TCP port.
    pub fn bind_tcp(&self, port: u16) -> Result<TcpListener, Error> {
        self.with(|inner| inner.listen(port))?;
        Ok(TcpListener::new(self.clone(), port))
    }

    /// Connects to a TCP server.
    pub async fn connect_tcp(&self, remote: SocketAddr) -> Result<TcpSocket, Error> {
        let (id, flow) = self.with(|inner| inner.connect(remote))?;
        // From here on the socket's drop undoes everything, should this future be dropped.
        let socket = TcpSocket::new(self.clone(), id, flow);
        poll_fn(|cx| self.with(|inner| inner.poll_connected(id, cx))).await?;
        Ok(socket)
    }

    /// Opens a UDP port; port 0 takes a free one.
    pub fn bind_udp(&self, port: u16) -> Result<UdpSocket, Error> {
        let port = self.with(|inner| inner.bind_udp(port))?;
        Ok(UdpSocket::new(self.clone(), port))
    }

    /// Returns whether a packet for `remote` would leave through this stack.
    pub fn reaches(&self, remote: SocketAddr) -> bool {
        self.with(|inner| inner.reachable(remote).is_ok())
    }

    /// Returns a number that nobody can guess who does not know the seed.
    pub fn random(&self) -> u64 {
        self.with(Inner::random)
    }

    /// Refuses new connections from now on: listeners end with [`Error::ShuttingDown`].
    pub fn shut_down(&self) {
        self.with(Inner::shut_down);
    }

    /// Returns what has passed through the stack so far.
    pub fn counters(&self) -> Counters {
        self.with(|inner| inner.counters)
    }

    /// Counts the TCP connections by stage. It looks at each, so not for every request.
    pub fn connections(&self) -> ConnectionCounts {
        self.with(|inner| inner.connections.count())
    }
}

impl edge_nal::TcpBind for Stack {
    type Error = Error;
    type Accept<'a>
        = TcpListener
    where
        Self: 'a;

    async fn bind(&self, local: SocketAddr) -> Result<TcpListener, Error> {
        self.bind_tcp(local.port())
    }
}

impl edge_nal::TcpConnect for Stack {
    type Error = Error;
    type Socket<'a>
        = TcpSocket
    where
        Self: 'a;

    async fn connect(&self, remote: SocketAddr) -> Result<TcpSocket, Error> {
        self.connect_tcp(remote).await
    }
}

impl edge_nal::UdpBind for Stack {
    type Error = Error;
    type Socket<'a>
        = UdpSocket
    where
        Self: 'a;

    async fn bind(&self, local: SocketAddr) -> Result<UdpSocket, Error> {
        self.bind_udp(local.port())
    }
}

/// The state of a stack.
pub(crate) struct Inner {
    pub(crate) interface: Interface,
    pub(crate) capabilities: DeviceCapabilities,
    pub(crate) duty: ChecksumDuty,
    pub(crate) config: Config,
    pub(crate) hardware: [u8; 6],
    pub(crate) address: Option<Address>,
    #[cfg(feature = "ipv6")]
    pub(crate) ipv6: crate::ipv6::Ipv6,
    /// Until when multicast routers are to be told of this host's groups.
    #[cfg(feature = "multicast")]
    pub(crate) groups_due: Option<clock::Instant>,
    pub(crate) address_waiters: Waiters,
    /// The network has to be told of the address.
    pub(crate) announcement_due: bool,
    /// All TCP connections, and how frames find them.
    pub(crate) connections: Table,
    pub(crate) flows: Flows,
    /// Memory for the bytes of connections.
    pub(crate) pool: Pool,
    /// When what is kept of it and nobody uses is given back.
    pub(crate) trim_at: Option<clock::Instant>,
    /// Who wants to write and found no memory.
    pub(crate) starving: Waiters,
    pub(crate) listeners: Ports<Backlog>,
    /// Connections in TIME-WAIT, by when they came there.
    pub(crate) time_wait: BTreeSet<(Key, Work)>,
    pub(crate) datagrams: Ports<Datagrams>,
    /// The socket set for everything that has no socket of its own.
    pub(crate) control: Endpoint,
    pub(crate) dhcp: Option<DhcpClient>,
    /// What is to be asked for frames to send, in turn.
    pub(crate) dirty: VecDeque<Work>,
    /// What waits for a neighbour's hardware address, by neighbour.
    pub(crate) waiting: BTreeSet<(Key, Work)>,
    pub(crate) timers: BTreeSet<(Key, Work)>,
    pub(crate) counters: Counters,
    pub(crate) shutting_down: bool,
    /// Bytes of memory that were free when the stack was made; 0 where nobody says.
    pub(crate) free_at_start: usize,
    /// The network task.
    pub(crate) runner: Option<Waker>,
    random: u64,
}

impl Inner {
    fn new<D: Driver>(device: &mut D, config: Config) -> Result<Inner, Error> {
        let HardwareAddress::Ethernet(hardware) = device.hardware_address() else {
            return Err(Error::UnsupportedDevice);
        };
        if hardware[0] & 1 != 0 || hardware == [0; 6] {
            return Err(Error::UnsupportedDevice);
        }
        let abilities = device.capabilities();
        let capabilities = device::capabilities(&abilities);
        let mut settings =
            smoltcp::iface::Config::new(EthernetAddress::from_bytes(&hardware).into());
        // Not the seed itself: sequence numbers, which peers see, must not tell the ports.
        let mut other = config.random_seed.rotate_left(32);
        settings.random_seed = split_mix(&mut other);
        let secrets = [split_mix(&mut other), split_mix(&mut other)];
        let duty = ChecksumDuty::of(&abilities.checksum);
        let mut nothing = OneFrame::new(&[], Unsendable, &capabilities, duty);
        let now = clock::now();
        let interface = Interface::new(settings, &mut nothing, now);

        let free_at_start = config.free_memory.map_or(0, |free| free());
        let pool = Pool::new(
            free_at_start / POOL_PART,
            config.memory_reserve / 2,
            config.memory_reserve + free_at_start / POOL_PART,
            config.free_memory,
        );
        let (control, dhcp) = DhcpClient::new(config.address == AddressConfig::Dhcp, now)?;
        let mut inner = Inner {
            interface,
            capabilities,
            duty,
            hardware,
            address: None,
            #[cfg(feature = "ipv6")]
            ipv6: crate::ipv6::Ipv6::new(config.ipv6, hardware)?,
            #[cfg(feature = "multicast")]
            groups_due: None,
            address_waiters: Waiters::default(),
            announcement_due: false,
            connections: Table::default(),
            flows: Flows::new(secrets),
            pool,
            trim_at: None,
            starving: Waiters::default(),
            listeners: Ports::new(),
            time_wait: BTreeSet::new(),
            datagrams: Ports::new(),
            control,
            dhcp,
            dirty: VecDeque::new(),
            waiting: BTreeSet::new(),
            timers: BTreeSet::new(),
            counters: Counters::default(),
            shutting_down: false,
            free_at_start,
            runner: None,
            random: config.random_seed,
            config,
        };
        if let AddressConfig::Static {
            address,
            prefix,
            gateway,
        } = inner.config.address
        {
            let source = AddressSource::Static;
            let address = Address {
                address,
                prefix,
                gateway,
                dns_servers: [None; 3],
                source,
            };
            address.check()?;
            inner.set_address(Some(address));
        }
        inner.mark(Work::Control);
        Ok(inner)
    }

    fn shut_down(&mut self) {
        self.shutting_down = true;
        while let Some(port) = self.listeners.first() {
            if let Some(backlog) = self.listeners.get_mut(port) {
                backlog.wake_all();
            }
            self.stop_listening(port);
        }
    }

    /// Returns a number that nobody can guess who does not know the seed.
    pub(crate) fn random(&mut self) -> u64 {
        split_mix(&mut self.random)
    }

    /// Gives this host another IPv4 address, or none.
    pub(crate) fn set_address(&mut self, address: Option<Address>) {
        if self.address == address {
            return;
        }
        match address {
            Some(own) => landfall_log::info!(target: self.config.name, "address {own}"),
            None => {
                landfall_log::warn!(target: self.config.name, "this host has no IPv4 address any more")
            }
        }
        self.address = address;
        self.announcement_due = true;
        self.update_interface();
    }

    /// Tells smoltcp of this host's addresses and routers.
    ///
    /// Connections from an address that is not there any more end.
    pub(crate) fn update_interface(&mut self) {
        let address = self.address;
        self.interface.update_ip_addrs(|known| {
            known.clear();
            // The list has room for all that there can be.
            if let Some(own) = address {
                let _ = known.push(IpCidr::Ipv4(Ipv4Cidr::new(own.address, own.prefix)));
            }
            #[cfg(feature = "ipv6")]
            known.extend(self.ipv6.addresses().map(IpCidr::Ipv6));
        });
        // The table has room for one route of each kind.
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(gateway) = address.and_then(|own| own.gateway) {
            let _ = routes.add_default_ipv4_route(gateway);
        }
        #[cfg(feature = "ipv6")]
        {
            routes.remove_default_ipv6_route();
            if let Some(router) = self.ipv6.router() {
                let _ = routes.add_default_ipv6_route(router);
            }
        }
        #[cfg(feature = "multicast")]
        self.enter_groups();
        self.address_waiters.wake_all();
        self.abandon_moved();
    }

    /// Returns an address by which others reach this host.
    pub(crate) fn usable(&self) -> Option<IpAddr> {
        let usable = self.address.map(|own| own.address.into());
        #[cfg(feature = "ipv6")]
        let usable = usable.or(self.ipv6.usable().map(IpAddr::V6));
        usable
    }

    /// Returns an end of connections that this host can send to, or why it cannot.
    pub(crate) fn reachable(&self, remote: SocketAddr) -> Result<IpEndpoint, Error> {
        let wrong = Error::InvalidAddress(remote);
        let address = match remote.ip() {
            IpAddr::V4(address) => IpAddress::Ipv4(address),
            #[cfg(feature = "ipv6")]
            IpAddr::V6(address) => IpAddress::Ipv6(address),
            #[cfg(not(feature = "ipv6"))]
            IpAddr::V6(_) => return Err(wrong),
        };
        if self.interface.ip_addrs().is_empty() {
            return Err(Error::NoAddress);
        }
        let ip = remote.ip();
        let nobody = remote.port() == 0
            || ip.is_unspecified()
            || ip.is_loopback()
            || self.interface.has_ip_addr(address);
        if nobody || self.next_hop(address).is_none() {
            return Err(wrong);
        }
        Ok(IpEndpoint::new(address, remote.port()))
    }

    /// Returns who takes packets for `remote`: itself in our network, the gateway otherwise.
    pub(crate) fn next_hop(&self, remote: IpAddress) -> Option<IpAddress> {
        match remote {
            IpAddress::Ipv4(to) => {
                let own = self.address?;
                let near = Ipv4Cidr::new(own.address, own.prefix).contains_addr(&to);
                if near || to.is_broadcast() || to.is_multicast() {
                    return Some(remote);
                }
                own.gateway.map(IpAddress::Ipv4)
            }
            #[cfg(feature = "ipv6")]
            IpAddress::Ipv6(to) => self.ipv6.next_hop(to).map(IpAddress::Ipv6),
        }
    }

    /// Returns the endpoint behind `work`, if it has one and still exists.
    pub(crate) fn endpoint(&mut self, work: Work) -> Option<&mut Endpoint> {
        match work {
            Work::Control => Some(&mut self.control),
            Work::Udp(port) => self
                .datagrams
                .get_mut(port)
                .map(|socket| &mut socket.endpoint),
            Work::Tcp(_) => None,
        }
    }

    /// Returns when `work` is to be asked, if it still exists.
    pub(crate) fn schedule(&mut self, work: Work) -> Option<&mut Schedule> {
        match work {
            Work::Tcp(id) => self
                .connections
                .get_mut(id)
                .map(|connection| &mut connection.schedule),
            _ => self.endpoint(work).map(|endpoint| &mut endpoint.schedule),
        }
    }

    /// Queues `work` to be asked for frames to send.
    pub(crate) fn mark(&mut self, work: Work) {
        if let Some(schedule) = self.schedule(work)
            && !schedule.dirty
        {
            schedule.dirty = true;
            self.dirty.push_back(work);
        }
    }

    /// Queues `work` and wakes the network task: an app has changed something.
    pub(crate) fn kick(&mut self, work: Work) {
        self.mark(work);
        if let Some(runner) = &self.runner {
            runner.wake_by_ref();
        }
    }

    /// Returns a free port from the range of ephemeral ports (RFC 6335) for which `used` is false.
    pub(crate) fn ephemeral_port(&mut self, used: impl Fn(&Inner, u16) -> bool) -> Option<u16> {
        const FIRST: u16 = 49_152;
        const COUNT: u16 = 16_384;
        let start = (self.random() % u64::from(COUNT)) as u16;
        (0..COUNT)
            .map(|step| FIRST + (start + step) % COUNT)
            .find(|&port| !used(self, port))
    }

    /// Returns whether UDP port `port` is taken, by a socket or by the DHCP client.
    pub(crate) fn udp_port_used(&self, port: u16) -> bool {
        self.datagrams.has(port) || (port == DHCP_CLIENT && self.dhcp.is_some())
    }
}

/// Returns the next number of the SplitMix64 sequence.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Stands for the device while the interface is made, when nothing is sent.
struct Unsendable;

impl embassy_net_driver::TxToken for Unsendable {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        f(&mut alloc::vec![0; length])
    }
}
