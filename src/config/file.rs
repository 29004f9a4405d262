//! From the text of the config file to validated values.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::account::{self, KEYS, LATER};
use super::document::{At, Complaints, Section, path_of, quoted};
use super::error::{ConfigError, Problem};
use super::maildrop;
use super::paths::{self, Env};
use super::secret::SecretSource;
use super::settings::{Account, Config, Maildrop};
use crate::reconcile::types::printable;

/// The largest config file that is read, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

impl Config {
    /// Reads and checks the config file: `explicit`, or where [`Env::config_file`] finds it.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line, not only the first.
    pub fn load(explicit: Option<&Path>, env: &Env) -> Result<Self, ConfigError> {
        load(explicit, env)
    }

    /// Checks the text of a config file; `path` and `mode` (its permission bits) are for
    /// messages and for the rule that a file with a password is private.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path, mode: u32, env: &Env) -> Result<Self, ConfigError> {
        parse(text, path, mode, env)
    }
}

/// Reads the file that [`Env::config_file`] names.
fn load(explicit: Option<&Path>, env: &Env) -> Result<Config, ConfigError> {
    let fail = |path: &Path, text: String| ConfigError {
        path: path.to_owned(),
        problems: vec![Problem { line: None, text }],
    };
    let Some(path) = env.config_file(explicit) else {
        let text = "no home directory is known: say --config FILE or set MAILTIDE_CONFIG";
        return Err(fail(Path::new("config.toml"), text.to_owned()));
    };
    let read = || -> std::io::Result<(Zeroizing<String>, u32)> {
        let file = super::access::open_file(&path)?;
        let meta = file.metadata()?;
        if meta.len() > FILE_LIMIT {
            return Err(std::io::Error::other("is larger than 1 MiB"));
        }
        let mut text = Zeroizing::new(String::with_capacity(FILE_LIMIT as usize + 1));
        file.take(FILE_LIMIT).read_to_string(&mut text)?;
        Ok((text, meta.mode() & 0o7777))
    };
    let (text, mode) = read().map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "; copy config.example.toml there and edit it",
            _ => "",
        };
        fail(&path, format!("cannot be read: {error}{hint}"))
    })?;
    let config = parse(&text, &path, mode, env)?;
    for account in &config.accounts {
        if let SecretSource::Env(name) = &account.secret {
            super::child::keep_secret(name);
        }
    }
    let problems = super::strict::problems(&config);
    if problems.is_empty() { Ok(config) } else { Err(ConfigError { path, problems }) }
}

/// As [`Config::parse`].
fn parse(text: &str, path: &Path, mode: u32, env: &Env) -> Result<Config, ConfigError> {
    let mut c = Complaints::new(text);
    let parsed = match DeTable::parse(text) {
        Ok(table) => config(table.get_ref(), path, mode, env, &mut c),
        Err(error) => {
            // Only the message: the error's Display quotes the line, which may hold a password.
            let at = error.span().map_or(0, |span| span.start);
            c.at(at, format!("this is not TOML: {}", printable(error.message())));
            None
        }
    };
    match parsed {
        Some(config) if c.is_empty() => Ok(config),
        _ => Err(ConfigError { path: path.to_owned(), problems: c.into_problems() }),
    }
}

