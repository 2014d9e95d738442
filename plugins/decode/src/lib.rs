//! The `decode` stage: finds the innermost IP and transport headers and the payload of every
//! frame.
//!
//! It goes first in the chain: stages after it read addresses, ports and payload through what
//! it writes into the descriptor, and the symmetric flow hash. Frames that hold no TCP or UDP
//! it drops, each for a reason that the ledger counts by name:
//!
//! | reason | the frame |
//! |---|---|
//! | `unknown_link_type` | has a link layer that is not in the list below |
//! | `short_frame` | ends inside its link header or VLAN tags |
//! | `llc` | is 802.2 without an `EtherType` in SNAP (spanning tree, IPX) |
//! | `arp`, `macsec` | is what the name says |
//! | `mpls` | has a label stack above something that is neither IP nor Ethernet |
//! | `pppoe` | is a PPP session being set up |
//! | `ppp_control`, `l2tp_control` | belongs to a link or a tunnel itself |
//! | `other_ppp` | is PPP with anything but IP and MPLS, compressed or encrypted too |
//! | `other_ethertype` | has any other `EtherType` or BSD address family, or one in a tunnel |
//! | `wifi_other` | is 802.11 without data: management, control, null |
//! | `wifi_protected`, `wifi_fragment` | is 802.11 data encrypted, or in pieces |
//! | `wifi_aggregate` | is 802.11 data with several frames in one (A-MSDU) |
//! | `short_encapsulation` | was cut by the capture inside the header of a tunnel, PPP or 802.11 |
//! | `bad_encapsulation` | has such a header that is wrong or does not fit |
//! | `too_deep` | has more than 8 encapsulations |
//! | `bad_ip_version` | has an IP version other than the layer outside promised, or neither 4 nor 6 |
//! | `short_ip` | was cut by the capture inside the IP header or its extensions |
//! | `bad_ip_length` | has an IP header that is longer than itself or than its packet |
//! | `bad_ip_extension` | has an IPv6 extension or authentication header that does not fit, or headers beyond 64 KiB |
//! | `fragment_held` | is part of a datagram that another packet completes, or that is given up |
//! | `fragment_duplicate` | is a part that was there already |
//! | `fragment_overlap` | overlaps with another part or belongs to a datagram in which two did |
//! | `fragment_cut` | is a part that was cut by the capture |
//! | `bad_fragment` | is a part that cannot be: empty, beyond 64 KiB, not a multiple of 8 bytes |
//! | `ip_fragment` | is a part, and `fragment_mebibytes` is 0 |
//! | `not_tcp_or_udp` | carries ICMP, ESP, SCTP, OSPF ... |
//! | `short_transport` | was cut by the capture inside the TCP or UDP header |
//! | `bad_tcp_header` | has a TCP header shorter than 20 bytes or longer than its packet |
//! | `bad_udp_length` | has a UDP length below 8 or longer than its packet |
//!
//! Link types: Ethernet (1); Linux cooked (113, 276); raw IP (12, 14, 101, 228, 229); BSD
//! loopback (0, 108); PPP (9, 50, 204); Cisco HDLC (104); PPPoE (51); 802.11 (105), with
//! Prism (119), radiotap (127) and AVS (163) headers; NFLOG (239).
//!
//! Encapsulations, nested in any order: VLAN tags, provider backbone bridging, MPLS with IP or
//! Ethernet below it, PPPoE, PPP, GRE, ERSPAN, PPTP, WCCP, VXLAN, VXLAN-GPE, Geneve, GTP-U, IP
//! in IP of all four kinds, Teredo, AH, L2TP 2 and 3, NSH, TZSP, EtherIP, GRE and MPLS in UDP.
//! Layers, addresses and ports are those of the innermost packet; the way there is
//! [`Packet::encapsulation`]. A datagram to the port of a tunnel is a tunnel only when TCP, UDP
//! or a fragment is found inside; otherwise it is an ordinary UDP datagram. What an ICMP error
//! quotes and what sFlow samples is not traffic and is never looked into.
//!
//! Fragments are put together within a bound of memory and of time, in tunnels too; the packet
//! that completes a datagram becomes the datagram, with link type raw IP. The counters
//! `datagrams.*` say how many were `reassembled`, and how many were given up: `overlapping`,
//! `timed_out`, `evicted` for want of memory, `unfinished` when the packets ended.
//!
//! Lengths: the payload ends where IP, and for UDP its own length, say that it ends, so that
//! Ethernet padding is not payload. An IP length of 0, which segmentation offload leaves
//! behind, means the rest of the frame. Where the capture cut the payload, or the length
//! claims more than there is, what is there is the payload and it is marked as truncated;
//! the counter `truncated` says how often. Checksums are not looked at: on a capturing host
//! they are often filled in later by the card.
//!
//! The common case (Ethernet with up to two tags, no IPv4 options, no IPv6 extension headers,
//! not a fragment, not a tunnel) is read by hand; everything else goes from layer to layer, IP
//! and transport with `etherparse`. That pays: 6 ns a packet against 42
//! (`benches/decode.rs`; finding the payload and nothing else is 3, the flow hash 2), and
//! `tests/differential.rs` holds the two to the same answer. Whole frames are not given to
//! `etherparse::SlicedPacket` (38 ns, and it refuses what the capture cut) or its lax sister
//! (45 ns, and three tags at most), and neither knows tunnels.

