//! The simulated file system is like the real one, and deliveries survive it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use mailtide::local::fs::{Fs, Kind, RealFs};
use mailtide::local::{Copied, Layout, Placed, Root, RootOptions, TrashOutcome};
use mailtide::reconcile::types::{Local, MailboxName, Stem};

use super::*;

const ROOT_DIR: &str = "/mail";

fn options() -> RootOptions {
    RootOptions { create: true, random: 1, layout: Layout::Nested, ..RootOptions::new("a1", "h") }
}

fn open(fs: &MemFs) -> Root {
    Root::open(Arc::new(fs.clone()), Path::new(ROOT_DIR), options()).expect("a root")
}

fn stem(name: &str) -> Stem {
    Stem(name.as_bytes().to_vec())
}

/// What a call gave, as far as both file systems can agree on it.
fn told<T>(result: io::Result<T>) -> Result<(), io::ErrorKind> {
    result.map(drop).map_err(|e| e.kind())
}

fn dump(fs: &dyn Fs, dir: &Path, out: &mut BTreeMap<PathBuf, Option<Vec<u8>>>, top: &Path) {
    let mut below = Vec::new();
    fs.read_dir(dir, &mut |name, kind, _| below.push((dir.join(OsStr::from_bytes(name)), kind)))
        .expect("a readable directory");
    for (path, kind) in below {
        let key = path.strip_prefix(top).expect("below").to_owned();
        if kind == Kind::Dir {
            out.insert(key, None);
            dump(fs, &path, out, top);
        } else if kind != Kind::File {
            out.insert(key, Some(format!("{kind:?}").into_bytes()));
        } else {
            let mut bytes = vec![0; 4096];
            let n = fs.open(&path).and_then(|f| f.read_at(&mut bytes, 0)).expect("readable");
            out.insert(key, Some(bytes[..n].to_vec()));
        }
    }
}

/// Makes a symbolic link with this target at this path.
type Link<'a> = &'a dyn Fn(&Path, &Path) -> io::Result<()>;

/// One random call, the same on any file system for the same numbers.
fn random_call(
    fs: &dyn Fs,
    link: Link<'_>,
    top: &Path,
    rng: &mut fastrand::Rng,
) -> Result<(), io::ErrorKind> {
    let mut path = || {
        let mut path = top.to_owned();
        for _ in 0..rng.usize(1..4) {
            path.push(["a", "b", "c"][rng.usize(..3)]);
        }
        path
    };
    let (one, two) = (path(), path());
    match rng.u8(..16) {
        0 | 1 => told(fs.create_dir(&one)),
        2..=4 => told(fs.create_new(&one).and_then(|mut file| {
            file.write_at(&[rng.u8(b'a'..=b'z'); 5], rng.u64(..4))?;
            file.set_mtime(1_000_000_000)
        })),
        5 => told(fs.rename(&one, &two)),
        6 | 7 => told(fs.rename_noreplace(&one, &two)),
        8 => told(fs.hard_link(&one, &two)),
        9 => told(fs.remove_file(&one)),
        10 => told(fs.remove_dir(&one)),
        11 => {
            let target = ["a", "b/c", "../a", "../../b", "./c", "nowhere"][rng.usize(..6)];
            told(link(Path::new(target), &one))
        }
        12 => told(link(&two, &one)),
        13 => told(fs.open(&one)),
        14 => told(fs.stat(&one)),
        _ => told(fs.lstat(&one).map(|m| assert!(m.kind != Kind::File || m.stamp.size < 10))),
    }
}

#[test]
fn the_same_script_gives_the_same_tree_on_a_real_disk() {
    for seed in 0..30 {
        let real_top = tempfile::tempdir().expect("a directory");
        let (real, mem) = (RealFs::default(), MemFs::new());
        mem.mkdir_all("/top");
        let mut rngs = [fastrand::Rng::with_seed(seed), fastrand::Rng::with_seed(seed)];
        for step in 0..200 {
            let on_disk = random_call(
                &real,
                &|to, at| std::os::unix::fs::symlink(to, at),
                real_top.path(),
                &mut rngs[0],
            );
            let in_memory = random_call(
                &mem,
                &|to, at| mem.plant(at, Body::Link(to.to_owned())),
                Path::new("/top"),
                &mut rngs[1],
            );
            assert_eq!(on_disk, in_memory, "seed {seed}, step {step}: {:?}", mem.trace().last());
            // A failed call may leave its random numbers unused on one side only.
            let next = rngs[0].u64(..);
            rngs = [fastrand::Rng::with_seed(next), fastrand::Rng::with_seed(next)];
        }
        let (mut on_disk, mut in_memory) = (BTreeMap::new(), BTreeMap::new());
        dump(&real, real_top.path(), &mut on_disk, real_top.path());
        dump(&mem, Path::new("/top"), &mut in_memory, Path::new("/top"));
        assert_eq!(on_disk, in_memory, "seed {seed}");
    }
}

