//! What the service manager is asked and told, through its own command.

use std::process::Stdio;
use std::time::Duration;

use super::unit::Manager;

/// How long it may take to answer; it stops services, too, which takes as long as they do.
const LIMIT: Duration = Duration::from_secs(100);

/// The name of the service, as launchd knows it.
pub(super) const LABEL: &str = "org.mailtide.mailtide";
/// The name of the file that systemd reads.
pub(super) const UNIT: &str = "mailtide.service";

/// What the manager says of the service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// As `active`; none if it cannot be asked.
    pub(super) active: Option<String>,
    /// As `enabled`; none if it cannot be asked.
    pub(super) enabled: Option<String>,
    /// Why it cannot be asked.
    pub(super) silent: Option<String>,
}

/// A command and its arguments.
pub(super) type Words = Vec<String>;

fn words(line: &str) -> Words {
    line.split(' ').map(str::to_owned).collect()
}

/// How a command ended.
struct Ended {
    well: bool,
    out: String,
    err: String,
}

/// Runs a command of the manager to its end, or to ours.
fn run(command: &[String]) -> Result<Ended, String> {
    let [program, arguments @ ..] = command else { return Err("no command".to_owned()) };
    let failed = |error: std::io::Error| format!("{program}: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let output = runtime.map_err(failed)?.block_on(async {
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        tokio::time::timeout(LIMIT, command.output()).await
    });
    let output = output.map_err(|_| format!("{program}: no answer in {} s", LIMIT.as_secs()))?;
    let output = output.map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    Ok(Ended { well: output.status.success(), out, err })
}

/// Runs commands one after the other, up to the first that fails.
///
/// # Errors
/// In words: the command, and what it said.
pub(super) fn run_all(commands: &[Words]) -> Result<(), String> {
    for command in commands {
        let ended = run(command)?;
        if !ended.well {
            let said = if ended.err.is_empty() { ended.out } else { ended.err };
            return Err(format!("{} failed: {said}", command.join(" ")));
        }
    }
    Ok(())
}

impl Manager {
    /// The domain of launchd that a user's agents are in.
    fn domain() -> String {
        format!("gui/{}", rustix::process::getuid().as_raw())
    }

    /// What makes a file that was just written count. `again`: the manager has the service by
    /// another one.
    pub(super) fn start(self, file: &str, again: bool) -> Vec<Words> {
        match self {
            Self::Systemd if again => vec![
                words("systemctl --user daemon-reload"),
                words(&format!("systemctl --user enable {UNIT}")),
                words(&format!("systemctl --user restart {UNIT}")),
            ],
            Self::Systemd => vec![
                words("systemctl --user daemon-reload"),
                words(&format!("systemctl --user enable --now {UNIT}")),
            ],
            Self::Launchd => {
                let mut start = words(&format!("launchctl bootstrap {}", Self::domain()));
                start.push(file.to_owned());
                // It does not read a file again while it has the service.
                if again { [self.stop(), vec![start]].concat() } else { vec![start] }
            }
        }
    }

    /// What ends the service, while its file is still there.
    pub(super) fn stop(self) -> Vec<Words> {
        match self {
            Self::Systemd => vec![words(&format!("systemctl --user disable --now {UNIT}"))],
            Self::Launchd => {
                vec![words(&format!("launchctl bootout {}/{LABEL}", Self::domain()))]
            }
        }
    }

    /// What makes the manager forget a service whose file has gone.
    pub(super) fn forget(self, stopped: bool) -> Vec<Words> {
        match (self, stopped) {
            (Self::Systemd, true) => vec![words("systemctl --user daemon-reload")],
            (Self::Systemd, false) => vec![
                words(&format!("systemctl --user stop {UNIT}")),
                words("systemctl --user daemon-reload"),
            ],
            (Self::Launchd, true) => Vec::new(),
            (Self::Launchd, false) => self.stop(),
        }
    }

    /// How to read what the service logs.
    pub(super) const fn log_hint(self) -> &'static str {
        match self {
            Self::Systemd => "journalctl --user -u mailtide",
            Self::Launchd => "tail ~/Library/Logs/mailtide.log",
        }
    }

    /// Asks how the service is.
    pub(super) fn ask(self) -> Told {
        match self {
            Self::Systemd => Told::of_systemd(
                &run(&words(&format!("systemctl --user is-active {UNIT}"))),
                &run(&words(&format!("systemctl --user is-enabled {UNIT}"))),
            ),
            Self::Launchd => {
                let service = format!("{}/{LABEL}", Self::domain());
                Told::of_launchd(run(&words(&format!("launchctl print {service}"))))
            }
        }
    }
}

impl Told {
    /// A word on stdout is an answer, whatever the exit code; else there was nobody to ask.
    fn of_systemd(active: &Result<Ended, String>, enabled: &Result<Ended, String>) -> Self {
        let word = |ended: &Result<Ended, String>| {
            let out = ended.as_ref().ok().map(|ended| ended.out.clone());
            out.filter(|out| !out.is_empty())
        };
        let said = active;
        let (active, enabled) = (word(active), word(enabled));
        let silent = match (&active, said) {
            (Some(_), _) => None,
            (None, Ok(ended)) => Some(ended.err.clone()),
            (None, Err(words)) => Some(words.clone()),
        };
        Self { active, enabled, silent }
    }

    fn of_launchd(printed: Result<Ended, String>) -> Self {
        match printed {
            Ok(ended) if ended.well => {
                let mut lines = ended.out.lines().map(str::trim);
                let state = lines.find_map(|line| line.strip_prefix("state = "));
                let active = Some(state.unwrap_or("loaded").to_owned());
                Self { active, enabled: Some("loaded".to_owned()), silent: None }
            }
            Ok(_) => Self { active: Some("not loaded".to_owned()), ..Self::default() },
            Err(words) => Self { silent: Some(words), ..Self::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(well: bool, out: &str, err: &str) -> Result<Ended, String> {
        Ok(Ended { well, out: out.to_owned(), err: err.to_owned() })
    }

    #[test]
    fn answers_are_understood() {
        let told = Told::of_systemd(&ended(true, "active", ""), &ended(true, "enabled", ""));
        assert_eq!(told.active.as_deref(), Some("active"));
        assert_eq!((told.enabled.as_deref(), told.silent), (Some("enabled"), None));
        let nobody = "Failed to connect to bus: No medium found";
        let told = Told::of_systemd(&ended(false, "", nobody), &ended(false, "", "x"));
        let expected = Told { silent: Some(nobody.to_owned()), ..Told::default() };
        assert_eq!(told, expected);
        let missing = || Err("systemctl: not found".to_owned());
        let told = Told::of_systemd(&missing(), &missing());
        assert_eq!(told.silent.as_deref(), Some("systemctl: not found"));
        let printed = "gui/501/org.mailtide.mailtide = {\n\tpath = x\n\tstate = running\n}";
        assert_eq!(Told::of_launchd(ended(true, printed, "")).active.as_deref(), Some("running"));
        let told = Told::of_launchd(ended(false, "", "Could not find service"));
        assert_eq!((told.active.as_deref(), told.silent), (Some("not loaded"), None));
    }

    #[test]
    fn a_command_that_fails_is_named() {
        assert_eq!(run_all(&[words("true")]), Ok(()));
        let failed = run_all(&[words("true"), words("false"), words("/nowhere/x")]);
        assert_eq!(failed.unwrap_err(), "false failed: ");
        assert!(run_all(&[words("/nowhere/x")]).unwrap_err().starts_with("/nowhere/x: "));
    }
}
