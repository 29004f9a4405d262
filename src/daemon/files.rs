//! Events of the file system, as causes. They are hints: a run finds out what happened.
//!
//! Watched are the root, the directories that lead to mailboxes, and `cur` and `new` of each;
//! never a file, never `tmp`, never what is ours. Where something cannot be watched, its
//! directories are looked at now and then.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::cause::{Cause, Causes};
use crate::mail::Hints;

/// How often is looked at what cannot be watched.
pub const UNWATCHED: Duration = Duration::from_secs(30);

/// The watches of an account.
#[derive(Debug)]
pub struct Files {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    /// Something is not watched.
    blind: bool,
    /// A watch was lost: what is watched is set up anew.
    lost: Arc<AtomicBool>,
    hints: Arc<Mutex<Hints>>,
    causes: Causes,
    /// What was said of trouble, once each.
    said: BTreeSet<String>,
}

impl Files {
    /// Nothing is watched yet. Where the system has no watcher to give, all is polled.
    #[must_use]
    pub fn new(causes: &Causes) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let (nudge, flag) = (causes.clone(), Arc::clone(&lost));
        let hints = Arc::new(Mutex::new(Hints::default()));
        let kept = Arc::clone(&hints);
        // Called on a thread of the watcher, which must never wait.
        let handler = move |event: notify::Result<notify::Event>| {
            if is_news(&event, &flag) {
                if let Ok(event) = event {
                    note(&mut kept.lock().unwrap_or_else(PoisonError::into_inner), event);
                }
                nudge.nudge(Cause::Files);
            }
        };
        let mut files = Self {
            watcher: None,
            watched: BTreeSet::new(),
            blind: false,
            lost,
            hints,
            causes: causes.clone(),
            said: BTreeSet::new(),
        };
        match notify::recommended_watcher(handler) {
            Ok(watcher) => files.watcher = Some(watcher),
            Err(error) => files.complain(&error, "no watcher"),
        }
        files
    }

    /// Watches these directories and no others. What appeared just before it was watched is
    /// looked at once more.
    pub fn follow(&mut self, directories: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else {
            self.blind = true;
            return;
        };
        if self.lost.swap(false, Ordering::Relaxed) {
            for path in std::mem::take(&mut self.watched) {
                // It may be gone, and its watch with it.
                let _ = watcher.unwatch(&path);
            }
        }
        for gone in self.watched.difference(&directories) {
            let _ = watcher.unwatch(gone);
        }
        self.watched.retain(|path| directories.contains(path));
        // The root, or what a link or a mount leads to.
        self.blind = directories.iter().any(|directory| is_remote(directory));
        let mut failed = Vec::new();
        let mut added = false;
        for path in directories {
            if self.watched.contains(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path);
                    added = true;
                }
                Err(error) => failed.push((error, path)),
            }
        }
        for (error, path) in failed {
            self.complain(&error, &path.display().to_string());
        }
        if added {
            self.causes.nudge(Cause::Files);
        }
    }

    /// Takes what was told of files since the last time.
    #[must_use]
    pub fn hints(&self) -> Hints {
        std::mem::take(&mut self.hints.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How soon to look by oneself; none while everything is watched.
    #[must_use]
    pub fn poll(&self) -> Option<Duration> {
        self.blind.then_some(UNWATCHED)
    }

    fn complain(&mut self, error: &notify::Error, what: &str) {
        let advice = match &error.kind {
            // Gone since it was listed: the next run sees that.
            ErrorKind::PathNotFound => return,
            ErrorKind::Io(source) if source.kind() == std::io::ErrorKind::NotFound => return,
            ErrorKind::MaxFilesWatch => "; raise the sysctl fs.inotify.max_user_watches",
            ErrorKind::Io(source) if source.raw_os_error() == Some(EMFILE) => {
                "; raise the sysctl fs.inotify.max_user_instances"
            }
            _ => "",
        };
        self.blind = true;
        let every = UNWATCHED.as_secs();
        let words = format!(
            "not everything can be watched: {error}{advice}; looked at every {every} s instead"
        );
        if self.said.insert(words.clone()) {
            tracing::warn!("{words} ({})", crate::reconcile::types::printable(what));
        }
    }
}

/// Keeps what an event told of a file.
fn note(hints: &mut Hints, event: notify::Event) {
    if hints.arrived.len() + hints.written.len() >= HINTS_MAX {
        return;
    }
    let kind = match event.kind {
        EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => {
            &mut hints.arrived
        }
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => &mut hints.written,
        _ => return,
    };
    // Of a rename the new name comes last.
    kind.extend(event.paths.into_iter().next_back());
}

/// Files that are told of by name between two runs; of more, the run finds out by itself.
const HINTS_MAX: usize = 10_000;

/// Too many open files, or inotify instances.
const EMFILE: i32 = 24;

/// Whether an event may mean that a name or a text changed. Reading is none: mail readers open
/// files all day.
fn is_news(event: &notify::Result<notify::Event>, lost: &AtomicBool) -> bool {
    let event = match event {
        Ok(event) => event,
        Err(_) => {
            lost.store(true, Ordering::Relaxed);
            return true;
        }
    };
    // Events were dropped: there is no path, and everything may have happened.
    if event.need_rescan() {
        lost.store(true, Ordering::Relaxed);
        return true;
    }
    let is_write = EventKind::Access(AccessKind::Close(AccessMode::Write));
    if event.kind.is_access() && event.kind != is_write {
        return false;
    }
    // A watch goes with its directory, also where another one takes its place at once.
    if is_departure(&event.kind) && event.paths.iter().any(|path| !is_message(path)) {
        lost.store(true, Ordering::Relaxed);
    }
    event.paths.is_empty() || event.paths.iter().any(|path| !is_ours(path))
}

fn is_departure(kind: &EventKind) -> bool {
    use RenameMode::{Any, Both, From};
    matches!(kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(Any | Both | From)))
}

