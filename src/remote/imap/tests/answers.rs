use super::*;
use crate::reconcile::types::{Flags, Keyword, MailboxStatus, SpecialUse, System};
use crate::remote::allowance::Allowance;
use crate::remote::budget::Budget;

async fn opened(peer: &Peer) -> Session {
    let mut session = connect(peer).await;
    session.select(&inbox(), Select::ReadWrite, None, &mut |_| {}).await.unwrap();
    session
}

#[tokio::test(start_paused = true)]
async fn a_no_is_an_error_everywhere() {
    let no = "* 1 FETCH (UID 1 FLAGS ())\r\nT NO [OVERQUOTA] not now\r\n";
    let words = [
        "NOOP",
        "UID SEARCH",
        "UID FETCH",
        "UID STORE",
        "UID COPY",
        "UID MOVE",
        "UID EXPUNGE",
        "CREATE",
        "LIST",
        "EXAMINE",
    ];
    let peer = words.iter().fold(Peer::new(), |peer, word| peer.says(word, no));
    let mut s = opened(&peer).await;
    let seen = Flags::system(System::SEEN);
    let mut all = Vec::new();
    all.push(s.noop(&mut |_| {}).await.unwrap_err());
    all.push(s.search_all().await.unwrap_err());
    let items = FetchItems { flags: true, ..FetchItems::default() };
    let mut rows = 0;
    all.push(s.fetch(&set("1"), items, None, &mut |_| rows += 1).await.unwrap_err());
    assert_eq!(rows, 1);
    all.push(s.store(&set("1"), true, &seen, &mut |_| {}).await.unwrap_err());
    all.push(s.copy(&set("1"), &inbox()).await.unwrap_err().error);
    all.push(s.mv(&set("1"), &inbox(), &mut |_| {}).await.unwrap_err().error);
    all.push(s.uid_expunge(&set("1"), &mut |_| {}).await.unwrap_err());
    all.push(s.create(&inbox()).await.unwrap_err());
    all.push(s.list_status().await.unwrap_err());
    all.push(s.select(&inbox(), Select::ReadOnly, None, &mut |_| {}).await.unwrap_err());
    for error in all {
        assert!(error.is_refusal() && !error.ends_session(), "{error}");
        assert_eq!(error.code(), Some(&Code::OverQuota));
    }
    assert_eq!(s.selected(), None);
    s.noop(&mut |_| {}).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_untagged_no_is_a_warning() {
    let peer = Peer::new().says(
        "SELECT",
        "* 5 EXISTS\r\n* NO disk nearly full {7}\r\n* OK [UIDVALIDITY 3]\r\n* OK [UIDNEXT 9]\r\n\
         * OK [PERMANENTFLAGS (\\Seen \\*)]\r\n* OK [HIGHESTMODSEQ 77]\r\nT OK [READ-ONLY] so\r\n",
    );
    let mut session = connect(&peer).await;
    let selected = session.select(&inbox(), Select::ReadWrite, None, &mut |_| {}).await.unwrap();
    let gate =
        MailboxStatus { uid_validity: 3, uid_next: 9, messages: 5, highest_modseq: Some(77) };
    assert_eq!((selected.gate, selected.read_only), (gate, true));
    assert_eq!(session.selected(), Some(&inbox()));
}

#[tokio::test(start_paused = true)]
async fn every_vanished_arrives_unexpanded() {
    let many: String = (1..=250).map(|n| format!("* VANISHED (EARLIER) {n}\r\n")).collect();
    let answer = format!(
        "* 1 EXISTS\r\n* OK [UIDVALIDITY 3]\r\n{many}* VANISHED (EARLIER) 300:4294967295\r\n\
         * 1 FETCH (UID 299 FLAGS (\\Seen) MODSEQ (9))\r\nT OK\r\n"
    );
    let mut session = connect(&Peer::new().says("SELECT", answer)).await;
    let since = QresyncSince { uid_validity: 3, highest_modseq: 5 };
    let mut seen = Vec::new();
    let mut sink = |untagged| seen.push(untagged);
    let selected =
        session.select(&inbox(), Select::ReadWrite, Some(since), &mut sink).await.unwrap();
    assert!(selected.resynced);
    assert_eq!(seen.iter().filter(|u| matches!(u, Untagged::Vanished { .. })).count(), 251);
    assert_eq!(seen[251], Untagged::Vanished { earlier: true, uids: set("300:*") });
    assert!(matches!(&seen[252], Untagged::Fetch(row) if row.uid == Uid(299)));
}

#[tokio::test(start_paused = true)]
async fn what_is_of_the_former_mailbox_stays_with_it() {
    let peer = Peer::new().says("UNSELECT", "* VANISHED 1\r\n* 4 EXISTS\r\nT OK\r\n");
    let mut session = opened(&peer).await;
    let mut seen = Vec::new();
    let other = MailboxName::new("Other");
    let selected =
        session.select(&other, Select::ReadWrite, None, &mut |u| seen.push(u)).await.unwrap();
    assert_eq!((seen, selected.gate.messages), (vec![], 0));
    assert!(session.take_pending().seen.is_empty());
}

#[tokio::test(start_paused = true)]
async fn parameters_that_are_not_understood_are_dropped() {
    let peer = Peer::new().says("QRESYNC (3 5)", "T BAD huh\r\n");
    let mut session = connect(&peer).await;
    let since = QresyncSince { uid_validity: 3, highest_modseq: 5 };
    let selected =
        session.select(&inbox(), Select::ReadWrite, Some(since), &mut |_| {}).await.unwrap();
    assert!(!selected.resynced && !session.capabilities().qresync());
    assert_eq!(peer.seen().last().unwrap(), "SELECT \"INBOX\"");
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_without_modseq_is_not_asked_for_it() {
    let peer =
        Peer::new().says("SELECT", "* OK [UIDVALIDITY 3]\r\n* OK [NOMODSEQ] none\r\nT OK\r\n");
    let mut session = connect(&peer).await;
    let since = QresyncSince { uid_validity: 3, highest_modseq: 5 };
    let selected =
        session.select(&inbox(), Select::ReadWrite, Some(since), &mut |_| {}).await.unwrap();
    assert!(selected.no_modseq && !selected.resynced);
    let items = FetchItems { flags: true, modseq: true, ..FetchItems::default() };
    session.fetch(&set("1"), items, Some(5), &mut |_| {}).await.unwrap();
    assert_eq!(peer.seen().last().unwrap(), "UID FETCH 1 (UID FLAGS)");
}

#[tokio::test(start_paused = true)]
async fn searches_count_against_exists() {
    let peer = Peer::new()
        .says("SELECT", "* 3 EXISTS\r\n* OK [UIDVALIDITY 3]\r\nT OK\r\n")
        .says("SEARCH", "* ESEARCH (TAG \"x\") UID ALL 1:2,7\r\n* 4 EXISTS\r\nT OK\r\n")
        .says("SEARCH RETURN", "T BAD no such thing\r\n")
        .says("SEARCH ALL", "* SEARCH 1 2 (MODSEQ 9)\r\n* SEARCH 7\r\n* 1 EXPUNGE\r\nT OK\r\n")
        .says("DELETED", "* SEARCH 1 x\r\nT OK\r\n");
    let mut session = opened(&peer).await;
    assert_eq!(session.search_all().await.unwrap(), (set("1:2,7"), 4));
    assert_eq!(session.search_all().await.unwrap(), (set("1:2,7"), 3));
    let error = session.search_deleted().await.unwrap_err();
    assert!(matches!(error, RemoteError::Garbled { .. }) && !error.ends_session());
    assert_eq!(session.take_pending().seen, [Untagged::Exists(4), Untagged::Expunge(1)]);
}

#[tokio::test(start_paused = true)]
async fn rows_of_others_are_kept_not_given() {
    let peer = Peer::new().says(
        "UID FETCH",
        "* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n* 2 FETCH (UID 9 FLAGS (\\Flagged))\r\n\
         * 3 FETCH (FLAGS ())\r\n* VANISHED x\r\n* 2 FETCH (UID 2 FLAGS x)\r\nT OK\r\n",
    );
    let mut session = opened(&peer).await;
    let mut rows = Vec::new();
    let items = FetchItems { flags: true, modseq: true, ..FetchItems::default() };
    session.fetch(&set("1:2"), items, Some(0), &mut |row| rows.push(row)).await.unwrap();
    assert_eq!(
        rows.iter().map(|r| (r.uid.0, r.flags.is_some())).collect::<Vec<_>>(),
        [(1, true), (2, false)]
    );
    assert_eq!(peer.seen().last().unwrap(), "UID FETCH 1:2 (UID FLAGS MODSEQ)");
    let pending = session.take_pending().seen;
    let [Untagged::Fetch(row), Untagged::Other, Untagged::Other] = &pending[..] else {
        panic!("{pending:?}");
    };
    assert_eq!(row.uid, Uid(9));
    session.fetch(&UidSet::new(), items, None, &mut |_| {}).await.unwrap();
    session.fetch(&set("1"), FetchItems::default(), Some(8), &mut |_| {}).await.unwrap();
    assert_eq!(peer.seen().last().unwrap(), "UID FETCH 1 (UID) (CHANGEDSINCE 8)");
}

#[tokio::test(start_paused = true)]
async fn long_sets_are_cut_and_pipelined() {
    let peer = Peer::new();
    let mut session = opened(&peer).await;
    let odd: UidSet = (0..60_000).map(|n| Uid(n * 2 + 1)).collect();
    session.fetch(&odd, FetchItems::default(), None, &mut |_| {}).await.unwrap();
    let fetches: Vec<_> = peer.seen().into_iter().filter(|c| c.contains("FETCH")).collect();
    assert!(fetches.len() > WINDOW_OF_SIXTEEN && fetches.iter().all(|c| c.len() < 8_000));
}

const WINDOW_OF_SIXTEEN: usize = 16;

#[tokio::test(start_paused = true)]
async fn a_refusal_in_a_row_of_commands_is_the_first_and_all_are_answered() {
    let peer =
        Peer::new().says("UID STORE", "T OK\r\n").says("UID STORE", "T NO [CANNOT] second\r\n");
    let mut session = opened(&peer).await;
    let odd: UidSet = (0..9_000).map(|n| Uid(n * 2 + 1)).collect();
    let flags = Flags::system(System::SEEN);
    let error = session.store(&odd, true, &flags, &mut |_| {}).await.unwrap_err();
    assert_eq!(error.code(), Some(&Code::Cannot));
    session.noop(&mut |_| {}).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn flags_travel_as_deltas_and_only_if_they_can() {
    let peer = Peer::new();
    let mut session = opened(&peer).await;
    let mut flags = Flags::system(System::SEEN.union(System::PASSED));
    flags.keywords.extend(["Work", "a]b", "b) EXPUNGE", "é", ""].map(Keyword::new));
    session.store(&set("4:6"), false, &flags, &mut |_| {}).await.unwrap();
    assert_eq!(peer.seen().last().unwrap(), "UID STORE 4:6 -FLAGS ($Forwarded \\Seen Work)");
    let commands = peer.seen().len();
    flags = Flags::default();
    flags.keywords.insert(Keyword::new("a b"));
    session.store(&set("4"), true, &flags, &mut |_| {}).await.unwrap();
    session.store(&set("4"), true, &Flags::default(), &mut |_| {}).await.unwrap();
    assert_eq!(peer.seen().len(), commands);
}

#[tokio::test(start_paused = true)]
async fn copyuid_from_wherever_it_is_said() {
    let peer = Peer::new()
        .says("COPY", "T OK [COPYUID 5 1,3 10:11] done\r\n")
        .says("MOVE", "* OK [COPYUID 5 2 12]\r\n* VANISHED 2\r\nT OK [HIGHESTMODSEQ 9] done\r\n")
        .says("COPY", "T OK nothing found\r\n")
        .says("MOVE", "* OK [COPYUID 5 4 13]\r\n* 1 EXPUNGE\r\nT NO [OVERQUOTA] half\r\n");
    let mut session = opened(&peer).await;
    let to = MailboxName::new("Trash");
    let copied = session.copy(&set("1:3"), &to).await.unwrap().unwrap();
    assert_eq!(copied.pairs, [(Uid(1), Uid(10)), (Uid(3), Uid(11))]);
    let mut seen = Vec::new();
    let moved = session.mv(&set("2"), &to, &mut |u| seen.push(u)).await.unwrap().unwrap();
    assert_eq!((moved.uid_validity, moved.pairs), (5, vec![(Uid(2), Uid(12))]));
    assert_eq!(seen, [Untagged::Vanished { earlier: false, uids: set("2") }]);
    assert_eq!(session.copy(&set("99"), &to).await.unwrap(), None);
    let error = session.mv(&set("4:5"), &to, &mut |_| {}).await.unwrap_err();
    assert_eq!(error.copied.unwrap().pairs, [(Uid(4), Uid(13))]);
    assert_eq!(error.error.code(), Some(&Code::OverQuota));
}

#[tokio::test(start_paused = true)]
async fn without_the_capability_there_is_no_command() {
    let peer = Peer::able_to("IMAP4rev1");
    let mut session = opened(&peer).await;
    let before = peer.seen().len();
    let moved = session.mv(&set("1"), &inbox(), &mut |_| {}).await.unwrap_err();
    let expunged = session.uid_expunge(&set("1"), &mut |_| {}).await.unwrap_err();
    assert!(matches!(moved.error, RemoteError::Unsupported { .. }));
    assert!(matches!(expunged, RemoteError::Unsupported { .. }));
    assert_eq!(peer.seen().len(), before);
}

#[tokio::test(start_paused = true)]
async fn lists_names_and_gates() {
    let peer = Peer::new().says(
        "LIST",
        "* LIST (\\Noinferiors) \".\" inbox\r\n* STATUS INBOX (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 2)\r\n\
         * LIST (\\Sent) \".\" \"INBOX.Gesendet &APw-\"\r\n* LIST (\\Noselect) \".\" {5}\r\na &.b\r\n\
         * LIST () \".\" a/b\r\n* LIST () NIL broken \r\n* LIST garbage\r\nT OK\r\n",
    );
    let mut session = connect(&peer).await;
    let listed = session.list_status().await.unwrap();
    let by = |name: &str| listed.iter().find(|m| m.name.as_str() == name).unwrap();
    assert_eq!(by("INBOX").gate.unwrap().messages, 3);
    assert_eq!(by("INBOX/Gesendet ü").special_use, Some(SpecialUse::Sent));
    assert!(by("INBOX/Gesendet ü").gate.is_none() && by("INBOX/Gesendet ü").problem.is_none());
    // Its spelling is not the one of that name, and is read all the same.
    assert!(!by("a &/b").selectable && by("a &/b").problem.is_none());
    assert!(by("a/b").problem.is_some());
    let sent = MailboxName::new("INBOX/Gesendet ü");
    session.select(&sent, Select::ReadOnly, None, &mut |_| {}).await.unwrap();
    assert_eq!(peer.seen().last().unwrap(), "EXAMINE \"INBOX.Gesendet &APw-\"");
    session.create(&MailboxName::new("Neu/Ä \"x\"")).await.unwrap();
    assert_eq!(peer.seen().last().unwrap(), "CREATE \"Neu.&AMQ- \\\"x\\\"\"");
    let error = session.create(&MailboxName::new("v1.2")).await.unwrap_err();
    assert!(matches!(error, RemoteError::Name { .. }) && !error.ends_session(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn list_status_is_asked_with_nothing_selected() {
    let peer = Peer::new();
    let mut session = opened(&peer).await;
    session.list_status().await.unwrap();
    let seen = peer.seen();
    assert_eq!(seen[seen.len() - 2], "UNSELECT");
    assert!(seen[seen.len() - 1].starts_with("LIST"));
    assert_eq!(session.selected(), None);
    // Announced but refused: by a SELECT that must fail, and the list is asked again.
    let peer = Peer::new()
        .says("UNSELECT", "T BAD what\r\n")
        .says("LIST", "* LIST () \"/\" stale\r\nT OK\r\n")
        .says("nowhere", "T NO [NONEXISTENT] none\r\n")
        .says("LIST", "* LIST () \"/\" fresh\r\nT OK\r\n");
    let listed = opened(&peer).await.list_status().await.unwrap();
    assert_eq!(listed.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["fresh"]);
}

#[tokio::test(start_paused = true)]
async fn without_list_status_each_is_asked() {
    let list = "* LIST () \"/\" a\r\n* LIST () \"/\" b\r\n* LIST (\\Noselect) \"/\" c\r\nT OK\r\n";
    for peer in [
        Peer::able_to("IMAP4rev1"),
        Peer::able_to("IMAP4rev1 LIST-STATUS").says("RETURN", "T BAD what?\r\n"),
    ] {
        let peer = peer
            .says("LIST", list)
            .says("STATUS \"a\"", "T NO [SERVERBUG] broken\r\n")
            .says("STATUS \"b\"", "* STATUS b (MESSAGES 4)\r\nT OK\r\n");
        let listed = connect(&peer).await.list_status().await.unwrap();
        let gates: Vec<_> = listed.iter().map(|m| m.gate.map(|g| g.messages)).collect();
        assert_eq!(gates, [None, Some(4), None]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_gone_only_if_the_server_says_so() {
    let peer = Peer::new()
        .says("STATUS", "* STATUS x (MESSAGES 4)\r\nT OK\r\n")
        .says("STATUS", "T NO [NONEXISTENT] no\r\n")
        .says("STATUS", "T NO perhaps\r\n")
        .says("STATUS", "T NO [UNAVAILABLE] later\r\n");
    let mut session = connect(&peer).await;
    let name = MailboxName::new("x");
    let gate = MailboxStatus { messages: 4, ..MailboxStatus::default() };
    assert_eq!(session.exists(&name).await.unwrap(), Existence::Exists(gate));
    assert_eq!(session.exists(&name).await.unwrap(), Existence::Gone);
    assert_eq!(session.exists(&name).await.unwrap(), Existence::Refused("perhaps".into()));
    assert_eq!(session.exists(&name).await.unwrap_err().code(), Some(&Code::Unavailable));
    assert!(peer.seen().iter().filter(|c| c.starts_with("LIST \"\" \"\"")).count() == 1);
}

#[tokio::test(start_paused = true)]
async fn the_selected_mailbox_is_left_before_it_is_deleted() {
    let peer = Peer::new();
    let mut session = opened(&peer).await;
    session.delete(&inbox()).await.unwrap();
    assert_eq!(peer.seen()[peer.seen().len() - 2..], ["UNSELECT", "DELETE \"INBOX\""]);
}

#[tokio::test(start_paused = true)]
async fn what_ends_a_session_ends_it_for_good() {
    for (answer, told) in [
        ("* BYE shutting down\r\n", "NOOP: the server hung up: shutting down"),
        ("* 5 EXI", "NOOP: the server closed the connection"),
        (
            "X9 OK\r\n",
            "NOOP: the server's answer makes no sense: it answers a command that was not given",
        ),
    ] {
        let peer = Peer::new().says("NOOP", answer).then_hangs_up();
        let mut session = opened(&peer).await;
        let error = session.noop(&mut |_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), told);
        assert!(error.ends_session());
        assert!(matches!(session.noop(&mut |_| {}).await, Err(RemoteError::Closed { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_and_dripping_end_at_the_deadline() {
    let mut session = opened(&Peer::new().says("NOOP", "* 5 EXISTS\r\n")).await;
    let before = tokio::time::Instant::now();
    let error = session.noop(&mut |_| {}).await.unwrap_err();
    assert!(matches!(error, RemoteError::Timeout { .. }), "{error}");
    assert!(before.elapsed() >= Duration::from_secs(60));

    let (ours, mut theirs) = tokio::io::duplex(64);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(20)).await;
            if theirs.write_all(b"x").await.is_err() {
                return;
            }
        }
    });
    let mut wire = super::wire::Wire::new(Box::new(ours), Allowance::new(Duration::from_secs(60)));
    assert!(matches!(wire.response().await, Err(crate::remote::broken::Broken::TimedOut(_))));
}

#[tokio::test(start_paused = true)]
async fn an_endless_line_ends_at_the_limit() {
    let bytes = vec![b'x'; Budget::SIGN_IN.line + (1 << 20)];
    let stream = Recording { bytes, at: 0, silent: false, step: usize::MAX };
    let mut wire =
        super::wire::Wire::new(Box::new(stream), Allowance::new(Duration::from_secs(60)));
    assert!(matches!(wire.response().await, Err(crate::remote::broken::Broken::Limit(..))));
}

#[tokio::test(start_paused = true)]
async fn hostile_literals_are_refused_before_they_cost() {
    for length in ["4294967295", "99999999999999999999", "2000000"] {
        let peer = Peer::new().says("NOOP", format!("* LIST () \"/\" {{{length}}}\r\nx"));
        let error = opened(&peer).await.noop(&mut |_| {}).await.unwrap_err();
        assert!(matches!(error, RemoteError::Limit { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_command_ends_the_session() {
    let mut session = opened(&Peer::new().says("NOOP", "* 5 EXISTS\r\n")).await;
    let soon = Duration::from_secs(1);
    assert!(tokio::time::timeout(soon, session.noop(&mut |_| {})).await.is_err());
    let error = session.search_all().await.unwrap_err();
    assert!(matches!(error, RemoteError::Protocol { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asked_for_is_bounded() {
    let many = "* 1 EXPUNGE\r\n".repeat(120_000);
    let mut session = opened(&Peer::new().says("CREATE", many + "T OK\r\n")).await;
    session.create(&MailboxName::new("x")).await.unwrap();
    let pending = session.take_pending();
    assert!(pending.overflowed && pending.seen.len() <= 100_000);
}
