//! `mailtide run` of an account that pulls, over simulated days: time is paused and jumps from
//! event to event.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kit::pop3::{Fault, Profile, Server, When};
use kit::world::World;
use mailtide::config::{Account, Config, Env, Keep};
use mailtide::daemon::cause::{Cause, Causes};
use mailtide::daemon::state::{Board, State, View};
use mailtide::daemon::task::Wanted;
use mailtide::daemon::worker::Place;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{drop_of, inbox, message, messages, of};
use crate::months::task_of;

const MINUTE: Duration = Duration::from_secs(60);

struct Kept {
    server: Server,
    world: World,
    board: Arc<Board>,
    causes: Causes,
    wanted: watch::Sender<Wanted>,
}

impl Kept {
    fn view(&self) -> View {
        self.board.views().1.remove(0)
    }

    fn sessions(&self) -> u64 {
        self.server.counters().sign_ins
    }

    /// Waits until it is so; gives how long that took.
    async fn until(&self, what: &str, is_so: impl Fn() -> bool) -> Duration {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < 180 * MINUTE, "{what}: {:?}", self.view());
            sleep(Duration::from_millis(100)).await;
        }
        begun.elapsed()
    }
}

fn account(dir: &Path) -> Account {
    let text = "[accounts.me]\nprotocol = \"pop3\"\nhost = \"127.0.0.1\"\ntls = \"none\"\n\
                user = \"me\"\npassword = \"secret\"\nmaildir = \"/mail\"\n";
    let config = Config::parse(text, &dir.join("config.toml"), 0o600, &Env::of_process());
    config.unwrap().accounts.remove(0)
}

/// Pulls from such a server while something happens.
fn keep(profile: Profile, scene: impl AsyncFnOnce(&Kept)) {
    keep_from(drop_of(profile, 2, Keep::Forever), scene);
}

/// The same, from a server that may have faults already.
fn keep_from((server, world): (Server, World), scene: impl AsyncFnOnce(&Kept)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::time::pause();
        let state = tempfile::tempdir().unwrap();
        let (task, wanted) = task_of(&world, account(state.path()), state.path());
        let (board, causes) = (Arc::clone(&task.board), task.causes.clone());
        let kept = Kept { server, world, board, causes, wanted };
        let serving = tokio::task::spawn_local(async move { task.serve(Place::Here).await });
        scene(&kept).await;
        kept.wanted.send_replace(Wanted::Stopped);
        serving.await.unwrap();
    });
}

fn in_step(kept: &Kept) -> bool {
    kept.view().state == State::InStep
}

#[test]
fn what_is_new_comes_with_the_next_poll() {
    keep(Profile::default(), async |kept| {
        kept.until("it begins", || in_step(kept)).await;
        assert_eq!(inbox(&kept.world).len(), 2);
        for n in 3..40 {
            kept.server.deliver(message(n).as_bytes());
            let here = || inbox(&kept.world).len() == n as usize;
            let took = kept.until("it comes", here).await;
            assert!(took <= Duration::from_secs(331), "{took:?}");
        }
        let before = kept.sessions();
        sleep(24 * 60 * MINUTE).await;
        let polls = kept.sessions() - before;
        assert!((280..=297).contains(&polls), "{polls}");
        // At once, when somebody asks.
        kept.server.deliver(message(77).as_bytes());
        kept.causes.nudge(Cause::Asked);
        let took = kept.until("it comes", || inbox(&kept.world).len() == 40).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    });
}

#[test]
fn a_server_that_wants_a_rest_gets_it() {
    let profile = Profile { login_delay: Some(1_800), ..Profile::default() };
    keep(profile, async |kept| {
        kept.until("it begins", || in_step(kept)).await;
        sleep(10 * 60 * MINUTE).await;
        let sessions = kept.sessions();
        assert!((19..=21).contains(&sessions), "{sessions}");
        // Neither sleep nor another network is a reason to sign in earlier; a person is.
        kept.causes.nudge(Cause::Resumed);
        kept.causes.nudge(Cause::Network);
        sleep(MINUTE).await;
        assert_eq!(kept.sessions(), sessions);
        kept.causes.nudge(Cause::Asked);
        sleep(MINUTE).await;
        assert_eq!(kept.sessions(), sessions + 1);
    });
}

