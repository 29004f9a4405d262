//! Every command of IMAP, aimed at one message, one mailbox, or all of them.

use kit::imap::{Fault, Msg, Profile, When};

use super::{BAD, Cases, RUNS, agreed, census, heals, in_sync_but_for, undisturbed, without, work};
use crate::scenarios::Mail;

fn ladder() -> [Profile; 2] {
    [Profile::qresync(), Profile::plain()]
}

/// The codes of RFC 9051 §7.1 and RFC 5530 with which a command can be refused.
pub(super) const CODES: [&str; 16] = [
    "UNAVAILABLE",
    "SERVERBUG",
    "OVERQUOTA",
    "NOPERM",
    "CONTACTADMIN",
    "INUSE",
    "LIMIT",
    "CANNOT",
    "CLIENTBUG",
    "CORRUPTION",
    "EXPIRED",
    "PRIVACYREQUIRED",
    "ALERT",
    "TRYCREATE",
    "ALREADYEXISTS",
    "X-WHATEVER",
];

/// What a server does in the place of an answer: in the gate each kind, and the codes that mean
/// something to us.
fn faults() -> Vec<Fault> {
    let mut all = losses();
    let full = std::env::var_os("MAILTIDE_FULL").is_some();
    let codes = if full { &CODES[..] } else { &CODES[..4] };
    all.extend(codes.iter().map(|code| Fault::No(format!("[{code}] no"))));
    all
}

pub(super) fn losses() -> Vec<Fault> {
    vec![
        Fault::CutBefore,
        Fault::Hang,
        Fault::Bye("[UNAVAILABLE] internal error".into()),
        Fault::No("no".into()),
        Fault::Bad("what?".into()),
    ]
}

/// Answers in which a literal is longer, or shorter, than what it announces.
pub(super) fn other_literals() -> [Fault; 2] {
    let row = |size: usize| format!("* LIST () \"/\" {{{size}}}\r\nINBOX\r\n").into_bytes();
    [4000, 3].map(|size| Fault::Inject(row(size)))
}

/// Judges a case: on which rung, what was expected in the end, what goes wrong when, in words.
type Judge<'j> = &'j dyn Fn(&Profile, &Mail, (&Fault, &When), &str);

/// Tries each fault where it strikes `when`, on each rung.
fn each(whens: &[(String, When)], faults: &[Fault], judge: Judge<'_>) {
    let mut cases = Cases::default();
    for profile in ladder() {
        let expected = undisturbed(&profile);
        for (name, when) in whens {
            for fault in faults {
                let rung = if profile.enable { "QRESYNC" } else { "plain" };
                let what = format!("{name}: {fault:?}, {rung}");
                cases.case(&what, || judge(&profile, &expected, (fault, when), &what));
            }
        }
    }
    cases.end();
}

/// Tries all faults at commands that concern one mailbox.
fn in_one_mailbox(verbs: &[&str]) {
    in_one_mailbox_with(&faults(), verbs, BAD);
}

/// Tries these faults there; `words` are said of them.
fn in_one_mailbox_with(faults: &[Fault], verbs: &[&str], words: &str) {
    let when = |verb: &&str| ((*verb).to_owned(), When::verb(verb).mailbox(BAD));
    let whens: Vec<_> = verbs.iter().map(when).collect();
    each(&whens, faults, &|profile, expected, (fault, when), what| {
        let world = agreed(profile);
        work(&world);
        let struck = world.server.inject(fault.clone(), when.clone());
        let rest = |mail: &Mail| without(mail, &(0..30).collect::<Vec<u32>>(), &[BAD]);
        let said = in_sync_but_for(&world, expected, &rest, what);
        // What was done in another way needs no name.
        if struck.hits() > 0 && world.remote() != world.local() {
            assert!(said.contains(BAD) && said.contains(words), "{what}: not named\n{said}");
        }
        heals(&world, expected, what);
    });
}

#[test]
fn one_mailbox_that_cannot_be_selected_stops_nothing_else() {
    in_one_mailbox(&["SELECT"]);
}

