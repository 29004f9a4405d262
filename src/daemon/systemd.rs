//! What a service manager is told: READY, STATUS, WATCHDOG, STOPPING (sd_notify(3)).

use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The manager's socket, if there is one.
#[derive(Debug)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// As the environment says: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` if it is for this process.
    #[must_use]
    pub fn of_environment() -> Self {
        let name = std::env::var_os("NOTIFY_SOCKET");
        let address = name.and_then(|name| address(name.as_encoded_bytes()));
        let socket = address.zip(UnixDatagram::unbound().ok());
        let own = std::env::var("WATCHDOG_PID").ok();
        let own = own.is_none_or(|pid| pid == std::process::id().to_string());
        let micros = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        let watchdog = micros.filter(|micros| own && *micros > 0).map(Duration::from_micros);
        Self { socket: socket.map(|(address, socket)| (socket, address)), watchdog }
    }

    /// How long the manager waits for a sign of life.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some())
    }

    /// Tells the manager. That it cannot be told is no reason to stop.
    pub fn tell(&self, what: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(what.as_bytes(), address)
        {
            tracing::debug!("the service manager does not listen: {error}");
        }
    }
}

fn address(name: &[u8]) -> Option<SocketAddr> {
    match name.split_first() {
        #[cfg(target_os = "linux")]
        Some((b'@', name)) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name).ok()
        }
        Some((b'/', _)) => {
            use std::os::unix::ffi::OsStrExt as _;
            SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)).ok()
        }
        _ => None,
    }
}
