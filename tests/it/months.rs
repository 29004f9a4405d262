//! The task of an account over simulated days: time is paused and jumps from event to event.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kit::imap::{Fault, Profile, When};
use kit::world::{World, quick_dir};
use mailtide::config::{Account, Config, Env};
use mailtide::daemon::cause::{Cause, Causes};
use mailtide::daemon::state::{Board, State, View};
use mailtide::daemon::supervise;
use mailtide::daemon::task::{Task, Wanted};
use mailtide::daemon::volume::Volume;
use mailtide::daemon::worker::Place;
use mailtide::remote::{Connecting, Connector};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::running::until;

/// An account that is kept in step.
pub(crate) struct Kept {
    pub(crate) world: World,
    board: Arc<Board>,
    causes: Causes,
    wanted: watch::Sender<Wanted>,
    begun: Instant,
    /// Where its store lies.
    pub(crate) state: PathBuf,
}

impl Kept {
    pub(crate) fn view(&self) -> View {
        self.board.views().1.remove(0)
    }

    /// Time goes by, on the disk as well.
    pub(crate) async fn pass(&self, time: Duration) {
        sleep(time).await;
        let elapsed = i64::try_from(self.begun.elapsed().as_nanos()).unwrap();
        self.world.fs.set_clock(elapsed + 1_000_000_000_000_000_000);
    }

    /// Waits until it is so; gives how long that took.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn() -> bool) -> Duration {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(3 * 3600), "{what}: {:?}", self.view());
            // Exact where it matters, quick where it lasts.
            self.pass((begun.elapsed() / 100).max(Duration::from_millis(1))).await;
        }
        begun.elapsed()
    }

    /// Files changed, as the system tells it.
    pub(crate) fn files_changed(&self) {
        self.causes.nudge(Cause::Files);
    }

    pub(crate) fn agrees(&self) -> bool {
        self.view().state == State::InStep && self.world.remote() == self.world.local()
    }
}

/// Keeps an account on such a server in step while something happens.
pub(crate) fn keep(profile: Profile, scene: impl AsyncFnOnce(Rc<Kept>)) {
    let world = World::new(profile);
    world.server.create("Work");
    keep_in(world, scene);
}

/// The same, in this world.
pub(crate) fn keep_in(world: World, scene: impl AsyncFnOnce(Rc<Kept>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::time::pause();
        let (kept, task, _state) = kept(world);
        let kept = Rc::new(kept);
        let serving = tokio::task::spawn_local(async move { task.serve(Place::Here).await });
        kept.until("it begins", || kept.view().state == State::InStep).await;
        scene(Rc::clone(&kept)).await;
        kept.wanted.send_replace(Wanted::Stopped);
        serving.await.unwrap();
    });
}

/// An account in such a world, its task, and where its store lies.
fn kept(world: World) -> (Kept, Task, TempDir) {
    world.fs.set_clock(1_000_000_000_000_000_000);
    let state = quick_dir();
    let (task, wanted) = task_of(&world, account(state.path()), state.path());
    let (board, causes) = (Arc::clone(&task.board), task.causes.clone());
    let (begun, dir) = (Instant::now(), state.path().to_owned());
    (Kept { world, board, causes, wanted, begun, state: dir }, task, state)
}

/// The task that keeps an account `me` in step, which is on its board already, and what tells it
/// to stop. Its store is in `state`.
pub(crate) fn task_of(
    world: &World,
    account: Account,
    state: &Path,
) -> (Task, watch::Sender<Wanted>) {
    let (wanted, receiver) = watch::channel(Wanted::Running);
    let task = Task {
        account,
        state_dir: state.to_owned(),
        environment: world.environment(),
        board: Board::new(),
        causes: Causes::default(),
        wanted: receiver,
        volume: Volume::default(),
        beat: None,
    };
    task.board.update("me", |_| {});
    (task, wanted)
}

