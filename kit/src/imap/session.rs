//! One connection: reading commands, carrying them out under the lock, answering.

use std::sync::Arc;

use super::args::Piece;
use super::commands::{self, Answer, Ctx, Refusal};
use super::fault::{Active, CONNECT, Fault};
use super::log::Logged;
use super::notify::Told;
use super::request::{announced, first_name, shown, split};
use super::respond::Out;
use super::view::View;
use super::wire::{Duplex, Gone, LineError, Wire};
use super::{Action, Late, Literals, Shared, lock, tls};

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
    /// Bodies are refused from now on.
    pub(super) broken: bool,
    /// What was told of all mailboxes, since NOTIFY was asked for.
    pub(super) told: Option<Told>,
    /// A late APPEND to finish after a delay.
    pub(super) timer: Option<(u64, std::time::Duration)>,
}

/// A command whose first line was read.
struct Request {
    tag: String,
    verb: String,
    faults: Active,
}

/// A connection and its session.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    pub(super) me: Session,
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
        broken: false,
        told: None,
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
            match self.next_line(max).await {
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

    /// Sends one line.
    pub(super) async fn say(&mut self, line: &str) -> Result<(), Gone> {
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
            let faults = inner.faults.at(CONNECT, [None, None], b"");
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
            inner.faults.at(&verb, [selected.as_deref(), named.as_deref()], &rest)
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
            "IDLE" if self.may_idle() => (Out::default(), self.idle(&r.faults).await?),
            "NOTIFY" => (Out::default(), self.notify(&text["NOTIFY".len()..])),
            "AUTHENTICATE" => (Out::default(), self.authenticate(pieces).await?),
            _ => self.execute(r, pieces),
        };
        if let Some((id, delay)) = self.me.timer.take() {
            finish_later(Arc::clone(&self.shared), id, delay);
        }
        let answered = lock(&self.shared.answer_hook).as_mut().is_none_or(|hook| hook(&text));
        if !answered
            || self.me.after == After::Cut
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
