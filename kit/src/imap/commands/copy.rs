//! COPY and MOVE (RFC 6851) with COPYUID (RFC 4315 §3).

use std::sync::Arc;

use super::{Answer, Ctx, inconsistent, no};
use crate::imap::args::Arg;
use crate::imap::fault::{Fault, names};
use crate::imap::mailbox::{Arrival, Msg};
use crate::imap::{name, set};

pub(super) fn copy(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let positions = ctx.positions(args.first())?;
    let target = ctx.mailbox(args.get(1))?;
    let is_move = ctx.verb.ends_with("MOVE");
    let verb = if is_move { "Move" } else { "Copy" };
    let view = ctx.view()?;
    let source = view.name.clone();
    if is_move && view.read_only {
        return no("[READ-ONLY] Mailbox is read-only.");
    }
    let mailbox = ctx.selected()?;
    // What is gone already is left out, and COPYUID does not name it.
    let messages: Vec<Arc<Msg>> = positions
        .iter()
        .filter_map(|at| mailbox.messages.get(&view.rows[*at].uid))
        .map(Arc::clone)
        .collect();
    if messages.is_empty() {
        return Ok("No messages found.".to_owned());
    }
    if ctx.inner.state.get(&target).is_none() {
        return no(format!("[TRYCREATE] Mailbox doesn't exist: {}.", name::encode(&target)));
    }
    let from: Vec<u32> = messages.iter().map(|m| m.uid).collect();
    let to = add_copies(ctx, &target, &messages);
    let Some(valid) = ctx.inner.state.get(&target).map(|m| m.uid_validity) else {
        return Err(inconsistent());
    };
    let code = if ctx.inner.profile.uidplus && !ctx.faults.is(&Fault::LoseUidCode) {
        format!("[COPYUID {valid} {} {}] ", set::format(from.iter().copied()), set::format(to))
    } else {
        String::new()
    };
    if !is_move {
        return Ok(format!("{code}{verb} completed."));
    }
    // RFC 6851 §4.3: COPYUID comes before the EXPUNGEs, in an untagged OK.
    if !code.is_empty() {
        ctx.out.line(format_args!("* OK {code}Moved UIDs."));
    }
    let keep = super::store::kept(ctx);
    let go: Vec<u32> = from
        .into_iter()
        .filter(|uid| !keep.as_deref().is_some_and(|keep| names(keep, *uid)))
        .collect();
    let raises = ctx.inner.profile.expunge_raises_modseq;
    if let Some(mailbox) = ctx.inner.state.get_mut(&source) {
        mailbox.expunge(&go, raises);
    }
    Ok(format!("{verb} completed."))
}

fn add_copies(ctx: &mut Ctx<'_>, target: &str, messages: &[Arc<Msg>]) -> Vec<u32> {
    let swallow = ctx.faults.is(&Fault::SwallowAddition);
    let is_set = ctx.faults.is(&Fault::IsSet);
    let lose_date = ctx.faults.is(&Fault::LoseDate);
    let dropped = ctx.faults.find(|f| match f {
        Fault::DropKeyword(k) => Some(k.clone()),
        _ => None,
    });
    let mut uids = Vec::new();
    for message in messages {
        let date = if lose_date { ctx.inner.state.now() } else { message.date };
        let mut flags = message.flags.clone();
        flags.retain(|f| !dropped.as_ref().is_some_and(|k| k.eq_ignore_ascii_case(f)));
        let Some(mailbox) = ctx.inner.state.get_mut(target) else { continue };
        let held = mailbox.messages.values().find(|held| held.body == message.body).cloned();
        uids.push(if let Some(held) = held.filter(|_| is_set) {
            held.uid
        } else if swallow {
            mailbox.skip_uid()
        } else {
            let (body, email_id) = (Arc::clone(&message.body), message.email_id.clone());
            mailbox.add(Arrival { body, flags, date, email_id })
        });
    }
    super::hide(ctx, target, &uids);
    uids
}
