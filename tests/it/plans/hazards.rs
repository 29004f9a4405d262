//! The hazards of the research notes, each as the table that would lose, double or alter mail.

use kit::table::act::Act;
use kit::table::check::{Table, check_plan, crash_at, failing, run};
use kit::table::model::{Fate, Ladder, Mail, Model, Outcome, Side};
use kit::table::notation::{flags, parse, parse_with};
use mailtide::reconcile::OnLocalDelete;
use mailtide::reconcile::types::{FlagMask, KeywordMask, MailboxName, System};

fn name(text: &str) -> MailboxName {
    MailboxName::new(text)
}

/// The world after one undisturbed process.
fn settled(model: &Model) -> Model {
    run(model, Fate::default(), None).unwrap()
}

fn both(model: &Model) -> Vec<String> {
    assert_eq!(model.shown(Side::Local), model.shown(Side::Remote), "{model}");
    model.shown(Side::Local)
}

/// Ladders without one or the other rung.
fn ladders() -> Vec<Ladder> {
    let mut out = Vec::new();
    for (can_move, uidplus) in [(true, true), (true, false), (false, true), (false, false)] {
        for object_ids in [false, true] {
            out.push(Ladder { can_move, uidplus, object_ids, rewrites: false });
        }
    }
    out
}

#[test]
fn hazard_01_work_that_was_not_done_is_not_forgotten() {
    // Every step of this table fails in every way, alone and in pairs, and is done later.
    check_plan(
        "
        A  S  S  gone
        B  S  S  SF
        C  -  -  new
        ",
        "
        B INBOX flags local +F
        C INBOX fetch
        ",
    );
}

#[test]
fn hazard_02_half_a_move_fails() {
    for ladder in ladders() {
        Table::on("A  S  in:Work  SF", ladder).check("A INBOX remote move to Work");
    }
    // The mailbox that it goes to cannot be made: the server keeps the only copy it has.
    let model = parse("mailbox Work: local new\nA  S  in:Work  S");
    let refused: Vec<(u32, Outcome)> = (0..40).map(|step| (step, Outcome::Skipped)).collect();
    let mut end = model;
    end.restart(failing(&refused)).unwrap();
    end.settle().unwrap();
    assert_eq!(end.shown(Side::Remote), ["INBOX A S"]);
    assert_eq!(both(&settled(&end)), ["Work A S"]);
}

#[test]
fn hazard_03_an_ok_without_a_copy_is_no_copy() {
    let model = parse("A  S  in:Work  S");
    for step in 0..3 {
        let end = run(&model, failing(&[(step, Outcome::Void)]), None).unwrap();
        assert_eq!(both(&end), ["Work A S"]);
    }
    // The source is expunged by another client between the look and the MOVE.
    for tick in 0..12 {
        let mut fate = Fate::default();
        fate.acts.push((tick, Act::Delete(Side::Remote, name("INBOX"), 'A')));
        let end = run(&model, fate, None).unwrap();
        assert_eq!(both(&end).len(), 1, "at {tick}: {end}");
    }
}

#[test]
fn hazard_04_moved_while_looked_at() {
    let model = parse("mailbox Work\nmailbox Archive\nA  S  S  S");
    for side in [Side::Local, Side::Remote] {
        for (from, to) in [("INBOX", "Archive"), ("INBOX", "Work")] {
            // Three mailboxes on two sides: a tick before the look at each.
            for tick in 0..6 {
                let mut fate = Fate::default();
                fate.acts.push((tick, Act::Move(side, name(from), 'A', name(to))));
                let end = run(&model, fate, None).unwrap();
                assert_eq!(both(&end), [format!("{to} A S")], "{side:?} at {tick}");
                // Seen at both places on the server, it could be another text of the same words.
                let most = if side == Side::Remote { (1, 0) } else { (0, 0) };
                assert!(end.transfers <= most, "{side:?} at {tick}");
            }
        }
    }
}

#[test]
fn hazard_04_a_mailbox_that_cannot_be_looked_at_suspends_removals() {
    for (side, table) in [(Side::Local, "A  S  gone  S"), (Side::Remote, "A  S  S  gone")] {
        let mut model = parse(&format!("mailbox Work\n{table}\nB  -  new  -\nC  -  -  new"));
        let mut fate = Fate::default();
        fate.blind.insert((side, name("Work")));
        model.restart(fate).unwrap();
        model.settle().unwrap();
        assert_eq!(model.counted(Side::Local).len() + model.counted(Side::Remote).len(), 5);
        assert_eq!(both(&settled(&model)), ["INBOX B ", "INBOX C "]);
    }
}

