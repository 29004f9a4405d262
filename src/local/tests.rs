//! The local side on a real disk. What needs a crash or a power loss is in the test kit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::local::content::{content_id, wire_form};
use crate::local::fs::RealFs;
use crate::local::*;
use crate::reconcile::types::{
    Coverage, FileStamp, Flags, Keyword, Local, MailboxName, Stem, System,
};

struct World {
    dir: tempfile::TempDir,
    root: Root,
    inbox: MailboxName,
}

fn options() -> RootOptions {
    RootOptions { create: true, ..RootOptions::new("00ff", "host") }
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let root =
        Root::open(Arc::new(RealFs::default()), &dir.path().join("mail"), options()).unwrap();
    let inbox = MailboxName::new("INBOX");
    root.create_mailbox(&inbox).unwrap();
    World { dir, root, inbox }
}

impl World {
    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join("mail").join(below)
    }

    fn put(&self, below: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(below), bytes).unwrap();
        self.path(below)
    }

    fn local(&self, name: &str) -> Local {
        let listed = self.root.list(&self.inbox).unwrap().get(&stem(name)).unwrap();
        let stamp = self.root.stat(&self.inbox, &listed.name).unwrap().unwrap();
        let table = self.root.keyword_table(&self.inbox).unwrap();
        self.root.local_of(&listed, &table, stamp)
    }

    fn listed(&self, name: &str) -> Listed {
        self.root.list(&self.inbox).unwrap().get(&stem(name)).unwrap()
    }

    fn deliver(&self, name: &str, chunks: &[&[u8]]) -> Delivered {
        let mut delivery = self.root.begin(&self.inbox, &stem(name)).unwrap();
        chunks.iter().for_each(|chunk| delivery.write(chunk).unwrap());
        delivery.finish(1_000_000_000).unwrap()
    }
}

fn stem(name: &str) -> Stem {
    Stem(name.as_bytes().to_vec())
}

