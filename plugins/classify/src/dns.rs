//! Whether a payload can be a DNS message (RFC 1035, section 4.1).

const HEADER: usize = 12;
/// A question: the root's name, type, class.
const SMALLEST_QUESTION: usize = 5;
/// A resource record: the same, with time to live and length.
const SMALLEST_RECORD: usize = 11;
const LONGEST_NAME: usize = 255;

/// Whether header and first question make sense for a message of `len` bytes, of which
/// `message` is the beginning.
#[inline]
pub(crate) fn is_message(message: &[u8], len: usize) -> bool {
    let Some((header, rest)) = message.split_first_chunk::<HEADER>() else { return false };
    let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    let questions = count(4);
    let records = count(6) + count(8) + count(10);
    let response = header[2] & 0x80 != 0;
    let opcode = (header[2] >> 3) & 15;
    let (zero, code) = (header[3] & 0x40, header[3] & 15);
    // Query, status, notify, update: RFC 1035, 1996, 2136.
    let opcode_known = matches!(opcode, 0 | 2 | 4 | 5);
    // An answer may leave the question out, as multicast DNS does (RFC 6762).
    let counts = if response { questions <= 1 && questions + records > 0 } else { questions > 0 };
    // A query has no code and no "recursion available"; codes above 11 are not assigned.
    let codes = if response { code <= 11 } else { header[3] & 0x8f == 0 };
    opcode_known
        && zero == 0
        && counts
        && codes
        && HEADER + questions * SMALLEST_QUESTION + records * SMALLEST_RECORD <= len
        && (questions == 0 || is_question(rest, message.len() < len))
}

/// The same over TCP, where two bytes of length come first (section 4.2.2). The message may
/// go on in the next segment, and another may follow. It has one question: there are many
/// more segments of other things here, and only multicast DNS has none or several.
#[inline]
pub(crate) fn is_tcp_message(payload: &[u8]) -> bool {
    match payload {
        [high, low, message @ ..] if message.get(4..6) == Some(&[0, 1]) => {
            is_message(message, usize::from(u16::from_be_bytes([*high, *low])))
        }
        _ => false,
    }
}

/// Name, type and class. What ends too early is one if there is `more` that is not here.
fn is_question(question: &[u8], more: bool) -> bool {
    let mut at = 0;
    loop {
        match question.get(at) {
            Some(_) if at >= LONGEST_NAME => return false,
            Some(0) => break,
            Some(label @ 1..64) => at += 1 + usize::from(*label),
            // No pointer: there is nothing before it to point to.
            Some(64..) => return false,
            None => return more,
        }
    }
    match question.get(at + 3..at + 5) {
        // Internet, Chaos, Hesiod, none, any; multicast DNS uses the highest bit.
        Some([high, low]) => {
            matches!(u16::from_be_bytes([high & 0x7f, *low]), 1 | 3 | 4 | 254 | 255)
        }
        _ => more,
    }
}
