//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE.

use super::{Answer, Ctx, Refusal, no};
use crate::imap::args::Arg;
use crate::imap::name;
use crate::imap::state::Trouble;

fn explain(trouble: &Trouble, wanted: &str) -> Answer {
    let wanted = name::encode(wanted);
    no(match trouble {
        Trouble::Missing => format!("[NONEXISTENT] Mailbox doesn't exist: {wanted}."),
        Trouble::Exists => "[ALREADYEXISTS] Mailbox already exists.".to_owned(),
        Trouble::HasChildren => "Mailbox has children, delete them first.".to_owned(),
        Trouble::Inbox => "INBOX can't be deleted.".to_owned(),
        Trouble::BelowItself => "Can't rename mailbox under its own child.".to_owned(),
        Trouble::Name(why) => format!("[CANNOT] Invalid mailbox name: {why}."),
    })
}

/// A name that is to be given to a mailbox, as this server gives it.
fn wanted(ctx: &Ctx<'_>, arg: Option<&Arg>) -> Result<String, Refusal> {
    let (name, profile) = (ctx.mailbox(arg)?, &ctx.inner.profile);
    if !name.starts_with(&profile.prefix) {
        return no("[CANNOT] Invalid mailbox name.");
    }
    let trimmed = || name.trim_end_matches(' ').to_owned();
    Ok(if profile.trims_names { trimmed() } else { name })
}

pub(super) fn create(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let name = wanted(ctx, args.first())?;
    let real_parents = ctx.inner.profile.real_parents;
    match ctx.inner.state.create(&name, real_parents) {
        Ok(()) => {
            let id = ctx.inner.state.get(&name).map(|m| m.mailbox_id.clone());
            Ok(match id.filter(|_| ctx.inner.profile.objectid) {
                Some(id) => format!("[MAILBOXID ({id})] Create completed."),
                None => "Create completed.".to_owned(),
            })
        }
        Err(trouble) => explain(&trouble, &name),
    }
}

pub(super) fn delete(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let name = ctx.mailbox(args.first())?;
    match ctx.inner.state.delete(&name) {
        Ok(()) => Ok("Delete completed.".to_owned()),
        Err(trouble) => explain(&trouble, &name),
    }
}

pub(super) fn rename(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let from = ctx.mailbox(args.first())?;
    let to = wanted(ctx, args.get(1))?;
    match ctx.inner.state.rename(&from, &to) {
        Ok(()) => Ok("Rename completed.".to_owned()),
        Err(Trouble::Exists) => no("[ALREADYEXISTS] Target mailbox already exists."),
        Err(trouble) => explain(&trouble, &from),
    }
}

pub(super) fn subscribe(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let name = ctx.mailbox(args.first())?;
    if ctx.verb == "UNSUBSCRIBE" {
        ctx.inner.state.subscribed.remove(&name);
        return Ok("Unsubscribe completed.".to_owned());
    }
    if !ctx.inner.state.mailboxes.contains_key(&name) {
        return ctx.missing(&name);
    }
    ctx.inner.state.subscribed.insert(name);
    Ok("Subscribe completed.".to_owned())
}
