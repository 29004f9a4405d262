//! What must hold whatever a server sends: for the tests and for libFuzzer, not shipped.
//!
//! Each function takes any bytes and panics where something does not hold.

use std::time::Duration;

use super::capabilities::Capabilities;
use super::name;
use super::parse::cursor::Cursor;
use super::parse::fetch::{FetchRow, Gathered, row};
use super::parse::list::{list, mailbox_status};
use super::parse::status::Status;
use super::parse::{
    Marker, Response, esearch, for_the_shell, literal_marker, may_hold_literal, search,
};
use super::uid_set::UidSet;
use super::wire::{LITERAL_LIMIT, LITERALS, SLICE, Step, Wire};
use crate::reconcile::types::{FlagMask, Flags, KeywordMask, MailboxName};
use crate::remote::allowance::Allowance;
use crate::remote::broken::Broken;
use crate::remote::code::Code;
use crate::remote::pieces::Pieces;

/// No peer of a test is silent for so long.
const HOUR: Duration = Duration::from_secs(3600);

/// How the stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    HungUp,
    OverLimit,
}

impl End {
    fn of(broken: &Broken) -> Self {
        match broken {
            Broken::Closed => Self::HungUp,
            Broken::Limit(..) => Self::OverLimit,
            other => panic!("the peer neither stalls nor fails: {other:?}"),
        }
    }
}

/// Where each response ends, as it follows from the whole of what is sent.
fn framed(data: &[u8], literal_limit: Option<u64>) -> (Vec<usize>, End) {
    let (mut ends, mut start, mut at, mut inside) = (Vec::new(), 0, 0, false);
    let mut literals = 0;
    while let Some(length) = data[at..].iter().position(|b| *b == b'\n') {
        let line = at;
        at += length + 1;
        let may = inside || may_hold_literal(&data[start..at]);
        match literal_marker(&data[line..at]) {
            Marker::Literal(length) if may => {
                literals += 1;
                if literals > LITERALS || literal_limit.is_some_and(|limit| length > limit) {
                    return (ends, End::OverLimit);
                }
                let rest = (data.len() - at) as u64;
                if length > rest {
                    return (ends, End::HungUp);
                }
                at += usize::try_from(length).unwrap_or(usize::MAX);
                inside = true;
            }
            Marker::TooLong if may => return (ends, End::OverLimit),
            _ => {
                ends.push(at);
                (start, inside, literals) = (at, false, 0);
            }
        }
    }
    (ends, End::HungUp)
}

/// The framing: however the bytes are cut into pieces, the same responses come out, none is
/// longer than what was sent, and a cut one never looks whole. The first byte says how many
/// of the next are lengths of pieces.
pub fn framing(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else { return };
    let (lengths, data) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        whole_responses(data, lengths).await;
        streamed_responses(data, lengths).await;
    });
}

fn wire(data: &[u8], lengths: &[u8]) -> Wire {
    Wire::new(Box::new(Pieces::new(data, lengths)), Allowance::unlimited(HOUR))
}

async fn whole_responses(data: &[u8], lengths: &[u8]) {
    let (ends, end) = framed(data, Some(LITERAL_LIMIT));
    let mut wire = wire(data, lengths);
    let mut from = 0;
    for to in ends {
        let response = wire.response().await;
        assert!(response.is_ok(), "{response:?} at {from}");
        assert_eq!(
            wire.in_hand().escape_ascii().to_string(),
            data[from..to].escape_ascii().to_string()
        );
        from = to;
    }
    match wire.response().await {
        Ok(()) => panic!("one more than was sent: {}", wire.in_hand().escape_ascii()),
        Err(broken) => assert_eq!(End::of(&broken), end),
    }
}

async fn streamed_responses(data: &[u8], lengths: &[u8]) {
    let (ends, end) = framed(data, None);
    let mut wire = wire(data, lengths);
    let (mut seen, mut complete) = (Vec::new(), 0);
    let broken = loop {
        let step = match wire.step().await {
            Ok(step) => step,
            Err(broken) => break broken,
        };
        seen.extend_from_slice(wire.in_hand());
        let Step::Literal(length) = step else {
            complete += 1;
            continue;
        };
        let mut left = length;
        let cut = loop {
            match wire.slice().await {
                Ok(Some(slice)) => {
                    assert!(
                        slice.len() as u64 <= left && slice.len() as u64 >= left.min(SLICE as u64)
                    );
                    left -= slice.len() as u64;
                    seen.extend_from_slice(slice);
                }
                Ok(None) => break None,
                Err(broken) => break Some(broken),
            }
        };
        match cut {
            Some(broken) => break broken,
            None => assert_eq!(left, 0, "a literal ended early"),
        }
    };
    assert_eq!((complete, End::of(&broken)), (ends.len(), end));
    assert!(data.starts_with(&seen), "bytes came that were not sent, or in another order");
    assert!(seen.len() >= ends.last().copied().unwrap_or(0), "bytes are missing");
}

