//! Where the demo lives: its directories, its config, and the account that they make.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mailtide::config::{Config, Env};

/// The Maildir, below the directory in which the demo was started.
pub(crate) const MAIL: &str = "demo-mail";
/// What mailtide remembers of it, and its config.
pub(crate) const STATE: &str = "demo-mail-state";
/// The config file, for trying the real command.
pub(crate) const CONFIG: &str = "demo-mail-state/config.toml";

/// The demo's directories, kept from a second demo for as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    base: PathBuf,
    /// Where the Maildir of a former demo was put, if there was one.
    pub(crate) put_aside: Option<String>,
    /// Locked while it is open.
    _lock: File,
}

impl Place {
    /// Takes the directories below `base`. The server starts anew each time, so the Maildir
    /// of a former demo, which mirrors a server that is no more, is put aside, not deleted.
    pub(crate) fn take(base: &Path) -> Result<Self, String> {
        let base = fs::canonicalize(base).map_err(|e| at(base, &e))?;
        let state = base.join(STATE);
        fs::create_dir_all(&state).map_err(|e| at(&state, &e))?;
        let path = state.join("lock");
        let lock = File::create(&path).map_err(|e| at(&path, &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "another demo is running here: {}\nend it first, or start this one in \
                     another directory",
                    base.join(MAIL).display()
                ));
            }
            Err(TryLockError::Error(error)) => return Err(at(&path, &error)),
        }
        let put_aside = put_aside(&base)?;
        for leftover in ["demo.db", "demo.db-wal", "demo.db-shm"] {
            match fs::remove_file(state.join(leftover)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&state.join(leftover), &error));
                }
                _ => {}
            }
        }
        Ok(Self { base, put_aside, _lock: lock })
    }

    /// The root of the Maildir.
    pub(crate) fn mail(&self) -> PathBuf {
        self.base.join(MAIL)
    }

    /// The state store.
    pub(crate) fn store(&self) -> PathBuf {
        self.base.join(STATE).join("demo.db")
    }

    /// Writes the config, so that `mailtide --config … status` works on the demo too, and
    /// reads it back the way mailtide does.
    pub(crate) fn config(&self, port: u16) -> Result<Config, String> {
        let text = format!(
            "# Of mailtide's demo; the server is there as long as the demo runs.\n\
             state_dir = {state:?}\n\n\
             [accounts.demo]\n\
             host = \"127.0.0.1\"\n\
             port = {port}\n\
             tls = \"none\"        # fine on one machine, and nowhere else\n\
             user = \"demo\"\n\
             password = \"demo\"\n\
             maildir = {mail:?}\n",
            state = self.base.join(STATE),
            mail = self.mail(),
        );
        let path = self.base.join(CONFIG);
        fs::write(&path, text).map_err(|e| at(&path, &e))?;
        // It holds a password, and mailtide insists.
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(|e| at(&path, &e))?;
        Config::load(Some(&path), &Env::of_process()).map_err(|e| e.to_string())
    }
}

fn put_aside(base: &Path) -> Result<Option<String>, String> {
    let mail = base.join(MAIL);
    if fs::symlink_metadata(&mail).is_err() {
        return Ok(None);
    }
    let empty = fs::read_dir(&mail).is_ok_and(|mut entries| entries.next().is_none());
    if empty {
        return Ok(None);
    }
    if !mail.join(".mailtide").is_dir() {
        return Err(format!(
            "{} is there already and is not from a demo\nmove it away, or start the demo in \
             another directory",
            mail.display()
        ));
    }
    let name = (1..).map(|n| format!("{MAIL}-old-{n}")).find(|name| !base.join(name).exists());
    let name = name.unwrap_or_default();
    fs::rename(&mail, base.join(&name)).map_err(|e| at(&mail, &e))?;
    Ok(Some(name))
}

fn at(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
