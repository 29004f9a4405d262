//! Servers and disks that do wrong: whatever they do, in whatever moment, a run ends, nothing
//! is lost on either side, and once it is over both sides agree.

mod disk;
mod server;

use kit::imap::Profile;
use kit::world::World;

use crate::scenarios::{Mail, Scenario, prepared, rename, stem, write};

/// Work of every kind at once, so that every command and every call is needed.
const EVERYTHING: Scenario = Scenario {
    name: "work of every kind at once",
    act: |world| {
        world.server.append("INBOX", b"Message-ID: <n1>\r\n\r\nnew there\r\n", &[], Some(9));
        world.server.append("There", b"Message-ID: <n2>\r\n\r\nnew, too\r\n", &[], Some(5));
        write(world, "INBOX/cur/here:2,S", "Message-ID: <n3>\n\nnew here\n");
        let uids: Vec<u32> = world.server.list("INBOX").iter().map(|m| m.uid).collect();
        world.server.set_flags("INBOX", uids[0], &["\\Flagged"], &[]);
        let work: Vec<u32> = world.server.list("Work").iter().map(|m| m.uid).collect();
        world.server.mv("Work", work[0], "Trash");
        let inbox = |n: &str| crate::scenarios::with_text(world, "INBOX", n);
        let (answered, filed, deleted) = (inbox("text 0"), inbox("text 1"), inbox("text 2"));
        rename(world, &answered, &format!("INBOX/cur/{}:2,RS", stem(&answered)));
        rename(world, &filed, &format!("Work/cur/{}:2,S", stem(&filed)));
        world.fs.delete_file(&deleted);
    },
};

fn world(profile: &Profile) -> World {
    prepared(profile, &EVERYTHING)
}

/// What both sides hold when nothing goes wrong, and a world to begin from again.
fn undisturbed(profile: &Profile) -> Mail {
    let world = world(profile);
    world.sync().1.expect("an undisturbed run");
    world.wait();
    world.sync().1.expect("a second one");
    assert_eq!(world.remote(), world.local());
    world.remote()
}
