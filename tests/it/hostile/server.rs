//! Servers that refuse, vanish and lie.

use std::collections::BTreeMap;

use kit::imap::{Fault, Profile, When};
use kit::world::World;

use super::{undisturbed, world};
use crate::scenarios::{Mail, recover};

fn profiles() -> [Profile; 3] {
    [Profile::qresync(), Profile::condstore(), Profile::plain()]
}

/// How often each content is there.
fn census(mail: &Mail) -> BTreeMap<&str, usize> {
    let mut census = BTreeMap::new();
    for (content, _) in mail.values().flatten() {
        *census.entry(content.as_str()).or_default() += 1;
    }
    census
}

/// Every message is still on one side at least.
fn assert_kept(world: &World, expected: &Mail, what: &str) {
    let (remote, local) = (world.remote(), world.local());
    let (remote, local) = (census(&remote), census(&local));
    for (content, count) in census(expected) {
        let on = |side: &BTreeMap<&str, usize>| side.get(content).copied().unwrap_or(0);
        assert!(on(&remote).max(on(&local)) >= count, "{what}: {content} is lost");
    }
}

/// No side has more of any message than it should.
fn assert_once(world: &World, expected: &Mail, what: &str) {
    let expected = census(expected);
    for side in [world.remote(), world.local()] {
        for (content, count) in census(&side) {
            let wanted = expected.get(content).copied().unwrap_or(0);
            assert!(count <= wanted, "{what}: {content} is doubled: {side:#?}");
        }
    }
}

/// Commands that one undisturbed run sends.
fn commands(profile: &Profile) -> u64 {
    let world = world(profile);
    world.server.reset_counters();
    world.sync().1.expect("an undisturbed run");
    world.server.commands().len() as u64
}

/// Strikes at each command of a run in turn, then heals.
fn at_every_command(fault: &Fault, then: &dyn Fn(&World, &Mail, &str)) {
    for profile in profiles() {
        let expected = undisturbed(&profile);
        let mut struck = 0;
        for k in 1..=commands(&profile) {
            let world = world(&profile);
            world.server.reset_counters();
            let fault_in = world.server.inject(fault.clone(), When::always().nth(k));
            let (_, result) = world.sync();
            struck += fault_in.hits();
            let at = world.server.commands().get(k as usize - 1).map(|c| c.line.clone());
            world.server.heal();
            let what = format!("{fault:?} at command {k}, {at:?}, then {result:?}");
            assert_kept(&world, &expected, &what);
            then(&world, &expected, &what);
        }
        assert!(struck > 0, "{fault:?} never struck");
    }
}

/// Agreement, as if nothing had been.
fn mends(world: &World, expected: &Mail, what: &str) {
    recover(world, expected, what);
}

/// What was refused for good stays on its side; nothing is lost by that, and runs are idle.
fn keeps(world: &World, expected: &Mail, what: &str) {
    for _ in 0..3 {
        world.wait();
        let _ = world.sync();
    }
    assert_kept(world, expected, what);
    assert_once(world, expected, what);
    world.wait();
    world.server.reset_counters();
    let (report, result) = world.sync();
    assert!(result.is_ok() && report.done() == 0, "{what}: {result:?} {report:?}");
    assert_eq!(world.server.counters().mutating, 0, "{what}");
}

#[test]
fn any_command_may_be_refused_for_now() {
    at_every_command(&Fault::No("[UNAVAILABLE] later".into()), &mends);
}

#[test]
fn any_command_may_be_refused_for_good() {
    at_every_command(&Fault::No("no".into()), &keeps);
    at_every_command(&Fault::Bad("what?".into()), &keeps);
}

#[test]
fn the_server_may_say_goodbye_at_any_command() {
    at_every_command(&Fault::Bye("shutting down".into()), &mends);
}

#[test]
fn the_connection_may_end_at_any_command() {
    for fault in [Fault::CutBefore, Fault::CutAfter, Fault::LoseTagged] {
        at_every_command(&fault, &mends);
    }
}

#[test]
fn the_server_may_fall_silent_at_any_command() {
    at_every_command(&Fault::Hang, &mends);
}

#[test]
fn an_ok_may_be_a_lie_at_any_command() {
    at_every_command(&Fault::OkUndone, &keeps);
}

