//! Text as a JSON string (RFC 8259, section 7).

const HIGH: u64 = 0x8080_8080_8080_8080;
const ONES: u64 = 0x0101_0101_0101_0101;

/// Appends `text` in quotes. What is not ASCII stays as it is, U+2028 too: JSON allows it.
#[inline]
pub fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = first_special(rest) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, after)) = from.split_first() else { break };
        escape(*special, out);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Whether all of it stands in a JSON string as it is.
pub(super) fn is_plain(text: &[u8]) -> bool {
    let is_special = |byte: &u8| matches!(byte, ..0x20 | b'"' | b'\\');
    // Without a way out of the inner loop the compiler makes vector instructions of it.
    text.chunks(1024).all(|part| !part.iter().fold(false, |found, byte| found | is_special(byte)))
}

/// Where the first byte is that cannot stand in a JSON string as it is.
///
/// Eight bytes at a time: almost every header value is free of such bytes, and too short for
/// a vectored search to earn its start.
#[inline]
fn first_special(text: &[u8]) -> Option<usize> {
    let (words, tail) = text.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // Each term has the high bit of the first byte in question, and none before it; what
        // a borrow sets in later bytes does not matter.
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5c);
        let quote = quote.wrapping_sub(ONES) & !quote;
        let backslash = backslash.wrapping_sub(ONES) & !backslash;
        let special = (control | quote | backslash) & HIGH;
        if special != 0 {
            return Some(n * 8 + special.trailing_zeros() as usize / 8);
        }
    }
    let at = tail.iter().position(|byte| matches!(byte, ..0x20 | b'"' | b'\\'))?;
    Some(words.len() * 8 + at)
}

#[cold]
fn escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 0xf)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        string(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_rfc_8259_asks() {
        let cases = [
            ("", r#""""#),
            ("example.org", r#""example.org""#),
            (r#"say "hi""#, r#""say \"hi\"""#),
            (r"C:\temp", r#""C:\\temp""#),
            ("\0\x01\x1f\x7f", "\"\\u0000\\u0001\\u001f\x7f\""),
            ("\x08\t\n\x0c\r", r#""\b\t\n\f\r""#),
            ("\u{2028}\u{2029}", "\"\u{2028}\u{2029}\""),
            ("Bücher 本 \u{1f600} \u{fffd}", "\"Bücher 本 \u{1f600} \u{fffd}\""),
            ("</script>", r#""</script>""#),
        ];
        for (text, json) in cases {
            assert_eq!(escaped(text), json, "{text:?}");
        }
    }

    #[test]
    fn every_byte_in_every_place_reads_back() {
        for byte in 0..0x80_u8 {
            for len in 0..20 {
                for at in 0..=len {
                    let mut text = "ä".repeat(len);
                    text.insert(at * 2, char::from(byte));
                    let special = byte < 0x20 || matches!(byte, b'"' | b'\\');
                    assert_eq!(
                        is_plain(text.as_bytes()),
                        !special,
                        "byte {byte:#x} at {at} of {len}"
                    );
                    text.push('"');
                    let back: String = serde_json::from_str(&escaped(&text)).unwrap();
                    assert_eq!(back, text, "byte {byte:#x} at {at} of {len}");
                }
            }
        }
    }
}
