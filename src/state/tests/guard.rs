//! Departures, holds, runs and settings.

use super::*;
use crate::reconcile::HoldReason;

#[test]
fn departures_add_up_over_a_window() {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.mailbox("A"), fixture.mailbox("B"));
    let store = &mut fixture.store;
    use Direction::{FromLocal, FromRemote};
    let noted = store.transaction(|tx| {
        tx.add_departure(100, a, FromRemote, 5)?;
        tx.add_departure(200, a, FromRemote, 7)?;
        tx.add_departure(200, b, FromRemote, 11)?;
        tx.add_departure(200, a, FromLocal, 13)?;
        (0..3).try_for_each(|_| tx.add_departure(900, b, FromLocal, u64::MAX))
    });
    noted.unwrap();
    let count = |store: &Store, since, mailbox, direction| {
        store.departures_since(since, mailbox, direction).unwrap()
    };
    assert_eq!(count(store, 0, Some(a), FromRemote), 12);
    assert_eq!(count(store, 100, Some(a), FromRemote), 12);
    assert_eq!(count(store, 101, Some(a), FromRemote), 7);
    assert_eq!(count(store, 0, None, FromRemote), 23);
    assert_eq!(count(store, 201, None, FromRemote), 0);
    assert_eq!(count(store, 0, None, FromLocal), u64::MAX, "never wraps");
    let sums = store.departures(101).unwrap();
    let expected = [((a, FromRemote), 7), ((a, FromLocal), 13), ((b, FromRemote), 11)];
    let expected = expected.into_iter().chain([((b, FromLocal), u64::MAX)]);
    assert_eq!(sums, expected.collect());
    // A mailbox that is deleted still counts.
    store.transaction(|tx| tx.delete_mailbox(a)).unwrap();
    assert_eq!(count(store, 0, None, FromRemote), 23);
    assert_eq!(store.transaction(|tx| tx.prune_departures(200)).unwrap(), 1);
    assert_eq!(count(store, 0, None, FromRemote), 18);
}

#[test]
fn a_hold_comes_back_and_another_process_may_decide_it() {
    let mut fixture = Fixture::new();
    let mut hold = Hold {
        id: "k7".to_owned(),
        created: 5,
        mailbox: Some(MailboxId(3)),
        mailbox_name: "A\u{1b}[31m\0".to_owned(),
        direction: Direction::FromLocal,
        reason: HoldReason::TooMany { now: 2, before: 3, limit: 4 },
        why: "120 of 130 messages".to_owned(),
        samples: None,
        rows: vec![RowId(9), RowId(2), RowId(9)],
        state: HoldState::Pending,
    };
    let account = Hold {
        id: "a1".to_owned(),
        created: 1,
        mailbox: None,
        direction: Direction::FromRemote,
        reason: HoldReason::Emptied { now: 0, before: 9 },
        rows: vec![],
        ..hold.clone()
    };
    let put = fixture.store.transaction(|tx| {
        tx.put_hold(&hold)?;
        tx.put_hold(&account)
    });
    put.unwrap();
    hold.rows = vec![RowId(2), RowId(9)];
    assert_eq!(fixture.store.holds().unwrap(), [account.clone(), hold.clone()]);

    let mut cli = Store::open_existing(&fixture.path()).unwrap().unwrap();
    assert!(cli.transaction(|tx| tx.set_hold_state("k7", HoldState::Approved)).unwrap());
    assert!(!cli.transaction(|tx| tx.set_hold_state("zz", HoldState::Rejected)).unwrap());
    hold.state = HoldState::Approved;
    assert_eq!(fixture.store.hold("k7").unwrap(), Some(hold.clone()));
    assert_eq!(fixture.store.hold("zz").unwrap(), None);

    // Stored again it has the rows that it is given, no old ones.
    hold.rows = vec![RowId(4)];
    hold.reason = HoldReason::SurplusCopies { now: 1 };
    hold.state = HoldState::Rejected;
    fixture.store.transaction(|tx| tx.put_hold(&hold)).unwrap();
    assert_eq!(fixture.store.hold("k7").unwrap(), Some(hold));
    assert!(fixture.store.transaction(|tx| tx.delete_hold("k7")).unwrap());
    assert!(!fixture.store.transaction(|tx| tx.delete_hold("k7")).unwrap());
    assert_eq!(fixture.store.holds().unwrap(), [account]);
}

#[test]
fn runs_are_numbered_and_the_old_ones_forgotten() {
    let mut fixture = Fixture::new();
    let store = &mut fixture.store;
    let first = store.transaction(|tx| tx.begin_run(10, "start")).unwrap();
    store.transaction(|tx| tx.end_run(first, 12, "{\"pulled\":3}")).unwrap();
    let second = store.transaction(|tx| tx.begin_run(20, "timer")).unwrap();
    assert!(second > first);
    let ended = Run {
        number: first,
        started: 10,
        ended: Some(12),
        cause: "start".to_owned(),
        outcome: Some("{\"pulled\":3}".to_owned()),
    };
    let running =
        Run { number: second, started: 20, ended: None, cause: "timer".to_owned(), outcome: None };
    assert_eq!(store.last_runs(9).unwrap(), [running.clone(), ended]);
    assert_eq!(store.last_runs(1).unwrap(), [running]);

    let many =
        store.transaction(|tx| (0..RUNS_KEPT + 5).try_fold(0, |_, at| tx.begin_run(at, "timer")));
    let runs = store.last_runs(usize::MAX).unwrap();
    assert_eq!(runs.len() as i64, RUNS_KEPT);
    assert_eq!(runs[0].number, many.unwrap());
    assert!(store.is_fresh().unwrap(), "runs say nothing of messages");
}

#[test]
fn settings_are_kept_and_forgotten() {
    let mut fixture = Fixture::new();
    let store = &mut fixture.store;
    assert_eq!(store.meta("marker").unwrap(), None);
    store.transaction(|tx| tx.set_meta("marker", "1")).unwrap();
    store.transaction(|tx| tx.set_meta("marker", "2\0'")).unwrap();
    assert_eq!(store.meta("marker").unwrap().as_deref(), Some("2\0'"));
    assert!(store.transaction(|tx| tx.delete_meta("marker")).unwrap());
    assert_eq!(store.meta("marker").unwrap(), None);
}
