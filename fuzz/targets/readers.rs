//! Runs `readers::check` on what libFuzzer invents.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| assay_fuzz::readers::check(input));
