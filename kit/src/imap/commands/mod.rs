//! The commands, carried out under the server's lock.

mod append;
mod copy;
mod fetch;
mod items;
mod list;
mod mailboxes;
mod search;
mod select;
mod store;

use super::args::{self, Arg, Piece};
use super::fault::{Active, Fault};
use super::mailbox::Mailbox;
use super::profile::{Modseq, Profile};
use super::respond::Out;
use super::session::{After, Session};
use super::set::{Ranges, Set};
use super::view::{Manner, View};
use super::{Inner, name};

pub(super) use append::{Upload, refuse_literal, store_late};

/// What the tagged line says after its OK.
pub(super) type Answer = Result<String, Refusal>;

/// What the tagged line says instead of OK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// NO.
    No(String),
    /// BAD.
    Bad(String),
    /// An untagged BYE, and the end.
    Bye(String),
}

fn no<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::No(text.into()))
}

fn bad<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Bad(text.into()))
}

/// Hides what was added, if that is the fault.
fn hide(ctx: &mut Ctx<'_>, full: &str, uids: &[u32]) {
    if ctx.faults.is(&Fault::HideAddition)
        && let Some(mailbox) = ctx.inner.state.get_mut(full)
    {
        mailbox.hidden.extend(uids);
    }
}

/// A command in its surroundings.
pub(super) struct Ctx<'a> {
    pub(super) inner: &'a mut Inner,
    pub(super) me: &'a mut Session,
    pub(super) faults: &'a Active,
    pub(super) out: &'a mut Out,
    pub(super) tag: &'a str,
    pub(super) verb: &'a str,
}

impl Ctx<'_> {
    /// Whether this is the UID form of its command.
    fn uid(&self) -> bool {
        self.verb.starts_with("UID ")
    }

    /// A wrong use of the command.
    fn misuse<T>(&self, why: &str) -> Result<T, Refusal> {
        bad(format!("Error in IMAP command {}: {why}.", self.verb))
    }

    /// The selected mailbox as told.
    fn view(&self) -> Result<&View, Refusal> {
        self.me.view.as_ref().ok_or_else(|| Refusal::Bad("No mailbox selected.".to_owned()))
    }

    /// The selected mailbox as it is.
    fn selected(&self) -> Result<&Mailbox, Refusal> {
        let name = &self.view()?.name;
        self.inner.state.get(name).ok_or_else(inconsistent)
    }

    /// A mailbox argument: modified UTF-7 in, UTF-8 out.
    fn mailbox(&self, arg: Option<&Arg>) -> Result<String, Refusal> {
        let Some(wire) = arg.and_then(Arg::bytes) else {
            return self.misuse("Invalid arguments");
        };
        match name::decode(wire) {
            Some(utf8) => Ok(name::canonical(&utf8, self.inner.profile.delimiter)),
            None => no("Mailbox name is not valid mUTF-7."),
        }
    }

    /// A sequence set argument.
    fn set(&self, arg: Option<&Arg>) -> Result<Set, Refusal> {
        match arg.and_then(Arg::atom).and_then(Set::parse) {
            Some(set) => Ok(set),
            None => self.misuse("Invalid messageset"),
        }
    }

    /// Positions in the view that a sequence set (of UIDs in a UID command) names.
    fn positions(&self, arg: Option<&Arg>) -> Result<Vec<usize>, Refusal> {
        let view = self.view()?;
        let set = self.set(arg)?;
        if !self.uid() && set.exceeds(view.len()) {
            return self.misuse("Invalid messageset");
        }
        let max = if self.uid() { view.max_uid() } else { view.len() };
        if max == 0 {
            return Ok(Vec::new());
        }
        let ranges = set.resolve(max);
        Ok(matching(view, &ranges, self.uid()))
    }

    /// UIDNEXT as the client is told it.
    fn told_uid_next(&self, uid_next: u32) -> u32 {
        let low = self.faults.find(|fault| match fault {
            Fault::LowUidNext(by) => Some(*by),
            _ => None,
        });
        low.map_or(uid_next, |by| uid_next.saturating_sub(by).max(1))
    }

    /// The answer for a mailbox that is not there.
    fn missing<T>(&self, name: &str) -> Result<T, Refusal> {
        let code = if self.inner.profile.nonexistent_code { "[NONEXISTENT] " } else { "" };
        no(format!("{code}Mailbox doesn't exist: {}.", name::encode(name)))
    }

    /// CONDSTORE is on from here (RFC 7162 §3.1): some command has shown that the client knows it.
    fn enable_condstore(&mut self) {
        self.me.condstore |= self.inner.profile.has_modseq();
    }
}

