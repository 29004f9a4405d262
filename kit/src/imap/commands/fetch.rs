//! FETCH and UID FETCH, with CHANGEDSINCE and VANISHED (RFC 7162 §3.1.4, §3.2.6).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::items::{self, Allowed, Item, Octets, Section};
use super::{Answer, Ctx, Refusal, no, select};
use crate::imap::args::Arg;
use crate::imap::date;
use crate::imap::fault::{Fault, names};
use crate::imap::mailbox::{Msg, Op};
use crate::imap::session::After;

/// How the rows of one FETCH come out.
struct Job {
    items: Vec<Item>,
    octets: bool,
    no_flags: bool,
    no_size: bool,
    size_lie: i64,
    hostile: Option<u64>,
}

pub(super) fn fetch(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let positions = ctx.positions(args.first())?;
    let Some(wanted) = args.get(1) else { return ctx.misuse("Invalid arguments") };
    let p = &ctx.inner.profile;
    let allowed = Allowed { modseq: p.has_modseq(), objectid: p.objectid };
    let mut items = match items::parse(wanted, allowed) {
        Ok(items) => items,
        Err(why) => return ctx.misuse(&why),
    };
    let since = modifiers(ctx, args.get(2))?;
    if let Some((modseq, vanished)) = since {
        if vanished {
            let set = ctx.set(args.first())?.resolve(u32::MAX);
            select::earlier(ctx, modseq, &set)?;
        }
        if !items.contains(&Item::Modseq) {
            items.push(Item::Modseq);
        }
    }
    if items.contains(&Item::Modseq) {
        ctx.enable_condstore();
    }
    if ctx.uid() && !items.contains(&Item::Uid) {
        items.insert(0, Item::Uid);
    }
    let job = job(ctx, items);
    breaks(ctx, &positions, &job)?;
    rows(ctx, &positions, since.map(|(modseq, _)| modseq), &job)
}

fn job(ctx: &Ctx<'_>, items: Vec<Item>) -> Job {
    let octets = items.iter().any(|i| matches!(i, Item::Octets(_)));
    let lie = |f: &Fault| match f {
        Fault::SizeLie(by) if items.contains(&Item::Size) => Some(*by),
        _ => None,
    };
    let hostile = |f: &Fault| match f {
        Fault::HostileLiteral(n) if octets => Some(*n),
        _ => None,
    };
    Job {
        octets,
        no_flags: items.contains(&Item::Flags) && ctx.faults.is(&Fault::FetchNoFlags),
        no_size: items.contains(&Item::Size) && ctx.faults.is(&Fault::FetchNoSize),
        size_lie: ctx.faults.find(lie).unwrap_or_default(),
        hostile: ctx.faults.find(hostile),
        items,
    }
}

/// A session that refuses one message refuses all from then on.
fn breaks(ctx: &mut Ctx<'_>, positions: &[usize], job: &Job) -> Result<(), Refusal> {
    let rows = &ctx.view()?.rows;
    let uids: Vec<u32> = positions.iter().filter_map(|at| Some(rows.get(*at)?.uid)).collect();
    let broken = |f: &Fault| match f {
        Fault::FetchBreaks(bad, text)
            if job.octets && (ctx.me.broken || uids.iter().any(|uid| names(bad, *uid))) =>
        {
            Some(text.clone())
        }
        _ => None,
    };
    let Some(text) = ctx.faults.find(broken) else { return Ok(()) };
    ctx.me.broken = true;
    no(text)
}

