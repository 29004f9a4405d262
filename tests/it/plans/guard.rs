//! The guard: what waits for a person, and what does not.

use std::fmt::Write as _;

use kit::table::act::Act;
use kit::table::model::{Fate, Mail, Model, Side};
use kit::table::notation::{flags, parse};
use mailtide::reconcile::hold::Direction;
use mailtide::reconcile::types::MailboxName;
use mailtide::reconcile::{GuardLimits, HoldReason, OnLocalDelete, Plan, Step};

/// `agreed` messages in a mailbox, the first `gone` of which are gone from one side. Bodies
/// repeat over the letters: the guard counts messages.
fn world(mailbox: &str, agreed: usize, gone: usize, cell: &str) -> Model {
    let mut table = String::from("mailbox Work\nmailbox Trash: trash\nmailbox Junk: junk\n");
    for at in 0..agreed {
        let body = char::from(b'A' + u8::try_from(at % 20).unwrap());
        let cell = if at < gone { cell } else { "S  S" };
        writeln!(table, "{body}{at}  {mailbox}:S  {cell}").unwrap();
    }
    parse(&table)
}

fn planned(model: &Model) -> Plan {
    let mut model = model.clone();
    model.restart(Fate::default()).unwrap();
    model.observe().unwrap();
    model.plan()
}

fn holds(model: &Model) -> Vec<String> {
    let mut model = model.clone();
    model.observe().unwrap();
    let lines = model.describe(&model.plan());
    lines.into_iter().filter(|line| line.starts_with("hold")).collect()
}

#[test]
fn up_to_fifty_pass_and_one_more_waits() {
    assert!(holds(&world("INBOX", 60, 50, "gone  S")).is_empty());
    let held = holds(&world("INBOX", 60, 51, "gone  S"));
    assert_eq!(held, ["hold 51 (too many, FromRemote)"]);
    let held = holds(&world("INBOX", 60, 51, "S  gone"));
    assert_eq!(held, ["hold 51 (too many, FromLocal)"]);
}

#[test]
fn a_fifth_of_a_large_mailbox_passes() {
    assert!(holds(&world("INBOX", 400, 80, "gone  S")).is_empty());
    assert_eq!(holds(&world("INBOX", 400, 81, "gone  S")).len(), 1);
    let mut model = world("INBOX", 400, 61, "gone  S");
    model.policy.guard = GuardLimits { percent: 20, messages: 60, always: 50 };
    assert_eq!(holds(&model).len(), 1);
}

#[test]
fn hazard_07_the_drip_is_counted_over_a_day() {
    let mut model = world("INBOX", 60, 40, "gone  S");
    let id = model.store.mailbox(&MailboxName::new("INBOX"));
    model.store.departures.insert((id, Direction::FromRemote), 10);
    assert!(holds(&model).is_empty());
    model.store.departures.insert((id, Direction::FromRemote), 11);
    assert_eq!(holds(&model).len(), 1);
    // What left the other side does not count.
    model.store.departures.clear();
    model.store.departures.insert((id, Direction::FromLocal), 1000);
    assert!(holds(&model).is_empty());
}

#[test]
fn hazard_35_emptied_counts_from_twenty() {
    assert!(holds(&world("INBOX", 19, 19, "gone  S")).is_empty());
    assert_eq!(holds(&world("INBOX", 20, 20, "gone  S")), ["hold 20 (emptied, FromRemote)"]);
    assert!(holds(&world("INBOX", 21, 20, "gone  S")).is_empty());
}

#[test]
fn hazard_35_trash_and_junk_are_emptied_every_day() {
    for mailbox in ["Trash", "Junk"] {
        assert!(holds(&world(mailbox, 200, 200, "gone  S")).is_empty());
        assert!(holds(&world(mailbox, 200, 200, "S  gone")).is_empty());
    }
}

#[test]
fn hazard_35_filing_is_no_leaving() {
    assert!(holds(&world("INBOX", 200, 180, "in:Work  S")).is_empty());
    assert!(holds(&world("INBOX", 200, 180, "S  in:Work")).is_empty());
}

#[test]
fn a_hold_names_exactly_its_rows_and_an_approval_lets_those_pass() {
    let mut model = world("INBOX", 100, 60, "gone  S");
    let plan = planned(&model);
    let [hold] = &plan.holds[..] else { panic!("one hold, not {:?}", plan.holds) };
    assert_eq!(hold.rows.len(), 60);
    assert_eq!(planned(&model).holds[0].id, hold.id, "the same rows, the same name");
    let more = planned(&world("INBOX", 100, 61, "gone  S"));
    assert_ne!(more.holds[0].id, hold.id, "one more, another name");
    // All else goes on while it waits.
    model.act(&Act::Add(Side::Local, MailboxName::new("Work"), Mail::new('Z', flags("S"))));
    let mut waiting = model.clone();
    waiting.restart(Fate::default()).unwrap();
    waiting.settle().unwrap();
    assert_eq!(waiting.server[&MailboxName::new("INBOX")].mail.len(), 100);
    assert_eq!(waiting.server[&MailboxName::new("Work")].mail.len(), 1);
    waiting.approve();
    waiting.restart(Fate::default()).unwrap();
    waiting.settle().unwrap();
    assert_eq!(waiting.server[&MailboxName::new("INBOX")].mail.len(), 40);
    assert!(waiting.store.departures.is_empty(), "what was approved does not count");
}