fn matching(view: &View, ranges: &Ranges, by_uid: bool) -> Vec<usize> {
    let number = |at: usize| {
        if by_uid { view.rows[at].uid } else { u32::try_from(at + 1).unwrap_or(u32::MAX) }
    };
    (0..view.rows.len()).filter(|at| ranges.contains(number(*at))).collect()
}

fn inconsistent() -> Refusal {
    Refusal::Bye("IMAP session state is inconsistent, please relogin.".to_owned())
}

/// Whether the selected mailbox's changes are told with a command (Dovecot's choice).
fn tells(verb: &str) -> bool {
    let verb = verb.strip_prefix("UID ").unwrap_or(verb);
    matches!(
        verb,
        "NOOP"
            | "CHECK"
            | "FETCH"
            | "STORE"
            | "SEARCH"
            | "APPEND"
            | "COPY"
            | "MOVE"
            | "EXPUNGE"
            | "IDLE"
    )
}

/// Carries a command out, tells the selected mailbox's changes, gives the tagged line.
pub(super) fn run(ctx: &mut Ctx<'_>, pieces: &[Piece]) -> Answer {
    let args = match args::parse(pieces) {
        Ok(args) => args,
        Err(why) => return ctx.misuse(why),
    };
    let before = ctx.me.signed_in || may_come_first(ctx.verb);
    if !before {
        return bad("Error in IMAP command received by server.");
    }
    check_selected(ctx)?;
    let answer = dispatch(ctx, &args);
    if matches!(answer, Err(Refusal::Bad(_) | Refusal::Bye(_))) || ctx.me.after != After::Go {
        return answer;
    }
    let told_gone = tell(ctx)?;
    match answer {
        Ok(text) if told_gone && ctx.me.qresync && !text.starts_with('[') => {
            let highest = ctx.view()?.highest_modseq;
            Ok(format!("[HIGHESTMODSEQ {highest}] {text}"))
        }
        other => other,
    }
}

/// The session ends when its mailbox was deleted, renamed or put back under it.
fn check_selected(ctx: &Ctx<'_>) -> Result<(), Refusal> {
    let Some(view) = ctx.me.view.as_ref().filter(|_| tells(ctx.verb)) else { return Ok(()) };
    match ctx.inner.state.get(&view.name) {
        Some(mailbox) if mailbox.identity == view.identity => Ok(()),
        _ => Err(inconsistent()),
    }
}

/// Tells the selected mailbox's changes if the command is one that does; true when messages
/// were told to be gone.
pub(super) fn tell(ctx: &mut Ctx<'_>) -> Result<bool, Refusal> {
    check_selected(ctx)?;
    let how = Manner {
        expunges: !matches!(ctx.verb, "FETCH" | "STORE" | "SEARCH" | "UID SEARCH"),
        uid: ctx.me.qresync || ctx.verb == "UID STORE",
        modseq: ctx.me.condstore,
        vanished: ctx.me.qresync,
        window: ctx.inner.window,
    };
    let Some(view) = ctx.me.view.as_mut().filter(|_| tells(ctx.verb)) else { return Ok(false) };
    let Some(mailbox) = ctx.inner.state.get(&view.name).filter(|m| view.is_stale(m)) else {
        return Ok(false);
    };
    let told_gone = view.tell(mailbox, &ctx.inner.profile, how, ctx.out);
    let (name, read_only) = (view.name.clone(), view.read_only);
    claim_recent(ctx.inner, &name, read_only);
    Ok(told_gone)
}

/// From now on only later messages are `\Recent` to another session.
fn claim_recent(inner: &mut Inner, name: &str, read_only: bool) {
    let claimable = inner.state.get(name).is_some_and(|m| m.recent_from < m.uid_next);
    if claimable && !read_only {
        let changes = inner.state.changes;
        if let Some(mailbox) = inner.state.get_mut(name) {
            mailbox.recent_from = mailbox.uid_next;
        }
        // Nobody needs to be told of it.
        inner.state.changes = changes;
    }
}

fn may_come_first(verb: &str) -> bool {
    matches!(verb, "CAPABILITY" | "NOOP" | "LOGOUT" | "LOGIN" | "STARTTLS" | "ID")
}

