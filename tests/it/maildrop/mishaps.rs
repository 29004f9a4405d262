//! Sequences of mishaps: two crashes in a row, disks that come and go, servers that do several
//! odd things at once. What each is about was lost, doubled or stuck once.

use std::collections::BTreeSet;

use kit::imap::Profile as Imap;
use kit::pop3::{Fault, Profile, Server, When};
use kit::world::{ROOT, World};
use mailtide::config::Keep;

use super::{
    DAY, brings, drop_of, inbox, message, messages, of, pull, restored, server, unmounted,
};

fn plain() -> Profile {
    Profile { pipelining: false, ..Profile::default() }
}

#[test]
fn another_server_and_a_cut() {
    let (server, mut world) = drop_of(plain(), 6, Keep::Forever);
    brings(&world, 6);
    world.move_to(&server, "elsewhere");
    server.inject(Fault::CutBefore, When::verb("RETR").nth(3));
    let _ = world.sync();
    world.wait();
    server.heal();
    let report = pull(&world);
    assert_eq!((report.pulled, inbox(&world).len()), (0, 6));
}

#[test]
fn empty_for_a_while_then_other_names_and_a_cut() {
    let (server, world) = drop_of(plain(), 6, Keep::Forever);
    brings(&world, 6);
    server.configure(|profile| profile.window = Some(0));
    brings(&world, 0);
    server.configure(|profile| profile.window = None);
    server.renew_uidls();
    server.inject(Fault::CutBefore, When::verb("RETR").nth(3));
    let _ = world.sync();
    world.wait();
    server.heal();
    let report = pull(&world);
    assert_eq!((report.pulled, inbox(&world).len()), (0, 6));
}

#[test]
fn what_has_no_name_is_fetched_once_a_pull() {
    let (server, world) =
        drop_of(Profile { uidl: false, top: false, ..Profile::default() }, 150, Keep::Forever);
    let report = pull(&world);
    let c = server.counters();
    assert!(
        c.sign_ins < 5,
        "pulled {} sign_ins {} RETR {}",
        report.pulled,
        c.sign_ins,
        c.verb("RETR")
    );
}

#[test]
fn a_kill_and_then_a_power_cut() {
    let mut lost = BTreeSet::new();
    let points = drop_of(Profile::default(), 3, Keep::UntilPulled).1.run_until(0).1;
    for p1 in 1..=points {
        for seed in 0..3 {
            let (server, world) = drop_of(Profile::default(), 3, Keep::UntilPulled);
            let _ = world.run_until(p1);
            world.fs.restart();
            let _ = world.sync();
            world.fs.power_loss(seed);
            let (here, there) = (inbox(&world), of(server.bodies()));
            for wanted in of(messages(1..=3)) {
                if !here.contains(&wanted) && !there.contains(&wanted) {
                    lost.insert((p1, seed));
                }
            }
        }
    }
    assert!(lost.is_empty(), "of {points}: {lost:?}");
}

#[test]
fn a_guest_that_comes_first_to_an_unmounted_disk() {
    let owner = World::new(Imap::qresync());
    let drop = server(3);
    owner.sync().1.unwrap();
    owner.wait();
    let mut guest = World::guest_of(&owner, &drop, Keep::UntilPulled, "INBOX");
    guest.fs = unmounted(owner.fs.clock());
    guest.fs.mkdir_all(ROOT);
    let _ = guest.sync();
    guest.fs = owner.fs.clone();
    guest.wait();
    let (report, result) = guest.sync();
    assert!(
        drop.messages().len() + inbox(&guest).len() >= 3,
        "{result:?} removed {} here {} there {}",
        report.removed_remote,
        inbox(&guest).len(),
        drop.messages().len()
    );
}

#[test]
fn a_guest_in_a_maildir_that_was_restored() {
    let owner = World::new(Imap::qresync());
    let drop = server(3);
    owner.sync().1.unwrap();
    owner.wait();
    let mut guest = World::guest_of(&owner, &drop, Keep::Days(2), "Old");
    assert_eq!(pull(&guest).pulled, 3);
    let backup = owner.fs.tree();
    drop.deliver(message(4).as_bytes());
    assert_eq!(pull(&guest).pulled, 1);
    guest.fs = restored(&backup, owner.fs.clock());
    for _ in 0..4 {
        guest.fs.set_clock(guest.fs.clock() + DAY);
        let _ = guest.sync();
    }
    let n = guest.local().remove("Old").unwrap_or_default().len();
    assert!(n + drop.messages().len() >= 4, "here {n}, there {}", drop.messages().len());
}

