//! What a session was told of its selected mailbox, and telling it what changed.
//!
//! Sequence numbers are positions in this view, so it changes only when the session is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::mailbox::{Mailbox, Msg, SYSTEM};
use super::profile::Profile;
use super::respond::Out;
use super::set;

/// A selected mailbox as its session knows it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) identity: u64,
    pub(super) name: String,
    pub(super) read_only: bool,
    /// Messages in order of their sequence numbers, as last told.
    pub(super) rows: Vec<Arc<Msg>>,
    /// UIDs that are `\Recent` in this session.
    pub(super) recent: BTreeSet<u32>,
    pub(super) uid_next: u32,
    pub(super) highest_modseq: u64,
    changes: u64,
    keywords: usize,
}

/// How the session wants to be told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Whether expunges may be told now (RFC 3501 §7.4.1: not during FETCH, STORE, SEARCH).
    pub(super) expunges: bool,
    /// Whether FETCH rows carry the UID.
    pub(super) uid: bool,
    /// Whether FETCH rows carry MODSEQ (RFC 7162 §3.1).
    pub(super) modseq: bool,
    /// VANISHED instead of EXPUNGE (RFC 7162 §3.2.10).
    pub(super) vanished: bool,
    /// Only the newest n messages are shown at all.
    pub(super) window: Option<usize>,
}

impl View {
    /// Opens a mailbox; with `read_only` its `\Recent` stays for others.
    pub(super) fn open(
        name: &str,
        mailbox: &Mailbox,
        read_only: bool,
        window: Option<usize>,
    ) -> Self {
        let rows: Vec<Arc<Msg>> = mailbox.visible(window).map(Arc::clone).collect();
        let from = mailbox.recent_from;
        Self {
            identity: mailbox.identity,
            name: name.to_owned(),
            read_only,
            recent: rows.iter().map(|m| m.uid).filter(|uid| *uid >= from && !read_only).collect(),
            rows,
            uid_next: mailbox.uid_next,
            highest_modseq: mailbox.highest_modseq,
            changes: mailbox.changes,
            keywords: mailbox.keywords.len(),
        }
    }

    /// The highest UID told, 0 in an empty mailbox.
    pub(super) fn max_uid(&self) -> u32 {
        self.rows.last().map_or(0, |m| m.uid)
    }

    /// The number of messages told.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// The flags of a row on the wire, `\Recent` among them, without parentheses.
    pub(super) fn flags_of(&self, msg: &Msg) -> String {
        let recent = self.recent.contains(&msg.uid).then_some("\\Recent");
        let system = SYSTEM.iter().copied().filter(|f| msg.flags.contains(*f));
        let keywords = msg.flags.iter().map(String::as_str).filter(|f| !f.starts_with('\\'));
        system.chain(recent).chain(keywords).collect::<Vec<_>>().join(" ")
    }

    /// Whether there is anything to tell.
    pub(super) fn is_stale(&self, mailbox: &Mailbox) -> bool {
        self.changes != mailbox.changes
    }

    /// Tells what changed; true when messages were told to be gone.
    pub(super) fn tell(
        &mut self,
        mailbox: &Mailbox,
        profile: &Profile,
        how: Manner,
        out: &mut Out,
    ) -> bool {
        if !self.is_stale(mailbox) {
            return false;
        }
        if mailbox.keywords.len() > self.keywords {
            self.keywords = mailbox.keywords.len();
            flag_lines(mailbox, profile, self.read_only, out);
        }
        let lowest = mailbox.visible(how.window).next().map_or(u32::MAX, |m| m.uid);
        let gone = self.tell_flags(mailbox, lowest, how, out);
        let recent = self.recent.len();
        let told_gone = how.expunges && !gone.is_empty();
        if told_gone {
            self.tell_gone(&gone, how, out);
        }
        self.tell_new(mailbox, lowest, recent, out);
        self.uid_next = mailbox.uid_next;
        if gone.is_empty() || how.expunges {
            self.highest_modseq = mailbox.highest_modseq;
            self.changes = mailbox.changes;
        }
        told_gone
    }

    /// Tells changed flags; gives the positions of rows that are gone.
    fn tell_flags(
        &mut self,
        mailbox: &Mailbox,
        lowest: u32,
        how: Manner,
        out: &mut Out,
    ) -> Vec<usize> {
        let mut gone = Vec::new();
        for at in 0..self.rows.len() {
            let row = Arc::clone(&self.rows[at]);
            match mailbox.messages.get(&row.uid).filter(|m| m.uid >= lowest) {
                None => gone.push(at),
                Some(now) if now.modseq != row.modseq => {
                    self.rows[at] = Arc::clone(now);
                    let mut items = Vec::new();
                    if how.uid {
                        items.push(format!("UID {}", now.uid));
                    }
                    if how.modseq {
                        items.push(format!("MODSEQ ({})", now.modseq));
                    }
                    items.push(format!("FLAGS ({})", self.flags_of(now)));
                    out.line(format_args!("* {} FETCH ({})", at + 1, items.join(" ")));
                }
                Some(_) => {}
            }
        }
        gone
    }

    fn tell_gone(&mut self, gone: &[usize], how: Manner, out: &mut Out) {
        let uids: BTreeSet<u32> = gone.iter().map(|at| self.rows[*at].uid).collect();
        if how.vanished {
            out.line(format_args!("* VANISHED {}", set::format(uids.iter().copied())));
        } else {
            for at in gone.iter().rev() {
                out.line(format_args!("* {} EXPUNGE", at + 1));
            }
        }
        self.rows.retain(|row| !uids.contains(&row.uid));
        self.recent.retain(|uid| !uids.contains(uid));
    }

    fn tell_new(&mut self, mailbox: &Mailbox, lowest: u32, recent_before: usize, out: &mut Out) {
        let from = self.max_uid().saturating_add(1).max(lowest);
        let count = self.rows.len();
        let shown = |m: &&Arc<Msg>| !mailbox.hidden.contains(&m.uid);
        for message in mailbox.messages.range(from..).map(|(_, m)| m).filter(shown) {
            self.rows.push(Arc::clone(message));
            if message.uid >= mailbox.recent_from && !self.read_only {
                self.recent.insert(message.uid);
            }
        }
        if self.rows.len() > count {
            out.line(format_args!("* {} EXISTS", self.rows.len()));
        }
        if self.rows.len() > count || self.recent.len() != recent_before {
            out.line(format_args!("* {} RECENT", self.recent.len()));
        }
    }
}

/// FLAGS and PERMANENTFLAGS of a mailbox.
pub(super) fn flag_lines(mailbox: &Mailbox, profile: &Profile, read_only: bool, out: &mut Out) {
    let listed = profile.permanent.iter().filter(|f| *f != "\\*");
    let mut flags: Vec<&str> = SYSTEM.to_vec();
    let known = |flags: &[&str], f: &str| flags.iter().any(|k| k.eq_ignore_ascii_case(f));
    for keyword in mailbox.keywords.iter().chain(listed) {
        if !known(&flags, keyword) {
            flags.push(keyword);
        }
    }
    out.line(format_args!("* FLAGS ({})", flags.join(" ")));
    if read_only {
        out.line(format_args!("* OK [PERMANENTFLAGS ()] Read-only mailbox."));
        return;
    }
    flags.retain(|f| f.starts_with('\\') || profile.keeps(f));
    if profile.any_keyword() {
        flags.push("\\*");
    }
    out.line(format_args!("* OK [PERMANENTFLAGS ({})] Flags permitted.", flags.join(" ")));
}
