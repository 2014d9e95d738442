//! URLs without the user information (RFC 3986, section 3.2.1) that they may hold: names and
//! passwords.

/// The two parts of a URL between which the user information was. The second is empty where
/// there was none.
///
/// Taken widely, as browsers do: any number of slashes and backslashes after the scheme, or
/// neither scheme nor slashes (the target of CONNECT). `cut` when the end of the URL is
/// missing: then an authority that is not complete is left out, because the `@` may be in what
/// is missing.
#[inline]
pub(crate) fn without_userinfo(url: &[u8], cut: bool) -> (&[u8], &[u8]) {
    match url {
        // The path of most requests.
        [b'/'] => (url, b""),
        [b'/', second, ..] if !matches!(second, b'/' | b'\\') => (url, b""),
        _ if !cut && !url.contains(&b'@') => (url, b""),
        _ => split(url, cut),
    }
}

fn split(url: &[u8], cut: bool) -> (&[u8], &[u8]) {
    let begin = authority(url);
    let (before, rest) = url.split_at(begin);
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    if cut && end.is_none() {
        return (before, b"");
    }
    match rest[..end.unwrap_or(rest.len())].iter().rposition(|byte| *byte == b'@') {
        Some(0) | None => (url, b""),
        Some(at) => (before, &rest[at + 1..]),
    }
}

/// Where the authority begins.
fn authority(url: &[u8]) -> usize {
    let slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    let scheme = url.iter().position(|byte| slash(byte) || matches!(byte, b'?' | b'#'));
    let (scheme, rest) = url.split_at(scheme.unwrap_or(url.len()));
    let slashes = rest.iter().take_while(|byte| slash(byte)).count();
    match scheme {
        // What looks like a scheme may be a name: `user:password@host:/`.
        [] | [.., b':'] if slashes > 0 && !scheme.contains(&b'@') => scheme.len() + slashes,
        _ => 0,
    }
}

/// A Link field (RFC 8288) without the user information in its targets and in the URLs of its
/// parameters; `None` where there can be none. `cut` when its end is missing.
///
/// A target stands in angle brackets, a parameter may be quoted; each of these is taken as one
/// URL, and so is each word outside of them, for what is written without brackets.
pub(crate) fn links_without_userinfo(links: &[u8], cut: bool) -> Option<Vec<u8>> {
    if !cut && !links.contains(&b'@') {
        return None;
    }
    let mut text = Vec::with_capacity(links.len());
    let mut rest = links;
    while let [first, after @ ..] = rest {
        let end = |within: &[u8], ends: fn(u8) -> bool| {
            within.iter().position(|byte| ends(*byte)).unwrap_or(within.len())
        };
        let url = match first {
            b'<' => &after[..end(after, |byte| byte == b'>')],
            b'"' => &after[..end(after, |byte| byte == b'"')],
            b' ' | b'\t' | b',' | b';' | b'=' | b'>' => &after[..0],
            _ => {
                &rest[..end(rest, |byte| matches!(byte, b' ' | b'\t' | b',' | b';' | b'<' | b'"'))]
            }
        };
        let is_delimiter = matches!(first, b'<' | b'"' | b' ' | b'\t' | b',' | b';' | b'=' | b'>');
        let (delimiter, behind) = rest.split_at(usize::from(is_delimiter));
        let behind = behind.get(url.len()..).unwrap_or_default();
        text.extend_from_slice(delimiter);
        let (before, after) = without_userinfo(url, cut && behind.is_empty());
        text.extend_from_slice(before);
        text.extend_from_slice(after);
        // The closing mark belongs to its opening one.
        let closes = matches!((first, behind.first()), (b'<', Some(b'>')) | (b'"', Some(b'"')));
        text.extend_from_slice(&behind[..usize::from(closes)]);
        rest = &behind[usize::from(closes)..];
    }
    Some(text)
}

