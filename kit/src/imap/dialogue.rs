//! Commands that are a conversation: IDLE and AUTHENTICATE.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::args::Piece;
use super::commands::{self, Answer, Ctx, Refusal};
use super::fault::{Active, Fault};
use super::profile::Profile;
use super::respond::Out;
use super::session::Link;
use super::wire::{Gone, LineError};
use crate::pop3::sasl;

impl Link {
    /// Whether IDLE can be had now.
    pub(super) fn may_idle(&self) -> bool {
        self.me.signed_in && self.shared.lock().profile.idle
    }

    /// IDLE (RFC 2177): changes are told as they come, until DONE.
    pub(super) async fn idle(&mut self, active: &Active) -> Result<Answer, Gone> {
        let mut changed = self.shared.changed.subscribe();
        self.say("+ idling").await?;
        if active.is(&Fault::IdleEnds) {
            return Ok(Ok("Idle completed.".to_owned()));
        }
        let says = active.find(|fault| match fault {
            Fault::IdleSays(octets, wait) => Some((octets.clone(), *wait)),
            _ => None,
        });
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
                () = tokio::time::sleep(says.as_ref().map_or(Duration::MAX, |says| says.1)) => {
                    let octets = says.as_ref().map(|says| says.0.clone()).unwrap_or_default();
                    let mut out = Out::default();
                    out.bytes(&octets);
                    self.wire.send(&out).await?;
                }
            }
        }
    }

    /// AUTHENTICATE SCRAM-SHA-256 (RFC 7677).
    async fn scram(&mut self, initial: Option<String>) -> Result<Answer, Gone> {
        const WRONG: &str = "[AUTHENTICATIONFAILED] Authentication failed.";
        let wrong = || Ok(Err(Refusal::No(WRONG.to_owned())));
        let decoded = |text: &[u8]| {
            String::from_utf8_lossy(&STANDARD.decode(text).unwrap_or_default()).into_owned()
        };
        let first = match initial {
            Some(initial) => decoded(initial.as_bytes()),
            None => decoded(&self.ask("").await?),
        };
        let Some((user, bare)) = sasl::first(&first) else { return wrong() };
        let Some(challenge) = sasl::challenge(bare) else { return wrong() };
        let credentials = self.shared.lock().profile.credentials.clone();
        let Some((name, secret)) = credentials.filter(|(name, _)| *name == user) else {
            return wrong();
        };
        let last = decoded(&self.ask(&challenge).await?);
        let Some(proof) = sasl::prove(bare, &challenge, &last, &secret) else { return wrong() };
        self.ask(&proof).await?;
        // The password was not said, so LOGINDISABLED is no matter.
        let profile = self.shared.lock().profile.clone();
        let profile = Profile { login_disabled: false, ..profile };
        Ok(commands::sign_in(&profile, &mut self.me, &name, &secret))
    }

    async fn ask(&mut self, challenge: &str) -> Result<Vec<u8>, Gone> {
        self.say(&format!("+ {}", STANDARD.encode(challenge))).await?;
        self.wire.line(16 * 1024).await.map_err(|_| Gone)
    }

    /// AUTHENTICATE PLAIN (RFC 4616), with an initial response or asked for it.
    pub(super) async fn authenticate(&mut self, pieces: &[Piece]) -> Result<Answer, Gone> {
        let text = match pieces {
            [Piece::Text(text)] => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        };
        let mut words = text.split_ascii_whitespace();
        let is_scram =
            words.clone().next().is_some_and(|m| m.eq_ignore_ascii_case("SCRAM-SHA-256"));
        if is_scram && self.shared.lock().profile.scram {
            return self.scram(words.nth(1).map(str::to_owned)).await;
        }
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
