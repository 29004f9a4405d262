//! The lines that stand on a terminal while accounts run, as a pure function.
//!
//! An account has a line with its totals, and below it one for each mailbox whose bodies
//! travel now (one, as long as an account has one connection). A mailbox that is through is a
//! number in its account's line: a run over many mailboxes scrolls nothing.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::board::{Account, Amount, Board, Doing, Task};
use crate::account::progress::Way;
use crate::cli::output::{Style, bytes, grouped};
use crate::reconcile::types::MailboxName;

/// Columns that a name keeps before numbers give way to it.
const NAME_MIN: usize = 16;
/// Columns between two parts of a line.
const GAP: usize = 2;

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

/// A line: the text, and how many columns it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// With colour.
    pub text: String,
    /// Without.
    pub columns: usize,
}

/// The lines for a board at an instant. None is wider than the terminal less one column, and
/// they leave the terminal's last line free.
#[must_use]
pub fn lines(board: &Board, now: Duration, size: Size, style: Style) -> Vec<Line> {
    let room = size.columns.saturating_sub(1);
    let rows = size.rows.saturating_sub(1);
    let mut out: Vec<(Line, bool)> = Vec::new();
    for account in &board.accounts {
        out.extend(of_account(account, now, room, style).into_iter().zip([true, false, false]));
    }
    if out.len() > rows {
        // Mailboxes give way to accounts, and those at the end to those before.
        out.retain(|(_, whole)| *whole);
    }
    if out.len() > rows {
        let more = out.len() - rows.saturating_sub(1);
        out.truncate(rows.saturating_sub(1));
        let text = format!("… and {} more accounts", grouped(more as u64));
        out.extend((rows > 0).then(|| (fitted(&text, &[], room, Style::PLAIN), true)));
    }
    out.into_iter().map(|(line, _)| line).collect()
}

/// An account's line, then at most two of its mailboxes.
fn of_account(account: &Account, now: Duration, room: usize, style: Style) -> Vec<Line> {
    let mut parts = Vec::new();
    let running: Vec<_> = account.tasks.iter().filter(|(_, task)| task.running).collect();
    let all = account.through + account.tasks.len();
    match &account.doing {
        Doing::Starting => parts.push((0, "starting".to_owned())),
        Doing::Connecting => parts.push((0, "connecting".to_owned())),
        Doing::Looking(mailbox, at, of) => {
            parts.push((0, format!("looking, {} of {}", grouped(*at as u64), grouped(*of as u64))));
            parts.push((1, cut(mailbox, room / 2)));
        }
        Doing::Ended(true) => parts.push((0, style.green("done"))),
        Doing::Ended(false) => parts.push((0, style.yellow("not done"))),
        Doing::Working if running.is_empty() => parts.push((0, "working".to_owned())),
        Doing::Working => {
            parts.extend(amounts(account.done, account.total));
            if let Some(rate) = account.pace.rate(now, account.done) {
                parts.push((3, format!("{}/s", bytes(rate))));
            }
            if let Some(left) = account.left(now) {
                parts.push((1, format!("{} left", span(left))));
            }
            if all > 1 {
                let at = grouped((account.through + 1) as u64);
                parts.push((4, format!("mailbox {at} of {}", grouped(all as u64))));
            }
        }
    }
    let mut out = vec![fitted(&account.name, &parts, room, style)];
    out.extend(
        running.into_iter().take(2).map(|((name, way), task)| of_task(name, *way, task, room)),
    );
    out
}

fn of_task(name: &MailboxName, way: Way, task: &Task, room: usize) -> Line {
    let way = match way {
        Way::Down => "down",
        Way::Up => "up",
    };
    let mut parts = vec![(0, way.to_owned())];
    parts.extend(amounts(task.done, task.total));
    fitted(&format!("  {name}"), &parts, room, Style::PLAIN)
}

/// `1,204 of 5,120 messages`, `1.2 MB of 40.3 MB`.
fn amounts(done: Amount, total: Amount) -> Vec<(u8, String)> {
    let messages = format!("{} of {} messages", grouped(done.messages), grouped(total.messages));
    let mut parts = vec![(0, messages)];
    if total.octets > 0 {
        parts.push((2, format!("{} of {}", bytes(done.octets), bytes(total.octets))));
    }
    parts
}

/// A span of time as coarse as a guess is.
fn span(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{} s", time.as_secs() + 1),
        seconds @ 60..600 => format!("{} min {} s", seconds / 60, seconds % 60 / 10 * 10),
        seconds @ 600..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..360_000 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => "days".to_owned(),
    }
}

/// A name and parts behind it, of which the least important (highest number) leave first
/// where there is no room; the name is cut then, too.
fn fitted(name: &str, parts: &[(u8, String)], room: usize, style: Style) -> Line {
    let name_wide = name.width();
    let mut parts: Vec<&(u8, String)> = parts.iter().collect();
    let wide = |parts: &[&(u8, String)]| -> usize {
        parts.iter().map(|(_, text)| GAP + plain_width(text)).sum()
    };
    while wide(&parts) + name_wide.min(NAME_MIN) > room {
        let Some(last) = parts.iter().map(|(rank, _)| *rank).max() else { break };
        parts.retain(|(rank, _)| *rank != last);
    }
    let name = cut(name, room.saturating_sub(wide(&parts)));
    let mut columns = name.width();
    let mut text = if style == Style::PLAIN { name } else { style.bold(&name) };
    for (_, part) in parts {
        text.push_str("  ");
        text.push_str(part);
        columns += GAP + plain_width(part);
    }
    Line { text, columns }
}

/// The columns of a text that colour may have been put around.
fn plain_width(text: &str) -> usize {
    match text.strip_prefix("\u{1b}[").and_then(|rest| rest.split_once('m')) {
        Some((_, rest)) => rest.trim_end_matches("\u{1b}[0m").width(),
        None => text.width(),
    }
}

/// A text in at most so many columns, its end replaced where it is longer. What has no width
/// of its own is bounded, too: a letter may bear a thousand accents.
fn cut(text: &str, room: usize) -> String {
    let most = room.saturating_mul(4);
    if text.width() <= room && text.chars().count() <= most {
        return text.to_owned();
    }
    let (mut out, mut columns) = (String::new(), 0);
    for c in text.chars().take(most) {
        let wide = c.width().unwrap_or(0);
        if columns + wide + 1 > room {
            break;
        }
        columns += wide;
        out.push(c);
    }
    if room > 0 {
        out.push('…');
    }
    out
}
