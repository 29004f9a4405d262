//! Keyword letters in the names of files, and the tables that say what they mean.

use kit::world::{ROOT, World};

use super::{agreed_on, flags, rungs, settle, sync, uid};
use crate::scenarios::{files, stem, with_text, write};

const COPY: &str = "Message-ID: <copied>\n\nthe copied text\n";

fn table(world: &World, mailbox: &str) -> String {
    let table = world.fs.read_file(format!("{ROOT}/{mailbox}/dovecot-keywords"));
    String::from_utf8(table.unwrap_or_default()).expect("text")
}

/// Another client sends a message with a keyword.
fn arrive(world: &World, mailbox: &str, keyword: &str) {
    let text = b"Message-ID: <arrived>\r\n\r\nthe arrived text\r\n";
    world.server.append(mailbox, text, &[keyword], Some(5));
}

#[test]
fn hazard_177_a_letter_that_a_file_has_without_a_meaning_is_given_to_no_keyword() {
    for profile in rungs() {
        for hinted in [false, true] {
            let world = agreed_on(&profile);
            if hinted {
                write(&world, "INBOX/dovecot-keywords", "0 Junk\n");
            }
            write(&world, "Work/cur/other:2,Sa", "Message-ID: <o>\n\nthe other text\n");
            arrive(&world, "Work", "Junk");
            settle(&world);
            assert_eq!(flags(&world, "Work", "the other text"), ["\\Seen"]);
            assert_eq!(flags(&world, "Work", "the arrived text"), ["Junk"]);
            assert_eq!(table(&world, "Work"), "1 Junk\n");
            assert!(files(&world, "Work").iter().any(|file| file.ends_with("other:2,Sa")));
        }
    }
}

#[test]
fn hazard_177_the_letters_of_a_copied_file_mean_what_they_mean_where_it_was_copied_from() {
    for profile in rungs() {
        for known in [false, true] {
            let world = agreed_on(&profile);
            write(&world, "INBOX/dovecot-keywords", "0 Later\n");
            write(&world, "INBOX/cur/first:2,Sa", COPY);
            if known {
                settle(&world);
            }
            // By a reader that knows of no tables.
            write(&world, "Work/cur/second:2,Sa", COPY);
            arrive(&world, "Work", "Junk");
            settle(&world);
            for mailbox in ["INBOX", "Work"] {
                let now = flags(&world, mailbox, "the copied text");
                assert_eq!(now, ["Later", "\\Seen"], "in {mailbox}, known before: {known}");
            }
            assert_eq!(flags(&world, "Work", "the arrived text"), ["Junk"]);
        }
    }
}

#[test]
fn hazard_177_moved_files_keep_the_letter_that_their_keyword_has_elsewhere() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        write(&world, "INBOX/dovecot-keywords", "0 Urgent\n1 Later\n");
        for text in ["text 1", "text 2"] {
            let file = with_text(&world, "INBOX", text);
            world.fs.move_file(&file, format!("{ROOT}/INBOX/cur/{}:2,Sb", stem(&file)));
        }
        settle(&world);
        for text in ["text 1", "text 2"] {
            let file = with_text(&world, "INBOX", text);
            let name = file.file_name().expect("a name").to_owned();
            world.fs.move_file(&file, world.dir_of("Work").join("cur").join(name));
        }
        settle(&world);
        for text in ["text 1", "text 2"] {
            assert_eq!(flags(&world, "Work", text), ["Later", "\\Seen"]);
            let file = with_text(&world, "Work", text);
            assert!(file.to_string_lossy().ends_with(":2,Sb"), "{file:?}");
        }
        assert_eq!(table(&world, "Work"), "1 Later\n");
    }
}

#[test]
fn hazard_200_a_keyword_that_only_a_file_has_waits_for_a_table_that_can_be_written() {
    for profile in rungs() {
        for moved_here in [true, false] {
            let world = agreed_on(&profile);
            write(&world, "INBOX/dovecot-keywords", "0 Later\n");
            let known = with_text(&world, "INBOX", "text 2");
            world.fs.move_file(&known, known.with_file_name(format!("{}:2,Sa", stem(&known))));
            settle(&world);
            // The keyword is set, and the message moved, between two looks.
            let file = with_text(&world, "INBOX", "text 1");
            let dir = world.dir_of(if moved_here { "Work" } else { "INBOX" });
            world.fs.move_file(&file, dir.join("cur").join(format!("{}:2,Sa", stem(&file))));
            if !moved_here {
                world.server.mv("INBOX", uid(&world, "INBOX", "text 1"), "Work");
            }
            // Another program holds the lock of the table that is to get the keyword.
            let lock = world.dir_of("Work").join("dovecot-keywords.lock");
            world.fs.write_file(&lock, b"");
            sync(&world);
            world.fs.delete_file(&lock);
            settle(&world);
            let now = flags(&world, "Work", "text 1");
            assert_eq!(now, ["Later", "\\Seen"], "moved here: {moved_here}");
        }
    }
}
