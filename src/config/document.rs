//! The TOML as written: tables that are asked for keys, and every complaint with its line.
//!
//! Reading by hand instead of through serde's derive gives all mistakes of a file in one go,
//! words of our own for each, and never a snippet of the file, which may hold a password.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::paths::Env;
use super::units::{DURATION_FORM, SIZE_FORM, duration, size};
use crate::reconcile::types::printable;

/// A value and where in the text it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<T> {
    pub(super) at: usize,
    pub(super) value: T,
}

/// What is wrong so far.
pub(super) struct Complaints<'a> {
    text: &'a str,
    list: Vec<Problem>,
}

impl<'a> Complaints<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, list: Vec::new() }
    }

    /// Notes a problem at a byte of the text.
    pub(super) fn at(&mut self, at: usize, text: String) {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let problem = Problem { line: Some(line), text };
        // What stands in [defaults] is read once per account, and wrong only once.
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    /// Notes a problem of the whole file.
    pub(super) fn whole(&mut self, text: String) {
        self.list.push(Problem { line: None, text });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All problems by line.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|problem| problem.line);
        self.list
    }
}

/// A table of the file, and the one that speaks where it is silent.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    /// `[accounts.personal]`, neutralised.
    pub(super) title: &'a str,
    pub(super) at: usize,
    pub(super) own: &'a DeTable<'a>,
    pub(super) defaults: Option<&'a DeTable<'a>>,
}

impl<'a> Section<'a> {
    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.own.get(key).or_else(|| self.defaults?.get(key))
    }

    /// Where a key of this section stands; the section itself when it is absent.
    pub(super) fn place(&self, key: &str) -> usize {
        self.get(key).map_or(self.at, |value| value.span().start)
    }

    /// A string, as it stands.
    pub(super) fn string(&self, key: &str, c: &mut Complaints<'_>) -> Option<At<&'a str>> {
        let value = self.get(key)?;
        let at = value.span().start;
        match value.get_ref() {
            DeValue::String(text) => Some(At { at, value: text }),
            other => {
                c.at(at, format!("\"{key}\" must be a string in quotes, not {}", kind(other)));
                None
            }
        }
    }

    /// A string that must be there and not be empty.
    pub(super) fn needed(&self, key: &str, c: &mut Complaints<'_>) -> Option<At<&'a str>> {
        if self.get(key).is_none() {
            c.at(self.at, format!("{} needs \"{key}\"", self.title));
            return None;
        }
        let item = self.string(key, c)?;
        if item.value.is_empty() {
            c.at(item.at, format!("\"{key}\" is empty"));
            return None;
        }
        Some(item)
    }

    /// A whole number within limits.
    pub(super) fn number(
        &self,
        key: &str,
        min: u32,
        max: u32,
        c: &mut Complaints<'_>,
    ) -> Option<u32> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(n) => {
                u32::from_str_radix(&n.as_str().replace('_', ""), n.radix()).ok()
            }
            _ => None,
        };
        let number = number.filter(|n| (min..=max).contains(n));
        if number.is_none() {
            let not = match value.get_ref() {
                DeValue::Integer(n) => n.to_string(),
                other => kind(other).to_owned(),
            };
            let text = format!("\"{key}\" must be a whole number from {min} to {max}, not {not}");
            c.at(value.span().start, text);
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &str, c: &mut Complaints<'_>) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(yes) => Some(*yes),
            other => {
                let text = format!("\"{key}\" must be true or false, not {}", kind(other));
                c.at(value.span().start, text);
                None
            }
        }
    }

    /// One of a few words; those in `later` are known but not there yet.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
        later: &[&str],
        c: &mut Complaints<'_>,
    ) -> Option<T> {
        let item = self.string(key, c)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == item.value) {
            return Some(*value);
        }
        let text = if later.contains(&item.value) {
            format!("{key} = \"{}\" is not in this version yet", item.value)
        } else {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("\"{key}\" must be {}, not {}", alternatives(&words), quoted(item.value))
        };
        c.at(item.at, text);
        None
    }

    /// A size in bytes, as `"200MB"`.
    pub(super) fn size(&self, key: &str, c: &mut Complaints<'_>) -> Option<u64> {
        self.measured(key, SIZE_FORM, size, c)
    }

    /// A span of time, as `"5m"`.
    pub(super) fn duration(
        &self,
        key: &str,
        c: &mut Complaints<'_>,
    ) -> Option<At<std::time::Duration>> {
        let value = self.measured(key, DURATION_FORM, duration, c)?;
        Some(At { at: self.place(key), value })
    }

    fn measured<T>(
        &self,
        key: &str,
        form: &str,
        parse: impl Fn(&str) -> Option<T>,
        c: &mut Complaints<'_>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let (parsed, not) = match value.get_ref() {
            DeValue::String(text) => (parse(text), quoted(text)),
            DeValue::Integer(number) => (None, number.to_string()),
            other => (None, kind(other).to_owned()),
        };
        if parsed.is_none() {
            c.at(value.span().start, format!("\"{key}\" must be {form}, not {not}"));
        }
        parsed
    }

    /// A list of strings, each with its place.
    pub(super) fn strings(&self, key: &str, c: &mut Complaints<'_>) -> Option<Vec<At<&'a str>>> {
        let value = self.get(key)?;
        let form = "a list of strings, like [\"one\", \"two\"]";
        let DeValue::Array(list) = value.get_ref() else {
            let text = format!("\"{key}\" must be {form}, not {}", kind(value.get_ref()));
            c.at(value.span().start, text);
            return None;
        };
        let mut strings = Vec::new();
        for item in list.iter() {
            match item.get_ref() {
                DeValue::String(text) => {
                    strings.push(At { at: item.span().start, value: text.as_ref() });
                }
                other => {
                    let text = format!("\"{key}\" must be {form}, not of {}", kind(other));
                    c.at(item.span().start, text);
                    return None;
                }
            }
        }
        Some(strings)
    }

    /// A table within this one.
    pub(super) fn table(&self, key: &'a str, c: &mut Complaints<'_>) -> Option<Section<'a>> {
        let value = self.get(key)?;
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Table(own) => Some(Section { title: key, at, own, defaults: None }),
            other => {
                c.at(at, format!("\"{key}\" must be a table, like {{ … }}, not {}", kind(other)));
                None
            }
        }
    }

    /// Complains of every key of this table (not of its defaults) that is in neither list.
    pub(super) fn only(&self, keys: &[&str], later: &[&str], c: &mut Complaints<'_>) {
        for key in self.own.keys() {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            if keys.contains(&name) {
                continue;
            }
            if later.contains(&name) {
                c.at(at, format!("\"{name}\" is not in this version yet"));
                continue;
            }
            let hint = match nearest(name, keys.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("known here: {}", keys.join(", ")),
            };
            c.at(at, format!("unknown key {} in {}; {hint}", quoted(name), self.title));
        }
    }
}

