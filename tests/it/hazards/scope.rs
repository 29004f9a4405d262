//! Settings that are changed and changed back, and places that are not mirrored.

use std::sync::Arc;

use kit::world::{ROOT, World};
use mailtide::account::Report;
use mailtide::mail::scope;
use mailtide::reconcile::types::MailboxName;
use mailtide::reconcile::{OnLocalDelete, OnRemoteDelete};
use serde_json::json;

use super::{agreed, agreed_on, here, make_mailbox, rungs, settle, sync, there, uid};
use crate::scenarios::{files, rename, with_text, write};

fn configure(world: &mut World, pull: bool, local: OnLocalDelete, remote: OnRemoteDelete) {
    world.configure(move |settings| {
        settings.pull_only = pull;
        (settings.on_local_delete, settings.on_remote_delete) = (local, remote);
        settings.scope = json!({
            "version": 1, "include": ["*"], "exclude": [],
            "direction": if pull { "pull" } else { "both" },
            "on_local_delete": match local { OnLocalDelete::Keep => "keep", _ => "trash" },
            "on_remote_delete": match remote { OnRemoteDelete::Keep => "keep", _ => "remove" },
        })
        .to_string();
    });
}

/// Runs until nothing is left to do, also where the sides differ as configured.
fn rest(world: &World) -> Report {
    for _ in 0..2 {
        sync(world);
    }
    sync(world)
}

fn mirror(world: &mut World) {
    configure(world, false, OnLocalDelete::Trash, OnRemoteDelete::Remove);
}

fn pull(world: &mut World) {
    configure(world, true, OnLocalDelete::Trash, OnRemoteDelete::Remove);
}

