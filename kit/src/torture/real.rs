//! Rounds with the built program on real servers: a user of its own for each round.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use mailtide::local::Layout;

use super::action::{Action, Cut, Deed, Point, Side, Trouble};
use super::hands::Hands;
use super::places::{Disk, Tree};
use super::relay::{Fate, Judge, Relay};
use super::simulated::differences;
use super::wire::Wire;
use super::{Counts, RUNS_TO_AGREE, Scene};
use crate::courier::Courier;
use crate::cyrus::Cyrus;
use crate::dovecot::{Dovecot, Options, PASSWORD, is_root};
use crate::oracle::{Fault, Kind, Oracle, agree};
use crate::unprivileged;
use crate::world::ROOT;

/// A run that lasts longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long `mailtide run` is let alone.
const WHILE: Duration = Duration::from_millis(900);
/// Looks until both sides are at rest while mailtide stands still.
const RESTS: u32 = 300;
/// Size of the disk that can be filled.
const DISK: &str = "24m";
/// What a Dovecot does not announce, one after the other.
const MASKS: [&[&str]; 9] = [
    &[],
    &["QRESYNC"],
    &["QRESYNC", "CONDSTORE"],
    &["MOVE"],
    &["UIDPLUS"],
    &["NOTIFY"],
    &["MOVE", "UIDPLUS", "QRESYNC"],
    &["LIST-STATUS", "LITERAL+"],
    &["QRESYNC", "CONDSTORE", "MOVE", "UIDPLUS", "LIST-STATUS", "LITERAL+", "NOTIFY", "ESEARCH"],
];
/// Rounds with one mask.
const BLOCK: u64 = 25;

/// The servers of a torture, by the name that the command line has for them.
pub const SERVERS: [&str; 5] =
    ["dovecot-sdbox", "dovecot-mdbox", "dovecot-maildir", "courier", "cyrus"];

/// A server that runs.
#[derive(Debug, Clone)]
enum Host {
    Dovecot(Arc<Dovecot>),
    Courier(Arc<Courier>),
    Cyrus(Arc<Cyrus>),
}

impl Host {
    fn port(&self) -> u16 {
        match self {
            Self::Dovecot(server) => server.port,
            Self::Courier(server) => server.port,
            Self::Cyrus(server) => server.port,
        }
    }

    /// What all names but INBOX begin with.
    fn prefix(&self) -> &'static str {
        if matches!(self, Self::Courier(_)) { "INBOX/" } else { "" }
    }

    /// A user without mail, whose name may be this one.
    fn user(&self, name: String) -> String {
        match self {
            Self::Dovecot(_) => name,
            Self::Courier(server) => {
                server.clear();
                crate::courier::USER.to_owned()
            }
            Self::Cyrus(server) => {
                server.add_user(&name);
                name
            }
        }
    }

    /// Ends it without a word and starts it again.
    fn restart(&self) {
        match self {
            Self::Dovecot(server) => {
                server.kill();
                server.begin();
            }
            Self::Cyrus(server) => server.restart(),
            // It serves each connection by a process of its own: a cut is all there is.
            Self::Courier(_) => {}
        }
    }
}

