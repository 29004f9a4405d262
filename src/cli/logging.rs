//! Logs: on stderr, one line per event, nothing in it that could drive a terminal.

mod limit;

use std::fmt;
use std::io::IsTerminal as _;
use std::time::Instant;

use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::layer::{Context, Filter, Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use limit::{Limit, cut};

use super::output::Style;
use super::progress::screen;
use crate::daemon::volume::{self, ACCOUNT_THREAD};
use crate::reconcile::types::printable;

/// Starts logging. `RUST_LOG` decides what is logged, else `--quiet` and the number of `-v`;
/// a thread that was given a [volume] of its own goes by that.
///
/// Only events of this program's own: `log` records of the libraries below are not bridged,
/// because some of them hold the lines of a session, sign-in included.
pub fn start(quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => "mailtide=error",
        (_, 0) => "mailtide=warn",
        (_, 1) => "mailtide=info",
        (_, 2) => "mailtide=debug",
        _ => "mailtide=trace",
    };
    let filter = match std::env::var("RUST_LOG") {
        Ok(wanted) if !wanted.is_empty() => EnvFilter::builder().parse_lossy(wanted),
        _ => EnvFilter::new(level),
    };
    let style = Style::of(std::io::stderr().is_terminal());
    // systemd sets it for what writes to its journal (systemd.exec(5)).
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| screen::Stderr)
        .event_format(Line { style, journal, limit: Limit::default() })
        .with_filter(Volume(filter));
    let subscriber = tracing_subscriber::registry().with(lines);
    // Fails only when somebody else logs already: their choice stands.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Whether something is logged: a thread's own volume decides, else what the program was
/// started with.
struct Volume(EnvFilter);

impl<S: Subscriber> Filter<S> for Volume {
    fn enabled(&self, meta: &Metadata<'_>, ctx: &Context<'_, S>) -> bool {
        match volume::own().filter(|_| is_ours(meta)) {
            Some(level) => *meta.level() <= level,
            None => Filter::<S>::enabled(&self.0, meta, ctx),
        }
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        // It may change at any time.
        if is_ours(meta) { Interest::sometimes() } else { Interest::never() }
    }
}

fn is_ours(meta: &Metadata<'_>) -> bool {
    meta.target().starts_with("mailtide")
}

/// `warn: work: what happened key=value`, where `work` is the account.
struct Line {
    style: Style,
    /// Priorities of syslog are for the journal what colours are for people (sd-daemon(3)).
    journal: bool,
    limit: Limit,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or_default();
        let warns = *event.metadata().level() == Level::WARN;
        let taken = if warns { self.limit.take(thread, Instant::now()) } else { Some(0) };
        let Some(left_out) = taken else { return Ok(()) };
        let level = match *event.metadata().level() {
            Level::ERROR => self.style.red("error"),
            Level::WARN => self.style.yellow("warn"),
            Level::INFO => self.style.green("info"),
            Level::DEBUG => "debug".to_owned(),
            Level::TRACE => "trace".to_owned(),
        };
        if self.journal {
            let priority = match *event.metadata().level() {
                Level::ERROR => 3,
                Level::WARN => 4,
                Level::INFO => 6,
                _ => 7,
            };
            write!(writer, "<{priority}>")?;
        }
        write!(writer, "{level}: ")?;
        if let Some(account) = thread.strip_prefix(ACCOUNT_THREAD) {
            write!(writer, "{}: ", printable(account))?;
        }
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            write!(writer, "{}", span.name())?;
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map_or("", |f| f.fields.as_str());
            if !fields.is_empty() {
                write!(writer, "{{{}}}", printable(fields))?;
            }
            write!(writer, ": ")?;
        }
        // Everything is written aside first: a field may hold what a server said.
        let mut said = String::new();
        ctx.format_fields(Writer::new(&mut said), event)?;
        let more = match left_out {
            0 => String::new(),
            count => format!(" (and {count} warnings before it, left out)"),
        };
        writeln!(writer, "{}{more}", cut(&printable(&said)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_that_was_said_drives_the_terminal() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(Line { style: Style::PLAIN, journal: false, limit: Limit::default() })
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("account", name = "a\u{1b}[1m").entered();
            tracing::warn!(words = "NO\r\nerror: fake\u{1b}[2J", "refused: {}", "x\u{9b}y\u{202e}");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("warn: account{"), "{text}");
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(bad), "{text:?}");
    }

    #[test]
    fn an_account_may_be_louder_or_quieter_than_the_rest() {
        use crate::daemon::volume::Level;

        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(Line { style: Style::PLAIN, journal: true, limit: Limit::default() })
            .with_filter(Volume(EnvFilter::new("mailtide=info")));
        let subscriber = std::sync::Arc::new(tracing_subscriber::registry().with(lines));
        let say = || {
            tracing::warn!("warning");
            tracing::info!("message");
            tracing::trace!("detail");
        };
        let volume = volume::Volume::default();
        let account = |level: Level| {
            volume.set(level);
            let (subscriber, volume) = (subscriber.clone(), volume.clone());
            let thread = std::thread::Builder::new().name(format!("{ACCOUNT_THREAD}work"));
            let spawned = thread.spawn(move || {
                volume.of_this_thread();
                tracing::subscriber::with_default(subscriber, say);
            });
            spawned.unwrap().join().unwrap();
            String::from_utf8(std::mem::take(&mut *kept.0.lock().unwrap())).unwrap()
        };
        let usual = "<4>warn: work: warning\n<6>info: work: message\n";
        assert_eq!(account(Level::Default), usual);
        assert_eq!(account(Level::Warn), "<4>warn: work: warning\n");
        assert_eq!(account(Level::Trace), format!("{usual}<7>trace: work: detail\n"));
        assert_eq!(account(Level::Default), usual);
    }
}
