//! Wrong holds, blindness, refusals, and what must survive a power cut.

use std::sync::{Arc, Mutex};

use kit::imap::{Fault, When};
use kit::world::{ROOT, World};
use mailtide::reconcile::OnLocalDelete;
use mailtide::reconcile::types::{Journal, MailboxName};
use mailtide::state::{HoldState, Store};

use super::{agreed, agreed_on, filled, here, make_mailbox, rungs, sent, settle, sync, there, uid};
use crate::scenarios::{files, rename, with_text, write};

fn holds(world: &World) -> Vec<String> {
    world.asked(|store| store.holds()).into_iter().map(|hold| hold.id).collect()
}

fn approve(world: &World, id: &str) {
    world.asked(|store| store.transaction(|tx| tx.set_hold_state(id, HoldState::Approved)));
}

#[test]
fn hazard_35_what_people_do_every_day_is_not_held() {
    let world = agreed();
    filled(&world, "Trash", 100);
    filled(&world, "Lists", 100);
    filled(&world, "Test", 19);
    // The trash is emptied, a small mailbox too, a large one filed elsewhere, the last mail
    // in INBOX deleted.
    let delete =
        |mailbox: &str| files(&world, mailbox).iter().for_each(|f| world.fs.delete_file(f));
    delete("Trash");
    delete("Test");
    delete("INBOX");
    make_mailbox(&world, "Archive");
    for (n, file) in files(&world, "Lists").iter().enumerate() {
        rename(&world, file, &format!("Archive/cur/filed.{n}:2,S"));
    }
    settle(&world);
    assert!(holds(&world).is_empty());
    assert_eq!(there(&world, "Archive", "number"), 100);
    assert!(world.server.list("INBOX").is_empty() && world.server.list("Test").is_empty());
}

#[test]
fn hazard_35_an_answer_is_for_exactly_those_rows() {
    let world = agreed();
    filled(&world, "Lists", 30);
    let mut left = files(&world, "Lists");
    left.drain(..).for_each(|file| world.fs.delete_file(file));
    sync(&world);
    let held = holds(&world);
    assert_eq!((held.len(), world.server.list("Lists").len()), (1, 30));
    approve(&world, &held[0]);
    filled_more(&world);
    sync(&world);
    assert!(world.server.list("Lists").len() < 30, "the answer was for these");
    assert_eq!(there(&world, "Lists", "more"), 5);
}

fn filled_more(world: &World) {
    for n in 0..5 {
        let text = format!("Message-ID: <more.{n}>\r\n\r\nmore {n}.\r\n");
        world.server.append("Lists", text.as_bytes(), &["\\Seen"], Some(5));
    }
}

#[test]
fn hazard_35_a_hold_dissolves_when_it_is_explained() {
    let world = agreed();
    filled(&world, "Lists", 30);
    let kept: Vec<_> = files(&world, "Lists")
        .into_iter()
        .map(|file| (file.clone(), world.fs.read_file(&file).unwrap()))
        .collect();
    kept.iter().for_each(|(file, _)| world.fs.delete_file(file));
    sync(&world);
    assert_eq!(holds(&world).len(), 1);
    // They turn up again, elsewhere: it was a slow move.
    make_mailbox(&world, "Archive");
    for (n, (_, bytes)) in kept.iter().enumerate() {
        world.fs.write_file(format!("{ROOT}/Archive/cur/moved.{n}:2,S"), bytes);
    }
    settle(&world);
    assert!(holds(&world).is_empty());
    assert_eq!((there(&world, "Archive", "number"), there(&world, "Lists", "number")), (30, 0));
    assert_eq!(sent(&world, "APPEND").len(), 0);
}

#[test]
fn hazard_36_the_state_of_mailboxes_is_asked_with_none_selected() {
    for profile in rungs() {
        // A selected mailbox is shown as it was when it was selected.
        let world = agreed_on(&profile);
        assert!(world.server.profile().blind_status);
        write(&world, "INBOX/cur/new:2,S", "Message-ID: <n>\n\nfresh\n");
        rename(&world, &with_text(&world, "INBOX", "text 1"), "Work/cur/filed:2,S");
        let (server, mut once) = (world.server.clone(), Some(()));
        world.on_command(move |line| {
            if line.starts_with("APPEND") && once.take().is_some() {
                server.append("INBOX", b"Message-ID: <m>\r\n\r\nmeanwhile\r\n", &[], Some(5));
            }
        });
        sync(&world);
        assert_eq!(here(&world, "INBOX", "meanwhile"), 1, "seen by the same run");
        let asked = sent(&world, "LIST").into_iter().chain(sent(&world, "STATUS"));
        assert!(asked.clone().count() > 1);
        assert!(asked.into_iter().all(|command| command.selected.is_none()));
    }
}

#[test]
fn hazard_38_what_the_server_does_not_let_go_is_neither_forgotten_nor_fetched_again() {
    for profile in rungs() {
        let mut world = agreed_on(&profile);
        world.configure(|settings| settings.on_local_delete = OnLocalDelete::Expunge);
        world.fs.delete_file(with_text(&world, "INBOX", "text 1"));
        world.server.inject(Fault::KeepExpunged(vec![]), When::always());
        for _ in 0..6 {
            sync(&world);
        }
        assert_eq!((there(&world, "INBOX", "text 1"), here(&world, "INBOX", "text 1")), (1, 0));
        let tries = sent(&world, "UID STORE").len();
        assert!((1..=3).contains(&tries), "{tries} tries");
        assert_eq!(world.set_aside(), ["EXPUNGE did not remove the message"]);
    }
}

