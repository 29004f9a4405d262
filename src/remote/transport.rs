//! What a connection runs over, how a server is dialled, and what is counted of it.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Bytes and commands of one connection, TLS not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Commands sent.
    pub commands: u64,
}

/// What a connection runs over: TCP, TLS, or a pair of pipes in a test.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Stream for S {}

/// Any stream.
pub type BoxStream = Box<dyn Stream>;

/// The stream that a [`Connector`] promises.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send + 'a>>;

/// Dials a server. Tests put one in that hands out in-memory streams.
pub trait Connector: Send + Sync + fmt::Debug {
    /// Opens a stream to `host` (a name or an address) and `port`, without TLS.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a>;
}

/// Dials over TCP, without Nagle's delay: commands are written whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            keep_alive(&stream);
            Ok(Box::new(stream) as BoxStream)
        })
    }
}

/// Lets the system find out about a peer that is gone without a word, also while nobody waits
/// for it. It costs no wake-up of ours.
fn keep_alive(stream: &TcpStream) {
    use rustix::net::sockopt;
    /// Silence after which the peer is asked.
    const IDLE: Duration = Duration::from_secs(120);
    /// Time between questions, and how many are unanswered at the end.
    const INTERVAL: Duration = Duration::from_secs(20);
    const COUNT: u32 = 3;
    /// How long what was sent may stay unacknowledged, in milliseconds (RFC 5482).
    #[cfg(target_os = "linux")]
    const UNACKNOWLEDGED: u32 = 30_000;
    let set = || {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, IDLE)?;
        sockopt::set_tcp_keepintvl(stream, INTERVAL)?;
        sockopt::set_tcp_keepcnt(stream, COUNT)?;
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED)?;
        rustix::io::Result::Ok(())
    };
    // Without it the deadlines of the session find out, later.
    if let Err(error) = set() {
        tracing::debug!("no keepalive: {error}");
    }
}
