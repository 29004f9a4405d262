//! A TCP proxy that kills its client at a chosen word of the conversation.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// When the client dies.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Part of a line that the client sends.
    pub word: &'static str,
    /// So many octets after that word has gone through, in the direction of `from_server`;
    /// none: the word itself never reaches the server.
    pub after: Option<u64>,
    /// Count the server's octets instead of the client's.
    pub from_server: bool,
    /// How many such words go by before.
    pub skip: u32,
}

#[derive(Debug)]
struct Shared {
    moment: Mutex<Moment>,
    /// The process to kill; 0 for none.
    victim: AtomicU32,
    done: AtomicBool,
    /// Octets still to pass before the client dies, once the word was seen.
    left: Mutex<Option<u64>>,
}

impl Shared {
    fn kill(&self) {
        let pid = self.victim.load(Ordering::SeqCst);
        if pid != 0 && !self.done.swap(true, Ordering::SeqCst) {
            let mut kill = Command::new("kill");
            let _ = kill.args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }

    /// How much of what the client sends may pass; the client is dead after less than all.
    fn sent(&self, chunk: &[u8]) -> usize {
        let mut moment = self.moment.lock().expect("no panic holds it");
        let mut left = self.left.lock().expect("no panic holds it");
        let at = chunk.windows(moment.word.len()).position(|w| w == moment.word.as_bytes());
        match (at, *left) {
            (Some(at), None) if moment.skip == 0 => match moment.after {
                None => {
                    self.kill();
                    return at;
                }
                Some(after) => *left = Some(after),
            },
            (Some(_), None) => moment.skip -= 1,
            _ => {}
        }
        if moment.from_server { chunk.len() } else { self.count(&mut left, chunk.len()) }
    }

    fn received(&self, length: usize) -> usize {
        let from_server = self.moment.lock().expect("no panic holds it").from_server;
        let mut left = self.left.lock().expect("no panic holds it");
        if from_server { self.count(&mut left, length) } else { length }
    }

    fn count(&self, left: &mut Option<u64>, length: usize) -> usize {
        let Some(rest) = left.as_mut() else { return length };
        if *rest >= length as u64 {
            *rest -= length as u64;
            return length;
        }
        let passed = usize::try_from(*rest).unwrap_or(0);
        self.kill();
        passed
    }
}

/// Runs a command through a proxy to a port on loopback, and kills it at a moment. `arm` is
/// given the proxy's port and makes the command. Gives whether it was killed.
///
/// # Panics
/// If no port can be had or the command cannot be started.
pub fn killed_at(port: u16, moment: Moment, arm: impl FnOnce(u16) -> Command) -> bool {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let ours = listener.local_addr().expect("its address").port();
    let shared = Arc::new(Shared {
        moment: Mutex::new(moment),
        victim: AtomicU32::new(0),
        done: AtomicBool::new(false),
        left: Mutex::new(None),
    });
    let state = Arc::clone(&shared);
    let accept = thread::spawn(move || {
        let Ok((client, _)) = listener.accept() else { return };
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
        relay(&state, client, server);
    });
    let mut command = arm(ours);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    shared.victim.store(child.id(), Ordering::SeqCst);
    child.wait().expect("it ends");
    // A client that never came: the proxy stops waiting for it.
    drop(TcpStream::connect((Ipv4Addr::LOCALHOST, ours)));
    let _ = accept.join();
    shared.done.load(Ordering::SeqCst)
}

fn relay(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let state = Arc::clone(shared);
    let up = thread::spawn(move || pump(from_client, to_server, |chunk| state.sent(chunk)));
    pump(server, client, |chunk| shared.received(chunk.len()));
    let _ = up.join();
}

fn pump(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> usize) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let passed = passes(&buffer[..length]);
        if to.write_all(&buffer[..passed]).is_err() || passed < length {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
