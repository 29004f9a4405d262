//! A certificate authority made for one test, and the server certificate that it issued.

use std::io::Write as _;
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};

/// A server's certificate for `localhost` and no other name, with what proves and pins it.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The authority's own certificate: the root to trust.
    pub ca_pem: String,
    /// The server's certificate.
    pub certificate_pem: String,
    /// The server's private key.
    pub key_pem: String,
    /// SHA-256 of the server's SubjectPublicKeyInfo in hex, by another program than ours.
    pub pin: String,
}

impl Issued {
    /// Makes an authority and has it issue a certificate.
    ///
    /// # Panics
    /// When nothing can be made at all.
    #[must_use]
    pub fn new() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(authority, authority_key).expect("a root");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        Self {
            ca_pem: authority.pem(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            pin: sha256(&key.subject_public_key_info()),
        }
    }
}

impl Default for Issued {
    fn default() -> Self {
        Self::new()
    }
}

fn sha256(bytes: &[u8]) -> String {
    let mut command = Command::new("sha256sum");
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("coreutils are installed");
    child.stdin.take().expect("a pipe").write_all(bytes).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn hashes_are_those_of_the_standard() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(super::sha256(b"abc"), abc);
    }
}
