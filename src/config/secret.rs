//! Passwords: where they come from, fetched at the last moment, shown nowhere.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use super::child;
use crate::reconcile::types::printable;

/// How long a `password_command` may take: a person may have to unlock something first.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// How much a password source may say, in bytes.
const OUTPUT_LIMIT: u64 = 64 * 1024;

/// How much of a failed command's stderr is shown, in characters.
const SHOWN: usize = 500;

/// How long pipes are read after a command ended: a helper that it left behind may keep them.
const LEFTOVER: Duration = Duration::from_secs(1);

/// A password in memory: wiped when dropped, redacted in `Debug`, no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a password as it is to be sent.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The password, for the one place that signs in.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where the password of an account comes from. Only [`SecretSource::fetch`] looks there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The first line that a program prints; program and arguments, no shell between.
    Command(Vec<String>),
    /// The first line of a file that nobody else may read.
    File(PathBuf),
    /// An environment variable, by name.
    Env(String),
    /// A systemd credential: its name and, where the service manager gave one, its file
    /// (`$CREDENTIALS_DIRECTORY/NAME`).
    Credential {
        /// The name as in `LoadCredential=`.
        name: String,
        /// Its file; none outside of such a service.
        file: Option<PathBuf>,
    },
    /// It stands in the config file itself.
    Inline(Secret),
}

/// Why a password could not be had. Never holds a password.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The program could not be started.
    #[error("password_command {program:?} cannot be started: {source}")]
    Start {
        /// Its name as configured.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program failed.
    #[error("password_command {program:?} failed ({status}){}", said(.stderr))]
    Failed {
        /// Its name as configured.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to stderr, neutralised and shortened.
        stderr: String,
    },
    /// The program did not end.
    #[error("password_command {program:?} did not end within {} seconds", .limit.as_secs())]
    TimedOut {
        /// Its name as configured.
        program: String,
        /// The limit.
        limit: Duration,
    },
    /// The file could not be read.
    #[error("password file {}: {source}", printable(&.path.to_string_lossy()))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file can be read by others.
    #[error(
        "password file {0} may be read by others (mode {mode:04o}): chmod 600 {0}",
        printable(&.path.to_string_lossy())
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is no such variable.
    #[error("password_env: the variable {0} is not set")]
    NoVariable(String),
    /// Not started by a service manager that passes credentials.
    #[error(
        "password_credential {0:?}: $CREDENTIALS_DIRECTORY is not set; \
         it needs a systemd service with LoadCredential="
    )]
    NoCredentials(String),
    /// The source gave nothing.
    #[error("{0} gave an empty password")]
    Empty(String),
    /// What the source gave cannot be a password.
    #[error("{0} gave something that cannot be a password (not UTF-8, or over 64 KiB)")]
    NoText(String),
}

/// `: …`, when there is something to say.
fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

impl SecretSource {
    /// The source in words without the secret, for `check` and for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Command(argv) => {
                let program = argv.first().map_or("", String::as_str);
                format!("password_command {:?}", printable(program))
            }
            Self::File(path) => format!("password_file {}", printable(&path.to_string_lossy())),
            Self::Env(name) => format!("password_env {}", printable(name)),
            Self::Credential { name, .. } => format!("password_credential {}", printable(name)),
            Self::Inline(_) => "password in the config file".to_owned(),
        }
    }

    /// Gets the password: the first line of what the source gives, without its line end.
    ///
    /// # Errors
    /// Whatever kept it from being had; no error holds what the source gave.
    pub async fn fetch(&self) -> Result<Secret, SecretError> {
        let bytes = match self {
            Self::Inline(secret) => return Ok(secret.clone()),
            Self::Command(argv) => run(argv, COMMAND_LIMIT).await?,
            Self::File(path) => read_private(path)?,
            Self::Env(name) => match std::env::var(name) {
                Ok(text) => Zeroizing::new(text.into_bytes()),
                Err(std::env::VarError::NotPresent) => {
                    return Err(SecretError::NoVariable(printable(name)));
                }
                Err(_) => return Err(SecretError::NoText(self.describe())),
            },
            Self::Credential { name, file: None } => {
                return Err(SecretError::NoCredentials(name.clone()));
            }
            // The service manager guards that directory; its modes are its own business.
            Self::Credential { file: Some(path), .. } => read(path)?.0,
        };
        self.first_line(&bytes)
    }

    /// What would surely make [`fetch`](Self::fetch) fail, without running anything.
    ///
    /// # Errors
    /// As `fetch`, for the sources that can be looked at for free.
    pub fn probe(&self) -> Result<(), SecretError> {
        match self {
            Self::File(path) => read_private(path).and_then(|b| self.first_line(&b)).map(drop),
            Self::Env(name) if std::env::var_os(name).is_none() => {
                Err(SecretError::NoVariable(printable(name)))
            }
            Self::Credential { name, file: None } => Err(SecretError::NoCredentials(name.clone())),
            _ => Ok(()),
        }
    }

    fn first_line(&self, bytes: &[u8]) -> Result<Secret, SecretError> {
        if bytes.len() as u64 > OUTPUT_LIMIT {
            return Err(SecretError::NoText(self.describe()));
        }
        let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = str::from_utf8(line).map_err(|_| SecretError::NoText(self.describe()))?;
        if text.is_empty() {
            return Err(SecretError::Empty(self.describe()));
        }
        Ok(Secret::new(Zeroizing::new(text.to_owned())))
    }
}