fn flags(names: &[&str]) -> Flags {
    let mut flags = Flags::default();
    names.iter().for_each(|name| flags.insert_imap(name));
    flags
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|n| n.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_delivery_lands_whole_wherever_its_line_ends_change() {
    let w = world();
    let mut rng = fastrand::Rng::with_seed(1);
    let lines = |n: usize| "some line\r\n".repeat(n).into_bytes();
    // The last is far behind the first chunks that were written in the LF form.
    let odd: [&[u8]; 4] = [b"", b"\r\r\n", b"bare\n", b"lone\rx\r"];
    for (i, odd) in odd.iter().enumerate() {
        for n in [0, 1, 40_000] {
            let wire = [lines(n), odd.to_vec(), lines(n / 4)].concat();
            let mut rest = &wire[..];
            let mut chunks = Vec::new();
            while !rest.is_empty() {
                let (chunk, more) = rest.split_at(rng.usize(1..=rest.len().min(150_000)));
                chunks.push(chunk);
                rest = more;
            }
            let name = format!("m{i}-{n}");
            let done = w.deliver(&name, &chunks);
            assert_eq!(done.summary.content, content_id(&wire));
            w.root.sync_deliveries(&[&done]).unwrap();
            let placed = w.root.place(&w.inbox, &done.stem, false, "2,S").unwrap();
            let Placed::Placed(stamp) = placed else { panic!("{placed:?}") };
            let disk = fs::read(w.path(&format!("INBOX/cur/{name}:2,S"))).unwrap();
            let raw = [b"\r\r\n".as_slice(), b"bare\n"].contains(odd);
            assert_eq!(disk == wire, raw || !wire.contains(&b'\n'), "{name}");
            assert_eq!(wire_form(&disk), wire_form(&wire), "{name}");
            assert_eq!((stamp.size, done.file_size), (disk.len() as u64, disk.len() as u64));
            assert_eq!(stamp.mtime_ns, 1_000_000_000_000_000_000);
            if let Examined::Message { summary, stamp: seen, mtime_s, .. } =
                w.root.examine(&w.inbox, &w.listed(&name)).unwrap()
            {
                assert_eq!((summary, seen, mtime_s), (done.summary, stamp, 1_000_000_000));
            } else {
                assert!(wire.is_empty());
            }
        }
    }
}

#[test]
fn a_push_gives_the_announced_octets_and_notices_a_change() {
    let w = world();
    let path = w.put("INBOX/cur/a:2,", &b"x\ny\r\nz".repeat(30_000));
    let look = || match w.root.examine(&w.inbox, &w.listed("a")).unwrap() {
        Examined::Message { summary, stamp, .. } => (summary, stamp),
        other => panic!("{other:?}"),
    };
    let drain = |source: &mut PushSource| {
        let (mut all, mut buf) = (Vec::new(), [0; 7000]);
        loop {
            match source.read(&mut buf)? {
                0 => return Ok::<_, LocalError>(all),
                n => all.extend_from_slice(&buf[..n]),
            }
        }
    };
    let (summary, stamp) = look();
    let open = |stamp| w.root.open_for_push(&w.inbox, &w.listed("a"), stamp, summary.wire_size);
    let mut source = open(stamp).unwrap();
    let sent = drain(&mut source).unwrap();
    assert_eq!(sent, wire_form(&fs::read(&path).unwrap()));
    assert_eq!(source.finish().unwrap(), Pushed { content: summary.content, unchanged: true });

    let mut grows = open(stamp).unwrap();
    let mut shrinks = open(stamp).unwrap();
    let longer = [fs::read(&path).unwrap(), b"more".to_vec()].concat();
    fs::write(&path, longer).unwrap();
    assert_eq!(drain(&mut grows).unwrap().len() as u64, summary.wire_size);
    assert!(!grows.finish().unwrap().unchanged);
    fs::write(&path, b"short").unwrap();
    assert!(matches!(drain(&mut shrinks), Err(LocalError::Changed { .. })));
    assert!(matches!(open(stamp), Err(LocalError::Changed { .. })));
}

#[test]
fn what_is_no_message_is_not_taken_for_one() {
    let w = world();
    w.put("INBOX/cur/.hidden:2,", b"x");
    w.put("INBOX/cur/empty:2,", b"");
    let target = w.put("INBOX/cur/real:2,", b"x");
    symlink(&target, w.path("INBOX/cur/link:2,")).unwrap();
    fs::create_dir(w.path("INBOX/cur/dir:2,")).unwrap();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        w.path("INBOX/cur/pipe:2,"),
        rustix::fs::Mode::from_raw_mode(0o600),
    )
    .unwrap();
    let listing = w.root.list(&w.inbox).unwrap();
    assert_eq!(listing.len(), 2);
    for (name, expected) in [
        ("empty", Examined::Empty),
        ("link", Examined::NotRegular),
        ("dir", Examined::NotRegular),
        ("pipe", Examined::NotRegular),
        ("none", Examined::Gone),
    ] {
        let local = Local {
            stem: stem(name),
            in_new: false,
            info: "2,".into(),
            flags: Flags::default(),
            stamp: FileStamp::default(),
        };
        let listed = Listed::expected(&local, b':');
        assert_eq!(w.root.examine(&w.inbox, &listed).unwrap(), expected, "{name}");
    }
}

