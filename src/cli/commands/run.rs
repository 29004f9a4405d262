//! `mailtide run`: keeps all accounts in step until it is told to end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::context::Context;
use crate::cli::answer::Answer;
use crate::cli::exit::Exit;
use crate::cli::report::Failure;
use crate::cli::running::sockets;
use crate::config::{Config, Env};
use crate::daemon::control::{self, Serving};
use crate::daemon::{Daemon, Event, Order};
use crate::reconcile::types::printable;

/// Keeps all accounts in step until it is told to end.
pub(super) fn run(context: &Context<'_>) -> Result<Answer, Failure> {
    let Context { config, global, .. } = *context;
    if config.accounts.is_empty() {
        return Err(Failure::new(Exit::Usage, "the config has no account"));
    }
    let daemon = Daemon::new(config);
    let _socket = serve(config, &daemon)?;
    listen(daemon.orders())
        .map_err(|e| Failure::new(Exit::Incomplete, format!("cannot listen for signals: {e}")))?;
    let file = global.config.clone();
    let reload = move || {
        let loaded = Config::load(file.as_deref(), &Env::of_process());
        loaded.map_err(|error| error.to_string())
    };
    daemon.run(config, &reload);
    context.nothing()
}

/// Makes the control socket, at the first place that no other daemon has. Without one the mail is
/// kept in step all the same.
///
/// # Errors
/// A daemon with this state directory runs already.
fn serve(config: &Config, daemon: &Daemon) -> Result<Option<control::Socket>, Failure> {
    for path in sockets(config) {
        let shown = printable(&path.display().to_string());
        match control::serve(&path, daemon.shared()) {
            Ok(Serving::At(socket)) => return Ok(Some(socket)),
            Ok(Serving::Taken(answer)) if answer.state_dir == config.state_dir => {
                let other = printable(&answer.config.display().to_string());
                let text = format!("a mailtide runs already with this state_dir (config {other})");
                let failure = Failure::new(Exit::Locked, text);
                return Err(failure.advise("`mailtide status` shows how it stands"));
            }
            Ok(Serving::Taken(answer)) => {
                let other = printable(&answer.config.display().to_string());
                tracing::info!("{shown} belongs to the mailtide of {other}");
            }
            Err(error) => tracing::warn!("no control socket at {shown}: {error}"),
        }
    }
    tracing::warn!("`mailtide status`, `pause` and `sync` will not find this mailtide");
    Ok(None)
}

/// Takes over the signals for the rest of the process. The second SIGTERM or SIGINT ends it at
/// once.
fn listen(orders: Sender<Event>) -> std::io::Result<()> {
    let ending = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let code = i32::from(Exit::Interrupted.code());
        // In this order: the first one sets what the second one finds, within the handler, so
        // that it is found however soon that comes.
        flag::register_conditional_shutdown(signal, code, Arc::clone(&ending))?;
        flag::register(signal, Arc::clone(&ending))?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let order = match signal {
                SIGHUP => Order::Reload,
                SIGUSR1 => Order::Sync,
                _ => Order::End,
            };
            if orders.send(Event::Order(order)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
