//! A hold is state (hazard 60), and the guard counts what was known within a day (hazard 61).

use kit::world::{ROOT, World};
use mailtide::mail::bring_back;
use mailtide::reconcile::GuardLimits;
use mailtide::reconcile::hold::Direction::{self, FromLocal, FromRemote};
use mailtide::state::{Hold, HoldState};

use super::{agreed, filled, here, make_mailbox, settle, sync, there};
use crate::scenarios::{files, rename, with_text, write};

const SIDES: [Direction; 2] = [FromRemote, FromLocal];

/// Something that happens while messages are held.
type Act = fn(&mut World);

/// Removes messages of a mailbox, by number, so that they would leave that side.
fn leave(world: &World, side: Direction, mailbox: &str, numbers: impl Iterator<Item = u32>) {
    for n in numbers {
        let text = format!("number {n}.");
        match side {
            FromRemote => world.fs.delete_file(with_text(world, mailbox, &text)),
            FromLocal => {
                let uid = super::uid(world, mailbox, &text);
                world.server.expunge(mailbox, &[uid]);
            }
        }
    }
}

fn message(mailbox: &str, n: u32) -> String {
    format!("Message-ID: <{mailbox}.{n}>\r\n\r\nnumber {n}.\r\n")
}

fn holds(world: &World) -> Vec<Hold> {
    world.asked(|store| store.holds())
}

fn answer(world: &World, hold: &Hold, state: HoldState) {
    world.asked(|store| {
        store.transaction(|tx| {
            tx.set_hold_state(&hold.id, state)?;
            if state == HoldState::Rejected {
                bring_back(tx, hold)?;
                tx.delete_hold(&hold.id)?;
            }
            Ok(())
        })
    });
}

/// What the side that the messages would leave still has of `Lists`.
fn kept(world: &World, side: Direction) -> usize {
    match side {
        FromRemote => there(world, "Lists", "number"),
        FromLocal => here(world, "Lists", "number"),
    }
}

/// Thirty messages of `Lists` that are gone from the other side, and held.
fn held(side: Direction) -> (World, Hold) {
    let world = agreed();
    filled(&world, "Lists", 30);
    leave(&world, side, "Lists", 0..30);
    sync(&world);
    let [hold] = &holds(&world)[..] else { panic!("{side:?}: {:?}", holds(&world)) };
    assert_eq!((hold.rows.len(), hold.direction, kept(&world, side)), (30, side, 30));
    (world, hold.clone())
}

fn limits(world: &mut World, percent: u64, messages: u64) {
    world.configure(move |settings| {
        settings.guard = GuardLimits { percent, messages, always: messages };
    });
}

#[test]
fn hazard_60_a_held_row_stays_held_whatever_happens_beside_it() {
    let beside: [(&str, Act); 9] = [
        ("nothing", |_| {}),
        ("new mail", |world| {
            world.server.append("Lists", b"Message-ID: <n>\r\n\r\nnew\r\n", &[], Some(5));
        }),
        ("new mail elsewhere", |world| {
            world.server.append("INBOX", b"Message-ID: <n>\r\n\r\nnew\r\n", &[], Some(5));
        }),
        ("a new file", |world| write(world, "Lists/cur/n:2,S", "Message-ID: <n>\n\nnew\n")),
        ("a new mailbox", |world| make_mailbox(world, "Made")),
        ("another deletion", |world| {
            world.fs.delete_file(with_text(world, "INBOX", "text 1"));
        }),
        ("higher limits", |world| limits(world, 100, 1_000_000)),
        ("lower limits", |world| limits(world, 1, 1)),
        ("two days", |world| {
            world.fs.set_clock(world.fs.clock() + 2 * 86_400 * 1_000_000_000);
        }),
    ];
    for side in SIDES {
        for (what, act) in &beside {
            let (mut world, hold) = held(side);
            act(&mut world);
            for _ in 0..3 {
                sync(&world);
                assert_eq!(kept(&world, side), 30, "{side:?}, {what}");
                let now = holds(&world);
                assert_eq!(now.len(), 1, "{side:?}, {what}: {now:?}");
                assert_eq!((&now[0].id, &now[0].rows), (&hold.id, &hold.rows), "{what}");
            }
            // The answer still is for these.
            answer(&world, &hold, HoldState::Approved);
            sync(&world);
            assert_eq!(kept(&world, side), 0, "{side:?}, {what}");
            settle(&world);
            assert!(holds(&world).is_empty(), "{side:?}, {what}");
        }
    }
}

