//! A crash at every point of a rename, on either side, and the power cut: two runs later both
//! sides are as without it, and no message was sent anew.

use kit::imap::Profile;
use kit::world::World;
use mailtide::local::Layout;

use super::renames::{agreed, everywhere, mv};
use super::{here, there};
use crate::scenarios::recover;

type Act = fn(&World);

const SCENARIOS: [(&str, Act); 5] = [
    ("renamed here", |world| mv(world, "Home", "House/Garden")),
    ("renamed there", |world| {
        assert!(world.server.rename_mailbox("Work", "Old/Job"));
    }),
    ("renamed here and there", |world| {
        mv(world, "Home", "House");
        assert!(world.server.rename_mailbox("Home", "Haus"));
    }),
    ("an empty one renamed here", |world| mv(world, "Empty", "Void")),
    ("renamed with mail on the way", |world| {
        there(world, "Home", "new there");
        here(world, "Home", "new here");
        mv(world, "Home", "House");
        assert!(world.server.rename_mailbox("Work/Alpha", "Beta"));
    }),
];

fn prepared(profile: &Profile, layout: Layout, act: Act) -> World {
    let world = agreed(profile, layout);
    act(&world);
    world.fs.settle();
    world.wait();
    world
}

/// On a rung with MAILBOXID and on one without anything every third point, on the others
/// fewer; all of them with `MAILTIDE_FULL=1`.
fn crash_everywhere(after: &dyn Fn(&World)) {
    let full = std::env::var_os("MAILTIDE_FULL").is_some();
    for (n, (profile, layout)) in everywhere().into_iter().enumerate() {
        let often = n < 2 || profile == Profile::plain();
        let stride = match (full, often) {
            (true, _) => 1,
            (false, true) => 3,
            (false, false) => 11,
        };
        for (name, act) in SCENARIOS {
            let world = prepared(&profile, layout, act);
            let ((_, result), points) = world.run_until(0);
            result.unwrap();
            recover(&world, &world.remote(), name);
            let expected = world.remote();
            for point in (1..=points).step_by(stride) {
                let world = prepared(&profile, layout, act);
                let _ = world.run_until(point);
                after(&world);
                let what = format!("{name}, {layout:?}, at point {point} of {points}");
                recover(&world, &expected, &what);
                let sent = world.server.commands();
                let appends = sent.iter().filter(|command| command.line.starts_with("APPEND"));
                assert!(appends.count() <= 1, "{what}");
            }
        }
    }
}

#[test]
fn a_crash_at_every_point_of_a_rename_is_recovered_by_a_look() {
    crash_everywhere(&|world| world.fs.restart());
}

#[test]
fn a_power_cut_in_a_rename_loses_and_doubles_nothing() {
    crash_everywhere(&|world| world.fs.power_loss(0));
}
