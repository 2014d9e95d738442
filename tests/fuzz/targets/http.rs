#![no_main]

use ringmill_fuzz::{http, seed};

libfuzzer_sys::fuzz_target!(init: seed(http::seeds), |data: &[u8]| http::run(data));
