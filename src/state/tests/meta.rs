//! Single facts: what older versions wrote is read, and written in the same way.

use super::*;
use crate::state::meta::*;

fn same<T: Fact>(store: &mut Store, key: &Key<T>, name: &str, texts: &[&str]) {
    for text in texts {
        store.transaction(|tx| tx.set_meta(name, text)).unwrap();
        let value = store.fact(key).unwrap().unwrap_or_else(|| panic!("{name}: {text}"));
        store.transaction(|tx| tx.delete_fact(key)).unwrap();
        assert!(!store.has_fact(key).unwrap());
        store.transaction(|tx| tx.set_fact(key, &value)).unwrap();
        assert_eq!(store.meta(name).unwrap().as_deref(), Some(*text), "{name}");
    }
}

#[test]
fn facts_keep_their_keys_and_texts() {
    let mut fixture = Fixture::new();
    let s = &mut fixture.store;
    let (id, name) = (MailboxId(7), MailboxName::new("Lists/a b"));
    same(s, &ROOT_DISK, "root_disk", &["65024"]);
    same(s, &MARKER, "marker", &["12"]);
    same(s, &MARKER_NEXT, "marker_next", &["13"]);
    same(s, &IDENTITY, "identity", &["me@host:993"]);
    same(s, &SCOPE, "scope", &["{\"version\":1}"]);
    same(s, &LIMITS, "limits", &["1000000000"]);
    same(s, &UNITING, "uniting", &["1", "new", "changed"]);
    same(s, &BRINGS_BACK, "unites", &["here there flags", "there", ""]);
    same(s, &ROOTS, "roots", &["1:5 2:9", "3:0"]);
    same(s, &PASSED, "passed", &["1"]);
    same(s, &MARKED_DELETED, "marked_deleted", &["7 99 1:3,5\n8 1 4\n"]);
    same(s, &TAKEN, "taken", &["5 1 33 1700000000 1\n6 0 34 1700000001 0\n"]);
    same(
        s,
        &KEYWORDS_LOCKS,
        "keywords_locks",
        &["[{\"mailbox\":\"INBOX\",\"id\":null,\"noted_s\":17}]"],
    );
    same(s, &KEYWORDS_REFUSED, "keywords_refused", &["7 33 2 $Label1\n8 34 1 todo"]);
    same(s, &MODSEQ_STILL, "modseq_still", &["7 1234"]);
    same(s, &MODSEQ_STORED, "modseq_stored", &["7 1234 33,8 1235 34"]);
    same(s, &FILES_COMPARED, "files_compared", &["1700000000"]);
    same(s, &FILES_COMPARED_TO, "files_compared_to", &["0 0", "7 55"]);
    same(s, &ASK_AGAIN, "ask_again", &["33 1700003600 3600"]);
    same(s, &ANNOUNCED_SIZES, "announced_sizes", &["16 0"]);
    let short = "{\"row\":5,\"octets\":60,\"runs\":1,\"last\":33,\"at\":17}";
    same(s, &SHORT_BODIES, "short_bodies", &["[]", &format!("[{short}]")]);
    let short = short.replace(":5,", ":\"uidl\",");
    same(s, &SHORT_BODIES_OF_NAMES, "short_bodies", &["", &format!("[{short}]")]);
    same(s, &SIZE_HABIT, "size_habit", &["offset 9", "blocks 512", "percent 133"]);
    let directories = ["1 2 false 3 mark INBOX", "1 2 true 0 - Lists/a b"];
    same(s, &MAILBOX_DIRECTORY, "mailbox_directory", &directories);
    same(s, &MAILBOX, "mailbox", &["Lists/a b"]);
    same(s, &PULLS, "pulls", &["1"]);
    same(s, &UIDL_DOUBTED, "uidl_doubted", &["19700"]);
    same(s, &UIDL_RENAMED, "uidl_renamed", &["1"]);
    same(s, &POP3_ODD_ABOUT_ONE, "pop3_odd_about_one", &["1"]);
    same(s, &looking(id), "looking 7", &["99"]);
    same(s, &renaming(id), "renaming 7", &["99"]);
    same(s, &numbers(id), "numbers 7", &["alone", "with others"]);
    same(s, &shut(&name), "shut Lists/a b", &["by SELECT"]);
    same(s, &refused(id), "refused 7", &["33"]);
    same(s, &missed(id, 99), "missed 7 99", &["33 1,2,5"]);
    same(s, &shut_at(id), "shut at 7", &["33 99 1000"]);
    s.transaction(|tx| tx.set_meta("mailbox_directory", "1 2 false - INBOX")).unwrap();
    assert_eq!(s.fact(&MAILBOX_DIRECTORY).unwrap().unwrap().home.root, 0);
    s.transaction(|tx| tx.set_meta("unites", "1")).unwrap();
    assert!(s.fact(&BRINGS_BACK).unwrap().is_some_and(|back| back.here && back.there));
}
