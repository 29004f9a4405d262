//! APPEND (RFC 3501 §6.3.11, MULTIAPPEND RFC 3502, APPENDUID RFC 4315), and what servers do to
//! what they are given.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Answer, Ctx, Refusal, no};
use crate::imap::args::{self, Arg, Piece};
use crate::imap::fault::Fault;
use crate::imap::mailbox::{BadFlag, canonical_flag};
use crate::imap::session::After;
use crate::imap::state::State;
use crate::imap::{Inner, Late, date, name, set};

/// Larger messages are refused whatever the profile says, to bound memory.
const MAX_MESSAGE: u64 = 256 * 1024 * 1024;

/// A message on its way in.
#[derive(Debug, Clone)]
pub(in crate::imap) struct Upload {
    body: Arc<[u8]>,
    flags: BTreeSet<String>,
    date: Option<i64>,
}

/// Whether an APPEND is refused when its literal is announced, before it is sent: the answer.
pub(in crate::imap) fn refuse_literal(
    inner: &Inner,
    signed_in: bool,
    pieces: &[Piece],
    size: u64,
) -> Option<String> {
    if !signed_in {
        return Some("BAD Error in IMAP command received by server.".to_owned());
    }
    let first = args::parse(pieces).ok()?.into_iter().next()?;
    let decoded = first.bytes().and_then(name::decode)?;
    let full = name::canonical(&decoded, inner.profile.delimiter);
    if inner.state.get(&full).is_none() {
        let wire = name::encode(&full);
        return Some(format!("NO [TRYCREATE] Mailbox doesn't exist: {wire}."));
    }
    let limit = inner.profile.append_limit.unwrap_or(MAX_MESSAGE);
    (size > limit).then(|| "NO [TOOBIG] Message is too big.".to_owned())
}

pub(super) fn append(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let full = ctx.mailbox(args.first())?;
    let uploads = uploads(ctx, args.get(1..).unwrap_or_default())?;
    let octets: usize = uploads.iter().map(|u| u.body.len()).sum();
    ctx.inner.log.counters.append_octets_received += octets as u64;
    if ctx.inner.state.get(&full).is_none() {
        return no(format!("[TRYCREATE] Mailbox doesn't exist: {}.", name::encode(&full)));
    }
    for upload in &uploads {
        refuse_octets(ctx, &upload.body)?;
    }
    let uploads: Vec<Upload> = uploads.into_iter().map(|u| distort(ctx, u)).collect();
    let late = ctx.faults.find(|f| match f {
        Fault::LateAppend(delay) => Some(*delay),
        _ => None,
    });
    if let Some(delay) = late {
        ctx.inner.late_ids += 1;
        let id = ctx.inner.late_ids;
        ctx.inner.late.push(Late { id, mailbox: full, arrivals: uploads });
        ctx.me.timer = delay.map(|d| (id, d));
        ctx.me.after = After::Cut;
        return Ok(String::new());
    }
    if ctx.faults.is(&Fault::SlowAppend) {
        ctx.inner.late_ids += 1;
        let id = ctx.inner.late_ids;
        ctx.inner.late.push(Late { id, mailbox: full, arrivals: uploads });
        return Ok("Append completed.".to_owned());
    }
    let swallow = ctx.faults.is(&Fault::SwallowAddition);
    let mut uids = Vec::new();
    for upload in uploads {
        uids.extend(store_one(&mut ctx.inner.state, &full, upload, swallow));
    }
    super::hide(ctx, &full, &uids);
    let code = ctx.inner.profile.uidplus && !ctx.faults.is(&Fault::LoseUidCode);
    let valid = ctx.inner.state.get(&full).map(|m| m.uid_validity).filter(|_| code);
    Ok(match valid {
        Some(valid) => format!("[APPENDUID {valid} {}] Append completed.", set::format(uids)),
        None => "Append completed.".to_owned(),
    })
}

fn store_one(state: &mut State, full: &str, upload: Upload, swallow: bool) -> Option<u32> {
    if swallow {
        return state.get_mut(full).map(super::Mailbox::skip_uid);
    }
    state.add(full, upload.body, upload.flags, upload.date)
}

/// Stores what a late APPEND kept back; gives the number of messages.
pub(in crate::imap) fn store_late(state: &mut State, late: Late) -> usize {
    let Late { mailbox, arrivals, .. } = late;
    arrivals.into_iter().filter_map(|u| store_one(state, &mailbox, u, false)).count()
}

