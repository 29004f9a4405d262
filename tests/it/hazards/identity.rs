//! Which file and which message are one: what is known is never paired loosely, and what was
//! sent or copied and not yet seen again keeps its claim.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use kit::imap::{Fault, Profile, When};
use kit::world::{ROOT, World};

use super::{agreed_on, cut_off, flags, here, rungs, sent, settle, sync, there, uid};
use crate::scenarios::{rename, stem, with_text, write};

const NEW: &str = "Message-ID: <new>\nSubject: new\n\nfreshly written\n";
const WIRE: &str = "Message-ID: <new>\r\nSubject: new\r\n\r\nfreshly written\r\n";
const OTHER: &str = "Message-ID: <new>\r\nSubject: new\r\n\r\nwritten FRESHLY\r\n";

/// Every rung, and servers without one of UIDPLUS and MOVE.
fn profiles() -> Vec<Profile> {
    let without_uidplus = Profile { uidplus: false, ..Profile::qresync() };
    let without_move = Profile { move_: false, ..Profile::condstore() };
    rungs().into_iter().chain([without_uidplus, without_move]).collect()
}

/// Another client acts before the `nth` command after the first one that begins with `verb`.
fn after(world: &World, verb: &'static str, nth: u32, act: impl Fn() + Send + 'static) {
    let count = AtomicU32::new(0);
    world.on_command(move |line| {
        if count.load(Relaxed) > 0 || line.starts_with(verb) {
            let now = count.fetch_add(1, Relaxed);
            if now == nth {
                act();
            }
        }
    });
}

fn counts(world: &World, text: &str) -> [(usize, usize); 3] {
    ["INBOX", "Work", "Trash"].map(|m| (there(world, m, text), here(world, m, text)))
}

/// How many whole bodies were asked for since the counters were reset.
fn bodies(world: &World) -> usize {
    sent(world, "UID FETCH").iter().filter(|c| c.line.contains("BODY.PEEK[]")).count()
}

#[test]
fn hazard_57_a_flag_follows_a_message_that_another_client_moved_before_the_store() {
    for profile in profiles() {
        let mut world = agreed_on(&profile);
        let file = with_text(&world, "Work", "text 8");
        rename(&world, &file, &format!("Work/cur/{}:2,S", stem(&file)));
        let (server, uid) = (world.server.clone(), uid(&world, "Work", "text 8"));
        after(&world, "UID STORE", 0, move || {
            server.mv("Work", uid, "INBOX");
        });
        sync(&world);
        world.quiet();
        settle(&world);
        assert_eq!(flags(&world, "INBOX", "text 8"), ["\\Seen"]);
        assert_eq!(counts(&world, "text 8"), [(1, 1), (0, 0), (0, 0)]);
    }
}

#[test]
fn hazard_57_a_store_that_says_ok_and_does_nothing_is_no_fact_and_no_loop() {
    for profile in profiles() {
        let world = agreed_on(&profile);
        let file = with_text(&world, "Work", "text 8");
        rename(&world, &file, &format!("Work/cur/{}:2,S", stem(&file)));
        world.server.inject(Fault::OkUndone, When::verb("STORE"));
        let report = sync(&world);
        assert!(!report.skipped.is_empty(), "it is said");
        assert!(sent(&world, "UID STORE").len() <= 2, "{:?}", sent(&world, "UID STORE"));
        world.server.heal();
        settle(&world);
        assert_eq!(flags(&world, "Work", "text 8"), ["\\Seen"]);
    }
}

#[test]
fn hazard_55_an_upload_that_another_client_moves_before_it_was_seen_again_is_found_there() {
    for profile in profiles() {
        for nth in 1..=4 {
            let mut world = agreed_on(&profile);
            write(&world, "INBOX/cur/new:2,S", NEW);
            let server = world.server.clone();
            after(&world, "APPEND", nth, move || {
                let new = server.list("INBOX").last().map(|m| (m.uid, m.body.clone()));
                if let Some((uid, body)) = new
                    && String::from_utf8_lossy(&body).contains("freshly")
                {
                    server.mv("INBOX", uid, "Work");
                }
            });
            sync(&world);
            world.quiet();
            settle(&world);
            let expected = [(0, 0), (1, 1), (0, 0)];
            assert_eq!(counts(&world, "freshly"), expected, "{nth} {:?}", profile.modseq);
        }
    }
}

