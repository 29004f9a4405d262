//! LIST (RFC 5258, 5819, 6154), LSUB and STATUS.

use super::{Answer, Ctx, Refusal, no};
use crate::imap::args::Arg;
use crate::imap::fault::Fault;
use crate::imap::{StatusIds, name, respond};

/// The items of STATUS in the order in which they are told.
const ITEMS: [&str; 7] =
    ["MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ", "MAILBOXID"];

/// What a LIST asks for.
#[derive(Debug, Default)]
struct Wish {
    patterns: Vec<String>,
    only_subscribed: bool,
    only_special: bool,
    /// In an extended LIST attributes are told only as far as they are asked for.
    returns: bool,
    children: bool,
    special: bool,
    subscribed: bool,
    status: Option<Vec<String>>,
}

pub(super) fn list(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let wish = wish(ctx, args)?;
    let delimiter = ctx.inner.profile.delimiter;
    let done = if ctx.verb == "LSUB" { "Lsub completed." } else { "List completed." };
    if wish.patterns.iter().all(String::is_empty) {
        let verb = ctx.verb;
        let delimiter = respond::delimiter(delimiter);
        ctx.out.line(format_args!("* {verb} (\\Noselect) {delimiter} \"\""));
        return Ok(done.to_owned());
    }
    let names: Vec<String> = if wish.only_subscribed {
        ctx.inner.state.subscribed.iter().cloned().collect()
    } else {
        ctx.inner.state.mailboxes.keys().cloned().collect()
    };
    for full in names {
        let fits = wish.patterns.iter().any(|p| name::matches(p, &full, delimiter));
        let special = ctx.inner.profile.attribute(&full).is_some();
        if !fits || (wish.only_special && !special) || omitted(ctx, &full) {
            continue;
        }
        let attributes = attributes(ctx, &full, &wish).join(" ");
        let (verb, wire) = (ctx.verb, respond::mailbox(&full));
        let delimiter = respond::delimiter(delimiter);
        ctx.out.line(format_args!("* {verb} ({attributes}) {delimiter} {wire}"));
        if let Some(items) = wish.status.as_ref().filter(|_| ctx.inner.state.get(&full).is_some()) {
            status_line(ctx, &full, items)?;
        }
    }
    Ok(done.to_owned())
}

fn omitted(ctx: &Ctx<'_>, full: &str) -> bool {
    let delimiter = ctx.inner.profile.delimiter;
    let hides = |f: &Fault| match f {
        Fault::OmitFromList(hidden)
            if full == hidden || name::is_below(full, hidden, delimiter) =>
        {
            Some(())
        }
        _ => None,
    };
    ctx.faults.find(hides).is_some()
}

fn attributes(ctx: &Ctx<'_>, full: &str, wish: &Wish) -> Vec<String> {
    if ctx.verb == "LSUB" {
        return Vec::new();
    }
    let state = &ctx.inner.state;
    let profile = &ctx.inner.profile;
    let mut list = Vec::new();
    match state.mailboxes.get(full) {
        None => list.push("\\NonExistent".to_owned()),
        Some(mailbox) if mailbox.noselect => list.push("\\Noselect".to_owned()),
        Some(_) => {}
    }
    if profile.children && (wish.children || !wish.returns) {
        let has = state.has_children(full);
        list.push(if has { "\\HasChildren" } else { "\\HasNoChildren" }.to_owned());
    }
    if wish.subscribed && state.subscribed.contains(full) {
        list.push("\\Subscribed".to_owned());
    }
    if wish.special || !wish.returns {
        list.extend(profile.attribute(full).map(str::to_owned));
    }
    list
}

/// `LIST [(selection)] reference pattern|(patterns) [RETURN (options)]`.
fn wish(ctx: &Ctx<'_>, args: &[Arg]) -> Result<Wish, Refusal> {
    let profile = &ctx.inner.profile;
    let extended = ctx.verb == "LIST" && (profile.list_extended || profile.list_status);
    let mut wish = Wish { only_subscribed: ctx.verb == "LSUB", ..Wish::default() };
    let mut args = args;
    if let Some(selection) = args.first().and_then(Arg::list).filter(|_| extended) {
        for option in selection {
            wish.only_subscribed |= option.is("SUBSCRIBED");
            wish.subscribed |= option.is("SUBSCRIBED");
            wish.only_special |= option.is("SPECIAL-USE");
        }
        wish.returns = true;
        args = &args[1..];
    }
    let [reference, pattern, rest @ ..] = args else { return ctx.misuse("Invalid arguments") };
    let Some(reference) = reference.bytes().and_then(name::decode) else {
        return ctx.misuse("Invalid reference");
    };
    let patterns = match pattern {
        Arg::List(many) if extended => {
            wish.returns = true;
            many.as_slice()
        }
        one => std::slice::from_ref(one),
    };
    for pattern in patterns {
        let Some(pattern) = pattern.bytes().and_then(name::decode) else {
            return no("Mailbox name is not valid mUTF-7.");
        };
        wish.patterns.push(if pattern.is_empty() {
            pattern
        } else {
            format!("{reference}{pattern}")
        });
    }
    match rest {
        [] => {}
        [word, options] if extended && word.is("RETURN") => {
            returns(ctx, options.list().unwrap_or_default(), &mut wish)?;
        }
        _ => return ctx.misuse("Extra arguments"),
    }
    Ok(wish)
}

