//! What happens between two runs: the scenarios that crashes, power cuts and hostile servers
//! are tried on, and how the world is judged afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kit::imap::Profile;
use kit::world::{ROOT, World};

/// Something to be mirrored: what is there before, agreed on, and what happens then.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) act: fn(&World),
}

impl Scenario {
    /// The same, with something else that happens.
    pub(crate) fn but(&self, act: fn(&World)) -> Self {
        Self { act, ..*self }
    }
}

pub(crate) const SCENARIOS: [Scenario; 17] = [
    Scenario { name: "nothing was mirrored yet", act: |_| {} },
    Scenario {
        name: "new mail on both sides",
        act: |world| {
            world.server.append("INBOX", b"Message-ID: <n1>\r\n\r\nnew there\r\n", &[], Some(9));
            write(world, "INBOX/cur/here:2,S", "Message-ID: <n2>\n\nnew here\n");
            write(world, "INBOX/new/bare", "no id\n\nnew here, too\n");
        },
    },
    Scenario {
        name: "flags on both sides",
        act: |world| {
            let uid = world.server.list("INBOX")[0].uid;
            world.server.set_flags("INBOX", uid, &["\\Flagged"], &[]);
            let file = &files(world, "INBOX")[1];
            rename(world, file, &format!("INBOX/cur/{}:2,RS", stem(file)));
        },
    },
    Scenario {
        name: "filed here, under the same name and under another",
        act: |world| {
            let inbox = files(world, "INBOX");
            rename(world, &inbox[0], &format!("Work/cur/{}:2,S", stem(&inbox[0])));
            rename(world, &inbox[1], "Work/cur/another:2,F");
        },
    },
    Scenario {
        name: "filed there",
        act: |world| {
            let uids: Vec<u32> = world.server.list("INBOX").iter().map(|m| m.uid).collect();
            world.server.mv("INBOX", uids[0], "Work");
            world.server.mv("INBOX", uids[2], "Work");
        },
    },
    Scenario {
        name: "filed on both sides, to different places",
        act: |world| {
            let uid = world.server.list("Work")[0].uid;
            world.server.mv("Work", uid, "Trash");
            rename(world, &files(world, "Work")[0], "INBOX/cur/back:2,S");
        },
    },
    Scenario {
        name: "deleted here and there",
        act: |world| {
            world.fs.delete_file(&files(world, "INBOX")[0]);
            let uid = world.server.list("Work")[0].uid;
            world.server.expunge("Work", &[uid]);
        },
    },
    Scenario {
        name: "mailboxes made here and there",
        act: |world| {
            world.server.append("There", b"Message-ID: <t>\r\n\r\nthere\r\n", &["\\Seen"], Some(5));
            for sub in ["tmp", "new", "cur"] {
                world.fs.mkdir_all(format!("{ROOT}/Here/{sub}"));
            }
            write(world, "Here/cur/h:2,", "Message-ID: <h>\n\nhere\n");
        },
    },
    Scenario {
        name: "filed here under another letter of the same keyword",
        act: |world| {
            let uid = world.server.list("INBOX")[0].uid;
            world.server.set_flags("INBOX", uid, &["Later", "Urgent"], &[]);
            let uid = world.server.list("Work")[0].uid;
            world.server.set_flags("Work", uid, &["Urgent", "Later"], &[]);
            world.sync().1.expect("the keywords came down");
            world.wait();
            let file = files(world, "INBOX").into_iter().find(|file| has_letter(file));
            let file = file.expect("the keywords are letters");
            rename(world, &file, &format!("Work/cur/{}", name(&file)));
        },
    },
    Scenario {
        name: "filed on both sides under another letter of the same keyword",
        act: |world| {
            write(world, "INBOX/dovecot-keywords", "0 Later\n1 Junk\n");
            write(world, "Work/dovecot-keywords", "0 Junk\n1 Later\n");
            let uids: Vec<u32> = world.server.list("INBOX").iter().map(|m| m.uid).collect();
            for uid in &uids[..2] {
                world.server.set_flags("INBOX", *uid, &["Later"], &[]);
            }
            world.sync().1.expect("the keywords came down");
            world.wait();
            for file in files(world, "INBOX").into_iter().filter(|file| has_letter(file)) {
                rename(world, &file, &format!("Work/cur/{}", name(&file)));
            }
            // One to the same place, one to another.
            world.server.mv("INBOX", uids[0], "Work");
            world.server.mv("INBOX", uids[1], "Trash");
        },
    },
    Scenario {
        name: "edited here",
        act: |world| {
            let file = &files(world, "INBOX")[0];
            world.fs.write_file(file, b"Message-ID: <0>\nSubject: 0\n\nanother text\n");
            // Files are compared with what is known of them once a day.
            world.fs.set_clock(world.fs.clock() + 25 * 3600 * 1_000_000_000);
        },
    },
    Scenario {
        name: "without Message-ID, filed here and there",
        act: |world| {
            world.server.append("Work", b"Subject: none\r\n\r\nplain, too\r\n", &[], Some(5));
            world.sync().1.expect("it came down");
            world.wait();
            let plain = world.server.list("INBOX")[3].uid;
            world.server.mv("INBOX", plain, "Trash");
            let files = files(world, "Work");
            let text = |file: &&PathBuf| world.fs.read_file(file).unwrap_or_default();
            let file = files.iter().find(|file| text(file).ends_with(b"plain, too\n"));
            rename(world, file.expect("it is there"), "INBOX/cur/plain:2,S");
        },
    },
    Scenario {
        name: "copies here and there, and one of two equals filed",
        act: |world| {
            let text = world.fs.read_file(&files(world, "INBOX")[0]).expect("a file");
            let text = String::from_utf8(text).expect("plain text");
            write(world, "INBOX/cur/twin:2,S", &text);
            write(world, "Work/cur/copy:2,", &text);
            let uid = world.server.list("INBOX")[1].uid;
            world.server.copy("INBOX", uid, "Work");
            world.server.copy("INBOX", uid, "INBOX");
        },
    },
    Scenario { name: "the store was lost", act: |world| world.lose_store() },
    Scenario {
        name: "numbered anew",
        act: |world| {
            world.server.renumber("INBOX");
            let file = &files(world, "INBOX")[0];
            rename(world, file, &format!("INBOX/cur/{}:2,FS", stem(file)));
        },
    },
    Scenario {
        name: "mailboxes deleted here and there",
        act: |world| {
            world.server.delete_mailbox("Work");
            for file in files(world, "Trash") {
                rename(world, &file, &format!("INBOX/cur/{}", name(&file)));
            }
        },
    },
    Scenario {
        name: "flags against flags, and a deletion against a flag",
        act: |world| {
            let uids: Vec<u32> = world.server.list("INBOX").iter().map(|m| m.uid).collect();
            world.server.set_flags("INBOX", uids[0], &["\\Answered"], &["\\Seen"]);
            world.server.set_flags("INBOX", uids[1], &["\\Flagged"], &[]);
            let files = files(world, "INBOX");
            let of = |n: &str| {
                let wanted = format!("text {n}\n");
                let text = |file: &&PathBuf| world.fs.read_file(file).unwrap_or_default();
                files
                    .iter()
                    .find(|file| text(file).ends_with(wanted.as_bytes()))
                    .expect("it is there")
            };
            rename(world, of("0"), &format!("INBOX/cur/{}:2,FS", stem(of("0"))));
            world.fs.delete_file(of("1"));
        },
    },
];

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn has_letter(path: &Path) -> bool {
    let name = name(path);
    name.split_once(":2,").is_some_and(|(_, info)| info.contains(|c: char| c.is_ascii_lowercase()))
}

