//! What is written is what is read back, by readers of our own and by the system's, where it has
//! them.

use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use super::*;

const LOG: &str = "/Users/me/Library/Logs/mailtide.log";

/// Paths that somebody has, or that somebody would use to break this.
const ODD: [&str; 16] = [
    "/home/me/.cargo/bin/mailtide",
    "/home/me/my mail/mailtide",
    "/home/me/50%/mailtide",
    "/home/me/%h/%%n",
    "/home/me/$HOME/${USER}/$$",
    "/home/O'Brien/mailtide",
    "/home/me/\"quoted\"/x",
    "/home/me/back\\slash\\",
    "/home/me/a\\x41\\n",
    "/home/me/; rm -rf x",
    "/home/me/#no comment",
    "/home/me/line\nend\tand tab",
    "/home/me/Grüße/日本語",
    "/home/me/<b>&amp;</b>",
    "/home/me/-- --> ]]>",
    "/home/me/ends in space ",
];

/// What systemd makes of the words of a command line: quotes, escapes, specifiers, variables.
fn read_by_systemd(line: &str) -> Vec<String> {
    let (mut words, mut chars) = (Vec::new(), line.chars().peekable());
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(first) = chars.peek().copied() else { break };
        let quoted = chars.next_if(|c| *c == '"').is_some();
        assert!(first != '\'', "we write no single quotes");
        let mut word = String::new();
        loop {
            match chars.next() {
                Some('"') if quoted => break,
                Some(c) if !quoted && c.is_whitespace() => break,
                None if !quoted => break,
                None => panic!("open quote in {line}"),
                Some('\\') => match chars.next().unwrap() {
                    'x' => {
                        let digits: String = chars.by_ref().take(2).collect();
                        word.push(char::from(u8::from_str_radix(&digits, 16).unwrap()));
                    }
                    c @ ('"' | '\\') => word.push(c),
                    c => panic!("escape {c:?} in {line}"),
                },
                Some('%') => {
                    assert_eq!(chars.next(), Some('%'), "a specifier in {line}");
                    word.push('%');
                }
                Some('"' | '\'' | ';') if !quoted => panic!("loose {line}"),
                Some(c) => word.push(c),
            }
        }
        words.push(word);
    }
    match words[0].strip_prefix(':') {
        Some(program) => words[0] = program.to_owned(),
        None => assert!(!line.contains('$'), "a variable in {line}"),
    }
    words
}

/// What an XML reader makes of our strings.
fn read_by_launchd(text: &str) -> Vec<String> {
    let strings = text.split("<string>").skip(1).map(|s| s.split("</string>").next().unwrap());
    let plain = |s: &str| {
        assert!(!s.contains(['<', '>']), "{s}");
        let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&#9;", "\t"), ("&#10;", "\n")];
        let text = pairs.iter().fold(s.to_owned(), |text, (from, to)| text.replace(from, to));
        text.replace("&amp;", "&")
    };
    strings.map(plain).collect()
}

fn start(program: &str, config: Option<&str>) -> Start {
    Start::new(Path::new(program), config.map(Path::new)).unwrap()
}

/// Runs a tool of the system; none where it is not there, which is said.
fn tool(program: &str, arguments: &[&str]) -> Option<std::process::Output> {
    let dir = std::env::temp_dir();
    match Command::new(program).args(arguments).env("XDG_RUNTIME_DIR", dir).output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("skipped: {program}: {error}");
            None
        }
    }
}

#[test]
fn odd_paths_are_read_back_as_they_are() {
    for path in ODD {
        let start = start("/usr/bin/mailtide", Some(path));
        let expected = ["/usr/bin/mailtide", "run", "--config", path];
        let line = start.for_systemd().unwrap();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(read_by_systemd(&line), expected);
        assert_eq!(read_by_launchd(&start.for_launchd().unwrap()), expected);
    }
    let plain = start("/home/me/.cargo/bin/mailtide", None).for_systemd().unwrap();
    assert_eq!(plain, "/home/me/.cargo/bin/mailtide run", "nothing is quoted that need not be");
}

