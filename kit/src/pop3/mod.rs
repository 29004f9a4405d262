//! A simulated POP3 server: real semantics, every fault, no disk, no clock.
//!
//! [`Server`] holds one maildrop; [`Server::serve`] speaks POP3 on any stream, many at once;
//! [`Profile`] says what the server can do and which habits it has; [`Fault`] what goes wrong,
//! and [`When`]; the other methods act as "somebody else" and read back what is there.
//!
//! A session sees the maildrop as it was at its sign-in, and what it deletes goes when QUIT
//! is answered (RFC 1939 §6).

mod commands;
mod fault;
mod log;
pub mod plain;
mod profile;
pub(crate) mod sasl;
mod session;
mod sign_in;
mod wire;

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailtide::remote::{BoxStream, Connecting, Connector};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use crate::imap::{Injected, When, certificate};
pub use fault::Fault;
pub use log::{Counters, Logged};
pub use profile::Profile;

use crate::imap::fault::Faults;
use crate::imap::tls;
use log::Log;

/// A message of the maildrop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its unique id, as UIDL tells it; with none UIDL tells only the number.
    pub uidl: Option<String>,
    /// Its octets, as they are sent but for the stuffing.
    pub body: Arc<[u8]>,
    /// Whether it was retrieved in a session that ended in order: see [`Profile::gmail`].
    pub popped: bool,
    /// What tells it from all others, whatever UIDL says.
    id: u64,
}

/// A simulated POP3 server. Clones share one state.
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
    /// Rises when all connections are to be dropped.
    dropped: watch::Sender<u64>,
}

/// What the lock guards.
struct Inner {
    profile: Profile,
    messages: Vec<Message>,
    ids: u64,
    /// How often the unique ids were renewed.
    epoch: u64,
    faults: Faults<Fault>,
    log: Log,
    connections: u64,
    /// The connection that has the maildrop, where it has one holder.
    holder: Option<u64>,
}

impl Inner {
    fn deliver(&mut self, body: &[u8]) {
        self.ids += 1;
        let (id, uidl) = (self.ids, uidl(self.epoch, self.ids));
        self.messages.push(Message { uidl: Some(uidl), body: body.into(), popped: false, id });
    }
}

fn uidl(epoch: u64, id: u64) -> String {
    format!("{epoch:04x}{id:08x}")
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere is reported by the test that panicked; the state is still usable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// A server of RFC 1939 and the usual extensions, with these messages.
    #[must_use]
    pub fn new<B: AsRef<[u8]>>(messages: impl IntoIterator<Item = B>) -> Self {
        Self::with(Profile::default(), messages)
    }

    /// A server of this kind, with these messages.
    #[must_use]
    pub fn with<B: AsRef<[u8]>>(profile: Profile, messages: impl IntoIterator<Item = B>) -> Self {
        let mut inner = Inner {
            profile,
            messages: Vec::new(),
            ids: 0,
            epoch: 1,
            faults: Faults::default(),
            log: Log::default(),
            connections: 0,
            holder: None,
        };
        messages.into_iter().for_each(|body| inner.deliver(body.as_ref()));
        let shared = Shared { inner: Mutex::new(inner), dropped: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Changes the profile; connections that are open notice at their next command.
    pub fn configure(&self, change: impl FnOnce(&mut Profile)) {
        change(&mut self.shared.lock().profile);
    }

    /// What the server can do and does.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.shared.lock().profile.clone()
    }

    /// Speaks POP3 on a stream until either side ends it.
    pub fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + Send + 'static
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        session::run(Arc::clone(&self.shared), Box::new(stream), false)
    }

    /// Speaks POP3 over TLS from the first octet on (port 995's way), with [`certificate`].
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

    /// Dials this server, whatever it is asked for.
    #[must_use]
    pub fn connector(&self) -> Dialler {
        Dialler { server: self.clone(), encrypted: false }
    }

    /// As [`Server::connector`], for clients that begin with TLS.
    #[must_use]
    pub fn tls_connector(&self) -> Dialler {
        Dialler { server: self.clone(), encrypted: true }
    }

    /// Listens on a free loopback port on a thread of its own, for clients that are other
    /// processes. Gives the port.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn listen_on_thread(&self) -> std::io::Result<u16> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let (port, server) = (listener.local_addr()?.port(), self.clone());
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.serve(stream));
            }
        };
        std::thread::Builder::new()
            .name("maildrop".to_owned())
            .spawn(move || runtime.block_on(accept))?;
        Ok(port)
    }

    /// Ends all connections at once, without a word.
    pub fn drop_connections(&self) {
        self.shared.dropped.send_modify(|n| *n += 1);
    }

    /// Injects a fault.
    pub fn inject(&self, fault: Fault, when: When) -> Injected {
        self.shared.lock().faults.inject(fault, when)
    }

    /// Takes one fault away.
    pub fn withdraw(&self, injected: &Injected) {
        self.shared.lock().faults.remove(injected);
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        self.shared.lock().faults.clear();
    }

    /// A message arrives.
    pub fn deliver(&self, body: &[u8]) {
        self.shared.lock().deliver(body);
    }

    /// What lies in the maildrop, what was popped included.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.shared.lock().messages.clone()
    }

    /// The bodies of what lies in the maildrop.
    #[must_use]
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.shared.lock().messages.iter().map(|message| message.body.to_vec()).collect()
    }

    /// Gives the message at this place (from 0) another unique id, or none.
    pub fn set_uidl(&self, at: usize, uidl: Option<&str>) {
        if let Some(message) = self.shared.lock().messages.get_mut(at) {
            message.uidl = uidl.map(str::to_owned);
        }
    }

    /// Gives each message a new unique id, as after a move to another server.
    pub fn renew_uidls(&self) {
        let mut inner = self.shared.lock();
        inner.epoch += 1;
        let epoch = inner.epoch;
        for message in &mut inner.messages {
            message.uidl = Some(uidl(epoch, message.id));
        }
    }

    /// Removes the message at this place (from 0), as another client would.
    pub fn remove(&self, at: usize) {
        let mut inner = self.shared.lock();
        if at < inner.messages.len() {
            inner.messages.remove(at);
        }
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

/// Hands out in-memory connections to a simulated server.
#[derive(Debug, Clone)]
pub struct Dialler {
    server: Server,
    encrypted: bool,
}

impl Connector for Dialler {
    fn connect<'a>(&'a self, _host: &'a str, _port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let (client, theirs) = tokio::io::duplex(64 * 1024);
            if self.encrypted {
                tokio::spawn(self.server.serve_tls(theirs));
            } else {
                tokio::spawn(self.server.serve(theirs));
            }
            Ok(Box::new(client) as BoxStream)
        })
    }
}
