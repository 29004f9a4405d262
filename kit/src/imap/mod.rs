//! A simulated IMAP server: real semantics, every fault, no disk, no clock of its own.
//!
//! [`Server`] holds the mailboxes; [`Server::serve`] speaks IMAP on any stream, many at once;
//! [`Profile`] says which extensions there are; [`Fault`] what goes wrong and [`When`]; the
//! methods of `Server` act as "another client" and read back what is there. It keeps to what
//! Dovecot 2.3 does where the RFCs leave room; `script` holds commands that both are asked.
//!
//! Mailbox names in this interface are UTF-8 with the server's own delimiter; on the wire they
//! are modified UTF-7.

mod args;
mod commands;
mod date;
mod dialogue;
mod direct;
pub(crate) mod fault;
mod log;
mod mailbox;
pub mod name;
mod notify;
mod profile;
mod request;
mod respond;
pub mod script;
mod session;
mod set;
mod state;
pub(crate) mod tls;
mod view;
pub(crate) mod wire;

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use direct::{Entry, Snapshot, World};
pub use fault::{Fault, Injected, When};
pub use log::{Counters, Logged};
pub use mailbox::Msg;
pub use profile::{Literals, Modseq, Profile, StatusIds};
pub use tls::certificate;

use fault::Faults;
use log::Log;
use state::State;

/// What a crash-point hook decides about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Carry it out and answer.
    Continue,
    /// End the connection before it is carried out.
    CutBefore,
    /// Carry it out, then end the connection without a word.
    CutAfter,
}

/// Sees each command (without its tag, literals as `{n}`) when it was wholly received.
pub type Hook = Box<dyn FnMut(&str) -> Action + Send>;

/// Sees each command that was carried out, before it is answered; false: the connection ends
/// without a word.
pub type AnswerHook = Box<dyn FnMut(&str) -> bool + Send>;

/// A simulated IMAP server. Clones share one state.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// What all connections share.
struct Shared {
    inner: Mutex<Inner>,
    hook: Mutex<Option<Hook>>,
    answer_hook: Mutex<Option<AnswerHook>>,
    /// Rises when mailboxes change; IDLE waits for it.
    changed: watch::Sender<u64>,
    /// Rises when all connections are to be dropped.
    dropped: watch::Sender<u64>,
}

/// What the lock guards.
struct Inner {
    profile: Profile,
    state: State,
    faults: Faults,
    log: Log,
    /// APPENDs that were received but will be stored later.
    late: Vec<Late>,
    late_ids: u64,
    /// Only the newest n messages of each mailbox are shown.
    window: Option<usize>,
    connections: u64,
}

/// An APPEND whose connection died and that is still to be stored.
struct Late {
    id: u64,
    mailbox: String,
    arrivals: Vec<commands::Upload>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere is reported by the test that panicked; the state is still usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Wakes those who wait for changes.
    fn tell_change(&self) {
        self.changed.send_modify(|n| *n += 1);
    }
}