#[test]
fn flags_are_set_by_renames_that_never_overwrite() {
    let w = world();
    w.put("INBOX/dovecot-keywords", b"0 Work\n");
    w.put("INBOX/new/a", b"x");
    let table = w.root.keyword_table(&w.inbox).unwrap();
    let set = |seen: &Local, names: &[&str]| {
        w.root.set_flags(&w.inbox, seen, &flags(names), &table).unwrap()
    };
    let a = w.local("a");
    assert!(matches!(set(&a, &[]), Changed::Changed(now) if now.in_new));
    let Changed::Changed(now) = set(&a, &["\\Seen", "work", "late"]) else { panic!() };
    assert_eq!((now.info.as_str(), now.in_new, now.stamp), ("2,Sa", false, a.stamp));
    assert_eq!(w.local("a").flags, flags(&["\\Seen", "Work"]));
    // The row still says new/: the name of now is reported, nothing is done.
    assert!(matches!(set(&a, &["\\Flagged"]), Changed::Moved(l) if l.info == "2,Sa"));
    assert!(matches!(set(&w.local("a"), &[]), Changed::Changed(now) if now.info == "2,"));
    assert_eq!(names(&w.path("INBOX/cur")), ["a:2,"]);

    // Letters and fields of others stay; a taken name is not overwritten.
    w.put("INBOX/cur/b:2,QSz,X", b"b");
    assert!(
        matches!(set(&w.local("b"), &["\\Flagged"]), Changed::Changed(n) if n.info == "2,FQz,X")
    );
    w.put("INBOX/cur/c:2,", b"c1");
    let c = w.local("c");
    w.put("INBOX/cur/c:2,S", b"c2");
    assert!(matches!(set(&c, &["\\Seen"]), Changed::Moved(l) if l.also.len() == 1));
    assert_eq!(fs::read(w.path("INBOX/cur/c:2,S")).unwrap(), b"c2");
    assert_eq!(w.root.list(&w.inbox).unwrap().doubled, [stem("c")]);
    fs::remove_file(w.path("INBOX/cur/a:2,")).unwrap();
    assert_eq!(set(&a, &["\\Seen"]), Changed::Gone);
}

#[test]
fn moves_and_trash_are_renames() {
    let w = world();
    let work = MailboxName::new("Work/Alpha");
    w.put("INBOX/cur/a:2,S", b"a");
    let a = w.local("a");
    let moved = || w.root.move_to(&w.inbox, &a, &work, &stem("b"), false, "2,S");
    assert_eq!(moved().unwrap_err().scope(), Scope::Mailbox, "no such mailbox");
    w.root.create_mailbox(&work).unwrap();
    w.put("Work/Alpha/cur/b:2,S", b"another");
    assert_eq!(moved().unwrap(), Changed::Exists);
    let to = stem("c");
    let moved = w.root.move_to(&w.inbox, &a, &work, &to, true, "2,S").unwrap();
    assert!(matches!(moved, Changed::Changed(now) if now.stamp == a.stamp));
    assert_eq!(names(&w.path("Work/Alpha/new")), ["c"]);

    w.put("INBOX/cur/t:2,S", b"t");
    let t = w.local("t");
    w.put("INBOX/cur/t:2,S", b"edited");
    assert_eq!(w.root.trash(&w.inbox, &t, 0).unwrap(), TrashOutcome::Changed);
    for _ in 0..2 {
        w.put("INBOX/cur/t:2,S", b"t");
        let outcome = w.root.trash(&w.inbox, &w.local("t"), 0).unwrap();
        assert!(matches!(outcome, TrashOutcome::Trashed(_)));
    }
    assert_eq!(w.root.trash(&w.inbox, &t, 0).unwrap(), TrashOutcome::Gone);
    let trash = w.path(".mailtide/trash/1970-01-01/INBOX");
    assert_eq!(names(&trash), ["t:2,S", "t:2,S~1"]);

    w.put("INBOX/cur/u:2,S", b"u");
    let u = w.local("u");
    let in_trash = |mailbox: &MailboxName, file: &Local| {
        w.root.trashed(mailbox, std::iter::once(file)).unwrap().contains(&file.stamp.ino)
    };
    assert!(!in_trash(&w.inbox, &u), "still in its mailbox");
    w.root.trash(&w.inbox, &u, 1_000_000_000).unwrap();
    assert!(in_trash(&w.inbox, &u), "of whatever day");
    assert!(!in_trash(&work, &u), "in the trash of another mailbox");
    let stamp = FileStamp { size: 2, ..u.stamp };
    assert!(!in_trash(&w.inbox, &Local { stamp, ..u }), "another file with its inode");

    w.root.create_mailbox(&MailboxName::new("Work")).unwrap();
    assert_eq!(w.root.remove_mailbox(&MailboxName::new("Work"), 0).unwrap(), Removal::Removed);
    assert_eq!(w.root.remove_mailbox(&MailboxName::new("Work"), 0).unwrap(), Removal::Absent);
    assert_eq!(w.root.remove_mailbox(&work, 0).unwrap(), Removal::Occupied);
    assert_eq!(names(&w.path("Work/Alpha/new")), ["c"]);
    for sub in ["new", "cur"] {
        let dir = w.path(&format!("Work/Alpha/{sub}"));
        names(&dir).iter().for_each(|name| fs::remove_file(dir.join(name)).unwrap());
    }
    w.put("Work/Alpha/cur/.editor", b"left");
    assert_eq!(w.root.remove_mailbox(&work, 0).unwrap(), Removal::Removed);
    assert_eq!(names(&w.path(".mailtide/trash/1970-01-01/Work%2FAlpha")), [".editor"]);
    assert!(!w.path("Work/Alpha").exists());
    let left = w.root.mailboxes().unwrap();
    assert_eq!(left.found.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["INBOX"]);
}

