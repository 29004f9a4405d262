//! From a host name to a signed-in session.

use super::capabilities::Capabilities;
use super::caution::Lost;
use super::reply::Answer;
use super::session::Session;
use super::sign_in::{Auth, refused, sign_in};
use super::wire::Wire;
use crate::remote::broken::broken_error;
use crate::remote::budget::Budget;
use crate::remote::dial::open;
use crate::remote::endpoint::{Endpoint, Tls};
use crate::remote::error::RemoteError;
use crate::remote::suspects::{Command, Shared};
use crate::remote::tls::secure;
use crate::remote::transport::Connector;

/// What is asked of a server beside what an [`Endpoint`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// What the secret is.
    pub auth: Auth,
    /// Whether messages with UTF-8 in their headers come as they are (RFC 6856), where the
    /// server can do so; else it may rewrite them.
    pub utf8: bool,
}

impl Session {
    /// Connects, secures and signs in with a password.
    ///
    /// # Errors
    /// As for [`Self::connect_with`].
    pub async fn connect(
        endpoint: &Endpoint,
        connector: &dyn Connector,
    ) -> Result<Self, RemoteError> {
        Self::connect_with(endpoint, Settings::default(), connector).await
    }

    /// Connects, secures and signs in.
    ///
    /// # Errors
    /// `Cleartext` before anything was sent; `Connect`, `Tls`; `SignIn` when the server
    /// refuses; `Busy` when it would refuse anybody for now; and whatever may befall a
    /// connection.
    pub async fn connect_with(
        endpoint: &Endpoint,
        settings: Settings,
        connector: &dyn Connector,
    ) -> Result<Self, RemoteError> {
        let nobodys = Shared::default();
        let connected = Self::connect_cautiously(endpoint, settings, connector, &nobodys);
        connected.await.map_err(|lost| lost.error)
    }

    /// As [`Self::connect_with`], and nothing is asked for that earlier connections were lost at
    /// and that can be done without. The session takes the suspects of the account.
    ///
    /// # Errors
    /// As for [`Self::connect_with`], with what was under way.
    pub async fn connect_cautiously(
        endpoint: &Endpoint,
        settings: Settings,
        connector: &dyn Connector,
        suspects: &Shared,
    ) -> Result<Self, Lost> {
        let (stream, allowance) = open(endpoint, connector).await?;
        let wire = Wire::new(stream, allowance);
        let mut session = Self::new(wire, Capabilities::new(&endpoint.disable));
        session.suspects = suspects.clone();
        let mut stamp = session.greet(endpoint).await?;
        if endpoint.tls == Tls::StartTls {
            session = session.start_tls(endpoint).await?;
            session.suspects = suspects.clone();
            // What was said before TLS may have been said by anybody.
            stamp = None;
        }
        match session.begin(endpoint, settings, stamp).await {
            Ok(()) => Ok(session),
            Err(error) => Err(Lost { error, thing: session.under_way() }),
        }
    }

    /// From the greeting to the end of the sign-in.
    async fn begin(
        &mut self,
        endpoint: &Endpoint,
        settings: Settings,
        stamp: Option<String>,
    ) -> Result<(), RemoteError> {
        self.ask_capabilities().await?;
        if settings.utf8 && self.capabilities.has("UTF8") && !self.rests(Command::Utf8) {
            // Without it the messages come, too, if not all of them as they are.
            let _ = self.run("UTF8", "UTF8", Budget::SHORT).await?;
        }
        sign_in(self, endpoint, settings.auth, stamp).await?;
        self.wire.allowance().signed_in();
        if !self.capabilities.is_unknown() {
            // Some differ for each user, and a proxy may have answered for itself.
            self.ask_capabilities().await?;
        }
        Ok(())
    }

    /// Reads the greeting; gives the timestamp for APOP, if there is one.
    async fn greet(&mut self, endpoint: &Endpoint) -> Result<Option<String>, RemoteError> {
        const DOING: &str = "the greeting";
        if let Err(broken) = self.wire.line().await {
            return Err(broken_error(DOING, broken, None));
        }
        match Answer::parse(self.wire.in_hand()) {
            Some(Answer::Ok(words)) => Ok(timestamp(&words).map(str::to_owned)),
            Some(Answer::Err(refusal)) => match refused(refusal, endpoint, &[]) {
                RemoteError::SignIn { words, .. } => {
                    Err(RemoteError::Bye { doing: DOING.to_owned(), words })
                }
                error => Err(error),
            },
            _ => Err(self.lost(DOING, "it says neither +OK nor -ERR")),
        }
    }

    /// Turns to TLS (RFC 2595 §4), and forgets what was said before.
    async fn start_tls(mut self, endpoint: &Endpoint) -> Result<Self, RemoteError> {
        let refuse = |why: String| RemoteError::Tls { host: endpoint.host.clone(), why };
        if let Err(refusal) = self.run("STLS", "STLS", Budget::SHORT).await? {
            return Err(match refused(refusal, endpoint, &[]) {
                RemoteError::SignIn { words, .. } => {
                    refuse(format!("the server does not offer STLS: {words}"))
                }
                error => error,
            });
        }
        let Some((stream, mut allowance)) = self.wire.into_io() else {
            return Err(refuse("something was sent behind the answer to STLS".to_owned()));
        };
        let stream = secure(stream, endpoint, &mut allowance).await?;
        Ok(Self::new(Wire::new(stream, allowance), Capabilities::new(&endpoint.disable)))
    }
}

/// The timestamp of a greeting: an RFC 822 msg-id (RFC 1939 §7), and nothing that only looks
/// like one, since collisions of MD5 need octets that none holds.
fn timestamp(greeting: &str) -> Option<&str> {
    let from = greeting.find('<')?;
    let to = from + greeting[from..].find('>')?;
    let stamp = &greeting[from..=to];
    let (local, domain) = stamp[1..stamp.len() - 1].split_once('@')?;
    let plain = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"<>@".contains(&byte);
        !text.is_empty() && text.bytes().all(fits)
    };
    (stamp.len() <= 255 && plain(local) && plain(domain)).then_some(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        let table = [
            ("POP3 server ready <1896.697170952@dbc.mtview.ca.us>", true),
            ("<a@b>", true),
            ("ready", false),
            ("<ab>", false),
            ("<@b>", false),
            ("<a@>", false),
            ("<a@b@c>", false),
            ("<a b@c>", false),
            ("<a@b", false),
            ("<<a@b>", false),
            ("<\u{e9}@b>", false),
            ("<a\u{1}@b>", false),
        ];
        for (greeting, is_one) in table {
            assert_eq!(timestamp(greeting).is_some(), is_one, "{greeting}");
        }
        assert_eq!(timestamp("x <a@b> y"), Some("<a@b>"));
    }
}
