//! The kernel's general counters of an interface: `struct rtnl_link_stats64` in linux/if_link.h,
//! by rtnetlink(7). Not from /proc/net/dev, which adds packets that were missed to those that
//! were dropped for other reasons.

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

/// `RTM_GETSTATS` and `RTM_NEWSTATS` in linux/rtnetlink.h; since Linux 4.7.
const GETSTATS: u16 = 94;
const NEWSTATS: u16 = 92;
const REQUEST: u16 = 1;
/// `IFLA_STATS_LINK_64`; the filter has a bit for each attribute, from 1.
const LINK_64: u16 = 1;

/// The general counters that are of use here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    /// Good packets.
    pub(super) rx_packets: u64,
    /// Packets for which a queue in software had no place; on old drivers also of the card.
    pub(super) rx_fifo_errors: u64,
    /// Packets for which the host had given the card no buffer.
    pub(super) rx_missed_errors: u64,
}

impl Statistics {
    /// The counters of the interface with this number.
    ///
    /// # Errors
    /// When the system does not say.
    pub(super) fn read(index: u32) -> io::Result<Self> {
        // Protocol 0 is NETLINK_ROUTE.
        let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
        // `struct nlmsghdr`, then `struct if_stats_msg`.
        let mut request = Vec::with_capacity(28);
        request.extend(28_u32.to_ne_bytes());
        request.extend(GETSTATS.to_ne_bytes());
        request.extend(REQUEST.to_ne_bytes());
        request.extend([0; 12]);
        request.extend(index.to_ne_bytes());
        request.extend((1_u32 << (LINK_64 - 1)).to_ne_bytes());
        send(&socket, &request, SendFlags::empty())?;
        let mut answer = vec![0; 4096];
        let (len, _) = recv(&socket, &mut *answer, RecvFlags::empty())?;
        Self::parse(&answer[..len.min(answer.len())])
    }

    fn parse(answer: &[u8]) -> io::Result<Self> {
        let kind = answer.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
        if kind != Some(NEWSTATS) {
            // Else it is an error: its number, negative, follows the header.
            let error = answer.get(16..20).and_then(|error| error.try_into().ok());
            let error = error.map_or(libc::EPROTO, |error| -i32::from_ne_bytes(error));
            return Err(io::Error::from_raw_os_error(error));
        }
        // The counters, 8 bytes each.
        let counters = attribute(answer.get(28..).unwrap_or_default()).as_chunks::<8>().0;
        let counter = |at: usize| counters.get(at).map(|counter| u64::from_ne_bytes(*counter));
        match (counter(0), counter(14), counter(15)) {
            (Some(rx_packets), Some(rx_fifo_errors), Some(rx_missed_errors)) => {
                Ok(Self { rx_packets, rx_fifo_errors, rx_missed_errors })
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// What the attribute `LINK_64` holds. One without meaning may stand before it, where a machine
/// needs numbers to be aligned.
fn attribute(mut attributes: &[u8]) -> &[u8] {
    // Length, with these four bytes, and type.
    while let Some((&[a, b, c, d], _)) = attributes.split_first_chunk() {
        let (len, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        if kind == LINK_64 {
            return attributes.get(4..len).unwrap_or_default();
        }
        // A length of less than its own four bytes would not end.
        attributes = attributes.get(len.max(4).next_multiple_of(4)..).unwrap_or_default();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::{NEWSTATS, Statistics};

    fn message(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 28];
        bytes[4..6].copy_from_slice(&NEWSTATS.to_ne_bytes());
        for (kind, value) in attributes {
            bytes.extend(u16::try_from(value.len() + 4).expect("short").to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
        }
        bytes
    }

    #[test]
    fn the_counters_are_found_behind_padding_and_nowhere_else() {
        let counters: Vec<u8> = (0..25_u64).flat_map(u64::to_ne_bytes).collect();
        let expected = Statistics { rx_packets: 0, rx_fifo_errors: 14, rx_missed_errors: 15 };
        for attributes in [&[(1, &*counters)][..], &[(0, &[]), (1, &*counters)]] {
            assert_eq!(Statistics::parse(&message(attributes)).expect("whole"), expected);
        }
        let whole = message(&[(0, &[]), (1, &counters)]);
        for len in 0..28 + 8 + 128 {
            assert!(Statistics::parse(&whole[..len]).is_err(), "{len} bytes");
        }
        // An attribute that claims no length at all.
        let mut hostile = message(&[(7, &[]), (1, &counters)]);
        hostile[28..30].copy_from_slice(&[0, 0]);
        assert_eq!(Statistics::parse(&hostile).expect("whole"), expected);
    }
}