/// Whether this is where messages lie: else it is, or was, a directory that may be watched.
fn is_message(path: &Path) -> bool {
    let parent = path.parent().and_then(Path::file_name);
    parent.is_some_and(|name| ["cur", "new", "tmp"].iter().any(|sub| name == *sub))
}

/// What only we write, or nobody reads yet.
fn is_ours(path: &Path) -> bool {
    let names = path.iter().rev().take(2);
    let mut names = names.map(|name| name.as_encoded_bytes());
    names.any(|name| name == b"tmp" || name == b".mailtide" || name.starts_with(b"dovecot-"))
}

/// Whether changes that other machines make there are not told to this one.
#[cfg(target_os = "linux")]
fn is_remote(path: &Path) -> bool {
    /// NFS, SMB, SMB2, CIFS, FUSE, 9P, AFS, Ceph (`linux/magic.h`).
    const REMOTE: [i64; 8] = [
        0x6969,
        0x517B,
        0xFE53_4D42,
        0xFF53_4D42,
        0x6573_5546,
        0x0102_1997,
        0x5346_414F,
        0x00C3_6400,
    ];
    // On some machines the field is shorter.
    #[allow(clippy::useless_conversion)]
    rustix::fs::statfs(path).is_ok_and(|stat| REMOTE.contains(&i64::from(stat.f_type)))
}

#[cfg(not(target_os = "linux"))]
fn is_remote(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, Flag};

    use super::*;

    fn event(kind: EventKind, path: &str) -> bool {
        let event = notify::Event::new(kind).add_path(PathBuf::from(path));
        is_news(&Ok(event), &AtomicBool::new(false))
    }

    #[test]
    fn changes_are_news_and_readers_are_none() {
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(event(renamed, "/m/INBOX/cur/1:2,S"));
        assert!(event(EventKind::Create(CreateKind::Folder), "/m/Work"));
        assert!(event(closed, "/m/INBOX/cur/1:2,S"));
        assert!(!event(opened, "/m/INBOX/cur/1:2,S"));
        assert!(!event(EventKind::Create(CreateKind::File), "/m/INBOX/tmp/1"));
        assert!(!event(renamed, "/m/.mailtide/marker"));
        assert!(!event(renamed, "/m/INBOX/dovecot-keywords"));
    }

    #[test]
    fn a_full_queue_and_a_lost_watch_are_news_of_everything() {
        let lost = AtomicBool::new(false);
        let overflow = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(is_news(&Ok(overflow), &lost) && lost.swap(false, Ordering::Relaxed));
        let gone = EventKind::Remove(notify::event::RemoveKind::Any);
        let event = |path: &str| Ok(notify::Event::new(gone).add_path(PathBuf::from(path)));
        assert!(is_news(&event("/m/Work/cur/1:2,S"), &lost) && !lost.load(Ordering::Relaxed));
        assert!(is_news(&event("/m/Work"), &lost) && lost.swap(false, Ordering::Relaxed));
        let broken = Err(notify::Error::generic("gone"));
        assert!(is_news(&broken, &lost) && lost.load(Ordering::Relaxed));
    }
}
