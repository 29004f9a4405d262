//! Names of messages that are missing, change, or are those of several: content decides.

use kit::pop3::{Fault, Profile, Server, When};
use kit::world::World;
use mailtide::config::Keep;

use super::{brings, drop_of, inbox, message, messages, of, pull};

/// After each step every message that ever was on the server is here exactly once.
fn days(profile: &Profile, upset: &dyn Fn(&Server)) {
    for keep in [Keep::Forever, Keep::UntilPulled, Keep::Days(1)] {
        let (server, world) = drop_of(profile.clone(), 4, keep);
        let mut expected: Vec<u32> = (1..=4).collect();
        upset(&server);
        for day in 5..9 {
            pull(&world);
            assert_eq!(inbox(&world), of(messages(expected.clone())), "{keep:?}, day {day}");
            if server.messages().len() > 1 {
                server.remove(1);
            }
            server.deliver(message(day).as_bytes());
            expected.push(day);
            upset(&server);
            world.fs.set_clock(world.fs.clock() + super::DAY);
        }
        pull(&world);
        assert_eq!(inbox(&world), of(messages(expected)), "{keep:?}, at last");
        assert_eq!(pull(&world).pulled, 0);
    }
}

#[test]
fn names_that_all_change_every_day() {
    days(&Profile::default(), &Server::renew_uidls);
}

#[test]
fn a_server_without_names() {
    days(&Profile { uidl: false, ..Profile::default() }, &|_| {});
    days(&Profile { uidl: false, top: false, ..Profile::default() }, &|_| {});
    days(&Profile { uidl: false, ..Profile::plain() }, &|_| {});
}

#[test]
fn names_that_are_only_numbers() {
    let number = |server: &Server| {
        for (at, _) in server.messages().iter().enumerate() {
            server.set_uidl(at, Some(&(at + 1).to_string()));
        }
    };
    days(&Profile::default(), &number);
    days(&Profile { top: false, ..Profile::default() }, &number);
}

#[test]
fn names_that_are_those_of_several() {
    let same = |server: &Server| {
        let count = server.messages().len();
        (0..count)
            .for_each(|at| server.set_uidl(at, Some(if at % 2 == 0 { "even" } else { "odd" })));
    };
    days(&Profile::default(), &same);
    days(&Profile { top: false, ..Profile::default() }, &same);
}

#[test]
fn names_that_are_too_long_or_missing_here_and_there() {
    let odd = |server: &Server| {
        let messages = server.messages();
        for (at, message) in messages.iter().enumerate() {
            match (message.body.len() + at) % 3 {
                0 => server.set_uidl(at, None),
                1 => server.set_uidl(at, Some(&"x".repeat(2_000))),
                _ => {}
            }
        }
    };
    days(&Profile::default(), &odd);
}

/// A server that writes into the header whenever it gives a message, and then names them anew.
#[test]
fn a_header_that_is_another_each_time() {
    let (server, world) = drop_of(Profile::default(), 4, Keep::Forever);
    server.inject(Fault::AddHeader, When::verb("RETR"));
    brings(&world, 4);
    server.renew_uidls();
    server.deliver(message(5).as_bytes());
    brings(&world, 1);
    server.renew_uidls();
    brings(&world, 0);
    assert_eq!(inbox(&world).len(), 5);
}

