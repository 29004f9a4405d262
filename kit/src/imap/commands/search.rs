//! SEARCH (RFC 3501 §6.4.4) with RETURN (RFC 4731) and MODSEQ (RFC 7162 §3.1.5).

use std::sync::Arc;

use super::{Answer, Ctx, Refusal};
use crate::imap::args::Arg;
use crate::imap::date;
use crate::imap::fault::Fault;
use crate::imap::mailbox::Msg;
use crate::imap::set;
use crate::imap::set::Ranges;

/// How deep keys may nest.
const MAX_DEPTH: usize = 16;

/// One search key.
enum Key {
    All,
    Flag(String, bool),
    New(bool),
    Recent(bool),
    Seq(Ranges),
    Uid(Ranges),
    Header(String, Vec<u8>),
    Text(Vec<u8>),
    Body(Vec<u8>),
    Larger(u64),
    Smaller(u64),
    Since(i64),
    Before(i64),
    On(i64),
    Modseq(u64),
    Not(Box<Key>),
    Or(Box<Key>, Box<Key>),
    And(Vec<Key>),
}

pub(super) fn search(ctx: &mut Ctx<'_>, mut args: &[Arg]) -> Answer {
    ctx.view()?;
    let mut wanted: Option<Vec<String>> = None;
    if args.first().is_some_and(|a| a.is("RETURN")) {
        let Some(options) = args.get(1).and_then(Arg::list).filter(|_| ctx.inner.profile.esearch)
        else {
            return ctx.misuse("Invalid search return options");
        };
        let names = options.iter().filter_map(Arg::atom).map(str::to_ascii_uppercase);
        wanted = Some(names.collect());
        args = &args[2..];
    }
    if args.first().is_some_and(|a| a.is("CHARSET")) {
        args = args.get(2..).unwrap_or_default();
    }
    if args.is_empty() {
        return ctx.misuse("Missing search parameters");
    }
    let mut keys = Vec::new();
    while !args.is_empty() {
        let (key, rest) = key(ctx, args, 0)?;
        keys.push(key);
        args = rest;
    }
    let key = Key::And(keys);
    let by_modseq = uses_modseq(&key);
    if by_modseq {
        ctx.enable_condstore();
    }
    let found: Vec<(u32, u64)> = {
        let by_uid = ctx.uid() && !ctx.faults.is(&Fault::SearchNumbers);
        let view = ctx.view()?;
        let hit = |(at, m): &(usize, &Arc<Msg>)| holds(&key, *at, m, view.recent.contains(&m.uid));
        let number = |at: usize, m: &Msg| {
            if by_uid { m.uid } else { u32::try_from(at + 1).unwrap_or(u32::MAX) }
        };
        view.rows.iter().enumerate().filter(hit).map(|(at, m)| (number(at, m), m.modseq)).collect()
    };
    respond(ctx, &found, wanted, by_modseq);
    Ok("Search completed.".to_owned())
}

fn respond(ctx: &mut Ctx<'_>, found: &[(u32, u64)], wanted: Option<Vec<String>>, by_modseq: bool) {
    let highest = found.iter().map(|(_, modseq)| *modseq).max().filter(|_| by_modseq);
    let Some(mut wanted) = wanted else {
        let list: String = found.iter().map(|(n, _)| format!(" {n}")).collect();
        let modseq = highest.map(|m| format!(" (MODSEQ {m})")).unwrap_or_default();
        ctx.out.line(format_args!("* SEARCH{list}{modseq}"));
        return;
    };
    if wanted.is_empty() {
        wanted.push("ALL".to_owned());
    }
    let mut line = format!("* ESEARCH (TAG \"{}\")", ctx.tag);
    if ctx.uid() {
        line.push_str(" UID");
    }
    let asked = |name: &str| wanted.iter().any(|w| w == name);
    if let (Some((first, _)), Some((last, _))) = (found.first(), found.last()) {
        if asked("MIN") {
            line.push_str(&format!(" MIN {first}"));
        }
        if asked("MAX") {
            line.push_str(&format!(" MAX {last}"));
        }
        if asked("ALL") {
            line.push_str(&format!(" ALL {}", set::format(found.iter().map(|(n, _)| *n))));
        }
    }
    if asked("COUNT") {
        line.push_str(&format!(" COUNT {}", found.len()));
    }
    if let Some(modseq) = highest {
        line.push_str(&format!(" MODSEQ {modseq}"));
    }
    ctx.out.line(format_args!("{line}"));
}

fn uses_modseq(key: &Key) -> bool {
    match key {
        Key::Modseq(_) => true,
        Key::Not(k) => uses_modseq(k),
        Key::Or(a, b) => uses_modseq(a) || uses_modseq(b),
        Key::And(keys) => keys.iter().any(uses_modseq),
        _ => false,
    }
}

type Parsed<'a> = Result<(Key, &'a [Arg]), Refusal>;

