//! A crash at every point of every scenario, in the real executor against the simulated
//! server, on every rung; and the same with the power cut. Afterwards at most two runs, both
//! sides equal, nothing lost, nothing doubled, and a further run does nothing.

use kit::imap::Profile;
use kit::world::World;

use crate::scenarios::{SCENARIOS, prepared, recover};

/// Every `stride`-th point of every scenario on a profile; `after` is what the crash does to
/// the disk.
#[expect(clippy::print_stdout, reason = "how much was tried is worth knowing")]
fn crash_everywhere(profile: &Profile, stride: usize, after: &dyn Fn(&World)) {
    let mut crashes = 0;
    for scenario in &SCENARIOS {
        let world = prepared(profile, scenario);
        let ((_, result), points) = world.run_until(0);
        result.expect("an uncrashed run");
        recover(&world, &world.remote(), scenario.name);
        let expected = world.remote();
        for point in (1..=points).step_by(stride) {
            let world = prepared(profile, scenario);
            let _ = world.run_until(point);
            after(&world);
            let what = format!(
                "{}: {} at point {point} of {points}",
                profile_name(profile),
                scenario.name
            );
            recover(&world, &expected, &what);
            crashes += 1;
        }
    }
    println!("{crashes} crashes on {}", profile_name(profile));
}

/// The gate tries every fifth point where each is tried on another profile already; all of
/// them with `MAILTIDE_FULL=1`.
fn stride() -> usize {
    if std::env::var_os("MAILTIDE_FULL").is_some() { 1 } else { 5 }
}

fn profile_name(profile: &Profile) -> String {
    profile.capabilities(true, true)
}

#[test]
fn a_crash_at_every_point_loses_and_doubles_nothing() {
    for profile in [Profile::qresync(), Profile::condstore(), Profile::plain()] {
        crash_everywhere(&profile, 1, &|world| world.fs.restart());
    }
}

#[test]
fn crashes_with_every_pair_of_extensions() {
    for profile in Profile::pairwise() {
        crash_everywhere(&profile, stride(), &|world| world.fs.restart());
    }
}

#[test]
fn power_cuts_lose_and_double_nothing() {
    for seed in 0..3 {
        crash_everywhere(&Profile::qresync(), stride(), &|world| world.fs.power_loss(seed));
    }
    crash_everywhere(&Profile::plain(), stride(), &|world| world.fs.power_loss(0));
}
