//! What is an e-mail address, what is a token, and what is a word.

use crate::scrub::{Finder, Found};

#[test]
fn what_is_found() {
    let cases: &[(Option<Found>, &[&str])] = &[
        (
            Some(Found::Email),
            &[
                "jane.doe@example.org",
                "jane%40example.org",
                "jane%2540example.org",
                "jane%2540example%2eorg",
                "j@x",
                "@jane",
                "@angular",
                "jane@10.0.0.1",
                "jane@example.org@example.com",
                "jquery@3.7.1@jane",
            ],
        ),
        (
            Some(Found::Token),
            &[
                // Numbers of telephones, accounts, cards; times in seconds.
                "4915112345678",
                "+49-30-123456-78",
                "4111-1111-1111-1111",
                "user_4111_1111_1111_1111",
                "1700000000",
                "123456789",
                // Hashes, UUIDs, object ids.
                "d41d8cd98f00b204e9800998ecf8427e",
                "D41D8CD98F00B204",
                "123e4567-e89b-12d3-a456-426614174000",
                "deadbeefdeadbeef",
                "main.4f3a9c1b4f3a9c1b.js",
                "file-5f3a9c1b5f3a9c1b5f3a9c1b.png",
                // Base64 and its kin.
                "eyJhbGciOiJIUzI1NiJ9",
                "eyJzdWIiOiIxIn0",
                "eyJh.eyJhbGciOiJ.x",
                "dGhpcyBpcyBhIHNlY3JldA==",
                "V1StGXR8_Z5jdHi6B-myT",
                "ab12cd34ef56gh78",
                "AKIAIOSFODNN7EXAMPLE",
                "qwertzuiopasdfghjklyx",
                "aa-aA-Aa-a00-0-AA-A-aaa-aaG-0",
                "ab-_c1_De-f00_0-A0A-A_aaa",
                "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
                "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
                "a%31b2c3d4e5f6g7h8",
                "%64%34%31%64%38%63%64%39%38%66%30%30%62%32%30%34",
                "%2564%2534%2531%2564%2538%2563%2564%2539%2538%2566%2530%2530%2562%2532%2530%2534",
                "\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}",
            ],
        ),
        (
            None,
            &[
                "",
                "a",
                "index.html",
                "jquery-3.7.1.min.js",
                "jquery@3.7.1",
                "bootstrap@v5.3",
                "main.4f3a9c1b.js",
                "how-to-cook-10-eggs-in-2024",
                "hello-kitty-darth-vader-pink.jpg",
                "banner-image-large-300x250.png",
                "AkamaiGHost",
                "20231115",
                "2024-01-15",
                "192.168.100.200",
                "10.0.0.1",
                "1.1.1.1.example",
                "stale-while-revalidate",
                "Access-Control-Request-Headers",
                "openxmlformats-officedocument",
                "r4---sn-4g5e6nsz",
                "video-1080p-h264-part2",
                "a%20b%2",
                "100%",
                "%zz",
            ],
        ),
    ];
    let mut finder = Finder::default();
    for (expected, words) in cases {
        for word in *words {
            assert_eq!(finder.find(word), *expected, "{word}");
        }
    }
}

#[test]
fn escapes() {
    let mut finder = Finder::default();
    let cases = [
        ("a%41%4a", vec!["aAJ"]),
        ("%2541", vec!["%41", "A"]),
        ("%", vec!["%", "%"]),
        ("%4", vec!["%4", "%4"]),
        ("%%41", vec!["%A", "%A"]),
        ("%g1%1g", vec!["%g1%1g", "%g1%1g"]),
    ];
    for (word, expected) in cases {
        let decoded: Vec<_> = finder.decode(word).map(String::from_utf8_lossy).collect();
        assert_eq!(decoded, expected, "{word}");
    }
}