#[test]
fn copies_are_deliveries_and_keep_the_source() {
    let w = world();
    let path = w.put("INBOX/cur/a:2,S", b"Message-ID: <1>\n\nbody\n");
    let a = w.local("a");
    let copied = w.root.copy_to(&w.inbox, &a, &w.inbox, &stem("b"), 77).unwrap();
    let Copied::Copied(delivered) = copied else { panic!("{copied:?}") };
    assert!(delivered.summary.header.has_message_id);
    w.root.sync_deliveries(&[&delivered]).unwrap();
    let placed = w.root.place(&w.inbox, &stem("b"), true, "").unwrap();
    assert!(matches!(placed, Placed::Placed(s) if s.mtime_ns == 77_000_000_000));
    assert_eq!(fs::read(&path).unwrap(), fs::read(w.path("INBOX/new/b")).unwrap());
    assert_eq!(w.local("a").stamp, a.stamp);
    fs::write(&path, b"other").unwrap();
    let again = w.root.copy_to(&w.inbox, &a, &w.inbox, &stem("c"), 77).unwrap();
    assert_eq!(again, Copied::Changed);
    assert!(names(&w.path("INBOX/tmp")).is_empty());
}

#[test]
fn only_our_own_unfinished_files_are_cleaned() {
    let w = world();
    w.put("INBOX/tmp/foreign", b"x");
    w.put("INBOX/tmp/mailtide-beef-other", b"x");
    for name in ["dead", "kept"] {
        w.deliver(name, &[b"x"]);
    }
    drop(w.root.begin(&w.inbox, &stem("dropped")).unwrap());
    let keep = BTreeSet::from([stem("kept")]);
    assert_eq!(w.root.clean_tmp(&w.inbox, &keep).unwrap(), 1);
    assert_eq!(
        names(&w.path("INBOX/tmp")),
        ["foreign", "mailtide-00ff-kept", "mailtide-beef-other"]
    );
    assert!(w.root.tmp_exists(&w.inbox, &stem("kept")).unwrap());
    w.root.discard(&w.inbox, &stem("kept")).unwrap();
    assert_eq!(w.root.place(&w.inbox, &stem("kept"), true, "").unwrap(), Placed::NotInTmp);
    fs::remove_dir_all(w.path("INBOX/tmp")).unwrap();
    w.deliver("again", &[b"x"]);
    w.put("INBOX/new/again", b"other");
    assert_eq!(w.root.place(&w.inbox, &stem("again"), true, "").unwrap(), Placed::Exists);
    let other = MailboxName::new("Gone");
    assert!(w.root.begin(&other, &stem("a")).is_err(), "no mailbox is made by a delivery");
}