/// Which program serves.
#[derive(Debug, Clone, Copy)]
enum Program {
    /// In this format.
    Dovecot(&'static str),
    Courier,
    Cyrus,
}

/// Where real rounds take place: a server, and a small disk for all that is written.
#[derive(Debug)]
pub struct Place {
    kind: Program,
    server: Option<(usize, Host)>,
    dir: tempfile::TempDir,
    program: PathBuf,
    mounted: bool,
}

impl Place {
    /// A place with this server, and the program to be tortured.
    ///
    /// # Errors
    /// Words for a server that is not known or a place that cannot be had.
    pub fn new(server: &str, program: &Path) -> Result<Self, String> {
        let kind = match server {
            "dovecot-sdbox" => Program::Dovecot("sdbox:~/sdbox"),
            "dovecot-mdbox" => Program::Dovecot("mdbox:~/mdbox"),
            "dovecot-maildir" => Program::Dovecot("maildir:~/Maildir"),
            "courier" => Program::Courier,
            "cyrus" => Program::Cyrus,
            other => return Err(format!("no such server: {other} ({})", SERVERS.join(", "))),
        };
        if !program.exists() {
            return Err(format!("{}: not built", program.display()));
        }
        let dir = unprivileged::directory();
        let disk = dir.path().join("disk");
        let made = fs::create_dir(&disk)
            .and_then(|()| fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)));
        made.map_err(|error| format!("{}: {error}", disk.display()))?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={DISK},mode=755"), "torture"]).arg(&disk);
        let mounted = is_root() && mount.status().is_ok_and(|status| status.success());
        let program = program.canonicalize().map_err(|error| error.to_string())?;
        Ok(Self { kind, server: None, dir, program, mounted })
    }

    /// The server of a seed, started where the last one was another.
    fn server(&mut self, seed: u64) -> Host {
        let mask = usize::try_from(seed / BLOCK).unwrap_or(0) % MASKS.len();
        if let Some((at, host)) = &self.server
            && (*at == mask || !matches!(self.kind, Program::Dovecot(_)))
        {
            return host.clone();
        }
        self.server = None;
        let host = match self.kind {
            Program::Dovecot(location) => {
                let (without, location) = (MASKS[mask].to_vec(), Some(location));
                let options = Options { without, location, ..Options::default() };
                Host::Dovecot(Arc::new(Dovecot::start(&options)))
            }
            Program::Courier => Host::Courier(Arc::new(Courier::start_imap())),
            Program::Cyrus => Host::Cyrus(Arc::new(Cyrus::start())),
        };
        self.server = Some((mask, host.clone()));
        host
    }

    fn disk(&self) -> PathBuf {
        self.dir.path().join("disk")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg(self.disk()).status();
        }
    }
}

/// What the account of a seed is like, in words.
#[must_use]
pub(super) fn describe(seed: u64) -> String {
    let mask = usize::try_from(seed / BLOCK).unwrap_or(0) % MASKS.len();
    format!("without {:?}, {:?}", MASKS[mask], layout(seed))
}

fn layout(seed: u64) -> Layout {
    if Rng::with_seed(seed ^ 0xacc1).u8(..3) == 0 {
        Layout::MaildirPlusPlus
    } else {
        Layout::Nested
    }
}

/// The directory of a round, seen as a disk whose root it is.
#[derive(Debug, Clone)]
struct Base(PathBuf);

impl Base {
    fn at(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// Where something went meanwhile, nothing is done: readers meet that, too.
fn forgiven<T>(result: io::Result<T>) {
    drop(result);
}

impl Disk for Base {
    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut todo = vec![self.at(Path::new(ROOT))];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                let name = Path::new("/").join(path.strip_prefix(&self.0).expect("below"));
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    tree.insert(name, None);
                    todo.push(path);
                } else if let Ok(bytes) = fs::read(&path) {
                    tree.insert(name, Some(bytes));
                }
            }
        }
        tree
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        fs::read(self.at(path)).ok()
    }

    fn make_dirs(&self, path: &Path) {
        let path = self.at(path);
        let missing: Vec<&Path> = path.ancestors().take_while(|dir| !dir.exists()).collect();
        for dir in missing.into_iter().rev() {
            forgiven(fs::create_dir(dir));
            own(dir);
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) {
        let path = self.at(path);
        let staged = self.0.join("staged");
        let written = fs::write(&staged, bytes).and_then(|()| {
            let file = fs::File::options().write(true).open(&staged)?;
            file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_600_000_000))
        });
        own(&staged);
        forgiven(written.and_then(|()| fs::rename(&staged, path)));
    }

    fn rename(&self, from: &Path, to: &Path) {
        forgiven(fs::rename(self.at(from), self.at(to)));
    }

    fn remove(&self, path: &Path) {
        forgiven(fs::remove_file(self.at(path)));
    }
}

fn own(path: &Path) {
    unprivileged::give_one(path);
}

fn signal(pid: u32, signal: &str) {
    if pid != 0 {
        let mut kill = Command::new("kill");
        let _ = kill.args([signal, &pid.to_string()]).stderr(Stdio::null()).status();
    }
}

