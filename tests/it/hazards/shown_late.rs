//! Messages that a server said it added, under a UID that it named, and shows only later.

use kit::imap::{Fault, Injected, Profile, When};
use kit::world::World;

use super::{agreed_on, here, rungs, sent, settle, sync, there};
use crate::scenarios::{rename, stem, with_text, write};

const NEW: &str = "Message-ID: <new>\nSubject: new\n\nfreshly written\n";

/// What is added is hidden until the server is told to show it.
fn hides(world: &World) -> Injected {
    world.server.inject(Fault::HideAddition, When::always())
}

/// As Stalwart: until a mailbox is selected.
fn hides_until_selected(world: &World) -> Injected {
    let server = world.server.clone();
    world.on_command(move |line| {
        if line.starts_with("SELECT") || line.starts_with("EXAMINE") {
            server.finish_late();
        }
    });
    hides(world)
}

fn one(world: &World, mailbox: &str, text: &str, what: &str) {
    let count = (there(world, mailbox, text), here(world, mailbox, text));
    assert_eq!(count, (1, 1), "{what}: {:?} {:?}", world.remote(), world.local());
}

#[test]
fn hazard_134_an_upload_that_is_shown_when_its_mailbox_is_selected_again_is_one_message() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        write(&world, "INBOX/cur/new:2,S", NEW);
        let hidden = hides_until_selected(&world);
        let report = sync(&world);
        assert_eq!((hidden.hits(), report.skipped), (1, Vec::new()));
        assert_eq!(sent(&world, "UID FETCH 5 (UID BODY.PEEK[])").len(), 0, "it is known");
        one(&world, "INBOX", "freshly", "shown in the same run");
        assert_eq!(sync(&world).done(), 0);
    }
}