mod common;
mod drop_reason;
mod erspan;
mod ethernet;
mod flow;
mod fragments;
mod geneve;
mod gre;
mod gtp;
mod ip;
mod l2tp;
mod link;
mod mpls;
mod nflog;
mod nsh;
mod ppp;
mod road;
mod span;
mod teredo;
mod transport;
mod tunnel;
mod tzsp;
mod vxlan;
mod wifi;

use drop_reason::DropReason;
use fragments::Fragments;
use ringmill_sdk::{Keeper, prelude::*};
use road::{Found, Layer, Road, walk};
use span::Span;

/// LINKTYPE_RAW: what a datagram becomes that was put together.
const RAW: u16 = 101;

options! {
    /// Options of `[[stage]] use = "decode"`.
    pub struct Options {
        /// Mebibytes of IP fragments that a worker holds at most; 0 drops fragments.
        fragment_mebibytes: u32 = 16,
        /// Seconds that it waits for the rest of a datagram.
        fragment_seconds: u32 = 30,
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Decode {
    reasons: [Reason; DropReason::ALL.len()],
    fragments: Fragments,
    truncated: Counter,
}

impl Stage for Decode {
    const NAME: &'static str = "decode";
    const SUMMARY: &'static str = "finds IP, TCP or UDP and the payload; drops all other frames";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        let Options { fragment_mebibytes: mebibytes, fragment_seconds: seconds } = options;
        if mebibytes > 65_536 {
            return Err(Error::config("fragment_mebibytes", "must be from 0 to 65536"));
        }
        if !(1..=3600).contains(&seconds) {
            return Err(Error::config("fragment_seconds", "must be from 1 to 3600"));
        }
        let reasons = DropReason::ALL.map(|reason| host.reason(reason.name()));
        let fragments = Fragments::new((mebibytes as usize) << 20, seconds, host);
        Ok(Self { reasons, fragments, truncated: host.counter("truncated") })
    }

    fn packets(&mut self, batch: &mut Batch<'_>, _: &mut Output<'_>) -> Result {
        let mut truncated = 0;
        let keeper = batch.keeper();
        for packet in batch.live() {
            if common::decode(packet).is_none()
                && let Err(reason) = decode_any(packet, &mut self.fragments, keeper)
            {
                packet.drop(self.reasons[reason as usize]);
                continue;
            }
            truncated += u64::from(packet.is_truncated());
        }
        self.truncated.add(truncated);
        Ok(())
    }

    fn tick(&mut self, now: Timestamp, _: &mut Output<'_>) -> Result {
        self.fragments.expire(now);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<'_>) -> Result {
        self.fragments.finish();
        Ok(())
    }
}

/// The long way: every link type, every encapsulation, fragments.
#[inline(never)]
fn decode_any<'a>(
    packet: &mut Packet<'a>,
    fragments: &mut Fragments,
    keeper: Option<Keeper<'a>>,
) -> Result<(), DropReason> {
    let mut road = Road::default();
    // The tag that the capture took out of the frame; its priority names nothing.
    road.scoped(u32::from(packet.vlan() & 0x0fff));
    let span = Span::of_frame(packet.frame(), packet.wire_len());
    let mut next = link::enter(span, packet.link(), &mut road)?;
    loop {
        match walk(next.0, next.1, &mut road)? {
            Found::Transport => {
                road.layers.vlan = road.vlan;
                packet.set_layers(&road.layers);
                packet.set_flow_hash(road.flow_hash);
                packet.set_encapsulation(road.way);
                return Ok(());
            }
            Found::Fragment(fragment) => {
                let keeper = keeper.ok_or(DropReason::IpFragment)?;
                let whole = keeper.keep(fragments.add(&fragment, packet.time())?);
                packet.replace_frame(whole, RAW);
                let span = Span::of_frame(whole, packet.wire_len());
                next = (Layer::Ip(ip::Net::Any), span);
            }
        }
    }
}

/// What the bench and the differential test compare.
#[doc(hidden)]
pub mod paths {
    use super::{Fragments, Host, Packet, common, decode_any};

    /// Only by hand; `None` where that path declines.
    #[inline]
    pub fn by_hand(packet: &mut Packet<'_>) -> Option<()> {
        common::decode(packet)
    }

    /// Only the long way; the reason where it drops.
    #[derive(Debug)]
    pub struct Long(Fragments);

    impl Long {
        /// One that puts no fragments together.
        pub fn new(host: &Host) -> Self {
            Self(Fragments::new(0, 0, host))
        }

        /// Takes one packet.
        #[inline]
        pub fn decode(&mut self, packet: &mut Packet<'_>) -> Result<(), &'static str> {
            decode_any(packet, &mut self.0, None).map_err(super::DropReason::name)
        }
    }
}
