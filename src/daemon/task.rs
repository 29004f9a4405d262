//! The task of one account: connect, sync, wait for causes; after trouble, wait and begin anew.
//! It never waits for the disk: what does is done by its [worker](super::worker).

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::backoff::Backoff;
use super::cause::{self, Cause, Causes, Merged};
use super::ending::{End, Failure, skipped};
use super::hook::Hooks;
use super::notifications::Push;
use super::open_account::{Look, OpenAccount};
use super::progress;
use super::state::{Board, State, now};
use super::volume::{ACCOUNT_THREAD, Volume};
use super::worker::{Badge, Place, Worker};
use crate::account::{AccountError, Environment, Settings, Trouble};
use crate::config::Account;
use crate::mail::RENEWAL;
use crate::reconcile::types::printable;

/// Where the server tells of everything, this is still looked after: events may be lost.
const SLOW_POLL: Duration = Duration::from_secs(30 * 60);
/// So many runs may follow one another without a pause. The next ones wait, so long at first and
/// twice as long each time: a storm is few runs, and a slow connection no storm.
const AT_ONCE: u32 = 4;
const STORM: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(160));
/// After so many looks in a row that were asked for by the server alone and found nothing, the next
/// ones wait: so long at first and twice as long each time. It ends when a look finds something, or
/// the server is quiet for as long as the wait (hazard 106).
const FRUITLESS: u32 = 3;
const FRUITLESS_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// After a run that put something off, or found something that is believed only when it is found
/// twice, the next one comes so soon, and twice as late each time.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a run may go on after the end was asked for; what it has in hand is safe at any
/// point, since it could be killed there as well.
const GRACE: Duration = Duration::from_secs(4);

/// What is wanted of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// To be kept in step.
    Running,
    /// To be left alone for now.
    Paused,
    /// To be let go.
    Stopped,
}

/// One account and what connects it with the rest of the daemon.
#[derive(Debug)]
pub struct Task {
    /// Its configuration.
    pub account: Account,
    /// Where its store lies.
    pub state_dir: PathBuf,
    /// The world; whom it tells of progress is of no account here.
    pub environment: Environment,
    /// Where it tells how it stands.
    pub board: Arc<Board>,
    /// Why it should look.
    pub causes: Causes,
    /// What is wanted of it.
    pub wanted: watch::Receiver<Wanted>,
    /// What is logged of it.
    pub volume: Volume,
    /// How often it shows that it is alive; never where nobody looks.
    pub beat: Option<Duration>,
}

