//! Renamed mailboxes: one rename here is one rename there, and no message is touched. What is
//! in doubt is no rename, and loses nothing either.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kit::imap::{Fault, Profile, When};
use kit::world::{ROOT, World};
use mailtide::local::Layout;

use super::{LAYOUTS, agree, empty, exists, here, sync, there};

/// With MAILBOXID and without, on each rung of the ladder, in both layouts.
pub(super) fn everywhere() -> Vec<(Profile, Layout)> {
    let profiles = [
        Profile { objectid: true, ..Profile::qresync() },
        Profile::qresync(),
        Profile::condstore(),
        Profile::plain(),
    ];
    profiles.into_iter().flat_map(|p| LAYOUTS.map(|layout| (p.clone(), layout))).collect()
}

/// INBOX with one message, Work with two, Work/Alpha and Home with one, Empty: all agreed on.
pub(super) fn agreed(profile: &Profile, layout: Layout) -> World {
    let world = empty(profile, layout);
    let mail = [("INBOX", "i"), ("Work", "w1"), ("Work", "w2"), ("Work/Alpha", "a"), ("Home", "h")];
    for (mailbox, id) in mail {
        there(&world, mailbox, id);
    }
    world.server.create("Empty");
    agree(&world);
    world.server.reset_counters();
    world
}

/// `mv`, of one directory.
pub(super) fn mv(world: &World, from: &str, to: &str) {
    let to = world.dir_of(to);
    world.fs.mkdir_all(to.parent().unwrap());
    world.fs.move_file(world.dir_of(from), to);
}

/// Files of the Maildir by their place, with what is in them.
fn files(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let tree = world.fs.tree().into_iter();
    let tree =
        tree.filter(|(path, _)| path.starts_with(ROOT) && !path.starts_with("/mail/.mailtide"));
    tree.filter_map(|(path, text)| Some((path, text?))).collect()
}

/// Commands of a kind that were sent since the agreement.
fn sent(world: &World, verb: &str) -> Vec<String> {
    let commands = world.server.commands().into_iter().map(|command| command.line);
    commands.filter(|line| line.starts_with(verb)).collect()
}

/// Nothing was sent that concerns a message.
#[track_caller]
fn no_message_was_touched(world: &World) {
    for verb in ["APPEND", "UID COPY", "UID MOVE", "UID STORE", "UID EXPUNGE", "CREATE", "DELETE"] {
        assert_eq!(sent(world, verb), [""; 0]);
    }
    let bodies = sent(world, "UID FETCH").into_iter().filter(|line| line.contains("BODY"));
    assert_eq!(bodies.collect::<Vec<_>>(), [""; 0]);
}

/// The ids in the directories of mailboxes, each its own.
#[track_caller]
fn ids_differ(world: &World) {
    let files = files(world);
    let ids: Vec<_> = files.iter().filter(|(path, _)| path.ends_with(".mailtide-id")).collect();
    let mut texts: Vec<_> = ids.iter().map(|(_, text)| text).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), ids.len());
    assert_eq!(ids.len(), world.local().len(), "each has one: {ids:?}");
}

#[test]
fn a_directory_that_was_renamed_is_one_rename_on_the_server() {
    for (profile, layout) in everywhere() {
        let world = agreed(&profile, layout);
        let uids = world.server.uid_validity("Home");
        mv(&world, "Home", "House/Garden");
        agree(&world);
        assert_eq!(sent(&world, "RENAME"), ["RENAME \"Home\" \"House/Garden\""]);
        no_message_was_touched(&world);
        assert_eq!(world.server.uid_validity("House/Garden"), uids);
        ids_differ(&world);
        // It is the same mailbox from then on.
        there(&world, "House/Garden", "more");
        mv(&world, "House/Garden", "Home");
        agree(&world);
        assert_eq!(sent(&world, "RENAME").len(), 2);
        assert_eq!(world.remote()["Home"].len(), 2);
    }
}

