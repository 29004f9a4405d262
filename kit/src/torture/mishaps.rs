//! What happens to a process, a disk and a state in the simulated world, whatever the account.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;

use super::action::{Action, Trouble};
use super::places::Tree;
use crate::memfs::{EACCES, EIO, ENOSPC};
use crate::world::{Outcome, ROOT, World};

/// A day in nanoseconds.
pub(super) const DAY: i64 = 86_400_000_000_000;

/// Where the Maildir is while another one is in its place.
const ASIDE: &str = "/aside";

/// A state store that is lost, torn, copied and put back.
pub(super) struct States {
    /// It was damaged and nobody has noticed yet.
    pub(super) torn: bool,
    /// So was its copy.
    saved_torn: bool,
    saved: tempfile::TempDir,
}

impl States {
    pub(super) fn new() -> Self {
        let saved = tempfile::tempdir().expect("a place");
        Self { torn: false, saved_torn: false, saved }
    }

    /// Does to the state of a world what an action says; gives whether it is another one now.
    pub(super) fn perform(&mut self, action: &Action, world: &World) -> bool {
        let store = world.store();
        let dir = store.parent().expect("a directory").to_owned();
        let saved = self.saved.path().join("state");
        match action {
            Action::LoseState => {
                self.torn = false;
                world.lose_store();
                true
            }
            Action::SaveState => {
                self.saved_torn = self.torn;
                if saved.exists() {
                    std::fs::remove_dir_all(&saved).expect("ours");
                }
                std::fs::create_dir(&saved).expect("a directory");
                copy(&dir, &saved);
                false
            }
            Action::RestoreState if saved.exists() => {
                self.torn = self.saved_torn;
                files(&dir).iter().for_each(|path| std::fs::remove_file(path).expect("ours"));
                copy(&saved, &dir);
                true
            }
            Action::TearState(seed) if store.exists() => {
                self.torn = true;
                tear(&store, *seed);
                true
            }
            _ => false,
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let name = path.file_name().expect("a file");
        std::fs::copy(&path, to.join(name)).expect("room for a store");
    }
}

fn tear(store: &Path, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut bytes = std::fs::read(store).expect("a store");
    let at = rng.usize(..bytes.len().max(1));
    if rng.bool() {
        bytes.truncate(at);
    } else {
        let end = bytes.len().min(at + 4096);
        bytes[at..end].fill(0);
    }
    std::fs::write(store, bytes).expect("room");
}

/// A run that is killed, or whose disk is full or broken; any other trouble is none here.
pub(super) fn interrupted(world: &World, trouble: &Trouble) -> Outcome {
    match trouble {
        Trouble::Kill(n) => {
            let outcome = world.run_until(*n).0;
            world.fs.restart();
            outcome
        }
        Trouble::PowerCut(n, seed) => {
            let outcome = world.run_until(*n).0;
            world.fs.power_loss(*seed);
            outcome
        }
        Trouble::Full(n) => world.run_failing(*n, || io::Error::from_raw_os_error(ENOSPC)).0,
        Trouble::Broken(n) if n % 2 == 0 => {
            world.run_failing(*n, || io::Error::from_raw_os_error(EIO)).0
        }
        Trouble::Broken(n) => world.run_failing(*n, || io::Error::from_raw_os_error(EACCES)).0,
        _ => world.sync(),
    }
}

/// A run while the Maildir's disk is not mounted, or the Maildir is away: with what lay in its
/// place then. None where there was no Maildir.
pub(super) fn without_root(
    world: &World,
    unmounted: bool,
    made: &AtomicU64,
) -> Option<(Outcome, Tree)> {
    let fs = &world.fs;
    let there = |path: &str| fs.tree().contains_key(Path::new(path));
    if !there(ROOT) {
        return None;
    }
    fs.move_file(ROOT, ASIDE);
    if unmounted {
        fs.mkdir_all(ROOT);
    }
    let outcome = world.sync();
    let mut interim = fs.tree();
    interim.retain(|path, _| path.starts_with(ROOT));
    if there(ROOT) {
        fs.mkdir_all("/gone");
        fs.move_file(ROOT, format!("/gone/{}", made.fetch_add(1, Ordering::SeqCst)));
    }
    fs.move_file(ASIDE, ROOT);
    Some((outcome, interim))
}
