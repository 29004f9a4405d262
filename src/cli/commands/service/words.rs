//! Results of `mailtide service`, as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::unit::{Manager, Origin};
use crate::cli::output::Style;
use crate::reconcile::types::printable;

/// Result of `install` or `uninstall`.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    /// `installed`, `replaced`, `unchanged`, `removed` or `absent`.
    pub(super) done: &'static str,
    pub(super) file: String,
    pub(super) manager: &'static str,
    /// What the file starts; empty after `uninstall`.
    pub(super) starts: String,
    /// Whether the service manager was told.
    pub(super) now: bool,
    /// What is left to do for the user, as command lines.
    pub(super) commands: Vec<String>,
    /// What may keep the service from working.
    pub(super) notes: Vec<String>,
}

/// What `status` found.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) file: String,
    pub(super) manager: &'static str,
    pub(super) state: Origin,
    /// What the file starts, as it stands there.
    pub(super) starts: String,
    /// Whether that is this program with the config that was chosen now.
    pub(super) starts_this: bool,
    pub(super) active: Option<String>,
    pub(super) enabled: Option<String>,
    /// Why the service manager cannot be asked.
    pub(super) silent: Option<String>,
}

/// A word for a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:=@".contains(c);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

impl Done {
    /// In words; with `quiet` only what may go wrong.
    pub(super) fn words(&self, manager: Manager, quiet: bool, style: Style) -> String {
        let mut out = String::new();
        let file = printable(&self.file);
        if !quiet {
            let _ = match self.done {
                "absent" => writeln!(out, "not installed: there is no {file}"),
                "unchanged" => writeln!(out, "{}  {file}", style.green("installed already")),
                done => writeln!(out, "{}  {file}", style.green(done)),
            };
            if !self.starts.is_empty() {
                let _ = writeln!(out, "  starts  {}", printable(&self.starts));
            }
        }
        for note in &self.notes {
            let _ = writeln!(out, "  {}  {}", style.yellow("note"), printable(note));
        }
        if quiet || self.done == "absent" {
            return out;
        }
        if !self.commands.is_empty() {
            let _ = writeln!(out, "{}:", self.purpose());
            let _ = writeln!(out, "  {}", printable(&self.commands.join(" && ")));
        }
        if self.done == "removed" {
            return out;
        }
        if manager == Manager::Systemd {
            let _ = writeln!(out, "To keep it going while you are not signed in, once:");
            let _ = writeln!(out, "  loginctl enable-linger");
        }
        let _ = writeln!(out, "How it is, and what it logs:");
        let _ = writeln!(out, "  mailtide service status\n  {}", manager.log_hint());
        out
    }

    /// What the commands are for.
    fn purpose(&self) -> &'static str {
        match self.done {
            "removed" => "If it is running still, stop it",
            "replaced" => "Start it anew, and after each sign-in",
            _ => "Start it, now and after each sign-in",
        }
    }
}

impl Found {
    pub(super) fn words(&self, style: Style) -> String {
        let mut out = String::new();
        let state = match self.state {
            Origin::Absent => style.yellow("not installed") + " (mailtide service install)",
            Origin::Current => style.green("installed"),
            Origin::Older => {
                style.yellow("installed by another version") + " (mailtide service install)"
            }
            Origin::Changed => style.yellow("installed, and changed since"),
            Origin::Foreign => style.yellow("not written by mailtide"),
        };
        let _ = writeln!(out, "file     {}  {state}", printable(&self.file));
        if !self.starts.is_empty() {
            let other = match self.starts_this {
                true => String::new(),
                false => style.yellow("  (not what this mailtide would write)"),
            };
            let _ = writeln!(out, "starts   {}{other}", printable(&self.starts));
        }
        let unknown = |word: &Option<String>| printable(word.as_deref().unwrap_or("unknown"));
        let _ = match &self.silent {
            Some(why) => writeln!(
                out,
                "{:7}  {}: {}",
                self.manager,
                style.yellow("cannot be asked"),
                printable(why)
            ),
            None => writeln!(
                out,
                "{:7}  {}, {}",
                self.manager,
                unknown(&self.active),
                unknown(&self.enabled)
            ),
        };
        out
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_words_back() {
        let cases = [("/a/b", "/a/b"), ("/a b", "'/a b'"), ("/it's $x", "'/it'\\''s $x'")];
        for (word, expected) in cases {
            assert_eq!(quoted(word), expected);
        }
    }
}