/// `[(flags)] [date-time] literal`, many times with MULTIAPPEND.
fn uploads(ctx: &Ctx<'_>, mut args: &[Arg]) -> Result<Vec<Upload>, Refusal> {
    let mut uploads = Vec::new();
    while !args.is_empty() {
        let mut flags = BTreeSet::new();
        let mut when = None;
        if let Some(list) = args.first().and_then(Arg::list) {
            flags = self::flags(ctx, list)?;
            args = &args[1..];
        }
        if let Some(Arg::Quoted(text)) = args.first() {
            match std::str::from_utf8(text).ok().and_then(date::parse) {
                Some(seconds) => when = Some(seconds),
                None => return ctx.misuse("Invalid internal date"),
            }
            args = &args[1..];
        }
        let Some(Arg::Literal(body)) = args.first() else {
            return ctx.misuse("Invalid arguments");
        };
        args = &args[1..];
        uploads.push(Upload { body: Arc::from(body.as_slice()), flags, date: when });
    }
    match uploads.len() {
        0 => ctx.misuse("Missing message"),
        1 => Ok(uploads),
        _ if ctx.inner.profile.multiappend => Ok(uploads),
        _ => ctx.misuse("Invalid arguments"),
    }
}

/// A list of flags as STORE and APPEND take it; what is not permitted is left out silently.
pub(super) fn flags(ctx: &Ctx<'_>, list: &[Arg]) -> Result<BTreeSet<String>, Refusal> {
    let mut flags = BTreeSet::new();
    for arg in list {
        let Some(text) = arg.atom() else { return ctx.misuse("Invalid flag") };
        match canonical_flag(text) {
            Ok(flag) => {
                let dropped = |f: &Fault| match f {
                    Fault::DropKeyword(k) if k.eq_ignore_ascii_case(&flag) => Some(()),
                    _ => None,
                };
                let kept = flag.starts_with('\\') || ctx.inner.profile.keeps(&flag);
                if kept && ctx.faults.find(dropped).is_none() {
                    flags.insert(flag);
                }
            }
            Err(BadFlag::System(flag)) => {
                return ctx.misuse(&format!("Invalid system flag {flag}"));
            }
            Err(BadFlag::Keyword) => return no("[CANNOT] Invalid characters in keyword."),
        }
    }
    Ok(flags)
}

fn refuse_octets(ctx: &Ctx<'_>, body: &[u8]) -> Result<(), Refusal> {
    if body.is_empty() {
        return no("Can't save a zero byte message.");
    }
    if ctx.inner.profile.refuse_nul && body.contains(&0) {
        return no("Message contains NUL characters.");
    }
    if ctx.inner.profile.refuse_bare_lf && has_bare_lf(body) {
        return no("Message contains bare newlines.");
    }
    Ok(())
}

fn has_bare_lf(body: &[u8]) -> bool {
    let after_cr = |at: usize| at > 0 && body[at - 1] == b'\r';
    memchr::memchr_iter(b'\n', body).any(|at| !after_cr(at))
}

/// What a server makes of a message that it accepts.
fn distort(ctx: &Ctx<'_>, mut upload: Upload) -> Upload {
    let header = ctx.faults.find(|f| match f {
        Fault::AddHeader(line) => Some(line.clone()),
        _ => None,
    });
    if let Some(line) = header {
        upload.body = [line.as_bytes(), &upload.body].concat().into();
    }
    if ctx.faults.is(&Fault::RewriteOctets) {
        upload.body = rewritten(&upload.body).into();
    }
    if ctx.faults.is(&Fault::LoseFlags) {
        upload.flags.clear();
    }
    if ctx.faults.is(&Fault::LoseDate) {
        upload.date = None;
    }
    upload
}

/// Octets as Dovecot 2.3 stores them.
fn rewritten(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut at = 0;
    while at < body.len() {
        match &body[at..] {
            [b'\r', b'\r', b'\n', ..] | [b'\r'] => {}
            [b'\r', b'\n', ..] => {
                out.extend(b"\r\n");
                at += 1;
            }
            [b'\n', ..] => out.extend(b"\r\n"),
            [0, ..] => out.push(0x80),
            [other, ..] => out.push(*other),
            [] => {}
        }
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_as_dovecot_stores_them() {
        assert_eq!(rewritten(b"a\r\r\nb\nc\0\r"), b"a\r\nb\r\nc\x80");
        assert_eq!(rewritten(b"a\r\nb\rc"), b"a\r\nb\rc");
        assert!(has_bare_lf(b"a\nb") && !has_bare_lf(b"a\r\nb") && has_bare_lf(b"\n"));
    }
}