fn returns(ctx: &Ctx<'_>, mut options: &[Arg], wish: &mut Wish) -> Result<(), Refusal> {
    wish.returns = true;
    while let Some(option) = options.first() {
        options = &options[1..];
        if option.is("CHILDREN") {
            wish.children = true;
        } else if option.is("SUBSCRIBED") {
            wish.subscribed = true;
        } else if option.is("SPECIAL-USE") && ctx.inner.profile.special_use {
            wish.special = true;
        } else if option.is("STATUS") && ctx.inner.profile.list_status {
            let items = options.first().and_then(Arg::list).unwrap_or_default();
            wish.status = Some(items_of(items));
            options = options.get(1..).unwrap_or_default();
        } else {
            return ctx.misuse("Unknown return option");
        }
    }
    Ok(())
}

fn items_of(items: &[Arg]) -> Vec<String> {
    items.iter().filter_map(Arg::atom).map(str::to_ascii_uppercase).collect()
}

pub(super) fn status(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let full = ctx.mailbox(args.first())?;
    let Some(items) = args.get(1).and_then(Arg::list).filter(|l| !l.is_empty()) else {
        return ctx.misuse("Invalid arguments");
    };
    if ctx.inner.state.get(&full).is_none() {
        return ctx.missing(&full);
    }
    status_line(ctx, &full, &items_of(items))?;
    let selected = ctx.me.view.as_ref().is_some_and(|v| v.name == full);
    Ok(if selected {
        "[CLIENTBUG] Status on selected mailbox completed."
    } else {
        "Status completed."
    }
    .to_owned())
}

/// One STATUS response; that of the selected mailbox tells what the session knows, if the
/// profile says so.
fn status_line(ctx: &mut Ctx<'_>, full: &str, items: &[String]) -> Result<(), Refusal> {
    if items.iter().any(|i| i == "HIGHESTMODSEQ") {
        ctx.enable_condstore();
    }
    let profile = &ctx.inner.profile;
    let Some(mailbox) = ctx.inner.state.get(full) else { return Ok(()) };
    let blind = profile.blind_status;
    let told = ctx.me.view.as_ref().filter(|v| blind && v.identity == mailbox.identity);
    let rows: Vec<_> = match told {
        Some(view) => view.rows.iter().collect(),
        None => mailbox.visible(ctx.inner.window).collect(),
    };
    let (next, highest) =
        told.map_or((mailbox.uid_next, mailbox.highest_modseq), |v| (v.uid_next, v.highest_modseq));
    let next = ctx.told_uid_next(next);
    if items.iter().any(|i| !ITEMS.contains(&i.as_str())) {
        return ctx.misuse("Invalid status item");
    }
    let mut values = Vec::new();
    for item in ITEMS.into_iter().filter(|known| items.iter().any(|i| i == known)) {
        values.push(match item {
            "MESSAGES" => format!("MESSAGES {}", rows.len()),
            "RECENT" => {
                let recent = rows.iter().filter(|m| m.uid >= mailbox.recent_from).count();
                format!("RECENT {}", told.map_or(recent, |v| v.recent.len()))
            }
            "UIDNEXT" if profile.uidnext => format!("UIDNEXT {next}"),
            "UIDNEXT" => continue,
            "UIDVALIDITY" => format!("UIDVALIDITY {}", mailbox.uid_validity),
            "UNSEEN" => {
                let unseen = rows.iter().filter(|m| !m.flags.contains("\\Seen")).count();
                format!("UNSEEN {unseen}")
            }
            "HIGHESTMODSEQ" if profile.has_modseq() => format!("HIGHESTMODSEQ {highest}"),
            "MAILBOXID" if profile.objectid => match profile.status_ids {
                StatusIds::True => format!("MAILBOXID ({})", mailbox.mailbox_id),
                StatusIds::Garbled => format!("MAILBOXID (\u{418}{next})"),
                StatusIds::Untrue => format!("MAILBOXID (z{next}{})", mailbox.mailbox_id),
            },
            _ => return ctx.misuse("Invalid status item"),
        });
    }
    let line = values.join(" ");
    ctx.out.line(format_args!("* STATUS {} ({line})", respond::mailbox(full)));
    Ok(())
}
