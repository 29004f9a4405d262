//! LOGIN and AUTHENTICATE, by SCRAM-SHA-256 or PLAIN. What is secret here stays here: it is in no
//! trace and in no error, not even where a server repeats the command it did not understand.

use async_imap::{Authenticator, Client};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::capabilities::Capabilities;
use super::parse::status::{Condition, Status};
use super::parse::{Response, tagged};
use super::wire::Wire;
use crate::reconcile::types::printable;
use crate::remote::broken::broken_error;
use crate::remote::code::Code;
use crate::remote::endpoint::Endpoint;
use crate::remote::error::{HAS_NUL, NO_WAY, RemoteError};
use crate::remote::sasl::{NO_SCRAM, SCRAM, Scram};

/// A connection that is not signed in yet: async-imap's client and what the server can do.
pub(crate) struct Greeted {
    pub(crate) client: Client<Wire>,
    pub(crate) capabilities: Capabilities,
}

/// Which way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// AUTHENTICATE SCRAM-SHA-256 (RFC 7677): the password is not said, and the server proves
    /// itself. The flag says whether the first message goes along (RFC 4959).
    Scram(bool),
    /// AUTHENTICATE PLAIN with its response in the same line (RFC 4959): one round trip.
    PlainAtOnce,
    /// AUTHENTICATE PLAIN, two round trips.
    Plain,
    /// LOGIN, one round trip.
    Login,
}

/// How many challenges AUTHENTICATE PLAIN may bring: one, and another by servers that overlook the
/// response in the first line.
const CHALLENGES: u8 = 2;

/// How many SCRAM may bring: an empty one, salt and rounds, the proof.
const SCRAM_CHALLENGES: u8 = 3;

/// Answers the challenges of SCRAM.
struct Proving {
    scram: Scram,
    /// The first message was not sent yet.
    begins: bool,
    /// We proved that we know the password.
    proved: bool,
    /// What the server said that it may not.
    odd: Option<&'static str>,
}

impl Authenticator for &mut Proving {
    type Response = Vec<u8>;

    fn process(&mut self, challenge: &[u8]) -> Self::Response {
        if std::mem::take(&mut self.begins) {
            return self.scram.first().into_bytes();
        }
        match self.scram.respond(challenge) {
            Ok(answer) => {
                self.proved = true;
                answer.into_bytes()
            }
            // An answer that proves nothing: the server refuses, or is refused here.
            Err(odd) => {
                self.odd.get_or_insert(odd);
                Vec::new()
            }
        }
    }
}

/// Answers the challenge of PLAIN (RFC 4616).
struct Plain(Zeroizing<Vec<u8>>);

impl Authenticator for &Plain {
    type Response = Zeroizing<Vec<u8>>;

    fn process(&mut self, _: &[u8]) -> Self::Response {
        self.0.clone()
    }
}

/// Signs in by the first way that the server offers and that can carry the secret. The
/// capabilities are those that came along with the answer, maybe none.
pub(crate) async fn sign_in(
    greeted: Greeted,
    endpoint: &Endpoint,
) -> Result<(async_imap::Session<Wire>, Capabilities), RemoteError> {
    let Greeted { mut client, capabilities } = greeted;
    let mut known = Capabilities::new(&endpoint.disable);
    let ways = ways(&capabilities, endpoint)?;
    let mut refused = None;
    for way in ways {
        client.get_mut().traced = false;
        client.get_mut().continues = match way {
            Way::Login => 0,
            Way::Scram(_) => SCRAM_CHALLENGES,
            Way::PlainAtOnce | Way::Plain => CHALLENGES,
        };
        let (attempt, goes_on) = match way {
            Way::Scram(at_once) => scram(client, at_once, endpoint).await?,
            way => (attempt(client, way, endpoint).await, false),
        };
        match attempt {
            Ok(mut shell) => {
                let wire = shell.get_mut();
                wire.traced = true;
                wire.counters.commands += 1;
                take_capabilities(&wire.take_heard(), &mut known);
                return Ok((shell, known));
            }
            Err(mut back) => {
                let error = why(back.get_mut(), endpoint);
                // BAD says that the way is not understood; NO, that the secret is wrong, and
                // trying it again another way would only count as a further failure.
                let is_closed = goes_on && matches!(error, RemoteError::SignIn { .. });
                if !is_closed && !matches!(error, RemoteError::Bad { .. }) {
                    return Err(error);
                }
                refused = Some(error);
                client = back;
            }
        }
    }
    let words = match refused {
        Some(RemoteError::Bad { words, .. } | RemoteError::SignIn { words, .. }) => words,
        _ if endpoint.scram_only => NO_SCRAM.to_owned(),
        _ => NO_WAY.to_owned(),
    };
    Err(RemoteError::SignIn { code: None, words })
}

/// The ways that may be tried, best first.
fn ways(capabilities: &Capabilities, endpoint: &Endpoint) -> Result<Vec<Way>, RemoteError> {
    let both = [endpoint.user.as_str(), endpoint.secret.as_str()];
    if both.iter().any(|text| text.contains('\0')) {
        let words = HAS_NUL.to_owned();
        return Err(RemoteError::SignIn { code: None, words });
    }
    let plain = capabilities.has("AUTH=PLAIN");
    let login =
        !capabilities.has("LOGINDISABLED") && both.iter().all(|text| !text.contains(['\r', '\n']));
    let ascii = both.iter().all(|text| text.is_ascii());
    let mut ways = Vec::new();
    if capabilities.has(&format!("AUTH={SCRAM}")) {
        ways.push(Way::Scram(capabilities.has("SASL-IR")));
    }
    if endpoint.scram_only {
        return Ok(ways);
    }
    if plain && capabilities.has("SASL-IR") {
        ways.push(Way::PlainAtOnce);
    }
    if login && ascii {
        ways.push(Way::Login);
    }
    if plain {
        ways.push(Way::Plain);
    }
    // Outside ASCII a quoted string is not quite allowed to LOGIN, and mostly understood.
    if login && !ascii {
        ways.push(Way::Login);
    }
    Ok(ways)
}

