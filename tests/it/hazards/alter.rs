//! Ways to alter a message or its flags.

use kit::imap::{Fault, Profile, When};
use kit::world::{Ending, Moment, ROOT, World};
use mailtide::local::fs::Fs;

use super::{agreed, agreed_on, filled, flags, here, rungs, sent, settle, sync, there, uid};
use crate::scenarios::{files, rename, stem, with_text, write};

/// The octets of the message on the server that hold this text.
fn octets(world: &World, mailbox: &str, text: &str) -> Vec<u8> {
    world.server.get(mailbox, uid(world, mailbox, text)).unwrap().body.to_vec()
}

#[test]
fn hazard_27_line_ends_go_up_as_they_came_down() {
    let wires: [&[u8]; 7] = [
        b"A: 1\r\n\r\nplain marker\r\n",
        b"A: 2\r\n\r\nmarker a\r\r\nb\r\n",
        b"A: 3\r\n\r\nmarker\rb\r\n",
        b"A: 4\r\n\r\nmarker, no end",
        b"A: 5\r\n\r\nmarker\r\n\r\r\n\r",
        b"A: 6 marker, no blank line\r\n",
        b"A: 7\r\n\r\nmarker \xff\x00\x80 \r\n",
    ];
    for wire in wires {
        let world = agreed();
        world.server.append("INBOX", wire, &["\\Seen"], Some(5));
        settle(&world);
        let file = with_text(&world, "INBOX", "marker");
        let disk = world.fs.read_file(&file).unwrap();
        // A mailbox of another account gets the file: what goes up is what came down.
        let other = agreed();
        other.fs.write_file(format!("{ROOT}/INBOX/cur/copied:2,S"), &disk);
        settle(&other);
        assert_eq!(octets(&other, "INBOX", "marker"), wire, "{:?}", String::from_utf8_lossy(&disk));
    }
}

#[test]
fn hazard_27_a_file_with_crlf_goes_up_as_it_is_and_is_never_rewritten() {
    let world = agreed();
    let text = b"A: b\r\n\r\nmarker\r\nbare\nend\r\n";
    world.fs.write_file(format!("{ROOT}/INBOX/cur/crlf:2,S"), text);
    world.server.inject(Fault::RewriteOctets, When::verb("APPEND"));
    settle(&world);
    assert_eq!(octets(&world, "INBOX", "marker"), b"A: b\r\n\r\nmarker\r\nbare\r\nend\r\n");
    assert_eq!(world.fs.read_file(with_text(&world, "INBOX", "marker")).unwrap(), text);
}

#[test]
fn hazard_28_a_moved_message_takes_its_past_along() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        // Filed here, and marked unread and important there meanwhile.
        let file = with_text(&world, "INBOX", "text 1");
        rename(&world, &file, &format!("Work/cur/{}:2,RS", stem(&file)));
        let seen = uid(&world, "INBOX", "text 1");
        world.server.set_flags("INBOX", seen, &["\\Flagged"], &["\\Seen"]);
        settle(&world);
        assert_eq!(flags(&world, "Work", "text 1"), ["\\Answered", "\\Flagged"]);
        // Filed there, and marked unread here meanwhile.
        let file = with_text(&world, "INBOX", "text 2");
        rename(&world, &file, &format!("INBOX/cur/{}:2,F", stem(&file)));
        world.server.mv("INBOX", uid(&world, "INBOX", "text 2"), "Work");
        settle(&world);
        assert_eq!(flags(&world, "Work", "text 2"), ["\\Flagged"]);
    }
}