impl Server {
    /// A server with an empty INBOX.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let state = State::new(profile.delimiter, profile.lax_names);
        let inner = Inner {
            profile,
            state,
            faults: Faults::default(),
            log: Log::default(),
            late: Vec::new(),
            late_ids: 0,
            window: None,
            connections: 0,
        };
        Self {
            shared: Arc::new(Shared {
                inner: Mutex::new(inner),
                hook: Mutex::new(None),
                answer_hook: Mutex::new(None),
                changed: watch::Sender::new(0),
                dropped: watch::Sender::new(0),
            }),
        }
    }

    /// Changes the profile; connections that are open notice at their next command.
    pub fn configure(&self, change: impl FnOnce(&mut Profile)) {
        change(&mut self.shared.lock().profile);
    }

    /// The profile as it is.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.shared.lock().profile.clone()
    }

    /// Speaks IMAP on a stream until either side ends it.
    pub fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + Send + 'static
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        session::run(Arc::clone(&self.shared), Box::new(stream), false)
    }

    /// Speaks IMAP over TLS from the first octet on (port 993's way), with [`certificate`].
    pub fn serve_tls<S>(&self, stream: S) -> impl Future<Output = ()> + Send + 'static
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let shared = Arc::clone(&self.shared);
        async move {
            if let Some(stream) = tls::accept(Box::new(stream)).await {
                session::run(shared, stream, true).await;
            }
        }
    }

    /// A new in-memory connection, served by a task of the current runtime.
    #[must_use]
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(64 * 1024);
        tokio::spawn(self.serve(server));
        client
    }

    /// Listens on a free loopback port, in clear; gives the address.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn listen_tcp(&self) -> std::io::Result<SocketAddr> {
        self.listen(false).await
    }

    /// Listens on a free loopback port with implicit TLS; gives the address.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn listen_tls(&self) -> std::io::Result<SocketAddr> {
        self.listen(true).await
    }

    /// Listens on a free loopback port on a thread of its own, for clients that are other
    /// processes; with implicit TLS if `encrypted`. Gives the port.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn listen_on_thread(&self, encrypted: bool) -> std::io::Result<u16> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let port = runtime.block_on(self.listen(encrypted))?.port();
        std::thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(port)
    }

    async fn listen(&self, encrypted: bool) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Only latency depends on it.
                let _ = stream.set_nodelay(true);
                if encrypted {
                    tokio::spawn(server.serve_tls(stream));
                } else {
                    tokio::spawn(server.serve(stream));
                }
            }
        });
        Ok(address)
    }

    /// Ends all connections at once, without a word.
    pub fn drop_connections(&self) {
        self.shared.dropped.send_modify(|n| *n += 1);
    }

    /// Asks `hook` about each command from now on; none ends that. The hook may use the
    /// server's other methods (as another client would in that moment), but not this one.
    pub fn on_command(&self, hook: Option<Hook>) {
        *lock(&self.shared.hook) = hook;
    }

    /// Asks `hook` about each answer from now on; none ends that. As [`Server::on_command`].
    pub fn on_answer(&self, hook: Option<AnswerHook>) {
        *lock(&self.shared.answer_hook) = hook;
    }

    /// Injects a fault.
    pub fn inject(&self, fault: Fault, when: When) -> Injected {
        self.shared.lock().faults.inject(fault, when)
    }

    /// Takes one fault away.
    pub fn withdraw(&self, injected: &Injected) {
        self.shared.lock().faults.remove(injected);
    }

    /// Takes all faults, the window and the hooks away.
    pub fn heal(&self) {
        let mut inner = self.shared.lock();
        inner.faults.clear();
        inner.window = None;
        drop(inner);
        self.on_command(None);
        self.on_answer(None);
    }

    /// Shows only the newest `n` messages of each mailbox (as some servers do); none for all.
    pub fn set_window(&self, n: Option<usize>) {
        let mut inner = self.shared.lock();
        inner.window = n;
        inner.state.touch_all();
        drop(inner);
        self.shared.tell_change();
    }

    /// Stores what [`Fault::LateAppend`] or [`Fault::SlowAppend`] has kept back, and shows what
    /// [`Fault::HideAddition`] hid; gives how many messages that were.
    pub fn finish_late(&self) -> usize {
        let mut inner = self.shared.lock();
        let late = std::mem::take(&mut inner.late);
        let mut stored: usize =
            late.into_iter().map(|l| commands::store_late(&mut inner.state, l)).sum();
        stored += inner.state.show_hidden();
        drop(inner);
        self.shared.tell_change();
        stored
    }

    /// The commands that clients sent, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<Logged> {
        self.shared.lock().log.commands.clone()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.lock().log.counters.clone()
    }

    /// Forgets commands and counts.
    pub fn reset_counters(&self) {
        self.shared.lock().log = Log::default();
    }
}
