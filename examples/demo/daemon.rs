//! The daemon of `mailtide run`, on a thread of the demo.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mailtide::config::Config;
use mailtide::daemon::control::Serving;
use mailtide::daemon::state::{State, View};
use mailtide::daemon::{Daemon, Event, Order, Shared, control};

/// A running daemon; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Running {
    shared: Arc<Shared>,
    orders: Sender<Event>,
    thread: Option<JoinHandle<()>>,
    _socket: Serving,
}

impl Running {
    pub(crate) fn start(config: Config) -> Result<Self, String> {
        let daemon = Daemon::new(&config);
        let (shared, orders) = (daemon.shared(), daemon.orders());
        // Where the real command looks for it, too.
        let socket = control::paths(None, &config.state_dir).swap_remove(0);
        let socket = control::serve(&socket, daemon.shared()).map_err(|e| e.to_string())?;
        let reload = || Err("the demo has one config".to_owned());
        let run = move || daemon.run(&config, &reload);
        let thread = std::thread::Builder::new().name("daemon".to_owned()).spawn(run);
        Ok(Self {
            shared,
            orders,
            thread: Some(thread.map_err(|e| e.to_string())?),
            _socket: socket,
        })
    }

    /// How its account stands.
    pub(crate) fn view(&self) -> View {
        let mut views = self.shared.board.views().1;
        views.pop().unwrap_or_else(|| View::new("demo"))
    }

    /// How its account stands once it is through with what it is at, or after this time.
    pub(crate) fn settled(&self, time: Duration) -> View {
        let deadline = Instant::now() + time;
        loop {
            let (version, mut views) = self.shared.board.views();
            let view = views.pop().unwrap_or_else(|| View::new("demo"));
            let busy = matches!(view.state, State::Connecting | State::Syncing);
            let left = deadline.saturating_duration_since(Instant::now());
            if !busy || left.is_zero() {
                return view;
            }
            let _ = self.shared.board.wait(version, left);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.orders.send(Event::Order(Order::End));
        if let Some(thread) = self.thread.take() {
            // What went wrong there was said there.
            let _ = thread.join();
        }
    }
}
