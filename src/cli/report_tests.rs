use super::super::output::json;
use super::*;

fn hold() -> HoldView {
    HoldView {
        id: "7f3a21".to_owned(),
        account: "work".to_owned(),
        mailbox: Some("Archive".to_owned()),
        kind: "removal",
        side: "server",
        reason: "too_many",
        what: "remove on the server".to_owned(),
        messages: 1_200,
        why: "more than 1,000 messages within 24 hours".to_owned(),
        since: 1_000,
        decided: None,
        samples: Vec::new(),
    }
}

fn aside() -> Named {
    Named {
        mailbox: "Lists/\u{1b}[2Jrust".to_owned(),
        message: Some("UID 77".to_owned()),
        what: "the server does not take it".to_owned(),
        words: "NO [OVERQUOTA] full\r\nagreed".to_owned(),
    }
}

fn good() -> AccountOutcome {
    AccountOutcome {
        account: "me".to_owned(),
        agreed: true,
        work: Work { pulled: 1_234, flags_remote: 2, removed_local: 1, ..Work::default() },
        duration: Duration::from_millis(1_270),
        bytes_down: 1_250_000,
        ..AccountOutcome::default()
    }
}

fn held() -> AccountOutcome {
    AccountOutcome {
        account: "work".to_owned(),
        agreed: true,
        holds: vec![hold()],
        set_aside: vec![aside()],
        ..AccountOutcome::default()
    }
}

fn failed() -> AccountOutcome {
    let failure =
        Failure::new(Exit::Unreachable, "imap.example.org:993 refused the sign-in: NO\u{7}")
            .advise("check user and password of [accounts.old]");
    AccountOutcome {
        account: "old".to_owned(),
        failure: Some(failure),
        work: Work { pushed: 3, ..Work::default() },
        ..AccountOutcome::default()
    }
}

#[test]
fn a_run_in_words() {
    let shown = outcomes(&[good(), held(), failed()], false, Style::PLAIN);
    let expected = r"
me    agreed: pulled 1,234, re-flagged 2 on the server, removed 1 here  (1.2 MB down, 1.2 s)
work  held: nothing to do  (0.0 s)
  held       7f3a21  work/Archive: remove on the server, 1,200 messages
             more than 1,000 messages within 24 hours
             let it pass: mailtide approve 7f3a21
             bring them back: mailtide reject 7f3a21
  set aside  Lists/\u{1b}[2Jrust, UID 77: the server does not take it: NO [OVERQUOTA] full\u{d}\u{a}agreed
old   failed: imap.example.org:993 refused the sign-in: NO\u{7} (before that: pushed 3)
  check user and password of [accounts.old]
";
    assert_eq!(shown, expected.trim_start());
    let quiet = outcomes(&[good(), failed()], true, Style::PLAIN);
    assert!(quiet.starts_with("old"), "{quiet}");
}

#[test]
fn a_dry_run_says_would() {
    let nothing = AccountOutcome { account: "me".to_owned(), dry_run: true, ..Default::default() };
    let much = AccountOutcome { dry_run: true, agreed: false, bytes_down: 0, ..good() };
    let shown = outcomes(&[nothing.clone(), much], false, Style::PLAIN);
    assert_eq!(
        shown,
        "me  dry run: would do nothing  (0.0 s)\n\
         me  dry run: would pull 1,234, re-flag 2 on the server, remove 1 here  (1.2 s)\n"
    );
    assert_eq!(nothing.exit(), Exit::InSync);
}

#[test]
fn the_exit_code_of_an_account() {
    let with = |change: &dyn Fn(&mut AccountOutcome)| {
        let mut outcome = good();
        change(&mut outcome);
        outcome.exit().code()
    };
    assert_eq!(with(&|_| ()), 0);
    assert_eq!(with(&|o| o.set_aside.push(aside())), 0);
    assert_eq!(with(&|o| o.skipped = 1), 1);
    assert_eq!(with(&|o| o.agreed = false), 1);
    let both = |o: &mut AccountOutcome| {
        o.agreed = false;
        o.holds.push(hold());
    };
    assert_eq!(with(&both), 4);
    let decided = HoldView { decided: Some(Decision::Approved), ..hold() };
    assert_eq!(with(&|o| o.holds.push(decided.clone())), 0);
    for exit in [Exit::Usage, Exit::Unreachable, Exit::Locked, Exit::Interrupted] {
        let all = |o: &mut AccountOutcome| {
            both(o);
            o.failure = Some(Failure::new(exit, "x"));
        };
        assert_eq!(with(&all), exit.code());
    }
}

#[test]
fn status_in_words() {
    let view = StatusView {
        account: "work".to_owned(),
        remote: "me at imap.example.org".to_owned(),
        maildir: "/mail/work".to_owned(),
        last_run: Some(LastRun { at: 1_000, exit: Exit::Held, failure: None }),
        mailboxes: 12,
        messages: 34_567,
        waiting: 1_200,
        holds: vec![hold()],
        problems: vec![Named { message: None, ..aside() }],
        notes: vec!["QRESYNC is not used: the server broke it".to_owned()],
        ..StatusView::default()
    };
    let never = StatusView { last_run: None, account: "me".to_owned(), ..StatusView::default() };
    let failure = Some("no route\u{1b}".to_owned());
    let last_run = Some(LastRun { at: 1_000, exit: Exit::Unreachable, failure });
    let down = StatusView { last_run, ..never.clone() };
    let expected = r"
work  me at imap.example.org  →  /mail/work
  last run 10 minutes ago: something is held
  12 mailboxes, 34,567 messages, 1,200 waiting for the next run
  note       QRESYNC is not used: the server broke it
  held       7f3a21  work/Archive: remove on the server, 1,200 messages (10 minutes ago)
             more than 1,000 messages within 24 hours
             let it pass: mailtide approve 7f3a21
             bring them back: mailtide reject 7f3a21
  problem    Lists/\u{1b}[2Jrust: the server does not take it: NO [OVERQUOTA] full\u{d}\u{a}agreed
";
    assert_eq!(status(&[view], 1_600, Style::PLAIN), expected.trim_start());
    let shown = status(&[never, down], 1_600, Style::PLAIN);
    assert!(shown.contains("  never synced: mailtide sync me\n"), "{shown}");
    assert!(shown.contains("  last run 10 minutes ago: failed: no route\\u{1b}\n"), "{shown}");
}

#[test]
fn holds_in_words() {
    assert_eq!(holds(&[], 0, Style::PLAIN), "nothing is held\n");
    let decided = HoldView { decided: Some(Decision::Rejected), mailbox: None, ..hold() };
    assert_eq!(
        holds(&[decided], 1_000, Style::PLAIN),
        "  held       7f3a21  work: remove on the server, 1,200 messages (just now)\n             \
         more than 1,000 messages within 24 hours\n             \
         rejected: the next sync brings them back\n"
    );
}

#[test]
fn the_same_for_programs() {
    let text = json(&held()).unwrap();
    assert!(!text.contains('\u{1b}'), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["account"], "work");
    assert_eq!(value["pulled"], 0);
    assert_eq!(value["seconds"], 0.0);
    assert_eq!(value["set_aside"][0]["mailbox"], "Lists/\u{1b}[2Jrust");
    assert_eq!(value["holds"][0]["decided"], serde_json::Value::Null);
    let value: serde_json::Value = serde_json::from_str(&json(&failed()).unwrap()).unwrap();
    assert_eq!(value["failure"]["exit"], 3);
}
