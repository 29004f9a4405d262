//! One connection: reading commands, carrying them out under the lock, answering.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::args::Piece;
use super::commands::{self, Answer, Ctx, Refusal};
use super::fault::{Active, CONNECT, Fault};
use super::log::Logged;
use super::respond::Out;
use super::view::View;
use super::wire::{Duplex, Gone, LineError, Wire};
use super::{Action, Late, Literals, Shared, lock, name, tls};

/// Literals of other commands than APPEND are names and search keys: short.
const MAX_SMALL_LITERAL: u64 = 64 * 1024;

/// What happens to the connection after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It goes on.
    Go,
    /// It ends without the answer.
    Cut,
    /// The server falls silent.
    Hang,
    /// It ends in order.
    Close,
}

/// What a connection knows of itself.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: u64,
    pub(super) encrypted: bool,
    pub(super) signed_in: bool,
    pub(super) view: Option<View>,
    /// The client has shown that it knows mod-sequences (RFC 7162 §3.1).
    pub(super) condstore: bool,
    pub(super) qresync: bool,
    pub(super) after: After,
    /// A late APPEND to finish after a delay.
    pub(super) timer: Option<(u64, std::time::Duration)>,
}

/// A command whose first line was read.
struct Request {
    tag: String,
    verb: String,
    faults: Active,
}

struct Link {
    shared: Arc<Shared>,
    wire: Wire,
    me: Session,
}

/// Speaks with one client until either side ends it.
pub(super) async fn run(shared: Arc<Shared>, io: Box<dyn Duplex>, encrypted: bool) {
    let connection = {
        let mut inner = shared.lock();
        inner.connections += 1;
        inner.log.counters.connections += 1;
        inner.connections
    };
    let me = Session {
        connection,
        encrypted,
        signed_in: false,
        view: None,
        condstore: false,
        qresync: false,
        after: After::Go,
        timer: None,
    };
    let mut dropped = shared.dropped.subscribe();
    let mut link = Link { shared, wire: Wire::new(io), me };
    tokio::select! {
        biased;
        _ = dropped.changed() => {}
        _ = link.talk() => {}
    }
    link.book();
}

impl Link {
    async fn talk(&mut self) -> Result<(), Gone> {
        self.greet().await?;
        while self.me.after == After::Go {
            let max = self.shared.lock().profile.max_line;
            match self.wire.line(max).await {
                Ok(line) => self.command(line).await?,
                Err(LineError::TooLong(start)) => {
                    let tag = String::from_utf8_lossy(&start).into_owned();
                    let tag = tag.split(' ').next().unwrap_or("*");
                    self.say(&format!("{tag} BAD Error in IMAP command: Too long argument."))
                        .await?;
                }
                Err(LineError::Gone) => return Err(Gone),
            }
            self.book();
        }
        match self.me.after {
            After::Hang => self.wire.drain().await,
            After::Close => self.wire.close().await,
            After::Cut | After::Go => {}
        }
        Ok(())
    }

    /// Books the octets that went over the wire.
    fn book(&mut self) {
        let mut inner = self.shared.lock();
        inner.log.counters.octets_sent += std::mem::take(&mut self.wire.sent);
        inner.log.counters.octets_received += std::mem::take(&mut self.wire.received);
    }

    async fn say(&mut self, line: &str) -> Result<(), Gone> {
        let mut out = Out::default();
        out.line(format_args!("{line}"));
        self.wire.send(&out).await
    }

    /// Starts what a fault counts octets for.
    fn arm(&mut self, faults: &Active) {
        let number = |f: &Fault| match f {
            Fault::CutAfterSent(n) => Some((true, *n)),
            _ => None,
        };
        if let Some((_, n)) = faults.find(number) {
            self.wire.send_left = Some(n);
        }
        let received = |f: &Fault| match f {
            Fault::CutAfterReceived(n) => Some(*n),
            _ => None,
        };
        if let Some(n) = faults.find(received) {
            self.wire.receive_left = Some(n);
        }
        let drip = |f: &Fault| match f {
            Fault::Drip(delay) => Some(*delay),
            _ => None,
        };
        if let Some(delay) = faults.find(drip) {
            self.wire.drip = Some(delay);
        }
    }

