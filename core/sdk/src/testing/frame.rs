//! Frames of link type Ethernet, made from a line of text.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, PacketBuilder, PacketBuilderStep, TcpHeader,
    ip_number,
};

/// A TCP segment in an Ethernet frame: `tcp("10.0.0.1:1234", "10.0.0.2:80", b"GET / ...")`, or
/// `"[2001:db8::1]:80"` for IPv6.
#[must_use]
pub fn tcp(from: &str, to: &str, payload: impl AsRef<[u8]>) -> Vec<u8> {
    Frame::tcp(from, to).payload(payload).build()
}

/// A UDP datagram in an Ethernet frame.
#[must_use]
pub fn udp(from: &str, to: &str, payload: impl AsRef<[u8]>) -> Vec<u8> {
    Frame::udp(from, to).payload(payload).build()
}

/// A frame to be built, with valid lengths and checksums.
///
/// ```
/// use ringmill_sdk::testing::Frame;
/// let frame = Frame::tcp("10.0.0.1:1234", "10.0.0.2:80").vlan(5).seq(7).payload("GET").build();
/// assert_eq!(frame.len(), 14 + 4 + 20 + 20 + 3);
/// ```
#[derive(Clone, Debug)]
pub struct Frame {
    from: SocketAddr,
    to: SocketAddr,
    /// `None` is UDP.
    tcp: Option<TcpHeader>,
    /// Tag protocol identifier and tag, outermost first.
    tags: Vec<(u16, u16)>,
    payload: Vec<u8>,
}

impl Frame {
    /// A TCP segment: sequence number 1, only ACK set, no options.
    ///
    /// # Panics
    /// When an address does not parse or the two are not of one IP version.
    #[must_use]
    pub fn tcp(from: &str, to: &str) -> Self {
        let (from, to) = addresses(from, to);
        let header = TcpHeader { ack: true, ..TcpHeader::new(from.port(), to.port(), 1, 0xffff) };
        Self { from, to, tcp: Some(header), tags: Vec::new(), payload: Vec::new() }
    }

    /// A UDP datagram.
    ///
    /// # Panics
    /// As [`tcp`](Self::tcp).
    #[must_use]
    pub fn udp(from: &str, to: &str) -> Self {
        let (from, to) = addresses(from, to);
        Self { from, to, tcp: None, tags: Vec::new(), payload: Vec::new() }
    }

    /// Adds an 802.1Q tag inside those already there.
    #[must_use]
    pub fn vlan(self, tag: u16) -> Self {
        self.tag(0x8100, tag)
    }

    /// Adds a tag with the given protocol identifier (0x8100, 0x88a8, 0x9100).
    #[must_use]
    pub fn tag(mut self, protocol: u16, tag: u16) -> Self {
        self.tags.push((protocol, tag));
        self
    }

    /// The sequence number.
    #[must_use]
    pub fn seq(self, number: u32) -> Self {
        self.header(|tcp| tcp.sequence_number = number)
    }

    /// The acknowledgment number, with the ACK flag.
    #[must_use]
    pub fn ack(self, number: u32) -> Self {
        self.header(|tcp| (tcp.ack, tcp.acknowledgment_number) = (true, number))
    }

    /// Sets the SYN flag; without [`ack`](Self::ack) it is the first of a connection.
    #[must_use]
    pub fn syn(self) -> Self {
        self.header(|tcp| (tcp.syn, tcp.ack) = (true, tcp.acknowledgment_number != 0))
    }

    /// Sets the FIN flag.
    #[must_use]
    pub fn fin(self) -> Self {
        self.header(|tcp| tcp.fin = true)
    }

    /// Sets the RST flag.
    #[must_use]
    pub fn rst(self) -> Self {
        self.header(|tcp| tcp.rst = true)
    }

    /// Changes anything else in the TCP header.
    ///
    /// # Panics
    /// When the frame is UDP.
    #[must_use]
    pub fn header(mut self, change: impl FnOnce(&mut TcpHeader)) -> Self {
        change(self.tcp.as_mut().expect("only a TCP segment has a TCP header"));
        self
    }

    /// What it carries.
    #[must_use]
    pub fn payload(mut self, bytes: impl AsRef<[u8]>) -> Self {
        bytes.as_ref().clone_into(&mut self.payload);
        self
    }

    /// The frame, from the destination MAC address to the end of the payload; not padded.
    ///
    /// # Panics
    /// When the payload is too long for one packet.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for (protocol, tag) in &self.tags {
            frame.extend(protocol.to_be_bytes());
            frame.extend(tag.to_be_bytes());
        }
        frame.extend(if self.from.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
        frame.extend(self.build_ip());
        frame
    }

    /// The same without the Ethernet header and tags, for link types of raw IP.
    ///
    /// # Panics
    /// As [`build`](Self::build).
    #[must_use]
    pub fn build_ip(&self) -> Vec<u8> {
        let ip = PacketBuilder::ip(match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let header = Ipv4Header::new(0, 64, self.protocol(), from.octets(), to.octets());
                let header = header.expect("an empty payload fits");
                etherparse::IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => etherparse::IpHeaders::Ipv6(
                Ipv6Header {
                    traffic_class: 0,
                    flow_label: Ipv6FlowLabel::ZERO,
                    payload_length: 0,
                    next_header: self.protocol(),
                    hop_limit: 64,
                    source: from.octets(),
                    destination: to.octets(),
                },
                etherparse::Ipv6Extensions::default(),
            ),
            _ => unreachable!("`addresses` refuses two IP versions"),
        });
        let written = |result: Result<(), _>| match result {
            Ok(()) => {}
            Err(error) => panic!("a frame that cannot be built: {error}"),
        };
        let mut packet = Vec::new();
        match &self.tcp {
            Some(header) => {
                let step: PacketBuilderStep<TcpHeader> = ip.tcp_header(header.clone());
                written(step.write(&mut packet, &self.payload));
            }
            None => {
                let step = ip.udp(self.from.port(), self.to.port());
                written(step.write(&mut packet, &self.payload));
            }
        }
        packet
    }

    fn protocol(&self) -> IpNumber {
        if self.tcp.is_some() { ip_number::TCP } else { ip_number::UDP }
    }
}

fn addresses(from: &str, to: &str) -> (SocketAddr, SocketAddr) {
    let parse = |text: &str| match text.parse::<SocketAddr>() {
        Ok(address) => address,
        Err(error) => panic!("`{text}` is not an address with a port: {error}"),
    };
    let (from, to) = (parse(from), parse(to));
    assert_eq!(from.is_ipv4(), to.is_ipv4(), "{from} and {to} are of two IP versions");
    (from, to)
}