/// What is here in other words than there is not deleted there.
#[test]
fn what_is_only_alike_stays_on_the_server() {
    let (server, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
    server.inject(Fault::AddHeader, When::verb("RETR"));
    brings(&world, 3);
    server.renew_uidls();
    world.pull(Keep::UntilPulled);
    for _ in 0..2 {
        let report = pull(&world);
        assert_eq!((report.pulled, report.removed_remote), (0, 0));
    }
    assert_eq!(server.messages().len(), 3);
}

/// Two equal messages are two, whatever becomes of their names.
#[test]
fn twins_are_two() {
    let server = Server::new(messages([1, 1, 2, 1]));
    let world = World::of_maildrop(&server, Keep::Forever);
    brings(&world, 4);
    assert_eq!(inbox(&world), of(messages([1, 1, 1, 2])));
    server.renew_uidls();
    brings(&world, 0);
    server.renew_uidls();
    server.deliver(message(1).as_bytes());
    brings(&world, 1);
    server.deliver(message(1).as_bytes());
    brings(&world, 1);
    assert_eq!(inbox(&world), of(messages([1, 1, 1, 1, 1, 2])));
}

/// A name is given to another message when the first is gone.
#[test]
fn a_name_that_is_given_away_again() {
    let (server, world) = drop_of(Profile::default(), 2, Keep::Forever);
    server.set_uidl(0, Some("again"));
    brings(&world, 2);
    server.remove(0);
    let longer = format!("{}and more\r\n", message(77));
    server.deliver(longer.as_bytes());
    server.set_uidl(1, Some("again"));
    brings(&world, 1);
    assert_eq!(inbox(&world), of([message(1), message(2), longer]));
}

/// Sizes that are another each day are no other messages.
#[test]
fn sizes_that_differ_from_day_to_day() {
    let (server, world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    for lie in [7, -9] {
        server.heal();
        server.inject(Fault::SizeLie(lie), When::verb("LIST"));
        brings(&world, 0);
    }
    // What is far from that size is named, and was pulled all the same.
    server.heal();
    server.inject(Fault::SizeLie(1_000), When::verb("LIST"));
    let report = pull(&world);
    assert_eq!((report.pulled, report.skipped.len()), (0, 3));
    assert_eq!(inbox(&world), of(messages(1..=3)));
}

/// A maildrop that is being moved to another server: empty for a while, then with other names.
#[test]
fn a_maildrop_that_is_empty_for_a_while() {
    let (server, world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    server.configure(|profile| profile.window = Some(0));
    brings(&world, 0);
    server.configure(|profile| profile.window = None);
    server.renew_uidls();
    brings(&world, 0);
    server.deliver(message(4).as_bytes());
    brings(&world, 1);
    assert_eq!(inbox(&world), of(messages(1..=4)));
}

/// Gmail shows 250 at a time and hides what it gave; with `recent:` it hides nothing.
#[test]
fn a_server_that_shows_a_part_at_a_time() {
    let count = 620;
    let (server, world) = drop_of(Profile::gmail(), count, Keep::Forever);
    brings(&world, u64::from(count));
    server.deliver(message(count + 1).as_bytes());
    brings(&world, 1);
    assert_eq!(inbox(&world), of(messages(1..=count + 1)));
    assert_eq!(server.messages().len(), count as usize + 1);

    let (server, mut recent) = drop_of(Profile::gmail(), 9, Keep::Forever);
    recent.also(|settings| settings.endpoint.user = "recent:me".to_owned());
    brings(&recent, 9);
    server.reset_counters();
    brings(&recent, 0);
    assert_eq!(server.counters().verb("RETR"), 0);
}

/// Another server or user: its names mean nothing of what was pulled.
#[test]
fn another_server_under_the_same_account() {
    let (first, mut world) = drop_of(Profile::default(), 3, Keep::Forever);
    brings(&world, 3);
    // Its names are the same, its messages are not; one of them was taken along.
    let second = Server::new([message(7), message(2), message(9)]);
    world.move_to(&second, "elsewhere");
    brings(&world, 2);
    assert_eq!(inbox(&world), of(messages([1, 2, 3, 7, 9])));
    assert_eq!(first.messages().len(), 3);
}

/// A message of this number that is as long as that of another, and says something else.
fn as_long_as(n: u32, other: u32) -> String {
    let text = message(n);
    let length = message(other).len();
    format!("{text}{}", "x".repeat(length.saturating_sub(text.len())))
}

/// An id that was free is given to another message of the same size.
#[test]
fn hazard_113_an_id_that_is_given_to_another_message_hides_none() {
    for keep in [Keep::Forever, Keep::Days(30)] {
        for (gone, left) in [(4, 3), (1, 3), (0, 4)] {
            let (server, world) = drop_of(Profile::default(), 5, keep);
            brings(&world, 5);
            let id = server.messages()[gone].uidl.clone();
            server.remove(gone);
            if left == 3 {
                // Others came and went meanwhile.
                server.remove(0);
            }
            let other = as_long_as(9, u32::try_from(gone).unwrap() + 1);
            server.deliver(other.as_bytes());
            let last = server.messages().len() - 1;
            server.set_uidl(last, id.as_deref());
            brings(&world, 1);
            let expected = messages(1..=5).into_iter().chain([other]);
            assert_eq!(inbox(&world), of(expected), "{gone}, {keep:?}");
            brings(&world, 0);
        }
    }
}

/// Two messages with one header, of one size, on a server without ids.
#[test]
fn hazard_112_a_message_with_the_header_of_another_is_another() {
    let twin = |n: u32| format!("{}{n}\r\n", message(1));
    for top in [true, false] {
        let profile = Profile { uidl: false, top, ..Profile::default() };
        for keep in [Keep::Forever, Keep::UntilPulled, Keep::Days(1)] {
            let server = Server::with(profile.clone(), [twin(3)]);
            let world = World::of_maildrop(&server, keep);
            brings(&world, 1);
            server.deliver(twin(4).as_bytes());
            if server.messages().len() > 1 {
                server.remove(0);
            }
            brings(&world, 1);
            server.deliver(twin(5).as_bytes());
            server.deliver(twin(6).as_bytes());
            brings(&world, 2);
            brings(&world, 0);
            assert_eq!(inbox(&world), of([3, 4, 5, 6].map(twin)), "{top} {keep:?}");
        }
    }
}

/// An id that was that of two once: after a month without such a slip ids are believed again.
#[test]
fn a_slip_of_the_server_is_not_held_against_it_for_ever() {
    let (server, world) = drop_of(Profile::default(), 3, Keep::Forever);
    let id = server.messages()[2].uidl.clone();
    server.set_uidl(2, server.messages()[1].uidl.as_deref());
    brings(&world, 3);
    server.set_uidl(2, id.as_deref());
    let mut tops = Vec::new();
    for _ in 0..40 {
        world.fs.set_clock(world.fs.clock() + super::DAY);
        server.reset_counters();
        brings(&world, 0);
        tops.push(server.counters().verb("TOP"));
    }
    assert_eq!((tops[0], tops[39]), (3, 1));
    server.deliver(message(4).as_bytes());
    brings(&world, 1);
}
