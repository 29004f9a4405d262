//! The promises of the store, one file for each kind.

mod crash;
mod guard;
mod meta;
mod open;
mod rows;
mod select;
mod speed;

use std::collections::BTreeSet;
use std::path::PathBuf;

use fastrand::Rng;
use tempfile::TempDir;

use super::*;
use crate::reconcile::hold::Direction;
use crate::reconcile::types::*;

/// A store in a directory of its own, which goes with it.
struct Fixture {
    dir: TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("account/state.db")).unwrap();
        Self { dir, store }
    }

    fn path(&self) -> PathBuf {
        self.store.path().to_owned()
    }

    fn mailbox(&mut self, name: &str) -> MailboxId {
        self.store.transaction(|tx| tx.put_mailbox(&mailbox(name))).unwrap()
    }

    fn insert(&mut self, row: &Row) -> RowId {
        self.store.transaction(|tx| tx.insert_row(row, is_settled(row))).unwrap()
    }
}

/// Runs a property for seeds of its own; a failure names the seed.
fn for_seeds(count: u64, property: impl Fn(&mut Rng)) {
    let seeds = match std::env::var("MAILTIDE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..count).collect(),
    };
    for seed in seeds {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            property(&mut Rng::with_seed(seed));
        }));
        assert!(outcome.is_ok(), "failed: run again with MAILTIDE_SEED={seed}");
    }
}

fn mailbox(name: &str) -> Mailbox {
    Mailbox { remote: true, ..Mailbox::new(MailboxName::new(name)) }
}

/// Agreed on both sides with no flags at all, or nothing is left to be done for some reason.
fn is_settled(row: &Row) -> bool {
    let agreed = row.local.is_some() && row.remote.is_some() && row.base.is_some();
    row.is_set_aside() || (agreed && row.journal == Journal::Idle)
}

fn new_remote(mailbox: MailboxId, uid: u32) -> Row {
    let remote = Remote { uid: Uid(uid), flags: Flags::default(), confirmed: true };
    Row { remote: Some(remote), ..Row::new(mailbox) }
}

fn new_local(mailbox: MailboxId, stem: &str) -> Row {
    Row { local: Some(local(stem)), ..Row::new(mailbox) }
}

fn agreed(mailbox: MailboxId, uid: u32, stem: &str) -> Row {
    let local = Some(local(stem));
    Row { local, base: Some(Base::default()), ..new_remote(mailbox, uid) }
}

fn local(stem: &str) -> Local {
    Local {
        stem: Stem(stem.as_bytes().to_vec()),
        in_new: false,
        info: "2,".to_owned(),
        flags: Flags::default(),
        stamp: FileStamp::default(),
    }
}

fn some<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| make(rng))
}

/// Text of the kind that servers and file names surprise with.
fn text(rng: &mut Rng) -> String {
    const ODD: [char; 12] =
        ['a', 'Z', '"', '\\', '\n', '\0', '\'', ' ', 'é', '漢', '\u{202e}', '/'];
    (0..rng.usize(0..9)).map(|_| *rng.choice(&ODD).unwrap()).collect()
}

fn bytes<const N: usize>(rng: &mut Rng) -> [u8; N] {
    std::array::from_fn(|_| rng.u8(..))
}

/// A number that is often one of the extremes.
fn wide(rng: &mut Rng) -> u64 {
    *rng.choice(&[0, 1, u64::MAX, i64::MAX as u64, 1 << 63]).unwrap() ^ rng.u64(0..2)
}

fn keywords(rng: &mut Rng) -> BTreeSet<Keyword> {
    (0..rng.usize(0..4)).map(|_| Keyword::new(&text(rng))).collect()
}

fn flags(rng: &mut Rng) -> Flags {
    let keywords = if rng.bool() { keywords(rng) } else { BTreeSet::new() };
    Flags { system: System(rng.u8(0..64)), keywords }
}

fn stem(rng: &mut Rng) -> Stem {
    Stem((0..rng.usize(0..40)).map(|_| rng.u8(..)).collect())
}

fn stamp(rng: &mut Rng) -> FileStamp {
    FileStamp { ino: wide(rng), size: wide(rng), mtime_ns: rng.i64(..) }
}