#[test]
fn a_batch_of_any_size_is_synced_and_a_failure_names_its_file() {
    let w = world();
    for n in [1, 3, 150] {
        let batch: Vec<Delivered> =
            (0..n).map(|i| w.deliver(&format!("{n}-{i}"), &[b"x"])).collect();
        w.root.sync_deliveries(&batch.iter().collect::<Vec<_>>()).unwrap();
    }
    let lost = [w.deliver("here", &[b"x"]), w.deliver("lost", &[b"x"])];
    fs::remove_file(w.path("INBOX/tmp/mailtide-00ff-lost")).unwrap();
    let error = w.root.sync_deliveries(&lost.iter().collect::<Vec<_>>()).unwrap_err();
    assert!(error.path().ends_with("mailtide-00ff-lost"), "{error}");
}

#[test]
fn a_root_has_one_holder_and_is_not_made_by_accident() {
    let w = world();
    let again = || Root::open(Arc::new(RealFs::default()), w.root.path(), options());
    let error = again().unwrap_err();
    assert!(matches!(&error, LocalError::Locked { by, .. } if by.ends_with("@host")), "{error}");
    let guest = RootOptions { lock: None, ..options() };
    assert!(Root::open(Arc::new(RealFs::default()), w.root.path(), guest).is_ok());
    let nowhere = w.path("../none");
    let strict = RootOptions { create: false, ..options() };
    let error = Root::open(Arc::new(RealFs::default()), &nowhere, strict).unwrap_err();
    assert!(matches!(error, LocalError::NoRoot { .. }));
    assert!(!nowhere.exists());
    // A root may be a link; what is a link inside is no mailbox.
    symlink(w.path("INBOX"), w.path("Linked")).unwrap();
    assert_eq!(w.root.mailboxes().unwrap().found.len(), 1);
    let link = w.dir.path().join("link");
    symlink(w.root.path(), &link).unwrap();
    let World { root, dir: _dir, .. } = w;
    drop(root);
    let root = Root::open(Arc::new(RealFs::default()), &link, options()).unwrap();
    assert_eq!(root.mailboxes().unwrap().found.len(), 1);
}

#[test]
fn hazard_119_a_lock_file_of_another_name_is_refused_and_not_cut() {
    let World { root, dir, .. } = world();
    let path = root.path().to_owned();
    drop(root);
    let (lock, target) = (path.join(".mailtide/lock"), dir.path().join("precious"));
    let place: [fn(&Path, &Path) -> std::io::Result<()>; 2] =
        [|target, lock| std::fs::hard_link(target, lock), |target, lock| symlink(target, lock)];
    for place in place {
        std::fs::write(&target, "a letter").unwrap();
        std::fs::remove_file(&lock).unwrap();
        place(&target, &lock).unwrap();
        Root::open(Arc::new(RealFs::default()), &path, options()).unwrap_err();
        assert_eq!(std::fs::read(&target).unwrap(), b"a letter");
    }
    std::fs::remove_file(&lock).unwrap();
    Root::open(Arc::new(RealFs::default()), &path, options()).unwrap();
}

#[test]
fn hazard_119_a_directory_that_is_exchanged_for_a_link_is_not_read_through() {
    let w = world();
    w.put("INBOX/new/a", b"Subject: mail\n\nx\n");
    let listed = w.listed("a");
    let environment = w.dir.path().join("outside");
    fs::create_dir(&environment).unwrap();
    fs::write(environment.join("a"), "nobody's business").unwrap();
    let (new, away) = (w.path("INBOX/new"), w.path("INBOX/away"));
    fs::rename(&new, &away).unwrap();
    symlink(&environment, &new).unwrap();
    // Neither read nor taken for gone.
    w.root.examine(&w.inbox, &listed).unwrap_err();
    w.root.list(&w.inbox).unwrap_err();
    fs::remove_file(&new).unwrap();
    fs::rename(&away, &new).unwrap();
    assert!(matches!(w.root.examine(&w.inbox, &listed), Ok(Examined::Message { .. })));
}

