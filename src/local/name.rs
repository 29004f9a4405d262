//! File names: a stem of any origin, and the info part that carries the flags.
//!
//! A name is `stem[:2,FLAGS]`. The info part begins at the last separator that is followed by
//! `1,` or `2,`; without one, the whole name is the stem. So no two foreign names share a stem
//! only because a host name with a colon stands in them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::reconcile::types::{Local, Stem, System};

/// What most programs put between stem and info.
pub const SEPARATOR: u8 = b':';

/// A name within `new/` or `cur/`, exactly as the directory has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    /// Whether it is in `new/`, else in `cur/`.
    pub in_new: bool,
    /// The name's bytes.
    pub bytes: Vec<u8>,
}

impl FileName {
    /// The name that a message with this stem and info part has.
    #[must_use]
    pub fn build(stem: &Stem, in_new: bool, info: &str, separator: u8) -> Self {
        let mut bytes = stem.0.clone();
        if !info.is_empty() {
            bytes.push(separator);
            bytes.extend_from_slice(info.as_bytes());
        }
        Self { in_new, bytes }
    }

    /// The name under which a message was last seen.
    #[must_use]
    pub fn of(local: &Local, separator: u8) -> Self {
        Self::build(&local.stem, local.in_new, &local.info, separator)
    }
}

/// Splits a name into stem and info part (without the separator; empty when there is none).
#[must_use]
pub fn split(name: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let info = |w: &[u8]| w[0] == separator && matches!(w[1], b'1' | b'2') && w[2] == b',';
    match name.windows(3).rposition(info) {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (name, &[]),
    }
}

/// The letters of an info part: between `2,` and the next comma.
fn letters(info: &str) -> &str {
    info.strip_prefix("2,").map_or("", |rest| rest.split(',').next().unwrap_or(""))
}

/// The Maildir flags of an info part; unknown letters are skipped.
#[must_use]
pub fn system_flags(info: &str) -> System {
    letters(info).chars().filter_map(System::from_letter).fold(System::NONE, System::union)
}

/// The letters `a` to `z` of an info part, in its own order.
pub fn keyword_letters(info: &str) -> impl Iterator<Item = char> {
    letters(info).chars().filter(char::is_ascii_lowercase)
}

/// The info part with exactly these flags and keyword letters; whatever else stood in `old`
/// (letters of other programs, fields after a comma) stays.
#[must_use]
pub fn with_flags(old: &str, system: System, keywords: &str) -> String {
    let ours = |c: char| System::from_letter(c).is_some() || c.is_ascii_lowercase();
    let mut all: Vec<char> = letters(old).chars().filter(|c| !ours(*c)).collect();
    all.extend(system.letters().chars());
    all.extend(keywords.chars());
    // Digits first: behind a letter that is the separator they would begin an info part.
    all.sort_unstable_by_key(|c| (!c.is_ascii_digit(), *c));
    all.dedup();
    let mut info: String = "2,".chars().chain(all).collect();
    match old.strip_prefix("2,") {
        Some(rest) => info.push_str(rest.find(',').map_or("", |at| &rest[at..])),
        None if !old.is_empty() => {
            info.push(',');
            info.push_str(old);
        }
        None => {}
    }
    info
}

/// The info part with the flags and keyword letters of all of these; whatever else the first
/// holds stays. Empty where all are.
#[must_use]
pub fn united(infos: &[&str]) -> String {
    let first = infos.first().copied().unwrap_or_default();
    if infos.iter().all(|info| info.is_empty()) {
        return String::new();
    }
    let system = infos.iter().fold(System::NONE, |all, info| all.union(system_flags(info)));
    let letters: String = infos.iter().flat_map(|info| keyword_letters(info)).collect();
    with_flags(first, system, &letters)
}

/// Makes stems that no other process on any host makes.
#[derive(Debug)]
pub struct StemMaker {
    host: String,
    random: u64,
    made: AtomicU64,
}

