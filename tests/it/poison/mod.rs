//! One bad thing: whatever a server does wrong over one message, one mailbox or one command,
//! everything else is in sync within four runs, the bad thing is named, and once the server is
//! well again all of it is in sync (hazard 90).

mod imap;
mod maildrop;
mod running;

use std::collections::BTreeMap;
use std::io::Write as _;

use kit::compare::content;
use kit::imap::Profile;
use kit::world::{ROOT, World};
use mailtide::account::{Report, suspects};
use mailtide::reconcile::types::SetAsideKind;

use crate::scenarios::{Mail, rename, stem, with_text, write};

/// The mailbox that bad things happen in.
const BAD: &str = "Bad";
/// Runs within which everything else is in sync.
const RUNS: usize = 4;
/// Runs within which a server that is well again is in sync.
const HEALED: usize = 12;

fn mail(mailbox: &str, n: u32) -> Vec<u8> {
    let subject = format!("{mailbox} {n}");
    format!("Message-ID: <{mailbox}.{n}>\r\nSubject: {subject}\r\n\r\ntext of {subject}.\r\n")
        .into_bytes()
}

/// Three mailboxes of six messages each, in sync.
fn agreed(profile: &Profile) -> World {
    let world = World::new(profile.clone());
    fill(&world);
    world.sync().1.expect("the first run");
    world.wait();
    world
}

fn fill(world: &World) {
    for mailbox in ["INBOX", "Work", BAD] {
        for n in 0..6 {
            let date = i64::from(n) * 1000 + mailbox.len() as i64;
            world.server.append(mailbox, &mail(mailbox, n), &["\\Seen"], Some(date));
        }
    }
    for empty in ["Trash", "Gone here", "Gone there"] {
        world.server.create(empty);
    }
}

/// Work of every kind in each of the mailboxes; gives the UID of the new message in the bad one.
fn work(world: &World) -> u32 {
    let mut new = 0;
    for mailbox in ["INBOX", "Work", BAD] {
        new = world.server.append(mailbox, &mail(mailbox, 10), &[], Some(77));
        for n in 11..14 {
            world.server.append(mailbox, &mail(mailbox, n), &[], Some(i64::from(n)));
        }
        for n in 20..23 {
            let text = String::from_utf8(mail(mailbox, n)).unwrap().replace("\r\n", "\n");
            write(world, &format!("{mailbox}/cur/here{n}:2,S"), &text);
        }
        let of = |n: u32| with_text(world, mailbox, &format!("text of {mailbox} {n}."));
        // Flags here, a deletion here, a copy filed elsewhere.
        for n in [0, 1] {
            let file = of(n);
            rename(world, &file, &format!("{mailbox}/cur/{}:2,FS", stem(&file)));
        }
        world.fs.delete_file(of(2));
        let moved = of(3);
        rename(world, &moved, &format!("Trash/cur/{}:2,S", stem(&moved)));
        let uid = |n: u32| {
            let list = world.server.list(mailbox);
            let text = format!("text of {mailbox} {n}.");
            let found = list.iter().find(|m| String::from_utf8_lossy(&m.body).contains(&text));
            found.unwrap().uid
        };
        world.server.expunge(mailbox, &[uid(4)]);
        world.server.set_flags(mailbox, uid(5), &["\\Flagged"], &[]);
    }
    world.server.append("New there", &mail("New there", 1), &[], Some(5));
    for sub in ["tmp", "new", "cur"] {
        world.fs.mkdir_all(format!("{ROOT}/New here/{sub}"));
    }
    write(world, "New here/cur/one:2,S", "Message-ID: <new.here>\n\ntext of New here 1.\n");
    world.fs.mkdir_all("/away");
    world.fs.move_file(format!("{ROOT}/Gone here"), "/away/gone");
    world.server.delete_mailbox("Gone there");
    world.fs.settle();
    world.wait();
    new
}

/// What both sides hold in the end when nothing goes wrong.
fn undisturbed(profile: &Profile) -> Mail {
    let world = agreed(profile);
    work(&world);
    for _ in 0..3 {
        world.sync().1.expect("an undisturbed run");
        world.wait();
    }
    assert_eq!(world.remote(), world.local());
    world.remote()
}

/// Everything outside of a mailbox, and of these of its messages, wherever they are.
fn without(all: &Mail, messages: &[u32], mailboxes: &[&str]) -> Mail {
    let mut left = all.clone();
    left.retain(|name, _| !mailboxes.contains(&name.as_str()));
    let bad: Vec<String> = messages.iter().map(|n| content(&mail(BAD, *n))).collect();
    left.values_mut().for_each(|messages| messages.retain(|(content, _)| !bad.contains(content)));
    left
}

