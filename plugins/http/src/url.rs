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
    fn hosts_that_are_cut() {
        let cases = [("", ""), ("h", "h"), ("h:80", "h"), ("u:p", "u"), ("[::1]:8", "[::1]:8")];
        for (host, sure) in cases {
            assert_eq!(cut_host(host.as_bytes()), sure.as_bytes(), "{host}");
        }
    }
}
