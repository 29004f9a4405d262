//! Maildirs that other programs filled: their spellings of mailbox names are recognised, and
//! no mailbox and no message is doubled by that (hazard 66).

use kit::imap::Profile;
use kit::world::{ROOT, World};
use mailtide::account::Depth;
use mailtide::local::Layout;

use super::{empty, exists, mail, sync, there};

/// Mailboxes of the server, with something in each.
pub(crate) const MAILBOXES: [&str; 8] = [
    "INBOX",
    "Entwürfe",
    "Gesendete Objekte/Übrig",
    "日本語",
    "Tom & Jerry",
    "a&b",
    "100%",
    "v1.2",
];

/// Their directories, as a program writes them.
type Form = (&'static str, Layout, [&'static str; 8]);

const FORMS: [Form; 8] = [
    (
        "mbsync, Verbatim",
        Layout::Nested,
        [
            "INBOX",
            "Entw&APw-rfe",
            "Gesendete Objekte/&ANw-brig",
            "&ZeVnLIqe-",
            "Tom &- Jerry",
            "a&-b",
            "100%",
            "v1.2",
        ],
    ),
    (
        "mbsync, Legacy",
        Layout::Nested,
        [
            "INBOX",
            "Entw&APw-rfe",
            "Gesendete Objekte/.&ANw-brig",
            "&ZeVnLIqe-",
            "Tom &- Jerry",
            "a&-b",
            "100%",
            "v1.2",
        ],
    ),
    (
        "mbsync, Maildir++ below its INBOX",
        Layout::Nested,
        [
            "INBOX",
            "INBOX/.Entw&APw-rfe",
            "INBOX/.Gesendete Objekte.&ANw-brig",
            "INBOX/.&ZeVnLIqe-",
            "INBOX/.Tom &- Jerry",
            "INBOX/.a&-b",
            "INBOX/.100%",
            "INBOX/.v1.2",
        ],
    ),
    (
        "OfflineIMAP, dots and UTF-8",
        Layout::Nested,
        [
            "INBOX",
            "Entwürfe",
            "Gesendete Objekte.Übrig",
            "日本語",
            "Tom & Jerry",
            "a&b",
            "100%",
            "v1.2",
        ],
    ),
    (
        "OfflineIMAP, dots and UTF-7",
        Layout::Nested,
        [
            "INBOX",
            "Entw&APw-rfe",
            "Gesendete Objekte.&ANw-brig",
            "&ZeVnLIqe-",
            "Tom &- Jerry",
            "a&-b",
            "100%",
            "v1.2",
        ],
    ),
    (
        "escapes",
        Layout::Nested,
        [
            "INBOX",
            "Entw%C3%BCrfe",
            "Gesendete Objekte/%c3%9cbrig",
            "%E6%97%A5%E6%9C%AC%E8%AA%9E",
            "Tom %26 Jerry",
            "a%26b",
            "100%25",
            "v1%2E2",
        ],
    ),
    (
        "Dovecot, Maildir++ in UTF-8",
        Layout::MaildirPlusPlus,
        [
            "",
            ".Entwürfe",
            ".Gesendete Objekte.Übrig",
            ".日本語",
            ".Tom & Jerry",
            ".a&b",
            ".100%",
            ".v1.2",
        ],
    ),
    (
        "mbsync, Maildir++",
        Layout::MaildirPlusPlus,
        [
            "",
            ".Entw&APw-rfe",
            ".Gesendete Objekte.&ANw-brig",
            ".&ZeVnLIqe-",
            ".Tom &- Jerry",
            ".a&-b",
            ".100%",
            ".v1.2",
        ],
    ),
];

fn filled(form: &Form) -> World {
    let world = empty(&Profile::qresync(), form.1);
    for (mailbox, dir) in MAILBOXES.iter().zip(form.2) {
        for n in 0..3 {
            let id = format!("{mailbox}-{n}");
            there(&world, mailbox, &id);
            file(&world, dir, &format!("{n}"), &id);
        }
    }
    world
}

/// Files a message into a directory, as another program would.
fn file(world: &World, dir: &str, stem: &str, id: &str) {
    let dir = format!("{ROOT}/{dir}");
    for sub in ["tmp", "new", "cur"] {
        world.fs.mkdir_all(format!("{dir}/{sub}"));
    }
    let text = String::from_utf8(mail(id)).unwrap().replace("\r\n", "\n");
    world.fs.write_file(format!("{dir}/cur/{stem}:2,S"), text.as_bytes());
}

fn messages(world: &World, dir: &str) -> usize {
    let dir = std::path::PathBuf::from(format!("{ROOT}/{dir}"));
    let tree = world.fs.tree();
    let within = |sub: &str| {
        let sub = dir.join(sub);
        tree.keys().filter(|path| path.parent() == Some(sub.as_path())).count()
    };
    within("cur") + within("new")
}