#[test]
fn links_lead_elsewhere_and_pipes_are_no_files() {
    let fs = MemFs::new();
    fs.write_file("/far/Work/cur/a", b"text");
    fs.mkdir_all("/mail");
    fs.symlink("../far/Work", "/mail/Work");
    fs.symlink("nowhere", "/mail/gone");
    fs.symlink("loop", "/mail/loop");
    fs.mkfifo("/mail/pipe");
    let kind = |path: &str| fs.lstat(Path::new(path)).map(|meta| meta.kind).map_err(|e| e.kind());
    assert_eq!(kind("/mail/Work"), Ok(Kind::Symlink));
    assert_eq!(kind("/mail/Work/cur"), Ok(Kind::Dir));
    assert_eq!(kind("/mail/pipe"), Ok(Kind::Other));
    assert_eq!(fs.read_file("/mail/Work/cur/a").as_deref(), Some(&b"text"[..]));
    let error = |path: &str| fs.stat(Path::new(path)).expect_err("no way").raw_os_error();
    assert_eq!(error("/mail/loop"), Some(ELOOP));
    assert_eq!(
        fs.stat(Path::new("/mail/gone")).map_err(|e| e.kind()).err(),
        Some(io::ErrorKind::NotFound)
    );
    let made = fs.create_dir(Path::new("/mail/gone")).map_err(|e| e.kind());
    assert_eq!(made, Err(io::ErrorKind::AlreadyExists));
    fs.delete_file("/mail/Work");
    assert!(fs.read_file("/far/Work/cur/a").is_some());
}

#[test]
fn a_mounted_device_is_another_one() {
    let fs = MemFs::new();
    fs.write_file("/mail/a", b"here");
    fs.mkdir_all("/mail/Big");
    fs.mount("/mail/Big", 2);
    fs.write_file("/mail/Big/b", b"there");
    let meta = |path: &str| fs.lstat(Path::new(path)).expect("it is there");
    assert_eq!((meta("/mail").dev, meta("/mail/Big").dev), (1, 2));
    assert_eq!(meta("/mail/Big").stamp.ino, meta("/").stamp.ino, "as on real disks");
    let raw = |result: io::Result<()>| result.expect_err("refused").raw_os_error();
    let (a, b, to) = (Path::new("/mail/a"), Path::new("/mail/Big/b"), Path::new("/mail/Big/a"));
    assert_eq!(raw(fs.rename_noreplace(a, to)), Some(EXDEV));
    assert_eq!(raw(fs.hard_link(b, Path::new("/mail/b"))), Some(EXDEV));
    assert_eq!(raw(fs.remove_dir(Path::new("/mail/Big"))), Some(EBUSY));
    fs.unmount("/mail/Big");
    assert!(fs.read_file("/mail/Big/b").is_none());
    fs.power_loss(0);
    fs.mount("/mail/Big", 2);
    assert_eq!(fs.read_file("/mail/Big/b").as_deref(), Some(&b"there"[..]));
    fs.bind("/mail", "/mail/Again");
    assert_eq!(meta("/mail/Again").stamp.ino, meta("/mail").stamp.ino);
    assert_eq!(raw(fs.rename(a, Path::new("/mail/Again/c"))), Some(EXDEV));
    assert!(fs.tree().contains_key(Path::new("/mail/Again/a")));
}