/// A path of the config, with `~` expanded.
pub(super) fn path_of(
    key: &str,
    item: At<&str>,
    env: &Env,
    c: &mut Complaints<'_>,
) -> Option<PathBuf> {
    env.path(item.value).map_err(|why| c.at(item.at, format!("\"{key}\" {why}"))).ok()
}

/// A program and its arguments; `~/` is expanded in the program's path.
pub(super) fn argv(
    s: Section<'_>,
    key: &str,
    env: &Env,
    c: &mut Complaints<'_>,
) -> Option<Vec<String>> {
    let words = s.strings(key, c)?;
    let mut argv = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        if word.value.contains('\0') || (at == 0 && word.value.is_empty()) {
            c.at(word.at, format!("\"{key}\" begins with a program and holds no NUL"));
            return None;
        }
        if at == 0 && word.value.starts_with("~/") {
            argv.push(path_of(key, *word, env, c)?.to_string_lossy().into_owned());
        } else {
            argv.push(word.value.to_owned());
        }
    }
    Some(argv)
}

/// `"a", "b" or "c"`.
fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// A value of the file in quotes, shortened and fit for a terminal.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("\"{}\"", printable(&shown))
}

/// What a value is, for a message.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The word that was probably meant: at most a third of its letters differ.
pub(crate) fn nearest<'w>(typed: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    if typed.len() > 100 {
        return None;
    }
    let near = words.map(|word| (edits(typed, word), word)).min()?;
    (near.0 * 3 <= near.1.chars().count().max(3)).then_some(near.1)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour to
/// turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant() {
        let keys = ["host", "port", "tls", "user", "maildir", "on_local_delete", "password_file"];
        let table = [
            ("hsot", Some("host")),
            ("Host", Some("host")),
            ("mail_dir", Some("maildir")),
            ("on_local_deletes", Some("on_local_delete")),
            ("passwordfile", Some("password_file")),
            ("username", None),
            ("xyz", None),
            ("", None),
        ];
        for (typed, expected) in table {
            assert_eq!(nearest(typed, keys.into_iter()), expected, "{typed:?}");
        }
    }
}