type Attempt = Result<async_imap::Session<Wire>, Client<Wire>>;

/// Signs in by SCRAM. Gives also whether another way may be tried after a refusal, which is so
/// while nothing was proved: the server has no such way for this user.
async fn scram(
    client: Client<Wire>,
    at_once: bool,
    endpoint: &Endpoint,
) -> Result<(Attempt, bool), RemoteError> {
    let fail = |what: &str| {
        Err(RemoteError::Protocol { doing: "the sign-in".to_owned(), what: what.to_owned() })
    };
    let Some(scram) = Scram::new(&endpoint.user, &endpoint.secret) else {
        return fail("there are no random numbers for it");
    };
    tracing::trace!("C: AUTHENTICATE {SCRAM} ***");
    let first = match at_once {
        true => format!("{SCRAM} {}", STANDARD.encode(scram.first())),
        false => SCRAM.to_owned(),
    };
    let mut proving = Proving { scram, begins: !at_once, proved: false, odd: None };
    let done = client.authenticate(first, &mut proving).await.map_err(|(_, client)| client);
    match (done, proving.odd) {
        (Ok(_), Some(odd)) => fail(odd),
        // Who lets us in without a proof knows the password no better than anybody.
        (Ok(_), None) if !proving.scram.is_proven() => fail("it did not prove who it is"),
        (done, _) => Ok((done, !proving.proved)),
    }
}

async fn attempt(
    client: Client<Wire>,
    way: Way,
    endpoint: &Endpoint,
) -> Result<async_imap::Session<Wire>, Client<Wire>> {
    let plain = || {
        let bytes = format!("\0{}\0{}", endpoint.user, endpoint.secret.as_str()).into_bytes();
        Plain(Zeroizing::new(bytes))
    };
    let done = match way {
        Way::PlainAtOnce => {
            tracing::trace!("C: AUTHENTICATE PLAIN ***");
            let plain = plain();
            let first = Zeroizing::new(format!("PLAIN {}", STANDARD.encode(&plain.0)));
            client.authenticate(first.as_str(), &plain).await
        }
        Way::Plain => {
            tracing::trace!("C: AUTHENTICATE PLAIN");
            client.authenticate("PLAIN", &plain()).await
        }
        Way::Login | Way::Scram(_) => {
            tracing::trace!("C: LOGIN ***");
            client.login(&endpoint.user, endpoint.secret.as_str()).await
        }
    };
    done.map_err(|(_, client)| client)
}

/// Why the sign-in failed, from what was really heard.
fn why(wire: &mut Wire, endpoint: &Endpoint) -> RemoteError {
    let heard = wire.take_heard();
    let bye = heard.iter().find_map(|response| match Response::parse(response) {
        Response::Status(Status { condition: Condition::Bye, words, .. }) => Some(words),
        _ => None,
    });
    let doing = "the sign-in";
    match (wire.take_broken(), tagged(&heard)) {
        (_, Some(Status { condition: Condition::No, code, words })) => {
            let words = masked(&words, endpoint);
            told(&words);
            RemoteError::SignIn { code: harmless(code), words }
        }
        (_, Some(Status { code, words, .. })) => {
            told(&masked(&words, endpoint));
            RemoteError::Bad {
                doing: doing.to_owned(),
                code: harmless(code),
                words: UNSHOWN.to_owned(),
            }
        }
        (Some(broken), None) => {
            let bye = bye.map(|words| {
                told(&masked(&words, endpoint));
                UNSHOWN.to_owned()
            });
            broken_error(doing, broken, bye)
        }
        (None, None) => RemoteError::Protocol {
            doing: doing.to_owned(),
            what: "it was not answered".to_owned(),
        },
    }
}

/// What stands in the place of a server's words about a sign-in.
const UNSHOWN: &str = "-vv shows its reply";

/// Tells the words only to a person who asked for them.
fn told(words: &str) {
    tracing::debug!("the server says of the sign-in: {}", printable(words));
}

/// The server's words without the secret, should it have repeated it.
fn masked(words: &str, endpoint: &Endpoint) -> String {
    let plain = format!("\0{}\0{}", endpoint.user, endpoint.secret.as_str());
    let secret = endpoint.secret.as_str();
    let quoted = secret.replace('\\', "\\\\").replace('"', "\\\"");
    let mut words = words.to_owned();
    for told in [STANDARD.encode(plain), quoted, secret.to_owned()] {
        if !told.is_empty() {
            words = words.replace(&told, "***");
        }
    }
    words
}

/// The capabilities that came with the answer, in its code or in a line of their own.
fn take_capabilities(heard: &[Vec<u8>], known: &mut Capabilities) {
    for response in heard {
        match Response::parse(response) {
            Response::Capability(list) => known.replace(list),
            Response::Tagged { status, .. } => {
                if let Some(Code::Capability(list)) = status.code {
                    known.replace(list.as_bytes());
                }
            }
            _ => {}
        }
    }
}

/// Without a code that we do not know: it, too, could repeat what we said.
fn harmless(code: Option<Code>) -> Option<Code> {
    code.filter(|code| !matches!(code, Code::Other(_)))
}