fn config(
    root: &DeTable<'_>,
    path: &Path,
    mode: u32,
    env: &Env,
    c: &mut Complaints<'_>,
) -> Option<Config> {
    let top = Section { title: "the top of the file", at: 0, own: root, defaults: None };
    top.only(&["state_dir", "defaults", "accounts"], &[], c);
    let defaults = top.table("defaults", c);
    if let Some(defaults) = defaults {
        Section { title: "[defaults]", ..defaults }.only(&KEYS, &LATER, c);
    }
    let state_dir = match top.string("state_dir", c) {
        Some(item) => path_of("state_dir", item, env, c),
        None => env.state_dir(),
    };
    let mut accounts = Vec::new();
    let tables = top.table("accounts", c);
    let mut entries: Vec<_> = tables.iter().flat_map(|t| t.own.iter()).collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    for (key, value) in entries {
        let (name, at) = (key.get_ref().as_ref(), key.span().start);
        let title = format!("[accounts.{}]", printable(name));
        let DeValue::Table(own) = value.get_ref() else {
            c.at(at, format!("\"accounts.{}\" must be a table: {title}", printable(name)));
            continue;
        };
        check_name(name, at, &accounts, c);
        let section = Section { title: &title, at, own, defaults: defaults.map(|d| d.own) };
        section.only(&KEYS, &LATER, c);
        if let Some(account) = account::read(name, section, env, c) {
            let lodges = account.maildrop.as_ref().is_some_and(Maildrop::lodges);
            let place = section.place(if lodges { "deliver_to" } else { "maildir" });
            accounts.push((At { at, value: account }, place));
        }
    }
    if tables.is_none_or(|t| t.own.is_empty()) && c.is_empty() {
        c.whole("no account: add a table [accounts.NAME] with host, user, maildir".to_owned());
    }
    check_exposure(root, mode, c);
    maildrop::lodge(&mut accounts, state_dir.as_deref(), c);
    check_roots(&accounts, state_dir.as_deref(), c);
    let accounts = accounts.into_iter().map(|(account, _)| account.value).collect();
    if state_dir.is_none() && c.is_empty() {
        c.whole("no home directory is known: set state_dir".to_owned());
    }
    Some(Config { path: path.to_owned(), state_dir: state_dir?, accounts })
}

/// `[A-Za-z0-9._-]+`, not to be mistaken for an option or a directory, once in any case:
/// it becomes a file name.
fn check_name(name: &str, at: usize, before: &[(At<Account>, usize)], c: &mut Complaints<'_>) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty()
        || name.len() > 64
        || !name.bytes().all(plain)
        || name.starts_with(['.', '-'])
    {
        let text = "is no account name: up to 64 of A-Z a-z 0-9 . _ - that begin with none of . -";
        c.at(at, format!("{} {text}", quoted(name)));
    }
    if let Some((twin, _)) = before.iter().find(|(a, _)| a.value.name.eq_ignore_ascii_case(name)) {
        let text = format!("{} and \"{}\" differ in case only", quoted(name), twin.value.name);
        c.at(at, text);
    }
}

/// A file with a password in it must be closed to everybody else.
fn check_exposure(root: &DeTable<'_>, mode: u32, c: &mut Complaints<'_>) {
    if mode & 0o077 == 0 {
        return;
    }
    let accounts = root.get("accounts").map(Spanned::get_ref);
    let accounts = accounts.into_iter().filter_map(DeValue::as_table).flat_map(|t| t.values());
    let sections = root.get("defaults").into_iter().chain(accounts);
    for table in sections.filter_map(|value| value.get_ref().as_table()) {
        if let Some(password) = table.get("password") {
            let text = format!(
                "a password stands here, and others may read this file (mode {mode:04o}): \
                 chmod 600 it, or use password_command"
            );
            c.at(password.span().start, text);
        }
    }
}

/// No root in, around or at another, and no state among the mail.
fn check_roots(
    accounts: &[(At<Account>, usize)],
    state_dir: Option<&Path>,
    c: &mut Complaints<'_>,
) {
    let mut taken: Vec<(PathBuf, &str)> = Vec::new();
    let state_dir = state_dir.map(paths::resolved);
    let own = |account: &Account| !account.maildrop.as_ref().is_some_and(Maildrop::lodges);
    for (account, at) in accounts.iter().filter(|(account, _)| own(&account.value)) {
        let (root, name) = (paths::resolved(&account.value.maildir), &account.value.name);
        if let Some(state) = &state_dir
            && state.starts_with(&root)
        {
            let text = "\"maildir\" contains the state directory: keep them apart";
            c.at(*at, text.to_owned());
        }
        for (other, owner) in &taken {
            if root == *other {
                let text = format!("\"maildir\" of {name} is also that of {owner}: choose another");
                c.at(*at, text);
            } else if root.starts_with(other) || other.starts_with(&root) {
                let text = format!("one \"maildir\" of {name} and {owner} contains the other");
                c.at(*at, text);
            }
        }
        taken.push((root, name));
    }
}
