//! SELECT, EXAMINE, UNSELECT and CLOSE, with CONDSTORE and QRESYNC (RFC 7162 §3.1.8, §3.2.5).

use super::{Answer, Ctx, Refusal, bad, claim_recent, no};
use crate::imap::args::Arg;
use crate::imap::fault::Fault;
use crate::imap::set::{self, Ranges, Set};
use crate::imap::view::{View, flag_lines};

/// What a QRESYNC parameter says.
struct Resync {
    uid_validity: u32,
    modseq: u64,
    known: Option<Set>,
}

pub(super) fn select(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let name = ctx.mailbox(args.first())?;
    // A SELECT that fails leaves nothing selected (RFC 3501 §6.3.1).
    if ctx.me.view.take().is_some() && ctx.inner.profile.has_modseq() {
        ctx.out.line(format_args!("* OK [CLOSED] Previous mailbox closed."));
    }
    let resync = parameters(ctx, args.get(1))?;
    let read_only = ctx.verb == "EXAMINE";
    let Some(mailbox) = ctx.inner.state.get(&name) else {
        return ctx.missing(&name);
    };
    let uid_next = ctx.told_uid_next(mailbox.uid_next);
    let view = View::open(&name, mailbox, read_only, ctx.inner.window);
    flag_lines(mailbox, &ctx.inner.profile, read_only, ctx.out);
    let out = &mut *ctx.out;
    out.line(format_args!("* {} EXISTS", view.rows.len()));
    out.line(format_args!("* {} RECENT", view.recent.len()));
    if let Some(at) = view.rows.iter().position(|m| !m.flags.contains("\\Seen")) {
        out.line(format_args!("* OK [UNSEEN {}] First unseen.", at + 1));
    }
    out.line(format_args!("* OK [UIDVALIDITY {}] UIDs valid", mailbox.uid_validity));
    if ctx.inner.profile.uidnext {
        out.line(format_args!("* OK [UIDNEXT {uid_next}] Predicted next UID"));
    }
    if ctx.inner.profile.has_modseq() {
        out.line(format_args!("* OK [HIGHESTMODSEQ {}] Highest", mailbox.highest_modseq));
    }
    if ctx.inner.profile.objectid {
        out.line(format_args!("* OK [MAILBOXID ({})] Ok", mailbox.mailbox_id));
    }
    let valid = mailbox.uid_validity;
    ctx.me.view = Some(view);
    if let Some(resync) = resync.filter(|r| r.uid_validity == valid) {
        let known = resync.known.map_or_else(Ranges::all, |k| k.resolve(u32::MAX));
        earlier(ctx, resync.modseq, &known)?;
        changed(ctx, resync.modseq, &known)?;
    }
    claim_recent(ctx.inner, &name, read_only);
    Ok(if read_only { "[READ-ONLY] Examine completed." } else { "[READ-WRITE] Select completed." }
        .to_owned())
}

/// `(CONDSTORE)` or `(QRESYNC (uidvalidity modseq [known-uids [seq-match-data]]))`.
fn parameters(ctx: &mut Ctx<'_>, arg: Option<&Arg>) -> Result<Option<Resync>, Refusal> {
    let Some(arg) = arg else { return Ok(None) };
    let Some(mut list) = arg.list().filter(|_| ctx.inner.profile.has_modseq()) else {
        return ctx.misuse("Invalid arguments");
    };
    let mut resync = None;
    while let Some(word) = list.first() {
        if word.is("CONDSTORE") {
            ctx.enable_condstore();
            list = &list[1..];
        } else if let Some(values) = list.get(1).and_then(Arg::list).filter(|_| word.is("QRESYNC"))
        {
            if !ctx.me.qresync {
                return ctx.misuse("QRESYNC not enabled");
            }
            let number =
                |at: usize| values.get(at).and_then(Arg::atom).and_then(|t| t.parse().ok());
            let validity: Option<u64> = number(0);
            let (Some(validity), Some(modseq)) = (validity, number(1).filter(|n| *n > 0)) else {
                return ctx.misuse("Invalid QRESYNC parameters");
            };
            let known = values.get(2).filter(|a| a.atom().is_some());
            let known = known.map(|a| ctx.set(Some(a))).transpose()?;
            let uid_validity = u32::try_from(validity).unwrap_or(0);
            resync = Some(Resync { uid_validity, modseq, known });
            list = &list[2..];
        } else {
            return ctx.misuse("Unknown SELECT parameter");
        }
    }
    Ok(resync)
}

/// VANISHED (EARLIER): what was expunged after a mod-sequence, among the UIDs asked for.
pub(super) fn earlier(ctx: &mut Ctx<'_>, since: u64, known: &Ranges) -> Result<(), Refusal> {
    let mailbox = ctx.selected()?;
    let uids = if ctx.faults.is(&Fault::WrongVanished) {
        (1..mailbox.uid_next).collect()
    } else {
        mailbox.vanished_since(since)
    };
    let uids: Vec<u32> = uids.into_iter().filter(|uid| known.contains(*uid)).collect();
    if !uids.is_empty() {
        ctx.out.line(format_args!("* VANISHED (EARLIER) {}", set::format(uids)));
    }
    Ok(())
}

/// FETCH rows of what changed after a mod-sequence, among the UIDs asked for.
fn changed(ctx: &mut Ctx<'_>, since: u64, known: &Ranges) -> Result<(), Refusal> {
    let Some(view) = &ctx.me.view else { return bad("No mailbox selected.") };
    for (at, m) in view.rows.iter().enumerate() {
        if m.modseq > since && known.contains(m.uid) {
            let flags = view.flags_of(m);
            let (n, uid, modseq) = (at + 1, m.uid, m.modseq);
            ctx.out.line(format_args!("* {n} FETCH (UID {uid} FLAGS ({flags}) MODSEQ ({modseq}))"));
        }
    }
    Ok(())
}

/// UNSELECT, and CLOSE, which expunges first without telling (RFC 3501 §6.4.2).
pub(super) fn close(ctx: &mut Ctx<'_>) -> Answer {
    let view = ctx.view()?;
    let (name, read_only, identity) = (view.name.clone(), view.read_only, view.identity);
    ctx.me.view = None;
    if ctx.verb == "UNSELECT" {
        return Ok("Unselect completed.".to_owned());
    }
    let raises = ctx.inner.profile.expunge_raises_modseq;
    let keep = super::store::kept(ctx);
    let same = ctx.inner.state.get(&name).is_some_and(|m| m.identity == identity);
    if let Some(mailbox) = ctx.inner.state.get_mut(&name).filter(|_| same && !read_only) {
        super::store::expunge_deleted(mailbox, None, keep.as_deref(), raises);
    } else if !same {
        return no("Mailbox is gone.");
    }
    Ok("Close completed.".to_owned())
}
