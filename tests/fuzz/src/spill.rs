//! The spill log: `frame::scan` over any segment.
//!
//! Input: a segment, as it is. It is looked at twice: so, and with a right checksum in each head
//! that its length leads to, because no fuzzer guesses a CRC. Held to be true:
//!
//! * a scan ends, and its good bytes are a magic and whole frames;
//! * what it calls good it finds again alone, and the same in it;
//! * of a segment that is cut anywhere a beginning is found.

use std::io::Cursor;

use crate::frame::{HEAD, Head, MAGIC, Scan, scan};

/// Checks all of it for one segment.
pub fn run(bytes: &[u8]) {
    check(bytes);
    let mended = mend(bytes);
    check(&mended);
}

fn look(bytes: &[u8]) -> Scan {
    scan(Cursor::new(bytes), bytes.len() as u64, 0).expect("memory can be read")
}

fn check(bytes: &[u8]) {
    let found = look(bytes);
    let good = usize::try_from(found.good).expect("it is in memory");
    assert!(good <= bytes.len() && (good == 0) == !bytes.starts_with(&MAGIC));
    assert!(found.rows.len() * HEAD <= good, "{} frames in {good} bytes", found.rows.len());
    assert_eq!(look(&bytes[..good]), found, "what is good is good alone");
    let seed = bytes.iter().rev().take(4).fold(0, |sum, byte| sum * 257 + usize::from(*byte));
    let cut = seed % (bytes.len() + 1);
    let part = look(&bytes[..cut]);
    assert!(part.good <= found.good && found.rows.starts_with(&part.rows), "cut at {cut}");
    if cut >= good {
        assert_eq!(part, found, "cut at {cut}");
    }
}

/// The same bytes with heads that fit as far as their lengths lead.
fn mend(bytes: &[u8]) -> Vec<u8> {
    let mut mended = MAGIC.to_vec();
    let mut rest = bytes.get(MAGIC.len()..).unwrap_or_default();
    let mut frames = 0;
    while let Some((head, behind)) = rest.split_first_chunk::<HEAD>() {
        let head = Head::from_bytes(head);
        // Lengths that a fuzzer can find: those of a byte.
        let Some((payload, behind)) = behind.split_at_checked(head.length as usize & 0xff) else {
            break;
        };
        mended.extend(Head::of(frames, head.rows, payload).to_bytes());
        mended.extend(payload);
        frames += 1;
        rest = behind;
    }
    let found = look(&mended);
    assert_eq!((found.rows.len() as u64, found.good), (frames, mended.len() as u64));
    mended.extend(rest);
    mended
}

/// Segments of a few frames.
pub fn seeds() -> Vec<Vec<u8>> {
    let payloads: [&[u8]; 4] = [b"", b"a", &[0; 40], &[255; 200]];
    (0..=payloads.len())
        .map(|count| {
            let mut bytes = MAGIC.to_vec();
            for (number, payload) in (0..).zip(&payloads[..count]) {
                bytes.extend(Head::of(number, 7, payload).to_bytes());
                bytes.extend(*payload);
            }
            bytes
        })
        .collect()
}
