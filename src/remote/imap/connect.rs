//! From a host name to a signed-in session, in as few round trips as the server allows.

use async_imap::Client;

use super::capabilities::Capabilities;
use super::parse::status::{Condition, Status};
use super::parse::{Response, tagged};
use super::session::{Asked, Session};
use super::sign_in::{Greeted, sign_in};
use super::wire::Wire;
use crate::remote::broken::{Broken, broken_error};
use crate::remote::code::Code;
use crate::remote::dial::open;
use crate::remote::endpoint::{Endpoint, Tls};
use crate::remote::error::RemoteError;
use crate::remote::suspects::CAPABILITY;
use crate::remote::tls::secure;
use crate::remote::transport::Connector;

impl Session {
    /// Connects, secures and signs in. Where a connection is lost at CAPABILITY, a second one is
    /// made without asking.
    ///
    /// Extensions are asked for in the packet of the first command, so whether QRESYNC is
    /// [available](Capabilities::qresync) is settled when that command is answered.
    ///
    /// # Errors
    /// `Cleartext` before anything was sent; `Connect`, `Tls`; `SignIn` when the server
    /// refuses; and whatever may befall a connection.
    pub async fn connect(
        endpoint: &Endpoint,
        connector: &dyn Connector,
    ) -> Result<Self, RemoteError> {
        // A way to sign in that is demanded has to be heard of.
        let asks = endpoint.scram_only || !endpoint.disable.contains(CAPABILITY);
        let (connected, capability) = match Self::try_connect(endpoint, connector, asks).await {
            // Nothing depends on it but the ways that are quicker.
            Err(error) if asks && error.is_loss() && error.doing() == Some(CAPABILITY) => {
                let connected = Self::try_connect(endpoint, connector, false).await;
                (connected, Asked::Lost(error.to_string(), error.silence()))
            }
            connected if asks => (connected, Asked::Answered),
            connected => (connected, Asked::Never),
        };
        let mut session = connected?;
        session.capability = capability;
        Ok(session)
    }

    async fn try_connect(
        endpoint: &Endpoint,
        connector: &dyn Connector,
        asks: bool,
    ) -> Result<Self, RemoteError> {
        let (stream, allowance) = open(endpoint, connector).await?;
        let mut greeted = greet(Wire::new(stream, allowance), endpoint).await?;
        if endpoint.tls == Tls::StartTls {
            greeted = start_tls(greeted, endpoint).await?;
        }
        if greeted.capabilities.is_unknown() && asks {
            pass_refusal(ask_capabilities(&mut greeted).await)?;
        }
        let (shell, mut capabilities) = sign_in(greeted, endpoint).await?;
        let known = !capabilities.is_unknown();
        if !known {
            // Some answer for a proxy before the sign-in, so nothing of that is kept.
            capabilities = Capabilities::new(&endpoint.disable);
        }
        let mut session = Self::new(shell, capabilities, endpoint.timeout);
        if !known && asks {
            pass_refusal(session.ask_capabilities().await)?;
        }
        session.ask_extensions().await?;
        Ok(session)
    }
}

/// A server that does not say what it can do is asked for nothing that it need not.
fn pass_refusal(asked: Result<(), RemoteError>) -> Result<(), RemoteError> {
    match asked {
        Err(error) if error.is_refusal() => {
            tracing::info!(%error, "it does not say what it can do");
            Ok(())
        }
        asked => asked,
    }
}

async fn greet(wire: Wire, endpoint: &Endpoint) -> Result<Greeted, RemoteError> {
    let mut client = Client::new(wire);
    let read = client.read_response().await;
    let wire = client.get_mut();
    if read.is_err() {
        let broken = wire.take_broken().unwrap_or(Broken::Closed);
        return Err(broken_error("the greeting", broken, last_bye(wire)));
    }
    let mut capabilities = Capabilities::new(&endpoint.disable);
    for response in wire.take_heard() {
        let Response::Status(status) = Response::parse(&response) else { continue };
        match status.condition {
            Condition::Bye => {
                let doing = "the greeting".to_owned();
                return Err(RemoteError::Bye { doing, words: status.words });
            }
            // Who was signed in by somebody else may be anybody (RFC 9051 §7.1.4).
            Condition::Preauth => {
                let what = "it sent PREAUTH, as if already signed in".to_owned();
                return Err(RemoteError::Protocol { doing: "the greeting".to_owned(), what });
            }
            _ => {}
        }
        if let Some(Code::Capability(list)) = status.code {
            capabilities.replace(list.as_bytes());
        }
    }
    Ok(Greeted { client, capabilities })
}

/// The words of a BYE among what was read before the connection ended.
fn last_bye(wire: &mut Wire) -> Option<String> {
    wire.take_heard().iter().find_map(|response| match Response::parse(response) {
        Response::Status(Status { condition: Condition::Bye, words, .. }) => Some(words),
        _ => None,
    })
}

async fn start_tls(mut greeted: Greeted, endpoint: &Endpoint) -> Result<Greeted, RemoteError> {
    let refuse = |why: &str| RemoteError::Tls { host: endpoint.host.clone(), why: why.to_owned() };
    if greeted.capabilities.is_unknown() {
        ask_capabilities(&mut greeted).await?;
    }
    if !greeted.capabilities.has("STARTTLS") {
        return Err(refuse("the server does not offer STARTTLS"));
    }
    command(&mut greeted.client, "STARTTLS").await?;
    let Some((stream, mut allowance)) = greeted.client.into_inner().into_io() else {
        return Err(refuse("something was sent behind the answer to STARTTLS"));
    };
    let stream = secure(stream, endpoint, &mut allowance).await?;
    let mut wire = Wire::new(stream, allowance);
    wire.greeted = true;
    // What was said before TLS may have been said by anybody.
    greeted.capabilities.forget();
    Ok(Greeted { client: Client::new(wire), capabilities: greeted.capabilities })
}

/// Runs one plain command before the sign-in; gives the responses it brought.
async fn command(client: &mut Client<Wire>, command: &str) -> Result<Vec<Vec<u8>>, RemoteError> {
    tracing::trace!("C: {command}");
    let done = client.run_command_and_check_ok(command, None).await;
    let wire = client.get_mut();
    wire.counters.commands += 1;
    if let Some(broken) = wire.take_broken() {
        return Err(broken_error(command, broken, last_bye(wire)));
    }
    let heard = wire.take_heard();
    if done.is_ok() {
        return Ok(heard);
    }
    Err(refusal(command, &heard))
}

fn refusal(doing: &str, heard: &[Vec<u8>]) -> RemoteError {
    let doing = doing.to_owned();
    match tagged(heard) {
        Some(Status { condition: Condition::No, code, words }) => {
            RemoteError::No { doing, code, words }
        }
        Some(Status { code, words, .. }) => RemoteError::Bad { doing, code, words },
        None => RemoteError::Protocol { doing, what: "it was not answered".to_owned() },
    }
}

async fn ask_capabilities(greeted: &mut Greeted) -> Result<(), RemoteError> {
    for response in command(&mut greeted.client, "CAPABILITY").await? {
        if let Response::Capability(list) = Response::parse(&response) {
            greeted.capabilities.replace(list);
        }
    }
    Ok(())
}