#[test]
fn one_mailbox_that_cannot_be_fetched_from_stops_nothing_else() {
    in_one_mailbox(&["FETCH"]);
}

#[test]
fn one_mailbox_that_cannot_be_searched_or_counted_stops_nothing_else() {
    in_one_mailbox(&["SEARCH", "STATUS"]);
}

#[test]
fn one_mailbox_that_takes_no_change_stops_nothing_else() {
    in_one_mailbox(&["STORE", "EXPUNGE", "APPEND"]);
}

#[test]
fn one_mailbox_that_lets_nothing_go_stops_nothing_else() {
    in_one_mailbox(&["COPY", "MOVE"]);
}

/// More than the budget of a command is a loss as any other.
#[test]
fn one_mailbox_of_which_too_much_is_said_stops_nothing_else() {
    let endless = Fault::Inject(b"* OK x\r\n".repeat(70_000));
    in_one_mailbox_with(&[endless], &["SELECT", "FETCH", "STORE"], "remarks of the server");
}

/// Tries the faults at one message: everything else, also of its mailbox, is in sync.
fn at_one_message(verbs: &[(&str, &str)], n: u32) {
    let text = &format!("text of Bad {n}.");
    let named = |(verb, says): &(&str, &str)| {
        (format!("{verb} {says} of {text:?}"), When::verb(verb).mailbox(BAD).says(says))
    };
    let whens: Vec<_> = verbs.iter().map(named).collect();
    each(&whens, &faults(), &|profile, expected, (fault, when), what| {
        let world = agreed(profile);
        work(&world);
        let list = world.server.list(BAD);
        let is = |m: &&Msg| String::from_utf8_lossy(&m.body).contains(text.as_str());
        let uid = list.iter().find(is).unwrap().uid;
        let struck = world.server.inject(fault.clone(), when.clone().uid(uid));
        let rest = |mail: &Mail| without(mail, &[n], &[]);
        let said = in_sync_but_for(&world, expected, &rest, what);
        if struck.hits() > 1 {
            let is_named = |line: &str| line.contains(BAD) && line.contains(&format!("UID {uid}"));
            assert!(said.lines().any(is_named), "{what}: not named\n{said}");
        }
        heals(&world, expected, what);
    });
}

#[test]
fn one_message_whose_body_cannot_be_had_stops_nothing_else() {
    at_one_message(&[("UID FETCH", "BODY.PEEK[]")], 11);
}

#[test]
fn one_message_whose_attributes_cannot_be_had_stops_nothing_else() {
    at_one_message(&[("UID FETCH", "RFC822.SIZE"), ("UID FETCH", "")], 12);
}

#[test]
fn one_message_whose_header_cannot_be_had_stops_nothing_else() {
    at_one_message(&[("UID FETCH", "BODY.PEEK[HEADER]")], 12);
}

#[test]
fn one_message_whose_flags_cannot_be_had_stops_nothing_else() {
    at_one_message(&[("UID FETCH", "(UID FLAGS)")], 5);
}

#[test]
fn one_message_that_cannot_be_flagged_stops_nothing_else() {
    at_one_message(&[("UID STORE", "")], 1);
}

#[test]
fn one_message_that_cannot_go_stops_nothing_else() {
    let ways = [("UID MOVE", ""), ("UID COPY", ""), ("UID EXPUNGE", "")];
    at_one_message(&ways, 2);
}

pub(super) fn everywhere(verbs: &[&str]) -> Vec<(String, When)> {
    verbs.iter().map(|verb| (format!("every {verb}"), When::verb(verb))).collect()
}

