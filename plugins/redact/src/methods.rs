//! The policy in words, for a methods section.

use crate::options::{Agent, ClientAddresses, Credentials, Options, Tags, Urls};

/// What these options let out.
pub(crate) fn of(options: &Options) -> String {
    let fields = match options.headers.iter().any(|name| name == "*") {
        true => "Header fields came out by a policy: all but those that name a person".to_owned(),
        false => format!(
            "Header fields came out by a policy: those with a column and {} others by name",
            options.headers.len()
        ),
    };
    let names = if options.names { ", of the rest their names" } else { "" };
    let credentials = match options.credentials {
        Credentials::Drop => "no cookies and no credentials",
        Credentials::Length => "of cookies and credentials their length",
        Credentials::Hash => "of cookies and credentials a keyed hash",
    };
    let clients = match options.client_addresses {
        ClientAddresses::Addresses => "only the addresses",
        ClientAddresses::Drop => "nothing",
        ClientAddresses::Length => "the length",
    };
    let tags = match options.etag {
        Tags::Full => "in full",
        Tags::Hash => "as a keyed hash",
    };
    let agents = match options.user_agent {
        Agent::Full => "in full",
        Agent::Parsed => "only as names and versions of system, device and browser",
    };
    let scrub = match options.scrub {
        true => {
            "E-mail addresses, long tokens and values of an odd form were replaced by keyed hashes"
        }
        false => "E-mail addresses and tokens inside other values were not looked for",
    };
    format!(
        "{fields}{names}; {credentials}; of fields with a client's address {clients}; entity tags \
         {tags}; user agents {agents}; {}. {scrub}",
        urls(options)
    )
}

/// What came out of URLs, those that are treated alike together.
fn urls(options: &Options) -> String {
    let kinds = [
        ("request targets", options.url),
        ("Referer and Origin", options.referer),
        ("Location", options.location),
        ("Link", options.link),
    ];
    let mut told: Vec<(Urls, Vec<&str>)> = Vec::new();
    for (name, mode) in kinds {
        match told.iter_mut().find(|(known, _)| *known == mode) {
            Some((_, names)) => names.push(name),
            None => told.push((mode, vec![name])),
        }
    }
    let each = told.iter().map(|(mode, names)| {
        let how = match mode {
            Urls::Full => "in full",
            Urls::NoQuery => "without their query",
            Urls::HashQuery => "with a keyed hash for each value of their query",
            Urls::HashPath => "with keyed hashes for path and query",
            Urls::Hash => "as a keyed hash",
        };
        let names = if names.len() == kinds.len() { "URLs".to_owned() } else { names.join(", ") };
        format!("{names} {how}")
    });
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use ringmill_sdk::parse_config;

    use super::*;

    #[test]
    fn the_sentence_follows_the_options() {
        let cases = [
            ("", "no cookies and no credentials"),
            ("", "URLs with a keyed hash for each value of their query"),
            ("", "others by name; no cookies"),
            ("names = true", "others by name, of the rest their names; "),
            ("headers = [\"*\"]", "all but those that name a person; "),
            ("credentials = \"hash\"", "of cookies and credentials a keyed hash"),
            ("client_addresses = \"drop\"", "of fields with a client's address nothing"),
            ("etag = \"full\"", "entity tags in full"),
            ("user_agent = \"full\"", "user agents in full"),
            ("scrub = false", "were not looked for"),
            (
                "url = \"full\"\nlink = \"full\"",
                "request targets, Link in full; Referer and Origin, Location with a keyed hash for \
                 each value of their query",
            ),
        ];
        for (options, part) in cases {
            let text = of(&parse_config(options).unwrap());
            assert!(text.contains(part), "{options}: {part:?} is missing: {text}");
        }
    }
}
