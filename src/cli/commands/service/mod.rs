//! `mailtide service`: the file by which systemd or launchd keeps `mailtide run` going.
//!
//! Only what mailtide wrote and nobody changed is ever replaced or removed: each file ends with
//! the hash of itself.

mod manager;
mod unit;
mod words;

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use self::manager::{LABEL, Told, UNIT, Words};
use self::unit::{Manager, Origin, Start};
use self::words::{Done, Found};
use crate::cli::answer::{Answer, answer};
use crate::cli::args::{Global, ServiceAction};
use crate::cli::exit::Exit;
use crate::cli::output::Style;
use crate::cli::report::Failure;
use crate::config::{Config, Env, SecretSource};

/// The service of this user: where its file is and what it is to start.
struct Service {
    manager: Manager,
    file: PathBuf,
    log: PathBuf,
    start: Start,
}

/// Does what was asked for. The config is only looked at: the service reads it by itself.
pub(super) fn execute(
    action: ServiceAction,
    config: Result<&Config, &Failure>,
    global: &Global,
    style: Style,
) -> Result<Answer, Failure> {
    let env = Env::of_process();
    let service = Service::of(&env, global.config.as_deref())?;
    let done = match action {
        ServiceAction::Install { now, force } => {
            if let (true, Err(failure)) = (now, config) {
                // It would be started only to fail; nothing was done yet.
                return Err(failure.clone());
            }
            service.install(now, force, notes(config, &env))?
        }
        ServiceAction::Uninstall { now } => service.uninstall(now)?,
        ServiceAction::Status => {
            let found = service.look()?;
            let text = if global.quiet { String::new() } else { found.words(style) };
            return answer(text, "service", &found, Exit::InSync);
        }
    };
    let text = done.words(service.manager, global.quiet, style);
    answer(text, "service", &done, Exit::InSync)
}

/// What may keep a service from doing what the same command does in a shell.
fn notes(config: Result<&Config, &Failure>, env: &Env) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    match config {
        Err(failure) => {
            let first = failure.text.lines().next().unwrap_or_default();
            notes.push(format!("the service will not start before the config is right: {first}"));
        }
        Ok(config) => notes.extend(config.accounts.iter().filter_map(|account| {
            let name = &account.name;
            match &account.secret {
                SecretSource::Env(_) => Some(format!(
                    "{name}: password_env: a service does not see the variables of your shell"
                )),
                SecretSource::Credential { name: credential, .. } => Some(format!(
                    "{name}: password_credential needs a line LoadCredential={credential}:FILE: \
                     systemctl --user edit mailtide"
                )),
                _ => None,
            }
        })),
    }
    notes.extend(env.moved().into_iter().map(|key| {
        format!("{key} is set here: the service manager must know it, too, or it looks elsewhere")
    }));
    notes
}

impl Service {
    fn of(env: &Env, explicit: Option<&Path>) -> Result<Self, Failure> {
        let usage = |words: &str| Failure::new(Exit::Usage, words);
        let manager = Manager::here().ok_or_else(|| {
            usage("mailtide knows no service manager of this system")
                .advise("have yours start `mailtide run`, which stays in the foreground")
        })?;
        let lost = || usage("no home directory is known: set HOME");
        let home = env.home().ok_or_else(lost)?;
        let file = match manager {
            Manager::Systemd => env.config_home().ok_or_else(lost)?.join("systemd/user").join(UNIT),
            Manager::Launchd => home.join(format!("Library/LaunchAgents/{LABEL}.plist")),
        };
        let program = std::env::current_exe().and_then(|path| path.canonicalize());
        let program = program.map_err(|error| {
            Failure::new(Exit::Incomplete, format!("cannot tell where this program is: {error}"))
        })?;
        // A service is started elsewhere than where the user is.
        let config = env.chosen_config(explicit).map(std::path::absolute).transpose();
        let config = config.map_err(|error| usage(&format!("--config: {error}")))?;
        let start = Start::new(&program, config.as_deref()).map_err(|words| usage(&words))?;
        Ok(Self { manager, file, log: home.join("Library/Logs/mailtide.log"), start })
    }

    fn shown(&self) -> String {
        self.file.to_string_lossy().into_owned()
    }

    fn failed(&self, what: &str, error: &std::io::Error) -> Failure {
        Failure::new(Exit::Incomplete, format!("{what} {}: {error}", self.file.display()))
    }

    fn wanted(&self) -> Result<String, Failure> {
        let text = self.manager.render(&self.start, &self.log);
        text.map_err(|words| Failure::new(Exit::Usage, words))
    }

