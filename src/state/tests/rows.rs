//! What is stored comes back as it was, and nothing is overwritten by accident.

use super::*;

/// Rows are equal, and their keywords are spelled alike (which `==` does not ask).
fn assert_same(stored: &Row, row: &Row) {
    assert_eq!(stored, row);
    assert_eq!(format!("{stored:?}"), format!("{row:?}"));
}

#[test]
fn every_part_of_a_row_comes_back() {
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    let store = std::cell::RefCell::new(fixture.store);
    for_seeds(400, |rng| {
        let mut store = store.borrow_mut();
        let mut row = any_row(rng, inbox);
        row.id = store.transaction(|tx| tx.insert_row(&row, rng.bool())).unwrap();
        assert_same(&store.row(row.id).unwrap().unwrap(), &row);

        // Every part may come, go and change.
        let changed = Row { id: row.id, ..any_row(rng, inbox) };
        store.transaction(|tx| tx.update_row(&changed, rng.bool())).unwrap();
        assert_same(&store.row(row.id).unwrap().unwrap(), &changed);

        assert!(store.transaction(|tx| tx.delete_row(row.id)).unwrap());
        assert_eq!(store.row(row.id).unwrap(), None);
    });
}

#[test]
fn every_part_of_a_mailbox_comes_back() {
    let store = std::cell::RefCell::new(Fixture::new().store);
    for_seeds(200, |rng| {
        let mut store = store.borrow_mut();
        let name = format!("{}/{}", text(rng), rng.u64(..));
        let mut mailbox = any_mailbox(rng, &name);
        mailbox.id = store.transaction(|tx| tx.put_mailbox(&mailbox)).unwrap();
        let same = |store: &Store, mailbox: &Mailbox| {
            let stored = store.mailbox(mailbox.id).unwrap().unwrap();
            assert_eq!(format!("{stored:?}"), format!("{mailbox:?}"));
            assert_eq!(store.mailbox_by_name(&mailbox.name).unwrap().as_ref(), Some(mailbox));
        };
        same(&store, &mailbox);

        let renamed = Mailbox { id: mailbox.id, ..any_mailbox(rng, &format!("{name}x")) };
        assert_eq!(store.transaction(|tx| tx.put_mailbox(&renamed)).unwrap(), mailbox.id);
        same(&store, &renamed);
        assert_eq!(store.mailbox_by_name(&mailbox.name).unwrap(), None);
    });
}

#[test]
fn a_uid_a_stem_and_a_name_are_taken_once() {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.mailbox("A"), fixture.mailbox("B"));
    let first = fixture.insert(&agreed(a, 7, "one"));
    let other = fixture.insert(&agreed(a, 8, "two"));
    let store = &mut fixture.store;
    let before = store.rows_in(a, None, 9).unwrap();

    for taken in [new_remote(a, 7), new_local(a, "one"), agreed(a, 7, "three")] {
        let error = store.transaction(|tx| tx.insert_row(&taken, false)).unwrap_err();
        assert!(matches!(error, StateError::Conflict { .. }), "{error}");
        let onto = Row { id: other, ..taken };
        let error = store.transaction(|tx| tx.update_row(&onto, false)).unwrap_err();
        assert!(matches!(error, StateError::Conflict { .. }), "{error}");
    }
    let error = store.transaction(|tx| tx.put_mailbox(&mailbox("A"))).unwrap_err();
    assert!(matches!(error, StateError::Conflict { .. }), "{error}");
    assert_eq!(store.rows_in(a, None, 9).unwrap(), before);

    // The same in another mailbox is another message; and many may lack either.
    store.transaction(|tx| tx.insert_row(&agreed(b, 7, "one"), true)).unwrap();
    store.transaction(|tx| tx.insert_row(&Row::new(b), true)).unwrap();
    store.transaction(|tx| tx.insert_row(&Row::new(b), true)).unwrap();

    // What one row gives up in a transaction another may take in it.
    let moved = store.transaction(|tx| {
        tx.update_row(&Row { id: first, ..Row::new(a) }, false)?;
        tx.update_row(&Row { id: other, ..agreed(a, 7, "one") }, true)
    });
    moved.unwrap();
    assert_eq!(store.by_uid(a, Uid(7)).unwrap().unwrap().id, other);
}

