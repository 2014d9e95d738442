//! A filter, where it names nobody.

use super::options::HIDDEN;

/// The filter in tcpdump's syntax; where it may name an address or a machine, that there was
/// one. Shown is one of a few words and of numbers behind some of them.
pub(super) fn told(filter: &str) -> String {
    let mut of = "";
    let spaced = filter.replace(['(', ')', '!'], " ").replace("&&", " and ").replace("||", " or ");
    let is_plain = spaced.split_whitespace().all(|word| {
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            let digits = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            return digits && WITH_NUMBER.contains(&of);
        }
        if !["and", "or", "not"].contains(&word) {
            of = word;
        }
        ["and", "or", "not"].contains(&word) || WITH_NUMBER.contains(&word) || WORDS.contains(&word)
    });
    if is_plain { filter } else { HIDDEN }.to_owned()
}

/// Behind these, numbers are ports, tags, lengths and protocols.
const WITH_NUMBER: &[&str] = &["port", "portrange", "vlan", "mpls", "less", "greater", "proto"];

/// None of these has a machine or a network behind it.
const WORDS: &[&str] = &[
    "tcp", "udp", "ip", "ip6", "arp", "icmp", "icmp6", "sctp", "inbound", "outbound", "src", "dst",
];

#[cfg(test)]
mod tests {
    use super::{HIDDEN, told};

    #[test]
    fn a_filter_that_may_name_somebody_is_not_shown() {
        let shown = [
            "tcp",
            "tcp port 80",
            "tcp and (port 80 or 8080 or portrange 8000-8100)",
            "vlan 7 && !udp",
            "tcp src port 443",
        ];
        for filter in shown {
            assert_eq!(told(filter), filter);
        }
        let hidden = [
            "host 192.0.2.1",
            "net 10",
            "not net 192.0.2.0/24",
            "src 192.0.2.1",
            "src 10",
            "tcp and 10",
            "port 80 and 10.1",
            "ether host 02:00:00:00:00:01",
            "tcp port http and host www.example.com",
            "ip[12:4] = 0xc0000201",
            "ip6 src 2001:db8::1",
        ];
        for filter in hidden {
            assert_eq!(told(filter), HIDDEN, "{filter}");
        }
    }
}