pub(crate) fn write(world: &World, path: &str, text: &str) {
    world.fs.write_file(format!("{ROOT}/{path}"), text.as_bytes());
}

pub(crate) fn rename(world: &World, from: &Path, to: &str) {
    world.fs.move_file(from, format!("{ROOT}/{to}"));
}

pub(crate) fn files(world: &World, mailbox: &str) -> Vec<PathBuf> {
    let dirs = [format!("{ROOT}/{mailbox}/cur"), format!("{ROOT}/{mailbox}/new")];
    let tree = world.fs.tree();
    let files = tree.iter().filter(|(_, bytes)| bytes.is_some()).map(|(path, _)| path);
    let here = files
        .filter(|path| dirs.iter().any(|d| path.parent().is_some_and(|p| p.ends_with(&d[1..]))));
    here.cloned().collect()
}

pub(crate) fn stem(path: &Path) -> String {
    let name = name(path);
    name.split(":2,").next().unwrap_or_default().to_owned()
}

/// An account with some agreed mail, and something that has happened since.
pub(crate) fn prepared(profile: &Profile, scenario: &Scenario) -> World {
    prepared_in(World::new(profile.clone()), scenario)
}

/// The same in a world that is new.
pub(crate) fn prepared_in(world: World, scenario: &Scenario) -> World {
    let mail =
        |n: u8| format!("Message-ID: <{n}>\r\nSubject: {n}\r\n\r\ntext {n}\r\n").into_bytes();
    for n in 0..3 {
        world.server.append("INBOX", &mail(n), &["\\Seen"], Some(i64::from(n) * 1000 + 7));
    }
    world.server.append("INBOX", b"Subject: no id\r\n\r\nplain\r\n", &[], Some(77));
    world.server.append("Work", &mail(8), &[], Some(8000));
    world.server.append("Work", &mail(9), &["\\Flagged"], Some(9000));
    world.server.append("Trash", &mail(7), &["\\Seen"], Some(7000));
    if scenario.name != SCENARIOS[0].name {
        let (_, result) = world.sync();
        result.expect("the first run");
        world.wait();
    }
    (scenario.act)(&world);
    world.fs.settle();
    world.wait();
    world
}

/// Mailbox → content and flags.
pub(crate) type Mail = BTreeMap<String, Vec<(String, Vec<String>)>>;

/// Runs until agreement, twice at most, and checks that the same mail is there as without any
/// crash.
pub(crate) fn recover(world: &World, expected: &Mail, what: &str) {
    let mut said = String::new();
    for _ in 0..2 {
        world.wait();
        let (report, result) = world.sync();
        said += &format!("{result:?} {:?}\n", report.skipped);
        if result.is_ok() && report.skipped.is_empty() && world.remote() == world.local() {
            break;
        }
    }
    let (remote, local) = (world.remote(), world.local());
    assert_eq!(remote, local, "{what}\n{said}");
    assert_eq!(&remote, expected, "{what}\n{said}");
    world.wait();
    world.sync().1.expect("a further run");
    world.server.reset_counters();
    world.wait();
    let (report, result) = world.sync();
    assert!(result.is_ok() && report.done() == 0, "{what}: {result:?} {report:?}");
    assert_eq!(world.server.counters().mutating, 0, "{what}");
}

/// The file of a mailbox that holds this text.
///
/// # Panics
/// Where none does.
pub(crate) fn with_text(world: &World, mailbox: &str, text: &str) -> PathBuf {
    let holds = |file: &&PathBuf| {
        let bytes = world.fs.read_file(file).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(text)
    };
    files(world, mailbox).iter().find(holds).expect("it is there").clone()
}