#[test]
fn what_is_not_there_cannot_be_changed() {
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    let store = &mut fixture.store;
    let ghost = Row { id: RowId(99), ..new_remote(inbox, 1) };
    let error = store.transaction(|tx| tx.update_row(&ghost, true)).unwrap_err();
    assert!(matches!(error, StateError::Missing { .. }), "{error}");
    let ghost = Mailbox { id: MailboxId(99), ..mailbox("X") };
    let error = store.transaction(|tx| tx.put_mailbox(&ghost)).unwrap_err();
    assert!(matches!(error, StateError::Missing { .. }), "{error}");
    let homeless = new_remote(MailboxId(99), 1);
    let error = store.transaction(|tx| tx.insert_row(&homeless, true)).unwrap_err();
    assert!(matches!(error, StateError::Conflict { .. }), "{error}");
    let error = store.transaction(|tx| tx.end_run(99, 0, "{}")).unwrap_err();
    assert!(matches!(error, StateError::Missing { .. }), "{error}");
    assert!(!store.transaction(|tx| tx.delete_row(RowId(99))).unwrap());
    assert!(!store.transaction(|tx| tx.delete_mailbox(MailboxId(99))).unwrap());
}

#[test]
fn an_identity_is_never_given_twice() {
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    let row = fixture.insert(&new_remote(inbox, 1));
    let store = &mut fixture.store;
    assert!(store.transaction(|tx| tx.delete_row(row)).unwrap());
    assert!(store.transaction(|tx| tx.delete_mailbox(inbox)).unwrap());
    assert!(!store.is_fresh().unwrap(), "what was deleted was stored once");
    let again = fixture.mailbox("INBOX");
    assert!(again > inbox);
    assert!(fixture.insert(&new_remote(again, 1)) > row);
}

#[test]
fn a_mailbox_takes_its_rows_along_and_no_others() {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.mailbox("A"), fixture.mailbox("B"));
    fixture.insert(&agreed(a, 1, "x"));
    let kept = fixture.insert(&agreed(b, 1, "x"));
    fixture.store.transaction(|tx| tx.delete_mailbox(a)).unwrap();
    assert!(fixture.store.rows_in(a, None, 9).unwrap().is_empty());
    assert!(fixture.store.row(kept).unwrap().is_some());
    assert_eq!(fixture.store.counts().unwrap().messages, 1);
}

#[test]
fn shown_flags_unsettle_only_what_they_change() {
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    let id = fixture.insert(&agreed(inbox, 7, "x"));
    let store = &mut fixture.store;
    let mut show = |flags: &Flags, uid| {
        let changed = store.transaction(|tx| tx.set_remote_flags(inbox, Uid(uid), flags));
        (changed.unwrap(), store.unsettled(None, 9).unwrap().len())
    };
    let seen = Flags::system(System::SEEN);
    let mut work = seen.clone();
    work.insert_imap("Work");
    assert_eq!(show(&Flags::default(), 7), (false, 0), "the same as ever");
    assert_eq!(show(&seen, 8), (false, 0), "no such message");
    assert_eq!(show(&seen, 7), (true, 1));
    assert_eq!(show(&work, 7), (true, 1));
    assert_eq!(show(&work, 7), (false, 1));
    assert_eq!(store.row(id).unwrap().unwrap().remote.unwrap().flags, work);
}

#[test]
fn a_row_stays_when_its_message_is_gone() {
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    let agreed = Row { content: Some(ContentId([3; 32])), ..agreed(inbox, 7, "x") };
    let id = fixture.insert(&agreed);
    let store = &mut fixture.store;
    let gone = store.transaction(|tx| tx.remote_gone(inbox, &[Uid(7), Uid(8)])).unwrap();
    assert_eq!(gone, 1);
    let expected = Row { id, remote: None, ..agreed };
    assert_eq!(store.unsettled(None, 9).unwrap(), [expected]);
    assert_eq!(store.remote_count(inbox).unwrap(), 0);
}