/// Marker files are those of another time or store from now on.
fn swap_marker(guest: &World) {
    let tree = guest.fs.tree();
    let is_marker = |path: &std::path::Path| path.to_string_lossy().contains("marker");
    for (path, bytes) in tree.iter().filter(|(path, _)| is_marker(path)) {
        let text = String::from_utf8(bytes.clone().unwrap()).unwrap();
        guest.fs.delete_file(path);
        guest.fs.write_file(path, text.replace("counter ", "counter 7").as_bytes());
    }
}

#[test]
fn a_guest_whose_marker_is_another_and_a_kill() {
    let mut bad = Vec::new();
    for point in 1..40 {
        let owner = World::new(Imap::qresync());
        let drop = server(3);
        owner.sync().1.unwrap();
        owner.wait();
        let mut guest = World::guest_of(&owner, &drop, Keep::Forever, "Old");
        assert_eq!(pull(&guest).pulled, 3);
        let files: Vec<_> = guest
            .fs
            .tree()
            .into_keys()
            .filter(|p| p.parent().is_some_and(|d| d.ends_with("Old/new")))
            .collect();
        files.into_iter().for_each(|p| guest.fs.delete_file(p));
        swap_marker(&guest);
        let _ = guest.run_until(point);
        guest.fs.restart();
        guest.wait();
        guest.also(|s| s.maildrop.as_mut().unwrap().keep = Keep::UntilPulled);
        for _ in 0..2 {
            let _ = guest.sync();
            guest.wait();
        }
        let n = guest.local().remove("Old").unwrap_or_default().len();
        if n + drop.messages().len() < 3 {
            bad.push((point, n, drop.messages().len()));
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn what_is_deleted_after_a_restore_stays_deleted() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    let backup = world.fs.tree();
    server.deliver(message(4).as_bytes());
    brings(&world, 1);
    server.remove(3);
    world.fs = restored(&backup, world.fs.clock());
    pull(&world);
    pull(&world);
    assert_eq!(inbox(&world), of(messages(1..=3)));
    let file = world
        .fs
        .tree()
        .into_keys()
        .find(|p| p.parent().is_some_and(|d| d.ends_with("INBOX/new")))
        .unwrap();
    world.fs.delete_file(file);
    pull(&world);
    assert_eq!(inbox(&world).len(), 2, "what the user deleted came back");
}

#[test]
fn what_was_alike_is_pulled_again_after_a_restore() {
    let (server, mut world) = drop_of(Profile::default(), 4, Keep::Forever);
    brings(&world, 4);
    let backup = world.fs.tree();
    server.inject(Fault::AddHeader, When::verb("RETR"));
    server.deliver(message(5).as_bytes());
    brings(&world, 1);
    server.renew_uidls();
    brings(&world, 0);
    server.heal();
    world.fs = restored(&backup, world.fs.clock());
    pull(&world);
    pull(&world);
    assert_eq!(inbox(&world).len(), 5);
}

#[test]
fn imap_and_then_pop3_with_one_store() {
    let mut world = World::new(Imap::qresync());
    for n in 1..=3 {
        world.server.append("INBOX", message(n).as_bytes(), &[], None);
    }
    for _ in 0..3 {
        world.sync().1.unwrap();
        world.wait();
    }
    assert_eq!(inbox(&world).len(), 3);
    let drop = server(3);
    world.move_to(&drop, "localhost");
    world.pull(Keep::Forever);
    pull(&world);
    assert_eq!(inbox(&world), of(messages(1..=3)));
}

#[test]
fn a_status_line_that_is_written_later() {
    let m = "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nFrom: a@x\r\nSubject: s\r\n\r\nbody\r\n";
    let server = Server::new([m.to_owned(), message(2)]);
    let world = World::of_maildrop(&server, Keep::Forever);
    brings(&world, 2);
    // as UW ipop3d does: Status: RO is written once a message was read
    let uidl = server.messages()[0].uidl.clone().unwrap();
    server.remove(0);
    server.deliver(format!("Status: RO\r\n{m}").as_bytes());
    server.set_uidl(1, Some(&uidl));
    let report = pull(&world);
    assert_eq!((report.pulled, inbox(&world).len()), (0, 2));
}

#[test]
fn a_name_given_away_to_a_message_of_the_same_size() {
    let (server, world) = drop_of(Profile::default(), 2, Keep::Days(2));
    server.set_uidl(0, Some("again"));
    brings(&world, 2);
    server.remove(0);
    server.deliver(message(7).as_bytes());
    server.set_uidl(1, Some("again"));
    for _ in 0..4 {
        world.fs.set_clock(world.fs.clock() + DAY);
        pull(&world);
    }
    let all = [inbox(&world), of(server.bodies())].concat();
    assert!(all.contains(&of([message(7)])[0]), "lost; on the server {}", server.messages().len());
}

#[test]
fn a_guest_whose_owner_took_a_new_disk() {
    let owner = World::new(Imap::qresync());
    let drop = server(3);
    owner.sync().1.unwrap();
    owner.wait();
    let mut guest = World::guest_of(&owner, &drop, Keep::Forever, "Old");
    assert_eq!(pull(&guest).pulled, 3);
    // the disk dies; the person does as told: adopt
    guest.fs = unmounted(owner.fs.clock());
    let (_, result) = guest.sync();
    assert!(result.is_err());
    let tree = owner.fs.tree();
    let (p, b) =
        tree.iter().find(|(p, b)| b.is_some() && p.to_string_lossy().contains("marker")).unwrap();
    let text = String::from_utf8(b.clone().unwrap()).unwrap();
    guest.fs.mkdir_all(format!("{ROOT}/.mailtide"));
    // what adopt writes: the same store, counter u64::MAX
    guest.fs.write_file(p, text.as_bytes());
    guest.also(|s| s.maildrop.as_mut().unwrap().keep = Keep::UntilPulled);
    let (report, _) = guest.sync();
    let n = guest.local().remove("Old").unwrap_or_default().len();
    assert!(
        n + drop.messages().len() >= 3,
        "pulled {} removed {}: here {n}, there {}",
        report.pulled,
        report.removed_remote,
        drop.messages().len()
    );
}

#[test]
fn a_crash_and_then_a_place_elsewhere() {
    let mut lost = BTreeSet::new();
    let points = drop_of(Profile::default(), 3, Keep::UntilPulled).1.run_until(0).1;
    for p in 1..=points {
        let (drop, mut world) = drop_of(Profile::default(), 3, Keep::UntilPulled);
        let _ = world.run_until(p);
        world.fs.restart();
        world.wait();
        let other = World::new(Imap::qresync());
        other.sync().1.unwrap();
        let old = world.fs.clone();
        world.fs = other.fs.clone();
        world.also(|s| {
            let m = s.maildrop.as_mut().unwrap();
            m.owner = Some("other".to_owned());
        });
        for _ in 0..2 {
            let _ = world.sync();
            world.wait();
        }
        let here = inbox(&world);
        world.fs = old;
        let before = inbox(&world);
        let there = of(drop.bodies());
        for wanted in of(messages(1..=3)) {
            if !here.contains(&wanted) && !there.contains(&wanted) && !before.contains(&wanted) {
                lost.insert(p);
            }
        }
    }
    assert!(lost.is_empty(), "of {points}: {lost:?}");
}

#[test]
fn a_password_at_microsoft() {
    let server = Server::with(Profile::microsoft(), messages(1..=2));
    let world = World::of_maildrop(&server, Keep::Forever);
    let (_, result) = world.sync();
    let lines: Vec<String> = server.commands().into_iter().map(|c| c.line).collect();
    assert!(result.is_ok(), "{result:?} {lines:?}");
}

#[test]
fn refusals_without_a_code_are_not_for_ever() {
    let (server, world) = drop_of(Profile::default(), 5, Keep::Forever);
    server.inject(Fault::Refuse("Server Unavailable. 21".to_owned()), When::verb("RETR"));
    for _ in 0..3 {
        let _ = world.sync();
        world.wait();
    }
    server.heal();
    for _ in 0..40 {
        world.fs.set_clock(world.fs.clock() + DAY);
        let _ = world.sync();
    }
    assert_eq!(inbox(&world).len(), 5, "forty days later");
}

#[test]
fn a_second_copy_by_another_way_is_another_message() {
    let (server, world) = drop_of(Profile::default(), 2, Keep::Forever);
    brings(&world, 2);
    server.remove(1);
    server.deliver(message(2).replace("from a by b", "from list by c").as_bytes());
    pull(&world);
    assert_eq!(inbox(&world).len(), 3);
}

#[test]
fn a_reader_at_work_while_files_are_read() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    let backup = world.fs.tree();
    server.deliver(message(4).as_bytes());
    brings(&world, 1);
    world.fs = restored(&backup, world.fs.clock());
    let fs = world.fs.clone();
    let done = std::sync::atomic::AtomicBool::new(false);
    world.on_call(move |call, path| {
        if call == "open"
            && path.parent().is_some_and(|d| d.ends_with("INBOX/new"))
            && !done.swap(true, std::sync::atomic::Ordering::SeqCst)
        {
            let to =
                format!("{ROOT}/INBOX/cur/{}:2,S", path.file_name().unwrap().to_string_lossy());
            fs.move_file(path, to);
        }
    });
    pull(&world);
    world.quiet();
    pull(&world);
    assert_eq!(inbox(&world), of(messages(1..=4)));
}

#[test]
fn a_file_that_cannot_be_read_stops_nothing() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    let backup = world.fs.tree();
    server.deliver(message(4).as_bytes());
    brings(&world, 1);
    world.fs = restored(&backup, world.fs.clock());
    let file = world
        .fs
        .tree()
        .into_keys()
        .find(|p| p.parent().is_some_and(|d| d.ends_with("INBOX/new")))
        .unwrap();
    world.fs.deny(&file);
    let report = pull(&world);
    assert_eq!((report.pulled, report.skipped.len()), (0, 1), "nobody knows what is missing");
    server.deliver(message(5).as_bytes());
    assert_eq!(pull(&world).pulled, 1);
    world.fs.allow(&file);
    brings(&world, 1);
    assert_eq!(inbox(&world), of(messages(1..=5)));
}

