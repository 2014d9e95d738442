//! What two seconds of traffic tell about a mirror.

use std::{
    collections::{BTreeMap, HashMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
};

use ringmill_sdk::Packet;

/// Connections that are remembered at most.
const MOST_FLOWS: usize = 100_000;
/// Packets of a connection before it counts: of shorter ones the rest may lie outside the sample.
const FEWEST: u64 = 4;
/// A packet that comes again within this time is a duplicate, in nanoseconds.
const TWICE: i64 = 5_000_000;
/// The bits of a tag that are the VLAN's number.
const VLAN: u16 = 0xfff;
const TCP: u8 = 6;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// All packets.
    pub packets: u64,
    /// TCP connections with several packets.
    pub flows: u64,
    /// Those of them of which only one direction was seen.
    pub one_sided: u64,
    /// TCP packets with payload.
    pub with_payload: u64,
    /// Those of them that came again within a few milliseconds.
    pub duplicates: u64,
    /// Connections whose directions have different VLANs, by the two, 0 for none.
    pub vlans: BTreeMap<(u16, u16), u64>,
}

/// Takes a sample; packets are to be decoded and in order of time.
#[derive(Debug, Default)]
pub struct Sampler {
    packets: u64,
    with_payload: u64,
    duplicates: u64,
    flows: HashMap<Ends, Flow>,
    /// Digests of packets, with when they came.
    seen: HashMap<u64, i64>,
}

/// Address and port of both ends, the lower first.
type Ends = [([u8; 16], u16); 2];

/// A connection: for each direction, how many packets and the VLAN.
#[derive(Clone, Copy, Debug, Default)]
struct Flow([(u64, u16); 2]);

impl Sampler {
    /// Looks at a packet.
    pub fn add(&mut self, packet: &Packet<'_>) {
        self.packets += 1;
        if packet.ip_version() == 0 || packet.protocol() != TCP {
            return;
        }
        let (addresses, ports) = (packet.addresses(), packet.ports());
        let mut ends = [(addresses.0, ports.0), (addresses.1, ports.1)];
        let back = ends[0] > ends[1];
        ends.sort_unstable();
        if self.flows.len() < MOST_FLOWS || self.flows.contains_key(&ends) {
            let direction = &mut self.flows.entry(ends).or_default().0[usize::from(back)];
            *direction = (direction.0 + 1, packet.vlan() & VLAN);
        }
        // A packet without payload may well be sent twice: IPv6 does not number them.
        if !packet.payload().is_empty() {
            self.with_payload += 1;
            self.look_for_duplicate(packet);
        }
    }

    /// From the IP header on, because the copies may have passed different switches; a router
    /// between them would change the TTL, and then they are not duplicates of the mirror's.
    fn look_for_duplicate(&mut self, packet: &Packet<'_>) {
        let ip = packet.frame().get(usize::from(packet.layers().l3)..).unwrap_or_default();
        let mut digest = DefaultHasher::new();
        ip.hash(&mut digest);
        let now = packet.time().0;
        if self.seen.len() >= MOST_FLOWS {
            self.seen.retain(|_, then| now.saturating_sub(*then) <= TWICE);
        }
        let before = self.seen.insert(digest.finish(), now);
        self.duplicates += u64::from(before.is_some_and(|then| now.saturating_sub(then) <= TWICE));
    }

    /// What was seen.
    pub fn end(self) -> Sample {
        let Self { packets, with_payload, duplicates, .. } = self;
        let mut sample = Sample { packets, with_payload, duplicates, ..Sample::default() };
        for Flow([(there, one), (back, other)]) in self.flows.into_values() {
            if there + back < FEWEST {
                continue;
            }
            sample.flows += 1;
            if there == 0 || back == 0 {
                sample.one_sided += 1;
            } else if one != other {
                *sample.vlans.entry((one.min(other), one.max(other))).or_default() += 1;
            }
        }
        sample
    }
}
