//! STORE (with UNCHANGEDSINCE, RFC 7162 §3.1.3), EXPUNGE and UID EXPUNGE (RFC 4315 §2.1).

use std::sync::Arc;

use super::{Answer, Ctx, Refusal, append, inconsistent};
use crate::imap::args::Arg;
use crate::imap::fault::{Fault, names};
use crate::imap::mailbox::{Mailbox, Op};
use crate::imap::set::{self, Ranges};

pub(super) fn store(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let positions = ctx.positions(args.first())?;
    let (unchanged_since, args) = modifier(ctx, args.get(1..).unwrap_or_default())?;
    let (op, silent) = operation(ctx, args.first())?;
    let flags = match args.get(1..).unwrap_or_default() {
        [] => return ctx.misuse("Missing flags"),
        [Arg::List(list)] => append::flags(ctx, list)?,
        bare => append::flags(ctx, bare)?,
    };
    let (uid_form, condstore) = (ctx.uid(), ctx.me.condstore);
    let Some(view) = ctx.me.view.as_mut() else { return Err(inconsistent()) };
    if view.read_only {
        return Ok("Store ignored with read-only mailbox.".to_owned());
    }
    let Some(mailbox) = ctx.inner.state.get_mut(&view.name) else { return Err(inconsistent()) };
    let mut modified = Vec::new();
    let mut targets = Vec::new();
    for at in positions {
        let row = &view.rows[at];
        let Some(now) = mailbox.messages.get(&row.uid) else { continue };
        if unchanged_since.is_some_and(|since| now.modseq > since) {
            let position = u32::try_from(at + 1).unwrap_or(u32::MAX);
            modified.push(if uid_form { row.uid } else { position });
        } else {
            targets.push((at, row.uid, now.modseq == row.modseq));
        }
    }
    let uids: Vec<u32> = targets.iter().map(|(_, uid, _)| *uid).collect();
    let changed = mailbox.store(&uids, op, &flags);
    for (at, uid, knew_all) in targets {
        // What others changed in the same message is still to be told in full.
        if !silent || !knew_all || changed.binary_search(&uid).is_err() {
            continue;
        }
        let Some(now) = mailbox.messages.get(&uid) else { continue };
        view.rows[at] = Arc::clone(now);
        if condstore {
            let modseq = now.modseq;
            ctx.out.line(format_args!("* {} FETCH (UID {uid} MODSEQ ({modseq}))", at + 1));
        }
    }
    if modified.is_empty() {
        Ok("Store completed.".to_owned())
    } else {
        Ok(format!("[MODIFIED {}] Conditional store failed.", set::format(modified)))
    }
}

/// `(UNCHANGEDSINCE n)`, which shows that the client knows mod-sequences.
fn modifier<'a>(ctx: &mut Ctx<'_>, args: &'a [Arg]) -> Result<(Option<u64>, &'a [Arg]), Refusal> {
    let Some(list) = args.first().and_then(Arg::list) else { return Ok((None, args)) };
    let has = ctx.inner.profile.has_modseq();
    match list {
        [word, n] if has && word.is("UNCHANGEDSINCE") => {
            ctx.enable_condstore();
            match n.atom().and_then(|t| t.parse().ok()) {
                Some(n) => Ok((Some(n), &args[1..])),
                None => ctx.misuse("Invalid UNCHANGEDSINCE modseq"),
            }
        }
        _ => ctx.misuse("Unknown STORE modifier"),
    }
}

fn operation(ctx: &Ctx<'_>, arg: Option<&Arg>) -> Result<(Op, bool), Refusal> {
    let word = arg.and_then(Arg::atom).unwrap_or_default().to_ascii_uppercase();
    let (word, silent) = match word.strip_suffix(".SILENT") {
        Some(word) => (word, true),
        None => (word.as_str(), false),
    };
    match word {
        "FLAGS" => Ok((Op::Set, silent)),
        "+FLAGS" => Ok((Op::Add, silent)),
        "-FLAGS" => Ok((Op::Remove, silent)),
        _ => ctx.misuse("Invalid STORE item"),
    }
}

pub(super) fn expunge(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let view = ctx.view()?;
    let (name, read_only, max) = (view.name.clone(), view.read_only, view.max_uid());
    let only = if ctx.uid() { Some(ctx.set(args.first())?.resolve(max)) } else { None };
    let keep = kept(ctx);
    let raises = ctx.inner.profile.expunge_raises_modseq;
    let done = "Expunge completed.".to_owned();
    if read_only {
        return Ok(done);
    }
    let Some(mailbox) = ctx.inner.state.get_mut(&name) else { return Err(inconsistent()) };
    expunge_deleted(mailbox, only.as_ref(), keep.as_deref(), raises);
    Ok(done)
}

/// The UIDs that do not go, whatever is said (empty: none goes).
pub(super) fn kept(ctx: &Ctx<'_>) -> Option<Vec<u32>> {
    ctx.faults.find(|f| match f {
        Fault::KeepExpunged(uids) => Some(uids.clone()),
        _ => None,
    })
}

/// Removes what has `\Deleted`, of the UIDs named if there are any.
pub(super) fn expunge_deleted(
    mailbox: &mut Mailbox,
    only: Option<&Ranges>,
    keep: Option<&[u32]>,
    raises_modseq: bool,
) {
    let uids: Vec<u32> = mailbox
        .messages
        .values()
        .filter(|m| m.flags.contains("\\Deleted"))
        .map(|m| m.uid)
        .filter(|uid| only.is_none_or(|only| only.contains(*uid)))
        .filter(|uid| !keep.is_some_and(|keep| names(keep, *uid)))
        .collect();
    mailbox.expunge(&uids, raises_modseq);
}
