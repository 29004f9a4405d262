use super::cursor::Value;
use super::fetch::{Body, Gathered, Section, row};
use super::list::{list, mailbox_status};
use super::status::copied_pairs;
use super::*;
use crate::reconcile::types::{Keyword, KeywordMask, SpecialUse, System, Uid};
use crate::remote::code::Code;

fn status(line: &[u8]) -> Status {
    match Response::parse(line) {
        Response::Status(status) | Response::Tagged { status, .. } => status,
        other => panic!("{other:?}"),
    }
}

fn fetch(items: &str) -> Option<super::fetch::FetchRow> {
    match Response::parse(format!("* 7 FETCH {items}\r\n").as_bytes()) {
        Response::Fetch(rest) => row(rest),
        other => panic!("{other:?}"),
    }
}

#[test]
fn literals_are_only_in_data() {
    for (line, marker) in [
        (&b"* 1 FETCH (BODY[] {5}\r\n"[..], Marker::Literal(5)),
        (b"* 1 FETCH (X ({5}\n", Marker::Literal(5)),
        (b"* 1 FETCH (BODY[] ~{7}\r\n", Marker::Literal(7)),
        (b"* 1 FETCH (BODY[] {4294967295}\r\n", Marker::Literal(4_294_967_295)),
        (b"* LIST () \"/\" {3+}\r\n", Marker::Literal(3)),
        (b"* LIST () \"/\" {99999999999999999999}\r\n", Marker::TooLong),
        (b"* LIST () \"/\" foo{5}\r\n", Marker::None),
        (b"* LIST () \"/\" \"foo {5}\"\r\n", Marker::None),
        (b"* LIST () \"/\" {}\r\n", Marker::None),
        (b"* LIST () \"/\" {x5}\r\n", Marker::None),
        (b"{5}\r\n", Marker::None),
        (b"", Marker::None),
    ] {
        assert_eq!(literal_marker(line), marker, "{}", line.escape_ascii());
    }
    for (line, may) in [
        ("* 1 FETCH (BODY[] {5}", true),
        ("* OK see ticket {5}", false),
        ("* NO {5}", false),
        ("* bye {5}", false),
        ("A1 OK done {5}", false),
        ("+ {5}", false),
    ] {
        assert_eq!(may_hold_literal(line.as_bytes()), may, "{line}");
    }
}

#[test]
fn statuses_with_any_words() {
    assert_eq!(status(b"A1 OK\r\n").words, "");
    assert_eq!(status("* OK [ALERT]é\r\n".as_bytes()).code, Some(Code::Alert));
    assert_eq!(status(b"* OK [UIDNEXT 9]").code, Some(Code::UidNext(9)));
    assert_eq!(status(b"* OK [HIGHESTMODSEQ 5]\r\n").code, Some(Code::HighestModseq(5)));
    assert_eq!(status(b"* OK \xff\xfe text").words, "\u{fffd}\u{fffd} text");
    assert_eq!(status(b"a no [OverQuota] full").code, Some(Code::OverQuota));
    assert_eq!(status(b"a NO [UNHEARD OF] x").code, Some(Code::Other("UNHEARD OF".into())));
    assert_eq!(status(b"a NO [UIDNEXT x] y").code, Some(Code::Other("UIDNEXT x".into())));
    assert_eq!(status(b"a NO [never closed").code, None);
    assert_eq!(
        status(b"* OK [MAILBOXID (F2212ea)] ok").code,
        Some(Code::MailboxId("F2212ea".into()))
    );
    let modified = UidSet::parse(b"7,9").unwrap();
    assert_eq!(status(b"a OK [MODIFIED 7,9] x").code, Some(Code::Modified(modified)));
    assert!(matches!(Response::parse(b"\r\n"), Response::Other));
    assert!(matches!(Response::parse(b"* \r\n"), Response::Other));
    assert!(matches!(Response::parse(b"*\r\n"), Response::Other));
    assert!(matches!(Response::parse(b"A1\r\n"), Response::Other));
    assert!(matches!(Response::parse(b"* 99999999999 EXISTS\r\n"), Response::Other));
}

