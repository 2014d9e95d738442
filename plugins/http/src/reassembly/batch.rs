//! The packets of a batch: which of them are looked at closer.
//!
//! Most packets are of connections without HTTP. Those end here, by their descriptors, which are
//! in the cache, and by filters, which mostly are.

use ringmill_sdk::{BATCH, Batch, Class, Packet, Result};

use super::{
    Reassembly,
    picked::{Marks, Picked},
    segment::{FIN, RST, SYN, Tcp, wire_length},
    table::NONE,
};
use crate::{
    TCP,
    boundary::{self, Start},
    flow::Flows,
    heads::Heads,
    seen,
};

impl Reassembly {
    /// Looks at the packets of a batch.
    pub(crate) fn packets(
        &mut self,
        batch: &Batch<'_>,
        flows: &Flows,
        heads: &mut Heads,
    ) -> Result {
        // Rounds, because none of these tables stays in the cache, and what is asked for together
        // comes together: the filters and the SYNs first, then the index, then the connections
        // and what waits in them. Only the last round decides; those before it may pick a packet
        // too many, but none too few, so what the last one may add to the filters is marked
        // before. Nothing branches on what is asked for before all of it was: a branch that was
        // guessed wrong waits for it alone.
        let packets = batch.all();
        let (filter, mut syns) = (self.table.filter(), self.syns.front());
        let (mut marks, mut begun) = (Marks::new(), [false; BATCH]);
        let picked = packets.iter().enumerate().zip(&mut begun).map(|((at, packet), begun)| {
            let (hash, is_candidate) = (packet.flow_hash(), is_candidate(packet));
            let is_syn = packet.tcp_flags() & SYN != 0;
            let opens = is_candidate & syns.mark(hash, is_candidate & is_syn);
            *begun = marks.add(hash, opens | (is_candidate & is_head(packet)));
            (at, is_candidate & (*begun | filter.coarse(hash)))
        });
        let picked = Picked::new(picked);
        let has = |at: usize, these: &[bool; BATCH]| these.get(at).is_some_and(|it| *it);
        for (at, packet) in picked.of(packets) {
            filter.prefetch(packet.flow_hash());
            syns.prefetch(packet.flow_hash(), has(at, &begun));
        }

        let wanted = picked.of(packets).map(|(at, packet)| (at, self.is_wanted(packet)));
        let wanted = Picked::new(wanted);
        let mut keys = [0; BATCH];
        for (at, packet) in wanted.of(packets) {
            keys[at] = key_of(packet, flows);
            self.table.prefetch_index(keys[at]);
        }
        let (mut ids, mut asked) = ([NONE; BATCH], 0);
        for ((at, _), id) in wanted.of(packets).zip(&mut ids) {
            *id = self.table.first(keys[at]);
            self.table.prefetch_flow(*id);
            asked += 1;
        }
        let ids = &ids[..asked];
        for id in ids {
            self.table.works(*id).for_each(|number| self.works.prefetch(number));
            self.pairs.prefetch(self.table.pending(*id));
        }
        for id in ids {
            self.table.works(*id).for_each(|number| self.works.prefetch_more(number));
            self.pairs.prefetch_text(self.table.pending(*id));
        }

        for (at, packet) in picked.of(packets) {
            let key = match keys.get(at) {
                Some(&key) if key != 0 => key,
                // It was not wanted then, but something may have begun in this batch.
                _ if has(at, &begun) && (self.is_wanted(packet) || self.is_opening(packet)) => {
                    key_of(packet, flows)
                }
                _ => continue,
            };
            self.flow(packet, &seen(packet, key), heads)?;
        }
        Ok(())
    }

    /// Whether it takes more than a look at the filter.
    #[inline]
    fn is_wanted(&self, packet: &Packet<'_>) -> bool {
        is_head(packet) | self.table.filter().may_have(packet.flow_hash())
    }

    /// Whether a connection that is not there is to be taken up at this packet: it begins with a
    /// head, or is near a SYN that was seen and may hold a piece of one. Remembers SYNs.
    pub(super) fn is_opening(&mut self, packet: &Packet<'_>) -> bool {
        let Some(tcp) = Tcp::of(packet) else { return false };
        let (is_head, is_syn) = (is_head(packet), tcp.flags & SYN != 0);
        let is_clear = is_head || wire_length(packet) == 0;
        if is_clear && !is_syn {
            return is_head;
        }
        let (d, seq) = (direction(packet), tcp.first());
        let ends = self.syns.ends(packet, d);
        if is_syn {
            self.syns.put(ends, d, seq);
        }
        if is_clear {
            return is_head;
        }
        let Some(first) = self.syns.is_near(ends, d, seq) else { return false };
        let is_first = seq == first;
        let may_be_http = matches!(packet.class(), Class::OTHER | Class::UNKNOWN)
            && (!is_first || boundary::start(packet.payload()) != Start::Other);
        if is_first && !may_be_http {
            self.syns.forget(ends);
        }
        may_be_http
    }
}

/// Whether its payload begins with a head.
#[inline]
fn is_head(packet: &Packet<'_>) -> bool {
    matches!(packet.class(), Class::HTTP_REQUEST | Class::HTTP_RESPONSE)
}

/// Whether it can change anything: it has payload, on the wire at least, or begins or ends a
/// connection.
#[inline]
fn is_candidate(packet: &Packet<'_>) -> bool {
    let begins_or_ends = packet.tcp_flags() & (SYN | FIN | RST) != 0;
    let has_payload = (packet.layers().payload_len > 0) | packet.is_truncated();
    (packet.protocol() == TCP) & (packet.verdict() == 0) & (has_payload | begins_or_ends)
}

/// 0 one way, 1 the other: to the lower port, or between equal ports to the lower address.
#[inline]
pub(super) fn direction(packet: &Packet<'_>) -> usize {
    let (src_port, dst_port) = packet.ports();
    if src_port == dst_port {
        let (src, dst) = packet.addresses();
        return usize::from(src > dst);
    }
    usize::from(src_port > dst_port)
}

/// The number of a packet's connection, under the flow numbers' key. It is 0 for one in 2^64, which is
/// then looked at only where something begins.
#[inline]
fn key_of(packet: &Packet<'_>, flows: &Flows) -> u64 {
    let ((src, dst), (src_port, dst_port)) = (packet.addresses(), packet.ports());
    flows.number((&src, src_port), (&dst, dst_port), packet.protocol())
}
