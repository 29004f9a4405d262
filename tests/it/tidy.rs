//! The rules of the house that no compiler checks: layers, lengths, reach, words.
//!
//! A seat-belt, not a linter: it reads the source as text and can be fooled on purpose.

mod circles;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file, tests not counted, above which it should be split.
const FILE_WISH: usize = 400;
/// Lines of a file, tests not counted, that it must not exceed.
const FILE_LIMIT: usize = 500;
/// Lines of a function.
const FUNCTION_LIMIT: usize = 70;
/// Columns of a line, what stands in string literals not counted.
const COLUMN_LIMIT: usize = 100;

/// What the modules of each folder may use of ours, besides themselves.
const LAYERS: [(&str, &[&str]); 10] = [
    ("reconcile", &[]),
    ("state", &["reconcile"]),
    ("local", &["reconcile"]),
    ("remote", &["reconcile"]),
    ("config", &["reconcile"]),
    ("account", &["reconcile", "state", "local", "remote", "config"]),
    ("mail", &["reconcile", "state", "local", "remote", "account"]),
    ("pull", &["reconcile", "state", "local", "remote", "config", "account"]),
    ("daemon", &["reconcile", "config", "account", "mail", "pull"]),
    (
        "cli",
        &["reconcile", "state", "local", "remote", "config", "account", "mail", "engine", "daemon"],
    ),
];

/// What the pure layer must not know: the disk, the net, the clock, other tasks, logs, stores.
const IMPURE: [&str; 6] = ["fs", "net", "time", "process", "thread", "env"];
const IMPURE_CRATES: [&str; 5] = ["tokio", "tracing", "rusqlite", "rustix", "async_imap"];

/// What may stand in tests only.
const BANNED: [&str; 4] = ["todo!", "dbg!", "unimplemented!", ".unwrap()"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a character of a source file belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Text,
}

/// Where a literal or comment that begins here ends (exclusive), and what it is.
fn literal(chars: &[char], at: usize) -> Option<(usize, Kind)> {
    let starts = |at: usize, text: &str| {
        text.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c))
    };
    if starts(at, "//") {
        let end = chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| at + n);
        return Some((end, Kind::Comment));
    }
    if starts(at, "/*") {
        let (mut depth, mut end) = (1, at + 2);
        while depth > 0 && end < chars.len() {
            let step = if starts(end, "/*") {
                1
            } else if starts(end, "*/") {
                -1
            } else {
                0
            };
            depth += step;
            end += if step == 0 { 1 } else { 2 };
        }
        return Some((end, Kind::Comment));
    }
    let word = |c: &char| c.is_alphanumeric() || *c == '_';
    let in_word = at > 0 && word(&chars[at - 1]);
    if (chars[at] == 'r' || starts(at, "br")) && !in_word {
        let open = if chars[at] == 'r' { at + 1 } else { at + 2 };
        let hashes = chars[open..].iter().take_while(|c| **c == '#').count();
        if chars.get(open + hashes) == Some(&'"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = (open + hashes + 1..chars.len()).find(|i| starts(*i, &close));
            return Some((end.map_or(chars.len(), |i| i + close.len()), Kind::Text));
        }
    }
    if chars[at] == '"' {
        let mut end = at + 1;
        while end < chars.len() && chars[end] != '"' {
            end += if chars[end] == '\\' { 2 } else { 1 };
        }
        return Some(((end + 1).min(chars.len()), Kind::Text));
    }
    // A quote may begin a lifetime, too: then no quote follows the next character.
    if chars[at] == '\'' && (chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'')) {
        let from = if chars[at + 1] == '\\' { at + 3 } else { at + 2 };
        let end = (from..chars.len()).find(|i| chars[*i] == '\'');
        return Some((end.map_or(chars.len(), |i| i + 1), Kind::Text));
    }
    None
}

/// A source file, read as far as these rules need.
struct Source {
    /// Path from the root of the repository.
    path: String,
    raw: Vec<char>,
    kinds: Vec<Kind>,
    /// Its code: comments, literals and tests are spaces.
    code: Vec<char>,
    /// Modules that it declares: name, only in tests, `#[path]`.
    mods: Vec<(String, bool, Option<String>)>,
}

