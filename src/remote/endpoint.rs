//! An account at a server, and how the connection to it is secured.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

pub use crate::reconcile::types::Tls;

/// An account at a server.
#[derive(Clone)]
pub struct Endpoint {
    /// A name or an address; the certificate must be for it.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How it is secured.
    pub tls: Tls,
    /// A PEM file of roots to trust besides the system's, or of the very certificate that the
    /// server made for itself.
    pub ca: Option<PathBuf>,
    /// SHA-256 of the server's public key (SubjectPublicKeyInfo, DER). Where it is given it
    /// alone decides: names, dates and issuers are not looked at.
    pub pin: Option<[u8; 32]>,
    /// Whether to sign in without TLS to another machine.
    pub allow_cleartext: bool,
    /// The user.
    pub user: String,
    /// Whether to sign in by SCRAM-SHA-256 or not at all: the server never learns the password.
    pub scram_only: bool,
    /// The password.
    pub secret: Zeroizing<String>,
    /// For how long any single wait may last.
    pub timeout: Duration,
    /// Capabilities to ignore, in upper case.
    pub disable: BTreeSet<String>,
}

impl fmt::Debug for Endpoint {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(super) fn is_loopback(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
    }
}