impl Task {
    /// Runs until it is to stop.
    ///
    /// # Errors
    /// The system gives no runtime.
    pub fn run(&self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(self.serve(Place::Thread)));
        // A hook that is still running is ended with it.
        Ok(())
    }

    /// The same, on the local task set of the caller. The disk is worked on at that place.
    pub async fn serve(&self, place: Place) {
        let mut backoff = Backoff::default();
        self.beat();
        loop {
            match self.now_wanted() {
                Wanted::Stopped => return,
                Wanted::Paused => {
                    self.state(State::Paused, None, None);
                    self.other_than(Wanted::Paused).await;
                    continue;
                }
                Wanted::Running => {}
            }
            let life = match &self.account.maildrop {
                Some(terms) => Box::pin(self.pulls(place, terms, &mut backoff)).await,
                None => Box::pin(self.live(place, &mut backoff)).await,
            };
            match life {
                End::Wanted | End::Cut | End::Moved => {}
                End::Trouble(failure) => self.wait_after(&failure, &mut backoff).await,
            }
        }
    }

    /// Waits until it is worth another attempt.
    async fn wait_after(&self, failure: &Failure, backoff: &mut Backoff) {
        let wait = backoff.next(failure.trouble, failure.words.as_deref(), fastrand::f64());
        let wait = wait.max(failure.wait.unwrap_or_default());
        let state = match failure.trouble {
            Trouble::SignIn => State::SignIn,
            Trouble::Lost | Trouble::Person => State::BackingOff,
        };
        let why = printable(&failure.text);
        let seconds = wait.as_secs();
        if wait.is_zero() {
            tracing::info!("{why}; connecting anew");
            return;
        }
        tracing::warn!("{why}; tried again in {seconds} s");
        self.ends(
            state,
            Some(now().saturating_add(i64::try_from(seconds).unwrap_or(0))),
            Some(why),
        );
        let now = [Cause::Asked, Cause::Resumed, Cause::Network];
        let waited = async {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Taken here: in the slot it would be a reason for each attempt to come.
                () = self.causes.wait_for(&now) => drop(self.causes.take()),
                () = self.other_than(Wanted::Running) => {}
            }
        };
        self.alive(waited).await;
    }

    /// From sign-in to whatever ends it.
    async fn live(&self, place: Place, backoff: &mut Backoff) -> End {
        let worker = match self.worker(place) {
            Ok(worker) => worker,
            Err(error) => return error.into(),
        };
        let end = self.live_on(&worker, backoff).await;
        let says_goodbye = matches!(end, End::Wanted | End::Moved);
        let closed = async {
            if says_goodbye {
                worker
                    .call(async |kept: &mut Option<OpenAccount>| {
                        Box::pin(OpenAccount::close(kept.take())).await
                    })
                    .await;
            }
            // What it holds has to be free before another life begins.
            worker.end().await;
        };
        if !matches!(end, End::Cut) {
            let _ = self.alive(tokio::time::timeout(GRACE, closed)).await;
        }
        end
    }

    async fn live_on(&self, worker: &Worker<Option<OpenAccount>>, backoff: &mut Backoff) -> End {
        self.board.begin(&self.account.name);
        self.state(State::Connecting, None, None);
        let stop = Arc::new(AtomicBool::new(false));
        let opened = tokio::select! {
            opened = self.alive(self.open(worker, &stop)) => opened,
            () = self.other_than(Wanted::Running) => return End::Wanted,
        };
        let (settings, environment) = match opened {
            Ok(opened) => opened,
            Err(end) => return end,
        };
        let mut session = Open {
            task: self,
            worker,
            push: Push::start(&settings, &environment, &self.causes, &self.board),
            hooks: Hooks::new(&self.account),
            stop,
            backoff,
            streak: 0,
            fruitless: 0,
            agains: 0,
            looked: tokio::time::Instant::now(),
            due: tokio::time::Instant::now(),
            spoke: tokio::time::Instant::now(),
        };
        let end = session.serve().await;
        session.push.stop().await;
        end
    }

    async fn open(
        &self,
        worker: &Worker<Option<OpenAccount>>,
        stop: &Arc<AtomicBool>,
    ) -> Result<(Settings, Environment), End> {
        let secret = self.account.secret.fetch().await?;
        let settings = Settings::of(&self.account, &self.state_dir, secret.expose());
        let progress = progress::onto(&self.board, &self.account.name);
        let environment =
            Environment { progress, stop: Arc::clone(stop), ..self.environment.clone() };
        let (with, causes) = ((settings.clone(), environment.clone()), self.causes.clone());
        let opened = worker.call(async move |kept: &mut Option<OpenAccount>| {
            *kept = Some(OpenAccount::open(with.0, with.1, &causes).await?);
            Ok::<(), AccountError>(())
        });
        opened.await?;
        Ok((settings, environment))
    }

    /// Whoever works on the disk for this account.
    pub(super) fn worker<S: Default + 'static>(&self, place: Place) -> io::Result<Worker<S>> {
        let badge = Badge {
            thread: format!("{ACCOUNT_THREAD}{}", self.account.name),
            account: self.account.name.clone(),
            volume: self.volume.clone(),
            board: Arc::clone(&self.board),
            beat: self.beat,
        };
        Worker::start(place, badge)
    }

    pub(super) fn now_wanted(&self) -> Wanted {
        *self.wanted.borrow()
    }

    /// Waits until something else is wanted.
    pub(super) async fn other_than(&self, wanted: Wanted) {
        let mut receiver = self.wanted.clone();
        if receiver.wait_for(|now| *now != wanted).await.is_err() {
            // Nobody is left who could want anything.
            std::future::pending::<()>().await;
        }
    }

    /// Shows signs of life while something is waited for. They come from this very loop: when
    /// it hangs, they end.
    pub(super) async fn alive<T>(&self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        let Some(beat) = self.beat else { return what.await };
        loop {
            self.beat();
            tokio::select! {
                out = &mut what => return out,
                () = tokio::time::sleep(beat) => {}
            }
        }
    }

    fn beat(&self) {
        if self.beat.is_some() {
            self.board.beat(&self.account.name);
        }
    }

    /// Waits until a run that goes on has to be given up.
    pub(super) async fn must_end(&self, stop: &AtomicBool) {
        self.other_than(Wanted::Running).await;
        stop.store(true, Ordering::Relaxed);
        tokio::time::sleep(GRACE).await;
    }
}