/// No server is obeyed for longer than a day.
#[test]
fn a_rest_beyond_all_bounds() {
    let profile = Profile { login_delay: Some(u64::MAX), ..Profile::default() };
    keep(profile, async |kept| {
        kept.until("it begins", || in_step(kept)).await;
        sleep(25 * 60 * MINUTE).await;
        assert_eq!(kept.sessions(), 2);
    });
}

#[test]
fn a_locked_maildrop_is_waited_for() {
    keep(Profile { locked: true, ..Profile::default() }, async |kept| {
        kept.until("it is told", || kept.view().state == State::BackingOff).await;
        let why = kept.view().why.unwrap();
        assert!(why.contains("is refusing sign-ins for now"), "{why}");
        sleep(60 * MINUTE).await;
        let tries = kept.server.counters().connections;
        assert!((6..20).contains(&tries), "{tries}");
        kept.server.configure(|profile| profile.locked = false);
        let took = kept.until("it is let in", || in_step(kept)).await;
        assert!(took <= 13 * MINUTE, "{took:?}");
        assert_eq!(inbox(&kept.world).len(), 2);
    });
}

#[test]
fn a_wrong_password_is_not_tried_often() {
    let credentials = Some(("me".to_owned(), "another".to_owned()));
    keep(Profile { credentials, ..Profile::default() }, async |kept| {
        kept.until("it is told", || kept.view().state == State::SignIn).await;
        sleep(12 * 60 * MINUTE).await;
        let tries = kept.server.counters().connections;
        assert!((10..30).contains(&tries), "{tries}");
        kept.server.configure(|profile| profile.credentials = None);
        kept.causes.nudge(Cause::Asked);
        kept.until("it is let in", || in_step(kept)).await;
    });
}

#[test]
fn a_lost_connection_is_made_again_and_a_pause_is_one() {
    keep(Profile::default(), async |kept| {
        kept.until("it begins", || in_step(kept)).await;
        kept.wanted.send_replace(Wanted::Paused);
        kept.until("it is paused", || kept.view().state == State::Paused).await;
        let before = kept.sessions();
        kept.server.deliver(message(3).as_bytes());
        sleep(60 * MINUTE).await;
        assert_eq!(kept.sessions(), before);
        kept.wanted.send_replace(Wanted::Running);
        let here = || inbox(&kept.world).len() == 3;
        assert!(kept.until("it comes", here).await < Duration::from_secs(1));
    });
}

/// One bad thing, of any kind, and all else is here within two minutes; and all of it some hours
/// after the server is well again.
#[test]
fn one_bad_thing_holds_up_nothing_else() {
    let faults = [
        Fault::CutBefore,
        Fault::Hang,
        Fault::CutAfterSent(40),
        Fault::Refuse("no".to_owned()),
        Fault::Refuse("[SYS/TEMP] later".to_owned()),
        Fault::Say(b"garbage\r\n".to_vec()),
        Fault::Say(b"+OK\r\nSubject: x\r\n".to_vec()),
    ];
    let nameless = Profile { uidl: false, ..Profile::default() };
    let table = [
        (When::verb("RETR").says("3"), Profile::default(), 6),
        (When::verb("RETR").says("3"), nameless.clone(), 6),
        (When::verb("TOP").says("3"), nameless.clone(), 7),
        (When::verb("TOP"), nameless, 7),
        (When::verb("UIDL"), Profile::default(), 7),
        (When::verb("LIST"), Profile::default(), 7),
        (When::verb("CAPA"), Profile::default(), 7),
        (When::verb("NOOP"), Profile::default(), 7),
        (When::verb("QUIT"), Profile::default(), 7),
    ];
    for (when, profile, count) in table {
        for fault in &faults {
            let what = format!("{fault:?} {when:?}");
            let (server, world) = drop_of(profile.clone(), 7, Keep::Forever);
            server.inject(fault.clone(), when.clone());
            keep_from((server, world), async |kept| {
                let here = || inbox(&kept.world).len();
                let took = kept.until(&what, || here() >= count).await;
                assert!(took <= 2 * MINUTE, "{what}: {took:?}");
                sleep(20 * MINUTE).await;
                kept.server.heal();
                kept.until(&what, || here() == 7).await;
                sleep(20 * MINUTE).await;
                assert_eq!(inbox(&kept.world), of(messages(1..=7)), "{what}");
            });
        }
    }
}
