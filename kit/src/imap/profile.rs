//! Which server is simulated: each extension on or off, and the habits real servers have.

/// What of RFC 7162 the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modseq {
    /// No mod-sequences at all.
    None,
    /// CONDSTORE.
    Condstore,
    /// CONDSTORE and QRESYNC.
    Qresync,
}

/// What STATUS tells for MAILBOXID (RFC 8474 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusIds {
    /// The id, as SELECT does.
    True,
    /// What lay in memory (as Cyrus 3.6.1).
    Garbled,
    /// Another one whenever a message came.
    Untrue,
}

/// Which literals the server takes (RFC 7888).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literals {
    /// Only synchronizing ones.
    Sync,
    /// LITERAL-: non-synchronizing up to 4096 octets.
    Minus,
    /// LITERAL+: non-synchronizing of any size.
    Plus,
}

/// A server's capabilities and habits. All fields may be changed at any time
/// ([`Server::configure`](super::Server::configure)); the presets are starting points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// CONDSTORE, QRESYNC or neither.
    pub modseq: Modseq,
    /// UIDPLUS (RFC 4315): APPENDUID, COPYUID, UID EXPUNGE.
    pub uidplus: bool,
    /// MOVE (RFC 6851).
    pub move_: bool,
    /// LIST-EXTENDED (RFC 5258).
    pub list_extended: bool,
    /// LIST-STATUS (RFC 5819).
    pub list_status: bool,
    /// LITERAL+ or LITERAL-.
    pub literals: Literals,
    /// SPECIAL-USE (RFC 6154).
    pub special_use: bool,
    /// ESEARCH (RFC 4731).
    pub esearch: bool,
    /// UNSELECT (RFC 3691).
    pub unselect: bool,
    /// ENABLE (RFC 5161).
    pub enable: bool,
    /// ID (RFC 2971).
    pub id: bool,
    /// SASL-IR (RFC 4959).
    pub sasl_ir: bool,
    /// MULTIAPPEND (RFC 3502).
    pub multiappend: bool,
    /// OBJECTID (RFC 8474): EMAILID, MAILBOXID.
    pub objectid: bool,
    /// What STATUS tells for MAILBOXID.
    pub status_ids: StatusIds,
    /// NAMESPACE (RFC 2342).
    pub namespace: bool,
    /// CHILDREN (RFC 3348): `\HasChildren`, `\HasNoChildren`.
    pub children: bool,
    /// IDLE (RFC 2177).
    pub idle: bool,
    /// NOTIFY (RFC 5465), for personal mailboxes.
    pub notify: bool,
    /// STARTTLS is offered on a connection that is not yet encrypted.
    pub starttls: bool,
    /// LOGINDISABLED until the connection is encrypted.
    pub login_disabled: bool,
    /// The hierarchy delimiter; NUL where there is none, and names are flat.
    pub delimiter: char,
    /// The prefix of the personal namespace that NAMESPACE tells (`INBOX.` at Courier's);
    /// clients make mailboxes only below it.
    pub prefix: String,
    /// Any name is taken that has no empty level. Off: the same are refused as by Dovecot.
    pub lax_names: bool,
    /// CREATE and RENAME drop blanks at the end of a name (as Exchange does).
    pub trims_names: bool,
    /// What PERMANENTFLAGS lists besides the five system flags: keywords, and `\*` when a
    /// client may make its own. A keyword that is neither here nor allowed is dropped silently.
    pub permanent: Vec<String>,
    /// Largest APPEND in octets (RFC 7889), announced as APPENDLIMIT; none for no limit.
    pub append_limit: Option<u64>,
    /// A NUL in an APPEND is answered NO (as Cyrus does). Off: it is stored as it came.
    pub refuse_nul: bool,
    /// A bare LF in an APPEND is answered NO (as Cyrus does). Off: it is stored as it came.
    pub refuse_bare_lf: bool,
    /// STATUS of the selected mailbox tells what the session was last told, as Dovecot does.
    pub blind_status: bool,
    /// NO for a mailbox that SELECT or STATUS does not find carries `[NONEXISTENT]`
    /// (Dovecot 2.3 leaves it out).
    pub nonexistent_code: bool,
    /// An expunge raises HIGHESTMODSEQ. Off on some servers that have CONDSTORE only.
    pub expunge_raises_modseq: bool,
    /// CREATE makes the levels above as real mailboxes. Off: they become `\Noselect`.
    pub real_parents: bool,
    /// The greeting and the answer to LOGIN carry a CAPABILITY code.
    pub capability_code: bool,
    /// UIDNEXT is told by SELECT and STATUS; some old servers do not.
    pub uidnext: bool,
    /// Longest command line in octets; a longer one is answered BAD.
    pub max_line: usize,
    /// Names that get a special-use attribute when they exist.
    pub special: Vec<(String, String)>,
    /// User and password; none lets everybody in.
    pub credentials: Option<(String, String)>,
    /// AUTH=SCRAM-SHA-256, for these credentials.
    pub scram: bool,
}

