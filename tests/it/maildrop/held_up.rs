//! One bad message, and one bad day, hold up nothing else: each of these once did.

use kit::imap::Profile as Imap;
use kit::pop3::{Fault, Profile, Server, When};
use kit::world::{ROOT, World};
use mailtide::config::Keep;

use super::{DAY, brings, drop_of, inbox, message, messages, pull, server};

fn nameless() -> Profile {
    Profile { uidl: false, top: false, ..Profile::default() }
}

fn day(world: &World) {
    world.fs.set_clock(world.fs.clock() + DAY);
}

/// DELE is well, QUIT is well, and all is still there: how often does it come over the wire?
#[test]
fn deletions_that_are_not_done_cost_traffic() {
    let (server, world) = drop_of(Profile::default(), 5, Keep::UntilPulled);
    server.inject(Fault::KeepDeleted, When::verb("QUIT"));
    let mut retr = Vec::new();
    for _ in 0..7 {
        server.reset_counters();
        pull(&world);
        retr.push(server.counters().verb("RETR"));
    }
    assert_eq!(inbox(&world).len(), 5);
    // It keeps them whatever it says: they are left to it.
    assert_eq!(retr, [5, 5, 5, 5, 5, 5, 0]);
}

/// No names: a message at which the server hangs up holds up those behind it for good.
#[test]
fn nameless_and_a_message_at_which_the_server_hangs_up() {
    let (server, world) = drop_of(Profile { pipelining: false, ..nameless() }, 5, Keep::Forever);
    server.inject(Fault::CutAtMessage(2), When::verb("RETR"));
    for _ in 0..10 {
        let _ = world.sync();
        world.wait();
    }
    assert_eq!(inbox(&world).len(), 4);
}

/// No names: a message that turns out too large.
#[test]
fn nameless_and_a_size_that_is_a_lie() {
    let large = format!("{}{}\r\n", message(2), "x".repeat(12_000_000));
    let server = Server::with(nameless(), [message(1), large, message(3)]);
    server.inject(Fault::SizeLie(-12_000_001), When::verb("LIST"));
    let mut world = World::of_maildrop(&server, Keep::Forever);
    world.also(|settings| settings.max_message_size = 4_000);
    let begun = std::time::Instant::now();
    let _ = world.sync();
    let c = server.counters();
    assert_eq!(
        inbox(&world).len(),
        2,
        "{:?}, {} sessions, {} octets",
        begun.elapsed(),
        c.sign_ins,
        c.octets_sent
    );
}

/// TOP of one message ends the connection, where headers are names.
#[test]
fn a_message_at_whose_header_the_server_hangs_up() {
    let profile = Profile { uidl: false, ..Profile::default() };
    let (server, world) = drop_of(profile, 5, Keep::Forever);
    server.inject(Fault::CutAtMessage(2), When::verb("TOP"));
    server.inject(Fault::CutAtMessage(2), When::verb("RETR"));
    for _ in 0..10 {
        let _ = world.sync();
        world.wait();
    }
    assert_eq!(inbox(&world).len(), 4, "ten pulls later");
}

/// The same once a name was that of two.
#[test]
fn a_message_at_whose_header_the_server_hangs_up_after_a_name_of_two() {
    let (server, world) = drop_of(Profile::default(), 5, Keep::Forever);
    server.set_uidl(0, Some("two"));
    server.set_uidl(4, Some("two"));
    brings(&world, 5);
    server.set_uidl(4, Some("another"));
    server.inject(Fault::CutAtMessage(2), When::verb("TOP"));
    server.deliver(message(6).as_bytes());
    for _ in 0..10 {
        let _ = world.sync();
        world.wait();
    }
    assert_eq!(inbox(&world).len(), 6, "ten pulls later");
}

/// TOP of one message ends the connection where deletions are due.
#[test]
fn nothing_is_deleted_any_more() {
    let (server, mut world) = drop_of(Profile::default(), 5, Keep::Forever);
    brings(&world, 5);
    world.pull(Keep::UntilPulled);
    server.inject(Fault::CutAtMessage(2), When::verb("TOP"));
    for _ in 0..10 {
        let _ = world.sync();
        world.wait();
    }
    assert!(server.messages().len() <= 1, "{}", server.messages().len());
}