#[test]
fn inferiors_go_along_in_the_same_rename() {
    for (profile, layout) in everywhere() {
        let world = agreed(&profile, layout);
        mv(&world, "Work", "Job");
        if layout == Layout::MaildirPlusPlus {
            mv(&world, "Work/Alpha", "Job/Alpha");
        }
        agree(&world);
        assert_eq!(sent(&world, "RENAME"), ["RENAME \"Work\" \"Job\""]);
        no_message_was_touched(&world);
        assert_eq!(world.server.list("Job/Alpha").len(), 1);
    }
}

#[test]
fn inferiors_that_stayed_keep_a_rename_from_the_server() {
    for (profile, layout) in everywhere() {
        let world = agreed(&profile, layout);
        if layout == Layout::MaildirPlusPlus {
            mv(&world, "Work", "Job");
        } else {
            for part in ["cur", "new", "tmp", ".mailtide-id"] {
                world.fs.mkdir_all(world.dir_of("Job"));
                let from = world.dir_of("Work").join(part);
                world.fs.move_file(from, world.dir_of("Job").join(part));
            }
        }
        sync(&world);
        // What has inferiors there is left in place, without its messages.
        let mut remote = world.remote();
        assert_eq!(remote.remove("Work"), Some(Vec::new()));
        assert_eq!(remote, world.local());
        assert_eq!(sent(&world, "RENAME"), [""; 0]);
        assert_eq!((remote["Job"].len(), remote["Work/Alpha"].len()), (2, 1));
    }
}