#[test]
fn permanent_flags_make_the_mask() {
    let mask = |line: &[u8]| match status(line).code {
        Some(Code::PermanentFlags(mask)) => mask,
        other => panic!("{other:?}"),
    };
    let some = mask(b"* OK [PERMANENTFLAGS (\\Seen \\Deleted a]b Work)] limited");
    assert_eq!(some.system, System::SEEN.union(System::TRASHED));
    assert!(some.holds(&Keyword::new("WORK")) && some.holds(&Keyword::new("a]b")));
    let any = mask(b"* OK [PERMANENTFLAGS (\\Seen \\*)] any");
    assert_eq!(any.keywords, KeywordMask::Any);
    assert!(any.system.contains(System::PASSED) && !any.system.contains(System::DRAFT));
    assert_eq!(mask(b"* OK [PERMANENTFLAGS ()] none").system, System::NONE);
}

#[test]
fn copyuid_is_believed_only_if_it_fits() {
    let asked = UidSet::parse(b"1:5,9").unwrap();
    let pairs = |line: &[u8]| match status(line).code {
        Some(Code::CopyUid(38, source, target)) => copied_pairs(&asked, &source, &target),
        other => panic!("{other:?}"),
    };
    let pair = |a, b| (Uid(a), Uid(b));
    assert_eq!(
        pairs(b"* OK [COPYUID 38 2:3,9 7,5,6] x"),
        Some(vec![pair(2, 7), pair(3, 5), pair(9, 6)])
    );
    assert_eq!(pairs(b"* OK [COPYUID 38 1:4294967295 1:4294967295] x"), None);
    assert_eq!(pairs(b"* OK [COPYUID 38 1:2 1:3] x"), None);
    assert_eq!(pairs(b"* OK [COPYUID 38 7 1] x"), None);
}