#[track_caller]
fn idle(world: &World) {
    let report = sync(world);
    assert_eq!((report.done(), report.skipped.as_slice()), (0, &[][..]));
}

#[test]
fn hazard_66_directories_of_other_programs_are_those_of_their_mailboxes() {
    for form in &FORMS {
        let world = filled(form);
        let (before, listed) = (world.remote(), world.server.mailboxes());
        world.wait();
        let plan = world.dry_run().join("\n");
        assert!(!plan.contains("load") && !plan.contains("make"), "{}: {plan}", form.0);
        let report = sync(&world);
        assert_eq!((report.pushed, report.pulled), (0, 0), "{}: {report:?}", form.0);
        assert_eq!(report.skipped, [], "{}", form.0);
        assert_eq!((world.remote(), world.server.mailboxes()), (before, listed), "{}", form.0);
        idle(&world);
        // Both directions go on there.
        for (mailbox, dir) in MAILBOXES.iter().zip(form.2) {
            there(&world, mailbox, &format!("down {mailbox}"));
            file(&world, dir, "up", &format!("up {mailbox}"));
        }
        let report = sync(&world);
        assert_eq!((report.pushed, report.pulled), (8, 8), "{}", form.0);
        for (mailbox, dir) in MAILBOXES.iter().zip(form.2) {
            assert_eq!(world.server.list(mailbox).len(), 5, "{}: {mailbox}", form.0);
            assert_eq!(messages(&world, dir), 5, "{}: {mailbox}", form.0);
        }
        idle(&world);
        assert_eq!(world.server.mailboxes().len(), MAILBOXES.len());
        // A lost store finds them again, and so does a Maildir without what is ours.
        world.lose_store();
        idle_but_for_notes(&world, form);
        let ours: Vec<_> = world.fs.tree().into_keys().collect();
        for path in ours.iter().filter(|path| path.ends_with("directories")) {
            world.fs.delete_file(path);
        }
        world.lose_store();
        idle_but_for_notes(&world, form);
        assert_eq!(world.verify(Depth::Files).plan, Vec::<String>::new(), "{}", form.0);
    }
}

#[track_caller]
fn idle_but_for_notes(world: &World, form: &Form) {
    let report = sync(world);
    let moved = (report.pushed, report.pulled, report.mailboxes);
    assert_eq!((moved, report.skipped.as_slice()), ((0, 0, 0), &[][..]), "{}", form.0);
    assert_eq!(world.server.mailboxes().len(), MAILBOXES.len(), "{}", form.0);
    idle(world);
}

#[test]
fn hazard_66_a_mailbox_stays_where_it_was_recognised_when_the_server_lacks_it() {
    let world = filled(&FORMS[0]);
    sync(&world);
    assert!(world.server.delete_mailbox("Entwürfe"));
    sync(&world);
    sync(&world);
    assert!(!exists(&world, format!("{ROOT}/Entw&APw-rfe/cur")));
    file(&world, "Entw&APw-rfe", "later", "later");
    sync(&world);
    assert_eq!(world.server.list("Entwürfe").len(), 1);
    assert!(!world.server.mailboxes().iter().any(|name| name.contains("APw")));
    idle(&world);
}

#[test]
fn hazard_66_renames_go_through_in_both_directions() {
    let world = filled(&FORMS[0]);
    there(&world, "Entwürfe/Größe", "below");
    file(&world, "Entw&APw-rfe/Gr&APYA3w-e", "below", "below");
    sync(&world);
    idle(&world);
    assert!(world.server.rename_mailbox("Entwürfe", "Neu"));
    let report = sync(&world);
    assert_eq!((report.pushed, report.pulled), (0, 0));
    assert_eq!(messages(&world, "Neu"), 3);
    let tree: Vec<_> = world.fs.tree().into_keys().collect();
    assert_eq!(messages(&world, "Neu/Gr&APYA3w-e"), 1, "{:?} {tree:#?}", world.server.mailboxes());
    idle(&world);
    world.fs.move_file(format!("{ROOT}/Neu"), format!("{ROOT}/Alt"));
    sync(&world);
    idle(&world);
    assert_eq!(world.server.list("Alt").len(), 3);
    assert_eq!(world.server.list("Alt/Größe").len(), 1);
    assert!(!world.server.mailboxes().iter().any(|name| name.contains('&') && name.contains("AP")));
}