/// Answers that no client should have to read, one a line.
fn nonsense() -> Vec<Vec<u8>> {
    let lines: [&str; 22] = [
        "* 99999999999999999999 FETCH (UID 99999999999999999999 FLAGS ())",
        "* 1 FETCH (UID 0 FLAGS (\\Seen))",
        "* 4294967295 FETCH (UID 4294967295 FLAGS (\\Deleted) MODSEQ (1))",
        "* 1 FETCH (FLAGS",
        "* 1 FETCH (UID 1",
        "* 1 FETCH ()",
        "* 0 EXPUNGE",
        "* 4294967295 EXPUNGE",
        "* 4294967295 EXISTS",
        "* VANISHED",
        "* VANISHED (EARLIER) 0",
        "* SEARCH 0 99999999999 x",
        "* ESEARCH (TAG \"zz\") UID ALL 1:4294967295",
        "* STATUS INBOX (UIDNEXT -1 MESSAGES x)",
        "* LIST (\\Noselect) \"/\" ",
        "* FLAGS (",
        "* OK [PERMANENTFLAGS (",
        "* OK [UIDNEXT 99999999999]",
        "* OK [COPYUID 1 1:4294967295 1:4294967295]",
        "+ ",
        "*",
        "",
    ];
    let mut all: Vec<Vec<u8>> =
        lines.iter().map(|line| format!("{line}\r\n").into_bytes()).collect();
    all.push([b"* OK ".as_slice(), &vec![b'x'; 3 << 20], b"\r\n"].concat());
    all.push([b"* LIST ".as_slice(), &vec![b'('; 1 << 20], b"\r\n"].concat());
    all.push([b"* 1 FETCH (BODYSTRUCTURE ".as_slice(), &vec![b'('; 1 << 16], b"\r\n"].concat());
    all.push(b"* 1 FETCH (BODY[] {4294967296}\r\nshort".to_vec());
    all.push(b"* LIST () \"/\" {99999999999999999999}\r\n".to_vec());
    all.push(b"\0\xff\x1b]0;x\x07\r\n".to_vec());
    all
}

#[test]
fn nonsense_may_come_before_any_answer() {
    for nonsense in nonsense() {
        let shown = String::from_utf8_lossy(&nonsense[..nonsense.len().min(40)]).into_owned();
        let profile = Profile::qresync();
        let expected = undisturbed(&profile);
        for k in 1..=commands(&profile) {
            let world = world(&profile);
            world.server.inject(Fault::Inject(nonsense.clone()), When::always().nth(k));
            let (_, result) = world.sync();
            world.server.heal();
            let what = format!("{shown:?} at command {k}, then {result:?}");
            assert_kept(&world, &expected, &what);
            mends(&world, &expected, &what);
        }
    }
}

#[test]
fn a_server_may_claim_that_everything_vanished() {
    for claim in ["* VANISHED 1:4294967295\r\n", "* VANISHED (EARLIER) 1:4294967295\r\n"] {
        at_every_command(&Fault::Inject(claim.into()), &mends);
    }
    for profile in profiles() {
        let expected = undisturbed(&profile);
        let world = world(&profile);
        world.server.inject(Fault::WrongVanished, When::always());
        let (_, result) = world.sync();
        assert_kept(&world, &expected, &format!("{result:?}"));
        world.server.heal();
        mends(&world, &expected, "everything vanished, they said");
    }
}

/// Lies that last for a whole run and more.
#[test]
fn a_server_may_lie_all_day() {
    for fault in [
        Fault::FetchNoFlags,
        Fault::FetchSilent(vec![]),
        Fault::FetchSilent(vec![1, 2]),
        Fault::FetchNoBody(vec![]),
        Fault::FetchNo(vec![], "[SERVERBUG] no".into()),
        Fault::HostileLiteral(1 << 32),
        Fault::HostileLiteral(u64::MAX),
        Fault::WrongVanished,
        Fault::OmitFromList("Work".into()),
        Fault::LoseUidCode,
        Fault::No("[ALERT] \x1b[31mno".into()),
        Fault::Bad("no".into()),
    ] {
        for profile in profiles() {
            let expected = undisturbed(&profile);
            let world = world(&profile);
            world.server.inject(fault.clone(), When::always());
            for _ in 0..3 {
                let (_, result) = world.sync();
                assert_kept(&world, &expected, &format!("{fault:?}, then {result:?}"));
                world.wait();
            }
        }
    }
}

/// Octets that a run's connection carries, down and up.
fn traffic(profile: &Profile) -> (u64, u64) {
    let world = world(profile);
    let (report, result) = world.sync();
    result.expect("an undisturbed run");
    (report.received, report.sent)
}

/// Every 17th octet in the gate; every one with `MAILTIDE_FULL=1`.
fn stride() -> usize {
    if std::env::var_os("MAILTIDE_FULL").is_some() { 1 } else { 17 }
}

#[test]
fn the_connection_may_end_at_any_octet() {
    for profile in profiles() {
        let expected = undisturbed(&profile);
        let (down, up) = traffic(&profile);
        let sent = (0..=down).step_by(stride()).map(Fault::CutAfterSent);
        let received = (0..=up).step_by(stride()).map(Fault::CutAfterReceived);
        for fault in sent.chain(received) {
            let world = world(&profile);
            let struck = world.server.inject(fault.clone(), When::connect().nth(1));
            let (_, result) = world.sync();
            assert_eq!(struck.hits(), 1);
            world.server.heal();
            let what = format!("{fault:?}, then {result:?}");
            assert_kept(&world, &expected, &what);
            mends(&world, &expected, &what);
        }
    }
}
