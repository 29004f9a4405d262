//! A dry run tells everything that a run then does.

use std::collections::BTreeMap;

use kit::imap::Profile;
use kit::world::{ROOT, World};
use mailtide::account::{Report, RunRequest};

use crate::scenarios::{SCENARIOS, files, prepared};

/// Numbers of a plan's lines, by what they are about.
fn told(plan: &[String]) -> BTreeMap<&'static str, u64> {
    let mut out = BTreeMap::new();
    for line in plan {
        let Some((n, rest)) = line.trim_start().split_once("  ") else { continue };
        let Ok(n) = n.parse::<u64>() else { continue };
        let what = if rest.ends_with(": upload") {
            "uploads"
        } else if rest.ends_with(": download") {
            "downloads"
        } else if rest.contains("on the server (no upload)") {
            "moved there"
        } else if rest.contains("the file (no download)") {
            "moved here"
        } else if rest.contains("move the file to the trash") {
            "removed here"
        } else if rest.contains(": deleted here") || rest.contains(": filed here") {
            "removed there"
        } else {
            continue;
        };
        *out.entry(what).or_default() += n;
    }
    out
}

fn done(report: &Report) -> BTreeMap<&'static str, u64> {
    let all = [
        ("uploads", report.pushed),
        ("downloads", report.pulled),
        ("moved there", report.moved_remote),
        ("moved here", report.moved_local),
        ("removed here", report.removed_local),
        ("removed there", report.removed_remote),
    ];
    all.into_iter().filter(|(_, n)| *n > 0).collect()
}

/// A dry run changes nothing, and tells what the run then does.
#[track_caller]
fn as_told(world: &World, what: &str) {
    let (here, there) = (world.fs.tree(), world.remote());
    let plan = world.dry_run();
    assert_eq!((world.fs.tree(), world.remote()), (here, there), "{what}");
    let listed = world.server.mailboxes().len();
    let (report, result) = world.sync();
    result.unwrap();
    let (mut told, mut done) = (told(&plan), done(&report));
    if !world.server.profile().move_ {
        // A move is a copy and a removal there.
        told.remove("removed there");
        done.remove("removed there");
    }
    assert_eq!(told, done, "{what}: {plan:#?}");
    let made = plan.iter().filter(|l| l.starts_with("make ") && l.ends_with("on the server"));
    let removed = plan.iter().filter(|l| l.starts_with("delete "));
    let expected = listed + made.count() - removed.count();
    assert_eq!(world.server.mailboxes().len(), expected, "{what}: {plan:#?}");
}

#[test]
fn what_happened_between_two_runs_is_told_to_the_end() {
    for profile in [Profile::qresync(), Profile::plain()] {
        for scenario in &SCENARIOS {
            as_told(&prepared(&profile, scenario), scenario.name);
        }
    }
}

fn message(n: usize) -> String {
    format!("Message-ID: <{n}@filled>\nSubject: {n}\n\ntext {n}\n")
}

/// A Maildir that another program filled: of each mailbox some messages are on both sides,
/// some only here, some only there.
fn filled(profile: &Profile) -> World {
    let world = World::new(profile.clone());
    for (m, mailbox) in ["INBOX", "Work", "Only here"].into_iter().enumerate() {
        let dir = format!("{ROOT}/{mailbox}");
        for sub in ["tmp", "new", "cur"] {
            world.fs.mkdir_all(format!("{dir}/{sub}"));
        }
        for n in 0..10 {
            let text = message(m * 100 + n);
            // mbsync marks what it copied; OfflineIMAP and getmail leave it as it is.
            let mark = if n % 2 == 0 { "" } else { "X-TUID: 9cebPHxn5sua\n" };
            let copied = text.replace("\n\n", &format!("\n{mark}\n"));
            if n < 7 {
                world.fs.write_file(format!("{dir}/cur/{n}.other:2,S"), copied.as_bytes());
            }
            if n >= 3 && mailbox != "Only here" {
                world.server.append(mailbox, text.replace('\n', "\r\n").as_bytes(), &[], Some(5));
            }
        }
    }
    world.server.append("Only there", message(900).replace('\n', "\r\n").as_bytes(), &[], Some(5));
    world.wait();
    world
}

#[test]
fn a_first_run_on_a_filled_maildir_is_told_to_the_end() {
    for profile in [Profile::qresync(), Profile::plain()] {
        let world = filled(&profile);
        let plan = world.dry_run();
        let (uploads, downloads) = (told(&plan)["uploads"], told(&plan)["downloads"]);
        assert_eq!((uploads, downloads), (3 + 3 + 7, 3 + 3 + 1), "{plan:#?}");
        as_told(&world, "filled");
        let counts =
            |mail: kit::world::Mail| -> Vec<usize> { mail.values().map(Vec::len).collect() };
        assert_eq!(counts(world.remote()), [10, 7, 1, 10]);
        assert_eq!(counts(world.local()), [10, 7, 1, 10]);
    }
}

#[test]
fn what_only_the_body_can_tell_is_looked_up() {
    // Without a Message-ID, and several of one header.
    let world = World::new(Profile::qresync());
    for sub in ["tmp", "new", "cur"] {
        world.fs.mkdir_all(format!("{ROOT}/INBOX/{sub}"));
    }
    for n in 0..6 {
        let text = format!("Subject: the same\n\ntext {n}\n");
        if n < 4 {
            world.fs.write_file(format!("{ROOT}/INBOX/cur/{n}:2,S"), text.as_bytes());
        }
        if n >= 2 {
            world.server.append("INBOX", text.replace('\n', "\r\n").as_bytes(), &[], Some(5));
        }
    }
    world.wait();
    let plan = world.dry_run();
    assert_eq!(told(&plan)["uploads"], 2, "{plan:#?}");
    let (report, result) = world.sync();
    result.unwrap();
    assert_eq!(report.pushed, 2);
    assert_eq!(world.remote()["INBOX"].len(), 6);
}

#[test]
fn more_than_one_page_is_told_whole() {
    let world = World::new(Profile::qresync());
    for n in 0..4100 {
        world.server.append("INBOX", message(n).replace('\n', "\r\n").as_bytes(), &[], Some(5));
    }
    assert_eq!(told(&world.dry_run())["downloads"], 4100);
}

#[test]
fn what_would_be_held_is_told() {
    let world = World::new(Profile::qresync());
    for n in 0..60 {
        world.server.append("INBOX", message(n).replace('\n', "\r\n").as_bytes(), &[], Some(5));
    }
    world.sync().1.unwrap();
    world.wait();
    files(&world, "INBOX").iter().for_each(|file| world.fs.delete_file(file));
    world.server.append("INBOX", message(99).replace('\n', "\r\n").as_bytes(), &[], Some(5));
    let report = world.run(RunRequest::dry_run()).0;
    assert_eq!((report.holds.len(), told(&report.plan)["downloads"]), (1, 1), "{report:#?}");
}
