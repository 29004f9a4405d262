//! One bad thing under `mailtide run`: everything else is in sync within two minutes, the bad
//! thing is named by `status`, and once the server is well again all of it is in sync. Time is
//! paused.

use std::time::Duration;

use kit::imap::{Fault, Msg, Profile, When};
use kit::world::World;
use mailtide::account::suspects;
use mailtide::reconcile::types::SetAsideKind;
use mailtide::state::Store;

use super::imap::{CODES, everywhere, losses, other_literals};
use super::{BAD, Cases, agreed, difference, fill, undisturbed, without, work};
use crate::months::{Kept, keep_in};
use crate::scenarios::Mail;

/// Within this everything else is in sync.
const SOON: Duration = Duration::from_secs(120);
/// Within this all of it is, once the server is well again.
const HEALED: Duration = Duration::from_secs(30 * 60);

fn ladder() -> [Profile; 3] {
    let notify = Profile { notify: true, ..Profile::qresync() };
    [notify, Profile::qresync(), Profile::plain()]
}

/// What `status` says of the account.
fn status(kept: &Kept) -> String {
    let view = kept.view();
    let (why, unheard) = (view.why.unwrap_or_default(), view.unheard.unwrap_or_default());
    let mut said = format!("{:?} by {} {unheard}: {why}\n", view.state, view.push);
    let Ok(Some(store)) = Store::open_existing_readonly(&kept.state.join("me.db")) else {
        return said;
    };
    let mailboxes = store.mailboxes().unwrap();
    for row in store.set_aside_rows(1000).unwrap() {
        let Some(aside) = row.set_aside.filter(|aside| aside.kind != SetAsideKind::Kept) else {
            continue;
        };
        let name = &mailboxes.iter().find(|m| m.id == row.mailbox).unwrap().name;
        let uid = row.remote.map_or(0, |remote| remote.uid.0);
        said += &format!("{name}: UID {uid}: {}\n", aside.words);
    }
    for (_, what, why) in suspects::named(&store).unwrap() {
        said += &format!("{what}: {why}\n");
    }
    let last = store.last_runs(8).unwrap().into_iter().find(|run| run.ended.is_some());
    said + &last.and_then(|run| run.outcome).unwrap_or_default()
}

/// A case: what it is, when the fault strikes, the fault, what of the mail is judged after two
/// minutes, and the words that `status` says if both sides differ by then.
struct Case<'c> {
    what: String,
    when: When,
    fault: Fault,
    rest: &'c dyn Fn(&Mail) -> Mail,
    names: &'c str,
}

fn judge(profile: &Profile, expected: &Mail, case: &Case<'_>) {
    let Case { what, when, fault, rest, names } = case;
    let world = World::new(profile.clone());
    fill(&world);
    keep_in(world, async |kept| {
        kept.pass(Duration::from_secs(60)).await;
        work(&kept.world);
        let struck = kept.world.server.inject(fault.clone(), when.clone());
        kept.world.server.drop_connections();
        kept.files_changed();
        for _ in 0..SOON.as_secs() {
            kept.pass(Duration::from_secs(1)).await;
        }
        let said = status(&kept);
        let (remote, local) = (kept.world.remote(), kept.world.local());
        let apart = difference(&rest(&remote), &rest(&local));
        assert!(apart.is_empty(), "{what}: the sides differ\n{apart}{said}");
        let wrong = difference(&rest(&remote), &rest(expected));
        assert!(wrong.is_empty(), "{what}: not as it should be\n{wrong}{said}");
        if struck.hits() > 1 && remote != local {
            assert!(said.contains(names), "{what}: not named\n{said}");
        }
        kept.world.server.heal();
        let took = kept.until(what, || kept.agrees() && kept.world.remote() == *expected).await;
        assert!(took <= HEALED, "{what}, healed: {took:?}\n{}", status(&kept));
    });
}

/// In the gate a part of the cases, in an order that meets each fault and each command.
fn each(whens: &[(String, When)], faults: &[Fault], rest: &dyn Fn(&Mail) -> Mail, names: &str) {
    let full = std::env::var_os("MAILTIDE_FULL").is_some();
    let mut cases = Cases::default();
    for (rung, profile) in ladder().iter().enumerate() {
        let expected = undisturbed(profile);
        for (n, (name, when)) in whens.iter().enumerate() {
            for (m, fault) in faults.iter().enumerate() {
                if !full && (n + m) % 6 != rung {
                    continue;
                }
                let what = format!("{name}: {fault:?}, rung {rung}");
                let (when, fault) = (when.clone(), fault.clone());
                let case = Case { what: what.clone(), when, fault, rest, names };
                cases.case(&what, || judge(profile, &expected, &case));
            }
        }
    }
    cases.end();
}

fn faults() -> Vec<Fault> {
    let full = std::env::var_os("MAILTIDE_FULL").is_some();
    let codes = if full { &CODES[..] } else { &CODES[..2] };
    let codes = codes.iter().map(|code| Fault::No(format!("[{code}] no")));
    losses().into_iter().chain(codes).chain(other_literals()).collect()
}

#[test]
fn under_run_one_mailbox_stops_nothing_else() {
    let verbs =
        ["SELECT", "FETCH", "SEARCH", "STATUS", "STORE", "EXPUNGE", "APPEND", "COPY", "MOVE"];
    let whens: Vec<_> =
        verbs.iter().map(|verb| ((*verb).to_owned(), When::verb(verb).mailbox(BAD))).collect();
    let rest = |mail: &Mail| without(mail, &(0..30).collect::<Vec<u32>>(), &[BAD]);
    each(&whens, &faults(), &rest, BAD);
}

#[test]
fn under_run_one_message_stops_nothing_else() {
    let text = |m: &Msg| String::from_utf8_lossy(&m.body).contains("text of Bad 11.");
    // The UID that it gets in each of these worlds.
    let world = agreed(&Profile::plain());
    work(&world);
    let uid = world.server.list(BAD).iter().find(|m| text(m)).unwrap().uid;
    let ways = [("UID FETCH", "BODY.PEEK[]"), ("UID FETCH", "RFC822.SIZE"), ("UID FETCH", "")];
    let when = |(verb, says): &(&str, &str)| {
        (format!("{verb} {says}"), When::verb(verb).mailbox(BAD).says(says).uid(uid))
    };
    let whens: Vec<_> = ways.iter().map(when).collect();
    let lies = [20, -20].map(|by| Fault::LiteralLie(vec![uid], by));
    let faults: Vec<Fault> = faults().into_iter().chain(lies).collect();
    each(&whens, &faults, &|mail| without(mail, &[11], &[]), &format!("UID {uid}"));
}

#[test]
fn under_run_what_can_be_done_without_stops_nothing() {
    let verbs =
        ["CAPABILITY", "ID", "ENABLE", "IDLE", "NOTIFY", "UNSELECT", "SUBSCRIBE", "NOOP", "LOGOUT"];
    let mut whens = everywhere(&verbs);
    for says in ["RETURN (SPECIAL-USE", "(QRESYNC", "RETURN (ALL)"] {
        whens.push((format!("every {says}"), When::always().says(says)));
    }
    each(&whens, &faults(), &Mail::clone, "");
}
