//! `mailtide service`: the file is written once, respected when it was changed, and removed;
//! the service manager is one of ours, which writes down what it is told.

#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kit::unprivileged;
use tempfile::TempDir;

/// A home with a config, and a `systemctl` that is not the system's.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
        let folder = home.path(".config/mailtide");
        fs::create_dir_all(&folder).unwrap();
        let config = "[accounts.me]\nhost = \"h\"\nuser = \"u\"\npassword_command = [\"pass\"]\n\
                      maildir = \"~/Mail\"\n";
        fs::write(folder.join("config.toml"), config).unwrap();
        home
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn unit(&self) -> PathBuf {
        self.path(".config/systemd/user/mailtide.service")
    }

    /// Puts a `systemctl` in the way that writes its arguments down, then does this.
    fn systemctl(&self, script: &str) {
        let file = self.path("bin/systemctl");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let told = self.path("told");
        fs::write(&file, format!("#!/bin/sh\necho \"$@\" >>{}\n{script}\n", told.display()))
            .unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// What the manager was told since last asked.
    fn told(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("told")).unwrap_or_default();
        let _ = fs::remove_file(self.path("told"));
        text.lines().map(str::to_owned).collect()
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.arg("service").args(arguments).current_dir(self.0.path()).env_clear();
        command.env("HOME", self.0.path()).env("PATH", self.path("bin"));
        command.output().unwrap()
    }

    /// Runs it; it ends with this code, and this is all it says.
    #[track_caller]
    fn run(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.command(Path::new(env!("CARGO_BIN_EXE_mailtide")), arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let value = self.run(0, &[arguments, &["--json"]].concat());
        let value: serde_json::Value = serde_json::from_str(&value).unwrap();
        assert_eq!(value["exit"], 0);
        value["service"].clone()
    }
}

#[test]
fn installed_once_and_removed() {
    let home = Home::new();
    let absent = home.json(&["status"]);
    assert_eq!(absent["state"], "absent");
    assert!(absent["silent"].as_str().unwrap().contains("systemctl"), "{absent}");
    assert!(home.run(0, &["uninstall"]).starts_with("not installed"));

    let said = home.run(0, &["install"]);
    let start = "systemctl --user daemon-reload && systemctl --user enable --now mailtide.service";
    assert!(said.contains(start) && said.contains("loginctl enable-linger"), "{said}");
    let unit = fs::read_to_string(home.unit()).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_mailtide")).canonicalize().unwrap();
    let line = format!("\nExecStart={} run\n", program.display());
    assert!(unit.contains(&line), "{unit}");
    assert!(!home.path("told").exists(), "nothing is told to the manager without --now");

    let again = home.json(&["install"]);
    assert_eq!(again["done"], "unchanged");
    assert_eq!(fs::read_to_string(home.unit()).unwrap(), unit);
    let found = home.json(&["status"]);
    assert_eq!((&found["state"], &found["starts_this"]), (&"current".into(), &true.into()));
    assert!(home.run(0, &["status"]).contains("mailtide.service  installed\n"));
    assert_eq!(home.run(0, &["install", "--quiet"]), "");

    let link = home.path(".config/systemd/user/default.target.wants/mailtide.service");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(home.unit(), &link).unwrap();
    assert_eq!(home.json(&["uninstall"])["done"], "removed");
    assert!(!home.unit().exists() && fs::symlink_metadata(&link).is_err());
    let left = fs::read_dir(home.unit().parent().unwrap()).unwrap();
    let names: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["default.target.wants"], "nothing else was left");
}