/// The parser: whatever a response says, it is read to an end, what comes out is no larger
/// than what went in, and sets come back from their own spelling.
pub fn response(line: &[u8]) {
    literal_marker(line);
    if let Some(simple) = for_the_shell(line, true) {
        assert!(simple.len() <= line.len() + 8 && simple.ends_with(b"\r\n"));
    }
    let mut capabilities = Capabilities::default();
    match Response::parse(line) {
        Response::Fetch(rest) => fetched(rest, line.len()),
        Response::List(rest) => {
            if let Some(listed) = list(rest) {
                assert!(listed.raw.len() <= line.len());
                mailbox_name(&listed.raw);
            }
        }
        Response::MailboxStatus(rest) => {
            if let Some(status) = mailbox_status(rest) {
                assert!(status.raw.len() <= line.len());
                assert!(status.object_id.is_none_or(|id| id.len() <= line.len()));
            }
        }
        Response::Search(rest) => search(rest).iter().for_each(|set| is_a_set(set, line.len())),
        Response::Esearch(rest) => esearch(rest).iter().for_each(|set| is_a_set(set, line.len())),
        Response::Vanished { uids, .. } => uids.iter().for_each(|set| is_a_set(set, line.len())),
        Response::Capability(rest) => {
            capabilities.replace(rest);
            assert!(capabilities.iter().count() <= line.len() + 10);
            let _ = capabilities.append_limit();
        }
        Response::Enabled(rest) => capabilities.confirm(rest),
        Response::Status(status) | Response::Tagged { status, .. } => said(&status, line.len()),
        Response::Continue | Response::Exists(_) | Response::Expunge(_) | Response::Other => {}
    }
}

fn fetched(rest: &[u8], length: usize) {
    let mut gathered = Gathered::default();
    let mut cursor = Cursor::new(rest);
    let mut texts = 0;
    while gathered.read(&mut cursor).is_some() {
        texts += 1;
        assert!(texts <= length, "it does not end");
    }
    let Some(FetchRow { flags, object_id, uid, .. }) = row(rest) else { return };
    assert_eq!(gathered.row().map(|row| row.uid), Some(uid));
    assert!(uid.0 > 0 && object_id.is_none_or(|id| id.len() <= length && !id.is_empty()));
    flags.iter().for_each(|flags| are_flags(flags, length));
}

fn are_flags(flags: &Flags, length: usize) {
    assert!(flags.keywords.len() <= length);
    for keyword in &flags.keywords {
        let text = keyword.as_str();
        assert!(!text.is_empty() && !text.starts_with('\\'), "{text:?}");
        assert!(!text.contains(|c: char| c.is_ascii_whitespace()), "{text:?}");
    }
}

fn said(status: &Status, length: usize) {
    // A byte that is no text may become three.
    assert!(status.words.len() <= 3 * length.min(1_000));
    match &status.code {
        Some(Code::AppendUid(_, set) | Code::Modified(set)) => is_a_set(set, length),
        Some(Code::CopyUid(_, from, to)) => assert!(from.len() + to.len() <= length),
        Some(Code::Capability(text) | Code::MailboxId(text) | Code::Other(text)) => {
            assert!(text.len() <= 3 * length);
        }
        Some(Code::PermanentFlags(FlagMask { keywords: KeywordMask::Only(set), .. })) => {
            assert!(set.len() <= length);
        }
        _ => {}
    }
}

fn is_a_set(set: &UidSet, length: usize) {
    assert!(set.ranges().len() <= length / 2 + 1, "more ranges than were said");
    assert!(set.ranges().iter().all(|(first, last)| 0 < *first && first <= last));
    let apart = |pair: &[(u32, u32)]| pair[0].1.checked_add(1).is_some_and(|next| next < pair[1].0);
    assert!(set.ranges().windows(2).all(apart), "{set}");
    if !set.is_empty() {
        assert_eq!(UidSet::parse(set.to_string().as_bytes()).as_ref(), Some(set));
    }
    assert!(set.difference(set).is_empty() && set.intersection(set) == *set);
    let chunks = set.chunks(100);
    assert_eq!(chunks.iter().fold(UidSet::new(), |all, part| all.union(part)), *set);
}

/// Mailbox names: what the server spells comes back in its own spelling or is refused, with
/// every delimiter; what we spell is plain ASCII and comes back.
pub fn mailbox_name(raw: &[u8]) {
    for delimiter in [Some('/'), Some('.'), Some('\\'), Some('&'), Some('-'), Some('A'), None] {
        if let Ok(name) = name::decode(raw, delimiter) {
            assert!(name.as_str().len() <= 3 * raw.len(), "{name}");
            let spelled = name::encode(&name, delimiter);
            // A name in UTF-8 may hold what has no spelling in UTF-7; ours has one always.
            if raw.is_ascii() {
                let inbox = spelled.as_ref().is_ok_and(|s| s.as_bytes().eq_ignore_ascii_case(raw));
                let same = spelled.as_ref().is_ok_and(|s| s.as_bytes() == raw);
                assert!(same || inbox, "{} → {name} → {spelled:?}", raw.escape_ascii());
            }
        }
        let ours = MailboxName::new(&String::from_utf8_lossy(raw));
        if let Ok(spelled) = name::encode(&ours, delimiter) {
            assert!(spelled.bytes().all(|b| matches!(b, b' '..=b'~')), "{spelled:?}");
            assert_eq!(name::decode(spelled.as_bytes(), delimiter), Ok(ours));
        }
    }
}
