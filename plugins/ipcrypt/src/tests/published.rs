//! The test vectors of draft-denis-ipcrypt, as the published crate `ipcrypt-rs` has them too.

/// The key in hex, an address, its pseudonym.
type Vectors = &'static [(&'static str, &'static str, &'static str)];

pub(super) const DETERMINISTIC: Vectors = &[
    ("0123456789abcdeffedcba9876543210", "0.0.0.0", "bde9:6789:d353:824c:d7c6:f58a:6bd2:26eb"),
    (
        "1032547698badcfeefcdab8967452301",
        "255.255.255.255",
        "aed2:92f6:ea23:58c3:48fd:8b8:74e8:45d8",
    ),
    ("2b7e151628aed2a6abf7158809cf4f3c", "192.0.2.1", "1dbd:c1b9:fff1:7586:7d0b:67b4:e76e:4777"),
];

const BASIC: &str = "0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301";
const KEPT: &str = "2b7e151628aed2a6abf7158809cf4f3ca9f5ba40db214c3798f2e1c23456789a";

pub(super) const PREFIX_PRESERVING: Vectors = &[
    (BASIC, "0.0.0.0", "151.82.155.134"),
    (BASIC, "255.255.255.255", "94.185.169.89"),
    (BASIC, "192.0.2.1", "100.115.72.131"),
    (BASIC, "2001:db8::1", "c180:5dd4:2587:3524:30ab:fa65:6ab6:f88"),
    (KEPT, "10.0.0.47", "19.214.210.244"),
    (KEPT, "10.0.0.129", "19.214.210.80"),
    (KEPT, "10.0.0.234", "19.214.210.30"),
    (KEPT, "172.16.5.193", "210.78.229.136"),
    (KEPT, "172.16.97.42", "210.78.179.241"),
    (KEPT, "172.16.248.177", "210.78.121.215"),
    (KEPT, "2001:db8::a5c9:4e2f:bb91:5a7d", "7cec:702c:1243:f70:1956:125:b9bd:1aba"),
    (KEPT, "2001:db8::7234:d8f1:3c6e:9a52", "7cec:702c:1243:f70:a3ef:c8e:95c1:cd0d"),
    (KEPT, "2001:db8::f1e0:937b:26d4:8c1a", "7cec:702c:1243:f70:443c:c8e:6a62:b64d"),
    (KEPT, "2001:db8:3a5c::e7d1:4b9f:2c8a:f673", "7cec:702c:3503:bef:e616:96bd:be33:a9b9"),
    (KEPT, "2001:db8:9f27::b4e2:7a3d:5f91:c8e6", "7cec:702c:a504:b74e:194a:3d90:b047:2d1a"),
    (KEPT, "2001:db8:d8b4::193c:a5e7:8b2f:46d1", "7cec:702c:f840:aa67:1b8:e84f:ac9d:77fb"),
];
