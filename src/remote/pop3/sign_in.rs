//! AUTH, APOP, USER and PASS. What is secret here stays here: it is in no trace and in no
//! error, not even where a server repeats what it did not understand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::reply::{Answer, Refusal};
use super::session::Session;
use crate::reconcile::types::printable;
use crate::remote::budget::Budget;
use crate::remote::code::Code;
use crate::remote::endpoint::{Endpoint, Tls};
use crate::remote::error::{NO_WAY, RemoteError};
use crate::remote::sasl::{self, SCRAM, Scram};

const DOING: &str = "the sign-in";
/// The longest line of AUTH that carries its first response, CRLF included (RFC 5034 §4).
const AUTH_LINE: usize = 255;
/// How many lines of the server an exchange may have.
const TURNS: usize = 6;
const ENDLESS: &str = "AUTH does not come to an end";

/// What the endpoint's secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// A password.
    #[default]
    Password,
    /// An OAuth 2.0 access token (XOAUTH2, or OAUTHBEARER of RFC 7628).
    Token,
}

/// Which way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// AUTH SCRAM-SHA-256: the password is not said, and the server proves itself.
    Scram,
    /// APOP: the password is not said.
    Apop,
    /// AUTH PLAIN.
    Plain,
    /// USER and PASS.
    User,
    /// AUTH XOAUTH2.
    Xoauth2,
    /// AUTH OAUTHBEARER.
    Bearer,
}

/// What came of a way.
enum Outcome {
    In,
    /// Refused before anything secret was said: the way is not for us, maybe another is.
    Closed(Refusal),
    /// Refused.
    Refused(Refusal),
}

/// A sign-in under way.
struct Attempt<'a> {
    session: &'a mut Session,
    endpoint: &'a Endpoint,
    timestamp: Option<String>,
    /// What was said that nobody else may see.
    said: Vec<Zeroizing<String>>,
}

/// Signs in by the best way that the server offers and that can carry the secret.
pub(crate) async fn sign_in(
    session: &mut Session,
    endpoint: &Endpoint,
    auth: Auth,
    timestamp: Option<String>,
) -> Result<(), RemoteError> {
    session.wire.traced = false;
    let said = vec![endpoint.secret.clone()];
    let mut attempt = Attempt { session, endpoint, timestamp, said };
    let ways = attempt.ways(auth);
    let mut words = if endpoint.scram_only { sasl::NO_SCRAM } else { NO_WAY }.to_owned();
    for way in ways {
        let refusal = match attempt.by(way).await? {
            Outcome::In => {
                session.wire.traced = true;
                return Ok(());
            }
            Outcome::Refused(refusal) => return Err(refused(refusal, endpoint, &attempt.said)),
            Outcome::Closed(refusal) => refusal,
        };
        match refused(refusal, endpoint, &attempt.said) {
            RemoteError::SignIn { words: told, .. } => words = told,
            error => return Err(error),
        }
    }
    Err(RemoteError::SignIn { code: None, words })
}

/// What a refusal means: a wrong secret, or that nobody is let in for now.
pub(crate) fn refused(
    refusal: Refusal,
    endpoint: &Endpoint,
    said: &[Zeroizing<String>],
) -> RemoteError {
    let words = masked(&refusal.words, said);
    tracing::debug!("the server says of the sign-in: {}", printable(&words));
    // An unknown code could repeat what we said as well.
    let code = refusal.code.filter(|code| !matches!(code, Code::Other(_)));
    // Servers older than the codes have RFC 1939 §7's own example.
    let said = words.to_ascii_lowercase();
    let has = |word: &str| said.contains(word);
    let locked = (has("maildrop") || has("mailbox") || has("pop")) && has("lock")
        || has("mailbox in use")
        || has("another session");
    match code {
        Some(Code::InUse | Code::LoginDelay(_) | Code::Unavailable) => {
            RemoteError::Busy { code, words }
        }
        // Broken on the side of the server, for a person there (RFC 3206 §4).
        Some(Code::Cannot) => {
            let words = "-vv shows its reply".to_owned();
            RemoteError::No { doing: DOING.to_owned(), code, words }
        }
        None if locked => RemoteError::Busy { code, words },
        _ => {
            tracing::debug!("{} refuses the sign-in", endpoint.host);
            RemoteError::SignIn { code, words }
        }
    }
}