/// The file's first bytes and its permission bits, both of the same open file.
fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32), SecretError> {
    let failed = |source| SecretError::Read { path: path.to_owned(), source };
    let file = super::access::open_file(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !super::access::is_trusted_owner(&meta) {
        let words = format!("belongs to user {}", meta.uid());
        return Err(failed(io::Error::new(io::ErrorKind::PermissionDenied, words)));
    }
    let mode = meta.mode() & 0o7777;
    // Room for all of it at once: growing would leave unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(OUTPUT_LIMIT as usize + 2));
    file.take(OUTPUT_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok((bytes, mode))
}

/// As [`read`], for a file that nobody but its owner may open.
fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let (bytes, mode) = read(path)?;
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path: path.to_owned(), mode });
    }
    Ok(bytes)
}

/// Runs a program and returns what it printed.
async fn run(argv: &[String], limit: Duration) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let program = argv.first().cloned().unwrap_or_default();
    let mut command = child::command(&program, argv.get(1..).unwrap_or_default());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |source| SecretError::Start { program: program.clone(), source };
    let mut child = command.spawn().map_err(failed)?;
    let mut group = child::Group::of(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut printed = Zeroizing::new(Vec::with_capacity(OUTPUT_LIMIT as usize + 2));
    let mut complained = Vec::new();
    let ended = tokio::time::timeout(limit, async {
        let both = async {
            tokio::join!(drain(stdout, &mut printed), drain(stderr, &mut complained));
        };
        tokio::pin!(both);
        let mut status = None;
        tokio::select! {
            () = &mut both => {}
            ended = child.wait() => status = Some(ended),
        }
        match status {
            Some(status) => {
                let _ = tokio::time::timeout(LEFTOVER, both).await;
                status
            }
            None => child.wait().await,
        }
    });
    let Ok(status) = ended.await else {
        return Err(SecretError::TimedOut { program, limit });
    };
    group.ended();
    let status = status.map_err(failed)?;
    if !status.success() {
        let stderr = shortened(&complained);
        return Err(SecretError::Failed { program, status, stderr });
    }
    Ok(printed)
}

/// Reads a pipe to its end, keeping the first bytes; a failing pipe is an ended one.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let _ = (&mut pipe).take(OUTPUT_LIMIT + 1).read_to_end(into).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
}

