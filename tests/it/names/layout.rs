//! The layouts of a root: both keep two sides in step, and neither is changed into the other.

use kit::imap::Profile;
use kit::world::{ROOT, World};
use mailtide::account::AccountError;
use mailtide::local::Layout;

use super::{LAYOUTS, agree, empty, exists, here, sync, there, top};

fn mirrored(layout: Layout) -> World {
    let world = empty(&Profile::qresync(), layout);
    for (mailbox, id) in [("INBOX", "1"), ("Work", "2"), ("Work/Alpha", "3"), ("INBOX/In", "4")] {
        there(&world, mailbox, id);
    }
    agree(&world);
    world
}

#[test]
fn maildirpp_is_flat_and_its_root_is_the_inbox() {
    let world = mirrored(Layout::MaildirPlusPlus);
    let expected = [".INBOX.In", ".Work", ".Work.Alpha", ".mailtide-id", "cur", "new", "tmp"];
    assert_eq!(top(&world), expected);
    for mailbox in &expected[..3] {
        assert!(exists(&world, format!("{ROOT}/{mailbox}/maildirfolder")));
    }
    assert!(!exists(&world, format!("{ROOT}/maildirfolder")));
}

#[test]
fn both_sides_stay_in_step_in_either_layout() {
    for layout in LAYOUTS {
        let world = mirrored(layout);
        here(&world, "Home/Bills", "5");
        here(&world, "INBOX", "6");
        there(&world, "Lists", "7");
        let filed = world.dir_of("Work").join("cur");
        let name =
            world.fs.tree().into_keys().find(|path| path.starts_with(&filed) && *path != filed);
        world.fs.move_file(name.unwrap(), world.dir_of("INBOX/In").join("cur/filed:2,S"));
        agree(&world);
        assert_eq!(world.server.list("Home/Bills").len(), 1);
        assert_eq!((world.server.list("Work").len(), world.server.list("INBOX/In").len()), (0, 2));
    }
}

#[test]
fn a_mailbox_that_is_gone_on_the_server_leaves_nothing_that_looks_like_one() {
    for layout in LAYOUTS {
        let world = mirrored(layout);
        let index = world.dir_of("Work/Alpha").join("dovecot.index.log");
        world.fs.write_file(&index, b"of another program");
        assert!(world.server.delete_mailbox("Work/Alpha"));
        sync(&world);
        agree(&world);
        let dir = world.dir_of("Work/Alpha");
        // What other programs left stays where it does not look like a mailbox.
        assert_eq!(exists(&world, &dir), layout == Layout::Nested);
        assert!(!exists(&world, dir.join("cur")) && exists(&world, world.dir_of("Work")));
    }
}

#[test]
fn a_changed_layout_is_refused_and_changes_nothing() {
    for (layout, other) in [(LAYOUTS[0], LAYOUTS[1]), (LAYOUTS[1], LAYOUTS[0])] {
        let mut world = mirrored(layout);
        let (files, mail) = (world.fs.tree(), world.remote());
        world.configure(move |settings| settings.layout = other);
        world.wait();
        let (report, result) = world.sync();
        let error = result.unwrap_err();
        assert!(matches!(error, AccountError::Layout { .. }), "{error}");
        assert!(error.to_string().contains(layout.as_str()), "{error}");
        assert_eq!((report.done(), world.fs.tree(), world.remote()), (0, files, mail));
        world.configure(move |settings| settings.layout = layout);
        agree(&world);
    }
}

#[test]
fn a_root_in_another_layout_without_a_marker_removes_nothing() {
    for (layout, other) in [(LAYOUTS[0], LAYOUTS[1]), (LAYOUTS[1], LAYOUTS[0])] {
        let mut world = mirrored(layout);
        world.fs.delete_file(format!("{ROOT}/.mailtide/marker"));
        let mail = world.remote();
        world.configure(move |settings| settings.layout = other);
        // Directories whose names the server has in some spelling are recognised, others named.
        for _ in 0..2 {
            sync(&world);
            assert_eq!(world.remote(), mail);
        }
    }
}

#[test]
fn a_name_too_long_for_one_directory_is_named_and_the_rest_goes_on() {
    let long = format!("{0}/{0}", "x".repeat(200));
    let world = empty(&Profile::qresync(), Layout::MaildirPlusPlus);
    there(&world, &long, "1");
    there(&world, "Work", "2");
    let report = sync(&world);
    assert!(report.skipped.iter().any(|skip| skip.what == long && skip.why.contains("too long")));
    assert_eq!(world.local()["Work"].len(), 1);
    // Nor is it gone: the server keeps it, run after run.
    sync(&world);
    assert_eq!(world.server.list(&long).len(), 1);
}

#[test]
fn directories_of_other_programs_in_a_maildirpp_root_are_left_alone() {
    let world = mirrored(Layout::MaildirPlusPlus);
    for dir in [".git/objects", ".notmuch/xapian", "attachments/old"] {
        world.fs.mkdir_all(format!("{ROOT}/{dir}"));
    }
    agree(&world);
    // One that could be taken for a mailbox is named.
    world.fs.mkdir_all(format!("{ROOT}/Strange/cur"));
    world.fs.mkdir_all(format!("{ROOT}/Strange/new"));
    let report = sync(&world);
    assert!(report.skipped.iter().any(|skip| skip.why.contains("begins with a dot")), "{report:?}");
    assert!(!world.server.mailboxes().contains(&"Strange".to_owned()));
}