/// The server's words without what is secret, should it have repeated it.
fn masked(words: &str, said: &[Zeroizing<String>]) -> String {
    let mut words = words.to_owned();
    for secret in said.iter().filter(|secret| !secret.is_empty()) {
        words = words.replace(secret.as_str(), "***");
        // Long words were cut, maybe in the middle of it.
        if let Some(at) = secret.get(..16).and_then(|head| words.find(head)) {
            words.truncate(at);
            words.push_str("***");
        }
    }
    words
}

impl Attempt<'_> {
    /// The ways that may be tried, best first.
    fn ways(&self, auth: Auth) -> Vec<Way> {
        let capabilities = &self.session.capabilities;
        let (user, secret) = (self.endpoint.user.as_str(), self.endpoint.secret.as_str());
        let lacks = |odd: &[char]| !user.contains(odd) && !secret.contains(odd);
        let (line, sasl) = (lacks(&['\0', '\r', '\n']), lacks(&['\0']));
        let user_pass = capabilities.is_unknown()
            || capabilities.has("USER")
            // RFC 2449 wants it listed, and not all have read so far.
            || !capabilities.has("SASL") && !capabilities.is_disabled("USER");
        let clear = self.endpoint.tls == Tls::None && !capabilities.is_disabled("APOP");
        let table = match auth {
            Auth::Password => vec![
                (Way::Scram, sasl && capabilities.sasl(SCRAM)),
                (Way::Apop, line && clear && self.timestamp.is_some()),
                (Way::Plain, sasl && capabilities.sasl("PLAIN")),
                (Way::User, line && user_pass),
            ],
            Auth::Token => vec![
                (Way::Xoauth2, line && capabilities.sasl("XOAUTH2")),
                (Way::Bearer, line && capabilities.sasl("OAUTHBEARER")),
            ],
        };
        let demanded = |way: &Way| !self.endpoint.scram_only || *way == Way::Scram;
        table.into_iter().filter(|(way, can)| *can && demanded(way)).map(|(way, _)| way).collect()
    }

    async fn by(&mut self, way: Way) -> Result<Outcome, RemoteError> {
        let Endpoint { user, secret, host, port, .. } = self.endpoint;
        match way {
            Way::Scram => self.scram().await,
            Way::Apop => self.apop().await,
            Way::Plain => {
                let message = STANDARD.encode(sasl::plain(user, secret));
                // Who answers one command after the other may be Microsoft's.
                let at_once = self.session.capabilities.pipelining();
                self.message("PLAIN", message, at_once, "*").await
            }
            Way::User => self.user_and_pass().await,
            // Microsoft takes the token only in a line of its own, and ends an exchange that
            // has failed by a challenge that is to be answered by nothing.
            Way::Xoauth2 => {
                let message = STANDARD.encode(sasl::xoauth2(user, secret));
                self.message("XOAUTH2", message, false, "").await
            }
            // RFC 7628 §3.2.3: a failure is acknowledged by ^A.
            Way::Bearer => {
                let message = STANDARD.encode(sasl::bearer(user, secret, host, *port));
                self.message("OAUTHBEARER", message, false, "AQ==").await
            }
        }
    }

    /// AUTH with a mechanism of one message; what else the server asks for gets `further`.
    async fn message(
        &mut self,
        mechanism: &str,
        message: String,
        at_once: bool,
        further: &str,
    ) -> Result<Outcome, RemoteError> {
        let message = Zeroizing::new(message);
        self.said.push(message.clone());
        let sent = self.begin(mechanism, at_once.then_some(message.as_str()))?;
        let mut left = (!sent).then_some(&message);
        for _ in 0..TURNS {
            match self.session.status(DOING).await? {
                Answer::Ok(_) => {
                    self.session.settled();
                    return Ok(Outcome::In);
                }
                Answer::Err(refusal) if left.is_some() => return Ok(Outcome::Closed(refusal)),
                Answer::Err(refusal) => return Ok(Outcome::Refused(refusal)),
                // Who asks for nothing after the message has overlooked it in the first line.
                Answer::Challenge(asked) => match left.take() {
                    Some(message) => self.respond(message),
                    None if sent && asked.is_empty() => self.respond(&message),
                    None => self.respond(further),
                },
            }
        }
        Err(self.session.lost(DOING, ENDLESS))
    }

    async fn scram(&mut self) -> Result<Outcome, RemoteError> {
        let (user, secret) = (&self.endpoint.user, &self.endpoint.secret);
        let Some(mut scram) = Scram::new(user, secret) else {
            return Err(self.session.lost(DOING, "there are no random numbers for it"));
        };
        let first = STANDARD.encode(scram.first());
        let mut begun = self.begin(SCRAM, Some(&first))?;
        let mut proved = false;
        for _ in 0..TURNS {
            let asked = match self.session.status(DOING).await? {
                Answer::Ok(_) if scram.is_proven() => {
                    self.session.settled();
                    return Ok(Outcome::In);
                }
                Answer::Ok(_) => {
                    return Err(self.session.lost(DOING, "it did not prove who it is"));
                }
                Answer::Err(refusal) if proved => return Ok(Outcome::Refused(refusal)),
                Answer::Err(refusal) => return Ok(Outcome::Closed(refusal)),
                Answer::Challenge(asked) => asked,
            };
            if !std::mem::replace(&mut begun, true) {
                self.respond(&first);
                continue;
            }
            let asked = STANDARD.decode(&asked).unwrap_or_default();
            match scram.respond(&asked) {
                Ok(answer) => self.respond(&STANDARD.encode(answer)),
                // A server may put its refusal into the exchange (RFC 5802 §7).
                Err(_) if proved && asked.starts_with(b"e=") => self.respond("*"),
                Err(what) => return Err(self.session.lost(DOING, what)),
            }
            proved = true;
        }
        Err(self.session.lost(DOING, ENDLESS))
    }

    async fn apop(&mut self) -> Result<Outcome, RemoteError> {
        let timestamp = self.timestamp.take().unwrap_or_default();
        let digest = sasl::apop(&timestamp, &self.endpoint.secret);
        let command = format!("APOP {} {digest}", self.endpoint.user);
        self.said.push(Zeroizing::new(digest));
        self.session.send_masked(DOING, &command, "APOP ***", Budget::SHORT)?;
        Ok(match self.session.answer(DOING).await? {
            Ok(()) => Outcome::In,
            // Many greet with a timestamp and have no password to check a digest by.
            Err(refusal) if refusal.code.is_none() => Outcome::Closed(refusal),
            Err(refusal) => Outcome::Refused(refusal),
        })
    }

    async fn user_and_pass(&mut self) -> Result<Outcome, RemoteError> {
        let Endpoint { user, secret, .. } = self.endpoint;
        let (user, pass) = (format!("USER {user}"), format!("PASS {}", secret.as_str()));
        let pass = Zeroizing::new(pass);
        self.session.send_masked(DOING, &user, "USER ***", Budget::SHORT)?;
        let together = self.session.capabilities.pipelining();
        if together {
            self.session.send_masked(DOING, &pass, "PASS ***", Budget::SHORT)?;
        }
        let first = self.session.answer(DOING).await?;
        if let (Err(refusal), false) = (&first, together) {
            return Ok(Outcome::Refused(refusal.clone()));
        }
        if !together {
            self.session.send_masked(DOING, &pass, "PASS ***", Budget::SHORT)?;
        }
        let second = self.session.answer(DOING).await?;
        Ok(match first.and(second) {
            Ok(()) => Outcome::In,
            Err(refusal) => Outcome::Refused(refusal),
        })
    }

    /// Sends AUTH, with the first response if it fits; says whether it did.
    fn begin(&mut self, mechanism: &str, first: Option<&str>) -> Result<bool, RemoteError> {
        let bare = format!("AUTH {mechanism}");
        let fits = |first: &&str| bare.len() + 1 + first.len() + 2 <= AUTH_LINE;
        let Some(first) = first.filter(fits) else {
            self.session.send(DOING, &bare, Budget::SHORT)?;
            return Ok(false);
        };
        let command = Zeroizing::new(format!("{bare} {first}"));
        let shown = format!("{bare} ***");
        self.session.send_masked(DOING, &command, &shown, Budget::SHORT)?;
        Ok(true)
    }

    /// Answers a challenge: a line of its own, which is no command.
    fn respond(&mut self, line: &str) {
        tracing::trace!("C: ***");
        self.session.wire.queue(line);
    }
}