#[test]
fn what_somebody_changed_is_left_alone() {
    let home = Home::new();
    home.run(0, &["install"]);
    let ours = fs::read_to_string(home.unit()).unwrap();
    let changed = ours.replace("WatchdogSec=120", "WatchdogSec=900");
    for (text, state, words) in [
        (changed.as_str(), "changed", "was changed since mailtide wrote it"),
        ("[Service]\nExecStart=/bin/true\n", "foreign", "was not written by mailtide"),
    ] {
        fs::write(home.unit(), text).unwrap();
        assert_eq!(home.json(&["status"])["state"], state);
        for command in ["install", "uninstall"] {
            let said = home.run(2, &[command]);
            assert!(said.contains(words) && said.contains("left alone"), "{said}");
        }
        assert_eq!(fs::read_to_string(home.unit()).unwrap(), text);
        assert_eq!(home.json(&["install", "--force"])["done"], "replaced");
        assert_eq!(fs::read_to_string(home.unit()).unwrap(), ours);
    }
    // A link is somebody's arrangement; what it leads to is not touched, even by force.
    let elsewhere = home.path("dotfiles");
    fs::rename(home.unit(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, home.unit()).unwrap();
    home.run(2, &["install"]);
    home.run(2, &["uninstall"]);
    fs::write(&elsewhere, "theirs").unwrap();
    home.run(0, &["install", "--force"]);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "theirs");
    assert_eq!(fs::read_to_string(home.unit()).unwrap(), ours);
}