/// Stops a process, and waits until none of its threads is at anything: on a busy machine a call
/// that was begun before ends long after the signal.
fn stand_still(pid: u32) {
    signal(pid, "-STOP");
    for _ in 0..RESTS {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut states = threads.filter_map(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
            stat.rsplit_once(") ")?.1.chars().next()
        });
        if states.all(|state| "TtZX".contains(state)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// A real account under torture.
pub(super) struct Real<'a> {
    place: &'a mut Place,
    base: Base,
    port: u16,
    user: String,
    layout: Layout,
    oracle: Arc<Mutex<Oracle>>,
    made: Arc<AtomicU64>,
    device: Arc<Wire>,
    counts: Counts,
    torn: bool,
    saved_torn: bool,
    scope: u32,
}

impl<'a> Real<'a> {
    pub(super) fn new(place: &'a mut Place, seed: u64) -> Self {
        static USERS: AtomicU32 = AtomicU32::new(0);
        let user = format!("u{seed}x{}", USERS.fetch_add(1, Ordering::SeqCst));
        let host = place.server(seed);
        let (port, name) = (host.port(), user);
        let user = host.user(name.clone());
        let base = Base(place.disk().join(&name));
        fs::create_dir(&base.0).expect("a place for a round");
        for dir in ["state", "mail"] {
            fs::create_dir(base.0.join(dir)).expect("a directory");
        }
        unprivileged::give(&base.0);
        Self {
            place,
            port,
            layout: layout(seed),
            oracle: Arc::default(),
            made: Arc::default(),
            device: Arc::new(Wire::new(port, &user, host.prefix())),
            base,
            user,
            counts: Counts::default(),
            torn: false,
            saved_torn: false,
            scope: 0,
        }
    }

    fn hands(&self) -> Hands {
        Hands {
            server: self.device.clone(),
            fs: Arc::new(self.base.clone()),
            layout: self.layout,
            oracle: Arc::clone(&self.oracle),
            made: Arc::clone(&self.made),
        }
    }

    /// A command that runs mailtide against this port.
    fn command(&self, port: u16, arguments: &[&str]) -> Command {
        let text = format!(
            "state_dir = {:?}\n[accounts.me]\nhost = \"127.0.0.1\"\nport = {port}\n\
             tls = \"none\"\nuser = \"{}\"\npassword_env = \"MAIL_PASSWORD\"\nmaildir = {:?}\n\
             layout = \"{}\"\nmin_free = \"0B\"\nconnections = 2\ntimeout = \"5s\"\n\
             mailboxes = {{ include = [\"*\"], exclude = [\"None{}\"] }}\n",
            self.base.0.join("state"),
            self.user,
            self.base.0.join("mail"),
            self.layout.as_str(),
            self.scope,
        );
        let config = self.place.dir.path().join("config.toml");
        fs::write(&config, text).expect("room for a config");
        unprivileged::give_one(&config);
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).expect("its mode");
        let mut command = unprivileged::command(&self.place.program, self.place.dir.path());
        command.args(arguments).env("MAIL_PASSWORD", PASSWORD).env_remove("RUST_LOG");
        if let Some(level) = std::env::var_os("MAILTIDE_TORTURE_LOG") {
            command.env("RUST_LOG", level);
        }
        command.env("MAILTIDE_CONFIG", config).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Waits for a run; kills it where it hangs. Gives its code and what it said.
    fn end(child: Child) -> (i32, String) {
        let pid = child.id();
        let begun = Instant::now();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = sender.send(child.wait_with_output());
        });
        let hangs = receiver.recv_timeout(PATIENCE);
        let output = hangs.unwrap_or_else(|_| {
            signal(pid, "-KILL");
            receiver.recv().expect("a dead process ends")
        });
        let output = output.expect("its output");
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let late = if begun.elapsed() >= PATIENCE { "(it hung) " } else { "" };
        (output.status.code().unwrap_or(-9), format!("{late}{}", text.trim()))
    }

    fn sync(&mut self, arguments: &[&str]) -> (i32, String) {
        self.counts.runs += 1;
        let child = self.command(self.port, arguments).spawn().expect("mailtide runs");
        let (code, text) = Self::end(child);
        self.note(code, &text);
        (code, text)
    }

    fn note(&self, code: i32, text: &str) {
        if super::is_loud() {
            eprintln!("   -> {code} {text}");
        }
    }

    fn run(&mut self, meanwhile: &[(Point, Side, Deed)], trouble: Option<&Trouble>) {
        self.counts.runs += 1;
        self.counts.meanwhile += meanwhile.len() as u64;
        self.counts.faults += u64::from(trouble.is_some());
        let gone = matches!(trouble, Some(Trouble::Unmounted | Trouble::Away));
        let seen = meanwhile.iter().filter(|(_, side, _)| !gone || *side == Side::There);
        let meanwhile: Vec<_> = seen.cloned().collect();
        let octets = if let Some(Trouble::Cut(n)) = trouble { *n } else { u64::MAX };
        let pid = Arc::new(AtomicU32::new(0));
        let judge = self.judge(&meanwhile, trouble, &pid);
        let relay = Relay::new(self.port, octets, judge);
        let undo = self.disturb(trouble);
        let daemon = trouble.is_none() && !meanwhile.is_empty();
        let command = if daemon { "run" } else { "sync" };
        let child = self.command(relay.port, &[command]).spawn().expect("mailtide runs");
        pid.store(child.id(), Ordering::SeqCst);
        if let Some(Trouble::Kill(n)) = trouble {
            self.counts.kills += 1;
            if n % 2 == 1 {
                std::thread::sleep(Duration::from_millis(*n));
                signal(child.id(), "-KILL");
            }
        }
        let hands = self.hands();
        let mut slept = 0;
        for (point, side, deed) in &meanwhile {
            if let Point::Call(n) = point {
                std::thread::sleep(Duration::from_millis(n.saturating_sub(slept)));
                slept = *n;
                act_unseen(&hands, &pid, *side, deed);
            }
        }
        if daemon {
            std::thread::sleep(WHILE);
            signal(child.id(), "-TERM");
        }
        let (code, text) = Self::end(child);
        over(&pid);
        self.note(code, &text);
        undo(self);
    }

    /// What happens at the moments of a run.
    fn judge(
        &self,
        meanwhile: &[(Point, Side, Deed)],
        trouble: Option<&Trouble>,
        pid: &Arc<AtomicU32>,
    ) -> Judge {
        let (hands, pid, trouble) = (self.hands(), Arc::clone(pid), trouble.cloned());
        let at_commands: Vec<_> = meanwhile.to_vec();
        let server = self.place.server.as_ref().map(|(_, host)| host.clone());
        let mut met = 0;
        Box::new(move |n, octets| {
            let child = pid.load(Ordering::SeqCst);
            for (point, side, deed) in &at_commands {
                if *point == Point::Command(n) {
                    act_unseen(&hands, &pid, *side, deed);
                }
            }
            match &trouble {
                Some(Trouble::Kill(at)) if at % 2 == 0 && n == at / 4 + 1 => {
                    signal(child, "-KILL");
                    // Some have sent it already.
                    if at % 4 == 0 { Fate::Pass } else { Fate::Cut }
                }
                Some(Trouble::Stopped(at)) if n == at / 4 + 1 => {
                    signal(child, "-STOP");
                    std::thread::sleep(Duration::from_millis(50));
                    signal(child, "-CONT");
                    Fate::Pass
                }
                Some(Trouble::Restart(at)) if n == at / 4 + 1 => {
                    if let Some(server) = &server {
                        server.restart();
                    }
                    Fate::Pass
                }
                Some(Trouble::Around(verb, at, cut)) => {
                    met += u64::from(memchr::memmem::find(octets, verb.as_bytes()).is_some());
                    match cut {
                        _ if met != *at => Fate::Pass,
                        Cut::Before | Cut::No => Fate::Cut,
                        Cut::After | Cut::Tagged => Fate::Swallow,
                        Cut::Silent => Fate::Freeze,
                    }
                }
                _ => Fate::Pass,
            }
        })
    }

    /// Brings trouble over the disk; gives what ends it.
    fn disturb(&mut self, trouble: Option<&Trouble>) -> Box<dyn FnOnce(&mut Self)> {
        let mail = self.base.0.join("mail");
        match trouble {
            Some(Trouble::Unreadable(mailbox)) => {
                let hands = self.hands();
                let dir = self.base.at(&hands.dir(&hands.full(mailbox)));
                let mode = |dir: &Path, mode| {
                    forgiven(fs::set_permissions(dir, fs::Permissions::from_mode(mode)));
                };
                mode(&dir, 0o000);
                Box::new(move |_| mode(&dir, 0o700))
            }
            Some(Trouble::Full(n)) if self.place.mounted => {
                let filler = self.place.disk().join("filler");
                fill(&filler, *n);
                Box::new(move |_| forgiven(fs::remove_file(filler)))
            }
            Some(trouble @ (Trouble::Unmounted | Trouble::Away)) => {
                let aside = self.base.0.join("aside");
                forgiven(fs::rename(&mail, &aside));
                if *trouble == Trouble::Unmounted {
                    forgiven(fs::create_dir(&mail));
                    own(&mail);
                }
                Box::new(move |real| {
                    let n = real.made.fetch_add(1, Ordering::SeqCst);
                    forgiven(fs::rename(&mail, real.base.0.join(format!("was{n}"))));
                    forgiven(fs::rename(&aside, &mail));
                })
            }
            _ => Box::new(|_| {}),
        }
    }

    fn copy_dir(from: &Path, to: &Path) {
        let _ = fs::remove_dir_all(to);
        let _ = Command::new("cp").arg("-r").arg(from).arg(to).status();
        if to.exists() {
            unprivileged::give(to);
        }
    }

    fn restore_mail(&mut self) {
        let saved = self.base.0.join("saved-mail");
        if !saved.exists() {
            return;
        }
        self.counts.states += 1;
        let hands = self.hands();
        let before = hands.census(Side::Here);
        Self::copy_dir(&saved, &self.base.0.join("mail"));
        let (after, server) = (hands.census(Side::Here), hands.census(Side::There));
        self.oracle.lock().expect("no panic").restored(&before, &after, &server);
    }

    fn tear(&mut self, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        self.torn = true;
        for entry in fs::read_dir(self.base.0.join("state")).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "db") {
                let mut bytes = fs::read(&path).unwrap_or_default();
                bytes.truncate(rng.usize(..bytes.len().max(1)));
                forgiven(fs::write(&path, bytes));
            }
        }
    }

    fn quiet(&mut self) -> Vec<Fault> {
        let hands = self.hands();
        let (mut said, mut agreed) = (Vec::new(), false);
        for _ in 0..RUNS_TO_AGREE {
            let (code, text) = self.sync(&["sync"]);
            said.push(format!("{code} {text}"));
            let (here, there) = (hands.census(Side::Here), hands.census(Side::There));
            agreed = code == 0 && agree(&here, &there);
            if agreed {
                break;
            }
            if code != 0 && std::mem::take(&mut self.torn) {
                self.lose_state();
            }
            let skipped = said.last().into_iter().flat_map(|said| skipped(said));
            skipped.for_each(|(what, why)| hands.heed(what, why));
        }
        self.torn = false;
        let (here, there) = (hands.census(Side::Here), hands.census(Side::There));
        let oracle = Arc::clone(&self.oracle);
        let mut oracle = oracle.lock().expect("no panic");
        if !agreed {
            let kind = if agree(&here, &there) { Kind::Stuck } else { Kind::Unequal };
            let what = said.join("\n    ") + &differences(&here, &there);
            let mut faults = vec![Fault { kind, what }];
            faults.extend(oracle.lost(&here, &there));
            return faults;
        }
        let mut faults = oracle.judge(&here, &there);
        let (code, text) = self.sync(&["sync"]);
        let after = (hands.census(Side::Here), hands.census(Side::There));
        if code != 0 || after != (here.clone(), there) {
            faults.push(Fault { kind: Kind::Restless, what: format!("{code} {text}") });
        }
        let tree = self.base.tree();
        let left = tree.iter().filter(|(path, bytes)| {
            bytes.is_some() && path.parent().is_some_and(|dir| dir.ends_with("tmp"))
        });
        let left: Vec<_> = left.map(|(path, _)| path).collect();
        if !left.is_empty() {
            faults.push(Fault { kind: Kind::LeftInTmp, what: format!("{left:?}") });
        }
        oracle.settle(&here);
        faults
    }

    fn lose_state(&mut self) {
        self.counts.states += 1;
        let state = self.base.0.join("state");
        forgiven(fs::remove_dir_all(&state));
        forgiven(fs::create_dir(&state));
        own(&state);
    }
}