#[test]
fn hazard_05_uids_handed_out_twice() {
    // The server was restored: UID 1 is another message now.
    let mut model = parse("A  S  S  S\nB  S  S  S");
    let inbox = name("INBOX");
    model.act(&Act::Delete(Side::Remote, inbox.clone(), 'A'));
    model.act(&Act::Delete(Side::Remote, inbox.clone(), 'B'));
    model.server.get_mut(&inbox).unwrap().uid_next = 1;
    model.act(&Act::Add(Side::Remote, inbox, Mail::new('C', flags("F"))));
    let end = settled(&model);
    assert_eq!(both(&end), ["INBOX A S", "INBOX B S", "INBOX C F"]);
}

#[test]
fn hazard_08_a_mailbox_takes_unseen_mail_along() {
    let mut model = parse("mailbox Work: remote\nA  Work:S  gone  S");
    // It arrives just before the mailbox would be deleted, at whatever moment.
    for tick in 0..12 {
        let mut fate = Fate::default();
        let mail = Mail::new('B', flags("."));
        fate.acts.push((tick, Act::Add(Side::Remote, name("Work"), mail)));
        let end = run(&model, fate, None).unwrap();
        let shown = both(&end);
        assert!(shown.contains(&"Work B ".to_owned()), "at {tick}: {end}");
    }
    model = settled(&model);
    assert!(!model.server.contains_key(&name("Work")));
    // The same the other way round.
    let model = parse("mailbox Work: local\nA  Work:S  S  gone\nB  -  Work:.  -");
    assert_eq!(both(&settled(&model)), ["Work B "]);
}

#[test]
fn hazard_09_a_fingerprint_is_no_body() {
    // a and A agree in header, size and date.
    check_plan("mailbox Drafts: drafts\nA  Drafts:D  D  gone\na  -  -  Drafts:D", "a Drafts fetch");
    // Without a Message-ID nothing is told from the header.
    let table = Table::on("X  S  S  in:Work", Ladder::default());
    assert_eq!(both(&settled(&table.model())), ["Work X S"]);
    // Two candidates: the body decides.
    for table in
        ["A  S  S  S\na  S  S  S\nA2  -  -  Work:S", "A  S  S  S\na  S  S  S\na2  -  -  Work:S"]
    {
        let end = settled(&parse(table));
        assert_eq!(both(&end).len(), 3, "{end}");
    }
}

#[test]
fn hazard_11_an_unreadable_file_is_no_message_and_no_deletion() {
    // Rows that are set aside are left alone by every plan.
    let mut model = parse("A  -  new  -");
    model.observe().unwrap();
    for row in model.store.rows.values_mut() {
        row.content = None;
        row.set_aside = Some(mailtide::reconcile::types::SetAside {
            kind: mailtide::reconcile::types::SetAsideKind::Read,
            words: "the file is empty".to_owned(),
            times: 1,
        });
    }
    assert!(model.plan().is_idle());
}

#[test]
fn hazard_12_an_edited_file_is_a_new_message_pushed_first() {
    for ladder in ladders() {
        let mut model = parse_with("A  S  S  S", ladder);
        model.act(&Act::Edit(name("INBOX"), 'A', 'B'));
        let mut seen = model.clone();
        seen.observe().unwrap();
        assert_eq!(seen.describe(&seen.plan()), ["B INBOX push"], "nothing is removed before");
        for tick in 0..30 {
            let end = run(&model, crash_at(tick), None).unwrap();
            assert_eq!(both(&end), ["INBOX B S"], "crash at {tick}");
        }
    }
}

#[test]
fn hazard_13_a_restored_root_deletes_nothing() {
    // Last week's root: B is not there yet, C was deleted since.
    let mut model = parse("A  S  S  S\nB  S  gone  S\nC  -  S  -");
    model.restate_files();
    assert_eq!(both(&settled(&model)), ["INBOX A S", "INBOX B S", "INBOX C S"]);
    assert_eq!(settled(&model).transfers, (1, 1), "B comes down, C goes up, A is paired");
}

