//! What a server says it can do: hints, each of which may be withdrawn when it proves wrong.

use std::collections::BTreeSet;

/// Stands for MAILBOXID in STATUS among what is not asked for; no server announces it.
const MAILBOX_ID: &str = "MAILBOXID";

/// What an IMAP4rev2-only server has without naming it (RFC 9051 appendix E).
const REV2_IMPLIES: [&str; 10] = [
    "NAMESPACE",
    "UNSELECT",
    "UIDPLUS",
    "ESEARCH",
    "ENABLE",
    "SASL-IR",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "MOVE",
    "LITERAL-",
];

/// How many capabilities are kept, and how long one may be: no server has more.
const MOST: usize = 500;
const LONGEST: usize = 255;

/// The capabilities of a session (RFC 9051 §6.1.1), less those that are avoided because
/// connections broke at them, or were withdrawn because they do not work.
///
/// Each is a hint: a server that announces one may still refuse its commands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    names: BTreeSet<String>,
    disabled: BTreeSet<String>,
    pub(crate) enabled: Enabled,
}

/// What an `* ENABLED` has confirmed (RFC 5161 §3.2): only that may be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Enabled {
    pub(crate) qresync: bool,
    pub(crate) condstore: bool,
}

impl Capabilities {
    /// No capabilities yet; `disabled` are those to avoid (upper case).
    pub(crate) fn new(disabled: &BTreeSet<String>) -> Self {
        Self { disabled: disabled.clone(), ..Self::default() }
    }