/// A signed-in account.
struct Open<'a> {
    task: &'a Task,
    worker: &'a Worker<Option<OpenAccount>>,
    push: Push,
    hooks: Hooks,
    stop: Arc<AtomicBool>,
    backoff: &'a mut Backoff,
    /// Runs at whose end the cause of another was there already.
    streak: u32,
    /// Looks in a row that the server alone asked for, and that found nothing; the end of the last.
    fruitless: u32,
    /// Runs in a row that put something off.
    agains: u32,
    looked: tokio::time::Instant,
    /// When the server is asked, whatever happens on the disk meanwhile.
    due: tokio::time::Instant,
    /// When something was said to the server last.
    spoke: tokio::time::Instant,
}

impl Open<'_> {
    async fn serve(&mut self) -> End {
        match self.serve_on().await {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    async fn serve_on(&mut self) -> Result<Infallible, End> {
        let mut causes = Merged::from([Cause::Start]);
        loop {
            let in_doubt = causes.contains(&Cause::Resumed) || causes.contains(&Cause::Network);
            // What only happened on disk may be our own doing: then the server is not asked.
            let only_disk = causes == Merged::from([Cause::Files]);
            let look = async move |kept: &mut OpenAccount| kept.look(in_doubt, only_disk).await;
            match self.on_disk(look).await?? {
                Look::Moved => return Err(End::Moved),
                Look::News => {
                    self.sync(&causes).await?;
                    self.weather().await;
                }
                Look::Nothing => self.streak = 0,
            }
            let blind = self.on_disk(async |kept: &mut OpenAccount| kept.rest()).await?;
            let next = self.next(blind).await?;
            causes = self.pace(next).await?;
        }
    }

    /// Has something done by the worker, and gives it up after a while once the end is wanted.
    async fn on_disk<T, J>(&self, job: J) -> Result<T, End>
    where
        T: Send + 'static,
        J: AsyncFnOnce(&mut OpenAccount) -> T + Send + 'static,
    {
        let done = self.worker.call(async move |kept: &mut Option<OpenAccount>| match kept {
            Some(kept) => job(kept).await,
            // Nothing is asked before it is open, or after it was closed.
            None => pending().await,
        });
        tokio::select! {
            done = self.task.alive(done) => Ok(done),
            () = self.task.must_end(&self.stop) => Err(End::Cut),
        }
    }

    async fn sync(&mut self, causes: &Merged) -> Result<(), End> {
        let task = self.task;
        task.board.begin(&task.account.name);
        task.state(State::Syncing, None, None);
        let (started, words) = (Instant::now(), cause::words(causes));
        let why = words.clone();
        let run =
            self.on_disk(async move |kept: &mut OpenAccount| Box::pin(kept.run(&why)).await).await;
        let (report, result) = run.inspect_err(|_| {
            tracing::info!("stopped in the middle of a run");
        })?;
        task.tell(&words, &report, started.elapsed());
        self.hooks.tell(&report);
        let held = result?;
        if self.stop.load(Ordering::Relaxed) {
            // Whatever is wanted by now, this life does nothing more.
            return Err(End::Wanted);
        }
        self.backoff.reset();
        self.looked = tokio::time::Instant::now();
        self.fruitless = match *causes == Merged::from([Cause::Server]) {
            _ if report.done() > 0 => 0,
            true => self.fruitless.saturating_add(1),
            false => self.fruitless,
        };
        // What was skipped may be well again, and nobody tells.
        let hears = self.push.hears_all() && report.skipped.is_empty();
        let poll = if hears { SLOW_POLL } else { task.account.poll };
        self.spoke = tokio::time::Instant::now();
        self.due = self.spoke + poll.mul_f64(0.9 + fastrand::f64() / 5.0);
        if let Some(again) = self.again(report.again) {
            self.due = self.due.min(self.spoke + again);
        }
        report.touched.iter().for_each(|mailbox| self.push.attend(mailbox));
        match held {
            0 => task.ends(State::InStep, None, skipped(&report)),
            _ => task.ends(State::Held, None, Some("`mailtide holds` shows what".to_owned())),
        }
        Ok(())
    }

    /// When something is tried again that was put off: ever later while that comes to nothing.
    fn again(&mut self, wanted: Option<u64>) -> Option<Duration> {
        let Some(seconds) = wanted else {
            self.agains = 0;
            return None;
        };
        let least = AGAIN.saturating_mul(1 << self.agains.min(16)).min(self.task.account.poll);
        self.agains = self.agains.saturating_add(1);
        Some(least.max(Duration::from_secs(seconds)))
    }

    /// Lets a storm of causes collect for a while; where nothing is open, nothing is waited for.
    async fn weather(&mut self) {
        let task = self.task;
        if task.causes.is_empty() {
            self.streak = 0;
            return;
        }
        self.streak = self.streak.saturating_add(1);
        let Some(doublings) = self.streak.checked_sub(AT_ONCE) else { return };
        let wait = STORM.0.saturating_mul(1 << doublings.min(16)).min(STORM.1);
        let waited = async {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = task.causes.wait_for(&[Cause::Asked]) => {}
                () = task.other_than(Wanted::Running) => {}
            }
        };
        task.alive(waited).await;
    }

    /// Lets a server wait that tells of news which are none; any other cause is taken at once.
    async fn pace(&mut self, mut causes: Merged) -> Result<Merged, End> {
        let task = self.task;
        let Some(doublings) = self.fruitless.checked_sub(FRUITLESS) else { return Ok(causes) };
        let wait = FRUITLESS_WAIT.0.saturating_mul(1 << doublings.min(16)).min(FRUITLESS_WAIT.1);
        if self.looked.elapsed() >= 2 * wait {
            self.fruitless = 0;
        }
        while causes == Merged::from([Cause::Server]) && self.looked.elapsed() < wait {
            let due = self.looked + wait;
            let waited = async {
                tokio::select! {
                    () = task.other_than(Wanted::Running) => Err(End::Wanted),
                    () = tokio::time::sleep_until(due) => Ok(Merged::new()),
                    more = task.causes.next() => Ok(more),
                }
            };
            causes.extend(task.alive(waited).await?);
        }
        Ok(causes)
    }

    /// Waits for the next cause, on the disk no longer than it may be blind.
    async fn next(&mut self, blind: Option<Duration>) -> Result<Merged, End> {
        let task = self.task;
        loop {
            let renewal = tokio::time::sleep_until(self.spoke + RENEWAL);
            let waited = async {
                tokio::select! {
                    biased;
                    () = task.other_than(Wanted::Running) => Err(End::Wanted),
                    causes = task.causes.next() => Ok(Some(causes)),
                    () = tokio::time::sleep_until(self.due) => {
                        Ok(Some(Merged::from([Cause::Poll])))
                    }
                    () = tokio::time::sleep(blind.unwrap_or_default()), if blind.is_some() => {
                        Ok(Some(Merged::from([Cause::Files])))
                    }
                    () = renewal => Ok(None),
                }
            };
            match task.alive(waited).await? {
                Some(causes) => return Ok(causes),
                None => {
                    self.on_disk(async |kept: &mut OpenAccount| kept.stay_awake().await).await??;
                    self.spoke = tokio::time::Instant::now();
                }
            }
        }
    }
}
