#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailtide::local::fuzz::mailbox_path(data));