#[test]
fn odd_programs_are_started_or_refused() {
    for path in ODD {
        let line = start(path, None).for_systemd();
        let refused = path.contains(['\'', '"', '\\', '\n', '\t']);
        match line {
            Ok(line) => assert_eq!(read_by_systemd(&line), [path, "run"]),
            Err(words) => assert!(refused, "{words}"),
        }
        assert_eq!(start(path, None).for_systemd().is_err(), refused);
        assert_eq!(read_by_launchd(&start(path, None).for_launchd().unwrap()), [path, "run"]);
    }
    let bytes = Path::new(std::ffi::OsStr::from_bytes(b"/home/\xff/mailtide"));
    assert!(Start::new(bytes, None).unwrap_err().contains("not UTF-8"));
    assert!(Start::new(Path::new("/x"), Some(bytes)).is_err());
    assert!(start("/bell\u{7}", None).for_launchd().unwrap_err().contains("property list"));
}

#[test]
fn what_is_replaced_stands_in_the_shipped_files() {
    assert_eq!(UNIT.matches(UNIT_START).count(), 1);
    assert_eq!(UNIT.matches("\nExecStart=").count(), 1);
    assert_eq!(AGENT.matches(AGENT_START).count(), 1);
    assert_eq!(AGENT.matches(AGENT_LOG).count(), 2);
}

#[test]
fn a_file_is_known_again() {
    for manager in [Manager::Systemd, Manager::Launchd] {
        let start = start("/opt/my tools/mailtide", Some("/etc/my mail.toml"));
        let log = Path::new("/home/me & you/log");
        let text = manager.render(&start, log).unwrap();
        assert_eq!(manager.origin(&text), Origin::Current);
        assert!(manager.starts(&text).contains("/opt/my tools/mailtide"), "{text}");
        assert!(!text.contains("/.cargo/") && !text.contains("/Users/me/"), "{text}");
        assert_eq!(manager.render(&start, log).unwrap(), text);
        for changed in [text.replace("120", "60"), text.replace("60", "61")] {
            if changed != text {
                assert_eq!(manager.origin(&changed), Origin::Changed);
            }
        }
        assert_eq!(manager.origin(&manager.sealed("[Service]\n")), Origin::Older);
        assert_eq!(manager.origin(&(text.clone() + "Nice=5\n")), Origin::Changed);
        for foreign in [UNIT, AGENT, "", "\n", "x", "# seal 1\n"] {
            assert_eq!(manager.origin(foreign), Origin::Foreign, "{foreign:?}");
        }
    }
}

/// Writes a unit that starts a program which is there, and lets systemd read it.
fn verify(name: &str, text: &str, more: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    let lines = text.lines().map(|l| match l.starts_with("ExecStart=/usr/local/bin/mailtide") {
        true => "ExecStart=/bin/true run\n".to_owned(),
        false => format!("{l}\n"),
    });
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let arguments = [more, &["verify", "--man=no", file.to_str().unwrap()]].concat();
    if let Some(output) = tool("systemd-analyze", &arguments) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{name}: {said}");
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let dir = tempfile::tempdir().unwrap();
    // Of what a program may be called, the worst: a space, a specifier, a variable.
    let program = dir.path().join("50% of $HOME");
    std::fs::copy("/bin/true", &program).unwrap();
    for config in [None, Some("/home/me/\"a\\b\" %n $x\n.toml")] {
        let start = Start::new(&program, config.map(Path::new)).unwrap();
        let text = Manager::Systemd.render(&start, Path::new(LOG)).unwrap();
        verify("mailtide.service", &text, &["--user"]);
    }
    verify("mailtide@.service", include_str!("../../../../systemd/mailtide@.service"), &[]);
}

#[test]
fn the_service_of_the_system_is_exposed_to_little() {
    // In tenths. systemd 252 reckons 15; others may weigh a little differently.
    const MOST: &str = "--threshold=20";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/mailtide@.service");
    let arguments = ["security", "--offline=true", MOST, "--no-pager", file];
    if let Some(output) = tool("systemd-analyze", &arguments) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn a_property_list_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.plist");
    let read = "import json, plistlib, sys; \
                print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    // Line ends and tabs come through, too; what cannot is refused above.
    for path in ODD {
        let text = Manager::Launchd.render(&start(path, Some(path)), Path::new(path)).unwrap();
        std::fs::write(&file, text).unwrap();
        let Some(output) = tool("python3", &["-c", read, file.to_str().unwrap()]) else { return };
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["ProgramArguments"], serde_json::json!([path, "run", "--config", path]));
        assert_eq!(value["StandardErrorPath"], path);
        assert_eq!(value["Label"], "org.mailtide.mailtide");
        assert_eq!(value["KeepAlive"]["SuccessfulExit"], false);
        assert_eq!(value["RunAtLoad"], true);
        assert_eq!(value["ProcessType"], "Background");
    }
}