    async fn greet(&mut self) -> Result<(), Gone> {
        let (faults, greeting) = {
            let mut inner = self.shared.lock();
            let faults = inner.faults.at(CONNECT, [None, None]);
            let code = inner.profile.capability_code;
            let list = inner.profile.capabilities(self.me.encrypted, false);
            let code = if code { format!("[CAPABILITY {list}] ") } else { String::new() };
            (faults, format!("* OK {code}Simulated server ready."))
        };
        self.arm(&faults);
        self.disturb("*", &faults).await?;
        if self.me.after != After::Go {
            return Ok(());
        }
        self.say(&greeting).await
    }

    /// Faults that stand in for carrying the command out; true when one did.
    async fn disturb(&mut self, tag: &str, faults: &Active) -> Result<bool, Gone> {
        let stands_in = |f: &Fault| match f {
            Fault::CutBefore
            | Fault::Hang
            | Fault::Bye(_)
            | Fault::No(_)
            | Fault::Bad(_)
            | Fault::OkUndone
            | Fault::Inject(_) => Some(f.clone()),
            _ => None,
        };
        match faults.find(stands_in) {
            Some(Fault::CutBefore) => return Err(Gone),
            Some(Fault::Hang) => self.me.after = After::Hang,
            Some(Fault::Bye(text)) => {
                self.me.after = After::Close;
                self.say(&format!("* BYE {text}")).await?;
            }
            Some(Fault::No(text)) => self.say(&format!("{tag} NO {text}")).await?,
            Some(Fault::Bad(text)) => self.say(&format!("{tag} BAD {text}")).await?,
            Some(Fault::OkUndone) => self.say(&format!("{tag} OK Completed.")).await?,
            Some(Fault::Inject(octets)) => {
                let mut out = Out::default();
                out.bytes(&octets);
                self.wire.send(&out).await?;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn command(&mut self, line: Vec<u8>) -> Result<(), Gone> {
        let Some((tag, verb, rest)) = split(&line) else {
            return self.say("* BAD Error in IMAP tag: Invalid tag.").await;
        };
        let faults = {
            let selected = self.me.view.as_ref().map(|v| v.name.clone());
            let mut inner = self.shared.lock();
            let named = first_name(&rest, inner.profile.delimiter);
            inner.faults.at(&verb, [selected.as_deref(), named.as_deref()])
        };
        let standing_drip = self.wire.drip;
        self.arm(&faults);
        let request = Request { tag, verb, faults };
        if let Some(pieces) = self.pieces(&request, rest).await? {
            self.carry_out(&request, &pieces).await?;
        }
        self.wire.drip = standing_drip;
        Ok(())
    }

    /// Reads a command's literals and further lines; none when it was refused on the way.
    async fn pieces(&mut self, r: &Request, rest: Vec<u8>) -> Result<Option<Vec<Piece>>, Gone> {
        let mut pieces = Vec::new();
        let mut line = rest;
        loop {
            let Some((text, size, sync)) = announced(&line) else {
                pieces.push(Piece::Text(line));
                return Ok(Some(pieces));
            };
            pieces.push(Piece::Text(line[..text].to_vec()));
            let append = r.verb == "APPEND";
            let (refusal, keep) = {
                let inner = self.shared.lock();
                let allowed = sync
                    || match inner.profile.literals {
                        Literals::Plus => true,
                        Literals::Minus => size <= 4096,
                        Literals::Sync => false,
                    };
                let limit =
                    if append { inner.profile.append_limit } else { Some(MAX_SMALL_LITERAL) };
                let refusal = if !allowed {
                    Some("BAD Error in IMAP command: Invalid literal size.".to_owned())
                } else if append {
                    commands::refuse_literal(&inner, self.me.signed_in, &pieces, size)
                } else {
                    (size > MAX_SMALL_LITERAL).then(|| "BAD Literal is too big.".to_owned())
                };
                (refusal, limit.is_none_or(|max| size <= max))
            };
            if let Some(refusal) = refusal {
                if !sync {
                    self.skip(size).await?;
                }
                self.say(&format!("{} {refusal}", r.tag)).await?;
                return Ok(None);
            }
            if sync {
                self.say("+ OK").await?;
            }
            pieces.push(Piece::Literal(self.wire.exact(size, keep).await?));
            line = self.wire.line(usize::MAX).await.map_err(|_| Gone)?;
        }
    }

    /// Takes the rest of a command that is refused already.
    async fn skip(&mut self, mut size: u64) -> Result<(), Gone> {
        loop {
            self.wire.exact(size, false).await?;
            let line = self.wire.line(usize::MAX).await.map_err(|_| Gone)?;
            match announced(&line) {
                Some((_, next, false)) => size = next,
                _ => return Ok(()),
            }
        }
    }

    async fn carry_out(&mut self, r: &Request, pieces: &[Piece]) -> Result<(), Gone> {
        let text = shown(&r.verb, pieces);
        let selected = self.me.view.as_ref().map(|v| v.name.clone());
        let (connection, verb) = (self.me.connection, r.verb.clone());
        self.shared.lock().log.note(Logged { connection, selected, verb, line: text.clone() });
        let action = match lock(&self.shared.hook).as_mut() {
            Some(hook) => hook(&text),
            None => Action::Continue,
        };
        if action == Action::CutBefore {
            return Err(Gone);
        }
        if self.disturb(&r.tag, &r.faults).await? {
            return Ok(());
        }
        let (out, tagged) = match r.verb.as_str() {
            "IDLE" if self.may_idle() => (Out::default(), self.idle().await?),
            "AUTHENTICATE" => (Out::default(), self.authenticate(pieces).await?),
            _ => self.execute(r, pieces),
        };
        if let Some((id, delay)) = self.me.timer.take() {
            finish_later(Arc::clone(&self.shared), id, delay);
        }
        if self.me.after == After::Cut
            || action == Action::CutAfter
            || r.faults.is(&Fault::CutAfter)
        {
            return Err(Gone);
        }
        self.wire.send(&out).await?;
        if r.faults.is(&Fault::LoseTagged) {
            return Err(Gone);
        }
        if self.me.after == After::Hang {
            return Ok(());
        }
        self.answer(r, tagged).await
    }

    async fn answer(&mut self, r: &Request, tagged: Answer) -> Result<(), Gone> {
        let ok = tagged.is_ok();
        match tagged {
            Ok(text) => self.say(&format!("{} OK {text}", r.tag)).await?,
            Err(Refusal::No(text)) => self.say(&format!("{} NO {text}", r.tag)).await?,
            Err(Refusal::Bad(text)) => self.say(&format!("{} BAD {text}", r.tag)).await?,
            Err(Refusal::Bye(text)) => {
                self.me.after = After::Close;
                self.say(&format!("* BYE {text}")).await?;
            }
        }
        if ok && r.verb == "STARTTLS" {
            let stream = tls::accept(self.wire.take_stream()).await.ok_or(Gone)?;
            self.wire.put_stream(stream);
            self.me.encrypted = true;
        }
        Ok(())
    }

    /// Carries a command out under the lock.
    fn execute(&mut self, r: &Request, pieces: &[Piece]) -> (Out, Answer) {
        let mut out = Out::default();
        let mut inner = self.shared.lock();
        let before = inner.state.changes;
        let mut ctx = Ctx {
            inner: &mut inner,
            me: &mut self.me,
            faults: &r.faults,
            out: &mut out,
            tag: &r.tag,
            verb: &r.verb,
        };
        let answer = commands::run(&mut ctx, pieces);
        let changed = inner.state.changes != before;
        drop(inner);
        if changed {
            self.shared.tell_change();
        }
        (out, answer)
    }

    fn may_idle(&self) -> bool {
        self.me.signed_in && self.shared.lock().profile.idle
    }

    /// IDLE (RFC 2177): changes are told as they come, until DONE.
    async fn idle(&mut self) -> Result<Answer, Gone> {
        let mut changed = self.shared.changed.subscribe();
        self.say("+ idling").await?;
        loop {
            let faults = Active::default();
            let mut out = Out::default();
            let told = {
                let mut inner = self.shared.lock();
                let me = &mut self.me;
                let (out, faults) = (&mut out, &faults);
                let mut ctx = Ctx { inner: &mut inner, me, faults, out, tag: "*", verb: "IDLE" };
                commands::tell(&mut ctx)
            };
            if let Err(refusal) = told {
                return Ok(Err(refusal));
            }
            self.wire.send(&out).await?;
            tokio::select! {
                line = self.wire.line(1024) => match line {
                    Ok(line) if line.eq_ignore_ascii_case(b"DONE") => {
                        return Ok(Ok("Idle completed.".to_owned()));
                    }
                    Ok(_) | Err(LineError::TooLong(_)) => {
                        return Ok(Err(Refusal::Bad("Expected DONE.".to_owned())));
                    }
                    Err(LineError::Gone) => return Err(Gone),
                },
                _ = changed.changed() => {}
            }
        }
    }

    /// AUTHENTICATE PLAIN (RFC 4616), with an initial response or asked for it.
    async fn authenticate(&mut self, pieces: &[Piece]) -> Result<Answer, Gone> {
        let text = match pieces {
            [Piece::Text(text)] => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        };
        let mut words = text.split_ascii_whitespace();
        if !words.next().is_some_and(|m| m.eq_ignore_ascii_case("PLAIN")) {
            return Ok(Err(Refusal::No("Unsupported authentication mechanism.".to_owned())));
        }
        let response = match words.next() {
            Some(initial) if self.shared.lock().profile.sasl_ir => initial.as_bytes().to_vec(),
            Some(_) => return Ok(Err(Refusal::Bad("Invalid arguments.".to_owned()))),
            None => {
                self.say("+ ").await?;
                self.wire.line(16 * 1024).await.map_err(|_| Gone)?
            }
        };
        let Ok(plain) = STANDARD.decode(&response) else {
            return Ok(Err(Refusal::Bad("Invalid base64 data.".to_owned())));
        };
        let mut fields = plain.split(|b| *b == 0).skip(1);
        let user = String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
        let password = String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
        let inner = self.shared.lock();
        Ok(commands::sign_in(&inner.profile, &mut self.me, &user, &password))
    }
}

/// Stores a late APPEND after a delay of the runtime's clock.
fn finish_later(shared: Arc<Shared>, id: u64, delay: std::time::Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        let mut inner = shared.lock();
        if let Some(at) = inner.late.iter().position(|late| late.id == id) {
            let late: Late = inner.late.swap_remove(at);
            commands::store_late(&mut inner.state, late);
        }
        drop(inner);
        shared.tell_change();
    });
}

/// Tag, verb in capitals (`UID FETCH` as one) and the rest of a line.
fn split(line: &[u8]) -> Option<(String, String, Vec<u8>)> {
    let mut words = line.splitn(3, |b| *b == b' ');
    let tag = words.next().filter(|t| !t.is_empty())?;
    let special = |b: &u8| *b <= b' ' || *b >= 0x7f || b"(){%*\"\\+".contains(b);
    if tag.iter().any(special) {
        return None;
    }
    let word = |w: &[u8]| String::from_utf8_lossy(w).to_ascii_uppercase();
    let mut verb = word(words.next().unwrap_or_default());
    let mut rest = words.next().unwrap_or_default();
    if verb == "UID" {
        let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        verb = format!("UID {}", word(&rest[..end]));
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    Some((String::from_utf8_lossy(tag).into_owned(), verb, rest.to_vec()))
}

/// The mailbox that a command's first argument may name.
fn first_name(rest: &[u8], delimiter: char) -> Option<String> {
    let wire: Vec<u8> = match rest.strip_prefix(b"\"") {
        Some(quoted) => quoted.iter().copied().take_while(|b| *b != b'"').collect(),
        None => rest.iter().copied().take_while(|b| *b != b' ').collect(),
    };
    name::decode(&wire).map(|decoded| name::canonical(&decoded, delimiter))
}

/// Where a line's text ends, the size of the literal that follows, and whether the client
/// waits for a go-ahead; none when no literal follows.
fn announced(line: &[u8]) -> Option<(usize, u64, bool)> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, sync) = inner.strip_suffix(b"+").map_or((inner, true), |i| (i, false));
    let open = memchr::memrchr(b'{', inner)?;
    let digits = &inner[open + 1..];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((open, size, sync))
}

/// The command as the log keeps it.
fn shown(verb: &str, pieces: &[Piece]) -> String {
    if matches!(verb, "LOGIN" | "AUTHENTICATE") {
        return format!("{verb} ***");
    }
    let mut text = verb.to_owned();
    for piece in pieces {
        match piece {
            Piece::Text(t) if t.is_empty() => {}
            Piece::Text(t) => {
                text.push(' ');
                text.push_str(String::from_utf8_lossy(t).trim());
            }
            Piece::Literal(octets) => text.push_str(&format!(" {{{}}}", octets.len())),
        }
    }
    text
}