#[test]
fn hazard_29_what_the_server_does_not_take_is_not_removed_here() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        world.server.append("INBOX", b"Message-ID: <k>\r\n\r\nkept\r\n", &["Later"], Some(5));
        settle(&world);
        world.server.inject(Fault::DropKeyword("Urgent".into()), When::verb("STORE"));
        let file = with_text(&world, "INBOX", "kept");
        let table = format!("{ROOT}/INBOX/dovecot-keywords");
        world.fs.write_file(&table, b"0 Later\n1 Urgent\n");
        rename(&world, &file, &format!("INBOX/cur/{}:2,Sab", stem(&file)));
        for _ in 0..3 {
            sync(&world);
        }
        let name = with_text(&world, "INBOX", "kept").to_string_lossy().into_owned();
        assert!(name.ends_with(":2,Sab"), "{name}");
        assert_eq!(flags(&world, "INBOX", "kept"), ["Later", "\\Seen"]);
        world.server.reset_counters();
        assert_eq!((sync(&world).done(), world.server.counters().mutating), (0, 0), "and is idle");
    }
}

#[test]
fn hazard_29_what_an_append_did_not_take_is_not_removed_here() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        for verb in ["APPEND", "STORE"] {
            world.server.inject(Fault::DropKeyword("Urgent".into()), When::verb(verb));
        }
        world.fs.write_file(format!("{ROOT}/INBOX/dovecot-keywords"), b"0 Urgent\n");
        world.fs.write_file(format!("{ROOT}/INBOX/cur/new:2,Sa"), b"Message-ID: <k>\n\nkept\n");
        for _ in 0..3 {
            sync(&world);
        }
        let name = with_text(&world, "INBOX", "kept").to_string_lossy().into_owned();
        assert!(name.ends_with(":2,Sa"), "{name}");
        assert_eq!(flags(&world, "INBOX", "kept"), ["\\Seen"]);
    }
}

#[test]
fn hazard_29_a_mailbox_that_held_keywords_once_wipes_none() {
    let world = agreed();
    let known = uid(&world, "INBOX", "text 1");
    world.server.set_flags("INBOX", known, &["Later"], &[]);
    settle(&world);
    // The server moved to software that keeps none.
    world.server.configure(|profile| profile.permanent.clear());
    world.server.set_flags("INBOX", known, &["\\Flagged"], &["Later"]);
    for _ in 0..3 {
        sync(&world);
    }
    let name = with_text(&world, "INBOX", "text 1").to_string_lossy().into_owned();
    assert!(name.ends_with(":2,FSa"), "{name}");
}

#[test]
fn hazard_29_a_mailbox_that_holds_no_keywords_wipes_none() {
    let world = agreed_on(&Profile { permanent: vec![], ..Profile::qresync() });
    world.fs.write_file(format!("{ROOT}/INBOX/dovecot-keywords"), b"0 Later\n");
    let file = with_text(&world, "INBOX", "text 1");
    rename(&world, &file, &format!("INBOX/cur/{}:2,FRSa", stem(&file)));
    for _ in 0..3 {
        sync(&world);
    }
    let name = with_text(&world, "INBOX", "text 1").to_string_lossy().into_owned();
    assert!(name.ends_with(":2,FRSa"), "{name}");
    assert_eq!(flags(&world, "INBOX", "text 1"), ["\\Answered", "\\Flagged", "\\Seen"]);
}

#[test]
fn hazard_58_a_letter_that_is_given_while_the_directory_is_read_has_its_meaning() {
    let start = agreed();
    write(&start, "INBOX/cur/new:2,S", "Message-ID: <n>\n\nnew\n");
    let points = start.fork().run_with(0, Ending::Alone, Box::new(|_| {})).1;
    for point in 1..=points {
        let world = start.fork();
        let file = with_text(&world, "INBOX", "text 1");
        let lettered = file.with_file_name(format!("{}:2,Sa", stem(&file)));
        let fs = world.sides().fs;
        let hand = move |_: &Moment| {
            fs.write_file(format!("{ROOT}/INBOX/dovecot-keywords"), b"0 Later\n");
            fs.move_file(&file, &lettered);
        };
        let _ = world.run_with(point, Ending::Alone, Box::new(hand));
        settle(&world);
        assert_eq!(flags(&world, "INBOX", "text 1"), ["Later", "\\Seen"], "at point {point}");
    }
}

