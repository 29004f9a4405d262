#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailtide::remote::imap::fuzz::mailbox_name(data));
