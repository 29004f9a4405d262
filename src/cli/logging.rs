//! Logs: on stderr, one line per event, nothing in it that could drive a terminal.

use std::fmt;
use std::io::IsTerminal as _;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::output::Style;
use super::progress::screen;
use crate::reconcile::types::printable;

/// Starts logging. `RUST_LOG` decides what is logged, else `--quiet` and the number of `-v`.
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
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| screen::Stderr)
        .event_format(Line { style })
        .finish();
    // Fails only when somebody else logs already: their choice stands.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// `warn: account{name=work}: what happened key=value`.
struct Line {
    style: Style,
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
        let level = match *event.metadata().level() {
            Level::ERROR => self.style.red("error"),
            Level::WARN => self.style.yellow("warn"),
            Level::INFO => self.style.green("info"),
            Level::DEBUG => "debug".to_owned(),
            Level::TRACE => "trace".to_owned(),
        };
        write!(writer, "{level}: ")?;
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
        writeln!(writer, "{}", printable(&said))
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
            .event_format(Line { style: Style::PLAIN })
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
}
