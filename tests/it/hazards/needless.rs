//! What a connection was lost at, and what was carried out all the same.

use kit::imap::{Fault, Profile, When};
use kit::world::{ROOT, World};

use super::{agreed_on, sync};

/// A change of the Maildir that takes this command.
fn change(world: &World, verb: &str) {
    let path = |mailbox: &str| world.dir_of(mailbox).join("cur");
    let tree = world.fs.tree();
    let is_seen =
        |file: &&std::path::PathBuf| file.parent() == Some(&path("INBOX")) && tree[*file].is_some();
    let file = tree.keys().find(is_seen).expect("a file in INBOX").clone();
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let unique = name.split(":2,").next().unwrap();
    match verb {
        "UID STORE" => world.fs.move_file(&file, path("INBOX").join(format!("{unique}:2,FRS"))),
        "UID COPY" | "UID MOVE" => {
            world.fs.move_file(&file, path("Work").join(format!("{unique}:2,S")));
        }
        "CREATE" => ["cur", "new", "tmp"]
            .iter()
            .for_each(|part| world.fs.mkdir_all(format!("{ROOT}/Fresh/{part}"))),
        _ => world.fs.delete_file(&file),
    }
}

#[test]
fn hazard_99_what_was_done_though_its_answer_was_lost_is_named_no_more() {
    let plain = || Profile { move_: false, ..Profile::qresync() };
    for (verb, profile) in [
        ("UID STORE", Profile::qresync()),
        ("UID MOVE", Profile::qresync()),
        ("UID COPY", plain()),
        ("UID EXPUNGE", plain()),
        ("CREATE", Profile::qresync()),
    ] {
        for fault in [Fault::CutBefore, Fault::CutAfter, Fault::LoseTagged] {
            let world = agreed_on(&profile);
            change(&world, verb);
            let injected = world.server.inject(fault.clone(), When::verb(verb).nth(1));
            world.wait();
            let _ = world.sync();
            world.server.withdraw(&injected);
            sync(&world);
            let report = sync(&world);
            assert!(report.skipped.is_empty(), "{verb} {fault:?}: {:?}", report.skipped);
            assert_eq!(report.done(), 0, "{verb} {fault:?}");
            assert_eq!(world.remote(), world.local(), "{verb} {fault:?}");
        }
    }
}