/// A message at which the server hangs up holds up neither what lies behind it nor deletions.
#[test]
fn a_message_at_which_the_server_hangs_up() {
    for at in [1, 3, 6] {
        let (server, world) = drop_of(plain(), 6, Keep::UntilPulled);
        server.inject(Fault::CutAtMessage(at), When::verb("RETR"));
        for _ in 0..2 {
            let _ = world.sync();
            world.wait();
        }
        // Where all others are deleted it has another number, and comes.
        let number_stays = at == 1;
        let left = usize::from(number_stays);
        assert_eq!((inbox(&world).len(), server.messages().len()), (6 - left, left), "{at}");
        server.heal();
        // It is asked for again ever more rarely.
        (0..2).for_each(|_| drop(pull(&world)));
        assert_eq!(server.messages().len(), 0);
        assert_eq!(inbox(&world), of(messages(1..=6)));
    }
}

/// A mail loop: one text, thousands of times.
#[test]
fn equal_texts_cost_no_more_than_others() {
    let text = |n| {
        let rest = "Message-ID: <1@x>\r\nSubject: loop\r\n\r\nx\r\n";
        format!("Received: from a by b id {n}; Thu, 01 Jan 1970 00:00:00 +0000\r\n{rest}")
    };
    let took = [2_000, 16_000].map(|count: u32| {
        let server = Server::new((0..count).map(text));
        let world = World::of_maildrop(&server, Keep::Forever);
        let begun = std::time::Instant::now();
        brings(&world, u64::from(count));
        server.renew_uidls();
        brings(&world, 0);
        begun.elapsed()
    });
    assert!(took[1] < took[0] * 30, "{took:?}");
}