#[test]
fn hazard_60_what_comes_back_leaves_the_rest_held_under_the_same_id() {
    for side in SIDES {
        let (world, hold) = held(side);
        for n in 0..15 {
            let text = message("Lists", n);
            match side {
                FromRemote => {
                    let file = format!("{ROOT}/Lists/cur/back.{n}:2,S");
                    world.fs.write_file(file, text.replace('\r', "").as_bytes());
                }
                FromLocal => {
                    let date = 1000 + i64::from(n);
                    world.server.append("Lists", text.as_bytes(), &["\\Seen"], Some(date));
                }
            }
        }
        for _ in 0..3 {
            sync(&world);
        }
        let now = holds(&world);
        assert_eq!((now.len(), &now[0].id, now[0].rows.len()), (1, &hold.id, 15), "{side:?}");
        assert_eq!(kept(&world, side), 30, "{side:?}");
        answer(&world, &now[0], HoldState::Rejected);
        settle(&world);
        assert_eq!((here(&world, "Lists", "number"), there(&world, "Lists", "number")), (30, 30));
        assert!(holds(&world).is_empty());
    }
}

#[test]
fn hazard_60_an_approval_never_covers_what_was_not_shown() {
    for side in SIDES {
        let world = agreed();
        filled(&world, "Lists", 100);
        leave(&world, side, "Lists", 0..60);
        sync(&world);
        let first = holds(&world).remove(0);
        leave(&world, side, "Lists", 60..70);
        sync(&world);
        let now = holds(&world);
        assert_eq!((now.len(), now[0].rows.len()), (1, 70), "{side:?}");
        assert_ne!(now[0].id, first.id);
        let replaced = world.asked(|store| store.replacement(&first.id));
        assert_eq!(replaced, Some((now[0].id.clone(), 10)), "{side:?}");
        // A further one: both old ids lead to the last.
        leave(&world, side, "Lists", 70..71);
        sync(&world);
        let last = holds(&world).remove(0);
        let ask = |id: &str| world.asked(|store| store.replacement(id));
        assert_eq!(ask(&first.id), Some((last.id.clone(), 11)));
        assert_eq!(ask(&now[0].id), Some((last.id.clone(), 1)));
        answer(&world, &last, HoldState::Approved);
        leave(&world, side, "Lists", 71..72);
        sync(&world);
        assert_eq!(kept(&world, side), 28, "{side:?}: one in a day is no surprise");
        settle(&world);
        assert_eq!(ask(&first.id), None, "forgotten with the last one");
    }
}

#[test]
fn hazard_60_a_row_that_came_back_is_not_covered_by_an_old_approval() {
    let (world, hold) = held(FromRemote);
    // The server lets none go, so that the approval stays open.
    let fault = kit::imap::Fault::No("not now".to_owned());
    let no = world.server.inject(fault, kit::imap::When::verb("UID MOVE"));
    answer(&world, &hold, HoldState::Approved);
    let text = message("Lists", 3).replace('\r', "");
    world.fs.write_file(format!("{ROOT}/Lists/cur/back:2,S"), text.as_bytes());
    sync(&world);
    world.server.withdraw(&no);
    let left = holds(&world);
    assert!(left.iter().all(|hold| hold.rows.len() == 29), "{left:?}");
}

#[test]
fn hazard_60_a_rejected_hold_brings_back_what_is_still_gone_and_nothing_else() {
    for side in SIDES {
        let (world, hold) = held(side);
        answer(&world, &hold, HoldState::Rejected);
        let mail = settle(&world);
        assert_eq!(mail["Lists"].len(), 30, "{side:?}");
        assert!(holds(&world).is_empty());
    }
}

#[test]
fn hazard_60_flags_and_copies_are_held_and_rejected_in_their_own_way() {
    let world = agreed();
    filled(&world, "Lists", 60);
    for file in files(&world, "Lists") {
        let name = file.file_name().unwrap().to_string_lossy().replace(":2,S", ":2,");
        rename(&world, &file, &format!("Lists/cur/{name}"));
    }
    sync(&world);
    world.server.append("Lists", b"Message-ID: <n>\r\n\r\nnew\r\n", &["\\Seen"], Some(5));
    sync(&world);
    let hold = holds(&world).remove(0);
    assert_eq!((hold.rows.len(), hold.reason.kind()), (60, mailtide::reconcile::hold::Kind::Flags));
    assert!(world.server.list("Lists").iter().all(|m| m.flags.contains("\\Seen")));
    answer(&world, &hold, HoldState::Rejected);
    settle(&world);
    assert!(world.server.list("Lists").iter().all(|m| m.flags.contains("\\Seen")));
    assert!(holds(&world).is_empty());
    // Another engine doubles what it sees.
    for n in 0..5 {
        write(
            &world,
            &format!("INBOX/cur/copy.{n}:2,S"),
            "Message-ID: <1>\nSubject: 1\n\ntext 1\n",
        );
    }
    for _ in 0..2 {
        sync(&world);
    }
    let hold = holds(&world).remove(0);
    assert_eq!((hold.rows.len(), there(&world, "INBOX", "text 1")), (5, 1));
    answer(&world, &hold, HoldState::Rejected);
    for _ in 0..3 {
        sync(&world);
    }
    assert!(holds(&world).is_empty());
    assert_eq!((here(&world, "INBOX", "text 1"), there(&world, "INBOX", "text 1")), (6, 1));
}

