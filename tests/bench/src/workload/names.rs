//! Who asks and who is asked: user agents and hosts, drawn Zipf-like.
//!
//! Hosts end in names that are reserved for examples (RFC 2606), so that no capture names a
//! real site. User agents are real strings whose versions are varied.

use super::dice::{Dice, Zipf};

/// Distinct hosts.
const HOSTS: usize = 3000;
/// Distinct user agents, at most.
const AGENTS: usize = 4000;
/// The tables do not depend on the seed: rank 7 is the same host in every capture.
const TABLE_SEED: u64 = 0x7269_6e67;

/// A user agent and whether its owner sends the headers of a browser.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) text: String,
    pub(super) browser: bool,
}

/// The tables.
#[derive(Debug)]
pub(super) struct Names {
    hosts: Vec<String>,
    agents: Vec<Agent>,
    zipf: Zipf,
}

impl Names {
    pub(super) fn new() -> Self {
        let mut dice = Dice::new(TABLE_SEED, 0);
        let hosts = hosts(&mut dice);
        let agents = agents(&mut dice);
        Self { zipf: Zipf::new(hosts.len().max(agents.len())), hosts, agents }
    }

    /// Rank of a host.
    pub(super) fn draw_host(&self, dice: &mut Dice) -> usize {
        self.zipf.draw(dice, self.hosts.len())
    }

    /// Rank of a user agent.
    pub(super) fn draw_agent(&self, dice: &mut Dice) -> usize {
        self.zipf.draw(dice, self.agents.len())
    }

    pub(super) fn host(&self, rank: usize) -> &str {
        &self.hosts[rank]
    }

    pub(super) fn agent(&self, rank: usize) -> &Agent {
        &self.agents[rank]
    }
}

const SYLLABLES: &[&str] = &[
    "al", "an", "bel", "ber", "cam", "cor", "da", "del", "en", "fal", "gran", "hel", "in", "jun",
    "kor", "lin", "lo", "mar", "mon", "nor", "o", "pal", "quen", "ra", "ri", "sol", "ste", "ta",
    "tor", "u", "ver", "vi", "wes", "xi", "yor", "zen",
];
const PREFIXES: &[&str] =
    &["www.", "www.", "cdn.", "static.", "img.", "api.", "news.", "dl.", "ocsp.", "m.", ""];
const SUFFIXES: &[&str] = &[".example.com", ".example.net", ".example.org", ".example", ".test"];

fn hosts(dice: &mut Dice) -> Vec<String> {
    let mut hosts = Vec::with_capacity(HOSTS);
    while hosts.len() < HOSTS {
        let mut host = String::from(*dice.of(PREFIXES));
        for _ in 0..dice.between(2, 4) {
            host += *dice.of(SYLLABLES);
        }
        host += *dice.of(SUFFIXES);
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// In a pattern `#` stands for the major version, `%` for a build number and `$` for a
/// digit. The number is the pattern's share of the table.
struct Pattern(&'static str, std::ops::RangeInclusive<u32>, u32, bool);

const PATTERNS: &[Pattern] = &[
    Pattern(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.%.$ Safari/537.36",
        96..=137,
        900,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.0.0 Safari/537.36",
        90..=137,
        48,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.%.$ Safari/537.36",
        96..=137,
        200,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.%.$ Safari/537.36",
        49..=109,
        150,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:#.0) Gecko/20100101 Firefox/#.0",
        78..=139,
        62,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:#.0) Gecko/20100101 Firefox/#.0",
        78..=139,
        62,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:#.0) Gecko/20100101 Firefox/#.0",
        78..=139,
        62,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/#.$ Safari/605.1.15",
        13..=18,
        50,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (iPhone; CPU iPhone OS #_$_$ like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/#.$ Mobile/15E148 Safari/604.1",
        13..=18,
        300,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (iPad; CPU OS #_$ like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/#.$ Mobile/15E148 Safari/604.1",
        12..=18,
        100,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.0.0 Safari/537.36 Edg/#.0.%.$",
        100..=137,
        300,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.0.0 Safari/537.36 OPR/9$.0.%.0",
        100..=120,
        60,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (Linux; Android 1$; SM-G99$B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.%.$ Mobile Safari/537.36",
        90..=137,
        500,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (Linux; Android 1$; Pixel $) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.%.$ Mobile Safari/537.36",
        90..=137,
        300,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (Linux; Android 1$; SAMSUNG SM-A5$6B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/#.0 Chrome/115.0.0.0 Mobile Safari/537.36",
        14..=25,
        100,
        true,
    ),
    Pattern(
        "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:#.0) like Gecko",
        11..=11,
        1,
        true,
    ),
    Pattern("Mozilla/5.0 (compatible; MSIE #.0; Windows NT 6.1; Trident/5.0)", 9..=10, 2, true),
    Pattern(
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        1..=1,
        1,
        false,
    ),
    Pattern(
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
        1..=1,
        1,
        false,
    ),
    Pattern("Dalvik/2.1.0 (Linux; U; Android #; SM-A$15F Build/RP1A.%)", 9..=14, 300, false),
    Pattern("Microsoft-CryptoAPI/#.0", 6..=10, 5, false),
    Pattern("Microsoft BITS/7.$", 1..=1, 9, false),
    Pattern("Windows-Update-Agent/10.0.10011.%$ Client-Protocol/2.$", 1..=1, 60, false),
    Pattern("Debian APT-HTTP/1.3 (#.$.1$)", 1..=2, 60, false),
    Pattern("curl/#.$.$", 7..=8, 100, false),
    Pattern("Wget/1.#.$", 14..=24, 60, false),
    Pattern("python-requests/2.#.$", 18..=32, 80, false),
    Pattern("Go-http-client/1.1", 1..=1, 1, false),
    Pattern("okhttp/4.#.$", 1..=12, 60, false),
    Pattern("Java/1.8.0_#$", 10..=40, 150, false),
    Pattern("VLC/3.0.# LibVLC/3.0.#", 1..=20, 20, false),
    Pattern("trustd (unknown version) CFNetwork/1#.0.$ Darwin/2$.$.0", 100..=500, 200, false),
];

fn agents(dice: &mut Dice) -> Vec<Agent> {
    let mut seen = std::collections::BTreeSet::new();
    for Pattern(pattern, versions, share, browser) in PATTERNS {
        for _ in 0..*share {
            let major = dice.between(*versions.start(), *versions.end());
            let mut text = String::new();
            for letter in pattern.chars() {
                match letter {
                    '#' => text.push_str(&major.to_string()),
                    '%' => text.push_str(&dice.between(1000, 7200).to_string()),
                    '$' => text.push_str(&dice.below(10).to_string()),
                    plain => text.push(plain),
                }
            }
            seen.insert((text, *browser));
        }
    }
    let mut agents: Vec<Agent> =
        seen.into_iter().map(|(text, browser)| Agent { text, browser }).collect();
    dice.shuffle(&mut agents);
    agents.truncate(AGENTS);
    agents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_a_few_thousand_of_each() {
        let names = Names::new();
        assert_eq!(names.hosts.len(), HOSTS);
        assert!(names.agents.len() > 2500, "{}", names.agents.len());
        for agent in &names.agents {
            assert!(!agent.text.contains(['#', '%', '$']), "{}", agent.text);
        }
    }
}
