//! A whole world in memory: a simulated server, a file system, a store, and a death at any
//! point.
//!
//! One counter runs over everything that a run does to the outside: changes of the file
//! system, commits of the store, commands to the server. At the chosen point nothing works any
//! more, for good: whatever a destructor still tries comes too late. The next run is a new one.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use mailtide::account::{
    AccountError, Clock, Depth, Environment, Progress, Report, RunRequest, Settings,
};
use mailtide::config::{Keep, Maildrop};
use mailtide::engine;
use mailtide::local::Layout;
use mailtide::reconcile::types::{MailboxName, SetAsideKind};
use mailtide::reconcile::{GuardLimits, OnLocalDelete, OnRemoteDelete};
use mailtide::remote::imap::{Endpoint, Tls};
use mailtide::remote::{BoxStream, Connecting, Connector};
use mailtide::state::{StateError, Store};

use crate::imap::{Action, Profile, Server};
use crate::memfs::MemFs;
use crate::pop3;

pub use fingerprint::Fingerprint;
pub use moment::{Ending, Hand, Moment};
pub use sides::{Mail, Sides};

mod fingerprint;
mod moment;
mod sides;

/// Where the Maildir lies in the simulated file system.
pub const ROOT: &str = "/mail";
/// What changes something in the file system, by its name in the trace.
const CHANGES: [&str; 9] =
    ["write", "utimens", "fsync", "create", "mkdir", "rename", "link", "unlink", "rmdir"];

/// Counts what a run does to the outside, and ends it at a point.
#[derive(Debug, Default)]
struct Points {
    passed: AtomicU64,
    /// 0: never.
    end: AtomicU64,
    down: AtomicBool,
}

impl Points {
    /// Passes a point; false when it is the last one or lies behind it.
    fn pass(&self) -> bool {
        let passed = self.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if passed == self.end.load(Ordering::SeqCst) {
            self.down.store(true, Ordering::SeqCst);
        }
        !self.is_down()
    }

    fn is_down(&self) -> bool {
        self.down.load(Ordering::SeqCst)
    }
}

/// A simulated account.
pub struct World {
    /// The server.
    pub server: Server,
    /// The disk that the Maildir lies on.
    pub fs: MemFs,
    /// The server of an account that only pulls, in the place of the other.
    drop: Option<pop3::Server>,
    state: tempfile::TempDir,
    /// What differs from the usual settings.
    changes: Vec<Change>,
    /// What others do while a run is on.
    others: Others,
}

type Change = Arc<dyn Fn(&mut Settings) + Send + Sync>;
type OnCommand = Box<dyn FnMut(&str) + Send>;
type OnCall = Arc<dyn Fn(&str, &Path) + Send + Sync>;

#[derive(Default)]
struct Others {
    on_command: Arc<Mutex<Option<OnCommand>>>,
    on_call: Option<OnCall>,
}

/// A directory in memory where there is room: whether a store survives a power cut is not asked
/// of these worlds, and each of their many commits would wait for the disk.
///
/// # Panics
/// Without a place for temporary files.
#[must_use]
pub fn quick_dir() -> tempfile::TempDir {
    const ROOM: u64 = 512 << 20;
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |stat| stat.f_bavail * stat.f_frsize);
    let here = (room > ROOM).then(|| tempfile::tempdir_in(memory).ok()).flatten();
    here.unwrap_or_else(|| tempfile::tempdir().expect("a place"))
}

fn terms(keep: Keep) -> Maildrop {
    Maildrop {
        mailbox: MailboxName::new(MailboxName::INBOX),
        owner: None,
        keep,
        deliver_command: Vec::new(),
        token: false,
    }
}

/// What a run reported, and how it ended.
pub type Outcome = (Report, Result<(), AccountError>);

/// Hands out in-memory connections to the simulated server.
#[derive(Debug)]
struct Dialler(Server);

impl Connector for Dialler {
    fn connect<'a>(&'a self, _host: &'a str, _port: u16) -> Connecting<'a> {
        Box::pin(async move { Ok(Box::new(self.0.connect()) as BoxStream) })
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("fs", &self.fs).finish_non_exhaustive()
    }
}

