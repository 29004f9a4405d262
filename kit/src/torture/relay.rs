//! A way to a real server on which things happen at counted moments.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What becomes of octets of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// They go through.
    Pass,
    /// The connection ends before them.
    Cut,
    /// They go through and no answer comes back: the connection ends.
    Swallow,
    /// Nothing goes through any more, and the connection stays.
    Freeze,
}

/// Decides about the n-th octets that the client sent at once, over all connections.
pub(super) type Judge = Box<dyn FnMut(u64, &[u8]) -> Fate + Send>;

/// What all connections share.
struct Shared {
    judge: Mutex<Judge>,
    chunks: AtomicU64,
    /// Octets of the server until all connections end.
    left: AtomicU64,
    silent: AtomicBool,
    closed: AtomicBool,
}

/// A relay; dropped, it takes no connections any more.
pub(super) struct Relay {
    /// Where it listens on loopback.
    pub(super) port: u16,
    shared: Arc<Shared>,
}

impl Relay {
    /// Leads to a port; after `octets` of the server the connection ends.
    pub(super) fn new(to: u16, octets: u64, judge: Judge) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared {
            judge: Mutex::new(judge),
            chunks: AtomicU64::new(0),
            left: AtomicU64::new(octets),
            silent: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if state.closed.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(client) = client else { continue };
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
                let state = Arc::clone(&state);
                thread::spawn(move || carry(&state, client, server));
            }
        });
        Self { port, shared }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

fn carry(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    // Only latency depends on it.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let state = Arc::clone(shared);
    thread::spawn(move || up(&state, from_client, to_server));
    down(shared, server, client);
}

fn up(shared: &Shared, mut client: TcpStream, mut server: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let n = shared.chunks.fetch_add(1, Ordering::SeqCst) + 1;
        let mut judge = shared.judge.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = judge(n, &buffer[..length]);
        drop(judge);
        match fate {
            Fate::Pass => {}
            Fate::Cut => break,
            Fate::Swallow | Fate::Freeze => shared.silent.store(true, Ordering::SeqCst),
        }
        if fate != Fate::Freeze && server.write_all(&buffer[..length]).is_err() {
            break;
        }
        if fate == Fate::Swallow {
            // The server is to have carried it out.
            thread::sleep(std::time::Duration::from_millis(30));
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}

fn down(shared: &Shared, mut server: TcpStream, mut client: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        if shared.silent.load(Ordering::SeqCst) {
            continue;
        }
        let left = shared.left.load(Ordering::SeqCst);
        let passed = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        shared.left.store(left - passed as u64, Ordering::SeqCst);
        if client.write_all(&buffer[..passed]).is_err() || passed < length {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}
