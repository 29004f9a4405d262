//! `max_message_size` holds upwards, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kit::imap::Profile;
use kit::world::World;

use super::{agreed_on, rungs, settle, sync};
use crate::scenarios::write;

fn limited(profile: &Profile) -> World {
    let mut world = agreed_on(profile);
    world.also(|settings| settings.max_message_size = 5_000);
    sync(&world);
    world
}

#[test]
fn what_is_too_large_is_neither_read_nor_sent_and_is_named() {
    for profile in rungs() {
        let mut world = limited(&profile);
        let text = format!("Subject: large\n\n{}\n", "x".repeat(6_000));
        write(&world, "INBOX/cur/large:2,S", &text);
        write(&world, "INBOX/cur/small:2,S", "Subject: small\n\nx\n");
        let opened = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&opened);
        world.on_call(move |call, path| {
            let is = call == "open" && path.to_string_lossy().contains("large");
            count.fetch_add(u64::from(is), Ordering::SeqCst);
        });
        for _ in 0..3 {
            sync(&world);
        }
        world.quiet();
        assert_eq!(opened.load(Ordering::SeqCst), 0, "not read");
        assert_eq!(world.set_aside(), ["larger than max_message_size (5000 bytes)"]);
        let there = |word: &str| super::there(&world, "INBOX", word);
        assert_eq!((there("Subject: large"), there("Subject: small")), (0, 1));
        // With another limit it goes up.
        world.also(|settings| settings.max_message_size = 50_000);
        settle(&world);
        assert_eq!(super::there(&world, "INBOX", "Subject: large"), 1);
    }
}