#[test]
fn the_account_as_a_whole_has_a_limit() {
    let mut table = String::new();
    for mailbox in 0..4 {
        for at in 0..40 {
            let body = char::from(b'A' + u8::try_from(at % 20).unwrap());
            let cell = if at < 18 { "gone  S" } else { "S  S" };
            writeln!(table, "{body}{at}  M{mailbox}:S  {cell}").unwrap();
        }
    }
    assert_eq!(holds(&parse(&table)), ["hold 72 (too many, FromRemote)"]);
}

#[test]
fn hazard_31_a_mass_removal_of_flags_waits() {
    assert!(holds(&world("INBOX", 60, 50, ".  S")).is_empty());
    assert_eq!(holds(&world("INBOX", 60, 51, ".  S")), ["hold 51 (flags removed, FromRemote)"]);
    assert_eq!(holds(&world("INBOX", 60, 51, "S  .")), ["hold 51 (flags removed, FromLocal)"]);
    assert!(holds(&world("INBOX", 60, 60, "SF  S")).is_empty());
}

#[test]
fn hazard_22_surplus_copies_wait() {
    let copies = |n: usize| {
        let table: String = (0..n).map(|at| format!("A{}  -  S  -\n", at + 1)).collect();
        parse(&format!("A  S  S  S\n{table}"))
    };
    assert!(holds(&copies(3)).is_empty());
    assert_eq!(holds(&copies(4)), ["hold 4 (surplus copies, FromLocal)"]);
    let plan = planned(&copies(4));
    assert!(matches!(plan.holds[0].reason, HoldReason::SurplusCopies { now: 4 }));
}

#[test]
fn hazard_60_what_was_held_stays_held_when_it_is_little_by_now() {
    for cell in ["gone  S", "S  gone"] {
        let hold = planned(&world("INBOX", 100, 60, cell)).holds.remove(0);
        let mut few = world("INBOX", 100, 10, cell);
        few.store.pending = vec![hold.clone()];
        let plan = planned(&few);
        let [left] = &plan.holds[..] else { panic!("one hold, not {:?}", plan.holds) };
        assert_eq!((&left.id, &left.rows[..]), (&hold.id, &hold.rows[..10]), "{cell}");
        assert_eq!((left.added, &left.replaces), (0, &None));
        assert!(plan.steps.is_empty(), "{:?}", plan.steps);
        // One more, which alone would pass: it joins them only where the limit says so.
        few.store.pending[0].rows.truncate(9);
        let plan = planned(&few);
        assert_eq!((plan.holds[0].rows.len(), plan.steps.len()), (9, 1), "{cell}");
        few.policy.guard = GuardLimits { percent: 0, messages: 9, always: 9 };
        let plan = planned(&few);
        let joined = &plan.holds[0];
        assert_eq!((joined.rows.len(), joined.added, plan.steps.len()), (10, 1, 0), "{cell}");
        assert_eq!(joined.replaces.as_ref(), Some(&hold.id));
        assert_ne!(joined.id, hold.id);
    }
}

#[test]
fn hazard_60_policy_and_place_explain_what_was_held() {
    let hold = planned(&world("INBOX", 100, 60, "gone  S")).holds.remove(0);
    let with = |change: &dyn Fn(&mut Model)| {
        let mut model = world("INBOX", 100, 60, "gone  S");
        model.store.pending = vec![hold.clone()];
        change(&mut model);
        planned(&model).holds.len()
    };
    assert_eq!(with(&|_| {}), 1);
    assert_eq!(with(&|model| model.policy.on_local_delete = OnLocalDelete::Keep), 0);
    assert_eq!(with(&|model| model.policy.pull_only = true), 0);
    let mut filed = world("INBOX", 100, 60, "in:Work  S");
    filed.store.pending = vec![hold];
    filed.restart(Fate::default()).unwrap();
    filed.settle().unwrap();
    assert!(planned(&filed).holds.is_empty(), "{:?}", planned(&filed).holds);
}

#[test]
fn hazard_60_flags_that_are_added_do_not_wait_with_those_that_are_held() {
    let plan = planned(&world("INBOX", 60, 51, "F  S"));
    assert_eq!((plan.holds.len(), plan.holds[0].rows.len()), (1, 51));
    let added = plan.steps.iter().filter(|step| match step {
        Step::Flags { remote, .. } => !remote.add.is_empty() && remote.remove.is_empty(),
        _ => false,
    });
    assert_eq!(added.count(), 51);
}

#[test]
fn hazard_61_only_what_was_known_when_it_began_is_left_behind() {
    for cell in ["gone  S", "S  gone"] {
        let mut model = world("INBOX", 40, 20, cell);
        assert!(holds(&model).is_empty());
        // The other twenty arrived after the first departure.
        let id = model.store.mailbox(&MailboxName::new("INBOX"));
        let newest = *model.store.rows.keys().nth(19).unwrap();
        model.store.waves.insert(id, newest);
        assert_eq!(holds(&model).len(), 1, "{cell}");
    }
}
