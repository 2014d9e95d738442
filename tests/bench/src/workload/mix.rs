//! The four mixes, as numbers.
//!
//! The shares are drawn per packet and were set so that a capture of 20 MB or more comes
//! out as its description says; `tests/captures` holds them to it.

/// What traffic a capture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// A campus border: mostly TLS, 3 % of the packets are heads, mean frame 863 bytes.
    Campus,
    /// Half of the packets are heads, mean frame 728 bytes.
    Heavy,
    /// Frames of 60 bytes, no heads. IPv4 only: an IPv6 segment does not fit.
    Min64,
    /// 10 % of the packets are heads, 20 % of the heads are cut in two segments.
    Split,
}

/// The numbers behind a mix. Shares are per mille.
#[derive(Debug)]
pub(super) struct Shape {
    /// Connections and UDP conversations in each 10^9 bytes of the file.
    pub(super) flows_per_gigabyte: u32,
    /// Share of the packets that are UDP.
    pub(super) udp: u32,
    /// Share of the packets that belong to HTTP connections; the rest is TLS.
    pub(super) web: u32,
    /// Share of the connections whose handshake is seen; the others are under way.
    pub(super) fresh: u32,
    /// Share of the messages that are acknowledged by a segment without data.
    pub(super) bare_ack: u32,
    /// Share of the HTTP exchanges that are the last of their connection.
    pub(super) last: u32,
    /// Mean size of a response body that is larger than a few lines, bytes.
    pub(super) body: u32,
    /// Share of the TLS packets that carry data.
    pub(super) tls_data: u32,
    /// Share of the heads that are cut in two.
    pub(super) cut: u32,
    /// Share of the IPv6 flows.
    pub(super) ipv6: u32,
    /// Only frames of 60 bytes.
    pub(super) shortest: bool,
}

impl Mix {
    pub(super) fn shape(self) -> &'static Shape {
        match self {
            Self::Campus => &CAMPUS,
            Self::Heavy => &HEAVY,
            Self::Min64 => &MIN64,
            Self::Split => &SPLIT,
        }
    }
}

const CAMPUS: Shape = Shape {
    flows_per_gigabyte: 200_000,
    udp: 120,
    web: 85,
    fresh: 300,
    bare_ack: 600,
    last: 80,
    body: 9000,
    tls_data: 728,
    cut: 0,
    ipv6: 150,
    shortest: false,
};

const HEAVY: Shape = Shape {
    flows_per_gigabyte: 100_000,
    udp: 20,
    web: 940,
    fresh: 200,
    bare_ack: 130,
    last: 40,
    body: 3550,
    ..CAMPUS
};

const MIN64: Shape = Shape { web: 0, ipv6: 0, shortest: true, ..CAMPUS };

const SPLIT: Shape = Shape { web: 300, tls_data: 774, cut: 200, ..CAMPUS };
