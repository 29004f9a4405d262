//! What has the name of a message and is none: links, special files, compressed files, zeros.

use kit::world::World;

use super::{agreed_on, here, rungs, settle, sync, there};
use crate::scenarios::{stem, with_text, write};

/// How often a run names something with these words.
fn named(world: &World, words: &str) -> usize {
    sync(world).skipped.iter().filter(|skip| skip.why.contains(words)).count()
}

#[test]
fn hazard_170_a_link_in_the_place_of_a_file_deletes_nothing() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let before = world.remote();
        for (text, target) in [("text 0", "/elsewhere/a"), ("text 1", "/mail/Work/cur/none")] {
            let file = with_text(&world, "INBOX", text);
            let bytes = world.fs.read_file(&file).expect("a file");
            world.fs.mkdir_all("/elsewhere");
            world.fs.write_file("/elsewhere/a", &bytes);
            world.fs.delete_file(&file);
            world.fs.symlink(target, &file);
        }
        world.fs.symlink("/elsewhere/a", world.dir_of("Work").join("cur").join("new:2,S"));
        for _ in 0..3 {
            assert_eq!(named(&world, "a link or special file"), 2, "INBOX and Work");
        }
        assert_eq!(world.remote(), before, "nothing is deleted, nothing uploaded");
        // They keep nothing else waiting.
        world.fs.delete_file(with_text(&world, "Work", "text 8"));
        world.wait();
        sync(&world);
        assert_eq!((there(&world, "Work", "text 8"), there(&world, "Trash", "text 8")), (0, 1));
    }
}

#[test]
fn hazard_170_what_is_a_file_again_is_the_message_that_it_was() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let file = with_text(&world, "INBOX", "text 0");
        let bytes = world.fs.read_file(&file).expect("a file");
        world.fs.delete_file(&file);
        world.fs.symlink("/nowhere", &file);
        sync(&world);
        world.fs.delete_file(&file);
        world.fs.write_file(&file, &bytes);
        settle(&world);
        assert_eq!((there(&world, "INBOX", "text 0"), here(&world, "INBOX", "text 0")), (1, 1));
        assert_eq!(there(&world, "Trash", "text 0"), 0);
        assert_eq!(sync(&world).done(), 0);
    }
}

#[test]
fn hazard_171_binary_data_takes_no_message_s_place() {
    let zeros = [0_u8; 300];
    let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03packed, with a\nline end\n";
    for profile in rungs() {
        for bytes in [&zeros[..], &packed[..]] {
            let world = agreed_on(&profile);
            let file = with_text(&world, "INBOX", "text 0");
            world.fs.delete_file(&file);
            world.fs.write_file(&file, bytes);
            let new = world.dir_of("Work").join("cur").join("new:2,S");
            world.fs.write_file(&new, bytes);
            world.wait();
            for _ in 0..3 {
                sync(&world);
                let aside = world.set_aside();
                let named = aside.iter().filter(|words| words.contains("binary data"));
                assert_eq!(named.count(), 2, "{aside:?}");
            }
            assert_eq!(there(&world, "INBOX", "text 0"), 1, "the message stays");
            assert_eq!(there(&world, "Trash", "text 0"), 0);
            world.fs.delete_file(&new);
            let name = stem(&file);
            write(&world, &format!("INBOX/cur/{name}:2,S"), "Message-ID: <e>\n\nedited text 0\n");
            settle(&world);
            assert_eq!(there(&world, "INBOX", "edited text 0"), 1, "an edit is one");
        }
    }
}
