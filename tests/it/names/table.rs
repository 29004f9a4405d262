//! Every odd name, out and back: made on the server and made on disk, in both layouts, with
//! each delimiter that servers have.

use std::collections::BTreeSet;

use kit::imap::Profile;
use kit::world::World;
use mailtide::local::Layout;
use mailtide::reconcile::types::MailboxName;

use super::{LAYOUTS, agree, empty, exists, here, sync, there};

/// What people, programs and other languages call their mailboxes.
const NAMES: [&str; 52] = [
    "Work",
    "Work/Alpha",
    "a.b",
    "v1.2.3/x.y",
    "100%",
    "%41",
    "%",
    "%-",
    "R&D",
    "&AOk-",
    "&-",
    "Sent Items",
    "at the end ",
    "at the end /below ",
    " at the beginning",
    " ",
    ".hidden",
    "Work/.hidden",
    ".",
    "..",
    "../..",
    "...",
    "a./b",
    "日本語/東京",
    "📧",
    "📧 mail 📧",
    "caf\u{e9}",
    "cafe\u{301}",
    "Case",
    "case",
    "CASE",
    "cur",
    "Work/cur",
    "Work/new/tmp",
    "INBOX/In",
    "INBOXES",
    "NIL",
    "a\\b",
    "a\\\\",
    "say \"hello\"",
    "*",
    "a%b*c",
    "(x) {3}",
    "[Gmail]/All Mail",
    "~me",
    "#news",
    "tab\there",
    "c1\u{85}",
    "x:2,S",
    "dovecot-keywords",
    ".mailtide",
    "maildirfolder",
];

/// The table, and names at and above what a file name holds.
fn names() -> Vec<String> {
    let mut names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    for len in [254, 255, 256, 300, 600] {
        names.push(format!("{len}{}", "x".repeat(len - 3)));
    }
    names.push("é".repeat(130));
    names.push(format!("deep{}", "/level".repeat(30)));
    names
}

/// How a server spells a name with its delimiter, if it can.
fn spelled(name: &str, delimiter: char) -> Option<String> {
    match delimiter {
        '/' => Some(name.to_owned()),
        _ if name.contains(delimiter) => None,
        '\0' if name.contains('/') => None,
        _ => Some(name.replace('/', &delimiter.to_string())),
    }
}

fn fits(name: &str, layout: Layout) -> bool {
    layout.refuses(&MailboxName::new(name)).is_none()
}

fn profile(delimiter: char) -> Profile {
    Profile { delimiter, lax_names: true, ..Profile::qresync() }
}

const DELIMITERS: [char; 4] = ['/', '.', '\\', '\0'];

/// What a run named as left out.
fn named(world: &World) -> BTreeSet<String> {
    sync(world).skipped.into_iter().map(|skip| skip.what).collect()
}

#[test]
fn every_name_on_a_server_comes_down_and_takes_mail_up() {
    for (layout, delimiter) in LAYOUTS.into_iter().flat_map(|l| DELIMITERS.map(|d| (l, d))) {
        let world = empty(&profile(delimiter), layout);
        let mut refused = BTreeSet::new();
        for name in names() {
            let Some(spelled) = spelled(&name, delimiter) else { continue };
            there(&world, &spelled, &format!("down {name}"));
            if !fits(&name, layout) {
                refused.insert(MailboxName::new(&name).to_string());
            }
        }
        assert_eq!(named(&world), refused, "{layout:?} {delimiter:?}");
        for name in names().iter().filter(|name| fits(name, layout)) {
            if spelled(name, delimiter).is_some() {
                assert_eq!(world.local()[name].len(), 1, "{name:?} {layout:?} {delimiter:?}");
                here(&world, name, "up");
            }
        }
        sync(&world);
        assert_eq!((sync(&world).done(), named(&world)), (0, refused), "{layout:?} {delimiter:?}");
        let (mut remote, local) = (world.remote(), world.local());
        remote.retain(|name, _| fits(name, layout));
        assert_eq!(remote, local, "{layout:?} {delimiter:?}");
        let both = remote.values().filter(|messages| messages.len() == 2).count();
        assert!(both > 30 && both + 1 == remote.len(), "all but the INBOX: {both}");
    }
}