/// `(CHANGEDSINCE n [VANISHED])`.
fn modifiers(ctx: &Ctx<'_>, arg: Option<&Arg>) -> Result<Option<(u64, bool)>, Refusal> {
    let Some(arg) = arg else { return Ok(None) };
    let Some(mut list) = arg.list().filter(|_| ctx.inner.profile.has_modseq()) else {
        return ctx.misuse("Unknown FETCH modifier");
    };
    let (mut since, mut vanished) = (None, false);
    while let Some(word) = list.first() {
        if word.is("VANISHED") && ctx.me.qresync && ctx.uid() {
            vanished = true;
            list = &list[1..];
            continue;
        }
        since = list.get(1).and_then(Arg::atom).and_then(|t| t.parse::<u64>().ok());
        // RFC 7162 §3.1.4: a mod-sequence is never 0.
        if !word.is("CHANGEDSINCE") || since.is_none_or(|n| n == 0) {
            return ctx.misuse("Unknown FETCH modifier");
        }
        list = &list[2..];
    }
    match since {
        Some(modseq) => Ok(Some((modseq, vanished))),
        None => ctx.misuse("VANISHED used without CHANGEDSINCE"),
    }
}

fn rows(ctx: &mut Ctx<'_>, positions: &[usize], since: Option<u64>, job: &Job) -> Answer {
    let mut refused = None;
    let mut expunged = false;
    for at in positions {
        let Some(row) = ctx.view()?.rows.get(*at).map(Arc::clone) else { continue };
        if since.is_some_and(|since| row.modseq <= since) {
            continue;
        }
        let withheld = |f: &Fault| match f {
            Fault::FetchNo(uids, text) if job.octets && names(uids, row.uid) => {
                Some(Some(text.clone()))
            }
            Fault::FetchSilent(uids) if names(uids, row.uid) => Some(None),
            _ => None,
        };
        if let Some(text) = ctx.faults.find(withheld) {
            refused = text.or(refused);
            continue;
        }
        if job.octets && !ctx.selected()?.messages.contains_key(&row.uid) {
            expunged = true;
            continue;
        }
        row_out(ctx, *at, &row, job);
        if ctx.me.after == After::Hang {
            return Ok(String::new());
        }
    }
    match refused {
        Some(text) => no(text),
        // RFC 5530 §3.
        None if expunged => Ok("[EXPUNGEISSUED] Some messages were already expunged.".to_owned()),
        None => Ok("Fetch completed.".to_owned()),
    }
}

/// One row.
fn row_out(ctx: &mut Ctx<'_>, at: usize, row: &Arc<Msg>, job: &Job) {
    let no_body = |f: &Fault| match f {
        Fault::FetchNoBody(uids) if job.octets && names(uids, row.uid) => Some(()),
        _ => None,
    };
    let no_body = ctx.faults.find(no_body).is_some();
    let seen = !no_body && set_seen(ctx, at, row, job);
    let row = ctx.me.view.as_ref().and_then(|v| v.rows.get(at)).map_or(row, |r| r);
    let row = Arc::clone(row);
    let flags = ctx.me.view.as_ref().map(|v| v.flags_of(&row)).unwrap_or_default();
    ctx.out.put(format_args!("* {} FETCH (", at + 1));
    let mut first = true;
    let mut tell_seen = seen && !job.items.contains(&Item::Flags);
    for item in &job.items {
        if matches!(item, Item::Octets(_)) && no_body
            || *item == Item::Flags && job.no_flags
            || matches!(item, Item::Size | Item::InternalDate) && job.no_size
        {
            continue;
        }
        if !std::mem::take(&mut first) {
            ctx.out.put(format_args!(" "));
        }
        if *item != Item::Uid && std::mem::take(&mut tell_seen) {
            ctx.out.put(format_args!("FLAGS ({flags}) "));
        }
        match item {
            Item::Uid => ctx.out.put(format_args!("UID {}", row.uid)),
            Item::Flags => ctx.out.put(format_args!("FLAGS ({flags})")),
            Item::InternalDate => {
                ctx.out.put(format_args!("INTERNALDATE \"{}\"", date::format(row.date)));
            }
            Item::Size => {
                let of_this = ctx.faults.find(|fault| match fault {
                    Fault::SizeLieOf(uids, by) if names(uids, row.uid) => Some(*by),
                    _ => None,
                });
                let size = row.body.len() as i64 + job.size_lie + of_this.unwrap_or(0);
                ctx.out.put(format_args!("RFC822.SIZE {}", size.max(0)));
            }
            Item::Modseq => ctx.out.put(format_args!("MODSEQ ({})", row.modseq)),
            Item::EmailId => ctx.out.put(format_args!("EMAILID ({})", row.email_id)),
            Item::ThreadId => ctx.out.put(format_args!("THREADID NIL")),
            Item::Octets(octets) => octets_out(ctx, &row, octets, job.hostile),
        }
        if ctx.me.after == After::Hang {
            return;
        }
    }
    ctx.out.line(format_args!(")"));
    let second = |fault: &Fault| match fault {
        Fault::SecondBody(uids, text) if job.octets && names(uids, row.uid) => Some(text.clone()),
        _ => None,
    };
    if let Some(text) = ctx.faults.find(second) {
        let (at, uid, length) = (at + 1, row.uid, text.len());
        ctx.out.line(format_args!("* {at} FETCH (UID {uid} BODY[] {{{length}}}\r\n{text})"));
    }
}