#[test]
fn a_rename_on_the_server_is_one_rename_of_the_directory() {
    for (profile, layout) in everywhere() {
        let world = agreed(&profile, layout);
        let before = files(&world);
        assert!(world.server.rename_mailbox("Work", "Old/Job"));
        agree(&world);
        no_message_was_touched(&world);
        // The very files, under the same names.
        let (work, job) = (world.dir_of("Work"), world.dir_of("Old/Job"));
        let alpha = (world.dir_of("Work/Alpha"), world.dir_of("Old/Job/Alpha"));
        let moved = |path: PathBuf| match (path.strip_prefix(&alpha.0), path.strip_prefix(&work)) {
            (Ok(rest), _) => alpha.1.join(rest),
            (_, Ok(rest)) => job.join(rest),
            _ => path.clone(),
        };
        let expected: BTreeMap<_, _> =
            before.into_iter().map(|(p, text)| (moved(p), text)).collect();
        assert_eq!(files(&world).keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert_eq!(files(&world), expected);
        assert!(!exists(&world, work));
    }
}

#[test]
fn renamed_on_both_sides() {
    for (profile, layout) in everywhere() {
        // To the same name: nothing is left to do.
        let world = agreed(&profile, layout);
        mv(&world, "Home", "House");
        assert!(world.server.rename_mailbox("Home", "House"));
        agree(&world);
        assert_eq!(sent(&world, "RENAME"), [""; 0]);
        no_message_was_touched(&world);
        // To another one: that of the server stands.
        let world = agreed(&profile, layout);
        mv(&world, "Home", "House");
        assert!(world.server.rename_mailbox("Home", "Haus"));
        agree(&world);
        no_message_was_touched(&world);
        assert!(!exists(&world, world.dir_of("House")));
        assert_eq!(world.local()["Haus"].len(), 1);
    }
}

#[test]
fn what_else_happened_meanwhile_happens_to_the_renamed_mailbox() {
    for (profile, layout) in everywhere() {
        let world = agreed(&profile, layout);
        let uid = world.server.list("Home")[0].uid;
        world.server.set_flags("Home", uid, &["\\Flagged"], &[]);
        there(&world, "Home", "new there");
        here(&world, "Home", "new here");
        mv(&world, "Home", "House");
        assert!(world.server.rename_mailbox("Work", "Job"));
        here(&world, "Work", "filed late");
        there(&world, "Job", "new in the job");
        agree(&world);
        assert_eq!(sent(&world, "RENAME").len(), 1);
        assert_eq!((world.remote()["House"].len(), world.remote()["Job"].len()), (3, 4));
        let flags: Vec<_> =
            world.remote()["House"].iter().map(|(_, flags)| flags.clone()).collect();
        assert!(flags.iter().any(|flags| flags.contains(&"\\flagged".to_owned())));
        assert_eq!(sent(&world, "APPEND").len(), 2);
    }
}

#[test]
fn the_inbox_is_never_renamed() {
    for (profile, layout) in everywhere() {
        let world = agreed(&profile, layout);
        // The server gives the new mailbox the UIDVALIDITY that INBOX had.
        assert!(world.server.rename_mailbox("INBOX", "Old"));
        let uids = world.server.uid_validity("Old").unwrap();
        world.server.set_uid_validity("INBOX", uids);
        sync(&world);
        agree(&world);
        assert!(exists(&world, world.dir_of("INBOX").join("cur")));
        assert_eq!((world.local()["INBOX"].len(), world.local()["Old"].len()), (0, 1));
        if layout == Layout::Nested {
            let world = agreed(&profile, layout);
            mv(&world, "INBOX", "Old");
            sync(&world);
            agree(&world);
            assert_eq!(sent(&world, "RENAME"), [""; 0]);
            let total: usize = world.remote().values().map(Vec::len).sum();
            assert!((5..=6).contains(&total), "{:?}", world.remote());
        }
    }
}

#[test]
fn a_copied_directory_is_a_new_mailbox_with_an_id_of_its_own() {
    for (profile, layout) in everywhere() {
        let world = agreed(&profile, layout);
        copy(&world, "Home", "Copy");
        agree(&world);
        assert_eq!(sent(&world, "RENAME"), [""; 0]);
        ids_differ(&world);
        assert_eq!((world.remote()["Home"].len(), world.remote()["Copy"].len()), (1, 1));
        // Two copies, and the first is gone: nobody knows which of them it is.
        copy(&world, "Copy", "Second");
        mv(&world, "Copy", "Third");
        sync(&world);
        agree(&world);
        // Before it is removed it has another name (hazard 186).
        let removed = "RENAME \"Copy\" \"Copy-removed-by-mailtide\"";
        assert_eq!(sent(&world, "RENAME"), [removed]);
        ids_differ(&world);
        mv(&world, "Home", "House");
        agree(&world);
        assert_eq!(sent(&world, "RENAME"), [removed, "RENAME \"Home\" \"House\""]);
    }
}

/// `cp -r`, with everything in it.
fn copy(world: &World, from: &str, to: &str) {
    let (from, to) = (world.dir_of(from), world.dir_of(to));
    for (path, text) in world.fs.tree() {
        let Ok(rest) = path.strip_prefix(&from) else { continue };
        match text {
            Some(text) => world.fs.write_file(to.join(rest), &text),
            None => world.fs.mkdir_all(to.join(rest)),
        }
    }
}

#[test]
fn swapped_and_chained_names_lose_and_double_nothing() {
    for (profile, layout) in everywhere() {
        let rings: [&[(&str, &str)]; 2] = [
            &[("Home", "t"), ("Empty", "Home"), ("t", "Empty")],
            &[("Home", "House"), ("Empty", "Home")],
        ];
        for (ring, locally) in rings.into_iter().flat_map(|r| [(r, true), (r, false)]) {
            let world = agreed(&profile, layout);
            // Without MAILBOXID an empty mailbox cannot be told from any other.
            there(&world, "Empty", "not any more");
            agree(&world);
            for (from, to) in ring {
                if locally {
                    mv(&world, from, to);
                } else {
                    assert!(world.server.rename_mailbox(from, to));
                }
            }
            let expected = if locally { world.local() } else { world.remote() };
            sync(&world);
            sync(&world);
            agree(&world);
            assert_eq!(world.remote(), expected, "{ring:?} {locally} {layout:?}");
            ids_differ(&world);
        }
    }
}

#[test]
fn what_only_looks_alike_is_no_rename() {
    for layout in LAYOUTS {
        let world = agreed(&Profile::qresync(), layout);
        let uids = world.server.uid_validity("Home").unwrap();
        assert!(world.server.delete_mailbox("Home"));
        there(&world, "Other", "another message");
        there(&world, "Other", "and one more");
        world.server.set_uid_validity("Other", uids);
        sync(&world);
        agree(&world);
        let trash = format!("{ROOT}/.mailtide/trash");
        let trashed = |path: &PathBuf| {
            path.starts_with(&trash) && path.parent().is_some_and(|dir| dir.ends_with("Home"))
        };
        assert!(world.fs.tree().keys().any(trashed), "the directory did not become another's");
        // Nor is one that LIST omits for a while.
        let world = agreed(&Profile::qresync(), layout);
        let omitted = Fault::OmitFromList("Home".to_owned());
        world.server.inject(omitted, When::verb("LIST"));
        copy(&world, "Home", "Other");
        sync(&world);
        world.server.heal();
        agree(&world);
        assert_eq!((world.remote()["Home"].len(), world.remote()["Other"].len()), (1, 1));
    }
}

#[test]
fn a_rename_that_the_server_refuses_moves_the_messages() {
    for (profile, layout) in everywhere() {
        for fault in [Fault::No("[NOPERM] not you".to_owned()), Fault::OkUndone] {
            let world = agreed(&profile, layout);
            world.server.inject(fault.clone(), When::verb("RENAME"));
            mv(&world, "Home", "House");
            sync(&world);
            sync(&world);
            agree(&world);
            assert_eq!(world.remote()["House"].len(), 1, "{fault:?}");
            assert!(!world.remote().contains_key("Home"), "{fault:?}");
            assert_eq!(sent(&world, "APPEND"), [""; 0]);
            ids_differ(&world);
        }
    }
}

#[test]
fn a_new_name_that_the_server_cannot_spell_keeps_all_mail() {
    for layout in LAYOUTS {
        let world = empty(&Profile { delimiter: '.', ..Profile::qresync() }, layout);
        there(&world, "Home", "h1");
        there(&world, "Home", "h2");
        agree(&world);
        mv(&world, "Home", "v1.2");
        for _ in 0..3 {
            let report = sync(&world);
            assert!(report.skipped.iter().any(|skip| skip.what == "v1.2"), "{report:?}");
        }
        assert_eq!((world.local()["v1.2"].len(), world.server.list("Home").len()), (2, 2));
        mv(&world, "v1.2", "v1");
        sync(&world);
        agree(&world);
        assert_eq!(world.remote()["v1"].len(), 2);
    }
}

#[test]
fn a_backup_follows_the_server_and_renames_nothing_there() {
    for layout in LAYOUTS {
        let mut world = agreed(&Profile::qresync(), layout);
        world.configure(move |settings| {
            settings.layout = layout;
            settings.pull_only = true;
        });
        assert!(world.server.rename_mailbox("Home", "House"));
        agree(&world);
        no_message_was_touched(&world);
        world.server.reset_counters();
        mv(&world, "House", "Mine");
        sync(&world);
        sync(&world);
        assert_eq!(world.server.counters().mutating, 0);
        assert_eq!(world.server.list("House").len(), 1);
    }
}

#[test]
fn empty_mailboxes_are_renamed_too_or_made_anew() {
    for (profile, layout) in everywhere() {
        let world = agreed(&profile, layout);
        mv(&world, "Empty", "Void");
        agree(&world);
        assert!(world.remote().contains_key("Void") && !world.remote().contains_key("Empty"));
        assert!(world.server.rename_mailbox("Void", "Nothing"));
        sync(&world);
        agree(&world);
        assert!(world.local().contains_key("Nothing") && !world.local().contains_key("Void"));
        ids_differ(&world);
    }
}