fn journal(rng: &mut Rng) -> Journal {
    match rng.u8(0..8) {
        0 => Journal::Idle,
        1 => Journal::Placing { stem: stem(rng), in_new: rng.bool(), info: text(rng) },
        2 => Journal::Pushing {
            uid_validity: rng.u32(..),
            uid_next: rng.u32(..),
            attempts: rng.u32(..),
            sent: rng.bool(),
            run: rng.i64(..),
        },
        3 => {
            Journal::Pushed { uid_validity: rng.u32(..), uid_next: rng.u32(..), twins: rng.u32(..) }
        }
        4 => Journal::Moved {
            copy: rng.bool().then(|| Place {
                mailbox: MailboxName::new(&text(rng)),
                uid_validity: rng.u32(..),
                uid: Uid(rng.u32(..)),
            }),
        },
        5 => Journal::Moving {
            from: RowId(rng.i64(..)),
            leaves: rng.bool(),
            keywords: keywords(rng),
        },
        6 => Journal::Replaced { by: RowId(rng.i64(..)) },
        _ => Journal::Trashing {
            to: MailboxName::new(&text(rng)),
            uid_validity: rng.u32(..),
            uid_next: rng.u32(..),
        },
    }
}

fn set_aside(rng: &mut Rng) -> SetAside {
    use SetAsideKind as Kind;
    let kinds = [Kind::Push, Kind::Fetch, Kind::Remove, Kind::Read, Kind::Undecided, Kind::Kept];
    SetAside { kind: *rng.choice(&kinds).unwrap(), words: text(rng), times: rng.u32(..) }
}

/// Any row at all, each part of it there or not.
fn any_row(rng: &mut Rng, mailbox: MailboxId) -> Row {
    Row {
        id: RowId(0),
        mailbox,
        local: some(rng, |rng| Local {
            stem: stem(rng),
            in_new: rng.bool(),
            info: text(rng),
            flags: flags(rng),
            stamp: stamp(rng),
        }),
        remote: some(rng, |rng| Remote {
            uid: Uid(rng.u32(1..)),
            flags: flags(rng),
            confirmed: rng.bool(),
        }),
        base: some(rng, |rng| Base { flags: flags(rng) }),
        content: some(rng, |rng| ContentId(bytes(rng))),
        header: some(rng, |rng| HeaderKeys {
            hash: bytes(rng),
            loose: bytes(rng),
            has_message_id: rng.bool(),
        }),
        words: some(rng, |rng| ServerFacts {
            size: wide(rng),
            date: rng.i64(..),
            object_id: some(rng, text),
        }),
        weak: rng.bool(),
        restated: rng.bool(),
        refused_keywords: keywords(rng),
        letters: (b'a'..=b'z').map(char::from).zip(keywords(rng)).collect(),
        journal: journal(rng),
        set_aside: some(rng, set_aside),
    }
}

fn any_mailbox(rng: &mut Rng, name: &str) -> Mailbox {
    Mailbox {
        id: MailboxId(0),
        name: MailboxName::new(name),
        remote: rng.bool(),
        local: rng.bool(),
        base: rng.bool(),
        cursor: some(rng, |rng| MailboxStatus {
            uid_validity: rng.u32(..),
            uid_next: rng.u32(..),
            messages: rng.u32(..),
            highest_modseq: some(rng, wide),
        }),
        home: some(rng, |rng| Home {
            new: wide(rng),
            cur: wide(rng),
            other_disk: rng.bool(),
            root: wide(rng),
        }),
        stamps: some(rng, |rng| DirStamps { new: stamp(rng), cur: stamp(rng) }),
        special_use: some(rng, |rng| rng.choice(&SpecialUse::TABLE).unwrap().0),
        mask: some(rng, |rng| FlagMask {
            system: System(rng.u8(0..64)),
            keywords: match some(rng, keywords) {
                None => KeywordMask::Any,
                Some(set) => KeywordMask::Only(set),
            },
        }),
        keyword_table: (0..rng.usize(0..5))
            .map(|_| some(rng, |rng| Keyword::new(&text(rng))))
            .collect(),
        restated: rng.bool(),
        object_id: some(rng, text),
        local_id: some(rng, text),
        renaming: some(rng, text).map(|name| MailboxName::new(&name)),
        problem: some(rng, text),
    }
}

/// Every UID of a mailbox, ascending.
fn uids(store: &Store, mailbox: MailboxId) -> Vec<u32> {
    let mut uids = Vec::new();
    store.for_each_uid(mailbox, (Uid(1), Uid(u32::MAX)), |uid| uids.push(uid.0)).unwrap();
    uids
}