/// Commands that concern the account: whatever becomes of them, nothing is lost, and once they
/// work again everything is in sync.
#[test]
fn a_command_that_never_works_loses_nothing() {
    let verbs = [
        "LIST",
        "STATUS",
        "SELECT",
        "EXAMINE",
        "UNSELECT",
        "FETCH",
        "SEARCH",
        "STORE",
        "COPY",
        "MOVE",
        "EXPUNGE",
        "APPEND",
        "CREATE",
        "DELETE",
        "SUBSCRIBE",
        "RENAME",
        "NOOP",
        "ID",
        "ENABLE",
        "CAPABILITY",
        "LOGIN",
        "LOGOUT",
    ];
    each(&everywhere(&verbs), &losses(), &|profile, expected, (fault, when), what| {
        let world = agreed(profile);
        work(&world);
        let (there, here) = (world.remote(), world.local());
        world.server.inject(fault.clone(), when.clone());
        for _ in 0..RUNS {
            let _ = world.sync();
            world.wait();
        }
        let (remote, local) = (world.remote(), world.local());
        for (content, _) in census(&there).into_iter().chain(census(&here)) {
            let has = |mail: &Mail| census(mail).contains_key(content);
            assert!(!has(expected) || has(&remote) || has(&local), "{what}: {content}");
        }
        heals(&world, expected, what);
    });
}

/// What is only an extension, or has another way, stops nothing at all.
#[test]
fn what_can_be_done_in_another_way_is() {
    let verbs = ["UNSELECT", "ID", "ENABLE", "SUBSCRIBE", "LOGOUT", "CAPABILITY"];
    let mut whens = everywhere(&verbs);
    for says in ["RETURN (SPECIAL-USE", "(QRESYNC", "RETURN (ALL)"] {
        whens.push((format!("every {says}"), When::always().says(says)));
    }
    each(&whens, &losses(), &|profile, expected, (fault, when), what| {
        let world = agreed(profile);
        work(&world);
        world.server.inject(fault.clone(), when.clone());
        in_sync_but_for(&world, expected, &Mail::clone, what);
        heals(&world, expected, what);
    });
}

/// A connection that is lost now and then says nothing of what was under way: after a run over a
/// good one nothing is left to be told of it.
#[test]
fn what_was_lost_by_chance_is_forgotten() {
    let verbs = ["LIST", "STATUS", "SELECT", "UID SEARCH", "UID FETCH", "UID STORE", "APPEND"];
    let mut cases = Cases::default();
    for profile in ladder() {
        for (name, when) in everywhere(&verbs) {
            for times in 1..=3 {
                let what = format!("{name}, {times} times, {:?}", profile.modseq);
                cases.case(&what, || {
                    let world = agreed(&profile);
                    work(&world);
                    world.server.inject(Fault::CutBefore, when.clone().times(times));
                    let _ = world.sync();
                    // Everything else is done meanwhile by another way.
                    for _ in 0..3 {
                        world.wait();
                        let _ = world.sync();
                    }
                    world.wait();
                    let (report, result) = world.sync();
                    assert!(result.is_ok(), "{what}: {result:?}");
                    assert!(report.skipped.is_empty(), "{what}: {:?}", report.skipped);
                });
            }
        }
    }
    cases.end();
}

/// What a new connection can do without is asked for ever more rarely, not anew in each run.
#[test]
fn what_a_connection_was_lost_at_is_remembered_by_later_runs() {
    for (verb, profile) in [("ENABLE", Profile::qresync()), ("CAPABILITY", Profile::plain())] {
        for fault in [Fault::CutBefore, Fault::Hang] {
            let world = agreed(&profile);
            let struck = world.server.inject(fault.clone(), When::verb(verb));
            for run in 1..=16 {
                world.wait();
                let (report, result) = world.sync();
                result.unwrap_or_else(|error| panic!("{verb}, {fault:?}, run {run}: {error}"));
                assert!(report.skipped.is_empty(), "{verb}: {:?}", report.skipped);
            }
            // In runs 1, 2, 4, 8 and 16.
            let hits = struck.hits();
            assert!(hits == 5, "{verb}, {fault:?}: {hits} times in 16 runs");
            let named = world.asked(|store| mailtide::account::suspects::named(store));
            assert!(named.iter().any(|(_, what, _)| what.contains("the server")), "{named:?}");
            world.server.heal();
        }
    }
}