/// What changed here while nothing was sent.
type Change = (&'static str, fn(&World), [(&'static str, &'static str, usize); 2]);

const CHANGES: [Change; 6] = [
    (
        "a new message goes up",
        |world| write(world, "Work/cur/new:2,S", "Message-ID: <new>\n\nfresh\n"),
        [("Work", "fresh", 1), ("INBOX", "text 1", 1)],
    ),
    (
        "a deletion is undone",
        |world| world.fs.delete_file(with_text(world, "INBOX", "text 1")),
        [("INBOX", "text 1", 1), ("Trash", "text 1", 0)],
    ),
    (
        "a move is carried out",
        |world| rename(world, &with_text(world, "INBOX", "text 1"), "Work/cur/filed:2,S"),
        [("INBOX", "text 1", 0), ("Work", "text 1", 1)],
    ),
    (
        "a renamed directory is renamed there",
        |world| world.fs.move_file(format!("{ROOT}/Work"), format!("{ROOT}/Job")),
        [("Job", "text 8", 1), ("Work", "text 8", 0)],
    ),
    (
        "a directory that was removed comes back",
        |world| world.fs.move_file(format!("{ROOT}/Work"), "/elsewhere"),
        [("Work", "text 8", 1), ("Trash", "text 8", 0)],
    ),
    (
        "flags are united",
        |world| rename(world, &with_text(world, "INBOX", "text 2"), "INBOX/cur/flagged:2,F"),
        [("INBOX", "text 2", 1), ("INBOX", "text 1", 1)],
    ),
];

#[test]
fn hazard_125_what_changed_while_nothing_was_sent_is_carried_when_it_is_again() {
    for profile in rungs() {
        // Seen by a run that does not send, or only by the first one that does.
        for (is_seen, (what, change, expected)) in
            [true, false].into_iter().flat_map(|seen| CHANGES.map(|change| (seen, change)))
        {
            let mut world = agreed_on(&profile);
            mirror(&mut world);
            sync(&world);
            let flags = world
                .server
                .list("INBOX")
                .into_iter()
                .find(|m| String::from_utf8_lossy(&m.body).contains("text 2"));
            assert!(flags.unwrap().flags.contains("\\Seen"));
            pull(&mut world);
            sync(&world);
            if is_seen {
                change(&world);
                let report = sync(&world);
                assert!(report.unsent > 0, "{what}: {report:?}");
                assert_eq!(sync(&world).unsent, report.unsent, "{what}");
            } else {
                change(&world);
            }
            mirror(&mut world);
            let mail = settle(&world);
            for (mailbox, text, count) in expected {
                assert_eq!(here(&world, mailbox, text), count, "{what} {is_seen}: {mail:?}");
                assert_eq!(there(&world, mailbox, text), count, "{what} {is_seen}: {mail:?}");
            }
            if what == "flags are united" {
                let list = world.server.list("INBOX");
                let two = |body: &[u8]| String::from_utf8_lossy(body).contains("text 2");
                let two = list.iter().find(|m| two(&m.body)).unwrap();
                assert!(two.flags.contains("\\Seen") && two.flags.contains("\\Flagged"), "{what}");
            }
        }
    }
}

#[test]
fn hazard_125_what_left_the_server_does_not_come_back_when_the_direction_changes() {
    for profile in rungs() {
        for later in [false, true] {
            let mut world = agreed_on(&profile);
            mirror(&mut world);
            sync(&world);
            pull(&mut world);
            if later {
                sync(&world);
            }
            write(&world, "INBOX/cur/new:2,S", "Message-ID: <new>\n\nfresh\n");
            world.server.expunge("INBOX", &[uid(&world, "INBOX", "text 1")]);
            sync(&world);
            assert_eq!(here(&world, "INBOX", "text 1"), 0, "followed at once");
            mirror(&mut world);
            settle(&world);
            assert_eq!((here(&world, "INBOX", "text 1"), there(&world, "INBOX", "text 1")), (0, 0));
            assert_eq!(there(&world, "INBOX", "fresh"), 1);
        }
    }
}

/// Kept on one side while the settings said so, then they say otherwise: both sides are united.
#[test]
fn hazard_125_what_was_kept_on_one_side_comes_back_to_the_other() {
    for profile in rungs() {
        let mut world = agreed_on(&profile);
        configure(&mut world, false, OnLocalDelete::Keep, OnRemoteDelete::Keep);
        sync(&world);
        world.fs.delete_file(with_text(&world, "INBOX", "text 1"));
        world.server.expunge("INBOX", &[uid(&world, "INBOX", "text 2")]);
        sync(&world);
        sync(&world);
        let sides = |world: &World, text| (here(world, "INBOX", text), there(world, "INBOX", text));
        assert_eq!((sides(&world, "text 1"), sides(&world, "text 2")), ((0, 1), (1, 0)));
        // Another change leaves them as they are.
        configure(&mut world, false, OnLocalDelete::Keep, OnRemoteDelete::Remove);
        rest(&world);
        assert_eq!((sides(&world, "text 1"), sides(&world, "text 2")), ((0, 1), (1, 1)));
        mirror(&mut world);
        settle(&world);
        assert_eq!((sides(&world, "text 1"), sides(&world, "text 2")), ((1, 1), (1, 1)));
    }
}

#[test]
fn hazard_125_older_texts_of_the_settings_are_any_change() {
    let back = scope::brings_back("Scope { direction: Both }", "{\"version\":1}");
    assert!(back.here && back.there);
}

/// A mailbox whose directory another program spelled, with as many messages.
fn spelled(dir: &str, mailbox: &str, messages: usize) -> World {
    let world = agreed();
    make_mailbox(&world, dir);
    for n in 0..messages {
        let text = format!("Message-ID: <s{n}>\r\nSubject: s{n}\r\n\r\nspelled {n}.\r\n");
        world.server.append(mailbox, text.as_bytes(), &["\\Seen"], Some(5));
        write(&world, &format!("{dir}/cur/{n}.o:2,S"), &text.replace("\r\n", "\n"));
    }
    rest(&world);
    assert_eq!(files(&world, dir).len(), messages);
    world
}

#[test]
fn hazard_123_a_directory_that_another_program_named_is_renamed() {
    for (dir, mailbox, now, name) in [
        (".Lists.rust", "Lists/rust", ".Lists.go", "Lists/go"),
        (".Job", "Job", ".Beruf", "Beruf"),
        ("Job", "Job", ".Beruf", "Beruf"),
    ] {
        let world = spelled(dir, mailbox, 3);
        world.server.reset_counters();
        world.fs.move_file(format!("{ROOT}/{dir}"), format!("{ROOT}/{now}"));
        let (_, dry) = (world.wait(), world.dry_run());
        assert!(dry.iter().any(|line| line.contains(name)), "{dry:?}");
        let report = rest(&world);
        assert_eq!((report.done(), report.skipped.len()), (0, 0), "{report:?}");
        assert_eq!((there(&world, name, "spelled"), there(&world, mailbox, "spelled")), (3, 0));
        assert_eq!((files(&world, now).len(), there(&world, "Trash", "spelled")), (3, 0));
    }
}

/// Nothing tells which mailbox it is to be, or it is nowhere a mailbox can be: it is not gone.
#[test]
fn hazard_123_a_directory_with_our_mark_is_not_gone_wherever_it_lies() {
    for now in [".Lists.new", ".attic/Work", "INBOX/.a.b", "a b "] {
        let world = agreed();
        sync(&world);
        if let Some((above, _)) = now.split_once('/') {
            world.fs.mkdir_all(format!("{ROOT}/{above}"));
        }
        world.fs.move_file(format!("{ROOT}/Work"), format!("{ROOT}/{now}"));
        for _ in 0..3 {
            let report = sync(&world);
            assert!(report.skipped.iter().any(|skip| skip.why.contains(now)), "{now}: {report:?}");
            assert_eq!((there(&world, "Work", "text"), there(&world, "Trash", "text 8")), (2, 0));
        }
        world.fs.move_file(format!("{ROOT}/{now}"), format!("{ROOT}/Job"));
        settle(&world);
        assert_eq!((there(&world, "Job", "text"), there(&world, "Work", "text")), (2, 0), "{now}");
    }
}

#[test]
fn hazard_123_a_mailbox_that_is_removed_without_those_below_it_is_gone() {
    let world = agreed();
    make_mailbox(&world, "Work/Deep");
    write(&world, "Work/Deep/cur/deep:2,S", "Message-ID: <d>\n\ndeep\n");
    settle(&world);
    files(&world, "Work").into_iter().for_each(|file| world.fs.delete_file(file));
    for dir in ["cur", "new", "tmp"] {
        world.fs.delete_dir(format!("{ROOT}/Work/{dir}"));
    }
    let report = rest(&world);
    assert_eq!((report.done(), report.skipped.len()), (0, 0), "{report:?}");
    assert_eq!((there(&world, "Work", "text"), there(&world, "Trash", "text 8")), (0, 1));
    assert_eq!(there(&world, "Work/Deep", "deep"), 1);
}

#[test]
fn hazard_124_a_file_where_nothing_is_mirrored_is_not_deleted() {
    for dir in [".New", "INBOX/.deep", "a b ", "inbox", "A%2FB"] {
        let mut world = agreed();
        make_mailbox(&world, dir);
        let named = |report: &Report| report.skipped.iter().any(|skip| skip.what.ends_with(dir));
        assert!(named(&sync(&world)), "{dir} is named");
        rename(&world, &with_text(&world, "INBOX", "text 1"), &format!("{dir}/cur/1.filed:2,S"));
        for _ in 0..2 {
            assert!(named(&sync(&world)), "{dir}");
            world.fs.set_clock(world.fs.clock() + 3 * 24 * 3600 * 1_000_000_000);
            assert_eq!(
                (there(&world, "INBOX", "text 1"), there(&world, "Trash", "text 1")),
                (1, 0)
            );
        }
        // Excluded, it is not named.
        let excluded = MailboxName::new(dir);
        world.configure(move |settings| {
            let excluded = excluded.clone();
            settings.selects = Arc::new(move |name| *name != excluded);
        });
        world.fs.move_file(
            format!("{ROOT}/{dir}/cur/1.filed:2,S"),
            format!("{ROOT}/INBOX/cur/1.back:2,S"),
        );
        let report = sync(&world);
        assert!(!named(&report), "{dir}: {report:?}");
        assert_eq!((there(&world, "INBOX", "text 1"), here(&world, "INBOX", "text 1")), (1, 1));
    }
}

#[test]
fn hazard_124_equal_messages_that_were_filed_there_are_not_deleted() {
    let world = agreed();
    let text = b"Message-ID: <twin>\r\n\r\ntwins\r\n";
    for date in [5, 6] {
        world.server.append("INBOX", text, &["\\Seen"], Some(date));
    }
    settle(&world);
    make_mailbox(&world, ".New");
    for n in 0..2 {
        rename(&world, &with_text(&world, "INBOX", "twins"), &format!(".New/cur/{n}.filed:2,S"));
    }
    for _ in 0..3 {
        sync(&world);
        world.wait();
        assert_eq!((there(&world, "INBOX", "twins"), there(&world, "Trash", "twins")), (2, 0));
    }
}
