//! What leaves the server is safe here, whatever happened before: each of these once was lost.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use kit::imap::Profile as Imap;
use kit::pop3::{Fault, Profile, Server, When};
use kit::world::{ROOT, World};
use mailtide::account::AccountError;
use mailtide::config::Keep;

use super::{
    DAY, brings, drop_of, inbox, message, messages, of, pull, restored, server, unmounted,
};

fn plain() -> Profile {
    Profile { pipelining: false, ..Profile::default() }
}

fn day(world: &World) {
    world.fs.set_clock(world.fs.clock() + DAY);
}

fn is_somewhere(world: &World, server: &Server, n: u32) -> bool {
    let wanted = of([message(n)]).remove(0);
    inbox(world).contains(&wanted) || of(server.bodies()).contains(&wanted)
}

/// A server that stuffs no dots: the message ends early, and what follows is no answer.
#[test]
fn a_server_that_stuffs_no_dots() {
    let unstuffed = format!("+OK\r\n{}.\r\n", message(1)).into_bytes();
    let mut bad = Vec::new();
    for profile in [plain(), Profile::default()] {
        for count in [1, 3] {
            let (server, world) = drop_of(profile.clone(), count, Keep::UntilPulled);
            server.inject(Fault::Say(unstuffed.clone()), When::verb("RETR").nth(1));
            for _ in 0..3 {
                let _ = world.sync();
                world.wait();
            }
            if !is_somewhere(&world, &server, 1) {
                bad.push((profile.pipelining, count, inbox(&world)));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Shorter than announced, and ended in order.
#[test]
fn a_body_shorter_than_announced() {
    let (server, world) = drop_of(Profile::default(), 2, Keep::UntilPulled);
    let half = format!("+OK\r\n{}\r\n.\r\n", &message(1)[..100]).into_bytes();
    server.inject(Fault::Say(half), When::verb("RETR").nth(1));
    for _ in 0..3 {
        let _ = world.sync();
        world.wait();
    }
    assert!(is_somewhere(&world, &server, 1), "{:#?}", inbox(&world));
}

/// A crash with a Maildir of its own, and then a program takes the mail.
#[test]
fn a_crash_and_then_a_program() {
    let points = drop_of(Profile::default(), 3, Keep::UntilPulled).1.run_until(0).1;
    let mut lost = Vec::new();
    for point in 1..=points {
        let (server, mut world) = drop_of(Profile::default(), 3, Keep::UntilPulled);
        let _ = world.run_until(point);
        world.fs.restart();
        world.wait();
        world.also(|settings| {
            settings.maildir = "/spool".into();
            settings.maildrop.as_mut().unwrap().deliver_command = vec!["cat".to_owned()];
        });
        for _ in 0..2 {
            let _ = world.sync();
            world.wait();
        }
        let gone: Vec<u32> = (1..=3).filter(|n| !is_somewhere(&world, &server, *n)).collect();
        if !gone.is_empty() {
            lost.push((point, gone));
        }
    }
    assert!(lost.is_empty(), "of {points}: {lost:?}");
}

/// An account in step, a maildrop, and a guest that pulls from that into "Old".
fn a_guest_of_old() -> (World, Server, World) {
    let owner = World::new(Imap::qresync());
    owner.server.create("Old");
    let drop = server(3);
    let guest = World::guest_of(&owner, &drop, Keep::UntilPulled, "Old");
    for _ in 0..2 {
        owner.sync().1.unwrap();
        owner.wait();
    }
    (owner, drop, guest)
}

/// A crash, and then the directory has another name (the owner renamed the mailbox).
#[test]
fn a_crash_and_then_another_name_for_the_mailbox() {
    let points = a_guest_of_old().2.run_until(0).1;
    let mut lost = Vec::new();
    for point in 1..=points {
        let (owner, drop, guest) = a_guest_of_old();
        let _ = guest.run_until(point);
        guest.fs.restart();
        guest.wait();
        owner.server.rename_mailbox("Old", "Archive");
        for _ in 0..2 {
            owner.sync().1.unwrap();
            owner.wait();
        }
        for _ in 0..3 {
            let _ = guest.sync();
            guest.wait();
        }
        for _ in 0..2 {
            owner.sync().1.unwrap();
            owner.wait();
        }
        let here: Vec<String> =
            owner.local().into_values().flatten().map(|(content, _)| content).collect();
        let there = of(drop.bodies());
        let count = of(messages(1..=3))
            .iter()
            .filter(|wanted| !here.contains(wanted) && !there.contains(wanted))
            .count();
        if count > 0 || here.len() > 3 {
            lost.push((point, count, here.len()));
        }
    }
    assert!(lost.is_empty(), "of {points} (point, lost, here): {lost:?}");
}

/// The mailbox that the guest delivers into is removed by the owner, who had a crash of the guest
/// before.
#[test]
fn a_crash_and_then_the_mailbox_is_deleted() {
    let points = a_guest_of_old().2.run_until(0).1;
    let mut lost = Vec::new();
    for point in 1..=points {
        let (owner, drop, guest) = a_guest_of_old();
        let _ = guest.run_until(point);
        guest.fs.restart();
        guest.wait();
        owner.server.delete_mailbox("Old");
        for _ in 0..3 {
            owner.sync().1.unwrap();
            owner.wait();
        }
        for _ in 0..3 {
            let _ = guest.sync();
            guest.wait();
        }
        let here: Vec<String> =
            owner.local().into_values().flatten().map(|(content, _)| content).collect();
        let there = of(drop.bodies());
        let wanted = of(messages(1..=3));
        let gone = wanted.iter().filter(|one| !here.contains(one) && !there.contains(one)).count();
        if gone > 0 {
            let tree = owner.fs.tree();
            let files = tree.iter().filter(|(_, bytes)| bytes.is_some());
            let files: Vec<String> = files
                .map(|(path, _)| path.display().to_string())
                .filter(|p| p.contains("Old"))
                .collect();
            lost.push((point, gone, files));
        }
    }
    assert!(lost.is_empty(), "of {points} (point, lost): {lost:#?}");
}

/// A backup is restored, one file of it cannot be read, and then mail comes.
#[test]
fn a_restore_with_a_file_that_cannot_be_read() {
    let mut bad = Vec::new();
    for keep in [Keep::Forever, Keep::UntilPulled] {
        let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
        brings(&world, 3);
        let backup = world.fs.tree();
        server.deliver(message(4).as_bytes());
        brings(&world, 1);
        world.fs = restored(&backup, world.fs.clock());
        world.pull(keep);
        let is_file = |p: &std::path::PathBuf| p.parent().is_some_and(|d| d.ends_with("INBOX/new"));
        let file = world.fs.tree().into_keys().find(is_file).unwrap();
        world.fs.deny(&file);
        server.deliver(message(5).as_bytes());
        for _ in 0..3 {
            let _ = world.sync();
            world.wait();
        }
        world.fs.allow(&file);
        if !is_somewhere(&world, &server, 4) {
            bad.push(format!("{keep:?}: lost"));
        }
        for _ in 0..3 {
            let _ = world.sync();
            world.wait();
        }
        if inbox(&world) != of(messages(1..=5)) {
            let left = world.asked(|store| store.drop_left(9)).len();
            bad.push(format!("{keep:?}: {} here, {left} named", inbox(&world).len()));
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

/// A backup that was made in the middle of a pull is restored after it.
#[test]
fn a_backup_of_the_middle_of_a_pull() {
    let (server, mut world) = drop_of(Profile::default(), 4, Keep::Days(1));
    let taken = Arc::new(Mutex::new(None));
    let (fs, count, backup) = (world.fs.clone(), AtomicU64::new(0), Arc::clone(&taken));
    world.on_call(move |call, path| {
        let placed = call == "rename" && path.to_string_lossy().contains("INBOX/tmp");
        if placed && count.fetch_add(1, Ordering::SeqCst) == 2 {
            *backup.lock().unwrap() = Some(fs.tree());
        }
    });
    brings(&world, 4);
    world.quiet();
    let backup = taken.lock().unwrap().take().expect("a backup");
    world.fs = restored(&backup, world.fs.clock());
    assert_eq!(inbox(&world).len(), 2);
    for _ in 0..3 {
        day(&world);
        let _ = world.sync();
    }
    let lost: Vec<u32> = (1..=4).filter(|n| !is_somewhere(&world, &server, *n)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

/// TOP gives nothing: sizes alone are no names.
#[test]
fn headers_that_are_empty() {
    for said in [&b"+OK\r\n.\r\n"[..], &b"+OK\r\n\r\n.\r\n"[..]] {
        let profile = Profile { uidl: false, ..Profile::default() };
        let (server, world) = drop_of(profile, 3, Keep::Forever);
        server.inject(Fault::Say(said.to_vec()), When::verb("TOP"));
        brings(&world, 3);
        server.remove(0);
        server.deliver(message(7).as_bytes());
        assert_eq!(pull(&world).pulled, 1, "{}", said.escape_ascii());
    }
}

/// A name is that of another message by now, and TOP, which would show it, is refused.
#[test]
fn a_name_given_away_while_top_is_refused() {
    let (server, mut world) = drop_of(Profile::default(), 2, Keep::Forever);
    server.set_uidl(0, Some("again"));
    brings(&world, 2);
    server.remove(0);
    server.deliver(message(7).as_bytes());
    server.set_uidl(1, Some("again"));
    world.pull(Keep::UntilPulled);
    server.inject(Fault::Refuse("[SYS/TEMP] later".to_owned()), When::verb("TOP"));
    pull(&world);
    assert!(is_somewhere(&world, &server, 7), "lost; {} on the server", server.messages().len());
}

/// The directory of the mailbox is a disk of its own, and not mounted.
#[test]
fn the_mailbox_is_not_mounted() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    world.pull(Keep::UntilPulled);
    world.fs.move_file(format!("{ROOT}/INBOX"), "/tmp/elsewhere");
    world.fs.mkdir_all(format!("{ROOT}/INBOX"));
    for _ in 0..2 {
        let _ = world.sync();
        world.wait();
    }
    let lost: Vec<u32> = (1..=3).filter(|n| !is_somewhere(&world, &server, *n)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

/// Another Maildir is put in the place of the mailbox: what was pulled is not in it.
#[test]
fn hazard_144_another_directory_is_no_ground_to_delete() {
    for (empty, keep) in [(false, Keep::UntilPulled), (true, Keep::UntilPulled)] {
        let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
        brings(&world, 3);
        world.pull(keep);
        world.fs.move_file(format!("{ROOT}/INBOX"), "/tmp/elsewhere");
        for sub in ["tmp", "new", "cur"] {
            world.fs.mkdir_all(format!("{ROOT}/INBOX/{sub}"));
        }
        if !empty {
            world.fs.write_file(format!("{ROOT}/INBOX/cur/other:2,S"), b"Subject: x\n\nx\n");
        }
        for _ in 0..3 {
            let _ = world.sync();
            world.wait();
        }
        let is_here = |n| inbox(&world).contains(&of([message(n)])[0]);
        let there = server.messages().len();
        let lost: Vec<u32> = (1..=3).filter(|n| there < 3 && !is_here(*n)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        // The former one returns.
        world.fs.move_file(format!("{ROOT}/INBOX"), "/tmp/other");
        world.fs.move_file("/tmp/elsewhere", format!("{ROOT}/INBOX"));
        for _ in 0..3 {
            world.sync().1.expect("a pull");
            world.wait();
        }
        assert_eq!(inbox(&world), of(messages(1..=3)));
    }
}

/// A copy of the mailbox, mark and all, is put in its place: what was pulled later is not in it.
#[test]
fn hazard_161_a_copy_of_the_directory_is_no_ground_to_delete() {
    let (server, mut world) = drop_of(Profile::default(), 1, Keep::Forever);
    brings(&world, 1);
    let (dir, copy) = (format!("{ROOT}/INBOX"), Path::new("/tmp/copy"));
    for (path, body) in world.fs.tree() {
        let Ok(below) = path.strip_prefix(&dir) else { continue };
        match body {
            Some(body) => world.fs.write_file(copy.join(below), &body),
            None => world.fs.mkdir_all(copy.join(below)),
        }
    }
    server.deliver(message(2).as_bytes());
    brings(&world, 1);
    world.fs.move_file(&dir, "/tmp/elsewhere");
    world.fs.move_file(copy, &dir);
    world.pull(Keep::UntilPulled);
    for _ in 0..3 {
        let _ = world.sync();
        world.wait();
    }
    assert_eq!((inbox(&world), server.messages().len()), (of(messages(1..=2)), 0));
}

/// QUIT is not answered, the server has deleted all the same, and an equal message comes.
#[test]
fn two_equal_and_one_is_taken_away_while_cut() {
    let server = Server::with(plain(), messages([1, 1, 2]));
    let world = World::of_maildrop(&server, Keep::UntilPulled);
    server.inject(Fault::CutAfter, When::verb("QUIT"));
    let _ = world.sync();
    world.wait();
    server.heal();
    server.deliver(message(1).as_bytes());
    let _ = world.sync();
    world.wait();
    let _ = world.sync();
    assert_eq!(inbox(&world), of(messages([1, 1, 1, 2])), "{} there", server.messages().len());
}

/// The same message once more, after `host` was spelt otherwise.
#[test]
fn the_same_once_more_after_another_host() {
    let (server, mut world) = drop_of(Profile::default(), 1, Keep::UntilPulled);
    assert_eq!(pull(&world).removed_remote, 1);
    world.move_to(&server, "mail.elsewhere");
    server.deliver(message(1).as_bytes());
    let report = pull(&world);
    assert_eq!((report.pulled, inbox(&world).len()), (1, 2), "{} there", server.messages().len());
}

/// A restored Maildir, and the first listing after that shows a part.
#[test]
fn a_restored_maildir_and_a_part_of_the_maildrop() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    let backup = world.fs.tree();
    (4..=6).for_each(|n| server.deliver(message(n).as_bytes()));
    brings(&world, 3);
    world.fs = restored(&backup, world.fs.clock());
    server.configure(|profile| profile.window = Some(4));
    pull(&world);
    server.configure(|profile| profile.window = None);
    server.inject(Fault::RefuseMessage(5), When::verb("RETR"));
    pull(&world);
    server.heal();
    pull(&world);
    assert_eq!(inbox(&world), of(messages(1..=6)));
}

/// The owner's server deletes the mailbox; the guest delivers into it meanwhile.
#[test]
fn the_mailbox_is_deleted_on_the_owners_server() {
    let owner = World::new(Imap::qresync());
    owner.server.create("Old");
    owner.server.append("Old", message(50).as_bytes(), &[], None);
    let drop = server(1);
    let guest = World::guest_of(&owner, &drop, Keep::UntilPulled, "Old");
    for _ in 0..2 {
        owner.sync().1.unwrap();
        owner.wait();
    }
    assert_eq!(pull(&guest).pulled, 1);
    owner.sync().1.unwrap();
    owner.wait();
    owner.server.delete_mailbox("Old");
    drop.deliver(message(2).as_bytes());
    assert_eq!(pull(&guest).pulled, 1);
    for _ in 0..3 {
        let _ = owner.sync();
        owner.wait();
        let _ = guest.sync();
        guest.wait();
    }
    let wanted = of([message(2)]).remove(0);
    let here = owner.local();
    assert!(
        here.values().flatten().any(|(content, _)| *content == wanted),
        "{here:#?} {:#?}",
        owner.fs.tree().keys().collect::<Vec<_>>()
    );
}

/// The guest pulls at each moment of the owner's run.
#[test]
fn a_pull_at_each_moment_of_the_owners_run() {
    let prepared = || {
        let owner = World::new(Imap::qresync());
        owner.server.create("Old");
        owner.server.append("Old", message(50).as_bytes(), &[], None);
        let drop = server(3);
        let guest = World::guest_of(&owner, &drop, Keep::UntilPulled, "Old");
        owner.sync().1.unwrap();
        owner.wait();
        owner.server.append("Old", message(51).as_bytes(), &[], None);
        (owner, drop, guest)
    };
    let mut bad = Vec::new();
    for n in 0..80_u64 {
        let (mut owner, drop, guest) = prepared();
        let guest = Arc::new(guest);
        let (calls, theirs) = (AtomicU64::new(0), Arc::clone(&guest));
        owner.on_call(move |_, _| {
            if calls.fetch_add(1, Ordering::SeqCst) == n {
                let theirs = Arc::clone(&theirs);
                std::thread::spawn(move || theirs.sync().1.map_err(|e| e.to_string()))
                    .join()
                    .unwrap()
                    .unwrap();
            }
        });
        let _ = owner.sync();
        owner.quiet();
        owner.wait();
        for _ in 0..2 {
            let _ = guest.sync();
            guest.wait();
            owner.sync().1.unwrap();
            owner.wait();
        }
        let mut here = owner.local().remove("Old").unwrap_or_default();
        here.sort();
        let here: Vec<String> = here.into_iter().map(|one| one.0).collect();
        let mut there = owner.remote().remove("Old").unwrap_or_default();
        there.sort();
        let there: Vec<String> = there.into_iter().map(|one| one.0).collect();
        let wanted = of(messages([1, 2, 3, 50, 51]));
        if here != wanted || there != wanted {
            bad.push((n, here.len(), there.len(), drop.messages().len()));
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

/// A kill and a power cut with a batch that is made durable by one call.
#[test]
fn a_large_batch_and_a_power_cut() {
    let count = 150;
    let points = drop_of(Profile::default(), count, Keep::UntilPulled).1.run_until(0).1;
    let mut lost = Vec::new();
    for point in (1..=points).rev().step_by(7) {
        let (server, world) = drop_of(Profile::default(), count, Keep::UntilPulled);
        let _ = world.run_until(point);
        world.fs.power_loss(point % 3);
        let gone = (1..=count).filter(|n| !is_somewhere(&world, &server, *n)).count();
        world.wait();
        let result = world.sync().1.map_err(|e| e.to_string());
        world.wait();
        let _ = world.sync();
        if gone > 0 || inbox(&world) != of(messages(1..=count)) {
            lost.push((point, gone, inbox(&world).len(), result));
        }
    }
    assert!(lost.is_empty(), "of {points}: {lost:?}");
}

/// Two guests in one Maildir, each dies anywhere.
#[test]
fn two_guests_in_one_mailbox() {
    let prepared = || {
        let owner = World::new(Imap::qresync());
        owner.sync().1.unwrap();
        owner.wait();
        let (one, two) = (server(2), Server::new(messages(11..=12)));
        let first = World::guest_of(&owner, &one, Keep::UntilPulled, "INBOX");
        let second = World::guest_of(&owner, &two, Keep::UntilPulled, "INBOX");
        (owner, first, second)
    };
    let points = prepared().1.run_until(0).1;
    for point in 1..=points {
        let (owner, first, second) = prepared();
        let _ = first.run_until(point);
        owner.fs.restart();
        let _ = second.run_until(points - point);
        owner.fs.restart();
        owner.wait();
        for _ in 0..2 {
            pull(&first);
            pull(&second);
            owner.sync().1.unwrap();
            owner.wait();
        }
        assert_eq!(inbox(&owner), of(messages([1, 2, 11, 12])), "{point}");
    }
}

/// The disk is another, taken over by the word of its user: nothing is deleted for that.
#[test]
fn adopt_on_a_new_disk() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::UntilPulled);
    server.inject(Fault::KeepDeleted, When::verb("QUIT"));
    brings_some(&world);
    server.heal();
    world.fs = unmounted(world.fs.clock());
    let _ = world.sync();
    assert_eq!(server.messages().len(), 3);
}

fn brings_some(world: &World) {
    let _ = world.sync();
    world.wait();
}

/// The first pull found nothing, and the disk is not mounted when the first message comes.
#[test]
fn hazard_86_a_maildir_is_marked_before_its_first_message() {
    let (drop, mut world) = drop_of(Profile::default(), 0, Keep::UntilPulled);
    let owner = World::new(Imap::qresync());
    owner.sync().1.unwrap();
    let guest_drop = server(0);
    let mut guest = World::guest_of(&owner, &guest_drop, Keep::UntilPulled, "INBOX");
    for (drop, world) in [(&drop, &mut world), (&guest_drop, &mut guest)] {
        brings(world, 0);
        drop.deliver(message(1).as_bytes());
        let mounted = world.fs.clone();
        world.fs = unmounted(mounted.clock());
        world.fs.mkdir_all(ROOT);
        let (_, result) = world.sync();
        assert!(matches!(result, Err(AccountError::Gone { .. })), "{result:?}");
        assert_eq!(drop.messages().len(), 1, "deleted for a copy that the mount will hide");
        world.fs = mounted;
        assert_eq!(pull(world).pulled, 1);
        assert_eq!(inbox(world), of(messages([1])));
    }
}

/// A store that is lost after its first pull was cut off leaves no body in tmp for ever.
#[test]
fn hazard_86_a_body_of_a_store_that_was_lost_is_cleared_away() {
    let points = drop_of(Profile::default(), 1, Keep::Forever).1.run_until(0).1;
    for point in 1..=points {
        let (_, world) = drop_of(Profile::default(), 1, Keep::Forever);
        let _ = world.run_until(point);
        world.fs.restart();
        world.wait();
        world.lose_store();
        pull(&world);
        let tree = world.fs.tree();
        let left: Vec<_> =
            tree.keys().filter(|p| p.parent().is_some_and(|dir| dir.ends_with("tmp"))).collect();
        assert!(left.is_empty(), "point {point}: {left:?}");
        assert_eq!(inbox(&world), of(messages([1])), "point {point}");
    }
}