/// A crash, then another mailbox by the config, and the directory of the first is gone.
#[test]
fn a_crash_and_then_another_mailbox_by_the_config() {
    let prepared = || {
        let owner = World::new(Imap::qresync());
        let drop = server(3);
        let guest = World::guest_of(&owner, &drop, Keep::Forever, "Old");
        owner.sync().1.unwrap();
        owner.wait();
        (owner, drop, guest)
    };
    let points = prepared().2.run_until(0).1;
    let mut bad = Vec::new();
    for point in 1..=points {
        let (_owner, drop, mut guest) = prepared();
        let _ = guest.run_until(point);
        guest.fs.restart();
        guest.wait();
        let old = format!("{ROOT}/Old");
        if guest.fs.tree().contains_key(std::path::Path::new(&old)) {
            guest.fs.move_file(&old, "/tmp/Old");
        }
        guest.also(|settings| {
            settings.maildrop.as_mut().unwrap().mailbox =
                mailtide::reconcile::types::MailboxName::new("New");
        });
        let mut results = Vec::new();
        for _ in 0..4 {
            results.push(guest.sync().1.map_err(|error| error.to_string()));
            guest.wait();
        }
        if results.last().unwrap().is_err() {
            bad.push((point, results.pop().unwrap(), drop.messages().len()));
        }
    }
    assert!(bad.is_empty(), "of {points}: {bad:#?}");
}

/// TOP says the same of every message, and sizes differ.
#[test]
fn headers_that_are_all_the_same() {
    let text = |n: u32| format!("Subject: {n}\r\n\r\n{}\r\n", "x".repeat(n as usize % 5_000));
    let took = [2_000, 16_000].map(|count: u32| {
        let profile = Profile { uidl: false, ..Profile::default() };
        let server = Server::with(profile, (0..count).map(text));
        server.inject(Fault::Say(b"+OK\r\nX: y\r\n\r\n.\r\n".to_vec()), When::verb("TOP"));
        let world = World::of_maildrop(&server, Keep::Forever);
        brings(&world, u64::from(count));
        let begun = std::time::Instant::now();
        brings(&world, 0);
        begun.elapsed()
    });
    assert!(took[1] < took[0] * 24, "{took:?}");
}

/// One message that does not fit on the disk holds up the others.
#[test]
fn a_message_that_does_not_fit_on_the_disk() {
    let server = Server::new(messages(1..=3));
    let size = message(1).len();
    let list = format!("+OK\r\n1 {size}\r\n2 900000000000000\r\n3 {size}\r\n.\r\n");
    server.inject(Fault::Say(list.into_bytes()), When::verb("LIST"));
    let mut world = World::of_maildrop(&server, Keep::Forever);
    // A place that the real disk has as well, since it is that one which is measured.
    world.also(|settings| {
        settings.maildir = "/tmp".into();
        settings.max_message_size = u64::MAX;
    });
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(world.sync().0);
        world.wait();
    }
    let new = |p: &std::path::PathBuf| p.parent().is_some_and(|d| d.ends_with("INBOX/new"));
    let here = world.fs.tree().into_keys().filter(new).count();
    assert_eq!(here, 2, "{:#?}", told[2].skipped);
}

/// TOP that gives the whole message, where deletions are due by days.
#[test]
fn top_that_gives_all() {
    let (server, world) = drop_of(Profile::default(), 40, Keep::Days(3));
    server.inject(Fault::TopIsWhole, When::verb("TOP"));
    brings(&world, 40);
    let mut told = Vec::new();
    for _ in 0..8 {
        day(&world);
        server.reset_counters();
        let report = pull(&world);
        let c = server.counters();
        told.push((report.removed_remote, c.verb("RETR"), c.verb("TOP")));
    }
    assert_eq!(inbox(&world).len(), 40);
    assert!(told.iter().all(|one| one.1 == 0), "(removed, RETR, TOP) {told:?}");
}

/// The clock was far ahead once: is what was refused asked for again, and are days counted?
#[test]
fn a_clock_that_was_ahead_once() {
    let (server, world) = drop_of(Profile::default(), 2, Keep::Days(2));
    brings(&world, 2);
    world.fs.set_clock(world.fs.clock() + 4_000 * DAY);
    server.deliver(message(3).as_bytes());
    let refused = server.inject(Fault::RefuseMessage(3), When::verb("RETR"));
    for _ in 0..3 {
        let _ = world.sync();
        world.wait();
    }
    server.withdraw(&refused);
    world.fs.set_clock(world.fs.clock() - 4_000 * DAY);
    for _ in 0..30 {
        day(&world);
        let _ = world.sync();
    }
    assert_eq!((inbox(&world).len(), server.messages().len()), (3, 0), "a month later");
}

/// LIST and UIDL are refused while there is nothing: that is no trouble.
#[test]
fn an_empty_maildrop_that_is_refused() {
    let (server, world) = drop_of(Profile::plain(), 0, Keep::Forever);
    server.inject(Fault::Refuse("no messages".to_owned()), When::verb("LIST"));
    server.inject(Fault::Refuse("no messages".to_owned()), When::verb("UIDL"));
    let (_, result) = world.sync();
    assert!(result.is_ok(), "{result:?}");
}
