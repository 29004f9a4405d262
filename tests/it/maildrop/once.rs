//! What is here comes no second time, and what is new comes: each of these once was doubled, or
//! taken for another.

use std::sync::atomic::{AtomicBool, Ordering};

use kit::imap::Profile as Imap;
use kit::pop3::{Fault, Profile, Server, When};
use kit::world::{ROOT, World};
use mailtide::config::Keep;

use super::{DAY, brings, drop_of, inbox, message, messages, of, pull, restored, server};

fn plain() -> Profile {
    Profile { pipelining: false, ..Profile::default() }
}

/// Without a Message-ID.
fn bare(n: u32) -> String {
    format!(
        "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nFrom: a@x\r\nSubject: {n}\r\n\r\nbody {n}\r\n"
    )
}

fn day(world: &World) {
    world.fs.set_clock(world.fs.clock() + DAY);
}

/// These commands add a header that is another one each time; no Message-ID; names are good.
#[track_caller]
fn added_by(verbs: &[&'static str]) {
    let server = Server::new((1..=4).map(bare));
    let world = World::of_maildrop(&server, Keep::Days(1));
    for verb in verbs {
        server.inject(Fault::AddHeader, When::verb(verb));
    }
    brings(&world, 4);
    let mut told = Vec::new();
    for _ in 0..4 {
        day(&world);
        let report = pull(&world);
        told.push((report.pulled, report.removed_remote));
    }
    assert_eq!(inbox(&world).len(), 4, "{told:?}, {} on the server", server.messages().len());
}

#[test]
fn a_header_that_retr_adds_and_keep_in_days() {
    added_by(&["RETR"]);
}

#[test]
fn a_header_that_top_adds_too() {
    added_by(&["RETR", "TOP"]);
}

/// The same with Message-IDs: is `keep` obeyed, and how much comes each day?
#[test]
fn a_header_that_top_adds_too_with_message_ids() {
    let (server, world) = drop_of(Profile::default(), 4, Keep::Days(1));
    server.inject(Fault::AddHeader, When::verb("RETR"));
    server.inject(Fault::AddHeader, When::verb("TOP"));
    brings(&world, 4);
    let mut told = Vec::new();
    for _ in 0..4 {
        day(&world);
        server.reset_counters();
        let report = pull(&world);
        told.push((report.pulled, report.removed_remote, server.counters().verb("RETR")));
    }
    assert_eq!(inbox(&world).len(), 4);
    let retr: u64 = told.iter().map(|one| one.2).sum();
    assert!(retr <= 4, "(pulled, removed, RETR): {told:?}");
}

/// Where RETR adds a header, something happens once all are here; they stay as many.
#[track_caller]
fn stay_as_many(server: &Server, count: usize, happens: impl Fn(&World)) {
    let world = World::of_maildrop(server, Keep::Forever);
    server.inject(Fault::AddHeader, When::verb("RETR"));
    brings(&world, count as u64);
    happens(&world);
    assert_eq!(inbox(&world).len(), count);
}

/// One refusal of UIDL without a code, of messages with and without Message-ID.
#[test]
fn uidl_refused_once() {
    for (server, count) in [(Server::new((1..=4).map(bare)), 4), (server(2), 2)] {
        stay_as_many(&server, count, |world| {
            let refused = server.inject(Fault::Refuse("busy".to_owned()), When::verb("UIDL"));
            let _ = world.sync();
            world.wait();
            server.withdraw(&refused);
            let _ = world.sync();
        });
    }
}

/// All names change, of messages with and without Message-ID, of few and of more.
#[test]
fn other_names_where_headers_are_added() {
    for (server, count) in [(Server::new((1..=4).map(bare)), 4), (server(2), 2)] {
        stay_as_many(&server, count, |world| {
            server.renew_uidls();
            pull(world);
        });
    }
}

/// A guest loses its store; its mail was filed elsewhere.
#[test]
fn a_guest_without_its_store_whose_mail_was_filed() {
    let owner = World::new(Imap::qresync());
    let drop = server(3);
    owner.server.create("Filed");
    owner.sync().1.unwrap();
    owner.wait();
    let guest = World::guest_of(&owner, &drop, Keep::Forever, "INBOX");
    assert_eq!(pull(&guest).pulled, 3);
    for _ in 0..2 {
        owner.sync().1.unwrap();
        owner.wait();
    }
    let is_file = |p: &std::path::PathBuf| {
        p.parent().is_some_and(|d| d.ends_with("INBOX/new") || d.ends_with("INBOX/cur"))
    };
    let file = owner.fs.tree().into_keys().find(is_file).unwrap();
    owner.fs.move_file(&file, format!("{ROOT}/Filed/cur/1.filed.here:2,S"));
    guest.lose_store();
    let report = pull(&guest);
    let all: usize = owner.local().values().map(Vec::len).sum();
    assert_eq!((report.pulled, all), (0, 3));
}

/// A reader files a message into a mailbox that was read already, while a restored Maildir is.
#[test]
fn a_reader_files_while_files_are_read() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    for sub in ["cur", "new", "tmp"] {
        world.fs.mkdir_all(format!("{ROOT}/A/{sub}"));
        world.fs.mkdir_all(format!("{ROOT}/Z/{sub}"));
    }
    let backup = world.fs.tree();
    server.deliver(message(4).as_bytes());
    brings(&world, 1);
    for to in ["A", "Z"] {
        world.fs = restored(&backup, world.fs.clock());
        let fs = world.fs.clone();
        let done = AtomicBool::new(false);
        world.on_call(move |call, path| {
            if call == "open"
                && path.parent().is_some_and(|d| d.ends_with("INBOX/new"))
                && !done.swap(true, Ordering::SeqCst)
            {
                let name = path.file_name().unwrap().to_string_lossy();
                fs.move_file(path, format!("{ROOT}/{to}/cur/{name}:2,S"));
            }
        });
        pull(&world);
        world.quiet();
        pull(&world);
        let all: usize = world.local().values().map(Vec::len).sum();
        assert_eq!(all, 4, "to {to}");
    }
}

