//! How things are shown: colour, alignment, numbers, JSON, and a stdout that may close early.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use serde::Serialize;

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    color: bool,
}

impl Style {
    /// No colour.
    pub const PLAIN: Self = Self { color: false };

    /// Colour on a terminal that has it, unless `NO_COLOR` is set and not empty.
    #[must_use]
    pub fn of(terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { color: terminal && !refused && !dumb }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// What needs a person.
    pub(super) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// What is not quite well.
    pub(super) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// What is well.
    pub(super) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What a line is about.
    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
}

/// Writes to stdout. That a reader such as `head` has gone away is no error.
///
/// # Errors
/// Any other failure, such as a full disk behind a redirection.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes one of many texts to stdout, in place of the one before where the terminal can do
/// that.
///
/// # Errors
/// As for [`print`], and when the reader has gone away.
pub(super) fn show(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if stdout.is_terminal() && !dumb {
        stdout.write_all(b"\x1b[H\x1b[J")?;
    }
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// JSON with a line end, for programs. What could drive a terminal is escaped, which changes
/// nothing for a reader of JSON.
///
/// # Errors
/// None of ours: the values are plain data.
pub(super) fn json(value: &impl Serialize) -> io::Result<String> {
    Ok(escaped(&serde_json::to_string_pretty(value)?))
}

/// The same on one line.
///
/// # Errors
/// As for [`json`].
pub(super) fn json_line(value: &impl Serialize) -> io::Result<String> {
    Ok(escaped(&serde_json::to_string(value)?))
}

fn escaped(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() + 1);
    for c in raw.chars() {
        let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        // Outside of strings there is no control but the line ends of the pretty form.
        if bidi || (c.is_control() && c != '\n') {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    out
}

/// `1.2 MB`, in thousands.
pub(super) fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut whole, mut rest, mut unit) = (count, 0, 0);
    while whole >= 1000 {
        rest = whole % 1000;
        whole /= 1000;
        unit += 1;
    }
    if unit == 0 || whole >= 100 {
        format!("{whole} {}", units[unit])
    } else {
        format!("{whole}.{} {}", rest / 100, units[unit])
    }
}

/// `0.4 s`, `3 min 12 s`, `2 h 5 min`.
pub(super) fn took(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `3 minutes ago`, of two instants in seconds since 1970.
pub(super) fn ago(then: i64, now: i64) -> String {
    let Ok(seconds) = u64::try_from(now.saturating_sub(then)) else {
        return "in the future, says the clock".to_owned();
    };
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{} ago", counted(count, unit))
}

/// `1 message`, `2 messages`, `1,234 messages`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = match noun.strip_suffix("ox") {
        _ if count == 1 => noun.to_owned(),
        Some(stem) => format!("{stem}oxes"),
        None => format!("{noun}s"),
    };
    format!("{} {plural}", grouped(count))
}

/// `1,234,567`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let sizes = [(0, "0 B"), (999, "999 B"), (1_250, "1.2 kB"), (250_000_000, "250 MB")];
        for (count, shown) in sizes {
            assert_eq!(bytes(count), shown);
        }
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        let times =
            [(430, "0.4 s"), (59_900, "59 s"), (192_000, "3 min 12 s"), (7_500_000, "2 h 5 min")];
        for (millis, shown) in times {
            assert_eq!(took(Duration::from_millis(millis)), shown);
        }
        let ages = [
            (100, "just now"),
            (0, "1 minute ago"),
            (-7_000, "1 hour ago"),
            (-180_000, "2 days ago"),
        ];
        for (then, shown) in ages {
            assert_eq!(ago(then, 100), shown);
        }
        assert_eq!(ago(200, 100), "in the future, says the clock");
        assert_eq!(
            ago(i64::MIN, i64::MAX),
            format!("{} days ago", grouped(i64::MAX as u64 / 86_400))
        );
        assert_eq!(counted(1, "mailbox"), "1 mailbox");
        assert_eq!(counted(1_234_567, "mailbox"), "1,234,567 mailboxes");
        assert_eq!(counted(0, "message"), "0 messages");
    }

    #[test]
    fn json_is_safe_and_true() {
        let wild = "a\u{1b}[2J\u{9b}\u{7f}\u{202e}\n\"ä";
        let text = json(&wild).unwrap();
        assert_eq!(text, "\"a\\u001b[2J\\u009b\\u007f\\u202e\\n\\\"ä\"\n");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), wild);
    }

    #[test]
    fn colour_is_a_choice() {
        assert_eq!(Style::PLAIN.red("x"), "x");
        assert_eq!(Style { color: true }.red("x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(Style::of(false), Style::PLAIN);
    }
}