/// What is sure of a Host field (RFC 9110, section 7.2) whose end is missing: the name, or an
/// address in brackets. What follows a colon may be a port or a password.
pub(crate) fn cut_host(host: &[u8]) -> &[u8] {
    match host.iter().position(|byte| *byte == b':') {
        Some(at) if host.first() != Some(&b'[') => &host[..at],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_left_out() {
        let cases: &[(&str, &str, &str)] = &[
            // (the URL, without user information, the same when its end is missing)
            ("", "", ""),
            ("/", "/", "/"),
            ("*", "*", ""),
            ("/a@b/c", "/a@b/c", "/a@b/c"),
            ("http://h/", "http://h/", "http://h/"),
            ("http://h", "http://h", "http://"),
            ("http://u:p@h/x", "http://h/x", "http://h/x"),
            ("HTTPS://u@h?q", "HTTPS://h?q", "HTTPS://h?q"),
            ("http://u:p@h", "http://h", "http://"),
            ("http://u@m:p@h/x", "http://h/x", "http://h/x"),
            ("http://h/a@b?c@d#e@f", "http://h/a@b?c@d#e@f", "http://h/a@b?c@d#e@f"),
            ("http://h?u=a@b", "http://h?u=a@b", "http://h?u=a@b"),
            ("http://@h/x", "http://@h/x", "http://@h/x"),
            ("http:/u:p@h/x", "http:/h/x", "http:/h/x"),
            ("http:///u:p@h/x", "http:///h/x", "http:///h/x"),
            ("http:\\\\u:p@h/x", "http:\\\\h/x", "http:\\\\h/x"),
            ("http:u:p@h/x", "h/x", "h/x"),
            ("//u:p@h/x", "//h/x", "//h/x"),
            ("/\\u:p@h/x", "/\\h/x", "/\\h/x"),
            ("http://u:p@h\\x@y/z", "http://y/z", "http://y/z"),
            ("u:p@h:443", "h:443", ""),
            ("h:443", "h:443", ""),
            ("http", "http", ""),
            ("ftp://[::1]:21/", "ftp://[::1]:21/", "ftp://[::1]:21/"),
            ("u:p@h:", "h:", ""),
            ("u:p@h:/x", "h:/x", "h:/x"),
            ("u:p@h:\\x", "h:\\x", ""),
            ("a b://u@h/", "a b://h/", "a b://h/"),
            ("\u{e9}@h/", "h/", "h/"),
        ];
        for (url, whole, cut) in cases {
            for (is_cut, expected) in [(false, whole), (true, cut)] {
                let (before, after) = without_userinfo(url.as_bytes(), is_cut);
                let got = [before, after].concat();
                assert_eq!(
                    got.escape_ascii().to_string(),
                    expected.as_bytes().escape_ascii().to_string(),
                    "{url} cut: {is_cut}"
                );
            }
        }
    }

    #[test]
    fn links_without_user_information() {
        let cases: &[(&str, &str, &str)] = &[
            // (the field, without user information, the same when its end is missing)
            ("", "", ""),
            ("</a>; rel=preload", "</a>; rel=preload", "</a>; "),
            ("<http://h/a>; rel=next", "<http://h/a>; rel=next", "<http://h/a>; "),
            ("<http://u:p@h/a>", "<http://h/a>", "<http://h/a>"),
            (
                "<http://u:p@h/a>; a=b, <//v@i/>",
                "<http://h/a>; a=b, <//i/>",
                "<http://h/a>; a=b, <//i/>",
            ),
            ("<http://u,;<x:p@h/>", "<http://h/>", "<http://h/>"),
            (
                "</>; anchor=\"http://u:p@h/\"",
                "</>; anchor=\"http://h/\"",
                "</>; anchor=\"http://h/\"",
            ),
            ("</>;anchor=http://u:p@h/", "</>;anchor=http://h/", "</>;anchor=http://h/"),
            ("http://u:p@h/, http://v@i", "http://h/, http://i", "http://h/, http://"),
            ("<http://u:p@h", "<http://h", "<http://"),
            ("<http://u:p", "<http://u:p", "<http://"),
            ("<a@b/c>>\"<\"=", "<b/c>>\"<\"=", "<b/c>>\"<\"="),
        ];
        for (links, whole, cut) in cases {
            for (is_cut, expected) in [(false, whole), (true, cut)] {
                let got = links_without_userinfo(links.as_bytes(), is_cut);
                let got = got.unwrap_or_else(|| links.as_bytes().to_vec());
                assert_eq!(
                    got.escape_ascii().to_string(),
                    expected.as_bytes().escape_ascii().to_string(),
                    "{links} cut: {is_cut}"
                );
            }
        }
    }

    #[test]
    fn hosts_that_are_cut() {
        let cases = [("", ""), ("h", "h"), ("h:80", "h"), ("u:p", "u"), ("[::1]:8", "[::1]:8")];
        for (host, sure) in cases {
            assert_eq!(cut_host(host.as_bytes()), sure.as_bytes(), "{host}");
        }
    }
}
