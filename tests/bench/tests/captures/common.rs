//! What the tests of captures share.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use ringmill_bench::workload::{Limit, Mix, Summary, generate};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;

/// The bytes of a capture.
pub(crate) fn capture(mix: Mix, bytes: u64, seed: u64) -> (Vec<u8>, Summary) {
    let mut file = Vec::new();
    let summary =
        generate(mix, Limit::Bytes(bytes), seed, &mut file).expect("a Vec takes all bytes");
    (file, summary)
}

/// Time in microseconds and frame of each record.
pub(crate) fn records(file: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = &file[24..];
    std::iter::from_fn(move || {
        let (head, body) = rest.split_first_chunk::<16>()?;
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        assert_eq!(word(8), word(12), "captured and original length");
        let (frame, next) = body.split_at(word(8) as usize);
        rest = next;
        Some((u64::from(word(0)) * 1_000_000 + u64::from(word(4)), frame))
    })
}

/// Address and port of sender and receiver.
pub(crate) type Ends = (Vec<u8>, u16, Vec<u8>, u16);

/// Sender first.
pub(crate) fn ends(packet: &SlicedPacket<'_>) -> Ends {
    let (from, to) = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            (ip.header().source().to_vec(), ip.header().destination().to_vec())
        }
        Some(NetSlice::Ipv6(ip)) => {
            (ip.header().source().to_vec(), ip.header().destination().to_vec())
        }
        _ => panic!("not IP"),
    };
    match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => (from, tcp.source_port(), to, tcp.destination_port()),
        Some(TransportSlice::Udp(udp)) => (from, udp.source_port(), to, udp.destination_port()),
        _ => panic!("neither TCP nor UDP"),
    }
}
