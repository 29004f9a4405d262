//! The server's part of SCRAM-SHA-256 (RFC 5802, RFC 7677), and the digest of APOP.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

const SALT: &[u8] = b"simulated salt";
const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");

/// The user that a first message names, and the message without its GS2 header.
pub(crate) fn first(message: &str) -> Option<(String, &str)> {
    let bare = message.strip_prefix("n,,")?;
    let user = bare.split(',').next()?.strip_prefix("n=")?;
    Some((user.replace("=2C", ",").replace("=3D", "="), bare))
}

/// What the server says to a first message.
pub(crate) fn challenge(bare: &str) -> Option<String> {
    let nonce = bare.split(",r=").nth(1)?;
    Some(format!("r={nonce}%simulated,s={},i={ROUNDS}", STANDARD.encode(SALT)))
}

/// What proves the server, if the last message proves the client.
pub(crate) fn prove(bare: &str, challenge: &str, last: &str, secret: &str) -> Option<String> {
    let (without, proof) = last.split_once(",p=")?;
    let nonce = challenge.strip_prefix("r=")?.split(',').next()?;
    if without != format!("c=biws,r={nonce}") {
        return None;
    }
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, SALT, secret.as_bytes(), &mut salted);
    let signed = format!("{bare},{challenge},{without}");
    let stored = digest::digest(&digest::SHA256, keyed(&salted, b"Client Key").as_ref());
    let signature = keyed(stored.as_ref(), signed.as_bytes());
    let proof = STANDARD.decode(proof).ok()?;
    let key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
    if digest::digest(&digest::SHA256, &key).as_ref() != stored.as_ref() {
        return None;
    }
    let own = keyed(keyed(&salted, b"Server Key").as_ref(), signed.as_bytes());
    Some(format!("v={}", STANDARD.encode(own)))
}

fn keyed(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

/// The digest of APOP in hex (RFC 1939 §7).
pub(crate) fn apop(timestamp: &str, secret: &str) -> String {
    let digest = Md5::digest(format!("{timestamp}{secret}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
