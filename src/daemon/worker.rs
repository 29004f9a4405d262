//! Where the disk and the store of an account are worked on: a thread of its own, so that
//! neither a slow disk nor a file of many gigabytes keeps the account's own thread from hearing
//! the server, a person or the service manager (hazard 121).

use std::any::Any;
use std::cell::RefCell;
use std::future::{Future, pending};
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::state::Board;
use super::volume::Volume;

type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Job<S> = Box<dyn for<'a> FnOnce(&'a mut S) -> Work<'a> + Send>;

/// Where a worker does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On a thread of its own.
    Thread,
    /// On the local task set of the caller: for tests in which time is paused.
    Here,
}

/// What a worker is called and how it shows that it is alive.
#[derive(Debug, Clone)]
pub struct Badge {
    /// The name of its thread.
    pub thread: String,
    /// The account that it works for.
    pub account: String,
    /// What is logged of it.
    pub volume: Volume,
    /// Where its signs of life go.
    pub board: Arc<Board>,
    /// How often; never where nobody looks.
    pub beat: Option<Duration>,
}

/// Does one job after another, with a state of its own between them.
#[derive(Debug)]
pub struct Worker<S> {
    jobs: mpsc::UnboundedSender<Job<S>>,
    hand: RefCell<Option<Hand>>,
    ended: oneshot::Receiver<()>,
}

/// What does the work.
#[derive(Debug)]
enum Hand {
    Thread(JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl<S: Default + 'static> Worker<S> {
    /// A worker that waits for its first job.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(place: Place, badge: Badge) -> io::Result<Self> {
        let (jobs, mut inbox) = mpsc::unbounded_channel::<Job<S>>();
        let (end, ended) = oneshot::channel();
        let (thread, volume) = (badge.thread.clone(), badge.volume.clone());
        // The work itself need not be fit to change threads: it begins where it is done.
        let work = move || async move {
            let mut state = S::default();
            while let Some(job) = inbox.recv().await {
                badge.beating(job(&mut state)).await;
            }
            drop(state);
            let _ = end.send(());
        };
        let hand = match place {
            Place::Here => Hand::Task(tokio::task::spawn_local(work())),
            Place::Thread => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let thread = std::thread::Builder::new().name(thread);
                Hand::Thread(thread.spawn(move || {
                    volume.of_this_thread();
                    runtime.block_on(work());
                })?)
            }
        };
        Ok(Self { jobs, hand: RefCell::new(Some(hand)), ended })
    }

    /// Has this done and waits for its result. If that is not waited for, the job is cut off at
    /// the next point at which it waits itself.
    pub async fn call<T, J>(&self, job: J) -> T
    where
        T: Send + 'static,
        J: AsyncFnOnce(&mut S) -> T + Send + 'static,
    {
        let (mut answer, answered) = oneshot::channel();
        let job = boxed(move |state: &mut S| {
            Box::pin(async move {
                let done = tokio::select! {
                    done = job(state) => done,
                    () = answer.closed() => return,
                };
                let _ = answer.send(done);
            })
        });
        if self.jobs.send(job).is_ok()
            && let Ok(done) = answered.await
        {
            return done;
        }
        self.pass_on().await
    }

    /// Waits until the state is dropped: what it held is free then.
    pub async fn end(self) {
        drop(self.jobs);
        let _ = self.ended.await;
    }

    /// Passes on what ended the worker, which can only be a panic.
    async fn pass_on<T>(&self) -> T {
        let hand = self.hand.borrow_mut().take();
        let cause: Option<Box<dyn Any + Send>> = match hand {
            Some(Hand::Thread(thread)) => thread.join().err(),
            Some(Hand::Task(task)) => {
                task.await.err().and_then(|error| error.try_into_panic().ok())
            }
            None => None,
        };
        match cause {
            Some(cause) => resume_unwind(cause),
            // The runtime is being shut down, and this with it.
            None => pending().await,
        }
    }
}

/// Lets the compiler see that the job is good for every lifetime of the state.
fn boxed<S>(job: impl for<'a> FnOnce(&'a mut S) -> Work<'a> + Send + 'static) -> Job<S> {
    Box::new(job)
}

impl Badge {
    /// Shows signs of life as long as the work lasts.
    async fn beating(&self, mut work: Work<'_>) {
        let Some(beat) = self.beat else { return work.await };
        loop {
            self.board.works(&self.account);
            tokio::select! {
                () = &mut work => break,
                () = tokio::time::sleep(beat) => {}
            }
        }
        self.board.rests(&self.account);
    }
}
