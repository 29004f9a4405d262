//! Servers that announce mod-sequences and do not let them rise (AWS WorkMail).

use kit::imap::{Modseq, Profile};
use kit::world::World;

use super::{agreed_on, flags, sent, settle, sync, uid};
use crate::scenarios::{rename, stem, with_text};

fn servers() -> [Profile; 3] {
    [
        Profile::qresync(),
        Profile::condstore(),
        Profile { list_status: false, modseq: Modseq::Condstore, ..Profile::qresync() },
    ]
}

/// A message of INBOX and one of Work are flagged elsewhere; HIGHESTMODSEQ stays as it is.
fn flagged_unseen(profile: &Profile) -> World {
    let world = agreed_on(profile);
    world.server.stop_modseq(true);
    for (mailbox, text) in [("INBOX", "text 1"), ("Work", "text 8")] {
        world.server.set_flags(mailbox, uid(&world, mailbox, text), &["\\Answered"], &[]);
    }
    world
}

fn is_answered_here(world: &World) -> [bool; 2] {
    [("INBOX", "text 1"), ("Work", "text 8")].map(|(mailbox, text)| {
        let file = with_text(world, mailbox, text);
        file.to_string_lossy().rsplit(',').next().unwrap().contains('R')
    })
}

#[test]
fn hazard_135_a_new_message_that_leaves_highestmodseq_as_it_was_shows_that_it_tells_nothing() {
    for profile in servers() {
        let world = flagged_unseen(&profile);
        world.server.append("INBOX", b"Message-ID: <n>\r\n\r\nnews\r\n", &[], Some(5));
        settle(&world);
        assert_eq!(is_answered_here(&world), [true, true], "{profile:?}");
        // It stays so without any further sign.
        world.server.set_flags("Work", uid(&world, "Work", "text 9"), &["\\Draft"], &[]);
        settle(&world);
    }
}

#[test]
fn hazard_135_our_own_change_that_leaves_highestmodseq_as_it_was_shows_that_it_tells_nothing() {
    for profile in servers() {
        let world = flagged_unseen(&profile);
        let file = with_text(&world, "INBOX", "text 2");
        rename(&world, &file, &format!("INBOX/cur/{}:2,FS", stem(&file)));
        sync(&world);
        settle(&world);
        assert_eq!(flags(&world, "INBOX", "text 2"), ["\\Flagged", "\\Seen"]);
        assert_eq!(is_answered_here(&world), [true, true], "{profile:?}");
    }
}

#[test]
fn hazard_135_highestmodseq_is_believed_again_once_it_moves() {
    for profile in servers() {
        let world = flagged_unseen(&profile);
        world.server.append("INBOX", b"Message-ID: <n>\r\n\r\nnews\r\n", &[], Some(5));
        settle(&world);
        world.server.stop_modseq(false);
        world.server.set_flags("INBOX", uid(&world, "INBOX", "text 2"), &["\\Answered"], &[]);
        sync(&world);
        world.server.reset_counters();
        assert_eq!(sync(&world).done(), 0);
        assert_eq!(sent(&world, "SELECT").len(), 0, "nothing moved");
        settle(&world);
    }
}