#[test]
fn hazard_61_a_trickle_is_caught_at_the_moment_it_empties_the_mailbox() {
    for side in SIDES {
        for arrives in [false, true] {
            let world = agreed();
            filled(&world, "Lists", 30);
            for n in 0..30 {
                leave(&world, side, "Lists", n..=n);
                if arrives {
                    let text = format!("Message-ID: <n{n}>\r\n\r\nfresh {n}\r\n");
                    world.server.append("Lists", text.as_bytes(), &[], Some(5));
                }
                sync(&world);
            }
            let now = holds(&world);
            assert_eq!((now.len(), kept(&world, side)), (1, 1), "{side:?}, {arrives}: {now:?}");
        }
    }
}

#[test]
fn hazard_61_what_arrives_with_the_departure_is_not_what_is_left() {
    for side in SIDES {
        for twice in [false, true] {
            let world = agreed();
            filled(&world, "Lists", 30);
            leave(&world, side, "Lists", 0..30);
            world.server.append("Lists", b"Message-ID: <n>\r\n\r\nfresh\r\n", &[], Some(5));
            write(&world, "Lists/cur/m:2,S", "Message-ID: <m>\n\nwritten\n");
            sync(&world);
            if twice {
                sync(&world);
            }
            assert_eq!((holds(&world).len(), kept(&world, side)), (1, 30), "{side:?}");
        }
    }
}

#[test]
fn hazard_61_both_sides_together_empty_a_mailbox() {
    let world = agreed();
    filled(&world, "Lists", 30);
    leave(&world, FromLocal, "Lists", 0..15);
    sync(&world);
    assert!(holds(&world).is_empty());
    leave(&world, FromRemote, "Lists", 15..30);
    sync(&world);
    let now = holds(&world);
    assert_eq!((now.len(), now[0].rows.len(), there(&world, "Lists", "number")), (1, 15, 15));
}

#[test]
fn hazard_61_clearing_what_came_today_is_no_emptying() {
    let world = agreed();
    filled(&world, "Lists", 5);
    for n in 100..124 {
        let text = message("Lists", n);
        world.server.append("Lists", text.as_bytes(), &["\\Seen"], Some(5));
        settle(&world);
        leave(&world, FromRemote, "Lists", n..=n);
        settle(&world);
        assert!(holds(&world).is_empty(), "{n}: {:?}", holds(&world));
    }
    leave(&world, FromRemote, "Lists", 0..5);
    settle(&world);
    assert!(holds(&world).is_empty(), "{:?}", holds(&world));
}

#[test]
fn hazard_61_limits_mean_what_they_say() {
    let check = |percent, messages, always, gone: u32, is_held: bool| {
        let mut world = agreed();
        filled(&world, "Lists", 40);
        world.configure(move |settings| {
            settings.guard = GuardLimits { percent, messages, always };
        });
        leave(&world, FromRemote, "Lists", 0..gone);
        sync(&world);
        let now = holds(&world);
        let what = format!("{percent} %, {messages}, {always}: {gone}");
        assert_eq!(!now.is_empty(), is_held, "{what}: {now:?}");
        assert_eq!(kept(&world, FromRemote) == 40, is_held, "{what}");
    };
    check(20, 1000, 50, 39, false);
    check(20, 1000, 50, 40, true);
    check(10, 1000, 0, 4, false);
    check(10, 1000, 0, 5, true);
    check(1, 10, 0, 1, false);
    check(1, 10, 0, 2, true);
    check(20, 10, 50, 10, false);
    check(20, 10, 50, 11, true);
    check(0, 1000, 0, 1, true);
    check(20, 0, 50, 1, true);
    check(100, 1_000_000, 0, 39, false);
}

#[test]
fn hazard_60_a_crash_anywhere_keeps_the_hold_or_makes_it_again() {
    for side in SIDES {
        let prepare = || {
            let world = agreed();
            filled(&world, "Lists", 30);
            leave(&world, side, "Lists", 0..30);
            world.wait();
            world
        };
        let (_, points) = prepare().run_until(0);
        for end in 1..=points {
            let world = prepare();
            let _ = world.run_until(end);
            world.server.append("Lists", b"Message-ID: <n>\r\n\r\nfresh\r\n", &[], Some(5));
            sync(&world);
            sync(&world);
            assert_eq!((holds(&world).len(), kept(&world, side)), (1, 30), "{side:?}, {end}");
        }
    }
}