    /// Takes a whole capability list in the place of the former one.
    pub(crate) fn replace(&mut self, list: &[u8]) {
        let words = list.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty());
        let words = words.filter(|word| word.len() <= LONGEST).take(MOST);
        self.names = words.map(|w| String::from_utf8_lossy(w).to_ascii_uppercase()).collect();
        if self.names.contains("IMAP4REV2") && !self.names.contains("IMAP4REV1") {
            self.names.extend(REV2_IMPLIES.map(str::to_owned));
        }
    }

    /// No longer believes in `name`, for this session.
    pub(crate) fn withdraw(&mut self, name: &str) {
        self.disabled.insert(name.to_ascii_uppercase());
    }

    /// Forgets all that was announced, as after STARTTLS (RFC 9051 §6.2.1).
    pub(crate) fn forget(&mut self) {
        self.names.clear();
    }

    /// Whether nothing was announced yet.
    pub(crate) fn is_unknown(&self) -> bool {
        self.names.is_empty()
    }

    /// Takes the names of an `* ENABLED` response.
    pub(crate) fn confirm(&mut self, list: &[u8]) {
        for word in list.split(|b| b.is_ascii_whitespace()) {
            // RFC 7162 §3.2.3: QRESYNC includes CONDSTORE.
            self.enabled.qresync |= word.eq_ignore_ascii_case(b"QRESYNC");
            self.enabled.condstore |=
                word.eq_ignore_ascii_case(b"CONDSTORE") || word.eq_ignore_ascii_case(b"QRESYNC");
        }
    }

    /// Whether the server announces `name` (any case), and it is neither avoided nor withdrawn.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let name = name.to_ascii_uppercase();
        self.names.contains(&name) && !self.disabled.contains(&name)
    }

    /// Every announced name that is neither avoided nor withdrawn, in upper case.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.difference(&self.disabled).map(String::as_str)
    }

    /// QRESYNC (RFC 7162), and the server has confirmed that it is enabled.
    #[must_use]
    pub fn qresync(&self) -> bool {
        self.has("QRESYNC") && self.enabled.qresync
    }

    /// Mod-sequences (RFC 7162): CONDSTORE, or QRESYNC which includes it.
    #[must_use]
    pub fn condstore(&self) -> bool {
        self.has("CONDSTORE") || (self.has("QRESYNC") && !self.disabled.contains("CONDSTORE"))
    }

    /// UID EXPUNGE, APPENDUID and COPYUID (RFC 4315).
    #[must_use]
    pub fn uidplus(&self) -> bool {
        self.has("UIDPLUS")
    }

    /// MOVE (RFC 6851).
    #[must_use]
    pub fn can_move(&self) -> bool {
        self.has("MOVE")
    }

    /// STATUS within LIST (RFC 5819).
    #[must_use]
    pub fn list_status(&self) -> bool {
        self.has("LIST-STATUS")
    }

    /// Literals without waiting (RFC 7888), of any length.
    #[must_use]
    pub fn literal_plus(&self) -> bool {
        self.has("LITERAL+")
    }

    /// Literals without waiting (RFC 7888), up to 4096 bytes.
    #[must_use]
    pub fn literal_minus(&self) -> bool {
        self.has("LITERAL-")
    }

    /// Special uses in LIST (RFC 6154).
    #[must_use]
    pub fn special_use(&self) -> bool {
        self.has("SPECIAL-USE")
    }

    /// SEARCH RETURN (RFC 4731).
    #[must_use]
    pub fn esearch(&self) -> bool {
        self.has("ESEARCH")
    }

    /// UNSELECT (RFC 3691).
    #[must_use]
    pub fn unselect(&self) -> bool {
        self.has("UNSELECT")
    }

    /// EMAILID and MAILBOXID (RFC 8474).
    #[must_use]
    pub fn objectid(&self) -> bool {
        self.has("OBJECTID")
    }

    /// MAILBOXID in STATUS (RFC 8474 §4.3), and nothing that this server told there was untrue.
    #[must_use]
    pub fn mailbox_ids(&self) -> bool {
        self.objectid() && !self.disabled.contains(MAILBOX_ID)
    }

    /// Does not ask for MAILBOXID in STATUS any more: what came was no id (hazard 98).
    pub(crate) fn withdraw_mailbox_ids(&mut self) {
        self.disabled.insert(MAILBOX_ID.to_owned());
    }

    /// Gmail's extensions, of which X-GM-MSGID serves as an object id.
    #[must_use]
    pub fn gmail(&self) -> bool {
        self.has("X-GM-EXT-1")
    }

    /// Several messages in one APPEND (RFC 3502).
    #[must_use]
    pub fn multiappend(&self) -> bool {
        self.has("MULTIAPPEND")
    }

    /// The largest message that APPEND takes, in bytes, where one is stated for the whole
    /// server (RFC 7889).
    #[must_use]
    pub fn append_limit(&self) -> Option<u64> {
        self.iter().find_map(|name| name.strip_prefix("APPENDLIMIT=")?.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capabilities(list: &str, disabled: &[&str]) -> Capabilities {
        let mut all = Capabilities::new(&disabled.iter().map(|s| (*s).to_owned()).collect());
        all.replace(list.as_bytes());
        all
    }

    #[test]
    fn announced_ignored_withdrawn() {
        let mut all = capabilities("imap4rev1  Move UIDPLUS APPENDLIMIT=35651584", &["MOVE"]);
        assert!(all.uidplus() && !all.can_move() && all.has("imap4rev1"));
        assert_eq!(all.append_limit(), Some(35_651_584));
        all.withdraw("uidplus");
        assert!(!all.uidplus());
        assert_eq!(capabilities("APPENDLIMIT", &[]).append_limit(), None);
        assert_eq!(capabilities("APPENDLIMIT=x", &[]).append_limit(), None);
    }

    #[test]
    fn qresync_needs_the_servers_word() {
        let mut all = capabilities("IMAP4rev1 ENABLE QRESYNC", &[]);
        assert!(!all.qresync() && all.condstore());
        all.confirm(b"CONDSTORE");
        assert!(!all.qresync() && all.enabled.condstore);
        all.confirm(b" qresync");
        assert!(all.qresync());
    }

    #[test]
    fn rev2_alone_implies_much() {
        assert!(capabilities("IMAP4rev2", &[]).list_status());
        assert!(!capabilities("IMAP4rev1 IMAP4rev2", &[]).list_status());
        assert!(!capabilities("IMAP4rev2", &["MOVE"]).can_move());
    }
}