#[test]
fn hazard_55_an_upload_that_another_client_deletes_before_it_was_seen_again_stays_deleted() {
    for profile in profiles().into_iter().filter(|profile| profile.uidplus) {
        for nth in 1..=4 {
            let mut world = agreed_on(&profile);
            write(&world, "INBOX/cur/new:2,S", NEW);
            let server = world.server.clone();
            after(&world, "APPEND", nth, move || {
                let new = server.list("INBOX").last().map(|m| (m.uid, m.body.clone()));
                if let Some((uid, body)) = new
                    && String::from_utf8_lossy(&body).contains("freshly")
                {
                    server.expunge("INBOX", &[uid]);
                }
            });
            sync(&world);
            world.quiet();
            settle(&world);
            assert_eq!(counts(&world, "freshly"), [(0, 0); 3], "{nth} {:?}", profile.modseq);
            assert_eq!(world.set_aside(), [""; 0]);
        }
    }
}

#[test]
fn hazard_55_a_copy_that_another_client_moves_or_deletes_before_it_was_seen_again() {
    for profile in profiles().into_iter().filter(|profile| profile.uidplus) {
        for deleted in [false, true] {
            for nth in 1..=3 {
                let mut world = agreed_on(&profile);
                let file = with_text(&world, "INBOX", "text 1");
                rename(&world, &file, &format!("Work/cur/{}:2,S", stem(&file)));
                let server = world.server.clone();
                let verb = if profile.move_ { "UID MOVE" } else { "UID COPY" };
                after(&world, verb, nth, move || {
                    let new = server.list("Work").last().map(|m| (m.uid, m.body.clone()));
                    if let Some((uid, body)) = new
                        && String::from_utf8_lossy(&body).contains("text 1")
                    {
                        match deleted {
                            true => drop(server.expunge("Work", &[uid])),
                            false => drop(server.mv("Work", uid, "Trash")),
                        }
                    }
                });
                sync(&world);
                world.quiet();
                settle(&world);
                let trash = if deleted { (0, 0) } else { (1, 1) };
                assert_eq!(counts(&world, "text 1"), [(0, 0), (0, 0), trash], "{nth} {deleted}");
            }
        }
    }
}

/// What a reader does with the file of an upload whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reader {
    Moves,
    Deletes,
    Edits,
}

#[test]
fn hazard_55_an_upload_whose_answer_was_lost_keeps_its_claim_when_the_file_goes() {
    for profile in profiles() {
        for reader in [Reader::Moves, Reader::Deletes, Reader::Edits] {
            let world = agreed_on(&profile);
            write(&world, "INBOX/cur/new:2,S", NEW);
            world.server.inject(Fault::LoseTagged, When::verb("APPEND").nth(1));
            world.wait();
            cut_off(&world);
            assert_eq!(there(&world, "INBOX", "freshly"), 1);
            let file = with_text(&world, "INBOX", "freshly");
            match reader {
                Reader::Moves => rename(&world, &file, "Work/cur/moved:2,S"),
                Reader::Deletes => world.fs.delete_file(&file),
                Reader::Edits => {
                    world.fs.delete_file(&file);
                    write(&world, "INBOX/cur/edited:2,S", &NEW.replace("freshly", "edited and"));
                }
            }
            settle(&world);
            let found = counts(&world, "freshly");
            let what = format!("{reader:?} {:?}", profile.modseq);
            match reader {
                Reader::Moves => assert_eq!(found, [(0, 0), (1, 1), (0, 0)], "{what}"),
                _ => assert_eq!(found, [(0, 0), (0, 0), (1, 1)], "{what}"),
            }
            let edited = counts(&world, "edited and");
            assert_eq!(edited[0], if reader == Reader::Edits { (1, 1) } else { (0, 0) });
            assert_eq!(sent(&world, "APPEND").len(), 1 + usize::from(reader == Reader::Edits));
        }
    }
}

#[test]
fn hazard_55_an_upload_whose_answer_was_lost_and_that_another_client_moved_is_found_there() {
    for profile in profiles() {
        let world = agreed_on(&profile);
        write(&world, "INBOX/cur/new:2,S", NEW);
        world.server.inject(Fault::LoseTagged, When::verb("APPEND").nth(1));
        world.wait();
        cut_off(&world);
        world.server.mv("INBOX", uid(&world, "INBOX", "freshly"), "Work");
        settle(&world);
        assert_eq!(counts(&world, "freshly"), [(0, 0), (1, 1), (0, 0)], "{:?}", profile.modseq);
        assert_eq!(sent(&world, "APPEND").len(), 1);
    }
}

