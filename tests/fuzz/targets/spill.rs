#![no_main]

use ringmill_fuzz::{seed, spill};

libfuzzer_sys::fuzz_target!(init: seed(spill::seeds), |data: &[u8]| spill::run(data));
