//! Hosts that browsers read as IPv4 addresses: numbers in any base, one to four of them.

use super::{Form, Place, Scan, v4::digits_end};

impl Scan<'_> {
    /// The host that the whole text may begin with; where it ends.
    pub(super) fn host_at_start(&mut self) -> usize {
        match self.place {
            Place::Host => self.host(0).unwrap_or(0),
            // The target of CONNECT is a host and a port (RFC 9112, section 3.2.3); what has no
            // port is a relative path.
            Place::Url => {
                let end = host_end(self.text, 0);
                let port = self.text.get(end..).and_then(|rest| rest.strip_prefix(b":"));
                let is_target = port.is_some_and(|port| port.iter().all(u8::is_ascii_digit));
                is_target.then(|| self.host(0)).flatten().unwrap_or(0)
            }
            Place::Text | Place::Products => 0,
        }
    }

    /// The host behind these slashes, or behind the user information that ends here, if an
    /// authority begins here; how far it is decided.
    pub(super) fn authority(&mut self, at: usize) -> usize {
        let (slashes, host) = match self.byte(at) {
            b'@' => {
                // A longer name is nobody's, and looking back has to have an end.
                let from = self.done.max(at.saturating_sub(64));
                let is_end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b' ' | b'"' | b'<');
                match self.text[from..at].iter().rposition(is_end) {
                    Some(n) if self.has((from + n).saturating_sub(1), b"//") => {
                        (from + n - 1, at + 1)
                    }
                    _ => return at + 1,
                }
            }
            _ => (at, at + 2),
        };
        // Elsewhere two slashes are a path with an empty part.
        let begins = matches!(
            self.before(slashes),
            0 | b':' | b' ' | b'\t' | b',' | b';' | b'=' | b'(' | b'<' | b'"' | b'\''
        );
        begins.then(|| self.host(host)).flatten().unwrap_or(at + 1)
    }

    /// The number that stands here as a host; where it ends.
    fn host(&mut self, at: usize) -> Option<usize> {
        let end = host_end(self.text, at);
        // The first group of an IPv6 address is no host with a port.
        let behind = match self.byte(end) {
            b':' => digits_end(self.text, end + 1),
            _ => end,
        };
        if self.byte(behind).is_ascii_alphanumeric() || b"-_%.:".contains(&self.byte(behind)) {
            return None;
        }
        let name = self.text.get(at..end)?;
        let name = name.strip_suffix(b".").unwrap_or(name);
        let address = number(name)?;
        self.push_v4(at, at + name.len(), address, Form::HostQuad);
        Some(end)
    }
}

/// Where the digits and dots that begin here end.
fn host_end(text: &[u8], at: usize) -> usize {
    let belongs = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b'x' | b'X');
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !belongs(byte)).unwrap_or(rest.len())
}

/// The IPv4 parser of the URL standard (<https://url.spec.whatwg.org/#concept-ipv4-parser>).
fn number(host: &[u8]) -> Option<u32> {
    if host.len() > 64 {
        return None;
    }
    let mut address = 0_u32;
    let mut parts = host.split(|byte| *byte == b'.').peekable();
    for place in 0..4_u32 {
        let part = digits(parts.next()?)?;
        let room = 32 - 8 * place;
        if parts.peek().is_none() {
            return (part < 1 << room).then(|| address | u32::try_from(part).unwrap_or(0));
        }
        let octet = u8::try_from(part).ok()?;
        address |= u32::from(octet).checked_shl(room - 8)?;
    }
    None
}

fn digits(part: &[u8]) -> Option<u64> {
    let (digits, base) = match part {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        [b'0', digits @ ..] if !digits.is_empty() => (digits, 8),
        [] => return None,
        digits => (digits, 10),
    };
    // More than any address is; further digits do not make it less.
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = char::from(*byte).to_digit(base)?;
        Some((value * u64::from(base) + u64::from(digit)).min(1 << 40))
    })
}