impl Source {
    fn read(path: &Path) -> Self {
        let raw: Vec<char> = fs::read_to_string(path).unwrap().chars().collect();
        let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        Self::parse(path, raw)
    }

    fn parse(path: String, raw: Vec<char>) -> Self {
        let mut kinds = vec![Kind::Code; raw.len()];
        let mut at = 0;
        while at < raw.len() {
            match literal(&raw, at) {
                Some((end, kind)) => {
                    kinds[at..end].fill(kind);
                    at = end;
                }
                None => at += 1,
            }
        }
        let code =
            |(c, kind): (&char, &Kind)| if *kind == Kind::Code || *c == '\n' { *c } else { ' ' };
        let code: Vec<char> = raw.iter().zip(&kinds).map(code).collect();
        let mut source = Self { path, raw, kinds, code, mods: Vec::new() };
        source.mods = source.declared();
        source.cut_tests();
        source
    }

    fn declared(&self) -> Vec<(String, bool, Option<String>)> {
        let code: String = self.code.iter().collect();
        let raw: String = self.raw.iter().collect();
        let mut found = Vec::new();
        let (mut test, mut path) = (false, None);
        for (line, raw) in code.lines().zip(raw.lines()) {
            let line = line.trim();
            if line.starts_with("#[") {
                test |= line.contains("cfg(test)");
                if line.starts_with("#[path") {
                    path = raw.split('"').nth(1).map(str::to_owned);
                }
                continue;
            }
            let name = line.split("mod ").nth(1).and_then(|rest| rest.strip_suffix(';'));
            if let Some(name) = name.filter(|_| line.starts_with("mod ") || line.starts_with("pub"))
            {
                found.push((name.to_owned(), test, path.take()));
            }
            if !line.is_empty() {
                (test, path) = (false, None);
            }
        }
        found
    }

    /// The end (exclusive) of the item that begins here: its `;` or its closing brace.
    fn item_end(&self, from: usize) -> usize {
        let mut depth = 0_usize;
        for (at, c) in self.code.iter().enumerate().skip(from) {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 && *c == '}' {
                        return at + 1;
                    }
                }
                ';' if depth == 0 => return at + 1,
                _ => {}
            }
        }
        self.code.len()
    }

    /// Blanks what is compiled for tests only.
    fn cut_tests(&mut self) {
        for at in self.find("#[cfg(test)]") {
            let end = self.item_end(at + "#[cfg(test)]".len());
            self.code[at..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        }
    }

    /// Where a text stands in the code, as whole words.
    fn find(&self, text: &str) -> Vec<usize> {
        let text: Vec<char> = text.chars().collect();
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let starts = |at: usize| {
            let before = at.checked_sub(1).map(|i| self.code[i]);
            self.code[at..].starts_with(&text) && !(word(text[0]) && before.is_some_and(word))
        };
        (0..self.code.len()).filter(|at| starts(*at)).collect()
    }

    fn line(&self, at: usize) -> usize {
        1 + self.raw[..at].iter().filter(|c| **c == '\n').count()
    }

    /// Lines from the first to the last that are not for tests only.
    fn lines(&self) -> usize {
        let tests: usize = self.raw.iter().filter(|c| **c == '\n').count();
        let text: String = self.raw.iter().collect();
        match text.find("\n#[cfg(test)]\nmod tests {") {
            Some(at) => text[..at].matches('\n').count(),
            None => tests,
        }
    }

    /// The first names behind `prefix::`, of each path and of each member of a group.
    fn names_behind(&self, prefix: &str) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        for at in self.find(&format!("{prefix}::")) {
            let from = at + prefix.len() + 2;
            let ident = |from: usize| -> String {
                let rest = self.code[from..].iter().skip_while(|c| c.is_whitespace());
                rest.take_while(|c| c.is_alphanumeric() || **c == '_').collect()
            };
            if self.code.get(from) != Some(&'{') {
                found.push((ident(from), at));
                continue;
            }
            let mut depth = 0;
            for (i, c) in self.code[from..].iter().enumerate() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 1 && matches!(c, '{' | ',') {
                    found.push((ident(from + i + 1), at));
                }
                if depth == 0 {
                    break;
                }
            }
        }
        found.retain(|(name, _)| !name.is_empty());
        found
    }
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let (mut files, mut todo) = (Vec::new(), vec![root().join(folder)]);
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Every module of the crate from its two roots, with whether it is for tests only.
fn reachable() -> BTreeMap<PathBuf, (Source, bool)> {
    let src = root().join("src");
    let mut found = BTreeMap::new();
    let mut todo = vec![(src.join("lib.rs"), false), (src.join("main.rs"), false)];
    while let Some((path, test)) = todo.pop() {
        let source = Source::read(&path);
        let (folder, stem) = (path.parent().unwrap(), path.file_stem().unwrap());
        let of_folder = ["lib", "main", "mod"].iter().any(|name| stem == *name);
        let inside = if of_folder { folder.to_owned() } else { folder.join(stem) };
        for (name, only_test, at) in &source.mods {
            let candidates = match at {
                Some(at) => vec![folder.join(at)],
                None => vec![inside.join(format!("{name}.rs")), inside.join(name).join("mod.rs")],
            };
            if let Some(file) = candidates.into_iter().find(|file| file.exists()) {
                todo.push((file, test || *only_test));
            }
        }
        found.insert(path, (source, test));
    }
    found
}