impl Profile {
    /// Everything on, as Dovecot or Cyrus have it.
    #[must_use]
    pub fn qresync() -> Self {
        let special = [
            ("Archive", "\\Archive"),
            ("Drafts", "\\Drafts"),
            ("Junk", "\\Junk"),
            ("Sent", "\\Sent"),
            ("Trash", "\\Trash"),
        ];
        Self {
            modseq: Modseq::Qresync,
            uidplus: true,
            move_: true,
            list_extended: true,
            list_status: true,
            literals: Literals::Plus,
            special_use: true,
            esearch: true,
            unselect: true,
            enable: true,
            id: true,
            sasl_ir: true,
            multiappend: true,
            objectid: false,
            status_ids: StatusIds::True,
            namespace: true,
            children: true,
            idle: true,
            notify: false,
            starttls: false,
            login_disabled: false,
            delimiter: '/',
            prefix: String::new(),
            lax_names: false,
            trims_names: false,
            permanent: vec!["\\*".to_owned()],
            append_limit: None,
            refuse_nul: false,
            refuse_bare_lf: false,
            blind_status: true,
            nonexistent_code: false,
            expunge_raises_modseq: true,
            real_parents: false,
            capability_code: true,
            uidnext: true,
            max_line: 65_536,
            special: special.map(|(n, a)| (n.to_owned(), a.to_owned())).to_vec(),
            credentials: None,
            scram: false,
        }
    }

    /// As [`Profile::qresync`], but CONDSTORE without QRESYNC.
    #[must_use]
    pub fn condstore() -> Self {
        Self { modseq: Modseq::Condstore, ..Self::qresync() }
    }