pub(crate) fn account(dir: &Path) -> Account {
    let path = dir.join("config.toml");
    let text = "[accounts.me]\nhost = \"127.0.0.1\"\ntls = \"none\"\nuser = \"me\"\n\
                password = \"secret\"\nmaildir = \"/mail\"\n\
                guard = { always = 1000 }\n";
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = Config::load(Some(&path), &Env::of_process()).unwrap();
    config.accounts.into_iter().next().unwrap()
}

fn notify() -> Profile {
    Profile { notify: true, ..Profile::qresync() }
}

pub(crate) fn message(n: usize) -> Vec<u8> {
    format!("Message-ID: <{n}>\r\nSubject: {n}\r\n\r\nnumber {n}\r\n").into_bytes()
}

/// The server tells at once, so it shows at once, however it tells.
#[test]
fn what_the_server_tells_shows_within_a_blink() {
    for profile in [notify(), Profile::qresync()] {
        keep(profile, async |kept| {
            kept.pass(Duration::from_secs(60)).await;
            for n in 0..100 {
                kept.world.server.append("INBOX", &message(n), &[], Some(7));
                let took = kept.until("it comes down", || kept.agrees()).await;
                assert!(took < Duration::from_millis(60), "{took:?}");
                let uid = kept.world.server.list("INBOX")[0].uid;
                match n % 4 {
                    1 => _ = kept.world.server.set_flags("INBOX", uid, &["\\Seen"], &[]),
                    2 => _ = kept.world.server.mv("INBOX", uid, "Work"),
                    3 => _ = kept.world.server.expunge("INBOX", &[uid]),
                    _ => {}
                }
                let took = kept.until("so does a change", || kept.agrees()).await;
                assert!(took < Duration::from_millis(60), "{took:?}");
                kept.pass(Duration::from_secs(10)).await;
            }
        });
    }
}

/// A day of nothing: what keeps the connections open, the polls that are configured, no more.
#[test]
fn a_quiet_day_costs_what_keeps_the_connections() {
    let day = Duration::from_secs(86_400);
    for (profile, polls) in [(notify(), 48), (Profile::qresync(), 288)] {
        keep(profile, async |kept| {
            kept.pass(Duration::from_secs(60)).await;
            let (before, runs) = (kept.world.server.counters(), kept.view().runs);
            kept.pass(day).await;
            let after = kept.world.server.counters();
            assert_eq!(after.connections, before.connections, "no connection is made anew");
            let runs = kept.view().runs - runs;
            assert!(runs >= polls * 8 / 10 && runs <= polls * 12 / 10, "{runs} runs");
            // A poll is three commands; each connection is renewed every 9 minutes.
            let commands = after.verbs.values().sum::<u64>() - before.verbs.values().sum::<u64>();
            let most = 3 * runs + 2 * 86_400 / 540 + 20;
            assert!(
                commands <= most,
                "{commands} commands in {runs} runs, more than {most}: {:?}",
                after.verbs
            );
        });
    }
}