#[test]
fn hazard_55_a_move_whose_answer_was_lost_keeps_its_claim_when_the_file_goes_on() {
    for profile in profiles() {
        // On to another mailbox, back to where it was, and away for good.
        for to in ["Trash", "INBOX", ""] {
            let world = agreed_on(&profile);
            let file = with_text(&world, "INBOX", "text 1");
            rename(&world, &file, "Work/cur/filed:2,S");
            world.server.inject(Fault::LoseTagged, When::verb("MOVE").nth(1));
            world.server.inject(Fault::LoseTagged, When::verb("COPY").nth(1));
            world.wait();
            cut_off(&world);
            assert_eq!(there(&world, "Work", "text 1"), 1);
            let file = with_text(&world, "Work", "text 1");
            match to {
                "" => world.fs.delete_file(&file),
                to => rename(&world, &file, &format!("{to}/cur/on:2,S")),
            }
            settle(&world);
            let expected = match to {
                "INBOX" => [(1, 1), (0, 0), (0, 0)],
                _ => [(0, 0), (0, 0), (1, 1)],
            };
            let mut found = counts(&world, "text 1");
            if to == "INBOX" && !profile.move_ {
                // Copied, and the original never left: nothing proves that the copy is ours and
                // not another client's. It goes the way of a removed message, which can be undone.
                found[2] = (0, 0);
            }
            assert_eq!(found, expected, "{to:?} {:?}", profile.modseq);
            assert_eq!(sent(&world, "APPEND").len(), 0);
        }
    }
}

#[test]
fn hazard_14_a_mark_that_a_crash_left_behind_is_ours_and_is_taken_back() {
    for profile in profiles() {
        let world = agreed_on(&profile);
        world.server.append("Trash", WIRE.as_bytes(), &["\\Seen"], Some(5));
        settle(&world);
        let file = with_text(&world, "Trash", "freshly written");
        let bytes = world.fs.read_file(&file).unwrap();
        world.fs.delete_file(&file);
        world.server.inject(Fault::LoseTagged, When::verb("STORE").nth(1));
        world.wait();
        cut_off(&world);
        assert_eq!(flags(&world, "Trash", "freshly written"), ["\\Deleted", "\\Seen"]);
        // The reader takes the removal back.
        world.fs.write_file(&file, &bytes);
        settle(&world);
        assert_eq!(flags(&world, "Trash", "freshly written"), ["\\Seen"]);
        assert_eq!(counts(&world, "freshly written"), [(0, 0), (0, 0), (1, 1)]);
        // Taken away once more, it goes for good.
        world.fs.delete_file(with_text(&world, "Trash", "freshly written"));
        settle(&world);
        assert_eq!(counts(&world, "freshly written"), [(0, 0); 3]);
    }
}

#[test]
fn hazard_14_a_mark_that_cannot_be_taken_back_now_is_taken_back_later() {
    for profile in profiles() {
        let world = agreed_on(&profile);
        world.server.append("Trash", WIRE.as_bytes(), &["\\Seen"], Some(5));
        settle(&world);
        let file = with_text(&world, "Trash", "freshly written");
        let bytes = world.fs.read_file(&file).unwrap();
        world.fs.delete_file(&file);
        world.server.inject(Fault::LoseTagged, When::verb("STORE").nth(1));
        world.wait();
        cut_off(&world);
        world.fs.write_file(&file, &bytes);
        world.server.inject(Fault::No("not now".into()), When::verb("STORE").nth(1));
        drop(world.sync());
        assert_eq!(flags(&world, "Trash", "freshly written"), ["\\Deleted", "\\Seen"]);
        settle(&world);
        assert_eq!(flags(&world, "Trash", "freshly written"), ["\\Seen"]);
    }
}

#[test]
fn hazard_52_a_draft_made_anew_with_the_same_header_and_size_comes_down() {
    for profile in profiles() {
        for (mailbox, date) in [("Drafts", 5), ("Drafts", 6), ("Work", 6)] {
            let world = agreed_on(&profile);
            world.server.append(mailbox, WIRE.as_bytes(), &["\\Seen"], Some(5));
            settle(&world);
            world.server.delete_mailbox(mailbox);
            world.server.append(mailbox, OTHER.as_bytes(), &["\\Seen"], Some(date));
            settle(&world);
            let texts = |text| (there(&world, mailbox, text), here(&world, mailbox, text));
            assert_eq!(texts("written FRESHLY"), (1, 1), "{mailbox} {date}");
            assert_eq!(texts("freshly written"), (1, 1), "nothing was deleted: {mailbox} {date}");
        }
    }
}

