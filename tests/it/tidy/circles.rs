//! Arrows between the files of a room go one way: no file uses another that uses it in turn.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, product, refuse};

/// Rooms that are looked into. A file that only declares others is part of none of its circles.
const ROOMS: [&str; 10] =
    ["account", "cli", "config", "daemon", "local", "mail", "pull", "reconcile", "remote", "state"];

type Module = Vec<String>;

/// What a file is called as a module.
fn module_of(source: &Source) -> Module {
    let path = source.path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Module = path.split('/').map(str::to_owned).collect();
    parts.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
    parts
}

/// Identifiers, `::`, and single characters, without white space.
fn tokens(code: &[char]) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut in_word = false;
    for (at, c) in code.iter().enumerate() {
        let is_word = c.is_alphanumeric() || *c == '_';
        match tokens.last_mut() {
            Some(last) if is_word && in_word => last.push(*c),
            Some(last) if *c == ':' && last == ":" && code.get(at - 1) == Some(&':') => {
                last.push(':')
            }
            _ if c.is_whitespace() => {}
            _ => tokens.push(c.to_string()),
        }
        in_word = is_word;
    }
    tokens
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The paths that begin at a token, a tree of `use` taken apart; and where they end.
fn paths_at(tokens: &[String], from: usize, before: &[String]) -> (Vec<Module>, usize) {
    let (mut path, mut at) = (before.to_vec(), from);
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                let (mut all, mut inside) = (Vec::new(), at + 1);
                while tokens.get(inside).is_some_and(|token| token != "}") {
                    let (found, end) = paths_at(tokens, inside, &path);
                    all.extend(found);
                    inside = end.max(inside + 1);
                }
                return (all, inside + 1);
            }
            Some(word) if is_word(word) => path.push(word.to_owned()),
            _ => return (vec![path], at + 1),
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token != "::") {
            return (vec![path], at);
        }
        at += 1;
    }
}

/// The module that a path leads into, and whether the path names nothing in it.
fn resolve(
    module: &Module,
    path: &[String],
    names: &BTreeMap<String, Module>,
    all: &BTreeSet<Module>,
) -> Option<(Module, bool)> {
    let (mut into, mut rest) = match path.first().map(String::as_str)? {
        "crate" => (Module::new(), &path[1..]),
        "self" => (module.clone(), &path[1..]),
        "super" => (module.clone(), path),
        first => match names.get(first) {
            Some(named) => (named.clone(), &path[1..]),
            None => (module.clone(), path),
        },
    };
    while rest.first().is_some_and(|part| part == "super") {
        into.pop();
        rest = &rest[1..];
    }
    let begin = rest.len();
    while let Some(part) = rest.first() {
        into.push(part.clone());
        if !all.contains(&into) {
            into.pop();
            break;
        }
        rest = &rest[1..];
    }
    let is_relative = !["crate", "self", "super"].contains(&path[0].as_str());
    if is_relative && !names.contains_key(&path[0]) && rest.len() == begin {
        return None;
    }
    Some((into, rest.is_empty()))
}

/// The modules that a file uses.
fn uses(source: &Source, module: &Module, all: &BTreeSet<Module>) -> BTreeSet<Module> {
    let tokens = tokens(&source.code);
    let (mut names, mut used) = (BTreeMap::new(), BTreeSet::new());
    let mut at = 0;
    while at < tokens.len() {
        let is_use = tokens[at] == "use";
        let begins =
            is_use || (is_word(&tokens[at]) && tokens.get(at + 1).is_some_and(|t| t == "::"));
        // `pub(in crate::account)` uses nothing.
        let is_reach = at > 0
            && tokens[at - 1] == "in"
            && tokens.get(at.wrapping_sub(2)).is_some_and(|t| t == "(");
        if !begins || is_reach {
            at += 1;
            continue;
        }
        let (paths, end) = paths_at(&tokens, at + usize::from(is_use), &[]);
        for path in paths.iter().filter(|path| !path.is_empty()) {
            let Some((into, is_module)) = resolve(module, path, &names, all) else { continue };
            if is_use && is_module {
                names.insert(path.last().cloned().unwrap_or_default(), into.clone());
            }
            if into != *module && !(is_use && is_module) {
                used.insert(into);
            }
        }
        at = end.max(at + 1);
    }
    used
}

/// Those that can be reached from a module.
fn reached(from: &Module, graph: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Module> {
    let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
    while let Some(next) = todo.pop() {
        let new = graph.get(next).into_iter().flatten().filter(|to| seen.insert((*to).clone()));
        todo.extend(new);
    }
    seen
}

/// The files of a room that lie on a circle.
fn circle(sources: &[Source], room: &str) -> Vec<String> {
    let all: BTreeSet<Module> = sources.iter().map(module_of).collect();
    let inside = |module: &Module| module.first().is_some_and(|first| first == room);
    let graph: BTreeMap<Module, BTreeSet<Module>> = sources
        .iter()
        .map(|source| (module_of(source), source))
        .filter(|(module, _)| inside(module))
        .map(|(module, source)| (module.clone(), uses(source, &module, &all)))
        .collect();
    let on_circle = graph.keys().filter(|module| reached(module, &graph).contains(*module));
    on_circle.map(|module| format!("{}: uses what uses it", module.join("/"))).collect()
}

#[test]
fn files_use_no_file_that_uses_them() {
    let sources = product();
    refuse(&ROOMS.iter().flat_map(|room| circle(&sources, room)).collect::<Vec<_>>());
}

#[test]
fn circles_are_seen() {
    let file = |path: &str, code: &str| Source::parse(path.to_owned(), code.chars().collect());
    for (a, b, sees) in [
        ("use super::b::B;", "use super::c::C;", false),
        ("use super::b::B;", "use super::{a::A, c};", true),
        ("use super::b; fn f() { b::g() }", "fn g() { super::a::f() }", true),
        ("use super::b; pub(in crate::r) fn f() {}", "use crate::r::a::f;", false),
        ("use crate::r::{b::{self, B}, c};", "use crate::r::a;\nfn g() { a::f() }", true),
        ("use super::b::B;", "// super::a::f()\nfn g() { \"super::a::f\"; }", false),
    ] {
        let sources = [
            file("src/r/mod.rs", "mod a; mod b; mod c;"),
            file("src/r/a.rs", a),
            file("src/r/b.rs", b),
            file("src/r/c.rs", ""),
        ];
        assert_eq!(!circle(&sources, "r").is_empty(), sees, "{a} / {b}");
    }
}
