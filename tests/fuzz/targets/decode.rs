#![no_main]

use ringmill_fuzz::{decode, seed};

libfuzzer_sys::fuzz_target!(init: seed(decode::seeds), |data: &[u8]| decode::run(data));
