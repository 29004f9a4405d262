//! Mailboxes by their names: how they lie on disk, which names come through whole, and what
//! becomes of them when they are renamed.

mod crash;
mod folding;
pub(crate) mod foreign;
mod layout;
mod renames;
mod table;

use std::path::PathBuf;

use kit::imap::Profile;
use kit::world::{ROOT, World};
use mailtide::account::Report;
use mailtide::local::Layout;

const LAYOUTS: [Layout; 2] = [Layout::Nested, Layout::MaildirPlusPlus];

fn mail(id: &str) -> Vec<u8> {
    format!("Message-ID: <{id}>\r\nSubject: {id}\r\n\r\ntext {id}\r\n").into_bytes()
}

/// An account with nothing in it.
fn empty(profile: &Profile, layout: Layout) -> World {
    let mut world = World::new(profile.clone());
    world.configure(move |settings| settings.layout = layout);
    world
}

/// Puts a message into a mailbox on the server, which is made if need be.
fn there(world: &World, mailbox: &str, id: &str) {
    assert!(world.server.append(mailbox, &mail(id), &["\\Seen"], Some(1000)) > 0, "{mailbox}");
}

/// Puts a message into a mailbox on disk, which is made if need be.
fn here(world: &World, mailbox: &str, id: &str) {
    let dir = world.dir_of(mailbox);
    for sub in ["tmp", "new", "cur"] {
        world.fs.mkdir_all(dir.join(sub));
    }
    let text = String::from_utf8(mail(id)).unwrap().replace("\r\n", "\n");
    world.fs.write_file(dir.join("cur").join(format!("{id}:2,S")), text.as_bytes());
}

/// Time goes by, then a run that must not fail.
#[track_caller]
fn sync(world: &World) -> Report {
    world.wait();
    let (report, result) = world.sync();
    result.unwrap();
    report
}

/// Runs until nothing is left to do; both sides are the same then, and nothing was skipped.
#[track_caller]
fn agree(world: &World) {
    let mut report = sync(world);
    for _ in 0..3 {
        if report.done() == 0 {
            break;
        }
        report = sync(world);
    }
    assert_eq!((report.done(), report.skipped.as_slice()), (0, &[][..]));
    assert_eq!(world.remote(), world.local());
}

/// Directories and files in the root, without what is ours.
fn top(world: &World) -> Vec<String> {
    let tree = world.fs.tree();
    let names = tree.keys().filter_map(|path| path.strip_prefix(ROOT).ok());
    let names = names.filter(|path| path.iter().count() == 1);
    let names = names.map(|path| path.to_string_lossy().into_owned());
    names.filter(|name| name != ".mailtide").collect()
}

fn exists(world: &World, path: impl Into<PathBuf>) -> bool {
    world.fs.tree().contains_key(&path.into())
}