#[test]
fn hazard_52_a_draft_that_was_edited_here_keeps_both_texts() {
    for profile in profiles() {
        for mailbox in ["Drafts", "Work"] {
            for renumbered in [false, true] {
                let world = agreed_on(&profile);
                world.server.append(mailbox, WIRE.as_bytes(), &["\\Seen"], Some(5));
                settle(&world);
                let file = with_text(&world, mailbox, "freshly written");
                let text = NEW.replace("freshly written", "written FRESHLY");
                world.fs.delete_file(&file);
                write(&world, &format!("{mailbox}/cur/edited:2,S"), &text);
                match renumbered {
                    true => world.server.renumber(mailbox),
                    false => world.lose_store(),
                }
                settle(&world);
                let texts = |text| (there(&world, mailbox, text), here(&world, mailbox, text));
                assert_eq!(texts("written FRESHLY"), (1, 1), "{mailbox} {renumbered}");
                assert_eq!(texts("freshly written"), (1, 1), "{mailbox} {renumbered}");
            }
        }
    }
}

#[test]
fn hazard_52_a_renumbered_mailbox_and_a_lost_store_cost_no_body() {
    for profile in profiles() {
        for renumbered in [false, true] {
            let world = agreed_on(&profile);
            let before = world.remote();
            match renumbered {
                true => world.server.renumber("Work"),
                false => world.lose_store(),
            }
            settle(&world);
            // The one without a Message-ID is told apart by its body alone.
            let plain = usize::from(!renumbered);
            assert!(bodies(&world) <= plain, "{renumbered}");
            assert_eq!(world.remote(), before);
        }
    }
}

#[test]
fn hazard_52_a_file_with_another_time_is_compared_once_and_nothing_is_doubled() {
    for profile in profiles() {
        let world = agreed_on(&profile);
        let before = world.remote();
        let file = with_text(&world, "INBOX", "text 1");
        let bytes = world.fs.read_file(&file).unwrap();
        world.fs.write_file(&file, &bytes);
        world.wait();
        world.lose_store();
        settle(&world);
        assert_eq!(world.remote(), before);
        assert!(bodies(&world) <= 2, "{:?}", bodies(&world));
        assert_eq!(sent(&world, "APPEND").len(), 0);
    }
}

#[test]
fn hazard_52_what_another_tool_wrote_into_a_header_doubles_nothing() {
    for profile in profiles() {
        for line in ["X-TUID: abcdefghijkl\n", "Status: RO\nX-Status: A\n", "X-OfflineIMAP: 1\n"] {
            let world = agreed_on(&profile);
            let file = with_text(&world, "INBOX", "text 1");
            let text = String::from_utf8(world.fs.read_file(&file).unwrap()).unwrap();
            world.fs.write_file(&file, text.replacen('\n', &format!("\n{line}"), 1).as_bytes());
            world.wait();
            world.lose_store();
            settle_loosely(&world);
            assert_eq!(counts(&world, "text 1"), [(1, 1), (0, 0), (0, 0)], "{line}");
            assert_eq!(sent(&world, "APPEND").len(), 0);
        }
    }
}

/// As [`settle`], where the two sides may hold different bytes.
fn settle_loosely(world: &World) {
    for _ in 0..3 {
        sync(world);
    }
}

#[test]
fn hazard_52_a_file_that_was_cut_off_is_named_and_is_not_the_message() {
    for profile in profiles() {
        let world = agreed_on(&profile);
        let body = "text of a long message\r\n".repeat(200);
        let wire = format!("Message-ID: <long>\r\nSubject: long\r\n\r\n{body}");
        world.server.append("INBOX", wire.as_bytes(), &["\\Seen"], Some(5));
        settle(&world);
        let file = with_text(&world, "INBOX", "long message");
        let bytes = world.fs.read_file(&file).unwrap();
        world.fs.write_file(&file, &bytes[..120]);
        world.wait();
        world.lose_store();
        settle_loosely(&world);
        assert_eq!(there(&world, "INBOX", "long message"), 1, "the torso is not sent");
        assert_eq!(here(&world, "INBOX", "long message"), 2, "the whole one came down");
        let words = world.set_aside();
        assert!(words.iter().any(|w| w.contains(&stem(&file))), "by path: {words:?}");
    }
}

/// INBOX calls a keyword `a`, Work calls another one so; text 1 of INBOX has it.
fn lettered(profile: &Profile) -> World {
    let world = agreed_on(profile);
    world.fs.write_file(format!("{ROOT}/INBOX/dovecot-keywords"), b"0 Later\n");
    world.fs.write_file(format!("{ROOT}/Work/dovecot-keywords"), b"0 Junk\n1 Later\n");
    let file = with_text(&world, "INBOX", "text 1");
    rename(&world, &file, &format!("INBOX/cur/{}:2,Sa", stem(&file)));
    settle(&world);
    assert_eq!(flags(&world, "INBOX", "text 1"), ["Later", "\\Seen"]);
    world
}