    /// RFC 3501 and not one extension.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            modseq: Modseq::None,
            uidplus: false,
            move_: false,
            list_extended: false,
            list_status: false,
            literals: Literals::Sync,
            special_use: false,
            esearch: false,
            unselect: false,
            enable: false,
            id: false,
            sasl_ir: false,
            multiappend: false,
            namespace: false,
            children: false,
            idle: false,
            capability_code: false,
            ..Self::qresync()
        }
    }

    /// In the manner of Gmail: CONDSTORE, LITERAL-, an expunge that moves no mod-sequence.
    #[must_use]
    pub fn gmail() -> Self {
        Self {
            modseq: Modseq::Condstore,
            literals: Literals::Minus,
            multiappend: false,
            expunge_raises_modseq: false,
            nonexistent_code: true,
            append_limit: Some(35_651_584),
            ..Self::qresync()
        }
    }

    /// In the manner of Microsoft 365: UIDPLUS, MOVE and LITERAL+, but no mod-sequence, no
    /// LIST-STATUS and no special uses.
    #[must_use]
    pub fn exchange() -> Self {
        Self {
            modseq: Modseq::None,
            list_extended: false,
            list_status: false,
            special_use: false,
            esearch: false,
            enable: false,
            multiappend: false,
            ..Self::qresync()
        }
    }

    /// Six profiles in which each pair of values of {QRESYNC, CONDSTORE, neither} × UIDPLUS ×
    /// MOVE × LIST-STATUS × LITERAL+ occurs at least once.
    #[must_use]
    pub fn pairwise() -> Vec<Self> {
        let rows = [
            (Modseq::Qresync, [true, true, true, true]),
            (Modseq::Qresync, [false, false, false, false]),
            (Modseq::Condstore, [false, false, true, true]),
            (Modseq::Condstore, [true, true, false, false]),
            (Modseq::None, [false, true, false, true]),
            (Modseq::None, [true, false, true, false]),
        ];
        rows.map(|(modseq, [uidplus, move_, list_status, plus])| Self {
            modseq,
            uidplus,
            move_,
            list_status,
            literals: if plus { Literals::Plus } else { Literals::Sync },
            ..Self::qresync()
        })
        .to_vec()
    }

    /// Whether there are mod-sequences.
    #[must_use]
    pub fn has_modseq(&self) -> bool {
        self.modseq != Modseq::None
    }

    /// What CAPABILITY says. Before sign-in only what concerns it.
    #[must_use]
    pub fn capabilities(&self, encrypted: bool, signed_in: bool) -> String {
        let limit = self.append_limit.map(|n| format!("APPENDLIMIT={n}"));
        let before = !signed_in && !encrypted;
        let list = [
            (true, "IMAP4rev1"),
            (self.sasl_ir, "SASL-IR"),
            (self.id, "ID"),
            (self.enable, "ENABLE"),
            (self.idle, "IDLE"),
            (self.literals == Literals::Plus, "LITERAL+"),
            (self.literals == Literals::Minus, "LITERAL-"),
            (before && self.starttls, "STARTTLS"),
            (before && self.login_disabled, "LOGINDISABLED"),
            (!signed_in && (encrypted || !self.login_disabled), "AUTH=PLAIN"),
            (!signed_in && self.scram, "AUTH=SCRAM-SHA-256"),
            (signed_in && self.multiappend, "MULTIAPPEND"),
            (signed_in && self.unselect, "UNSELECT"),
            (signed_in && self.children, "CHILDREN"),
            (signed_in && self.namespace, "NAMESPACE"),
            (signed_in && self.uidplus, "UIDPLUS"),
            (signed_in && self.notify, "NOTIFY"),
            (signed_in && self.list_extended, "LIST-EXTENDED"),
            (signed_in && self.has_modseq(), "CONDSTORE"),
            (signed_in && self.modseq == Modseq::Qresync, "QRESYNC"),
            (signed_in && self.esearch, "ESEARCH"),
            (signed_in && self.list_status, "LIST-STATUS"),
            (signed_in && self.move_, "MOVE"),
            (signed_in && self.special_use, "SPECIAL-USE"),
            (signed_in && self.objectid, "OBJECTID"),
            (signed_in && limit.is_some(), limit.as_deref().unwrap_or_default()),
        ];
        let on: Vec<&str> = list.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        on.join(" ")
    }

    /// Whether PERMANENTFLAGS lets a client make keywords.
    pub(super) fn any_keyword(&self) -> bool {
        self.permanent.iter().any(|f| f == "\\*")
    }

    /// Whether a keyword is kept.
    pub(super) fn keeps(&self, keyword: &str) -> bool {
        self.any_keyword() || self.permanent.iter().any(|f| f.eq_ignore_ascii_case(keyword))
    }

    /// The special-use attribute of a name.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let named = |(n, _): &&(String, String)| n == name;
        self.special.iter().find(named).map(|(_, a)| a.as_str()).filter(|_| self.special_use)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_pair_of_values_occurs() {
        let columns: Vec<[u8; 5]> = Profile::pairwise()
            .iter()
            .map(|p| {
                let plus = p.literals == Literals::Plus;
                [
                    p.modseq as u8,
                    p.uidplus.into(),
                    p.move_.into(),
                    p.list_status.into(),
                    plus.into(),
                ]
            })
            .collect();
        for a in 0..5 {
            for b in a + 1..5 {
                let pairs: BTreeSet<_> = columns.iter().map(|row| (row[a], row[b])).collect();
                assert_eq!(pairs.len(), if a == 0 { 6 } else { 4 }, "{a} {b}");
            }
        }
    }

    #[test]
    fn capabilities_by_state() {
        let p = Profile { starttls: true, login_disabled: true, ..Profile::qresync() };
        let before = p.capabilities(false, false);
        assert!(before.contains("STARTTLS LOGINDISABLED") && !before.contains("AUTH=PLAIN"));
        assert!(!p.capabilities(true, true).contains("STARTTLS"));
        assert_eq!(Profile::plain().capabilities(false, true), "IMAP4rev1");
    }
}
