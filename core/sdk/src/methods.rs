//! The methods of HTTP.

/// Whether the method is in IANA's registry of HTTP methods (RFC 9110, section 16.1; all of them
/// are in upper case, and case matters).
#[inline]
#[must_use]
pub fn is_registered_method(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"POST" | b"HEAD") || is_uncommon(method)
}

#[cold]
fn is_uncommon(method: &[u8]) -> bool {
    const METHODS: &[&str] = &[
        "ACL",
        "BASELINE-CONTROL",
        "BIND",
        "CHECKIN",
        "CHECKOUT",
        "CONNECT",
        "COPY",
        "DELETE",
        "GET",
        "HEAD",
        "LABEL",
        "LINK",
        "LOCK",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKCOL",
        "MKREDIRECTREF",
        "MKWORKSPACE",
        "MOVE",
        "OPTIONS",
        "ORDERPATCH",
        "PATCH",
        "POST",
        "PRI",
        "PROPFIND",
        "PROPPATCH",
        "PUT",
        "QUERY",
        "REBIND",
        "REPORT",
        "SEARCH",
        "TRACE",
        "UNBIND",
        "UNCHECKOUT",
        "UNLINK",
        "UNLOCK",
        "UPDATE",
        "UPDATEREDIRECTREF",
        "VERSION-CONTROL",
    ];
    METHODS.binary_search_by(|known| known.as_bytes().cmp(method)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        for method in ["GET", "HEAD", "ACL", "PROPFIND", "VERSION-CONTROL", "PRI"] {
            assert!(is_registered_method(method.as_bytes()), "{method}");
        }
        for method in ["", "GETX", "get", "CCM_POST", "ZZZ"] {
            assert!(!is_registered_method(method.as_bytes()), "{method}");
        }
    }
}
