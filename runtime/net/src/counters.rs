//! What the stack counts: frames, bytes, and each drop by its cause.

/// What has passed through the stack since it was made, and what was dropped, by cause.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Frames taken from the device.
    pub frames_in: u64,
    /// Bytes of those frames.
    pub bytes_in: u64,
    /// Frames given to the device.
    pub frames_out: u64,
    /// Bytes of those frames.
    pub bytes_out: u64,
    /// TCP connections that were established by a peer.
    pub accepted: u64,
    /// TCP connections that this host opened.
    pub connected: u64,
    /// Connections that a peer ended with a reset.
    pub resets: u64,
    /// Connections that ended because the peer fell silent.
    pub timeouts: u64,
    /// TCP segments that were sent again because nothing was acknowledged in time (RFC 6298).
    pub retransmits_timeout: u64,
    /// TCP segments that were sent again because the peer told of a gap (RFC 6675).
    pub retransmits_recovery: u64,
    /// Times the device had no room for a frame.
    pub device_full: u64,
    /// Dropped: truncated, or with lengths or flags that contradict each other.
    pub dropped_malformed: u64,
    /// Dropped: wrong IPv4, UDP or TCP checksum.
    pub dropped_checksum: u64,
    /// Dropped: addressed to another host, or by broadcast where only unicast makes sense.
    pub dropped_not_for_us: u64,
    /// Dropped: from an address that cannot be a host (broadcast, multicast, loopback, our own) or
    /// that no answer could reach.
    pub dropped_bad_source: u64,
    /// Dropped: an IPv4 fragment.
    pub dropped_fragment: u64,
    /// Dropped: a protocol that this stack does not speak.
    pub dropped_protocol: u64,
    /// Answered with a reset or "port unreachable": no socket has that port.
    pub no_socket: u64,
    /// Dropped: a datagram for a UDP socket whose buffer is full.
    pub dropped_datagram: u64,
    /// SYN dropped: the listener's backlog is full.
    pub dropped_backlog: u64,
    /// SYN dropped: the limit of connections is reached.
    pub dropped_connections: u64,
    /// SYN dropped: not enough free memory.
    pub dropped_memory: u64,
    /// Dropped: data for which there is not enough free memory. The peer sends them again.
    pub dropped_data: u64,
    /// Half-open connections removed to make room for newer ones.
    pub half_open_evicted: u64,
    /// Half-open connections removed because the peer never completed the handshake.
    pub half_open_expired: u64,
    /// Connections removed from TIME-WAIT early to make room.
    pub time_wait_evicted: u64,
    /// Connections that no app held any more and that were aborted because the peer did not close.
    pub orphans_aborted: u64,
}

/// How many TCP connections are in which stage.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct ConnectionCounts {
    /// The handshake is not complete yet.
    pub half_open: usize,
    /// Established, waiting for the app to accept them.
    pub unaccepted: usize,
    /// Held by the app.
    pub open: usize,
    /// Given up by the app; the rest of the data and the FIN are still on their way.
    pub orphaned: usize,
    /// In TIME-WAIT.
    pub time_wait: usize,
}

impl ConnectionCounts {
    /// Returns how many connections there are in all.
    pub fn total(&self) -> usize {
        self.half_open + self.unaccepted + self.open + self.orphaned + self.time_wait
    }
}
