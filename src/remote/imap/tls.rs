//! TLS by rustls: the system's roots, extra roots, or one pinned key.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::connect::Endpoint;
use crate::remote::{BoxStream, RemoteError};

/// Wraps a stream in TLS, to whom the endpoint names.
pub(crate) async fn secure(
    stream: BoxStream,
    endpoint: &Endpoint,
) -> Result<BoxStream, RemoteError> {
    let refuse = |why: String| RemoteError::Tls { host: endpoint.host.clone(), why };
    let config = config(endpoint).map_err(refuse)?;
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|e| refuse(e.to_string()))?;
    let handshake = TlsConnector::from(config).connect(name, stream);
    match within(endpoint.timeout, handshake).await {
        Some(Ok(stream)) => Ok(Box::new(stream)),
        Some(Err(error)) => Err(refuse(error.to_string())),
        None => Err(RemoteError::Timeout {
            doing: format!("TLS with {}", endpoint.host),
            after: endpoint.timeout,
        }),
    }
}

/// What a future gives in time, none if it does not.
pub(crate) async fn within<T>(after: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(after, future).await.ok()
}

fn config(endpoint: &Endpoint) -> Result<Arc<ClientConfig>, String> {
    // Reading the system's roots takes longer than the handshake: once per process. A shared
    // configuration also lets further connections resume, which saves the signatures.
    static SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let provider = Arc::new(aws_lc_rs::default_provider());
    if let Some(pin) = endpoint.pin {
        return build(Arc::new(PinnedKey { pin, provider: provider.clone() }), provider);
    }
    if let Some(path) = &endpoint.ca {
        let roots = extra_roots(path)?;
        let verifier = Verifier::new_with_extra_roots(roots, provider.clone());
        return build(Arc::new(verifier.map_err(|e| e.to_string())?), provider);
    }
    if let Some(config) = SYSTEM.get() {
        return Ok(config.clone());
    }
    let verifier = Verifier::new(provider.clone()).map_err(|e| e.to_string())?;
    let config = build(Arc::new(verifier), provider)?;
    Ok(SYSTEM.get_or_init(|| config).clone())
}

fn build(
    verifier: Arc<dyn ServerCertVerifier>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<ClientConfig>, String> {
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn extra_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |e: &dyn std::fmt::Display| format!("tls_ca {}: {e}", path.display());
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| told(&e))?;
    let roots: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|e| told(&e))?;
    if roots.is_empty() {
        return Err(told(&"holds no certificate"));
    }
    Ok(roots)
}

/// Trusts whoever proves to hold one key, whatever its certificate says.
#[derive(Debug)]
struct PinnedKey {
    /// SHA-256 of the SubjectPublicKeyInfo in DER (RFC 7469 §2.4).
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if sha256(&certificate.subject_public_key_info()) == Some(self.pin) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// SHA-256 as TLS itself uses it: no crate of our own for one hash.
fn sha256(bytes: &[u8]) -> Option<[u8; 32]> {
    let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?;
    suite.common.hash_provider.hash(bytes).as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha256() {
        let hex: String = sha256(b"abc").unwrap().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