#[test]
fn the_marker_is_replaced_whole() {
    let w = world();
    assert_eq!(w.root.marker().unwrap(), None);
    let mut marker = Marker {
        store_id: "00ff".into(),
        counter: 1,
        account: "host user".into(),
        machine: "desk".into(),
        state_dir: "/state".into(),
        layout: Layout::Nested,
        separator: b':',
    };
    w.put(".mailtide/marker.next", b"left by a crash");
    for counter in 1..3 {
        marker.counter = counter;
        w.root.write_marker(&marker).unwrap();
        assert_eq!(w.root.marker().unwrap().as_ref(), Some(&marker));
    }
    w.put(".mailtide/marker", b"rubbish");
    assert_eq!(w.root.marker().unwrap_err().scope(), Scope::Root);
}

#[test]
fn mailboxes_are_walked_and_oddities_named() {
    let w = world();
    for name in ["Work/cur", "Work/100%", ".. ", "a//b"] {
        w.root.create_mailbox(&MailboxName::new(name)).unwrap();
    }
    let all = w.root.mailboxes().unwrap();
    let found: Vec<&str> = all.found.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(found, [".. ", "INBOX", "Work/100%", "Work/cur", "a//b"]);
    assert_eq!((all.problems.len(), all.coverage), (0, Coverage::Complete));
    let before = w.root.stamps(&w.inbox).unwrap();
    assert_eq!(all.found[1].stamps, before);
    for odd in ["half/cur", "50%/cur", "50%/new", "unfinished/new", "x%41/new", "x%41/cur"] {
        fs::create_dir_all(w.path(odd)).unwrap();
    }
    let all = w.root.mailboxes().unwrap();
    assert_eq!((all.problems.len(), all.coverage), (3, Coverage::Partial));
    assert_eq!(all.found.len(), 5);
}

#[test]
fn keywords_get_letters_under_the_lock_of_other_programs() {
    let w = world();
    let mut table = w.root.keyword_table(&w.inbox).unwrap();
    let wanted = BTreeSet::from([Keyword::new("New"), Keyword::new("two words")]);
    // Another program was faster.
    w.put("INBOX/dovecot-keywords", b"0 Theirs\n44 later\n");
    let choice = Choice { hint: &|_: &Keyword| Some(4), relabelled: BTreeMap::new() };
    w.put("INBOX/dovecot-keywords.lock", b"");
    let busy = w.root.add_keywords(&w.inbox, &mut table, &wanted, &choice).unwrap_err();
    assert!(matches!(busy, LocalError::KeywordsBusy { .. }));
    fs::remove_file(w.path("INBOX/dovecot-keywords.lock")).unwrap();
    w.root.add_keywords(&w.inbox, &mut table, &wanted, &choice).unwrap();
    let text = fs::read_to_string(w.path("INBOX/dovecot-keywords")).unwrap();
    assert_eq!(text, "0 Theirs\n4 New\n44 later\n");
    assert_eq!(table, w.root.keyword_table(&w.inbox).unwrap());
    let stamp = w.root.stamps(&w.inbox).unwrap();
    w.root.add_keywords(&w.inbox, &mut table, &wanted, &choice).unwrap();
    assert_eq!(w.root.stamps(&w.inbox).unwrap(), stamp);
    assert!(!w.path("INBOX/dovecot-keywords.lock").exists());
}

