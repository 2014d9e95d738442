//! What an attacker can make the stages hold and do: see [`Attack`].

use ringmill::sdk::{Arena, BATCH, Batch, Output, Stage as _, Timestamp};
use ringmill_bench::{
    cpu::CpuTime,
    workload::{Attack, Limit, attack},
};
use ringmill_decode::Decode;

use crate::{Chain, print, stage, traffic::Frame};

fn frames(kind: Attack, packets: u64) -> Vec<Frame> {
    let mut file = Vec::new();
    attack(kind, Limit::Packets(packets), 1, &mut file).unwrap();
    let mut rest = &file[24..];
    let mut frames = Vec::new();
    while let Some((head, body)) = rest.split_first_chunk::<16>() {
        let word = |at: usize| u32::from_le_bytes(*head[at..].first_chunk().unwrap());
        let (frame, next) = body.split_at(word(8) as usize);
        let time = i64::from(word(0)) * 1_000_000_000 + i64::from(word(4)) * 1000;
        frames.push(Frame::new(Timestamp(time), frame.to_vec()));
        rest = next;
    }
    frames
}

#[test]
fn attacks_stay_within_the_limits_of_memory() {
    const FLOWS: i64 = 2000;
    const BUFFER: i64 = 1 << 20;
    const ROWS: i64 = 1 << 20;
    let http = format!("flows = {FLOWS}\nbuffer_bytes = {BUFFER}");
    for kind in Attack::ALL {
        let mut chain = Chain::new(&http);
        let (empty, mut most) = (chain.held, 0);
        for part in frames(kind, 100_000).chunks(BATCH) {
            chain.frames(part);
            most = most.max(chain.held - empty);
        }
        let counters = chain.counters();
        println!("{kind:?}: {most} bytes at most");
        print(&counters);
        if kind == Attack::Collide {
            assert_eq!(counters["flows"], 300, "connections without HTTP are not taken up");
        }
        // Of the table, of what waits with room to grow, of a batch of rows.
        assert!(most <= FLOWS * 64 + 2 * BUFFER + ROWS, "{kind:?}: {most} bytes");
    }
}

#[test]
fn colliding_connections_collide() {
    let (mut decode, _told) = stage::<Decode>("");
    let frames = frames(Attack::Collide, 200);
    let arena = Arena::default();
    let mut batch = Batch::default().with_arena(&arena);
    frames.iter().for_each(|frame| batch.push(frame.packet()));
    decode.packets(&mut batch, &mut Output::new(&mut Vec::new())).unwrap();
    let hashes = batch.all().iter().map(|packet| (packet.verdict(), packet.flow_hash()));
    let one = hashes.clone().next().unwrap();
    assert!(one.0 == 0 && hashes.clone().all(|other| other == one), "{one:?}");
}

/// CPU nanoseconds a byte of the frames.
fn cost(frames: &[Frame]) -> f64 {
    let mut chain = Chain::new("");
    let begin = CpuTime::of_this_thread().unwrap();
    chain.frames(frames);
    let time = CpuTime::of_this_thread().unwrap().since(begin).total();
    let bytes: usize = frames.iter().map(Frame::len).sum();
    #[allow(clippy::cast_precision_loss, reason = "bytes of one capture")]
    {
        time.as_secs_f64() * 1e9 / bytes as f64
    }
}

/// Far from what it costs, which an optimized build can measure, and farther from a list that is
/// walked for each packet.
#[test]
fn attacks_cost_no_more_than_some_times_the_same_heads_as_usual() {
    let plain = frames(Attack::None, 20_000);
    let attacks = Attack::ALL.map(|kind| (kind, frames(kind, 100_000)));
    let least = |costs: &[f64]| costs.iter().copied().fold(f64::MAX, f64::min);
    let mut costs = vec![Vec::new(); 1 + attacks.len()];
    for _ in 0..3 {
        costs[0].push(cost(&plain));
        for (costs, (_, frames)) in costs[1..].iter_mut().zip(&attacks) {
            costs.push(cost(frames));
        }
    }
    for (costs_of, (kind, _)) in costs[1..].iter().zip(&attacks) {
        let ratio = least(costs_of) / least(&costs[0]);
        println!("{kind:?}: {ratio:.2} times the time a byte");
        assert!(ratio <= 10.0, "{kind:?}: {ratio:.2} times the time a byte");
    }
}
