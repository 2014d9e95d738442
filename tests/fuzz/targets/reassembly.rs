#![no_main]

use ringmill_fuzz::{reassembly, seed};

libfuzzer_sys::fuzz_target!(init: seed(reassembly::seeds), |data: &[u8]| reassembly::run(data));