/// What one side has and the other has not.
fn difference(left: &Mail, right: &Mail) -> String {
    let mut out = String::new();
    for (sign, one, other) in [('<', left, right), ('>', right, left)] {
        for (mailbox, messages) in one {
            let there = other.get(mailbox);
            if there.is_none() {
                out += &format!("{sign} {mailbox}\n");
            }
            for message in messages {
                if !there.is_some_and(|there| there.contains(message)) {
                    out += &format!("{sign} {mailbox}: {}\n", name_of(message));
                }
            }
        }
    }
    out
}

/// Which message a content is.
fn name_of((found, flags): &(String, Vec<String>)) -> String {
    for mailbox in ["INBOX", "Work", BAD] {
        for n in 0..30 {
            if content(&mail(mailbox, n)) == *found {
                return format!("{mailbox} {n} {flags:?}");
            }
        }
    }
    format!("{found} {flags:?}")
}

/// Cases of a table: all of them are tried, and those that fail are told together.
#[derive(Default)]
struct Cases {
    count: usize,
    failed: Vec<String>,
}

impl Cases {
    fn case(&mut self, what: &str, case: impl FnOnce()) {
        if !what.contains(&std::env::var("MAILTIDE_ONLY").unwrap_or_default()) {
            return;
        }
        self.count += 1;
        let begun = std::time::Instant::now();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(case));
        if result.is_err() {
            self.failed.push(what.to_owned());
        }
        if std::env::var_os("MAILTIDE_FULL").is_some() {
            let (ended, seconds) = (result.is_ok(), begun.elapsed().as_secs_f64());
            let ended = if ended { "ok    " } else { "FAILED" };
            let _ = writeln!(std::io::stderr(), "{ended} {seconds:.2} s  {what}");
        }
    }

    #[track_caller]
    fn end(self) {
        let (failed, count) = (self.failed.len(), self.count);
        if std::env::var_os("MAILTIDE_FULL").is_some() {
            let _ = writeln!(std::io::stderr(), "{count} cases, {failed} failed");
        }
        assert!(count > 0 && failed == 0, "{failed} of {count}:\n{}", self.failed.join("\n"));
    }
}

/// How often each content is there.
fn census(mail: &Mail) -> BTreeMap<&str, usize> {
    let mut census = BTreeMap::new();
    for (content, _) in mail.values().flatten() {
        *census.entry(content.as_str()).or_default() += 1;
    }
    census
}

/// What a person is told: the report, what is set aside, what `status` names.
fn told(world: &World, report: &Report) -> Vec<String> {
    let skips = report.skipped.iter().map(|skip| format!("{}: {}", skip.what, skip.why));
    let mut told: Vec<String> = skips.collect();
    world.asked(|store| {
        let mailboxes = store.mailboxes()?;
        for row in store.set_aside_rows(1000)? {
            let Some(aside) = row.set_aside.filter(|a| a.kind != SetAsideKind::Kept) else {
                continue;
            };
            let name = mailboxes.iter().find(|m| m.id == row.mailbox).unwrap().name.to_string();
            let uid = row.remote.map_or(0, |remote| remote.uid.0);
            told.push(format!("{name}: UID {uid}: {}", aside.words));
        }
        let named = suspects::named(store)?;
        told.extend(named.into_iter().map(|(_, what, why)| format!("{what}: {why}")));
        Ok(())
    });
    told
}

/// Runs until everything that `rest` leaves over is in sync. Gives what was told.
#[track_caller]
fn in_sync_but_for(
    world: &World,
    expected: &Mail,
    rest: &dyn Fn(&Mail) -> Mail,
    what: &str,
) -> String {
    let mut said = String::new();
    for run in 1..=RUNS {
        let (report, result) = world.sync();
        world.wait();
        said += &format!("run {run}: {result:?}\n  {}\n", told(world, &report).join("\n  "));
    }
    let (remote, local) = (rest(&world.remote()), rest(&world.local()));
    let apart = difference(&remote, &local);
    assert!(apart.is_empty(), "{what}: the sides differ\n{apart}{said}");
    let wrong = difference(&remote, &rest(expected));
    assert!(wrong.is_empty(), "{what}: not as it should be\n{wrong}{said}");
    said
}

/// The server is well again: all of it is in sync soon, and nothing is lost or doubled.
#[track_caller]
fn heals(world: &World, expected: &Mail, what: &str) {
    world.server.heal();
    let mut said = String::new();
    for run in 1..=HEALED {
        let (report, result) = world.sync();
        world.wait();
        said += &format!("run {run}: {result:?}\n  {}\n", told(world, &report).join("\n  "));
        if result.is_ok() && report.skipped.is_empty() && world.remote() == world.local() {
            break;
        }
    }
    let (remote, local) = (world.remote(), world.local());
    let apart = difference(&remote, &local);
    assert!(apart.is_empty(), "{what}, healed: the sides differ\n{apart}{said}");
    let wrong = difference(&remote, expected);
    assert!(wrong.is_empty(), "{what}, healed: not as it should be\n{wrong}{said}");
    assert_eq!(remote, *expected, "{what}, healed");
}