/// Octets asked for without PEEK set `\Seen`; true when that changed something.
fn set_seen(ctx: &mut Ctx<'_>, at: usize, row: &Arc<Msg>, job: &Job) -> bool {
    let marks = |i: &Item| matches!(i, Item::Octets(o) if !o.peek);
    let Some(view) = ctx.me.view.as_mut() else { return false };
    if !job.items.iter().any(marks) || view.read_only || row.flags.contains("\\Seen") {
        return false;
    }
    let Some(mailbox) = ctx.inner.state.get_mut(&view.name) else { return false };
    mailbox.store(&[row.uid], Op::Add, &BTreeSet::from(["\\Seen".to_owned()]));
    if let Some(now) = mailbox.messages.get(&row.uid) {
        view.rows[at] = Arc::clone(now);
    }
    true
}

fn octets_out(ctx: &mut Ctx<'_>, row: &Arc<Msg>, octets: &Octets, hostile: Option<u64>) {
    let header = row.header_len();
    let (body, range): (Arc<[u8]>, std::ops::Range<usize>) = match &octets.section {
        Section::Whole => (Arc::clone(&row.body), 0..row.body.len()),
        Section::Header => (Arc::clone(&row.body), 0..header),
        Section::Text => (Arc::clone(&row.body), header..row.body.len()),
        Section::Fields(names, wanted) => {
            let chosen: Arc<[u8]> = items::chosen(&row.body[..header], names, *wanted).into();
            let len = chosen.len();
            (chosen, 0..len)
        }
    };
    let range = match octets.partial {
        None => range,
        Some((first, count)) => {
            let start = range.start.saturating_add(first).min(range.end);
            start..start.saturating_add(count).min(range.end)
        }
    };
    ctx.out.put(format_args!("{} ", octets.label));
    let counters = &mut ctx.inner.log.counters;
    match octets.section {
        Section::Header | Section::Fields(..) => counters.header_octets_sent += range.len() as u64,
        Section::Whole | Section::Text => {
            counters.bodies_sent += u64::from(octets.partial.is_none());
            counters.body_octets_sent += range.len() as u64;
        }
    }
    if let Some(size) = hostile {
        ctx.out.put(format_args!("{{{size}}}\r\n"));
        ctx.out.raw(&body);
        ctx.me.after = After::Hang;
        return;
    }
    let cut = ctx.faults.find(|fault| match fault {
        Fault::CutOctets(uids, octets) if names(uids, row.uid) => Some(*octets),
        _ => None,
    });
    let range = range.start..range.end.min(range.start + cut.unwrap_or(range.len()));
    let lie = ctx.faults.find(|fault| match fault {
        Fault::LiteralLie(uids, by) if names(uids, row.uid) => Some(*by),
        _ => None,
    });
    match lie {
        Some(by) => {
            let told = range.len() as i64 + by;
            ctx.out.put(format_args!("{{{told}}}\r\n"));
            ctx.out.raw(&Arc::from(&body[range]));
        }
        None => ctx.out.literal(&body, range),
    }
}
