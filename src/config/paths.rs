//! Where things are: the environment, the config file, the state directory, paths with `~`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// The variables that decide where mailtide looks; taken once, so that tests can set them.
#[derive(Debug, Clone, Default)]
pub struct Env {
    vars: BTreeMap<String, OsString>,
    home: Option<PathBuf>,
}

impl Env {
    /// Every variable that is read, and nothing else of the environment.
    const READ: [&'static str; 8] = [
        "MAILTIDE_CONFIG",
        "CONFIGURATION_DIRECTORY",
        "XDG_CONFIG_HOME",
        "STATE_DIRECTORY",
        "XDG_STATE_HOME",
        "CREDENTIALS_DIRECTORY",
        "RUNTIME_DIRECTORY",
        "XDG_RUNTIME_DIR",
    ];

    /// The environment of this process; the home directory is `$HOME`, else that of the user.
    #[must_use]
    pub fn of_process() -> Self {
        let vars = Self::READ.iter().filter_map(|k| Some((*k).to_owned()).zip(std::env::var_os(k)));
        Self { vars: vars.collect(), home: std::env::home_dir() }
    }

    /// An environment made of these alone.
    #[must_use]
    pub fn of(home: &Path, vars: &[(&str, &str)]) -> Self {
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), OsString::from(v)));
        Self { vars: vars.collect(), home: Some(home.to_owned()) }
    }

    /// The value of a variable, none when it is empty.
    fn get(&self, key: &str) -> Option<&OsString> {
        self.vars.get(key).filter(|v| !v.is_empty())
    }

    /// The first of systemd's directories in a variable, which separates them by `:`.
    pub(super) fn systemd(&self, key: &str) -> Option<PathBuf> {
        let list = self.get(key)?;
        std::env::split_paths(list).find(|path| path.is_absolute())
    }

    /// A base directory of the XDG specification: the variable if absolute, else below home.
    fn xdg(&self, key: &str, below_home: &str) -> Option<PathBuf> {
        let set = self.get(key).map(PathBuf::from).filter(|path| path.is_absolute());
        set.or_else(|| Some(self.home.as_ref()?.join(below_home)))
    }

    /// Where the config file is: `--config`, `$MAILTIDE_CONFIG`, `$CONFIGURATION_DIRECTORY`
    /// (systemd), `$XDG_CONFIG_HOME/mailtide`, `~/.config/mailtide`; the first that is set.
    #[must_use]
    pub fn config_file(&self, explicit: Option<&Path>) -> Option<PathBuf> {
        if let Some(path) = self.chosen_config(explicit) {
            return Some(path);
        }
        let directory = self.systemd("CONFIGURATION_DIRECTORY");
        let directory = directory.or_else(|| Some(self.config_home()?.join("mailtide")));
        Some(directory?.join("config.toml"))
    }

    /// The config file that was chosen by name: `--config` or `$MAILTIDE_CONFIG`.
    #[must_use]
    pub fn chosen_config(&self, explicit: Option<&Path>) -> Option<PathBuf> {
        let named = || self.get("MAILTIDE_CONFIG").map(PathBuf::from);
        explicit.map(Path::to_owned).or_else(named)
    }

    /// `$XDG_CONFIG_HOME`, else `~/.config`.
    #[must_use]
    pub fn config_home(&self) -> Option<PathBuf> {
        self.xdg("XDG_CONFIG_HOME", ".config")
    }

    /// The home directory.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The variables that put mailtide's files elsewhere than below home.
    #[must_use]
    pub fn moved(&self) -> Vec<&'static str> {
        let bases = [("XDG_CONFIG_HOME", ".config"), ("XDG_STATE_HOME", ".local/state")];
        let usual = |below: &str| self.home.as_ref().map(|home| home.join(below));
        let moved = bases.iter().filter(|(key, below)| self.xdg(key, below) != usual(below));
        moved.map(|(key, _)| *key).collect()
    }

    /// Where state is kept if the config does not say: `$STATE_DIRECTORY` (systemd),
    /// `$XDG_STATE_HOME/mailtide`, `~/.local/state/mailtide`.
    #[must_use]
    pub fn state_dir(&self) -> Option<PathBuf> {
        let directory = self.systemd("STATE_DIRECTORY");
        directory.or_else(|| Some(self.xdg("XDG_STATE_HOME", ".local/state")?.join("mailtide")))
    }

    /// Where a running mailtide is reached: `$RUNTIME_DIRECTORY` (systemd),
    /// `$XDG_RUNTIME_DIR/mailtide`; none where neither is set.
    #[must_use]
    pub fn runtime_dir(&self) -> Option<PathBuf> {
        let of_session = || {
            let base = self.get("XDG_RUNTIME_DIR").map(PathBuf::from)?;
            base.is_absolute().then(|| base.join("mailtide"))
        };
        self.systemd("RUNTIME_DIRECTORY").or_else(of_session)
    }

    /// A path of the config: absolute, or below `~`. Variables are not expanded.
    ///
    /// # Errors
    /// In words: relative, empty, of another user's home, with `..`, or no home is known.
    pub fn path(&self, text: &str) -> Result<PathBuf, &'static str> {
        let path = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                let home =
                    self.home.as_ref().ok_or("begins with ~, but no home directory is known")?;
                home.join(rest.trim_start_matches('/'))
            }
            Some(_) => return Err("means another user's home: write the whole path"),
            None => PathBuf::from(text),
        };
        if text.starts_with('$') {
            return Err(
                "begins with a variable, and only ~ is expanded: write ~ or the whole path",
            );
        }
        if !path.is_absolute() {
            return Err("is relative: begin it with / or ~");
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return Err("holds a \"..\": write the path without it");
        }
        Ok(path.components().collect())
    }
}