/// What happens to the file before its message is shown, and where the message ends.
type Act = (&'static str, fn(&World), Option<(&'static str, &'static str)>);

#[test]
fn hazard_134_an_upload_that_is_shown_by_a_later_run_is_one_message() {
    let acts: [Act; 5] = [
        ("nothing", |_| {}, Some(("INBOX", "freshly written"))),
        (
            "moved",
            |world| {
                let file = with_text(world, "INBOX", "freshly");
                rename(world, &file, "Work/cur/filed:2,FS");
            },
            Some(("Work", "freshly written")),
        ),
        (
            "edited",
            |world| {
                let file = with_text(world, "INBOX", "freshly");
                world.fs.delete_file(file);
                let text = NEW.replace("freshly written", "freshly rewritten, and longer");
                write(world, "INBOX/cur/edited:2,S", &text);
            },
            Some(("INBOX", "freshly rewritten")),
        ),
        (
            "flagged",
            |world| {
                let file = with_text(world, "INBOX", "freshly");
                rename(world, &file, &format!("INBOX/cur/{}:2,FS", stem(&file)));
            },
            Some(("INBOX", "freshly written")),
        ),
        ("deleted", |world| world.fs.delete_file(with_text(world, "INBOX", "freshly")), None),
    ];
    for profile in rungs() {
        for (what, act, place) in &acts {
            // A look that does not show it yet, or none.
            let runs = if profile.uidplus { [2, 0] } else { [1, 1] };
            for runs in runs.into_iter().take(1 + usize::from(*what == "moved")) {
                let world = agreed_on(&profile);
                write(&world, "INBOX/cur/new:2,S", NEW);
                let hidden = hides(&world);
                let report = sync(&world);
                let named =
                    report.skipped.iter().any(|skip| skip.why.contains("the server accepted "));
                assert!(named && hidden.hits() == 1, "{:?}", report.skipped);
                act(&world);
                for _ in 0..runs {
                    sync(&world);
                }
                assert!(world.server.finish_late() > 0);
                world.server.withdraw(&hidden);
                settle(&world);
                let count = |text| ["INBOX", "Work"].map(|name| there(&world, name, text));
                match place {
                    Some((mailbox, text)) => {
                        one(&world, mailbox, text, &format!("{what}, {runs} runs"));
                        assert_eq!(count("freshly").iter().sum::<usize>(), 1, "{what} {runs}");
                    }
                    None => assert_eq!(count("freshly"), [0, 0], "{what}, {runs} runs"),
                }
                let expected = match *what {
                    // What it became is another message.
                    "edited" => 2,
                    _ => 1,
                };
                assert_eq!(sent(&world, "APPEND").len(), expected, "{what}, {runs} runs");
            }
        }
    }
}

#[test]
fn hazard_134_what_was_moved_here_and_is_shown_late_at_its_new_place_stays_there() {
    for profile in [Profile::qresync(), Profile { move_: false, ..Profile::qresync() }] {
        for in_run in [true, false] {
            let world = agreed_on(&profile);
            let file = with_text(&world, "INBOX", "text 1");
            rename(&world, &file, &format!("Work/cur/{}:2,FS", stem(&file)));
            let hidden = if in_run { hides_until_selected(&world) } else { hides(&world) };
            sync(&world);
            assert_eq!(hidden.hits(), 1);
            assert_eq!(here(&world, "Work", "text 1"), 1, "its file stays");
            world.server.finish_late();
            world.server.withdraw(&hidden);
            settle(&world);
            one(&world, "Work", "text 1", "moved");
            assert_eq!(there(&world, "INBOX", "text 1") + there(&world, "Trash", "text 1"), 0);
            assert_eq!(super::flags(&world, "Work", "text 1"), ["\\Flagged", "\\Seen"]);
        }
    }
}

#[test]
fn hazard_134_what_another_client_removes_before_it_is_seen_is_removed_here() {
    // Without UIDPLUS nothing tells that it was ever there.
    for profile in rungs().into_iter().filter(|profile| profile.uidplus) {
        let world = agreed_on(&profile);
        write(&world, "INBOX/cur/new:2,S", NEW);
        let server = world.server.clone();
        world.on_command(move |line| {
            let list = server.list("INBOX");
            let new = list.iter().find(|m| m.body.ends_with(b"freshly written\r\n"));
            if let Some(new) = new.filter(|_| line.starts_with("LIST")) {
                server.expunge("INBOX", &[new.uid]);
            }
        });
        settle(&world);
        assert_eq!((there(&world, "INBOX", "freshly"), here(&world, "INBOX", "freshly")), (0, 0));
    }
}

/// At once, so that no look ever shows it, also where nothing tells under which number it was.
#[test]
fn hazard_164_what_another_client_takes_away_before_it_is_seen_comes_to_rest() {
    for profile in rungs() {
        for moves in [false, true] {
            let world = agreed_on(&profile);
            write(&world, "INBOX/cur/new:2,S", NEW);
            let server = world.server.clone();
            world.on_command(move |_| {
                let list = server.list("INBOX");
                if let Some(new) = list.iter().find(|m| m.body.ends_with(b"freshly written\r\n")) {
                    server.expunge("INBOX", &[new.uid]);
                    if moves {
                        server.append("Work", &new.body, &["\\Seen"], Some(new.date));
                    }
                }
            });
            let mut last = sync(&world);
            for _ in 0..8 {
                last = sync(&world);
            }
            assert!(last.skipped.is_empty() && last.done() == 0, "{last:?} {profile:?}");
            let count = |name| (there(&world, name, "freshly"), here(&world, name, "freshly"));
            let expected = if moves { (1, 1) } else { (0, 0) };
            assert_eq!((count("INBOX"), count("Work")), ((0, 0), expected), "{profile:?}");
            assert_eq!(sent(&world, "APPEND").len(), 1, "{profile:?}");
        }
    }
}

/// Another client saves another version of it, as long and under the same header.
#[test]
fn hazard_166_an_upload_that_is_edited_there_before_it_is_seen_is_not_what_was_sent() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        write(&world, "INBOX/cur/new:2,S", NEW);
        let server = world.server.clone();
        world.on_command(move |_| {
            let list = server.list("INBOX");
            if let Some(new) = list.iter().find(|m| m.body.ends_with(b"freshly written\r\n")) {
                let text = String::from_utf8_lossy(&new.body).replace("written", "WRITTEN");
                server.expunge("INBOX", &[new.uid]);
                server.append("INBOX", text.as_bytes(), &["\\Seen"], Some(new.date));
            }
        });
        for _ in 0..9 {
            sync(&world);
        }
        let count = |text| (there(&world, "INBOX", text), here(&world, "INBOX", text));
        let both = (count("freshly written"), count("freshly WRITTEN"));
        assert_eq!(both, ((0, 0), (1, 1)), "{profile:?}");
        assert_eq!(sent(&world, "APPEND").len(), 1, "{profile:?}");
    }
}

/// Each of them is shown after one run: none is missed for as long as it takes.
#[test]
fn hazard_164_what_is_shown_late_again_and_again_is_never_gone() {
    for profile in rungs() {
        let world = agreed_on(&profile);
        for n in 0..5 {
            let text = format!("Message-ID: <late{n}>\nSubject: {n}\n\nlate {n}\n");
            write(&world, &format!("INBOX/cur/late{n}:2,S"), &text);
            let hidden = hides(&world);
            sync(&world);
            assert!(world.server.finish_late() > 0);
            world.server.withdraw(&hidden);
            let report = sync(&world);
            assert_eq!((report.removed_local, report.pulled), (0, 0), "{n} {profile:?}");
            one(&world, "INBOX", &format!("late {n}"), "shown");
        }
        settle(&world);
        assert_eq!(sent(&world, "APPEND").len(), 5, "{profile:?}");
    }
}