fn product() -> Vec<Source> {
    reachable().into_values().filter(|(_, test)| !test).map(|(source, _)| source).collect()
}

fn refuse(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_file_is_reached() {
    let known = reachable();
    let lost = rust_files("src").into_iter().filter(|path| !known.contains_key(path));
    refuse(&lost.map(|path| format!("{}: no mod leads here", path.display())).collect::<Vec<_>>());
}

#[test]
fn layers_use_only_what_lies_below() {
    let mut wrong = Vec::new();
    for source in product() {
        let layer = source.path.trim_start_matches("src/").split(['/', '.']).next().unwrap();
        let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == layer) else { continue };
        for (name, at) in source.names_behind("crate") {
            // What is no layer (a macro, a type at the root) is everybody's.
            let foreign = LAYERS.iter().any(|(known, _)| *known == name);
            if foreign && name != layer && !below.contains(&name.as_str()) {
                let line = source.line(at);
                wrong.push(format!("{}:{line}: {layer} must not use {name}", source.path));
            }
        }
        if layer == "reconcile" {
            let std = source.names_behind("std");
            for (name, at) in std.into_iter().filter(|(name, _)| IMPURE.contains(&name.as_str())) {
                wrong.push(format!("{}:{}: std::{name}", source.path, source.line(at)));
            }
            for name in IMPURE_CRATES {
                for at in source.find(&format!("{name}::")) {
                    wrong.push(format!("{}:{}: {name}", source.path, source.line(at)));
                }
            }
            for at in source.find("async ") {
                wrong.push(format!("{}:{}: async", source.path, source.line(at)));
            }
        }
    }
    refuse(&wrong);
}

#[test]
fn files_functions_and_lines_are_short() {
    let mut wrong = Vec::new();
    for source in product() {
        let lines = source.lines();
        if lines > FILE_LIMIT {
            wrong.push(format!("{}: {lines} lines, at most {FILE_LIMIT}", source.path));
        } else if lines > FILE_WISH {
            println!("{}: {lines} lines, better {FILE_WISH}", source.path);
        }
        for at in source.find("fn ") {
            let (from, to) = (source.line(at), source.line(source.item_end(at) - 1));
            if source.code.get(at + 3).is_some_and(|c| c.is_alphabetic() || *c == '_')
                && to - from + 1 > FUNCTION_LIMIT
            {
                let length = to - from + 1;
                wrong.push(format!("{}:{from}: a function of {length} lines", source.path));
            }
        }
    }
    let all = ["src", "kit/src", "tests", "examples", "benches"].map(rust_files).concat();
    for source in all.iter().map(|path| Source::read(path)) {
        let mut width = 0;
        for (at, c) in source.raw.iter().enumerate() {
            match c {
                '\n' => width = 0,
                _ if source.kinds[at] != Kind::Text => width += 1,
                _ => {}
            }
            if width == COLUMN_LIMIT + 1 {
                let line = source.line(at);
                width += 1;
                wrong.push(format!("{}:{line}: wider than {COLUMN_LIMIT}", source.path));
            }
        }
    }
    refuse(&wrong);
}

