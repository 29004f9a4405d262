//! Pulls from a simulated maildrop into a simulated disk: by the same function that `mailtide
//! sync` and the daemon call.

mod crash;
mod daemon;
mod guest;
mod held_up;
mod keep;
mod limits;
mod mishaps;
mod names;
mod once;
mod safe;
mod worlds;

use std::collections::BTreeMap;
use std::path::PathBuf;

use kit::compare::content;
use kit::memfs::MemFs;
use kit::pop3::{Profile, Server};
use kit::world::World;
use mailtide::config::Keep;
use mailtide::reconcile::types::MailboxName;

/// A day in nanoseconds.
pub(crate) const DAY: i64 = 86_400_000_000_000;

/// A message as a server has it; no two numbers give the same.
pub(crate) fn message(n: u32) -> String {
    format!(
        "Received: from a by b with ESMTP id {n};\r\n\tThu, 01 Jan 1970 00:{:02}:00 +0000\r\n\
         Message-ID: <{n}@x>\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\nFrom: a@x\r\n\
         Subject: number {n}\r\n\r\nbody of {n}\r\n.dots\r\n.\r\n",
        n % 60
    )
}

pub(crate) fn messages(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(message).collect()
}

pub(crate) fn server(count: u32) -> Server {
    Server::new(messages(1..=count))
}

/// A server and an account that pulls from it.
pub(crate) fn drop_of(profile: Profile, count: u32, keep: Keep) -> (Server, World) {
    let server = Server::with(profile, messages(1..=count));
    let world = World::of_maildrop(&server, keep);
    (server, world)
}

/// What lies in the INBOX on disk, sorted.
pub(crate) fn inbox(world: &World) -> Vec<String> {
    let mut local = world.local();
    let inbox = local.remove(MailboxName::INBOX).unwrap_or_default();
    inbox.into_iter().map(|(content, _)| content).collect()
}

/// Messages as [`inbox`] gives them.
pub(crate) fn of<B: AsRef<[u8]>>(bodies: impl IntoIterator<Item = B>) -> Vec<String> {
    let mut all: Vec<String> = bodies.into_iter().map(|body| content(body.as_ref())).collect();
    all.sort();
    all
}

/// The same disk as it was then, brought back from a backup.
pub(crate) fn restored(tree: &BTreeMap<PathBuf, Option<Vec<u8>>>, clock: i64) -> MemFs {
    let fs = MemFs::new();
    fs.set_clock(clock);
    for (path, bytes) in tree {
        match bytes {
            Some(bytes) => fs.write_file(path, bytes),
            None => fs.mkdir_all(path),
        }
    }
    fs
}

/// A disk with nothing on it, where another one was.
pub(crate) fn unmounted(clock: i64) -> MemFs {
    restored(&BTreeMap::new(), clock)
}

/// One pull that goes well.
#[track_caller]
pub(crate) fn pull(world: &World) -> mailtide::account::Report {
    let (report, result) = world.sync();
    result.unwrap();
    world.wait();
    report
}

/// A pull that brings so many and finds nothing to complain about.
#[track_caller]
pub(crate) fn brings(world: &World, count: u64) {
    let report = pull(world);
    assert_eq!((report.pulled, report.skipped), (count, Vec::new()));
}