#[test]
fn hazard_13_a_lost_store_pairs_what_is_there() {
    let mut model = parse("A  S  S  S\nB  S  SF  S\nC  -  new  -\nD  -  -  new");
    model.store = kit::table::model::Store::default();
    let end = settled(&model);
    assert_eq!(both(&end), ["INBOX A S", "INBOX B FS", "INBOX C ", "INBOX D "]);
    assert_eq!(end.transfers, (1, 1), "only what is missing travels");
}

#[test]
fn hazard_14_t_means_nothing_in_the_trash() {
    let model = parse("mailbox Trash: trash\nA  Trash:S  ST  S");
    let end = settled(&model);
    assert_eq!(end.shown(Side::Remote), ["Trash A S"]);
    assert_eq!(end.shown(Side::Local), ["Trash A ST"]);
}

#[test]
fn hazard_16_a_local_deletion_has_a_way_back() {
    let trash = "mailbox Trash: trash\n";
    for ladder in ladders() {
        let table = format!("{trash}A  S  gone  SF");
        Table::on(&table, ladder).one_way().check("A INBOX remote trash to Trash");
        let table = format!("{trash}A  Trash:S  gone  S");
        Table::on(&table, ladder).check("A Trash remote expunge");
    }
    // Where the server has no such mailbox, it is made.
    let mut model = parse("A  S  gone  S");
    model.policy.trash = Some(name("Trash"));
    assert_eq!(both(&settled(&model)), ["Trash A S"]);
    model.policy.on_local_delete = OnLocalDelete::Expunge;
    assert!(both(&settled(&model)).is_empty());
}

#[test]
fn hazard_17_an_append_whose_answer_is_lost_is_found_again() {
    for rewrites in [false, true] {
        for uidplus in [false, true] {
            let ladder = Ladder { rewrites, uidplus, ..Ladder::default() };
            let model = parse_with("A  -  S  -", ladder);
            for outcome in Outcome::ALL {
                let end = run(&model, failing(&[(0, outcome)]), None).unwrap();
                assert_eq!(both(&end), ["INBOX A S"], "{outcome:?} {ladder:?}");
                assert_eq!(end.transfers.0, 0, "{ladder:?}");
            }
            for tick in 0..16 {
                let end = run(&model, crash_at(tick), None).unwrap();
                assert_eq!(both(&end), ["INBOX A S"], "crash at {tick}, {ladder:?}");
            }
        }
    }
}

#[test]
fn hazard_18_a_late_append_is_no_second_message() {
    let model = parse("A  -  S  -");
    // Noted and sent, not there when the next run looks; it lands after the second APPEND.
    let mut end = model;
    end.restart(failing(&[(0, Outcome::Void)])).unwrap();
    end.settle().unwrap();
    assert_eq!(both(&end), ["INBOX A S"]);
    end.act(&Act::Add(Side::Remote, name("INBOX"), Mail::new('A', flags("S"))));
    let end = settled(&end);
    assert_eq!(both(&end), ["INBOX A S"]);
    // One twin was ours; a further one is somebody's.
    let mut end = end;
    end.act(&Act::Add(Side::Remote, name("INBOX"), Mail::new('A', flags("S"))));
    assert_eq!(both(&settled(&end)), ["INBOX A S", "INBOX A S"]);
}

#[test]
fn hazard_19_delivered_then_moved_or_deleted_then_a_crash() {
    let model = parse("mailbox Work\nA  -  -  S");
    for tick in 0..12 {
        for act in [
            Act::Move(Side::Local, name("INBOX"), 'A', name("Work")),
            Act::Delete(Side::Local, name("INBOX"), 'A'),
        ] {
            let mut killed = model.clone();
            let crashed = killed.restart(crash_at(tick)).and_then(|()| killed.settle()).is_err();
            let placed = !killed.counted(Side::Local).is_empty();
            killed.act(&act);
            let end = settled(&killed);
            assert_eq!(both(&end).len(), usize::from(!placed || matches!(act, Act::Move(..))));
            assert!(end.transfers.0 <= 2 && end.transfers.1 == 0, "{crashed} at {tick}: {end}");
        }
    }
}

#[test]
fn hazard_20_a_renumbered_mailbox_doubles_nothing() {
    let mut model = parse("A  S  SF  S\nB  S  S  .\nC  -  new  -\nD  -  -  new\nX  S  S  S");
    model.act(&Act::Renumber(name("INBOX")));
    let end = settled(&model);
    assert_eq!(both(&end), ["INBOX A FS", "INBOX B ", "INBOX C ", "INBOX D ", "INBOX X S"]);
    assert_eq!(end.transfers, (2, 1), "only D, and X, of which a header tells nothing");
}