#[test]
fn what_was_not_synced_is_lost_and_what_was_is_not() {
    let fs = MemFs::new();
    fs.mkdir_all("/d");
    let write = |path: &str| {
        let mut file = fs.create_new(Path::new(path)).expect("created");
        file.write_at(b"text", 0).expect("written");
        file
    };
    let _ = write("/d/neither");
    write("/d/data").sync().expect("synced");
    fs.power_loss(0);
    assert!(fs.tree().keys().all(|path| path == Path::new("/d")));
    let _ = write("/d/entry");
    fs.sync_dir(Path::new("/d")).expect("synced");
    fs.power_loss(0);
    assert_eq!(fs.read_file("/d/entry").as_deref(), Some(&b""[..]));
    write("/d/both").sync().expect("synced");
    fs.sync_dir(Path::new("/d")).expect("synced");
    fs.rename(Path::new("/d/both"), Path::new("/d/moved")).expect("renamed");
    fs.power_loss(0);
    assert_eq!(fs.read_file("/d/both").as_deref(), Some(&b"text"[..]));
    fs.rename(Path::new("/d/both"), Path::new("/d/moved")).expect("renamed");
    assert!(fs.sync_fs(Path::new("/")).expect("synced"));
    fs.power_loss(0);
    assert_eq!(fs.tree().len(), 3);
    assert!(fs.read_file("/d/moved").is_some());
}

#[test]
fn a_rename_survives_whole_or_not_at_all() {
    for seed in 0..50 {
        let fs = MemFs::new();
        fs.mkdir_all("/a");
        fs.mkdir_all("/b");
        fs.write_file("/a/m", b"mail");
        fs.rename(Path::new("/a/m"), Path::new("/b/m")).expect("renamed");
        fs.rename(Path::new("/b/m"), Path::new("/a/n")).expect("renamed");
        fs.power_loss(seed);
        let mail: Vec<_> = fs.tree().into_values().flatten().collect();
        assert_eq!(mail, [b"mail".to_vec()], "seed {seed}");
    }
}

/// The life of a delivery as the account drives it; what it recorded before things went wrong.
fn deliver(root: &Root, name: &MailboxName, recorded: &mut Vec<&'static str>) -> Option<()> {
    root.create_mailbox(name).ok()?;
    recorded.push("pulling");
    let mut delivery = root.begin(name, &stem("m")).ok()?;
    delivery.write(b"Subject: x\r\n").ok()?;
    delivery.write(b"\r\nbody\r\r\nend\r\n").ok()?;
    let delivered = delivery.finish(1_000_000_000).ok()?;
    root.sync_deliveries(&[&delivered]).ok()?;
    recorded.push("placing");
    root.place(name, &stem("m"), false, "2,S").ok()?;
    root.sync_dirs(name).ok()?;
    recorded.push("paired");
    Some(())
}

#[test]
fn a_recorded_delivery_survives_any_crash_and_power_loss() {
    const WIRE: &[u8] = b"Subject: x\r\n\r\nbody\r\r\nend\r\n";
    let name = MailboxName::new("Work/Alpha");
    let mut outcomes = BTreeSet::new();
    for crash in 1..40 {
        for power in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
            let fs = MemFs::new();
            let mut recorded = Vec::new();
            let root = open(&fs);
            fs.settle();
            fs.crash_after(crash);
            let done = deliver(&root, &name, &mut recorded);
            drop(root);
            power.map_or_else(|| fs.restart(), |seed| fs.power_loss(seed));
            let root = open(&fs);
            let case = format!("crash {crash}, power {power:?}, {recorded:?}: {:?}", fs.trace());
            if recorded.contains(&"placing") {
                let placed = root.place(&name, &stem("m"), false, "2,S").expect("the disk works");
                let listed = root.list(&name).expect("the mailbox is there");
                assert_eq!(listed.len(), 1, "{placed:?} after {case}");
                let body = fs.read_file("/mail/Work/Alpha/cur/m:2,S");
                assert_eq!(body.as_deref(), Some(WIRE), "{case}");
                outcomes.insert(format!("{placed:?}").split('(').next().map(str::to_owned));
            } else if let Ok(listed) = root.list(&name) {
                assert!(listed.is_empty(), "seen before it was recorded: {case}");
                root.clean_tmp(&name, &BTreeSet::new()).expect("the disk works");
            }
            let tmp = Path::new("/mail/Work/Alpha/tmp/");
            assert!(!fs.tree().keys().any(|p| p.starts_with(tmp) && p != tmp), "{case}");
            assert!(done.is_none() || recorded.last() == Some(&"paired"));
        }
    }
    assert_eq!(outcomes.len(), 2, "both ways of being found were tried: {outcomes:?}");
}

