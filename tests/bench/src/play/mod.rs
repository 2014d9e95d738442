//! Sends the frames of a capture on an interface, as fast as the kernel takes them or at a given
//! rate, and counts what the kernel took.
//!
//! An accepted frame is one whose `sendmmsg` succeeded. A veth whose other end has no room says
//! ENOBUFS (since Linux 6.6, which reports what it drops); such a frame is offered again until it is
//! taken, so on a machine with a kernel that new the sum is exact. On an older one compare with
//! the interface's own counters.

mod readdress;
mod socket;

use std::{
    fmt, io,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

pub use self::readdress::readdress;
use self::socket::Sender;

/// Frames that are handed to the kernel in one call.
const CALL: usize = 64;

/// How often and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many times all frames are sent.
    pub rounds: u64,
    /// Packets in a second; as fast as the kernel takes them if not said.
    pub pps: Option<u64>,
    /// Ends after this time, in the middle of a round if need be.
    pub limit: Option<Duration>,
}

/// All frames once, as fast as the kernel takes them.
impl Default for Plan {
    fn default() -> Self {
        Self { rounds: 1, pps: None, limit: None }
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sent {
    /// Frames that the kernel took.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Times that the kernel had no room, and the frame was offered again.
    pub retries: u64,
    /// Frames that are longer than the interface sends, or shorter than its header.
    pub unfit: u64,
    /// From the first call to the end of the last.
    pub seconds: f64,
}

/// As JSON, for scripts.
impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packets, bytes, retries, unfit, seconds } = self;
        let pps = if *seconds > 0.0 { *packets as f64 / seconds } else { 0.0 };
        write!(
            f,
            "{{\"packets\": {packets}, \"bytes\": {bytes}, \"retries\": {retries}, \
             \"unfit\": {unfit}, \"seconds\": {seconds:.6}, \"packets_per_second\": {pps:.0}}}"
        )
    }
}

/// The frames of a pcap file, whole ones only.
///
/// # Errors
/// When it is not a pcap file of Ethernet frames.
pub fn frames(pcap: &[u8]) -> io::Result<Vec<&[u8]>> {
    Ok(places(pcap)?.into_iter().map(|place| &pcap[place]).collect())
}

/// Where these frames lie in it.
///
/// # Errors
/// As [`frames`].
pub fn places(pcap: &[u8]) -> io::Result<Vec<Range<usize>>> {
    let bad = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    let word = |at: usize| pcap.get(at..)?.first_chunk::<4>().copied();
    let magic = word(0).ok_or(bad("too short for a pcap file"))?;
    let number = match u32::from_le_bytes(magic) {
        0xa1b2_c3d4 | 0xa1b2_3c4d => u32::from_le_bytes,
        0xd4c3_b2a1 | 0x4d3c_b2a1 => u32::from_be_bytes,
        _ => return Err(bad("not a pcap file; unpack or convert it first")),
    };
    if word(20).map(number).map(|link| link & 0xffff) != Some(1) {
        return Err(bad("not a capture of Ethernet frames"));
    }
    let (mut all, mut at) = (Vec::new(), 24);
    while let (Some(captured), Some(wire)) = (word(at + 8).map(number), word(at + 12).map(number)) {
        let place = at + 16..at + 16 + captured as usize;
        if pcap.get(place.clone()).is_none() {
            break;
        }
        at = place.end;
        if captured == wire {
            all.push(place);
        }
    }
    Ok(all)
}

/// Sends frames on an interface of the network namespace that this thread is in.
///
/// # Errors
/// When the interface cannot be sent on.
pub fn play(interface: &str, frames: &[&[u8]], plan: Plan) -> io::Result<Sent> {
    let mut sender = Sender::new(interface, frames)?;
    let mut sent = Sent::default();
    let start = Instant::now();
    'all: for _ in 0..plan.rounds {
        let mut at = 0;
        while at < frames.len() {
            let due = match plan.pps {
                None => CALL,
                Some(pps) => wait(start, pps, sent.packets + sent.unfit),
            };
            if plan.limit.is_some_and(|limit| start.elapsed() >= limit) {
                break 'all;
            }
            let end = frames.len().min(at + due.min(CALL));
            match sender.send(at..end) {
                Ok(n) => {
                    sent.packets += n as u64;
                    sent.bytes +=
                        frames[at..at + n].iter().map(|frame| frame.len() as u64).sum::<u64>();
                    at += n;
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOBUFS | libc::EAGAIN) => {
                        sent.retries += 1;
                        thread::yield_now();
                    }
                    Some(libc::EINTR) => {}
                    Some(libc::EMSGSIZE | libc::EINVAL) => {
                        sent.unfit += 1;
                        at += 1;
                    }
                    _ => return Err(error),
                },
            }
        }
    }
    sent.seconds = start.elapsed().as_secs_f64();
    Ok(sent)
}

/// Waits until a packet is due; gives how many are.
fn wait(start: Instant, pps: u64, sent: u64) -> usize {
    loop {
        let due = start.elapsed().as_nanos() * u128::from(pps) / 1_000_000_000 + 1;
        match due.saturating_sub(u128::from(sent)) {
            0 => thread::sleep(Duration::from_micros(100)),
            more => return usize::try_from(more).unwrap_or(CALL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::frames;

    fn file(link: u8, records: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = 0xa1b2_c3d4_u32.to_be_bytes().to_vec();
        bytes.extend([0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, link]);
        for (wire, frame) in records {
            bytes.extend([0; 8]);
            bytes.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
            bytes.extend(wire.to_be_bytes());
            bytes.extend(*frame);
        }
        bytes
    }

    #[test]
    fn whole_frames_are_found_and_cut_ones_left_out() {
        let mut bytes = file(1, &[(3, b"abc"), (9, b"cut"), (2, b"de")]);
        assert_eq!(frames(&bytes).unwrap(), [&b"abc"[..], b"de"]);
        bytes.pop();
        assert_eq!(frames(&bytes).unwrap(), [&b"abc"[..]]);
    }

    #[test]
    fn other_files_are_refused() {
        assert!(frames(b"").is_err());
        assert!(frames(b"\x0a\x0d\x0d\x0a pcapng").is_err());
        assert!(frames(&file(113, &[])).is_err());
    }
}
