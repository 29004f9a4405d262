//! Which rows answer which question, and by which index.

use super::*;

fn ids(rows: &[Row]) -> Vec<RowId> {
    rows.iter().map(|row| row.id).collect()
}

#[test]
fn what_is_to_be_planned_and_what_is_only_to_be_pulled() {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.mailbox("A"), fixture.mailbox("B"));
    let aside = SetAside { kind: SetAsideKind::Fetch, words: "NO".to_owned(), times: 3 };
    let keys = HeaderKeys { hash: [1; 16], loose: [2; 16], has_message_id: true };
    let placing = Journal::Placing { stem: Stem(b"s".to_vec()), in_new: true, info: String::new() };

    let settled = fixture.insert(&agreed(a, 1, "settled"));
    let in_b = fixture.insert(&new_remote(b, 1));
    let late = fixture.insert(&new_remote(a, 9));
    let early = fixture.insert(&new_remote(a, 8));
    let known = fixture.insert(&Row { header: Some(keys), ..new_remote(b, 7) });
    let refused = fixture.insert(&Row { set_aside: Some(aside.clone()), ..new_remote(a, 10) });
    let under_way = fixture.insert(&Row { journal: placing.clone(), ..new_remote(a, 11) });
    let added = fixture.insert(&new_local(a, "added"));
    let mut departed = agreed(a, 12, "departed");
    departed.local = None;
    let departed = fixture.insert(&departed);
    let empty = fixture.insert(&Row::new(a));
    let stuck = fixture.insert(&Row { set_aside: Some(aside), ..new_local(a, "stuck") });
    let kept = SetAside { kind: SetAsideKind::Kept, words: String::new(), times: 1 };
    fixture.insert(&Row { set_aside: Some(kept), ..new_local(a, "kept") });

    let store = &mut fixture.store;
    let open = store.unsettled(None, 99).unwrap();
    assert_eq!(ids(&open), [under_way, added, departed, empty]);
    let page = store.unsettled(Some(added), 2).unwrap();
    assert_eq!(ids(&page), [departed, empty]);
    let new = store.new_remotes(99).unwrap();
    assert_eq!(ids(&new), [known, early, late, in_b], "header first, then mailbox and UID");
    assert_eq!(ids(&store.new_remotes(2).unwrap()), [known, early]);
    assert_eq!(store.new_remote_count(a).unwrap(), 2);
    assert_eq!(store.new_remote_count(b).unwrap(), 2);
    assert_eq!(ids(&store.set_aside_rows(99).unwrap()), [refused, stuck]);
    let counts = Counts { mailboxes: 2, messages: 12, unsettled: 4, new_remotes: 4, set_aside: 2 };
    assert_eq!(store.counts().unwrap(), counts);

    // A caller may settle what one side cannot hold.
    let mut row = agreed(a, 1, "settled");
    row.id = settled;
    row.base.as_mut().unwrap().flags.insert_imap("$Label1");
    store.transaction(|tx| tx.update_row(&row, true)).unwrap();
    assert!(!ids(&store.unsettled(None, 99).unwrap()).contains(&settled));
}

#[test]
fn what_is_set_aside_is_not_pulled_again() {
    use SetAsideKind as Kind;
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    let mut uid = 0;
    for kind in [Kind::Push, Kind::Fetch, Kind::Remove, Kind::Read, Kind::Undecided, Kind::Kept] {
        for times in 0..6 {
            uid += 1;
            let aside = SetAside { kind, words: String::new(), times };
            let row = Row { set_aside: Some(aside), ..new_remote(inbox, uid) };
            let store = &mut fixture.store;
            let id = store.transaction(|tx| tx.insert_row(&row, false)).unwrap();
            let wanted = ids(&store.new_remotes(99).unwrap()).contains(&id);
            assert_eq!(wanted, !row.is_set_aside(), "{row:?}");
            let listed = ids(&store.set_aside_rows(99).unwrap()).contains(&id);
            assert_eq!(listed, kind != Kind::Kept, "{row:?}");
        }
    }
}

#[test]
fn what_is_under_way_is_planned_whatever_is_said() {
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    for_each_journal(|journal, uid| {
        let aside = SetAside { kind: SetAsideKind::Undecided, words: String::new(), times: 1 };
        let row = Row { journal, ..agreed(inbox, uid, &format!("s{uid}")) };
        let quiet = matches!(row.journal, Journal::Idle | Journal::Pushed { .. });
        let store = &mut fixture.store;
        let id = store.transaction(|tx| tx.insert_row(&row, true)).unwrap();
        let planned = |store: &Store| ids(&store.unsettled(None, 99).unwrap()).contains(&id);
        assert_eq!(planned(store), !quiet, "{row:?}");
        let row = Row { id, set_aside: Some(aside), ..row };
        store.transaction(|tx| tx.update_row(&row, true)).unwrap();
        assert!(!planned(store), "{row:?}");
    });
}

fn for_each_journal(mut show: impl FnMut(Journal, u32)) {
    let mut rng = Rng::with_seed(3);
    let mut seen = Vec::new();
    while seen.len() < 7 {
        let journal = journal(&mut rng);
        let kind = std::mem::discriminant(&journal);
        if !seen.contains(&kind) {
            seen.push(kind);
            show(journal, seen.len() as u32);
        }
    }
}