#[test]
fn hazard_23_a_file_under_another_name_is_the_same_message() {
    let mut model = parse("A  S  S  SF");
    model.act(&Act::Rename(name("INBOX"), 'A'));
    let end = settled(&model);
    assert_eq!(both(&end), ["INBOX A FS"]);
    assert_eq!(end.transfers, (0, 0));
}

#[test]
fn hazard_55_what_left_before_it_was_seen_again_is_a_departure() {
    let mut model = parse("A  -  S  -");
    // APPENDUID, and another client removes the message before a look shows it.
    let mut fate = Fate::default();
    fate.acts.push((5, Act::Delete(Side::Remote, name("INBOX"), 'A')));
    model.restart(fate).unwrap();
    model.settle().unwrap();
    let end = settled(&model);
    assert!(both(&end).is_empty(), "{end}");
    assert_eq!(end.transfers.1, 1, "not sent again");
}

#[test]
fn hazard_26_equal_bodies_keep_their_own_flags() {
    let two = "A  S  S  S\nA2  .  .  .";
    assert_eq!(both(&settled(&parse(two))), ["INBOX A ", "INBOX A S"]);
    // One of two is filed: the one whose name it was.
    let model = parse("A  S  in:Work  S\nA2  .  .  .");
    assert_eq!(both(&settled(&model)), ["INBOX A ", "Work A S"]);
    let model = parse("A  S  S  S\nA2  .  in:Work  .");
    assert_eq!(both(&settled(&model)), ["INBOX A S", "Work A "]);
}

#[test]
fn hazard_28_a_moved_message_takes_its_past_along() {
    for ladder in ladders() {
        // Read and moved here, flagged by a phone; a flag taken away is not brought back.
        Table::on("A  F  Work:S  F", ladder).check("A INBOX remote move to Work");
        Table::on("A  F  F  Work:S", ladder).check("A INBOX local move to Work");
        Table::on("A  F  .  Work:FS", ladder).check("A INBOX local move to Work");
    }
}

#[test]
fn hazard_29_what_one_side_cannot_hold_is_no_removal() {
    let mut model = parse("A  S  Sk  S");
    model.mask = FlagMask { system: System::ALL, keywords: KeywordMask::Only([].into()) };
    let end = settled(&model);
    assert_eq!(end.shown(Side::Local), ["INBOX A S+k"], "kept where it can be held");
    assert_eq!(end.shown(Side::Remote), ["INBOX A S"]);
}

#[test]
fn hazard_43_filed_where_nothing_is_mirrored() {
    let model = parse("mailbox Private: excluded\nA  S  Private:S  S");
    let mut seen = model.clone();
    seen.observe().unwrap();
    assert_eq!(seen.describe(&seen.plan()), ["A INBOX remote file to Private"]);
    let end = settled(&model);
    assert_eq!(end.shown(Side::Remote), ["Private A S"]);
}

#[test]
fn hazard_28_also_where_a_header_tells_them_equal() {
    // Moved to the same place on both sides, and the server gave it another object id there.
    let ladder = Ladder { object_ids: true, ..Ladder::default() };
    let mut model = parse_with("A  SF  Work:S  gone", ladder);
    model.act(&Act::Add(Side::Remote, name("Work"), Mail::new('A', flags("SF"))));
    assert_eq!(both(&settled(&model)), ["Work A S"]);
}

#[test]
fn an_equal_file_is_no_renamed_file() {
    // One of two equal messages is deleted there while another is new here: cut short at the
    // wrong moment, the new one was taken for the deleted one.
    Table::new("B  .  .  gone\nB2  -  F  -").bounded().one_way().check("B INBOX push");
    // Renamed and flagged, beside an equal one that is deleted on both sides: it is not that one.
    let mut model = parse("A  FS  gone  gone\nA2  .  FS  .");
    model.act(&Act::Rename(name("INBOX"), 'A'));
    assert_eq!(both(&settled(&model)), ["INBOX A FS"]);
    // Deleted here in Work and there, and at once another one is filed into Work.
    Table::new("B  S  Work:S  S\nB2  Work:F  gone  gone")
        .bounded()
        .check("B INBOX remote move to Work\nB Work forget");
}