fn key<'a>(ctx: &Ctx<'_>, args: &'a [Arg], depth: usize) -> Parsed<'a> {
    let [first, rest @ ..] = args else { return ctx.misuse("Missing argument") };
    if depth > MAX_DEPTH {
        return ctx.misuse("Too deep");
    }
    if let Some(mut members) = first.list() {
        let mut keys = Vec::new();
        while !members.is_empty() {
            let (key, left) = key(ctx, members, depth + 1)?;
            keys.push(key);
            members = left;
        }
        return Ok((Key::And(keys), rest));
    }
    let word = first.atom().unwrap_or_default().to_ascii_uppercase();
    let view = ctx.view()?;
    let flag = |name: &str, set: bool| Ok((Key::Flag(name.to_owned(), set), rest));
    match word.as_str() {
        "ALL" => Ok((Key::All, rest)),
        "ANSWERED" => flag("\\Answered", true),
        "UNANSWERED" => flag("\\Answered", false),
        "DELETED" => flag("\\Deleted", true),
        "UNDELETED" => flag("\\Deleted", false),
        "DRAFT" => flag("\\Draft", true),
        "UNDRAFT" => flag("\\Draft", false),
        "FLAGGED" => flag("\\Flagged", true),
        "UNFLAGGED" => flag("\\Flagged", false),
        "SEEN" => flag("\\Seen", true),
        "UNSEEN" => flag("\\Seen", false),
        "NEW" => Ok((Key::New(true), rest)),
        "OLD" => Ok((Key::Recent(false), rest)),
        "RECENT" => Ok((Key::Recent(true), rest)),
        "NOT" => {
            let (inner, rest) = key(ctx, rest, depth + 1)?;
            Ok((Key::Not(Box::new(inner)), rest))
        }
        "OR" => {
            let (a, rest) = key(ctx, rest, depth + 1)?;
            let (b, rest) = key(ctx, rest, depth + 1)?;
            Ok((Key::Or(Box::new(a), Box::new(b)), rest))
        }
        "UID" => {
            let set = ctx.set(rest.first())?.resolve(view.max_uid());
            Ok((Key::Uid(set), &rest[1..]))
        }
        _ => match set::Set::parse(&word) {
            Some(set) => Ok((Key::Seq(set.resolve(view.len())), rest)),
            None => with_argument(ctx, &word, rest),
        },
    }
}

/// Keys that take arguments.
fn with_argument<'a>(ctx: &Ctx<'_>, word: &str, args: &'a [Arg]) -> Parsed<'a> {
    let [first, rest @ ..] = args else {
        return ctx.misuse(&format!("Unknown argument {word}"));
    };
    let text = first.text().unwrap_or_default();
    let octets = || first.bytes().unwrap_or_default().to_ascii_lowercase();
    let number = || match text.parse::<u64>() {
        Ok(n) => Ok(n),
        Err(_) => ctx.misuse("Invalid number"),
    };
    let day = || match date::parse_day(text) {
        Some(day) => Ok(day),
        None => ctx.misuse("Invalid date"),
    };
    let found = match word {
        "KEYWORD" => Key::Flag(text.to_owned(), true),
        "UNKEYWORD" => Key::Flag(text.to_owned(), false),
        "LARGER" => Key::Larger(number()?),
        "SMALLER" => Key::Smaller(number()?),
        "SINCE" => Key::Since(day()?),
        "BEFORE" => Key::Before(day()?),
        "ON" => Key::On(day()?),
        "TEXT" => Key::Text(octets()),
        "BODY" => Key::Body(octets()),
        "SUBJECT" | "FROM" | "TO" | "CC" | "BCC" => Key::Header(word.to_owned(), octets()),
        "HEADER" => {
            let Some(value) = rest.first().and_then(Arg::bytes) else {
                return ctx.misuse("Missing argument");
            };
            return Ok((Key::Header(text.to_owned(), value.to_ascii_lowercase()), &rest[1..]));
        }
        "MODSEQ" if ctx.inner.profile.has_modseq() => Key::Modseq(number()?),
        _ => return ctx.misuse(&format!("Unknown argument {word}")),
    };
    Ok((found, rest))
}

fn holds(key: &Key, at: usize, m: &Msg, recent: bool) -> bool {
    let day = m.date.div_euclid(86_400);
    let has = |flag: &str| m.flags.iter().any(|f| f.eq_ignore_ascii_case(flag));
    match key {
        Key::All => true,
        Key::Flag(flag, set) => has(flag) == *set,
        Key::New(new) => (recent && !has("\\Seen")) == *new,
        Key::Recent(wanted) => recent == *wanted,
        Key::Seq(ranges) => u32::try_from(at + 1).is_ok_and(|n| ranges.contains(n)),
        Key::Uid(ranges) => ranges.contains(m.uid),
        Key::Header(name, value) => header_holds(m, name, value),
        Key::Text(text) => contains(&m.body, text),
        Key::Body(text) => contains(&m.body[m.header_len()..], text),
        Key::Larger(n) => m.body.len() as u64 > *n,
        Key::Smaller(n) => (m.body.len() as u64) < *n,
        Key::Since(d) => day >= *d,
        Key::Before(d) => day < *d,
        Key::On(d) => day == *d,
        Key::Modseq(n) => m.modseq >= *n,
        Key::Not(inner) => !holds(inner, at, m, recent),
        Key::Or(a, b) => holds(a, at, m, recent) || holds(b, at, m, recent),
        Key::And(keys) => keys.iter().all(|k| holds(k, at, m, recent)),
    }
}

/// Whether `octets` hold `lower` (already in lower case) in any ASCII case.
fn contains(octets: &[u8], lower: &[u8]) -> bool {
    memchr::memmem::find(&octets.to_ascii_lowercase(), lower).is_some()
}

/// Whether a header field holds a text; an empty text only asks for the field.
fn header_holds(m: &Msg, name: &str, lower: &[u8]) -> bool {
    super::items::fields(&m.body[..m.header_len()]).any(|(field, lines)| {
        let value = lines.get(field.len() + 1..).unwrap_or_default();
        field.eq_ignore_ascii_case(name.as_bytes())
            && (lower.is_empty() || contains(&unfolded(value), lower))
    })
}

fn unfolded(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect()
}
