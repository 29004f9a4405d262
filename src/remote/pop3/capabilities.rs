//! What a server says it can do (RFC 2449).

use std::collections::{BTreeMap, BTreeSet};

/// How many capabilities are kept: nobody has more.
const MOST: usize = 200;

/// The answer to CAPA, without what the configuration says to ignore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The arguments by the name, both in upper case; none if CAPA was refused.
    listed: Option<BTreeMap<String, Vec<String>>>,
    disabled: BTreeSet<String>,
}

impl Capabilities {
    pub(crate) fn new(disabled: &BTreeSet<String>) -> Self {
        Self { listed: None, disabled: disabled.clone() }
    }

    /// An answer begins.
    pub(crate) fn clear(&mut self) {
        self.listed = Some(BTreeMap::new());
    }

    /// Takes a line of it.
    pub(crate) fn add(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line).to_ascii_uppercase();
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        let (Some(name), Some(listed)) = (words.next(), self.listed.as_mut()) else { return };
        if listed.len() < MOST {
            let arguments = listed.entry(name).or_default();
            arguments.extend(words.take(MOST.saturating_sub(arguments.len())));
        }
    }

    /// Whether the server did not say: it has no CAPA.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.listed.is_none()
    }

    fn arguments(&self, name: &str) -> Option<&[String]> {
        let arguments = self.listed.as_ref()?.get(name)?;
        (!self.disabled.contains(name)).then_some(arguments)
    }

    /// Whether the server lists `name` (in upper case).
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.arguments(name).is_some()
    }

    /// Whether the configuration says to do without `name`.
    #[must_use]
    pub fn is_disabled(&self, name: &str) -> bool {
        self.disabled.contains(name)
    }

    /// Whether AUTH can go by this mechanism.
    #[must_use]
    pub fn sasl(&self, mechanism: &str) -> bool {
        let named = |known: &String| known == mechanism;
        !self.disabled.contains(mechanism)
            && self.arguments("SASL").is_some_and(|listed| listed.iter().any(named))
    }

    /// Whether commands may be sent before former ones are answered (RFC 2449 §6.6).
    #[must_use]
    pub fn pipelining(&self) -> bool {
        self.has("PIPELINING")
    }

    /// How many seconds must lie between two sign-ins (RFC 2449 §6.5), where it is known.
    #[must_use]
    pub fn login_delay(&self) -> Option<u64> {
        self.arguments("LOGIN-DELAY")?.first()?.parse().ok()
    }

    /// After how many days the server itself may delete messages (RFC 2449 §6.7); none where
    /// it does not say, or never does.
    #[must_use]
    pub fn expire(&self) -> Option<u64> {
        self.arguments("EXPIRE")?.first()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_make() {
        let disabled = BTreeSet::from(["TOP".to_owned(), "CRAM-MD5".to_owned()]);
        let mut known = Capabilities::new(&disabled);
        assert!(known.is_unknown() && !known.has("UIDL"));
        known.clear();
        let lines: [&[u8]; 8] = [
            b"TOP",
            b"uidl",
            b"SASL PLAIN  cram-md5",
            b"SASL SCRAM-SHA-256",
            b"",
            b"LOGIN-DELAY 900 USER",
            b"EXPIRE NEVER",
            b"\xff\0 x",
        ];
        lines.iter().for_each(|line| known.add(line));
        assert!(known.has("UIDL") && !known.has("TOP") && known.is_disabled("TOP"));
        assert!(known.sasl("PLAIN") && known.sasl("SCRAM-SHA-256") && !known.sasl("CRAM-MD5"));
        assert_eq!((known.login_delay(), known.expire()), (Some(900), None));
        assert!(!known.pipelining() && !known.is_unknown());
    }
}