#[test]
fn lists_of_every_make() {
    let take = |line: &'static str| list(line.as_bytes()).unwrap();
    let inbox = take("(\\HasNoChildren \\sent) \"/\" INBOX\r\n");
    assert_eq!((&*inbox.raw, inbox.special_use), (&b"INBOX"[..], Some(SpecialUse::Sent)));
    assert!(inbox.selectable && inbox.delimiter == Some('/'));
    assert_eq!(&*take("() \"\\\\\" \"a\\\\b \\\"c\\\"\"").raw, b"a\\b \"c\"");
    assert_eq!(take("() \"\\\" a\\b").delimiter, Some('\\'));
    assert_eq!(&*take("() NIL {5}\r\na (b)\r\n").raw, b"a (b)");
    assert_eq!(take("() NIL nil").delimiter, None);
    assert_eq!(&*take("() NIL nil").raw, b"nil");
    assert_eq!(&*take("() \".\" 50%(x)").raw, b"50%(x)");
    assert_eq!(&*take("() \"/\" \"a\" (\"CHILDINFO\" (\"SUBSCRIBED\"))").raw, b"a");
    assert!(!take("(\\nonexistent) \"/\" a").selectable);
    for bad in ["", "(", "() ", "() \"/\"", "(\\A \"/\" x", "() \"/\" \"never closed"] {
        assert_eq!(list(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn mailbox_status_of_every_make() {
    let line = b"\"a b\" (MESSAGES 3 SIZE 99999999999 UIDNEXT 4 MAILBOXID (M1) X (a (b)) \
        UIDVALIDITY 5 HIGHESTMODSEQ 18446744073709551615)\r\n";
    let all = mailbox_status(line).unwrap();
    assert_eq!(&*all.raw, b"a b");
    assert_eq!((all.gate.messages, all.gate.uid_next, all.gate.uid_validity), (3, 4, 5));
    assert_eq!(all.gate.highest_modseq, Some(u64::MAX));
    assert_eq!(all.object_id.as_deref(), Some("M1"));
    let zero = mailbox_status(b"a (MESSAGES 0 HIGHESTMODSEQ 0)").unwrap();
    assert_eq!((zero.gate.highest_modseq, zero.gate.uid_validity), (None, 0));
    assert_eq!(mailbox_status(b"a (MESSAGES x)"), None);
    assert_eq!(mailbox_status(b"a"), None);
    assert_eq!(mailbox_status(b"{1}\r\na ()").unwrap().gate, Default::default());
}

#[test]
fn searches_of_every_make() {
    let set = |text: &str| Some(UidSet::parse(text.as_bytes()).unwrap());
    assert_eq!(search(b""), Some(UidSet::new()));
    assert_eq!(search(b"2 3  9 (MODSEQ 917162500)"), set("2:3,9"));
    assert_eq!(search(b"2 x 9"), None);
    assert_eq!(search(b"0"), None);
    assert_eq!(search(b"4294967296"), None);
    assert_eq!(esearch(b"(TAG \"A1\") UID ALL 1:5,9 MODSEQ 7"), set("1:5,9"));
    assert_eq!(esearch(b"(TAG \"A1\") UID"), Some(UidSet::new()));
    assert_eq!(esearch(b"(TAG \"A1\") UID MIN 1 COUNT 3"), Some(UidSet::new()));
    assert_eq!(esearch(b"(TAG \"A1\") UID ALL x"), None);
    assert_eq!(esearch(b"UID ALL"), None);
}

#[test]
fn vanished_keeps_its_ranges() {
    let take = |line: &'static [u8]| match Response::parse(line) {
        Response::Vanished { earlier, uids } => (earlier, uids.map(|u| u.to_string())),
        other => panic!("{other:?}"),
    };
    assert_eq!(take(b"* VANISHED (EARLIER) 1:4294967295\r\n"), (true, Some("1:*".into())));
    assert_eq!(take(b"* VANISHED 3, 5:7\r\n"), (false, Some("3,5:7".into())));
    assert_eq!(take(b"* VANISHED (EARLIER)\r\n"), (true, None));
    assert_eq!(take(b"* VANISHED x\r\n"), (false, None));
}

#[test]
fn rows_in_any_order_and_spelling() {
    let all = fetch(
        "(MODSEQ (12) FLAGS (\\seen \\Recent  Work $forwarded \\X) EMAILID (M1) X-Y (\"a)\" (b)) \
         INTERNALDATE \" 1-Jan-1970 00:00:09 +0000\" RFC822.SIZE 5000000000 UID 9)",
    )
    .unwrap();
    assert_eq!(
        (all.uid, all.modseq, all.size, all.date),
        (Uid(9), Some(12), Some(5_000_000_000), Some(9))
    );
    let flags = all.flags.unwrap();
    assert_eq!(flags.imap_names(), ["$Forwarded", "\\Seen", "Work"]);
    assert_eq!(all.object_id.as_deref(), Some("M1"));
    assert_eq!(
        fetch("(UID 3 X-GM-MSGID 1278455344230334865)").unwrap().object_id.unwrap(),
        "1278455344230334865"
    );
    assert_eq!(fetch("(UID 3 INTERNALDATE NIL RFC822.SIZE NIL MODSEQ 4)").unwrap().modseq, Some(4));
    assert_eq!(fetch("(FLAGS (\\Seen))"), None, "no UID");
    assert_eq!(fetch("()"), None);
    assert_eq!(fetch("(UID 0)"), None);
}

#[test]
fn odd_flags_are_flags_or_missing_and_never_none() {
    let flags = |text: &str| fetch(&format!("(UID 1 {text} RFC822.SIZE 7)")).unwrap();
    let names = |text: &str| {
        let row = flags(text);
        assert_eq!(row.size, Some(7), "{text}");
        row.flags.unwrap().keywords.iter().map(|k| k.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("FLAGS (a{b)"), ["a{b"]);
    assert_eq!(names("FLAGS (a]b \\Seen  grün)"), ["a]b", "grün"]);
    assert_eq!(names("FLAGS ( )"), Vec::<String>::new());
    assert_eq!(names("FLAGS (\"x\")"), ["\"x\""]);
    assert_eq!(flags("FLAGS x").flags, None);
    for (text, kept) in [
        ("FLAGS (a (b) c)", &["a", "c"][..]),
        ("FLAGS (a b(c)", &["a"]),
        ("FLAGS (b(c) a)", &["a"]),
        ("FLAGS (a b(c d)e f)", &["a", "d", "e", "f"]),
        ("FLAGS NIL", &[]),
    ] {
        assert_eq!(names(text), kept, "hazard 132: {text}");
        assert_eq!(flags(text).size, Some(7), "{text}");
    }
    let nested = fetch("(UID 1 FLAGS ((\\Seen) a(b))").unwrap().flags.unwrap();
    assert_eq!((nested.system, nested.keywords.len()), (System::SEEN, 0), "hazard 132");
    assert_eq!(fetch("(UID 1 FLAGS (\\Seen").unwrap().flags, None);
    assert_eq!(fetch("(UID 1 FLAGS").unwrap().flags, None);
}

#[test]
fn literals_and_strings_hide_what_is_in_them() {
    let row = fetch("(X-GM-LABELS (\"\\\\Sent\" {9}\r\n) UID 8 ( \"q)\") UID 5 FLAGS ())").unwrap();
    assert_eq!((row.uid, row.flags.is_some()), (Uid(5), true));
}

#[test]
fn texts_are_found_where_they_are() {
    let mut gathered = Gathered::default();
    let mut cursor =
        Cursor::new(b"(UID 5 BODY[HEADER.FIELDS (X Y)] \"h\" BODY[]<0> NIL BODY[] {99}\r\n");
    let mut next = || gathered.read(&mut cursor);
    assert_eq!(next().unwrap().section, Section::Other);
    assert_eq!(next().unwrap().value, Value::Nil);
    let whole = Body { section: Section::Whole, value: Value::Announced(99) };
    assert_eq!(next().unwrap(), whole);
    assert_eq!(next(), None);
    assert_eq!(gathered.uid, Some(Uid(5)));
    let mut cursor = Cursor::new(b"(RFC822 ~{2}\r\nab UID 6)\r\n");
    let body = gathered.read(&mut cursor).unwrap();
    assert_eq!((body.section, body.value), (Section::Whole, Value::Bytes(b"ab".as_slice().into())));
}

/// Whatever a server sends: no panic, and an end.
#[test]
fn nothing_is_fatal() {
    let seeds: [&[u8]; 8] = [
        b"* 7 FETCH (UID 5 FLAGS (\\Seen a{b) BODY[HEADER.FIELDS (X)] {4}\r\nabcd MODSEQ (5))\r\n",
        b"* LIST (\\Noselect) \"\\\" \"a\\\"b\" (\"CHILDINFO\" (\"X\"))\r\n",
        b"* STATUS {3}\r\na b (MESSAGES 3 X (a (b)))\r\n",
        b"* ESEARCH (TAG \"A1\") UID ALL 1:5,9 MODSEQ 7\r\n",
        b"* VANISHED (EARLIER) 1:*,5\r\n",
        b"* OK [PERMANENTFLAGS (\\Seen a]b \\*)] \xc3\xa9\r\n",
        b"A1 NO [COPYUID 1 1:5 2:6] x {5}\r\n",
        b"* SEARCH 1 2 (MODSEQ 3)\r\n",
    ];
    let alphabet = b"()[]{}\"\\ 0129*+~AUID\r\n\xff,:";
    let mut seed = 1_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for _ in 0..40_000 {
        let mut line = seeds[next(seeds.len())].to_vec();
        for _ in 0..next(4) {
            let at = next(line.len());
            match next(3) {
                0 => line[at] = alphabet[next(alphabet.len())],
                1 => drop(line.remove(at)),
                _ => line.insert(at, alphabet[next(alphabet.len())]),
            }
        }
        line.truncate(next(line.len() * 3));
        literal_marker(&line);
        for_the_shell(&line, true);
        match Response::parse(&line) {
            Response::Fetch(rest) => drop(row(rest)),
            Response::List(rest) => drop(list(rest)),
            Response::MailboxStatus(rest) => drop(mailbox_status(rest)),
            Response::Search(rest) => drop(search(rest)),
            Response::Esearch(rest) => drop(esearch(rest)),
            _ => {}
        }
    }
}

#[test]
fn deep_nesting_ends() {
    let deep = [&b"* 1 FETCH (UID 1 X "[..], &b"(".repeat(100_000)].concat();
    assert!(matches!(Response::parse(&deep), Response::Fetch(rest) if row(rest).is_some()));
}
