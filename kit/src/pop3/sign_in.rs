//! USER and PASS, APOP, AUTH, and what a session sees from then on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::session::{Held, Next, Session};
use super::wire::Gone;
use super::{Message, Profile, sasl};

impl Session {
    fn profile(&self) -> Profile {
        self.shared.lock().profile.clone()
    }

    /// Commands that are for those who are not signed in.
    pub(super) async fn before(&mut self, verb: &str, arguments: &str) -> Result<Next, Gone> {
        let profile = self.profile();
        let clear = profile.needs_tls && !self.encrypted;
        match verb {
            "STLS" if profile.stls && !self.encrypted => return self.start_tls().await,
            "UTF8" if profile.utf8 => self.say("+OK UTF8"),
            "USER" | "PASS" | "APOP" | "AUTH" if clear => self.refuse("", "not in clear text"),
            "USER" if profile.user => {
                self.user = Some(arguments.to_owned());
                self.say("+OK");
            }
            "PASS" if profile.user => match self.user.take() {
                Some(user) => {
                    let known = is_known(&profile, &user, arguments);
                    self.admit(&profile, known.then_some(user));
                }
                None => self.refuse("", "who are you?"),
            },
            "APOP" if profile.apop => {
                let (user, digest) = arguments.split_once(' ').unwrap_or_default();
                let secret = profile.credentials.as_ref().map(|(_, secret)| secret.as_str());
                let right =
                    secret.is_none_or(|secret| sasl::apop(&self.timestamp(), secret) == digest);
                let named = profile.credentials.as_ref().is_none_or(|(name, _)| name == user);
                self.admit(&profile, (right && named).then(|| user.to_owned()));
            }
            "AUTH" => return self.auth(&profile, arguments).await,
            _ => self.refuse("", "not now"),
        }
        Ok(Next::Command)
    }

    async fn start_tls(&mut self) -> Result<Next, Gone> {
        self.say("+OK begin");
        self.flush().await?;
        let stream = self.wire.take_stream();
        let stream = crate::imap::tls::accept(stream).await.ok_or(Gone)?;
        self.wire.put_stream(stream);
        self.encrypted = true;
        Ok(Next::Command)
    }

    async fn auth(&mut self, profile: &Profile, arguments: &str) -> Result<Next, Gone> {
        let (mechanism, first) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let mechanism = mechanism.to_ascii_uppercase();
        if !profile.sasl.contains(&mechanism) {
            self.refuse("", "no such mechanism");
            return Ok(Next::Command);
        }
        if !first.is_empty() && !profile.sasl_ir {
            self.say("-ERR Protocol error. Connection is closed. 10");
            return Ok(Next::End);
        }
        let first = if first.is_empty() { self.ask("").await? } else { decoded(first) };
        let user = match mechanism.as_str() {
            "SCRAM-SHA-256" => self.scram(profile, &first).await?,
            "PLAIN" => {
                let mut parts = first.split('\0').skip(1);
                let (user, secret) = (parts.next(), parts.next());
                let both =
                    user.zip(secret).filter(|(user, secret)| is_known(profile, user, secret));
                both.map(|(user, _)| user.to_owned())
            }
            _ => self.token(profile, &mechanism, &first).await?,
        };
        self.admit(profile, user);
        Ok(Next::Command)
    }

    /// Sends a challenge and reads the answer, both decoded.
    async fn ask(&mut self, challenge: &str) -> Result<String, Gone> {
        self.say(&format!("+ {}", STANDARD.encode(challenge)));
        self.flush().await?;
        let line = self.wire.line().await?;
        Ok(decoded(&String::from_utf8_lossy(&line)))
    }

    async fn scram(&mut self, profile: &Profile, first: &str) -> Result<Option<String>, Gone> {
        let Some((user, bare)) = sasl::first(first) else { return Ok(None) };
        let Some(challenge) = sasl::challenge(bare) else { return Ok(None) };
        let Some((name, secret)) = &profile.credentials else { return Ok(None) };
        let last = self.ask(&challenge).await?;
        match sasl::prove(bare, &challenge, &last, secret).filter(|_| *name == user) {
            Some(proof) => {
                self.ask(&proof).await?;
                Ok(Some(user))
            }
            None => Ok(None),
        }
    }

    async fn token(
        &mut self,
        profile: &Profile,
        mechanism: &str,
        first: &str,
    ) -> Result<Option<String>, Gone> {
        let start = if mechanism == "XOAUTH2" { "user=" } else { "n,a=" };
        let user = first.strip_prefix(start).and_then(|rest| rest.split(['\x01', ',']).next());
        let token = first.split('\x01').find_map(|part| part.strip_prefix("auth=Bearer "));
        let wanted = profile.token.as_deref();
        if token.is_some_and(|token| wanted.is_none_or(|wanted| wanted == token)) {
            return Ok(user.map(str::to_owned));
        }
        // The reason comes as a challenge, which the client has to acknowledge.
        self.ask("{\"status\":\"401\"}").await?;
        Ok(None)
    }

    /// Lets somebody in, or nobody.
    fn admit(&mut self, profile: &Profile, user: Option<String>) {
        let Some(user) = user else { return self.refuse("AUTH", "wrong user or password") };
        if profile.too_soon {
            return self.refuse("LOGIN-DELAY", "minimum time between mail checks violation");
        }
        let mut inner = self.shared.lock();
        let held = profile.locked || profile.lock && inner.holder.is_some();
        if !held {
            if profile.lock {
                inner.holder = Some(self.id);
            }
            inner.log.counters.sign_ins += 1;
            let recent = user.starts_with("recent:");
            let shown = |message: &&Message| !profile.gmail || recent || !message.popped;
            let all = inner.messages.iter().filter(shown);
            let window = profile.window.unwrap_or(usize::MAX);
            let held = all.take(window).cloned();
            let held =
                held.map(|message| Held { message, deleted: false, retrieved: false }).collect();
            self.maildrop = Some(held);
        }
        drop(inner);
        if held {
            self.refuse("IN-USE", "unable to lock maildrop");
        } else {
            self.say("+OK welcome");
        }
    }
}

fn decoded(text: &str) -> String {
    let octets = STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&octets).into_owned()
}

fn is_known(profile: &Profile, user: &str, secret: &str) -> bool {
    let user = user.strip_prefix("recent:").filter(|_| profile.gmail).unwrap_or(user);
    profile.credentials.as_ref().is_none_or(|(u, s)| u == user && s == secret)
}