fn dispatch(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let p = &ctx.inner.profile;
    let unknown = match ctx.verb {
        "ENABLE" => !p.enable,
        "ID" => !p.id,
        "NAMESPACE" => !p.namespace,
        "UNSELECT" => !p.unselect,
        "MOVE" | "UID MOVE" => !p.move_,
        "UID EXPUNGE" => !p.uidplus,
        "STARTTLS" => !p.starttls || ctx.me.encrypted || ctx.me.signed_in,
        "LOGIN" => ctx.me.signed_in,
        _ => false,
    };
    if unknown {
        return ctx.misuse("Unknown command");
    }
    match ctx.verb {
        "CAPABILITY" => Ok(capability(ctx)),
        "NOOP" => Ok("NOOP completed.".to_owned()),
        "CHECK" => ctx.view().map(|_| "Check completed.".to_owned()),
        "LOGOUT" => Ok(logout(ctx)),
        "LOGIN" => login(ctx, args),
        "STARTTLS" => Ok("Begin TLS negotiation now.".to_owned()),
        "ENABLE" => enable(ctx, args),
        "ID" => Ok(id(ctx)),
        "NAMESPACE" => Ok(namespace(ctx)),
        "SELECT" | "EXAMINE" => select::select(ctx, args),
        "UNSELECT" | "CLOSE" => select::close(ctx),
        "LIST" | "LSUB" => list::list(ctx, args),
        "STATUS" => list::status(ctx, args),
        "CREATE" => mailboxes::create(ctx, args),
        "DELETE" => mailboxes::delete(ctx, args),
        "RENAME" => mailboxes::rename(ctx, args),
        "SUBSCRIBE" | "UNSUBSCRIBE" => mailboxes::subscribe(ctx, args),
        "APPEND" => append::append(ctx, args),
        "SEARCH" | "UID SEARCH" => search::search(ctx, args),
        "FETCH" | "UID FETCH" => fetch::fetch(ctx, args),
        "STORE" | "UID STORE" => store::store(ctx, args),
        "EXPUNGE" | "UID EXPUNGE" => store::expunge(ctx, args),
        "COPY" | "UID COPY" | "MOVE" | "UID MOVE" => copy::copy(ctx, args),
        _ => ctx.misuse("Unknown command"),
    }
}

fn capability(ctx: &mut Ctx<'_>) -> String {
    let list = ctx.inner.profile.capabilities(ctx.me.encrypted, ctx.me.signed_in);
    ctx.out.line(format_args!("* CAPABILITY {list}"));
    "Capability completed.".to_owned()
}

fn logout(ctx: &mut Ctx<'_>) -> String {
    ctx.out.line(format_args!("* BYE Logging out"));
    ctx.me.after = After::Close;
    "Logout completed.".to_owned()
}

fn login(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let [user, password] = args else { return ctx.misuse("Invalid arguments") };
    let (Some(user), Some(password)) = (user.text(), password.text()) else {
        return ctx.misuse("Invalid arguments");
    };
    sign_in(&ctx.inner.profile, ctx.me, user, password)
}

/// Checks user and password; used by LOGIN and AUTHENTICATE.
pub(super) fn sign_in(profile: &Profile, me: &mut Session, user: &str, password: &str) -> Answer {
    if me.signed_in {
        return bad("Error in IMAP command: Already signed in.");
    }
    if profile.login_disabled && !me.encrypted {
        return no(
            "[PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure connections.",
        );
    }
    let known = |(u, p): &(String, String)| u == user && p == password;
    if !profile.credentials.as_ref().is_none_or(known) {
        return no("[AUTHENTICATIONFAILED] Authentication failed.");
    }
    me.signed_in = true;
    let list = profile.capabilities(me.encrypted, true);
    let code =
        if profile.capability_code { format!("[CAPABILITY {list}] ") } else { String::new() };
    Ok(format!("{code}Logged in"))
}

/// ENABLE (RFC 5161); QRESYNC turns CONDSTORE on as well (RFC 7162 §3.2.3).
fn enable(ctx: &mut Ctx<'_>, args: &[Arg]) -> Answer {
    let mut enabled = Vec::new();
    for arg in args {
        let modseq = ctx.inner.profile.modseq;
        if arg.is("QRESYNC") && modseq == Modseq::Qresync {
            ctx.me.qresync = true;
            ctx.me.condstore = true;
            enabled.push("QRESYNC");
        } else if arg.is("CONDSTORE") && modseq != Modseq::None {
            ctx.me.condstore = true;
            enabled.push("CONDSTORE");
        }
    }
    let list: String = enabled.iter().map(|e| format!(" {e}")).collect();
    ctx.out.line(format_args!("* ENABLED{list}"));
    Ok("Enabled.".to_owned())
}

fn id(ctx: &mut Ctx<'_>) -> String {
    ctx.out.line(format_args!("* ID (\"name\" \"Simulated\")"));
    "ID completed.".to_owned()
}

fn namespace(ctx: &mut Ctx<'_>) -> String {
    let p = &ctx.inner.profile;
    let delimiter = super::respond::delimiter(p.delimiter);
    let line = format!("* NAMESPACE ((\"{}\" {delimiter})) NIL NIL", p.prefix);
    ctx.out.line(format_args!("{line}"));
    "Namespace completed.".to_owned()
}