/// Its name, and what it does to the server.
type Trouble = (&'static str, fn(&World));

/// Whatever does not work, and for however long: no busy loop, and it works again by itself.
#[test]
fn trouble_that_lasts_is_met_with_patience() {
    let troubles: [Trouble; 4] = [
        ("dropped at the greeting", |world| {
            world.server.inject(Fault::CutBefore, When::connect());
        }),
        ("silent at the greeting", |world| {
            world.server.inject(Fault::Hang, When::connect());
        }),
        ("BYE at each LIST", |world| {
            world.server.inject(Fault::Bye("try again later".to_owned()), When::verb("LIST"));
        }),
        ("the password was changed", |world| {
            world.server.configure(|p| p.credentials = Some(("me".into(), "other".into())));
        }),
    ];
    for (what, trouble) in troubles {
        keep(notify(), async |kept| {
            kept.pass(Duration::from_secs(60)).await;
            trouble(&kept.world);
            kept.world.server.drop_connections();
            let before = kept.world.server.counters().connections;
            kept.pass(Duration::from_secs(4 * 3600)).await;
            let tries = kept.world.server.counters().connections - before;
            assert!((4..=130).contains(&tries), "{what}: {tries} connections in 4 hours");
            assert_ne!(kept.view().state, State::InStep, "{what}");
            kept.world.server.heal();
            kept.world.server.configure(|p| p.credentials = None);
            kept.world.server.append("INBOX", &message(1), &[], Some(7));
            let took = kept.until(what, || kept.agrees()).await;
            // An hour at the most, give or take a quarter.
            assert!(took < Duration::from_secs(4600), "{what}: {took:?}");
        });
    }
}

/// One who asks is one attempt, not one after the other for as long as the trouble lasts.
#[test]
fn a_reason_to_hope_is_no_reason_twice() {
    keep(notify(), async |kept| {
        kept.pass(Duration::from_secs(60)).await;
        let other = Some(("me".to_owned(), "other".to_owned()));
        kept.world.server.configure(|p| p.credentials = other);
        kept.world.server.drop_connections();
        kept.until("it is refused", || kept.view().state == State::SignIn).await;
        for cause in [Cause::Asked, Cause::Network, Cause::Resumed] {
            let before = kept.world.server.counters().connections;
            kept.causes.nudge(cause);
            kept.pass(Duration::from_secs(30)).await;
            let tries = kept.world.server.counters().connections - before;
            assert!((1..=3).contains(&tries), "{cause}: {tries} attempts");
        }
    });
}

/// Somebody changes their mind while a run winds down.
#[test]
fn a_pause_that_is_taken_back_leaves_nothing_undone() {
    keep(notify(), async |kept| {
        kept.pass(Duration::from_secs(60)).await;
        for n in 0..20 {
            kept.world.server.append("INBOX", &message(n), &[], Some(7));
            // Before the run, in it or after it.
            for _ in 0..n {
                tokio::task::yield_now().await;
            }
            kept.wanted.send_replace(Wanted::Paused);
            tokio::task::yield_now().await;
            kept.wanted.send_replace(Wanted::Running);
            let took = kept.until("it comes down", || kept.agrees()).await;
            assert!(took < Duration::from_secs(10), "{took:?}");
        }
    });
}

/// A person who asks, a network that came back: nobody waits for the next attempt then.
#[test]
fn a_reason_to_hope_is_tried_at_once() {
    for cause in [Cause::Asked, Cause::Network, Cause::Resumed] {
        keep(notify(), async |kept| {
            kept.world.server.inject(Fault::CutBefore, When::connect());
            kept.world.server.drop_connections();
            kept.pass(Duration::from_secs(3600)).await;
            kept.world.server.heal();
            kept.causes.nudge(cause);
            let took = kept.until("it tries", || kept.view().state == State::InStep).await;
            assert!(took < Duration::from_secs(1), "{cause}: {took:?}");
        });
    }
}

/// Events that come to nothing (another program's files) put no poll off.
#[test]
fn a_busy_disk_does_not_keep_the_server_from_being_asked() {
    keep(Profile { idle: false, ..Profile::qresync() }, async |kept| {
        for n in 0..20 {
            kept.world.server.append("Work", &message(n), &[], Some(7));
            let begun = Instant::now();
            while !kept.agrees() {
                assert!(begun.elapsed() < Duration::from_secs(400), "never polled");
                kept.causes.nudge(Cause::Files);
                kept.pass(Duration::from_secs(10)).await;
            }
        }
    });
}

/// After sleep the connection may be dead without a word; that is found out in seconds.
#[test]
fn a_connection_that_died_in_sleep_is_not_waited_for() {
    for cause in [Cause::Resumed, Cause::Network] {
        keep(notify(), async |kept| {
            kept.pass(Duration::from_secs(60)).await;
            let silent = kept.world.server.inject(Fault::Hang, When::verb("NOOP"));
            kept.world.server.append("INBOX", &message(1), &[], Some(7));
            kept.until("it comes down", || kept.agrees()).await;
            let before = kept.world.server.counters().connections;
            kept.causes.nudge(cause);
            kept.until("it asks", || silent.hits() > 0).await;
            kept.world.server.heal();
            let again = || kept.world.server.counters().connections >= before + 2;
            let took = kept.until("it connects anew", again).await;
            assert!(took < Duration::from_secs(6), "{cause}: {took:?}");
            kept.until("it is in sync", || kept.agrees()).await;
        });
    }
}

/// A connector that finds an error of ours, once.
#[derive(Debug)]
struct Stumbles(Arc<dyn Connector>, AtomicBool);

impl Connector for Stumbles {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        assert!(self.1.swap(true, Ordering::SeqCst), "an error that a test put here");
        self.0.connect(host, port)
    }
}