impl World {
    /// An empty account on a server of this kind.
    ///
    /// # Panics
    /// Without a place for temporary files.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let fs = MemFs::new();
        fs.mkdir_all("/tmp");
        Self {
            server: Server::new(profile),
            fs,
            drop: None,
            state: quick_dir(),
            changes: Vec::new(),
            others: Others::default(),
        }
    }

    /// An account that pulls from a maildrop, into a Maildir of its own.
    ///
    /// # Panics
    /// Without a place for temporary files.
    #[must_use]
    pub fn of_maildrop(server: &pop3::Server, keep: Keep) -> Self {
        let mut world = Self::new(Profile::plain());
        world.drop = Some(server.clone());
        world.pull(keep);
        world
    }

    /// An account that pulls from a maildrop into the mailbox of another.
    ///
    /// # Panics
    /// As for [`World::of_maildrop`].
    #[must_use]
    pub fn guest_of(owner: &Self, server: &pop3::Server, keep: Keep, mailbox: &str) -> Self {
        let mut guest = Self::of_maildrop(server, keep);
        guest.fs = owner.fs.clone();
        let mailbox = MailboxName::new(mailbox);
        guest.also(move |settings| {
            let owner = Some("me".to_owned());
            settings.maildrop = Some(Maildrop { owner, mailbox: mailbox.clone(), ..terms(keep) });
        });
        guest
    }

    /// From now on messages stay on the server of a maildrop for so long.
    pub fn pull(&mut self, keep: Keep) {
        self.also(move |settings| settings.maildrop = Some(terms(keep)));
    }

    /// From now on the maildrop is on another server.
    pub fn move_to(&mut self, server: &pop3::Server, host: &str) {
        self.drop = Some(server.clone());
        let host = host.to_owned();
        self.also(move |settings| settings.endpoint.host.clone_from(&host));
    }

    fn connector(&self) -> Arc<dyn Connector> {
        match &self.drop {
            Some(server) => Arc::new(server.connector()),
            None => Arc::new(Dialler(self.server.clone())),
        }
    }

    /// The account has other settings from now on.
    pub fn configure(&mut self, change: impl Fn(&mut Settings) + Send + Sync + 'static) {
        self.changes.clear();
        self.also(change);
    }

    /// The same, beside what was changed before.
    pub fn also(&mut self, change: impl Fn(&mut Settings) + Send + Sync + 'static) {
        self.changes.push(Arc::new(change));
    }

    /// Before each command of later runs, as another client may act in that moment.
    pub fn on_command(&self, act: impl FnMut(&str) + Send + 'static) {
        *self.others.on_command.lock().expect("no panic") = Some(Box::new(act));
    }

    /// Before each call to the file system, as a mail reader may act in that moment. The act
    /// may use the file system itself.
    pub fn on_call(&mut self, act: impl Fn(&str, &Path) + Send + Sync + 'static) {
        self.others.on_call = Some(Arc::new(act));
    }

    /// Others are quiet again.
    pub fn quiet(&mut self) {
        self.others = Others::default();
    }

    /// Where its state store is.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.state.path().join("account.db")
    }

    /// The settings of its account, as every run has them.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = Settings {
            name: "me".to_owned(),
            endpoint: Endpoint {
                host: "localhost".to_owned(),
                port: 143,
                tls: Tls::None,
                ca: None,
                pin: None,
                allow_cleartext: true,
                user: "me".to_owned(),
                secret: "secret".to_owned().into(),
                timeout: Duration::from_secs(30),
                scram_only: false,
                disable: BTreeSet::new(),
            },
            maildir: PathBuf::from(ROOT),
            layout: Layout::Nested,
            store: self.store(),
            selects: Arc::new(|_| true),
            scope: String::new(),
            pull_only: false,
            on_local_delete: OnLocalDelete::Trash,
            on_remote_delete: OnRemoteDelete::Remove,
            guard: GuardLimits::default(),
            special_use: Vec::new(),
            max_message_size: 1 << 30,
            connections: 1,
            min_free: 0,
            info_separator: b':',
            machine: "test".to_owned(),
            maildrop: None,
            secret_variable: None,
        };
        self.changes.iter().for_each(|change| change(&mut settings));
        settings
    }

    /// What a program in this world works with; its clock is the runtime's, which tests pause.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let (begun, base) = (tokio::time::Instant::now(), self.fs.clock().unsigned_abs());
        Environment {
            fs: Arc::new(self.fs.clone()),
            connector: self.connector(),
            clock: Clock::from_fn(move || {
                SystemTime::UNIX_EPOCH + Duration::from_nanos(base) + begun.elapsed()
            }),
            stop: Arc::new(AtomicBool::new(false)),
            commits: None,
            progress: Progress::default(),
        }
    }

    /// Asks the store, as `status` does.
    ///
    /// # Panics
    /// Where there is none or it cannot be read.
    pub fn asked<T>(&self, ask: impl FnOnce(&mut Store) -> Result<T, StateError>) -> T {
        ask(&mut Store::open(&self.store()).expect("a store")).expect("an answer")
    }

    /// The words of what is set aside, sorted.
    #[must_use]
    pub fn set_aside(&self) -> Vec<String> {
        let rows = self.asked(|store| store.set_aside_rows(1000));
        let mut words: Vec<_> = rows.into_iter().filter_map(|row| row.set_aside).collect();
        words.retain(|aside| aside.kind != SetAsideKind::Kept);
        let mut words: Vec<String> = words.into_iter().map(|aside| aside.words).collect();
        words.sort();
        words
    }

    /// One run, to its end.
    pub fn sync(&self) -> Outcome {
        self.run_until(0).0
    }

    /// One run over these mailboxes only.
    pub fn sync_only(&self, mailboxes: &[&str]) -> Outcome {
        let focus = Some(mailboxes.iter().map(|name| MailboxName::new(name)).collect());
        self.go(Arc::new(|| true), RunRequest { focus, ..RunRequest::default() })
    }

    /// One run of this kind, to its end.
    pub fn run(&self, request: RunRequest) -> Outcome {
        self.go(Arc::new(|| true), request)
    }

    /// What a run would do.
    ///
    /// # Panics
    /// Where it cannot say.
    #[must_use]
    pub fn dry_run(&self) -> Vec<String> {
        let (report, result) = self.go(Arc::new(|| true), RunRequest::dry_run());
        result.expect("a plan");
        report.plan
    }

    /// What a verification reports.
    ///
    /// # Panics
    /// Where it cannot be done.
    #[must_use]
    pub fn verify(&self, depth: Depth) -> Report {
        let (report, result) = self.try_verify(depth);
        result.expect("a look at everything");
        report
    }

    /// A verification, however it ends.
    pub fn try_verify(&self, depth: Depth) -> Outcome {
        self.go(Arc::new(|| true), RunRequest::verify(depth))
    }

    /// One run that dies at the n-th point (0: it lives). Gives what it reported and how many
    /// points it passed.
    pub fn run_until(&self, end: u64) -> (Outcome, u64) {
        let points = Arc::new(Points::default());
        points.end.store(end, Ordering::SeqCst);
        let at = Arc::clone(&points);
        let reader = self.others.on_call.clone();
        self.fs.set_fault(Some(Arc::new(move |call: &str, path: &Path| {
            if let Some(reader) = &reader {
                reader(call, path);
            }
            let alive =
                if CHANGES.contains(&call) || call == "syncfs" { at.pass() } else { !at.is_down() };
            (!alive).then(|| io::Error::other("the process is dead"))
        })));
        let at = Arc::clone(&points);
        let client = Arc::clone(&self.others.on_command);
        self.server.on_command(Some(Box::new(move |line| {
            if let Some(client) = client.lock().expect("no panic").as_mut() {
                client(line);
            }
            let before = at.is_down();
            match (before, at.pass()) {
                (true, _) => Action::CutBefore,
                // Dead the moment it was sent: the server carries it out all the same.
                (false, false) => Action::CutAfter,
                (false, true) => Action::Continue,
            }
        })));
        let at = Arc::clone(&points);
        let outcome = self.go(Arc::new(move || at.pass()), RunRequest::default());
        self.fs.set_fault(None);
        self.server.on_command(None);
        (outcome, points.passed.load(Ordering::SeqCst))
    }

    /// One run in which the n-th call to the file system fails, once, and the process lives.
    /// Gives what it reported and how many calls there were.
    pub fn run_failing(&self, n: u64, error: fn() -> io::Error) -> (Outcome, u64) {
        let calls = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&calls);
        self.fs.set_fault(Some(Arc::new(move |_: &str, _: &Path| {
            (count.fetch_add(1, Ordering::SeqCst) + 1 == n).then(error)
        })));
        let outcome = self.go(Arc::new(|| true), RunRequest::default());
        self.fs.set_fault(None);
        (outcome, calls.load(Ordering::SeqCst))
    }

    /// One run, in a process of its own; `commits` may forbid a commit of the store.
    fn go(&self, commits: Arc<dyn Fn() -> bool + Send + Sync>, request: RunRequest) -> Outcome {
        let now = self.fs.clock();
        let environment = Environment {
            fs: Arc::new(self.fs.clone()),
            connector: self.connector(),
            clock: Clock::from_fn(move || {
                SystemTime::UNIX_EPOCH + Duration::from_nanos(now.unsigned_abs())
            }),
            stop: Arc::new(AtomicBool::new(false)),
            commits: Some(commits),
            progress: Progress::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let settings = self.settings();
        runtime.block_on(async move {
            tokio::time::pause();
            engine::sync(settings, environment, request).await
        })
    }

    /// A run that a person limits to one mailbox.
    pub fn part(&self, mailbox: &str) -> Outcome {
        self.wait();
        self.run(RunRequest {
            focus: Some([MailboxName::new(mailbox)].into()),
            ..RunRequest::default()
        })
    }

    /// Does as a person who reads in the report that the server does not show what it took, and who
    /// does not find it there either.
    pub fn ask_for_unshown(&self, report: &Report) {
        const SAID: &str = "the server accepted ";
        for skip in report.skipped.iter().filter(|skip| skip.why.contains(SAID)) {
            let _ = self.part(&skip.what);
        }
    }

    /// A person has the account take over its Maildir.
    ///
    /// # Panics
    /// Where that fails.
    pub fn adopt(&self) {
        engine::adopt(&self.settings(), Arc::new(self.fs.clone())).expect("it is taken over");
    }

    /// The store is gone, as on a new machine.
    ///
    /// # Panics
    /// Where the directory cannot be read.
    pub fn lose_store(&self) {
        for entry in std::fs::read_dir(self.state.path()).expect("a directory").flatten() {
            std::fs::remove_file(entry.path()).expect("the store is a file");
        }
    }

    /// Time goes by, so that no file is too young and no directory stamp unsure.
    pub fn wait(&self) {
        self.fs.set_clock(self.fs.clock() + 10_000_000_000);
    }

    /// Where a mailbox lies in the file system.
    #[must_use]
    pub fn dir_of(&self, mailbox: &str) -> PathBuf {
        Path::new(ROOT).join(self.settings().layout.path_of(&MailboxName::new(mailbox)))
    }

    /// Both sides, to look at while a run is on.
    #[must_use]
    pub fn sides(&self) -> Sides {
        let layout = self.settings().layout;
        Sides { server: self.server.clone(), fs: self.fs.clone(), layout, links: Vec::new() }
    }

    /// A world of its own with the same server, disk, store and settings, and nobody else in it.
    /// (A maildrop is shared.)
    ///
    /// # Panics
    /// Without a place for temporary files.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = quick_dir();
        for entry in std::fs::read_dir(self.state.path()).expect("a directory").flatten() {
            std::fs::copy(entry.path(), state.path().join(entry.file_name())).expect("a copy");
        }
        let fs = self.fs.fork();
        // The mark in the root names the place of the store.
        let (old, new) = (self.state.path().to_string_lossy(), state.path().to_string_lossy());
        for (path, body) in fs.tree() {
            let text = body.and_then(|body| String::from_utf8(body).ok()).unwrap_or_default();
            if path.starts_with(Path::new(ROOT).join(".mailtide")) && text.contains(&*old) {
                fs.write_file(path, text.replace(&*old, &new).as_bytes());
            }
        }
        Self {
            server: self.server.fork(),
            fs,
            drop: self.drop.clone(),
            state,
            changes: self.changes.clone(),
            others: Others::default(),
        }
    }

    /// As [`Sides::remote`].
    #[must_use]
    pub fn remote(&self) -> Mail {
        self.sides().remote()
    }

    /// As [`Sides::local`].
    #[must_use]
    pub fn local(&self) -> Mail {
        self.sides().local()
    }
}
