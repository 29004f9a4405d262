//! Runs over some mailboxes, while one message is moved here and there in between.

use kit::imap::Profile;
use kit::world::World;

use super::{agreed_on, here, make_mailbox, rungs, settle, sync, there, uid};
use crate::scenarios::{rename, stem, with_text};

const TEXT: &str = "text 1";
const MAILBOXES: [&str; 3] = ["INBOX", "Work", "Trash"];

/// What happens: a move here or there to one of two mailboxes, or a run over one or all.
fn act(world: &World, step: char) {
    match step {
        'i' | 'w' => {
            let (from, to) = if step == 'w' { ("INBOX", "Work") } else { ("Work", "INBOX") };
            if here(world, from, TEXT) > 0 {
                let file = with_text(world, from, TEXT);
                let name = format!("{to}/cur/{}{step}:2,S", stem(&file));
                rename(world, &file, &name);
            }
        }
        'I' | 'W' => {
            let (from, to) = if step == 'W' { ("INBOX", "Work") } else { ("Work", "INBOX") };
            let list = world.server.list(from);
            let found = list.iter().find(|m| String::from_utf8_lossy(&m.body).contains(TEXT));
            if let Some(message) = found {
                world.server.mv(from, message.uid, to);
            }
        }
        '1' | '2' => {
            world.wait();
            let name = if step == '1' { "INBOX" } else { "Work" };
            world.sync_only(&[name]).1.expect("a run");
        }
        _ => drop(sync(world)),
    }
}

fn try_steps(profile: &Profile, steps: &str) -> Result<(), String> {
    let world = agreed_on(profile);
    steps.chars().for_each(|step| act(&world, step));
    for _ in 0..4 {
        sync(&world);
    }
    let count = MAILBOXES.map(|m| (there(&world, m, TEXT), here(&world, m, TEXT)));
    let sum = count.iter().fold((0, 0), |sum, n| (sum.0 + n.0, sum.1 + n.1));
    let agree = world.remote() == world.local();
    let in_trash = count[2] != (0, 0);
    if sum != (1, 1) || !agree || in_trash {
        return Err(format!("{steps}: {count:?}"));
    }
    Ok(())
}

/// i, w: moved here to INBOX, to Work; I, W: the same on the server; 1, 2, a: a run over INBOX,
/// over Work, over all.
const STEPS: [&str; 16] = [
    "wWIa", "wWI1", "wWI2", "wW1I", "w1WI", "WwI1", "Ww1I", "WIw2", "WI2w", "W1Iw", "w22W", "Iw2W",
    "w1W2", "w2W1", "W1w2", "w1W2I1",
];

#[test]
fn hazard_139_moved_here_and_there_between_runs_over_some_mailboxes() {
    for profile in [Profile::qresync(), Profile::plain()] {
        let failed: Vec<String> =
            STEPS.iter().filter_map(|steps| try_steps(&profile, steps).err()).collect();
        assert!(failed.is_empty(), "{:?}: {failed:#?}", profile.modseq);
    }
}

/// Files and messages of this text, in all mailboxes.
fn everywhere(world: &World, text: &str) -> (usize, usize) {
    let names = world.server.mailboxes();
    let remote = names.iter().map(|name| there(world, name, text)).sum();
    (remote, names.iter().map(|name| here(world, name, text)).sum())
}

#[test]
fn hazard_174_a_run_over_one_mailbox_uploads_nothing_that_was_moved_there() {
    let only = |world: &World, mailbox: &str| {
        world.wait();
        drop(world.sync_only(&[mailbox]));
    };
    for profile in rungs() {
        // Moved there to one mailbox, and here to another.
        let world = agreed_on(&profile);
        let file = with_text(&world, "INBOX", TEXT);
        world.server.mv("INBOX", uid(&world, "INBOX", TEXT), "Work");
        make_mailbox(&world, "New");
        rename(&world, &file, "New/cur/moved:2,S");
        only(&world, "New");
        settle(&world);
        assert_eq!(everywhere(&world, TEXT), (1, 1), "moved {profile:?}");
        // Its mailbox got another name there.
        let world = agreed_on(&profile);
        let file = with_text(&world, "Work", "text 8");
        world.server.rename_mailbox("Work", "Renamed");
        rename(&world, &file, "INBOX/cur/moved:2,S");
        only(&world, "INBOX");
        only(&world, "INBOX");
        settle(&world);
        assert_eq!(everywhere(&world, "text 8"), (1, 1), "renamed there {profile:?}");
        // Its mailbox got another name on both sides.
        let world = agreed_on(&profile);
        world.server.rename_mailbox("Work", "There");
        world.fs.move_file(world.dir_of("Work"), world.dir_of("Here"));
        only(&world, "Here");
        only(&world, "Here");
        settle(&world);
        for text in ["text 8", "text 9"] {
            assert_eq!(everywhere(&world, text), (1, 1), "renamed here and there {profile:?}");
        }
    }
}