#[test]
fn another_program_or_config_replaces_what_nobody_changed() {
    let home = Home::new();
    home.run(0, &["install"]);
    fs::rename(home.path(".config/mailtide/config.toml"), home.path("my 50%.toml")).unwrap();
    let said = home.run(0, &["install", "--config", "my 50%.toml"]);
    assert!(said.starts_with("replaced"), "{said}");
    // Written as a whole path, as systemd wants it; the manager starts it from somewhere else.
    let path = home.0.path().display();
    let unit = fs::read_to_string(home.unit()).unwrap();
    assert!(unit.contains(&format!(" run --config \"{path}/my 50%%.toml\"\n")), "{unit}");
    let found = home.json(&["status"]);
    assert_eq!((&found["state"], &found["starts_this"]), (&"current".into(), &false.into()));

    let program = home.path("a copy");
    // Another name for the same file: one that was just written may be "busy" when it is called.
    fs::hard_link(env!("CARGO_BIN_EXE_mailtide"), &program).unwrap();
    assert!(home.command(&program, &["install"]).status.success());
    let unit = fs::read_to_string(home.unit()).unwrap();
    assert!(unit.contains(&format!("\nExecStart=\"{path}/a copy\" run\n")), "{unit}");
    let odd = home.path("it's");
    fs::rename(&program, &odd).unwrap();
    let output = home.command(&odd, &["install"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_to_string(home.unit()).unwrap(), unit);
}

#[test]
fn now_tells_the_manager_and_says_what_it_says() {
    let home = Home::new();
    home.systemctl("case $2 in is-active) echo active;; is-enabled) echo enabled;; esac");
    let done = home.json(&["install", "--now"]);
    assert_eq!((&done["now"], &done["commands"]), (&true.into(), &serde_json::json!([])));
    let enable = "--user enable --now mailtide.service";
    assert_eq!(home.told(), ["--user daemon-reload", enable]);
    home.run(0, &["install", "--now", "--config", ".config/mailtide/config.toml"]);
    let again = ["--user enable mailtide.service", "--user restart mailtide.service"];
    assert_eq!(home.told(), ["--user daemon-reload", again[0], again[1]]);
    let found = home.json(&["status"]);
    assert_eq!((&found["active"], &found["enabled"]), (&"active".into(), &"enabled".into()));
    assert!(home.run(0, &["status"]).contains("systemd  active, enabled\n"));
    home.told();

    home.systemctl("echo 'Failed to connect to bus: No medium found' >&2; exit 1");
    let said = home.run(1, &["uninstall", "--now"]);
    assert!(said.contains("No medium found") && home.unit().exists(), "{said}");
    let said = home.run(0, &["status"]);
    assert!(said.contains("cannot be asked: Failed to connect to bus"), "{said}");
    home.told();

    fs::remove_file(home.unit()).unwrap();
    let said = home.run(1, &["install", "--now"]);
    assert!(said.contains("mailtide: installed /") && said.contains(", but systemctl"), "{said}");
    assert!(home.unit().exists());
    home.told();

    home.systemctl("");
    home.run(0, &["uninstall", "--now"]);
    assert_eq!(
        home.told(),
        ["--user disable --now mailtide.service", "--user daemon-reload"],
        "stopped while its file was there"
    );
    assert!(!home.unit().exists());
}

#[test]
fn a_service_that_would_fail_is_said_to() {
    let home = Home::new();
    let config = home.path(".config/mailtide/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("password_command = [\"pass\"]", "password_env = \"PW\""))
        .unwrap();
    let said = home.run(0, &["install"]);
    assert!(said.contains("note  me: password_env: a service does not see"), "{said}");
    fs::remove_file(&config).unwrap();
    let notes = home.json(&["install"])["notes"].to_string();
    assert!(notes.contains("before the config is right"), "{notes}");
    fs::remove_file(home.unit()).unwrap();
    let said = home.run(2, &["install", "--now"]);
    assert!(said.contains("config.toml: cannot be read"), "{said}");
    assert!(!home.unit().exists());
    let said = home.run(2, &[]);
    assert!(said.contains("mailtide service"), "{said}");
}

/// Config files as systemd itself reads them back: started as a user manager that starts nothing
/// and prints what it would.
#[test]
fn systemd_reads_the_paths_back() {
    let systemd = Path::new("/lib/systemd/systemd");
    if !systemd.exists() {
        kit::skipped("systemd is not installed");
        return;
    }
    let paths = [
        "/home/me/plain.toml",
        "/home/me/my mail/50%/%h/%%n",
        "/home/me/$HOME/${USER}/$$",
        "/home/O'Brien/\"quoted\"/x",
        "/home/me/back\\slash\\x41\\n\\",
        "/home/me/; rm -rf x #no comment",
        "/home/me/Grüße/`日本語` ",
    ];
    let home = Home::new();
    let dir = unprivileged::directory();
    let units = dir.path().join(".config/systemd/user");
    fs::create_dir_all(&units).unwrap();
    let mut wants = "[Unit]\nDefaultDependencies=no\n".to_owned();
    for (at, path) in paths.iter().enumerate() {
        home.run(0, &["install", "--config", path]);
        fs::copy(home.unit(), units.join(format!("mailtide-{at}.service"))).unwrap();
        wants += &format!("Wants=mailtide-{at}.service\n");
    }
    fs::write(units.join("all.target"), wants).unwrap();
    unprivileged::give(dir.path());
    let mut command = unprivileged::command(systemd, dir.path());
    command.args(["--user", "--test", "--unit=all.target"]).env_clear();
    command.env("HOME", dir.path()).env("XDG_RUNTIME_DIR", dir.path());
    let output = command.output().unwrap();
    if !output.status.success() {
        kit::skipped(&format!("systemd cannot be tried here: {output:?}"));
        return;
    }
    let told = String::from_utf8_lossy(&output.stdout);
    for (at, path) in paths.iter().enumerate() {
        let unit = told.split(&format!("-> Unit mailtide-{at}.service:\n")).nth(1).unwrap();
        let lines = unit.lines().map(str::trim);
        let line = lines.skip_while(|line| *line != "-> ExecStart:").nth(1).unwrap();
        let words = line.strip_prefix("Command Line: ").unwrap();
        // It is printed as for a shell, so that a shell shows what it is.
        let shown = Command::new("sh").args(["-c", &format!("printf '%s|' {words}")]).output();
        let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_mailtide")).canonicalize().unwrap();
        assert_eq!(shown, format!("{}|run|--config|{path}|", program.display()), "{words}");
    }
}