#[test]
fn hazard_58_letters_of_a_file_moved_here_and_deleted_there() {
    for profile in profiles() {
        let world = lettered(&profile);
        let file = with_text(&world, "INBOX", "text 1");
        rename(&world, &file, &format!("Work/cur/{}:2,Sa", stem(&file)));
        let uid = uid(&world, "INBOX", "text 1");
        world.server.expunge("INBOX", &[uid]);
        settle(&world);
        assert_eq!(flags(&world, "Work", "text 1"), ["Later", "\\Seen"]);
    }
}

#[test]
fn hazard_58_letters_of_a_file_whose_mailbox_was_exchanged_afterwards() {
    for profile in profiles() {
        let world = lettered(&profile);
        let file = with_text(&world, "INBOX", "text 1");
        rename(&world, &file, &format!("Work/cur/{}:2,Sa", stem(&file)));
        world.fs.write_file(format!("{ROOT}/INBOX/dovecot-keywords"), b"0 Urgent\n1 Junk\n");
        settle(&world);
        assert_eq!(flags(&world, "Work", "text 1"), ["Later", "\\Seen"]);
    }
}

#[test]
fn hazard_58_a_table_in_another_order_changes_no_keyword() {
    for profile in profiles() {
        let world = lettered(&profile);
        world.fs.write_file(format!("{ROOT}/INBOX/dovecot-keywords"), b"0 Junk\n1 Later\n");
        let file = with_text(&world, "INBOX", "text 1");
        rename(&world, &file, &format!("INBOX/cur/{}:2,FSa", stem(&file)));
        settle_loosely(&world);
        assert_eq!(flags(&world, "INBOX", "text 1"), ["Later", "\\Flagged", "\\Seen"]);
    }
}

#[test]
fn hazard_58_a_table_that_cannot_be_read_is_not_empty() {
    for profile in profiles() {
        for too_large in [false, true] {
            let world = lettered(&profile);
            let table = format!("{ROOT}/INBOX/dovecot-keywords");
            match too_large {
                true => world.fs.write_file(&table, &vec![b'x'; (1 << 20) + 1]),
                false => world.fs.deny(&table),
            }
            let file = with_text(&world, "INBOX", "text 1");
            rename(&world, &file, &format!("INBOX/cur/{}:2,FSa", stem(&file)));
            write(&world, "INBOX/cur/new:2,Sa", NEW);
            let uid = uid(&world, "INBOX", "text 2");
            world.server.set_flags("INBOX", uid, &["Urgent", "\\Answered"], &[]);
            for _ in 0..2 {
                let report = sync(&world);
                assert!(!report.skipped.is_empty(), "it is said");
            }
            // Everything but the keywords goes on.
            assert_eq!(flags(&world, "INBOX", "text 1"), ["Later", "\\Flagged", "\\Seen"]);
            assert_eq!(flags(&world, "INBOX", "text 2"), ["Urgent", "\\Answered", "\\Seen"]);
            let answered = with_text(&world, "INBOX", "text 2");
            assert!(answered.to_string_lossy().ends_with(":2,RS"), "{answered:?}");
            match too_large {
                true => world.fs.write_file(&table, b"0 Later\n"),
                false => world.fs.allow(&table),
            }
            settle(&world);
            assert_eq!(flags(&world, "INBOX", "text 1"), ["Later", "\\Flagged", "\\Seen"]);
            assert_eq!(flags(&world, "INBOX", "freshly"), ["Later", "\\Seen"]);
            assert_eq!(flags(&world, "INBOX", "text 2"), ["Urgent", "\\Answered", "\\Seen"]);
        }
    }
}

#[test]
fn hazard_163_a_keyword_whose_table_could_not_be_read_at_first() {
    for profile in profiles() {
        let world = agreed_on(&profile);
        let table = format!("{ROOT}/INBOX/dovecot-keywords");
        let file = with_text(&world, "INBOX", "text 1");
        world.fs.write_file(&table, b"0 Later\n");
        world.fs.deny(&table);
        rename(&world, &file, &format!("INBOX/cur/{}:2,Sa", stem(&file)));
        for _ in 0..2 {
            let report = sync(&world);
            assert!(!report.skipped.is_empty(), "it is said");
        }
        world.fs.allow(&table);
        settle(&world);
        assert_eq!(flags(&world, "INBOX", "text 1"), ["Later", "\\Seen"]);
    }
}