#[test]
fn hazard_42_a_mailbox_that_list_leaves_out_is_not_gone() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        world.server.inject(Fault::OmitFromList("Work".into()), When::always());
        for _ in 0..3 {
            sync(&world);
            assert_eq!((here(&world, "Work", "text 8"), there(&world, "Work", "text 8")), (1, 1));
        }
        world.server.heal();
        assert_eq!(settle(&world).len(), 3);
    }
}

#[test]
fn hazard_43_a_changed_configuration_removes_nothing() {
    for profile in rungs() {
        let mut world = agreed_on(&profile);
        world.configure(|settings| {
            settings.selects = Arc::new(|name| *name != MailboxName::new("Work"));
            settings.scope = "without Work".to_owned();
        });
        for _ in 0..2 {
            sync(&world);
        }
        assert_eq!((here(&world, "Work", "text 8"), there(&world, "Work", "text 8")), (1, 1));
        // Filed where nothing is mirrored: it goes there on the server too.
        let file = with_text(&world, "INBOX", "text 1");
        rename(&world, &file, "Work/cur/filed:2,S");
        for _ in 0..2 {
            sync(&world);
        }
        assert_eq!((there(&world, "INBOX", "text 1"), there(&world, "Work", "text 1")), (0, 1));
        // Mirrored again: all is paired, nothing doubled, and what went meanwhile comes back.
        world.server.expunge("Work", &[uid(&world, "Work", "text 9")]);
        world.configure(|settings| {
            settings.selects = Arc::new(|_| true);
            settings.scope = "all".to_owned();
        });
        let mail = settle(&world);
        assert_eq!(mail["Work"].len(), 3);
    }
}

#[test]
fn hazard_45_the_local_trash_is_no_maildir_and_keeps_for_a_week() {
    let world = agreed();
    let day = 24 * 3600 * 1_000_000_000;
    let trash = || -> Vec<_> {
        let tree = world.fs.tree().into_iter();
        tree.filter(|(path, _)| path.starts_with(format!("{ROOT}/.mailtide/trash"))).collect()
    };
    let bytes = world.fs.read_file(with_text(&world, "INBOX", "text 1")).unwrap();
    world.server.expunge("INBOX", &[uid(&world, "INBOX", "text 1")]);
    settle(&world);
    let kept = trash();
    assert!(kept.iter().any(|(_, file)| file.as_ref() == Some(&bytes)), "as it was");
    let is_maildir = |path: &std::path::Path| path.ends_with("cur") || path.ends_with("new");
    assert!(!kept.iter().any(|(path, _)| is_maildir(path)));
    for _ in 0..6 {
        world.fs.set_clock(world.fs.clock() + day);
        sync(&world);
    }
    assert!(trash().iter().any(|(_, file)| file.as_ref() == Some(&bytes)), "after six days");
}

/// What each effect finds in the store when it begins.
#[test]
fn hazard_47_every_intent_is_written_before_its_effect() {
    for profile in rungs() {
        let mut world = agreed_on(&profile);
        write(&world, "INBOX/cur/new:2,S", "Message-ID: <n>\n\nfresh\n");
        rename(&world, &with_text(&world, "INBOX", "text 1"), "Work/cur/filed:2,S");
        world.fs.delete_file(with_text(&world, "INBOX", "text 2"));
        world.server.append("INBOX", b"Message-ID: <d>\r\n\r\ndown\r\n", &[], Some(5));
        let seen: Arc<Mutex<Vec<(String, bool)>>> = Arc::default();
        let store = world.store();
        let open = move |is: fn(&Journal) -> bool| {
            let store = Store::open_existing_readonly(&store).unwrap().unwrap();
            let rows = store.unsettled(None, 1000).unwrap();
            rows.iter().any(|row| is(&row.journal))
        };
        let (at_command, at_call) = (Arc::clone(&seen), Arc::clone(&seen));
        let look = open.clone();
        world.on_command(move |line| {
            let found = match line {
                l if l.starts_with("APPEND") => look(|j| matches!(j, Journal::Pushing { .. })),
                l if l.ends_with("\"Work\"") && l.starts_with("UID") => {
                    look(|j| matches!(j, Journal::Moving { .. }))
                }
                l if l.ends_with("\"Trash\"") && l.starts_with("UID") => {
                    look(|j| matches!(j, Journal::Trashing { .. }))
                }
                _ => return,
            };
            let effect = line.split(' ').next_back().unwrap_or_default().to_owned();
            let effect = if line.starts_with("APPEND") { "APPEND".to_owned() } else { effect };
            at_command.lock().unwrap().push((effect, found));
        });
        world.on_call(move |call, path| {
            if call == "rename" && path.to_string_lossy().contains("/tmp/") {
                let found = open(|j| matches!(j, Journal::Placing { .. }));
                at_call.lock().unwrap().push(("rename".to_owned(), found));
            }
        });
        sync(&world);
        let seen = seen.lock().unwrap();
        for effect in ["APPEND", "\"Work\"", "\"Trash\"", "rename"] {
            let found = seen.iter().find(|(what, _)| what == effect);
            assert_eq!(found.map(|(_, written)| *written), Some(true), "{effect} of {seen:?}");
        }
    }
}

#[test]
fn hazard_50_what_a_run_wrote_survives_a_power_cut() {
    for count in [3, 150] {
        for seed in 0..4 {
            let world = agreed();
            filled(&world, "Lists", count);
            let before = world.local();
            world.fs.power_loss(seed);
            assert_eq!(world.local(), before, "{count} messages, seed {seed}");
            assert_eq!(sync(&world).done(), 0);
        }
    }
}