/// The path with the symbolic links of its existing part resolved, for comparing places.
#[must_use]
pub fn resolved(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (existing.canonicalize(), path.strip_prefix(existing)) {
            return real.join(rest).components().collect();
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> Env {
        Env::of(Path::new("/home/me"), vars)
    }

    #[test]
    fn the_config_file_is_found_in_this_order() {
        let all = [
            ("MAILTIDE_CONFIG", "/m.toml"),
            ("CONFIGURATION_DIRECTORY", "/etc/mailtide:/etc/other"),
            ("XDG_CONFIG_HOME", "/xdg"),
        ];
        let found = |explicit: Option<&str>, from: usize| {
            env(&all[from..]).config_file(explicit.map(Path::new)).unwrap()
        };
        assert_eq!(found(Some("c.toml"), 0), Path::new("c.toml"));
        assert_eq!(found(None, 0), Path::new("/m.toml"));
        assert_eq!(found(None, 1), Path::new("/etc/mailtide/config.toml"));
        assert_eq!(found(None, 2), Path::new("/xdg/mailtide/config.toml"));
        assert_eq!(found(None, 3), Path::new("/home/me/.config/mailtide/config.toml"));
    }

    #[test]
    fn the_state_directory_is_found_in_this_order() {
        let all = [("STATE_DIRECTORY", "/var/lib/mailtide"), ("XDG_STATE_HOME", "/xdg")];
        assert_eq!(env(&all).state_dir().unwrap(), Path::new("/var/lib/mailtide"));
        assert_eq!(env(&all[1..]).state_dir().unwrap(), Path::new("/xdg/mailtide"));
        let relative = [("XDG_STATE_HOME", "state"), ("STATE_DIRECTORY", "")];
        let expected = Path::new("/home/me/.local/state/mailtide");
        assert_eq!(env(&relative).state_dir().unwrap(), expected);
    }

    #[test]
    fn variables_that_move_something_are_named() {
        assert!(env(&[]).moved().is_empty());
        assert!(env(&[("XDG_CONFIG_HOME", "/home/me/.config")]).moved().is_empty());
        assert_eq!(env(&[("XDG_STATE_HOME", "/xdg")]).moved(), ["XDG_STATE_HOME"]);
    }

    #[test]
    fn paths() {
        let path = |text| env(&[]).path(text);
        assert_eq!(path("~/Mail/./a//b/").unwrap(), Path::new("/home/me/Mail/a/b"));
        assert_eq!(path("~").unwrap(), Path::new("/home/me"));
        assert_eq!(path("/srv/mail").unwrap(), Path::new("/srv/mail"));
        assert_eq!(path("/srv/$USER").unwrap(), Path::new("/srv/$USER"));
        for bad in ["", "Mail", "~you/Mail", "/a/../b", "$HOME/Mail"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn links_are_resolved_up_to_what_exists() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("mail")).unwrap();
        std::os::unix::fs::symlink(real.join("mail"), real.join("link")).unwrap();
        assert_eq!(resolved(&real.join("link/new/x")), real.join("mail/new/x"));
    }
}
