//! `mailtide verify`: believes nothing that is remembered, finds what is not as it was, and
//! changes nothing.

use std::path::PathBuf;

use kit::imap::Profile;
use kit::world::{ROOT, World};
use mailtide::account::{Depth, Verified};
use mailtide::config::Keep;

const COUNT: u32 = 3;

fn message(n: u32) -> String {
    format!("Message-ID: <{n}@x>\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n\r\nnumber {n}\r\n")
}

/// An account in step.
fn mirror(profile: Profile) -> World {
    let world = World::new(profile);
    for n in 1..=COUNT {
        world.server.append("INBOX", message(n).as_bytes(), &[], None);
    }
    for _ in 0..2 {
        world.sync().1.unwrap();
        world.wait();
    }
    world
}

fn file(world: &World, n: usize) -> PathBuf {
    let in_inbox = |path: &PathBuf| path.parent().is_some_and(|dir| dir.ends_with("INBOX/new"));
    world.fs.tree().into_keys().filter(in_inbox).nth(n).unwrap()
}

/// Verifies, and makes sure that nothing is changed by that: neither disk nor server nor what
/// the next run makes of it.
#[track_caller]
fn found(world: &World, depth: Depth) -> (Verified, Vec<String>) {
    let before = (world.fs.tree(), world.remote());
    let report = world.verify(depth);
    assert_eq!((world.fs.tree(), world.remote()), before);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    (report.verified.unwrap(), report.plan)
}

const WELL: Verified = Verified {
    files: COUNT as u64,
    bodies: 0,
    reworded: 0,
    left: 0,
    left_there: 0,
    differing: 0,
    differs: Vec::new(),
};

fn profiles() -> [Profile; 4] {
    [Profile::qresync(), Profile::condstore(), Profile::plain(), Profile::gmail()]
}

#[test]
fn what_is_well_is_said_to_be() {
    for profile in profiles() {
        let world = mirror(profile);
        assert_eq!(found(&world, Depth::Files), (WELL, Vec::new()));
        let bodies = u64::from(COUNT);
        assert_eq!(found(&world, Depth::Bodies), (Verified { bodies, ..WELL }, Vec::new()));
        world.server.reset_counters();
        let report = world.sync().0;
        assert_eq!(report.done(), 0, "it left nothing to do");
    }
}

#[test]
fn a_disk_that_gives_back_something_else() {
    let world = mirror(Profile::qresync());
    world.fs.rot(file(&world, 1));
    assert_eq!(world.sync().0.done(), 0, "no run would see it");
    let (verified, plan) = found(&world, Depth::Bodies);
    assert_eq!((verified.files, verified.bodies, plan), (2, 3, Vec::new()));
    assert_eq!((verified.differing, verified.differs.len()), (1, 1));
    assert!(verified.differs[0].why.contains("check the disk"), "{:?}", verified.differs);
    assert!(verified.differs[0].what.starts_with("INBOX: "));
}

#[test]
fn a_file_that_was_written_to_goes_up_by_the_next_sync() {
    let world = mirror(Profile::qresync());
    world.fs.write_file(file(&world, 0), b"Message-ID: <1@x>\n\nedited\n");
    world.wait();
    let (verified, plan) = found(&world, Depth::Files);
    // It was read anew, since it is one of the youngest.
    assert_eq!((verified.files, verified.differing), (3, 0));
    assert!(plan.iter().any(|line| line.contains("upload")), "{plan:?}");
}

#[test]
fn a_body_that_the_server_has_changed() {
    for profile in profiles() {
        let world = mirror(profile);
        let uid = world.server.list("INBOX")[2].uid;
        world.server.alter("INBOX", uid, message(9).as_bytes());
        assert_eq!(found(&world, Depth::Files), (WELL, Vec::new()));
        let (verified, plan) = found(&world, Depth::Bodies);
        assert_eq!((verified.bodies, verified.differing, plan.len()), (2, 1, 0));
        assert_eq!(verified.differs[0].what, format!("INBOX: UID {uid}"));
    }
}

/// What is said of what somebody did.
type Case = (&'static str, fn(&World));

/// What a sync would mend.
#[test]
fn what_is_not_in_step() {
    let table: [Case; 4] = [
        ("download", |world| {
            world.server.append("INBOX", message(4).as_bytes(), &[], None);
        }),
        ("move the file to the trash", |world| {
            let uid = world.server.list("INBOX")[0].uid;
            world.server.expunge("INBOX", &[uid]);
        }),
        ("deleted here", |world| world.fs.delete_file(file(world, 2))),
        ("change flags of the file", |world| {
            let uid = world.server.list("INBOX")[1].uid;
            world.server.set_flags("INBOX", uid, &["\\Flagged"], &[]);
        }),
    ];
    for profile in profiles() {
        for (expected, act) in table {
            let world = mirror(profile.clone());
            act(&world);
            let (verified, plan) = found(&world, Depth::Bodies);
            assert_eq!((verified.differing, plan.len()), (0, 1), "{plan:?}");
            assert!(plan[0].contains(expected), "{expected}: {plan:?}");
        }
    }
}

fn drop_of(keep: Keep) -> (kit::pop3::Server, World) {
    let server = kit::pop3::Server::new((1..=COUNT).map(message));
    let world = World::of_maildrop(&server, keep);
    world.sync().1.unwrap();
    world.wait();
    (server, world)
}

#[test]
fn a_maildrop_that_is_well() {
    let (server, world) = drop_of(Keep::Days(1));
    world.fs.set_clock(world.fs.clock() + 3 * 86_400_000_000_000);
    let bodies = u64::from(COUNT);
    let due = vec!["      3  delete from the server".to_owned()];
    assert_eq!(found(&world, Depth::Files), (WELL, due.clone()));
    assert_eq!(found(&world, Depth::Bodies), (Verified { bodies, ..WELL }, due));
    assert_eq!(server.messages().len(), 3);
    let verbs: Vec<String> = server.commands().into_iter().map(|command| command.line).collect();
    assert!(!verbs.iter().any(|line| line.starts_with("DELE")), "{verbs:?}");
}

#[test]
fn what_is_not_as_it_was_pulled() {
    let (server, world) = drop_of(Keep::Forever);
    // One is deleted, one altered; one comes, one is another under the same name.
    world.fs.delete_file(file(&world, 0));
    world.fs.rot(file(&world, 0));
    let uidl = server.messages()[1].uidl.clone().unwrap();
    server.remove(1);
    server.deliver(message(7).as_bytes());
    server.set_uidl(2, Some(&uidl));
    server.deliver(message(8).as_bytes());
    let (verified, plan) = found(&world, Depth::Bodies);
    assert_eq!((verified.files, verified.left, verified.left_there), (1, 2, 2));
    assert_eq!((verified.bodies, verified.differing), (2, 1));
    assert_eq!(verified.differs[0].what, "INBOX: message 3");
    assert_eq!(plan, ["      1  fetch into INBOX, 1 MB"]);
}

/// A Maildir that is another, or gone, is read as it is; nothing is made in its place.
#[test]
fn where_there_is_no_maildir() {
    let (_, mut world) = drop_of(Keep::Forever);
    world.fs = kit::memfs::MemFs::new();
    world.fs.mkdir_all("/tmp");
    let (report, result) = world.try_verify(Depth::Files);
    let told = result.unwrap_err().to_string();
    assert!(told.contains("is its disk mounted?"), "{told}");
    assert_eq!(report.done(), 0);
    assert!(!world.fs.tree().contains_key(std::path::Path::new(ROOT)));
}
