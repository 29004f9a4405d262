#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailtide::remote::pop3::fuzz::conversation(data));