#[test]
fn a_full_disk_leaves_nothing_in_the_mailbox() {
    let fs = MemFs::new();
    let root = open(&fs);
    let name = MailboxName::new("INBOX");
    root.create_mailbox(&name).expect("made");
    fs.set_fault(Some(Arc::new(|call, _| {
        (call == "write").then(|| io::Error::from_raw_os_error(ENOSPC))
    })));
    let mut delivery = root.begin(&name, &stem("m")).expect("begun");
    let error = delivery.write(&[b'x'; 200_000]).expect_err("no room");
    assert!(error.is_no_space(), "{error}");
    drop(delivery);
    assert!(!root.tmp_exists(&name, &stem("m")).expect("looked"));
}

#[test]
fn an_unreadable_directory_is_an_error_and_not_an_empty_one() {
    let fs = MemFs::new();
    let root = open(&fs);
    for name in ["INBOX", "Work", "Work/Alpha"] {
        root.create_mailbox(&MailboxName::new(name)).expect("made");
    }
    fs.write_file("/mail/Work/cur/x:2,S", b"a");
    fs.deny("/mail/Work/cur");
    assert!(root.list(&MailboxName::new("Work")).is_err());
    let found = root.mailboxes().expect("the root can be read");
    assert_eq!(found.found.len(), 2);
    assert_eq!(found.problems.len(), 1);
    let dir = |name| root.dir_of(&MailboxName::new(name));
    assert!(found.is_unknown(&dir("Work")) && !found.is_unknown(&dir("INBOX")));
    fs.allow("/mail/Work/cur");
    fs.deny("/mail");
    assert!(root.mailboxes().is_err());
}

#[test]
fn trash_copy_and_mailbox_trash_lose_nothing_at_any_crash() {
    for crash in 1..60 {
        for power in [None, Some(0), Some(5), Some(6)] {
            let fs = MemFs::new();
            let (from, to) = (MailboxName::new("A"), MailboxName::new("B"));
            let root = open(&fs);
            root.create_mailbox(&from).expect("made");
            root.create_mailbox(&to).expect("made");
            fs.write_file("/mail/A/cur/one:2,S", b"first\n");
            fs.write_file("/mail/A/cur/two:2,", b"second\n");
            fs.settle();
            fs.crash_after(crash);
            let _ = churn(&root, &from, &to);
            drop(root);
            power.map_or_else(|| fs.restart(), |seed| fs.power_loss(seed));
            let bodies: BTreeSet<_> = fs.tree().into_values().flatten().collect();
            for body in [&b"first\n"[..], b"second\n"] {
                assert!(bodies.contains(body), "crash {crash}, {power:?}: {:?}", fs.trace());
            }
            let trash = Path::new("/mail/.mailtide");
            let live =
                |p: &PathBuf| p.starts_with(trash) && (p.ends_with("cur") || p.ends_with("new"));
            assert!(!fs.tree().keys().any(live), "a reader would find mailboxes in the trash");
        }
    }
}

fn churn(root: &Root, from: &MailboxName, to: &MailboxName) -> Option<()> {
    let table = root.keyword_table(from).ok()?;
    let local = |name: &str| -> Option<Local> {
        let listed = root.list(from).ok()?.get(&stem(name))?;
        let stamp = root.stat(from, &listed.name).ok()??;
        Some(root.local_of(&listed, &table, stamp))
    };
    let copied = root.copy_to(from, &local("one")?, to, &stem("copy"), 5).ok()?;
    let Copied::Copied(delivered) = copied else { panic!("{copied:?}") };
    root.sync_deliveries(&[&delivered]).ok()?;
    let placed = root.place(to, &stem("copy"), true, "").ok()?;
    assert!(matches!(placed, Placed::Placed(_)));
    let trashed = root.trash(from, &local("one")?, 0).ok()?;
    assert!(matches!(trashed, TrashOutcome::Trashed(_)), "{trashed:?}");
    root.sync_dirs(from).ok()?;
    root.remove_mailbox(from, 0).ok()?;
    Some(())
}
