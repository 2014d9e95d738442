//! The spelling of a pseudonym: plain and canonical, in the form of the address before it.

use super::{Form, Found};
use crate::{packet::unmap_v4, render};

/// Appends the pseudonym in the form in which the address was found.
pub(in super::super) fn write(found: &Found, pseudonym: &[u8; 16], out: &mut Vec<u8>) {
    let from = out.len();
    match (found.form, unmap_v4(pseudonym)) {
        (Form::Quad(separator), Some(_)) => {
            render::ip(pseudonym, out);
            replace(out, from, b'.', &[separator]);
        }
        (Form::HostQuad, Some(_)) => render::ip(pseudonym, out),
        (Form::Reversed, Some([a, b, c, d])) => {
            render::ip(&crate::map_v4([d, c, b, a]), out);
        }
        (Form::Groups, Some(_)) => {
            out.extend_from_slice(b"::ffff:");
            render::ip(pseudonym, out);
        }
        (Form::Quad(b'.') | Form::Groups, None) => render::ip(pseudonym, out),
        // As in names under ipv6-literal.net.
        (Form::Quad(_), None) => {
            render::ip(pseudonym, out);
            replace(out, from, b':', b"-");
        }
        (Form::HostQuad, None) => {
            out.push(b'[');
            render::ip(pseudonym, out);
            out.push(b']');
        }
        (Form::Nibbles, _) | (Form::Reversed, None) => nibbles(pseudonym, out),
    }
    if found.escapes > 0 {
        let again = "25".repeat(found.escapes - 1);
        for (character, code) in [(b':', "3A"), (b'[', "5B"), (b']', "5D")] {
            replace(out, from, character, format!("%{again}{code}").as_bytes());
        }
    }
}

/// Writes `with` for each `what` from `from` on.
fn replace(out: &mut Vec<u8>, from: usize, what: u8, with: &[u8]) {
    if let [one] = with {
        out[from..].iter_mut().filter(|byte| **byte == what).for_each(|byte| *byte = *one);
        return;
    }
    let text = out.split_off(from);
    for byte in text {
        match byte == what {
            true => out.extend_from_slice(with),
            false => out.push(byte),
        }
    }
}

/// The labels before `ip6.arpa` (RFC 3596, section 2.5).
fn nibbles(address: &[u8; 16], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let from = out.len();
    for byte in address.iter().rev() {
        for nibble in [byte & 15, byte >> 4] {
            out.extend([DIGITS[usize::from(nibble)], b'.']);
        }
    }
    out.truncate((out.len() - 1).max(from));
}