/// What a program complained of, on one line, fit for a terminal.
fn shortened(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let line = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ");
    let mut shown: String = line.chars().take(SHOWN).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    printable(&shown)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn command(script: &str) -> SecretSource {
        SecretSource::Command(["sh", "-c", script].map(str::to_owned).into())
    }

    fn file(dir: &Path, text: &[u8], mode: u32) -> SecretSource {
        let path = dir.join("secret");
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        SecretSource::File(path)
    }

    #[tokio::test]
    async fn a_command_gives_its_first_line() {
        for script in ["echo hunter2", "printf 'hunter2\\r\\nuser: me\\n'", "printf hunter2"] {
            let secret = command(script).fetch().await.unwrap();
            assert_eq!(secret.expose(), "hunter2", "{script}");
        }
    }

    #[tokio::test]
    async fn a_failing_command_is_quoted_and_its_output_is_not() {
        let failing = command("echo hunter2; printf 'no key\\n\\033[2Jasked\\n' >&2; exit 3");
        let error = failing.fetch().await.unwrap_err().to_string();
        assert_eq!(
            error,
            "password_command \"sh\" failed (exit status: 3): no key; \\u{1b}[2Jasked"
        );
        assert!(!format!("{:?}", failing.fetch().await).contains("hunter2"));
        let missing = SecretSource::Command(vec!["/nonexistent/pass".to_owned()]);
        let error = missing.fetch().await.unwrap_err().to_string();
        assert!(error.starts_with("password_command \"/nonexistent/pass\" cannot be started: "));
    }

    #[tokio::test]
    async fn a_command_that_gives_nothing_or_noise_is_refused() {
        let error = command("echo").fetch().await.unwrap_err().to_string();
        assert_eq!(error, "password_command \"sh\" gave an empty password");
        for script in ["printf '\\377\\n'", "head -c 1000000 /dev/zero"] {
            let error = command(script).fetch().await.unwrap_err();
            assert!(matches!(error, SecretError::NoText(_)), "{script}: {error}");
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended() {
        let argv = ["sleep", "1000"].map(str::to_owned);
        let error = run(&argv, Duration::from_millis(20)).await.unwrap_err();
        assert!(matches!(error, SecretError::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_helper_that_keeps_the_pipe_does_not_hang_the_run() {
        let secret = command("echo hunter2; sleep 30 & exit 0").fetch().await.unwrap();
        assert_eq!(secret.expose(), "hunter2");
    }

    #[tokio::test]
    async fn a_file_must_be_private() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o400] {
            let source = file(dir.path(), b"hunter2\n", mode);
            assert_eq!(source.fetch().await.unwrap().expose(), "hunter2");
            source.probe().unwrap();
        }
        for mode in [0o644, 0o640, 0o604] {
            let source = file(dir.path(), b"hunter2\n", mode);
            let error = source.fetch().await.unwrap_err();
            assert!(matches!(error, SecretError::Exposed { .. }), "{mode:o}: {error}");
            assert!(source.probe().is_err());
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        let error = file(dir.path(), b"\nhunter2\n", 0o600).fetch().await.unwrap_err();
        assert!(matches!(error, SecretError::Empty(_)), "{error}");
    }

    #[tokio::test]
    async fn a_credential_is_a_file_of_the_service_manager() {
        let dir = tempfile::tempdir().unwrap();
        let SecretSource::File(path) = file(dir.path(), b"hunter2", 0o440) else { unreachable!() };
        let name = "imap".to_owned();
        let source = SecretSource::Credential { name: name.clone(), file: Some(path) };
        assert_eq!(source.fetch().await.unwrap().expose(), "hunter2");
        let outside = SecretSource::Credential { name, file: None };
        let error = outside.fetch().await.unwrap_err().to_string();
        assert!(error.contains("$CREDENTIALS_DIRECTORY is not set"), "{error}");
    }

    #[tokio::test]
    async fn a_variable_is_read_late() {
        let source = SecretSource::Env("CARGO_MANIFEST_DIR".to_owned());
        assert_eq!(source.fetch().await.unwrap().expose(), env!("CARGO_MANIFEST_DIR"));
        let unset = SecretSource::Env("MAILTIDE_TEST_UNSET".to_owned());
        let error = unset.fetch().await.unwrap_err().to_string();
        assert_eq!(error, "password_env: the variable MAILTIDE_TEST_UNSET is not set");
        assert!(unset.probe().is_err());
    }

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::new(Zeroizing::new("hunter2".to_owned()));
        let shown = format!("{:?} {:?}", secret, SecretSource::Inline(secret.clone()));
        assert_eq!(shown, "[redacted] Inline([redacted])");
    }
}