    /// What is there now. A link is somebody's arrangement, whatever it leads to.
    fn present(&self) -> Result<(Origin, String), Failure> {
        let failed = |error| self.failed("cannot read", &error);
        match fs::symlink_metadata(&self.file) {
            Ok(meta) if !meta.is_file() => Ok((Origin::Foreign, String::new())),
            Ok(_) => {
                let bytes = fs::read(&self.file).map_err(failed)?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Ok((self.manager.origin(&text), text))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok((Origin::Absent, String::new()))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn install(&self, now: bool, force: bool, notes: Vec<String>) -> Result<Done, Failure> {
        let wanted = self.wanted()?;
        let (state, text) = self.present()?;
        let done = match state {
            Origin::Absent => "installed",
            Origin::Current | Origin::Older if text == wanted => "unchanged",
            Origin::Changed | Origin::Foreign if !force => {
                return Err(self.refusal(state, "--force"));
            }
            _ => "replaced",
        };
        if done != "unchanged" {
            self.write(&wanted).map_err(|error| self.failed("cannot write", &error))?;
        }
        let again = match self.manager {
            Manager::Systemd => done == "replaced",
            // It refuses to take what it has.
            Manager::Launchd => self.manager.ask().active.is_some_and(|it| it != "not loaded"),
        };
        let commands = self.manager.start(&self.shown(), again);
        self.finish(done, self.manager.starts(&wanted), now, &commands, notes)
    }

    /// Whole or not at all: a manager may read it at any time.
    fn write(&self, text: &str) -> std::io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        // Managers pass over names that end like this.
        let new = self.file.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.file)
    }

    fn uninstall(&self, now: bool) -> Result<Done, Failure> {
        match self.present()?.0 {
            Origin::Absent => return self.finish("absent", String::new(), false, &[], Vec::new()),
            state @ (Origin::Changed | Origin::Foreign) => {
                return Err(self.refusal(state, "uninstall"));
            }
            Origin::Current | Origin::Older => {}
        }
        if now {
            // What cannot be stopped keeps its file, so that it can be tried again.
            manager::run_all(&self.manager.stop()).map_err(|words| self.unmanaged(words))?;
        }
        fs::remove_file(&self.file).map_err(|error| self.failed("cannot remove", &error))?;
        self.unlink();
        let commands = self.manager.forget(now);
        self.finish("removed", String::new(), now, &commands, Vec::new())
    }

    /// Removes the link that `systemctl enable` made for the file that has gone.
    fn unlink(&self) {
        let Some(folder) = self.file.parent().filter(|_| self.manager == Manager::Systemd) else {
            return;
        };
        let link = folder.join("default.target.wants").join(UNIT);
        if fs::read_link(&link).is_ok_and(|target| target == self.file) {
            // One that stays behind leads nowhere and does nothing.
            let _ = fs::remove_file(&link);
        }
    }

    /// Tells the manager, or the user what to tell it.
    fn finish(
        &self,
        done: &'static str,
        starts: String,
        now: bool,
        commands: &[Words],
        notes: Vec<String>,
    ) -> Result<Done, Failure> {
        if now {
            let half = |words| self.unmanaged(format!("{done} {}, but {words}", self.shown()));
            manager::run_all(commands).map_err(half)?;
        }
        let line = |command: &Words| {
            command.iter().map(|w| words::quoted(w)).collect::<Vec<_>>().join(" ")
        };
        let commands = if now { Vec::new() } else { commands.iter().map(line).collect() };
        let (file, manager) = (self.shown(), self.manager.name());
        Ok(Done { done, file, manager, starts, now, commands, notes })
    }

    fn refusal(&self, state: Origin, way_out: &str) -> Failure {
        let file = self.file.display();
        let how = match state {
            Origin::Changed => "was changed since mailtide wrote it",
            _ => "was not written by mailtide",
        };
        let advice = match (way_out, self.manager) {
            ("--force", Manager::Systemd) => {
                "--force replaces it; settings of your own are safe in a drop-in: \
                 systemctl --user edit mailtide"
            }
            ("--force", Manager::Launchd) => "--force replaces it",
            _ => "remove it yourself if nothing in it is dear to you",
        };
        Failure::new(Exit::Usage, format!("{file} {how}, so it is left alone")).advise(advice)
    }

    fn unmanaged(&self, words: String) -> Failure {
        let name = self.manager.name();
        let advice = format!("{name} has to run for that; without --now only the file is touched");
        Failure::new(Exit::Incomplete, words).advise(advice)
    }

    fn look(&self) -> Result<Found, Failure> {
        let (state, text) = self.present()?;
        let Told { active, enabled, silent } = self.manager.ask();
        let starts = self.manager.starts(&text);
        // A program that no unit can start is not what it starts.
        let starts_this = self.wanted().is_ok_and(|wanted| self.manager.starts(&wanted) == starts);
        let (file, manager) = (self.shown(), self.manager.name());
        Ok(Found { file, manager, state, starts, starts_this, active, enabled, silent })
    }
}