#[test]
fn an_error_of_our_own_ends_no_account_for_good() {
    let (kept, mut task, _state) = kept(World::new(notify()));
    let inner = Arc::clone(&task.environment.connector);
    task.environment.connector = Arc::new(Stumbles(inner, AtomicBool::new(false)));
    let thread = std::thread::spawn(move || supervise(&task, Duration::ZERO));
    until("it goes on", || kept.view().state == State::InStep);
    kept.wanted.send_replace(Wanted::Stopped);
    thread.join().unwrap();
}

const WEEK: &str = "MAILTIDE_TEST_WEEK";

/// What the called process does: nothing, unless it was called for this.
#[test]
fn child() {
    if std::env::var_os(WEEK).is_some() {
        a_week();
    }
}

/// In a process of its own, whose memory is that of nobody else.
#[test]
fn a_week_of_events_leaves_nothing_behind() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "months::child", "--nocapture"]).env(WEEK, "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let days = said.lines().find_map(|line| line.strip_prefix("KiB by day: ")).unwrap();
    let days: Vec<u64> = days.split(' ').map(|kib| kib.parse().unwrap()).collect();
    println!("{said}");
    // The first days warm the caches up; a simulated disk forgets nothing.
    assert!(days[6] < days[2] + 3072, "{days:?}");
}

/// Memory of this process, in KiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A week of mail that comes, is read and goes, with a connection lost now and then. Never does
/// all that was there leave within a day: that would be held.
#[allow(clippy::print_stdout, reason = "the one who called this process reads it")]
fn a_week() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    keep(notify(), async |kept| {
        let server = &kept.world.server;
        let (mut days, mut made) = (Vec::new(), 0);
        for event in 0..7 * 144 {
            kept.pass(Duration::from_secs(rng.u64(1..1200))).await;
            let uids: Vec<u32> = server.list("INBOX").iter().map(|m| m.uid).collect();
            let oldest = uids.first().copied();
            match (rng.u8(..8), oldest) {
                (0, _) => server.drop_connections(),
                (1, Some(uid)) => _ = server.set_flags("INBOX", uid, &["\\Flagged"], &[]),
                (2 | 3, Some(uid)) if uids.len() > 100 => _ = server.expunge("INBOX", &[uid]),
                (4, Some(uid)) => _ = server.mv("INBOX", uid, "Work"),
                _ => _ = server.append("INBOX", &message(event), &[], Some(7)),
            }
            let work: Vec<u32> = server.list("Work").iter().map(|m| m.uid).collect();
            if work.len() > 100 {
                server.expunge("Work", &work[..1]);
            }
            kept.until("it is in sync", || kept.agrees()).await;
            if event % 144 == 143 {
                made += server.counters().connections;
                // It keeps every command that it was sent.
                server.reset_counters();
                days.push(memory().to_string());
            }
        }
        println!("KiB by day: {}", days.join(" "));
        // About 18 losses a day, of two connections each.
        let most = 2 + 2 * (7 * 144 / 8 + 60);
        assert!(made < most, "{made} connections, more than {most}");
    });
}