/// The items that a run reported as skipped, with their reasons.
fn skipped(said: &str) -> Vec<(&str, &str)> {
    let problems = said.lines().filter_map(|line| line.trim().strip_prefix("problem"));
    let named = problems.filter_map(|problem| problem.split_once(": skipped: "));
    named.map(|(what, why)| (what.trim(), why)).collect()
}

/// Held by whoever acts.
static ACTS: Mutex<()> = Mutex::new(());
/// In the place of a process that has ended.
const OVER: u32 = u32::MAX;

/// Acts while mailtide stands still and nobody else acts: the census shows one doing alone. Once
/// the run is over it is too late for that.
fn act_unseen(hands: &Hands, pid: &AtomicU32, side: Side, deed: &Deed) {
    let _one = ACTS.lock().unwrap_or_else(PoisonError::into_inner);
    let child = pid.load(Ordering::SeqCst);
    if child == OVER {
        return;
    }
    stand_still(child);
    // The server may still be at what it was asked before.
    let census = || (hands.census(Side::Here), hands.census(Side::There));
    let mut before = census();
    for _ in 0..RESTS {
        std::thread::sleep(Duration::from_millis(3));
        let now = census();
        if now == before {
            break;
        }
        before = now;
    }
    hands.act(side, deed);
    signal(child, "-CONT");
}