#[test]
fn hazard_30_the_letters_of_a_moved_file_are_those_of_the_mailbox_it_left() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        world.fs.write_file(format!("{ROOT}/INBOX/dovecot-keywords"), b"0 Later\n");
        world.fs.write_file(format!("{ROOT}/Work/dovecot-keywords"), b"0 Junk\n1 Later\n");
        let file = with_text(&world, "INBOX", "text 1");
        let file2 = file.with_file_name(format!("{}:2,Sa", stem(&file)));
        world.fs.move_file(&file, &file2);
        settle(&world);
        assert_eq!(flags(&world, "INBOX", "text 1"), ["Later", "\\Seen"]);
        rename(&world, &file2, &format!("Work/cur/{}:2,Sa", stem(&file2)));
        settle(&world);
        assert_eq!(flags(&world, "Work", "text 1"), ["Later", "\\Seen"]);
    }
}

#[test]
fn hazard_30_the_letters_of_a_file_that_was_moved_on_both_sides() {
    for profile in rungs() {
        // To the same place, and to another one: the server's place wins.
        for place in ["Work", "Trash"] {
            let world = agreed_on(&profile);
            world.fs.write_file(format!("{ROOT}/INBOX/dovecot-keywords"), b"0 Later\n");
            world.fs.write_file(format!("{ROOT}/Work/dovecot-keywords"), b"0 Junk\n1 Later\n");
            let file = with_text(&world, "INBOX", "text 1");
            let lettered = file.with_file_name(format!("{}:2,Sa", stem(&file)));
            world.fs.move_file(&file, &lettered);
            settle(&world);
            rename(&world, &lettered, &format!("Work/cur/{}:2,Sa", stem(&lettered)));
            world.server.mv("INBOX", uid(&world, "INBOX", "text 1"), place).unwrap();
            settle(&world);
            assert_eq!(flags(&world, place, "text 1"), ["Later", "\\Seen"], "{place}");
        }
    }
}

#[test]
fn hazard_30_a_table_that_another_program_has_locked_costs_no_keyword() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let lock = format!("{ROOT}/INBOX/dovecot-keywords.lock");
        world.server.append("INBOX", b"Message-ID: <k>\r\n\r\nkept\r\n", &["Later"], Some(5));
        for _ in 0..2 {
            world.fs.write_file(&lock, b"");
            sync(&world);
            world.fs.set_clock(world.fs.clock() + 1_000_000_000);
        }
        let file = with_text(&world, "INBOX", "kept");
        rename(&world, &file, &format!("INBOX/cur/{}:2,S", stem(&file)));
        world.fs.write_file(&lock, b"");
        sync(&world);
        assert_eq!(flags(&world, "INBOX", "kept"), ["Later", "\\Seen"]);
        world.fs.delete_file(&lock);
        settle(&world);
        assert_eq!(flags(&world, "INBOX", "kept"), ["Later", "\\Seen"]);
        assert!(with_text(&world, "INBOX", "kept").to_string_lossy().ends_with(":2,Sa"));
    }
}

#[test]
fn hazard_31_the_loss_of_all_flags_waits_for_a_person() {
    let world = agreed();
    filled(&world, "Lists", 60);
    for file in files(&world, "Lists") {
        rename(&world, &file, &format!("Lists/cur/{}", stem(&file)));
    }
    sync(&world);
    let unseen = world.server.list("Lists").iter().filter(|m| m.flags.is_empty()).count();
    assert_eq!(unseen, 0, "as a copy over a file system without colons leaves them");
    assert_eq!(world.asked(|store| store.holds()).len(), 1);
}