#[test]
fn every_name_on_disk_goes_up_or_is_refused_by_name() {
    for (layout, delimiter) in LAYOUTS.into_iter().flat_map(|l| DELIMITERS.map(|d| (l, d))) {
        let world = empty(&profile(delimiter), layout);
        let names: Vec<String> = names().into_iter().filter(|n| fits(n, layout)).collect();
        for name in &names {
            here(&world, name, "up");
        }
        let refused: BTreeSet<String> = names
            .iter()
            .filter(|name| spelled(name, delimiter).is_none())
            .map(|name| MailboxName::new(name).to_string())
            .collect();
        assert_eq!(named(&world), refused, "{layout:?} {delimiter:?}");
        // What was refused stays as it is, is named again, and keeps nothing from settling.
        assert_eq!((sync(&world).done(), named(&world)), (0, refused), "{layout:?} {delimiter:?}");
        let (remote, local) = (world.remote(), world.local());
        for name in &names {
            assert_eq!(local[name].len(), 1, "{name:?} {layout:?} {delimiter:?}");
            let up = remote.get(name).map_or(0, Vec::len);
            let expected = usize::from(spelled(name, delimiter).is_some());
            assert_eq!(up, expected, "{name:?} {layout:?} {delimiter:?}");
        }
        let made = names.iter().filter(|name| spelled(name, delimiter).is_some()).count();
        assert_eq!(remote.len(), made + 1, "nothing else is there but the INBOX");
    }
}

#[test]
fn a_name_on_the_server_with_our_own_delimiter_in_it_is_named_and_left_alone() {
    for layout in LAYOUTS {
        let world = empty(&profile('.'), layout);
        there(&world, "a/b", "1");
        there(&world, "a.b", "2");
        assert_eq!(named(&world), BTreeSet::from(["a/b".to_owned()]));
        assert_eq!(world.local()["a/b"].len(), 1, "the mailbox b below a");
        here(&world, "a/b", "3");
        sync(&world);
        assert_eq!((world.server.list("a/b").len(), world.server.list("a.b").len()), (1, 2));
    }
}

#[test]
fn a_name_that_comes_back_as_another_is_refused_and_keeps_its_mail() {
    for layout in LAYOUTS {
        let world = empty(&Profile { trims_names: true, ..Profile::qresync() }, layout);
        here(&world, "Notes ", "1");
        let dir = world.dir_of("Empty ");
        for sub in ["cur", "new", "tmp"] {
            world.fs.mkdir_all(dir.join(sub));
        }
        for run in 0..3 {
            let report = sync(&world);
            for name in ["Notes ", "Empty "] {
                let skip = report.skipped.iter().find(|skip| skip.what == name);
                assert!(skip.is_some(), "run {run}: {name:?} {:?}", report.skipped);
            }
            assert!(report.rounds < 8, "{report:?}");
        }
        assert_eq!(world.local()["Notes "].len(), 1);
        assert!(exists(&world, dir.join("cur")));
        assert_eq!(world.server.mailboxes(), ["Empty", "INBOX", "Notes"]);
        // Once it can be had, it goes up.
        world.server.configure(|profile| profile.trims_names = false);
        sync(&world);
        agree(&world);
        assert_eq!(world.server.list("Notes ").len(), 1);
    }
}

#[test]
fn a_server_that_keeps_all_below_inbox_is_shown_so() {
    for layout in LAYOUTS {
        let prefixed = Profile {
            delimiter: '.',
            prefix: "INBOX.".to_owned(),
            special_use: false,
            ..Profile::qresync()
        };
        let world = empty(&prefixed, layout);
        there(&world, "INBOX.Work", "1");
        there(&world, "INBOX.Trash", "2");
        there(&world, "INBOX", "3");
        agree(&world);
        assert_eq!(world.local()["INBOX/Work"].len(), 1);
        // A deletion finds the Trash there.
        let work = world.dir_of("INBOX/Work").join("cur");
        let tree = world.fs.tree();
        let file = tree.keys().find(|path| path.starts_with(&work) && **path != work).unwrap();
        world.fs.delete_file(file);
        here(&world, "INBOX/Home", "4");
        agree(&world);
        assert_eq!(world.server.list("INBOX.Trash").len(), 2);
        assert_eq!(world.server.list("INBOX.Home").len(), 1);
        // What such a server has no place for is named.
        here(&world, "Beside", "5");
        assert_eq!(named(&world), BTreeSet::from(["Beside".to_owned()]));
        assert_eq!(world.local()["Beside"].len(), 1);
    }
}