#[test]
fn equals_are_found_and_bounded() {
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    let words = ServerFacts { size: 5, date: 6, object_id: Some("M1".to_owned()) };
    let content = ContentId([9; 32]);
    // Equal in the part that the index holds, but not equal.
    let mut near = content;
    near.0[31] = 0;
    let twin = Row { content: Some(content), words: Some(words.clone()), ..Row::new(inbox) };
    let near_row = Row { content: Some(near), words: Some(words), ..Row::new(inbox) };
    let store = &mut fixture.store;
    let near_id = store.transaction(|tx| tx.insert_row(&near_row, true)).unwrap();
    let twins = store
        .transaction(|tx| (0..70).map(|_| tx.insert_row(&twin, true)).collect::<Result<Vec<_>>>());
    let twins = twins.unwrap();

    assert_eq!(ids(&store.by_content(&content).unwrap()), twins[..MATCHES as usize]);
    assert_eq!(ids(&store.by_content(&near).unwrap()), [near_id]);
    assert_eq!(store.by_words(5, 6).unwrap().len(), MATCHES as usize);
    assert_eq!(store.by_words(5, 7).unwrap(), []);
    assert_eq!(store.by_object_id("M1").unwrap().len(), MATCHES as usize);
    assert_eq!(store.by_object_id("m1").unwrap(), []);
}

#[test]
fn one_mailbox_is_listed_from_either_side() {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.mailbox("A"), fixture.mailbox("B"));
    let two = fixture.insert(&agreed(a, u32::MAX, "two"));
    let one = fixture.insert(&agreed(a, 1, "one"));
    let here = fixture.insert(&new_local(a, "here"));
    let there = fixture.insert(&new_remote(a, 5));
    fixture.insert(&agreed(b, 3, "other"));
    let store = &fixture.store;

    assert_eq!(uids(store, a), [1, 5, u32::MAX]);
    assert_eq!(store.last_uid(a).unwrap(), Some(Uid(u32::MAX)));
    let mut seen = Vec::new();
    store
        .for_each_local(a, |file| {
            seen.push((file.stem.to_vec(), file.row, file.in_new, file.info.to_owned()));
        })
        .unwrap();
    let file = |stem: &str, id| (stem.as_bytes().to_vec(), id, false, "2,".to_owned());
    assert_eq!(seen, [file("two", two), file("one", one), file("here", here)]);
    assert_eq!(store.base_count(a).unwrap(), 2);
    assert_eq!((store.local_count(a).unwrap(), store.remote_count(a).unwrap()), (3, 3));
    assert_eq!(ids(&store.rows_in(a, None, 99).unwrap()), [two, one, here, there]);
    assert_eq!(ids(&store.rows_in(a, Some(two), 2).unwrap()), [one, here]);
    assert_eq!(store.by_stem(a, &Stem(b"here".to_vec())).unwrap().unwrap().id, here);
    assert_eq!(store.by_stem(b, &Stem(b"here".to_vec())).unwrap(), None);
}

#[test]
fn a_size_is_known_where_a_body_can_be_had() {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.mailbox("A"), fixture.mailbox("B"));
    let said = |size| Some(ServerFacts { size, date: 0, object_id: None });
    fixture.insert(&Row { words: said(1), ..agreed(a, 1, "x") });
    fixture.insert(&Row { words: said(2), ..new_remote(a, 2) });
    let gone = Row { words: said(3), remote: None, local: None, ..agreed(a, 3, "z") };
    fixture.insert(&gone);
    let store = &fixture.store;
    let known = |size, except| store.size_is_known(size, except).unwrap();
    assert!(known(1, None) && known(1, Some(b)) && !known(1, Some(a)));
    assert!(!known(2, None), "only the server has it");
    assert!(known(3, None), "on its way out");
    assert!(!known(4, None));
}

#[test]
fn no_question_reads_the_whole_table() {
    let mut fixture = Fixture::new();
    fixture.mailbox("INBOX");
    let plan = |sql: &str| {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let details: Vec<String> =
            fixture.store.all("explain", &sql, (), |row| row.get(3)).unwrap();
        details.join("; ")
    };
    let questions = [
        "SELECT * FROM message INDEXED BY message_unsettled WHERE class = 1 AND id > 5 \
         ORDER BY id LIMIT 9",
        "SELECT * FROM message INDEXED BY message_new WHERE class = 2 \
         ORDER BY (header IS NULL), mailbox, uid LIMIT 9",
        "SELECT * FROM message INDEXED BY message_mailbox WHERE mailbox = 1 AND id > 5 \
         ORDER BY id LIMIT 9",
        "SELECT uid, id FROM message INDEXED BY message_uid \
         WHERE mailbox = 1 AND uid IS NOT NULL ORDER BY uid",
        "SELECT 1 FROM message INDEXED BY message_new \
         WHERE class = 2 AND (header IS NULL) IN (0, 1) AND mailbox = 1",
        "UPDATE message SET uid = NULL WHERE mailbox = 1 AND uid = 2",
        "DELETE FROM message WHERE mailbox = 1",
        "SELECT count(*) FROM message WHERE class = 1",
        "SELECT count(*) FROM message WHERE aside <> 5",
    ];
    for sql in questions {
        let plan = plan(sql);
        assert!(!plan.contains("TEMP B-TREE"), "sorts: {sql}: {plan}");
        assert!(plan.contains("INDEX message_"), "reads everything: {sql}: {plan}");
    }
}