#[test]
fn hazard_32_flags_travel_as_what_changed() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let file = with_text(&world, "INBOX", "plain");
        rename(&world, &file, &format!("INBOX/cur/{}:2,S", stem(&file)));
        let (server, other) = (world.server.clone(), uid(&world, "INBOX", "plain"));
        // Another device marks it between our look and our STORE.
        world.on_command(move |line| {
            if line.starts_with("UID STORE") {
                server.set_flags("INBOX", other, &["\\Flagged", "Later"], &[]);
            }
        });
        sync(&world);
        settle(&world);
        assert_eq!(flags(&world, "INBOX", "plain"), ["Later", "\\Flagged", "\\Seen"]);
        let stores = sent(&world, "UID STORE");
        assert!(!stores.is_empty());
        assert!(stores.iter().all(|c| c.line.contains("+FLAGS") || c.line.contains("-FLAGS")));
    }
}

#[test]
fn hazard_32_flags_that_are_not_shown_are_not_removed() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let change = uid(&world, "INBOX", "text 0");
        world.server.set_flags("INBOX", change, &["\\Flagged"], &[]);
        world.server.append("INBOX", b"Message-ID: <n>\r\n\r\nfresh\r\n", &["\\Seen"], Some(5));
        world.server.inject(Fault::FetchNoFlags, When::verb("FETCH"));
        for _ in 0..2 {
            world.wait();
            let _ = world.sync();
        }
        let name = with_text(&world, "INBOX", "text 0").to_string_lossy().into_owned();
        assert!(name.contains(":2,") && name.ends_with('S'), "{name}");
        world.server.heal();
        settle(&world);
        assert_eq!(flags(&world, "INBOX", "text 0"), ["\\Flagged", "\\Seen"]);
        assert_eq!(flags(&world, "INBOX", "fresh"), ["\\Seen"]);
    }
}

#[test]
fn hazard_33_the_time_of_a_file_is_written_once_and_read_once() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        let file = with_text(&world, "INBOX", "text 1");
        let mtime = |file: &std::path::Path| {
            let fs: &dyn Fs = &world.fs;
            fs.stat(file).unwrap().stamp.mtime_ns / 1_000_000_000
        };
        assert_eq!(mtime(&file), 1007, "INTERNALDATE");
        // Touched by an editor or a copy without times.
        let bytes = world.fs.read_file(&file).unwrap();
        world.fs.write_file(&file, &bytes);
        assert_ne!(mtime(&file), 1007);
        world.fs.set_clock(world.fs.clock() + 25 * 3600 * 1_000_000_000);
        settle(&world);
        let message = world.server.get("INBOX", uid(&world, "INBOX", "text 1")).unwrap();
        assert_eq!(message.date, 1007, "the row owns the date");
        assert_eq!(sent(&world, "APPEND").len(), 0);
        // The first push takes it from the file.
        let now = world.fs.clock() / 1_000_000_000;
        write(&world, "INBOX/cur/new:2,S", "Message-ID: <n>\n\nfresh\n");
        settle(&world);
        let message = world.server.get("INBOX", uid(&world, "INBOX", "fresh")).unwrap();
        assert!((now..now + 60).contains(&message.date), "{} at {now}", message.date);
    }
}

#[test]
fn hazard_34_new_holds_no_flags() {
    let world = agreed();
    world.server.append("INBOX", b"Message-ID: <f>\r\n\r\nimportant\r\n", &["\\Flagged"], Some(5));
    world.server.append("INBOX", b"Message-ID: <u>\r\n\r\nunread\r\n", &[], Some(5));
    settle(&world);
    let important = with_text(&world, "INBOX", "important");
    assert!(important.to_string_lossy().contains("/cur/"), "{important:?}");
    assert!(important.to_string_lossy().ends_with(":2,F"), "{important:?}");
    let unread = with_text(&world, "INBOX", "unread");
    assert!(unread.to_string_lossy().contains("/new/"), "{unread:?}");
    assert_eq!((here(&world, "INBOX", "unread"), there(&world, "INBOX", "unread")), (1, 1));
}
