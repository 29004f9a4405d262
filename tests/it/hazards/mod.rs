//! The hazards of keeping mail in step, one by one, on the real engine: simulated server,
//! simulated disk, real store. Each is named by its number and by what must hold; the files
//! in `tests/rules/` take the rule behind it out, and its case must fail then.

mod alter;
mod between;
mod brakes;
mod disk;
mod double;
mod doubt;
mod facts;
mod held;
mod holds;
mod identity;
mod large;
mod letters;
mod lists;
mod loss;
mod mailboxes;
mod needless;
mod object_ids;
mod odd_files;
mod partial;
mod pull;
mod removed;
mod renumbered;
mod replaced;
mod replayed;
mod reunited;
mod reused;
mod same_words;
mod scope;
mod seen;
mod shown_late;
mod sizes;
mod slow;
mod still_modseq;
mod unique_names;
mod wire;

use std::path::Path;

use kit::imap::{Fault, Logged, Profile, When};
use kit::world::{ROOT, World};
use mailtide::account::Report;

use crate::scenarios::{Mail, SCENARIOS, files, prepared};

/// INBOX: texts 0, 1, 2 (seen) and `plain` without Message-ID; Work: texts 8 and 9 (flagged);
/// Trash: text 7. Both sides agree.
fn agreed_on(profile: &Profile) -> World {
    let world = prepared(profile, &SCENARIOS[1].but(|_| {}));
    world.server.reset_counters();
    world
}

fn agreed() -> World {
    agreed_on(&Profile::qresync())
}

/// Every rung of the ladder.
fn rungs() -> [Profile; 3] {
    [Profile::qresync(), Profile::condstore(), Profile::plain()]
}

/// Time goes by, then a run that must not fail.
fn sync(world: &World) -> Report {
    world.wait();
    let (report, result) = world.sync();
    result.expect("a run");
    report
}

/// A run that loses its connection, and cannot open another one.
fn cut_off(world: &World) {
    world.server.inject(Fault::CutBefore, When::connect().nth(2));
    world.sync().1.unwrap_err();
}

/// Runs until nothing is left to do; both sides are the same then.
fn settle(world: &World) -> Mail {
    for _ in 0..4 {
        let report = sync(world);
        if report.done() == 0 && report.skipped.is_empty() {
            break;
        }
    }
    assert_eq!(world.remote(), world.local());
    world.remote()
}

/// How many messages of a mailbox on the server hold this text.
fn there(world: &World, mailbox: &str, text: &str) -> usize {
    let list = world.server.list(mailbox);
    list.iter().filter(|m| String::from_utf8_lossy(&m.body).contains(text)).count()
}

/// How many files of a mailbox hold it.
fn here(world: &World, mailbox: &str, text: &str) -> usize {
    let read = |file: &Path| world.fs.read_file(file).unwrap_or_default();
    let files = files(world, mailbox);
    files.iter().filter(|file| String::from_utf8_lossy(&read(file)).contains(text)).count()
}

/// The UID of the message of a mailbox that holds this text.
fn uid(world: &World, mailbox: &str, text: &str) -> u32 {
    let list = world.server.list(mailbox);
    let found = list.iter().find(|m| String::from_utf8_lossy(&m.body).contains(text));
    found.expect("it is there").uid
}

/// The flags of a message on the server, sorted.
fn flags(world: &World, mailbox: &str, text: &str) -> Vec<String> {
    let found = world.server.get(mailbox, uid(world, mailbox, text)).expect("it is there");
    found.flags.iter().cloned().collect()
}

/// A mailbox of so many seen messages, mirrored.
fn filled(world: &World, mailbox: &str, count: u32) {
    for n in 0..count {
        let text = format!("Message-ID: <{mailbox}.{n}>\r\n\r\nnumber {n}.\r\n");
        world.server.append(mailbox, text.as_bytes(), &["\\Seen"], Some(1000 + i64::from(n)));
    }
    settle(world);
}

/// Commands sent since the counters were reset that begin so.
fn sent(world: &World, verb: &str) -> Vec<Logged> {
    let commands = world.server.commands().into_iter();
    commands.filter(|command| command.line.starts_with(verb)).collect()
}

/// A mailbox directory made by a mail reader.
fn make_mailbox(world: &World, name: &str) {
    for sub in ["tmp", "new", "cur"] {
        world.fs.mkdir_all(format!("{ROOT}/{name}/{sub}"));
    }
}
