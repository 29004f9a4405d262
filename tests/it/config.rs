//! The example config, and the program as the shell sees it when nothing is connected to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mailtide::config::{Config, Env};

const EXAMPLE: &str = include_str!("../../config.example.toml");

fn parse(text: &str) -> Result<Config, String> {
    let env = Env::of(Path::new("/home/me"), &[]);
    Config::parse(text, Path::new("example"), 0o600, &env).map_err(|error| error.to_string())
}

/// The key of a setting that is commented out: `#key = value`, without a space.
fn commented(line: &str) -> Option<&str> {
    let setting = line.strip_prefix('#')?;
    let key = setting.split('=').next()?.trim_end();
    let named = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    (named && setting.contains('=')).then_some(key)
}

/// The example with some of its commented settings in force.
fn uncommented(wanted: impl Fn(usize, &str) -> bool, password: bool) -> String {
    let lines = EXAMPLE.lines().enumerate().map(|(at, line)| {
        if commented(line).is_some_and(|key| wanted(at, key)) {
            line[1..].to_owned()
        } else if password && line.starts_with("password_command") {
            format!("#{line}")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_of_a_maildrop_is_one() {
    let at = EXAMPLE.find("# [accounts.old]").unwrap();
    let old: Vec<&str> =
        EXAMPLE[at..].lines().map(|line| line.strip_prefix("# ").unwrap_or("")).collect();
    let config = parse(&format!("{EXAMPLE}\n{}", old.join("\n"))).unwrap();
    let old = config.account("old").unwrap().maildrop.as_ref().unwrap();
    assert_eq!(old.owner.as_deref(), Some("personal"));
    let alone = EXAMPLE[at..].replace("# deliver_to", "maildir = \"~/Mail/old\"\n# #");
    let lines = alone.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
    parse(&lines.filter(|line| !line.starts_with("##")).collect::<Vec<_>>().join("\n")).unwrap();
}

#[test]
fn the_example_is_a_config() {
    let config = parse(EXAMPLE).unwrap();
    assert_eq!(config.accounts.len(), 1);
}

#[test]
fn each_commented_setting_of_the_example_is_one() {
    let mut tried = 0;
    for (number, line) in EXAMPLE.lines().enumerate() {
        let Some(key) = commented(line) else { continue };
        let text = uncommented(|at, _| at == number, key.starts_with("password"));
        parse(&text).unwrap_or_else(|error| panic!("{line}\n{error}"));
        tried += 1;
    }
    assert!(tried > 15, "{tried}");
    let all = uncommented(|_, key| !key.starts_with("password"), false);
    parse(&all).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_example_explains_every_key() {
    let error = parse("[accounts.x]\nthere_is_no_such_key = 1").unwrap_err();
    let keys = error.split("known here: ").nth(1).unwrap().lines().next().unwrap();
    for key in keys.split(", ") {
        let explained = EXAMPLE.lines().any(|line| {
            // The last part speaks of an account of another kind, all of it commented out.
            let line = line.trim_start_matches("# ");
            commented(line) == Some(key) || line.split('=').next().is_some_and(|k| k.trim() == key)
        });
        assert!(explained, "{key} is not in config.example.toml");
    }
}

#[test]
fn the_example_holds_the_defaults() {
    let shown = |text: &str| format!("{:?}", parse(text).unwrap().accounts[0]);
    // What has no default is left out: these change the account when they are set.
    let special =
        ["tls_ca", "tls_pin", "allow_cleartext", "on_change", "new_mail", "on_hold", "special_use"];
    let all = uncommented(
        |_, key| !key.starts_with("password") && !special.contains(&key) && key != "state_dir",
        false,
    );
    assert_eq!(shown(&all), shown(EXAMPLE));
}

#[test]
fn the_config_of_the_readme_is_one() {
    let readme = include_str!("../../README.md");
    let blocks: Vec<&str> = readme.split("```toml\n").skip(1).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let text = block.split("```").next().unwrap();
        let shown = format!("{:?}", parse(text).unwrap().accounts[0]);
        // It says so itself: what it sets are the defaults.
        assert_eq!(shown, format!("{:?}", parse(EXAMPLE).unwrap().accounts[0]));
    }
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailtide"));
    command.args(arguments).current_dir(dir).env_clear().env("HOME", dir);
    command.output().unwrap()
}

fn write(dir: &Path, text: &str, mode: u32) {
    let folder = dir.join(".config/mailtide");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), text).unwrap();
    fs::set_permissions(folder.join("config.toml"), PermissionsExt::from_mode(mode)).unwrap();
}

const SMALL: &str = "[accounts.me]\nhost = \"localhost\"\nuser = \"me\"\nmaildir = \"~/Mail\"\n";

#[test]
fn check_tells_what_it_would_do_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &format!("{SMALL}password_command = [\"pass\"]"), 0o644);
    let output = run(dir.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("signs in to localhost, port 993, over TLS, as me"), "{told}");
    let output = run(dir.path(), &["check", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["exit"], 0);
    assert_eq!(value["check"]["accounts"][0]["account"], "me");
    assert!(!dir.path().join("Mail").exists() && !dir.path().join(".local").exists());
}

#[test]
fn what_is_wrong_with_the_config_ends_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["sync"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(".config/mailtide/config.toml: cannot be read"), "{told}");

    write(dir.path(), &format!("{SMALL}password = \"hunter2\""), 0o644);
    let output = run(dir.path(), &["status", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("config.toml:5: a password stands here"), "{told}");
    assert!(!told.contains("hunter2"));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["exit"], 2);

    write(dir.path(), &format!("{SMALL}password = \"hunter2\""), 0o600);
    for (arguments, expected) in [
        (&["sync", "you"][..], "no account \"you\"; the config has me"),
        (&["adopt", "mee"][..], "no account \"mee\"; did you mean \"me\"?"),
    ] {
        let output = run(dir.path(), arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains(expected), "{arguments:?}");
    }
    assert_eq!(run(dir.path(), &["check"]).status.code(), Some(0));
    assert_eq!(run(dir.path(), &["synk"]).status.code(), Some(2));
    assert_eq!(run(dir.path(), &["--version"]).status.code(), Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &format!("{SMALL}password_env = \"HOME\""), 0o600);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailtide"));
    command.arg("check").env_clear().env("HOME", dir.path());
    let output = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
