//! TLS with a certificate made for this process: implicit and by STARTTLS.

use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::wire::Duplex;

/// The certificate and what accepts connections with it.
struct Identity {
    certificate: CertificateDer<'static>,
    acceptor: TlsAcceptor,
}

fn identity() -> Option<&'static Identity> {
    static IDENTITY: OnceLock<Option<Identity>> = OnceLock::new();
    IDENTITY.get_or_init(make).as_ref()
}

fn make() -> Option<Identity> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).ok()?;
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .ok()?;
    Some(Identity { certificate, acceptor: TlsAcceptor::from(Arc::new(config)) })
}

/// The self-signed certificate of all simulated servers of this process, in DER; it names
/// `localhost` and `127.0.0.1`.
///
/// # Panics
/// When no certificate can be made at all.
#[must_use]
pub fn certificate() -> CertificateDer<'static> {
    match identity() {
        Some(identity) => identity.certificate.clone(),
        None => panic!("no TLS certificate could be made"),
    }
}

/// Does the server's part of a handshake; none when it fails.
pub(crate) async fn accept(stream: Box<dyn Duplex>) -> Option<Box<dyn Duplex>> {
    let acceptor = &identity()?.acceptor;
    let stream = acceptor.accept(stream).await.ok()?;
    Some(Box::new(stream))
}