#[test]
fn what_belongs_in_tests_stays_there() {
    let mut wrong = Vec::new();
    for source in product() {
        for word in BANNED {
            for at in source.find(word) {
                wrong.push(format!("{}:{}: {word}", source.path, source.line(at)));
            }
        }
    }
    refuse(&wrong);
}

#[test]
fn documents_name_only_what_exists() {
    let mut wrong = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let Ok(text) = fs::read_to_string(root().join(document)) else { continue };
        for (number, line) in text.lines().enumerate() {
            // In backticks, or the target of a link.
            let ticked = line.split('`').skip(1).step_by(2);
            let linked = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            for name in ticked.chain(linked) {
                if looks_like_ours(name) && !root().join(name.trim_end_matches('/')).exists() {
                    wrong.push(format!("{document}:{}: there is no {name}", number + 1));
                }
            }
        }
        let lines = text.lines().count();
        if document == "ARCHITECTURE.md" && lines > 200 {
            wrong.push(format!("{document}: {lines} lines, at most 200"));
        }
    }
    refuse(&wrong);
}

/// The numbers of hazards that the source names are those of the page.
#[test]
fn each_hazard_that_is_named_is_on_its_page() {
    let page = fs::read_to_string(root().join("docs/hazards.md")).unwrap();
    let mut wrong = Vec::new();
    for file in ["src", "tests/it", "kit/src"].iter().flat_map(|folder| rust_files(folder)) {
        let text = fs::read_to_string(&file).unwrap();
        for behind in text.split("(hazard ").skip(1) {
            let number: String = behind.chars().take_while(char::is_ascii_digit).collect();
            if !number.is_empty() && !page.contains(&format!("\n**{number}. ")) {
                wrong.push(format!("{}: hazard {number}", file.display()));
            }
        }
    }
    refuse(&wrong);
}

/// Whether a text in a document is meant as a file of this repository.
fn looks_like_ours(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let folders = ["src/", "kit/", "examples/", "benches/", "fuzz/", "systemd/", "launchd/"];
    let suffixes = [".rs", ".md", ".example.toml", "Cargo.toml", "deny.toml", "clippy.toml"];
    name.chars().all(plain)
        && (folders.iter().any(|f| name.starts_with(f))
            || suffixes.iter().any(|s| name.ends_with(s)))
}

#[test]
fn the_reader_of_sources_is_not_fooled() {
    let text = r##"
use crate::{state::Row, local};
fn long<'a>(x: &'a str) -> char { let s = "} fn crate::remote"; '"' }
// crate::cli .unwrap()
#[cfg(test)]
mod tests { fn f() { crate::cli::x().unwrap(); } }
#[cfg(test)]
#[path = "odd.rs"]
mod odd;
pub(crate) mod next;
fn raw() { r#"" } dbg!()"#; crate::config::x(); '\''; '\u{7d}' }
"##;
    let source = Source::parse("src/local/x.rs".to_owned(), text.chars().collect());
    let names: Vec<String> = source.names_behind("crate").into_iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["state", "local", "config"]);
    assert!(source.find(".unwrap()").is_empty() && source.find("dbg!").is_empty());
    assert_eq!(source.find("fn ").len(), 2);
    let raw = source.find("fn ")[1];
    assert_eq!(source.line(source.item_end(raw) - 1), source.line(raw));
    let odd = ("odd".to_owned(), true, Some("odd.rs".to_owned()));
    assert_eq!(source.mods, [odd, ("next".to_owned(), false, None)]);
}
