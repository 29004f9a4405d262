//! The files that a service manager reads: made from the shipped ones, sealed, recognized.

use std::path::Path;

use serde::Serialize;

/// The shipped unit of a systemd user manager.
const UNIT: &str = include_str!("../../../../systemd/mailtide.service");
/// Its line that names the program.
const UNIT_START: &str = "ExecStart=%h/.cargo/bin/mailtide run";
/// The shipped agent of launchd.
const AGENT: &str = include_str!("../../../../launchd/org.mailtide.mailtide.plist");
/// Its lines that name the program.
const AGENT_START: &str =
    "\t\t<string>/usr/local/bin/mailtide</string>\n\t\t<string>run</string>\n";
/// Its name of the log, which stands there twice.
const AGENT_LOG: &str = "<string>/Users/me/Library/Logs/mailtide.log</string>";

/// How the last line begins, behind the sign of a comment.
const WRITTEN: &str = "written by mailtide ";
/// The word before the hash there.
const SEAL: &str = "seal ";

/// Who starts services here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    /// The systemd manager of a user.
    Systemd,
    /// launchd of macOS.
    Launchd,
}

/// Origin of the service file, compared with the one that `install` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    /// There is none.
    Absent,
    /// Written by this version, perhaps for another program or config.
    Current,
    /// Written by another version and not touched since.
    Older,
    /// Written by mailtide and changed since.
    Changed,
    /// Not written by mailtide.
    Foreign,
}

/// A command line, as text of a service file can hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    words: Vec<String>,
}

impl Start {
    /// `PROGRAM run`, with the config if one was chosen.
    ///
    /// # Errors
    /// In words: a path that is no UTF-8, which no service file can hold.
    pub(super) fn new(program: &Path, config: Option<&Path>) -> Result<Self, String> {
        let text = |path: &Path| match path.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(format!("{}: not UTF-8, a service file cannot hold it", path.display())),
        };
        let mut words = vec![text(program)?, "run".to_owned()];
        if let Some(config) = config {
            words.extend(["--config".to_owned(), text(config)?]);
        }
        Ok(Self { words })
    }

    /// The line of a unit without its key.
    ///
    /// # Errors
    /// In words: a program that systemd would not start.
    fn for_systemd(&self) -> Result<String, String> {
        let [program, arguments @ ..] = self.words.as_slice() else { return Ok(String::new()) };
        // It refuses these in the program, however they are quoted; not so in its arguments.
        if program.contains(|c: char| c.is_ascii_control() || "'\"\\".contains(c)) {
            return Err(format!("{program}: systemd starts no program with such a name"));
        }
        // A colon before the program: no `$` means a variable. There `$$` would stay double.
        let literal = if self.words.iter().any(|word| word.contains('$')) { ":" } else { "" };
        let mut line = systemd_word(&format!("{literal}{program}"));
        for word in arguments {
            line.push(' ');
            line += &systemd_word(word);
        }
        Ok(line)
    }

    /// The lines of an agent's array.
    ///
    /// # Errors
    /// In words: a character that XML has no way to write.
    fn for_launchd(&self) -> Result<String, String> {
        let lines = self.words.iter().map(|word| Ok(format!("\t\t{}\n", xml_string(word)?)));
        lines.collect()
    }
}

/// A word of a command line as systemd reads it back; variables are not its business.
fn systemd_word(word: &str) -> String {
    // A semicolon alone would begin another command; no word of ours is one, but quoting is free.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut out = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '%' => out.push_str("%%"),
            c if c.is_ascii_control() => out += &format!("\\x{:02x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out + "\""
}

/// A `<string>` of a property list.
fn xml_string(text: &str) -> Result<String, String> {
    let mut out = String::from("<string>");
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' | '\n' | '\r' => out += &format!("&#{};", u32::from(c)),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                return Err(format!("{text}: no property list can hold that name"));
            }
            c => out.push(c),
        }
    }
    Ok(out + "</string>")
}

impl Manager {
    /// That of the system this was built for, if mailtide knows it.
    pub(super) const fn here() -> Option<Self> {
        if cfg!(target_os = "macos") {
            Some(Self::Launchd)
        } else if cfg!(target_os = "linux") {
            Some(Self::Systemd)
        } else {
            None
        }
    }

    /// As people know it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Launchd => "launchd",
        }
    }

    /// The whole file that starts this.
    ///
    /// # Errors
    /// In words: a path that it cannot hold.
    pub(super) fn render(self, start: &Start, log: &Path) -> Result<String, String> {
        Ok(self.sealed(&match self {
            Self::Systemd => {
                UNIT.replace(UNIT_START, &format!("ExecStart={}", start.for_systemd()?))
            }
            Self::Launchd => {
                let log = xml_string(&log.to_string_lossy())?;
                AGENT.replace(AGENT_START, &start.for_launchd()?).replace(AGENT_LOG, &log)
            }
        }))
    }

    /// With a last line by which it is known again.
    fn sealed(self, body: &str) -> String {
        let seal =
            format!("{WRITTEN}{} service install, {SEAL}{}", env!("CARGO_PKG_VERSION"), hash(body));
        match self {
            Self::Systemd => format!("{body}# {seal}\n"),
            Self::Launchd => format!("{body}<!-- {seal} -->\n"),
        }
    }

    /// Where a text comes from.
    pub(super) fn origin(self, text: &str) -> Origin {
        let Some((body, hash_there)) = unsealed(text) else { return Origin::Foreign };
        if hash(body) != hash_there {
            return Origin::Changed;
        }
        let shipped = match self {
            Self::Systemd => UNIT,
            Self::Launchd => AGENT,
        };
        let same = self.common(body).eq(self.common(shipped));
        if same { Origin::Current } else { Origin::Older }
    }

    /// The lines that are the same for everybody.
    fn common(self, body: &str) -> impl Iterator<Item = &str> {
        body.lines().filter(move |line| !self.own(line))
    }

    /// Whether a line names what is this user's.
    fn own(self, line: &str) -> bool {
        match self {
            Self::Systemd => line.starts_with("ExecStart="),
            Self::Launchd => {
                let line = line.trim_start();
                let path = line.starts_with("<string>/");
                path || ["run", "--config"].iter().any(|w| line == format!("<string>{w}</string>"))
            }
        }
    }

    /// What a file starts, as it stands there; for people.
    pub(super) fn starts(self, text: &str) -> String {
        match self {
            Self::Systemd => {
                let line = text.lines().find_map(|line| line.strip_prefix("ExecStart="));
                line.unwrap_or_default().trim().to_owned()
            }
            Self::Launchd => {
                let rest = text.split("<key>ProgramArguments</key>").nth(1).unwrap_or_default();
                let array = rest.split("</array>").next().unwrap_or_default();
                let strings = array.split("<string>").skip(1);
                let words = strings.filter_map(|s| s.split("</string>").next());
                words.collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// 16 digits are plenty: it is no secret, and nobody gains by forging it.
fn hash(body: &str) -> String {
    blake3::hash(body.as_bytes()).to_hex()[..16].to_owned()
}

/// A text up to its seal, and the hash there; no hash if something follows it.
fn unsealed(text: &str) -> Option<(&str, &str)> {
    let from = text[..text.rfind(WRITTEN)?].rfind('\n')? + 1;
    let (body, last) = text.split_at(from);
    let hash = last.strip_suffix('\n').and_then(|line| line.split_once(SEAL));
    Some((body, hash.map(|(_, hash)| hash.trim_end_matches(" -->")).unwrap_or_default()))
}

#[cfg(test)]
#[path = "unit_tests.rs"]
mod tests;