#[test]
fn hazard_66_a_mailbox_that_is_really_called_so_still_works() {
    for late in [false, true] {
        let world = empty(&Profile::qresync(), Layout::Nested);
        there(&world, "Entwürfe", "1");
        if late {
            file(&world, "Entw&APw-rfe", "1", "1");
            sync(&world);
        }
        there(&world, "Entw&APw-rfe", "2");
        there(&world, "Entw&APw-rfe/x", "3");
        for _ in 0..2 {
            sync(&world);
        }
        idle(&world);
        world.lose_store();
        sync(&world);
        idle(&world);
        for (mailbox, n) in [("Entwürfe", 1), ("Entw&APw-rfe", 1), ("Entw&APw-rfe/x", 1)] {
            assert_eq!(world.server.list(mailbox).len(), n, "{mailbox}");
        }
        assert_eq!(world.server.mailboxes().len(), 4);
        let here = world.local();
        assert_eq!(here.values().map(Vec::len).sum::<usize>(), 3, "{here:?}");
    }
}

#[test]
fn hazard_66_what_is_doubtful_is_named_and_left_alone() {
    // Mailboxes of the server, directories, and those that are named.
    for (listed, dirs, doubtful) in [
        (&["Entwürfe", "Entw&APw-rfe"][..], &["Entw&APw-rfe"][..], &["Entw&APw-rfe"][..]),
        (&["Entwürfe"], &["Entw&APw-rfe", "Entw%C3%BCrfe"], &["Entw&APw-rfe", "Entw%C3%BCrfe"]),
        (&["Entwürfe"], &["Entwürfe", "Entw&APw-rfe"], &["Entw&APw-rfe"]),
        (&["a/Ü", "a.Ü"], &["a.&ANw-"], &["a.&ANw-"]),
    ] {
        let world = empty(&Profile::qresync(), Layout::Nested);
        for mailbox in listed {
            there(&world, mailbox, &format!("there in {mailbox}"));
        }
        for dir in dirs {
            file(&world, dir, "here", &format!("here in {dir}"));
        }
        there(&world, "Other", "other");
        for _ in 0..2 {
            let report = sync(&world);
            let named: Vec<&str> = report.skipped.iter().map(|skip| skip.what.as_str()).collect();
            for dir in doubtful {
                let name = format!("{ROOT}/{dir}");
                assert!(named.contains(&name.as_str()), "{dirs:?}: {:?}", report.skipped);
            }
            assert_eq!(world.server.mailboxes().len(), listed.len() + 2, "{dirs:?}");
            for dir in doubtful {
                assert_eq!(messages(&world, dir), 1, "{dir}");
            }
            let there = world.remote();
            let sent = there.values().flatten().filter(|(text, _)| text.contains("here in"));
            assert!(sent.count() <= dirs.len() - doubtful.len(), "{there:?}");
        }
        assert_eq!(messages(&world, "Other"), 1);
    }
}

#[test]
fn hazard_66_dots_alone_are_no_sign_of_another_program() {
    let world = empty(&Profile::qresync(), Layout::Nested);
    there(&world, "v1/2", "1");
    sync(&world);
    file(&world, "v1.2", "new", "new");
    sync(&world);
    assert_eq!(world.server.list("v1.2").len(), 1);
    idle(&world);
    // Renamed by a person: the directory is known.
    world.fs.move_file(format!("{ROOT}/v1/2"), format!("{ROOT}/v1.3"));
    there(&world, "v1/3", "3");
    sync(&world);
    sync(&world);
    assert_eq!(world.server.list("v1.3").len(), 1);
    assert_eq!((world.server.list("v1/3").len(), messages(&world, "v1/3")), (1, 1));
    // What other programs keep in directories with a dot is theirs; a Maildir is named.
    file(&world, ".notmuch/mail", "x", "x");
    file(&world, ".Sent", "x", "x");
    for _ in 0..2 {
        let report = sync(&world);
        let named = report.skipped.iter().map(|skip| skip.what.as_str()).collect::<Vec<_>>();
        assert_eq!((report.done(), named), (0, vec![format!("{ROOT}/.Sent").as_str()]));
    }
    assert_eq!(messages(&world, ".Sent"), 1);
    assert!(!world.server.mailboxes().iter().any(|name| name.contains("Sent")));
}

#[test]
fn hazard_66_namespaces_that_other_programs_leave_out_are_recognised() {
    let world = empty(&Profile::qresync(), Layout::Nested);
    there(&world, "INBOX/Sent", "1");
    there(&world, "INBOX/Entwürfe", "2");
    file(&world, "Sent", "1", "1");
    file(&world, "Entw&APw-rfe", "2", "2");
    let report = sync(&world);
    assert_eq!((report.pushed, report.pulled), (0, 0));
    assert_eq!(world.server.mailboxes().len(), 3);
    idle(&world);
}