/// A reader that never stops renaming: after three looks nothing is missed, nothing doubled.
#[test]
fn a_busy_reader_hides_no_message() {
    const MESSAGES: usize = 2_000;
    let w = world();
    let all: BTreeSet<Stem> = (0..MESSAGES).map(|i| stem(&format!("{i:05}"))).collect();
    for i in 0..MESSAGES {
        w.put(&format!("INBOX/cur/{i:05}:2,"), b"");
    }
    let stop = AtomicBool::new(false);
    let dir = w.path("INBOX/cur");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rng = fastrand::Rng::with_seed(23);
            while !stop.load(Ordering::Relaxed) {
                let i = rng.usize(..MESSAGES);
                let (a, b) = (dir.join(format!("{i:05}:2,")), dir.join(format!("{i:05}:2,S")));
                let _ = fs::rename(&a, &b).or_else(|_| fs::rename(&b, &a));
            }
        });
        // Also when an assertion fails: the reader has to end for the test to end.
        let _stop = StopOnDrop(&stop);
        for _ in 0..20 {
            let listing = w.root.list(&w.inbox).unwrap();
            let seen: BTreeSet<Stem> = listing.messages().map(|e| Stem(e.stem.to_vec())).collect();
            assert_eq!(seen.len(), listing.len(), "each stem once");
            let mut doubtful: BTreeSet<Stem> = all.difference(&seen).cloned().collect();
            for _ in 0..8 {
                let found = w.root.find(&w.inbox, &doubtful).unwrap();
                found.iter().for_each(|l| assert!(doubtful.remove(&l.stem)));
            }
            assert!(doubtful.is_empty(), "never seen: {doubtful:?}");
        }
    });
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn another_maildir_library_reads_what_we_write() {
    let w = world();
    for (name, in_new, info) in [("n", true, ""), ("c", false, "2,FSa")] {
        let done = w.deliver(name, &[b"Subject: hello\r\n\r\nbody\r\n"]);
        w.root.sync_deliveries(&[&done]).unwrap();
        w.root.place(&w.inbox, &stem(name), in_new, info).unwrap();
    }
    let other = maildir::Maildir::from(w.path("INBOX"));
    assert_eq!((other.count_new(), other.count_cur()), (1, 1));
    let entry = other.list_cur().next().unwrap().unwrap();
    assert_eq!((entry.id(), entry.flags()), ("c", "FSa"));
    let written = other.store_new(b"Subject: theirs\n\nbody\n").unwrap();
    let listed = w.listed(&written);
    assert!(listed.name.in_new);
    let seen = w.root.examine(&w.inbox, &listed).unwrap();
    assert!(matches!(seen, Examined::Message { .. }));
    other.move_new_to_cur_with_flags(&written, "S").unwrap();
    assert_eq!(w.local(&written).flags, Flags::system(System::SEEN));
}

#[test]
fn files_are_private_under_any_umask() {
    let child = std::env::current_exe().unwrap();
    for umask in ["000", "077", "777"] {
        let run = std::process::Command::new(&child)
            .args(["--exact", "local::tests::under_a_umask", "--ignored"])
            .env("UMASK_OF_TEST", umask)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "{umask}: {said}");
    }
}

#[test]
#[ignore = "changes the umask of its process: run by files_are_private_under_any_umask"]
fn under_a_umask() {
    let dir = tempfile::tempdir().unwrap();
    let umask = std::env::var("UMASK_OF_TEST").unwrap();
    let umask = u32::from_str_radix(&umask, 8).unwrap();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
    let top = dir.path().join("deep/mail");
    let root = Root::open(Arc::new(RealFs::default()), &top, options()).unwrap();
    let inbox = MailboxName::new("INBOX");
    root.create_mailbox(&inbox).unwrap();
    let mut delivery = root.begin(&inbox, &stem("a")).unwrap();
    delivery.write(b"x").unwrap();
    let done = delivery.finish(0).unwrap();
    root.sync_deliveries(&[&done]).unwrap();
    root.place(&inbox, &stem("a"), true, "").unwrap();
    let mode = |below: &str| top.join(below).metadata().unwrap().permissions().mode() & 0o777;
    for dir in ["", "..", "INBOX", "INBOX/cur", "INBOX/new", "INBOX/tmp", ".mailtide"] {
        assert_eq!(mode(dir), 0o700, "{dir}");
    }
    for file in ["INBOX/new/a", ".mailtide/lock"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}
