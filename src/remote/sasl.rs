//! What is said to prove who we are, without the protocol around it.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

/// Rounds that a server may ask for: fewer than RFC 7677 §4 wants would give the password
/// away to whoever listens, more would keep us busy for it.
const ROUNDS: std::ops::RangeInclusive<u32> = 4_096..=5_000_000;

/// The mechanism of [`Scram`].
pub(crate) const SCRAM: &str = "SCRAM-SHA-256";
/// What is told where it is demanded and not to be had: that may be somebody in between who wants
/// the password itself.
pub(crate) const NO_SCRAM: &str =
    "the server does not offer SCRAM-SHA-256, which \"auth\" requires: no password was sent";

/// The message of PLAIN (RFC 4616).
pub(crate) fn plain(user: &str, secret: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(format!("\0{user}\0{secret}").into_bytes())
}

/// The message of XOAUTH2, as Google and Microsoft have it.
pub(crate) fn xoauth2(user: &str, token: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(format!("user={user}\x01auth=Bearer {token}\x01\x01").into_bytes())
}

/// The message of OAUTHBEARER (RFC 7628 §3.1).
pub(crate) fn bearer(user: &str, token: &str, host: &str, port: u16) -> Zeroizing<Vec<u8>> {
    let user = escaped(user);
    let text = format!("n,a={user},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01");
    Zeroizing::new(text.into_bytes())
}

/// The digest of APOP (RFC 1939 §7) in hex.
pub(crate) fn apop(timestamp: &str, secret: &str) -> String {
    let digest = Md5::new().chain_update(timestamp).chain_update(secret).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name as SCRAM and OAUTHBEARER write it (RFC 5802 §5.1).
fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// Our side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.
///
/// The password is taken as it is: SASLprep changes nothing in ASCII.
pub(crate) struct Scram {
    secret: Zeroizing<String>,
    nonce: String,
    /// `client-first-message-bare`.
    bare: String,
    stage: Stage,
}

enum Stage {
    /// The server has to give salt and rounds.
    First,
    /// The server has to prove that it knows the password, too, by these octets.
    Final(hmac::Tag),
    /// It has.
    Proven,
}

impl Scram {
    pub(crate) fn new(user: &str, secret: &str) -> Option<Self> {
        let mut random = [0; 18];
        rand::fill(&mut random).ok()?;
        Some(Self::with_nonce(user, secret, &STANDARD.encode(random)))
    }

    fn with_nonce(user: &str, secret: &str, nonce: &str) -> Self {
        Self {
            secret: Zeroizing::new(secret.to_owned()),
            nonce: nonce.to_owned(),
            bare: format!("n={},r={nonce}", escaped(user)),
            stage: Stage::First,
        }
    }

    /// The first message.
    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Whether the server has proved itself: without that it may be anybody.
    pub(crate) fn is_proven(&self) -> bool {
        matches!(self.stage, Stage::Proven)
    }

    /// Answers a message of the server.
    pub(crate) fn respond(&mut self, message: &[u8]) -> Result<String, &'static str> {
        let message = std::str::from_utf8(message).map_err(|_| "its SCRAM message is no text")?;
        match &self.stage {
            Stage::First => self.prove(message),
            Stage::Final(expected) => {
                let signature = message.split(',').next().and_then(|part| part.strip_prefix("v="));
                let signature = signature.and_then(|text| STANDARD.decode(text).ok());
                if signature.is_none_or(|signature| signature != expected.as_ref()) {
                    return Err("its SCRAM signature is wrong: it may not know the password");
                }
                self.stage = Stage::Proven;
                Ok(String::new())
            }
            Stage::Proven => Err("it sent data after the end of SCRAM"),
        }
    }

    fn prove(&mut self, message: &str) -> Result<String, &'static str> {
        const ODD: &str = "its SCRAM message makes no sense";
        const OFF_LIMITS: &str = "its SCRAM iteration count is not between 4096 and 5000000";
        let mut parts = message.splitn(4, ',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
        let nonce = part("r=").ok_or(ODD)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("its SCRAM nonce does not extend ours");
        }
        let salt = part("s=").and_then(|text| STANDARD.decode(text).ok()).ok_or(ODD)?;
        let rounds = part("i=").and_then(|text| text.parse().ok()).ok_or(ODD)?;
        let rounds = Some(rounds).filter(|rounds| ROUNDS.contains(rounds));
        let rounds = rounds.and_then(NonZeroU32::new).ok_or(OFF_LIMITS)?;
        let mut salted = Zeroizing::new([0; 32]);
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, rounds, &salt, self.secret.as_bytes(), &mut salted[..]);
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{message},{without_proof}", self.bare);
        let client_key = keyed(&salted[..], b"Client Key");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = keyed(stored.as_ref(), signed.as_bytes());
        let both = client_key.as_ref().iter().zip(signature.as_ref());
        let proof: Vec<u8> = both.map(|(key, signature)| key ^ signature).collect();
        let server_key = keyed(&salted[..], b"Server Key");
        self.stage = Stage::Final(keyed(server_key.as_ref(), signed.as_bytes()));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }
}

fn keyed(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn scram() -> Scram {
        Scram::with_nonce("user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    }

    /// RFC 7677 §3.
    #[test]
    fn scram_as_in_its_rfc() {
        let mut scram = scram();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(scram.respond(FIRST).as_deref(), Ok(proof));
        assert!(!scram.is_proven());
        let last = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(scram.respond(last).as_deref(), Ok(""));
        assert!(scram.is_proven() && scram.respond(last).is_err());
    }

    #[test]
    fn what_a_server_may_not_say() {
        let text = String::from_utf8(FIRST.to_vec()).unwrap();
        for odd in [
            "",
            "r=",
            "e=other-error",
            &text.replace("rOpr", "ROpr"),
            &text.replace("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""),
            &text.replace("i=4096", "i=1"),
            &text.replace("i=4096", "i=4294967295"),
            &text.replace("i=4096", "i=x"),
            &text.replace("s=W", "s=*"),
            &text.replace(",i=4096", ""),
        ] {
            assert!(scram().respond(odd.as_bytes()).is_err(), "{odd}");
        }
        assert!(scram().respond(b"\xff").is_err());
        for odd in ["v=", "v=AAAA", "e=invalid-proof", ""] {
            let mut scram = scram();
            scram.respond(FIRST).unwrap();
            assert!(scram.respond(odd.as_bytes()).is_err() && !scram.is_proven(), "{odd}");
        }
    }

    #[test]
    fn the_other_messages() {
        let stamp = "<1896.697170952@dbc.mtview.ca.us>";
        assert_eq!(apop(stamp, "tanstaaf"), "c4c9334bac560ecc979e58001b3e22fb");
        assert_eq!(&plain("u", "p")[..], b"\0u\0p");
        assert_eq!(&xoauth2("u", "t")[..], b"user=u\x01auth=Bearer t\x01\x01");
        let said = bearer("a,b", "t", "h", 995);
        assert_eq!(&said[..], b"n,a=a=2Cb,\x01host=h\x01port=995\x01auth=Bearer t\x01\x01");
        assert_eq!(Scram::with_nonce("a=,b", "", "x").first(), "n,,n=a=3D=2Cb,r=x");
    }
}