/// Gmail's second part holds the list's copy of what the first part had.
#[test]
fn a_lists_copy_in_the_second_part() {
    let count = 500;
    let mut all = messages(1..=count);
    all[299] = message(10).replace("from a by b", "from list by c");
    let server = Server::with(Profile::gmail(), &all);
    let world = World::of_maildrop(&server, Keep::Forever);
    let report = pull(&world);
    assert_eq!((report.pulled, inbox(&world)), (500, of(all)));
}

/// Away from a listing, and asked for in vain when it was back.
#[test]
fn away_and_back_and_a_cut() {
    let (server, world) = drop_of(plain(), 3, Keep::Forever);
    brings(&world, 3);
    server.configure(|profile| profile.window = Some(2));
    brings(&world, 0);
    server.configure(|profile| profile.window = None);
    server.inject(Fault::CutBefore, When::verb("RETR"));
    let _ = world.sync();
    world.wait();
    server.heal();
    let report = pull(&world);
    assert_eq!((report.pulled, inbox(&world).len()), (0, 3));
}

/// Refused once instead of cut.
#[test]
fn away_and_back_and_a_refusal() {
    let (server, world) = drop_of(plain(), 3, Keep::Forever);
    brings(&world, 3);
    server.configure(|profile| profile.window = Some(2));
    brings(&world, 0);
    server.configure(|profile| profile.window = None);
    server.inject(Fault::RefuseMessage(3), When::verb("RETR"));
    let _ = world.sync();
    world.wait();
    server.heal();
    let report = pull(&world);
    assert_eq!((report.pulled, inbox(&world).len()), (0, 3));
}

/// A move to another server that takes a while: its maildrop fills up.
#[test]
fn a_maildrop_that_is_moved_in_parts() {
    let mut bad = Vec::new();
    for elsewhere in [false, true] {
        let (server, mut world) = drop_of(Profile::default(), 6, Keep::Forever);
        brings(&world, 6);
        server.renew_uidls();
        if elsewhere {
            world.move_to(&server, "elsewhere");
        }
        for part in [2, 4, 6] {
            server.configure(|profile| profile.window = Some(part));
            pull(&world);
        }
        if inbox(&world).len() != 6 {
            bad.push((elsewhere, inbox(&world).len()));
        }
    }
    assert!(bad.is_empty(), "(another host, messages of 6): {bad:?}");
}

/// All names change, and in the pull that sees it one message is refused.
#[test]
fn other_names_and_a_refusal() {
    for count in [2, 4, 8] {
        let (server, world) = drop_of(Profile::default(), count, Keep::Forever);
        brings(&world, u64::from(count));
        server.renew_uidls();
        server.inject(Fault::RefuseMessage(2), When::verb("RETR"));
        let _ = world.sync();
        world.wait();
        server.heal();
        let report = pull(&world);
        assert_eq!((report.pulled, inbox(&world).len()), (0, count as usize));
    }
}

/// The same with a message that is cut off.
#[test]
fn other_names_and_a_message_at_which_the_server_hangs_up() {
    let (server, world) = drop_of(plain(), 4, Keep::Forever);
    brings(&world, 4);
    server.renew_uidls();
    server.inject(Fault::CutAtMessage(2), When::verb("RETR"));
    for _ in 0..3 {
        let _ = world.sync();
        world.wait();
    }
    server.heal();
    let report = pull(&world);
    assert_eq!((report.pulled, inbox(&world).len()), (0, 4));
}

/// The store is lost, and the first listing after that shows nothing, or a part.
#[test]
fn a_lost_store_and_a_part_of_the_maildrop() {
    let mut bad = Vec::new();
    for part in [0, 2, 4] {
        let (server, world) = drop_of(Profile::default(), 6, Keep::Forever);
        brings(&world, 6);
        world.lose_store();
        server.configure(|profile| profile.window = Some(part));
        pull(&world);
        server.configure(|profile| profile.window = None);
        pull(&world);
        if inbox(&world).len() != 6 {
            bad.push((part, inbox(&world).len()));
        }
    }
    assert!(bad.is_empty(), "(shown at first, messages of 6): {bad:?}");
}

/// The store is lost, and the first pull after that does not get all.
#[test]
fn a_lost_store_and_a_refusal() {
    let (server, world) = drop_of(Profile::default(), 4, Keep::Forever);
    brings(&world, 4);
    world.lose_store();
    server.inject(Fault::RefuseMessage(2), When::verb("RETR"));
    pull(&world);
    server.heal();
    let report = pull(&world);
    assert_eq!((report.pulled, inbox(&world).len()), (0, 4));
}