/// A run is over: whoever is acting in it still is waited for.
fn over(pid: &AtomicU32) {
    let _one = ACTS.lock().unwrap_or_else(PoisonError::into_inner);
    pid.store(OVER, Ordering::SeqCst);
}

/// Leaves so many thousand octets free.
fn fill(filler: &Path, left: u64) {
    let Ok(file) = fs::File::create(filler) else { return };
    let mut file = io::BufWriter::with_capacity(1 << 16, file);
    let zeros = vec![0; 4096];
    while io::Write::write_all(&mut file, &zeros).is_ok() {}
    let Ok(file) = file.into_parts().0.try_clone() else { return };
    let length = file.metadata().map_or(0, |meta| meta.len());
    forgiven(file.set_len(length.saturating_sub(left * 1024)));
}

impl Scene for Real<'_> {
    fn counts(&self) -> Counts {
        self.counts
    }

    fn perform(&mut self, action: &Action) -> Vec<Fault> {
        if action.forgets() {
            let hands = self.hands();
            let (here, there) = (hands.census(Side::Here), hands.census(Side::There));
            self.oracle.lock().expect("no panic").forgot_with(&here, &there);
        }
        let (state, saved) = (self.base.0.join("state"), self.base.0.join("saved-state"));
        match action {
            Action::Act(side, deed) => self.hands().act(*side, deed),
            Action::Filled(token, mailbox) => self.hands().fill(*token, mailbox),
            Action::Run(meanwhile, trouble) => self.run(meanwhile, trouble.as_ref()),
            Action::Part(mailbox) => {
                _ = self.sync(&["sync", &format!("me/{}", self.hands().full(mailbox))])
            }
            Action::LoseState => self.lose_state(),
            Action::SaveState => {
                self.saved_torn = self.torn;
                Self::copy_dir(&state, &saved);
            }
            Action::RestoreState if saved.exists() => {
                self.torn = self.saved_torn;
                self.counts.states += 1;
                Self::copy_dir(&saved, &state);
            }
            Action::RestoreState => {}
            Action::TearState(seed) => self.tear(*seed),
            Action::SaveMail => {
                Self::copy_dir(&self.base.0.join("mail"), &self.base.0.join("saved-mail"));
            }
            Action::RestoreMail => self.restore_mail(),
            Action::Reconfigure => self.scope += 1,
            Action::Day => {}
            Action::Quiet => return self.quiet(),
        }
        Vec::new()
    }
}

impl Drop for Real<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.base.0);
    }
}
