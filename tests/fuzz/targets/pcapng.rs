#![no_main]

use ringmill_fuzz::{readers, seed};

libfuzzer_sys::fuzz_target!(init: seed(readers::pcapng_seeds), |data: &[u8]| readers::run(data));
