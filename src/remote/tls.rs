//! TLS by rustls: the system's roots, extra roots, or one pinned key.

mod dates;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::allowance::Allowance;
use super::endpoint::Endpoint;
use super::error::RemoteError;
use super::transport::BoxStream;

/// Wraps a stream in TLS, to whom the endpoint names.
pub(crate) async fn secure(
    stream: BoxStream,
    endpoint: &Endpoint,
    allowance: &mut Allowance,
) -> Result<BoxStream, RemoteError> {
    let refuse = |why: String| RemoteError::Tls { host: endpoint.host.clone(), why };
    let config = config(endpoint).map_err(refuse)?;
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|e| refuse(e.to_string()))?;
    let handshake = TlsConnector::from(config).connect(name, stream);
    match allowance.reading.within(handshake).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(refuse(error.to_string())),
        Err(after) => {
            let doing = format!("TLS with {}", endpoint.host);
            Err(RemoteError::Timeout { doing, after })
        }
    }
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
        let listed = extra_roots(path)?;
        let chain = Verifier::new_with_extra_roots(listed.clone(), provider.clone());
        let chain = chain.map_err(|e| e.to_string())?;
        return build(Arc::new(Listed { listed, chain }), provider);
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
    // A pipe would be waited for without an end.
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return Err(told(&"is not a regular file"));
    }
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| told(&e))?;
    let roots: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|e| told(&e))?;
    if roots.is_empty() {
        return Err(told(&"holds no certificate"));
    }
    Ok(roots)
}

/// Trusts the system's roots and those of a file; and a certificate that itself stands in the
/// file, as those do that servers make for themselves: no chain leads to these.
#[derive(Debug)]
struct Listed {
    listed: Vec<CertificateDer<'static>>,
    chain: Verifier,
}

impl ServerCertVerifier for Listed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.listed.iter().any(|listed| listed == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            if !dates::is_valid_at(end_entity, now) {
                let words = "the certificate listed in tls_ca is expired or not yet valid";
                return Err(rustls::Error::General(words.to_owned()));
            }
            return Ok(ServerCertVerified::assertion());
        }
        self.chain.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
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
        let key = sha256(&certificate.subject_public_key_info());
        if key == Some(self.pin) {
            return Ok(ServerCertVerified::assertion());
        }
        // Not which key: it would be pinned without a second thought, and may be an attacker's.
        let words = "the server's key is not the pinned one: it was renewed, or someone intercepts \
            the connection; get the new fingerprint from its operator through another channel";
        Err(rustls::Error::General(words.to_owned()))
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
    use crate::remote::Tls;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use std::io::Write as _;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn endpoint(host: &str) -> Endpoint {
        Endpoint {
            host: host.to_owned(),
            port: 993,
            tls: Tls::Implicit,
            ca: None,
            pin: None,
            allow_cleartext: false,
            user: String::new(),
            secret: String::new().into(),
            timeout: Duration::from_secs(60),
            scram_only: false,
            disable: Default::default(),
        }
    }

    /// Whether a client at `endpoint` trusts this server, or why not.
    async fn meet(server: &Arc<rustls::ServerConfig>, endpoint: &Endpoint) -> Result<(), String> {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let acceptor = tokio_rustls::TlsAcceptor::from(server.clone());
        tokio::spawn(async move {
            if let Ok(mut stream) = acceptor.accept(theirs).await {
                stream.write_all(b"hi").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        let mut stream = secure(Box::new(ours), endpoint, &mut Allowance::new(endpoint.timeout))
            .await
            .map_err(|e| e.to_string())?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await.map_err(|e| e.to_string())?;
        assert_eq!(said, "hi");
        Ok(())
    }

    #[tokio::test]
    async fn trusts_what_it_was_told_to_and_nothing_else() {
        let made = rcgen::generate_simple_self_signed(["mail.test".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let server =
            rustls::ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key.into())
                .unwrap();
        let server = Arc::new(server);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(made.cert.pem().as_bytes()).unwrap();
        let spki = ParsedCertificate::try_from(made.cert.der()).unwrap().subject_public_key_info();
        let pin = sha256(&spki);

        let mut there = endpoint("mail.test");
        there.ca = Some(file.path().to_owned());
        assert_eq!(meet(&server, &there).await, Ok(()));
        there.host = "other.test".to_owned();
        assert!(meet(&server, &there).await.unwrap_err().contains("not valid for name"));
        // A pin decides alone.
        there.ca = None;
        there.pin = pin;
        assert_eq!(meet(&server, &there).await, Ok(()));
        there.pin = Some([7; 32]);
        assert!(meet(&server, &there).await.unwrap_err().contains("not the pinned one"));
        there.pin = None;
        assert!(meet(&server, &there).await.is_err());
        there.ca = Some("/nonexistent/ca.pem".into());
        assert!(meet(&server, &there).await.unwrap_err().contains("tls_ca /nonexistent/ca.pem"));
    }

    #[tokio::test]
    async fn a_listed_certificate_has_dates() {
        let mut parameters = rcgen::CertificateParams::new(["mail.test".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2002, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let server =
            rustls::ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
                )
                .unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(certificate.pem().as_bytes()).unwrap();
        let mut there = endpoint("mail.test");
        there.ca = Some(file.path().to_owned());
        let error = meet(&Arc::new(server), &there).await.unwrap_err();
        assert!(error.contains("expired or not yet valid"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_a_deadline() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let mut there = endpoint("mail.test");
        there.pin = Some([7; 32]);
        let mut allowance = Allowance::new(there.timeout);
        let error = secure(Box::new(ours), &there, &mut allowance).await.unwrap_err();
        assert!(matches!(error, RemoteError::Timeout { .. }));
    }

    #[test]
    fn the_hash_is_sha256() {
        let hex: String = sha256(b"abc").unwrap().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