impl StemMaker {
    /// `host` is cleaned for use in a name; `random` tells apart processes that agree in
    /// everything else (clones of a machine, a pid used again).
    #[must_use]
    pub fn new(host: &str, random: u64) -> Self {
        let clean = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let host: String = host.chars().filter(|c| clean(*c)).take(64).collect();
        let host = if host.is_empty() { "localhost".to_owned() } else { host };
        Self { host, random, made: AtomicU64::new(0) }
    }

    /// The next stem; `now_s` in seconds since 1970.
    pub fn next(&self, now_s: i64) -> Stem {
        let n = self.made.fetch_add(1, Ordering::Relaxed);
        let stem = format!("{now_s}.R{:016x}Q{n}.{}", self.random, self.host);
        Stem(stem.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(name: &str) -> (&str, &str) {
        let (stem, info) = split(name.as_bytes(), SEPARATOR);
        (std::str::from_utf8(stem).unwrap(), std::str::from_utf8(info).unwrap())
    }

    #[test]
    fn stems_of_any_origin_are_kept_whole() {
        assert_eq!(parts("1.M2P3.h,U=4,FMD5=ab:2,FS"), ("1.M2P3.h,U=4,FMD5=ab", "2,FS"));
        assert_eq!(parts("1.h,S=4,W=5:2,"), ("1.h,S=4,W=5", "2,"));
        assert_eq!(parts("plain"), ("plain", ""));
        assert_eq!(parts("msg:8080"), ("msg:8080", ""));
        assert_eq!(parts("msg:8080:2,S"), ("msg:8080", "2,S"));
        assert_eq!(parts("x:1,foo"), ("x", "1,foo"));
        assert_eq!(parts("x:"), ("x:", ""));
        assert_eq!(split(b"x;2,S", b';').1, b"2,S");
    }

    #[test]
    fn names_come_back() {
        for name in ["a:2,FS", "a:2,", "a", "a:1,x", "a:b:2,Sa", "\u{fc}:2,S,x=1"] {
            let (stem, info) = parts(name);
            let stem = Stem(stem.as_bytes().to_vec());
            assert_eq!(FileName::build(&stem, false, info, SEPARATOR).bytes, name.as_bytes());
        }
    }

    #[test]
    fn flags_are_replaced_and_foreign_letters_kept() {
        let set = |old, system, keys| with_flags(old, system, keys);
        assert_eq!(set("", System::SEEN, ""), "2,S");
        assert_eq!(set("2,SF", System::SEEN, "ba"), "2,Sab");
        assert_eq!(set("2,QSa", System::NONE, ""), "2,Q");
        assert_eq!(set("2,S,X=1", System::FLAGGED, "z"), "2,Fz,X=1");
        assert_eq!(set("1,old", System::SEEN, ""), "2,S,1,old");
        assert_eq!(set("2,!l2,", System::SEEN, ""), "2,2!S,");
        assert_eq!(system_flags("2,S,X=1"), System::SEEN);
        assert_eq!(system_flags("1,S"), System::NONE);
        assert_eq!(united(&["2,Sa", "", "2,Fab"]), "2,FSab");
        assert_eq!(united(&["2,S,X=1", "2,F"]), "2,FS,X=1");
        assert_eq!((united(&["", ""]), united(&["", "2,"])), (String::new(), "2,".to_owned()));
        assert_eq!(keyword_letters("2,Sba,c").collect::<String>(), "ba");
    }

    #[test]
    fn stems_differ_and_are_fit_for_a_name() {
        let maker = StemMaker::new("a/b:c\n.example", 7);
        let (one, two) = (maker.next(5), maker.next(5));
        assert_ne!(one, two);
        assert_eq!(one.0, b"5.R0000000000000007Q0.abc.example");
        assert_eq!(split(&one.0, SEPARATOR), (&one.0[..], &b""[..]));
    }
}
