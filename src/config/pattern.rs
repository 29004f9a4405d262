//! Which mailboxes are mirrored: patterns over UTF-8 paths.
//!
//! Only `*` and `?` mean anything. A class like `[Gmail]` would be a trap here: it is the name
//! of a mailbox at the largest provider, so brackets and braces stand for themselves.

use crate::reconcile::types::MailboxName;

/// One pattern: `*` matches any run of characters, across `/` as in IMAP LIST (RFC 9051 §6.3.9),
/// `?` exactly one; everything else matches itself, but a first level `inbox` in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<char>);

impl Pattern {
    /// Takes a pattern; refuses, in words, what can match no mailbox.
    ///
    /// # Errors
    /// An empty pattern, an empty level (`/a`, `a//b`, `a/`) and control characters.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("is empty");
        }
        if text.chars().any(char::is_control) {
            return Err("holds a control character");
        }
        if text.split('/').any(str::is_empty) {
            return Err(
                "has an empty level: no mailbox begins or ends with \"/\" or has two in a row",
            );
        }
        Ok(Self(MailboxName::new(text).as_str().chars().collect()))
    }

    /// The pattern as it was written (`inbox` as `INBOX`).
    #[must_use]
    pub fn text(&self) -> String {
        self.0.iter().collect()
    }

    /// Whether it matches the whole path.
    ///
    /// Takes at most (length of pattern × length of path) steps, whatever the pattern.
    #[must_use]
    pub fn matches(&self, name: &MailboxName) -> bool {
        let path: Vec<char> = name.as_str().chars().collect();
        let (mut p, mut n) = (0, 0);
        // Where to go on when a match fails: behind the last star, which then eats one more.
        let mut retry: Option<(usize, usize)> = None;
        while n < path.len() {
            match self.0.get(p) {
                Some('*') => {
                    p += 1;
                    retry = Some((p, n));
                }
                Some(&c) if c == '?' || c == path[n] => {
                    p += 1;
                    n += 1;
                }
                _ => {
                    let Some((behind_star, eaten)) = retry else { return false };
                    p = behind_star;
                    n = eaten + 1;
                    retry = Some((behind_star, n));
                }
            }
        }
        self.0[p..].iter().all(|c| *c == '*')
    }

    /// Whether it names INBOX itself and nothing else.
    fn is_inbox(&self) -> bool {
        self.0.iter().copied().eq(MailboxName::INBOX.chars())
    }
}

/// The `mailboxes` of an account: what is included and not excluded is mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailboxes {
    /// What is mirrored, if nothing excludes it.
    pub include: Vec<Pattern>,
    /// What is not mirrored, even if included.
    pub exclude: Vec<Pattern>,
}

impl Default for Mailboxes {
    /// Every mailbox.
    fn default() -> Self {
        Self { include: vec![Pattern(vec!['*'])], exclude: Vec::new() }
    }
}

impl Mailboxes {
    /// Whether a mailbox is mirrored. INBOX is, unless `exclude` names it without wildcards:
    /// a broad pattern is rarely meant to stop the mail from coming in.
    #[must_use]
    pub fn mirror(&self, name: &MailboxName) -> bool {
        if name.is_inbox() {
            return !self.exclude.iter().any(Pattern::is_inbox);
        }
        let any = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches(name));
        any(&self.include) && !any(&self.exclude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(&MailboxName::new(name))
    }

    #[test]
    fn patterns() {
        let table = [
            ("*", "Work/Projects/Alpha", true),
            ("Work/*", "Work/Projects/Alpha", true),
            ("Work/*", "Work", false),
            ("Work*", "Work", true),
            ("*/Alpha", "Work/Projects/Alpha", true),
            ("W*/*/A*a", "Work/Projects/Alpha", true),
            ("W*/*/A*b", "Work/Projects/Alpha", false),
            ("Spam", "Spam", true),
            ("Spam", "spam", false),
            ("Spam", "Spam/Old", false),
            ("spam", "Spam", false),
            ("?", "ä", true),
            ("??", "ä", false),
            ("[Gmail]/*", "[Gmail]/All Mail", true),
            ("[Gmail]/*", "G/All Mail", false),
            ("{a,b}", "{a,b}", true),
            ("a\\*", "a\\b", true),
            ("inbox", "INBOX", true),
            ("Inbox/*", "iNbOx/Lists", true),
            ("Work/inbox", "Work/INBOX", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn a_pattern_of_stars_does_not_explode() {
        assert!(!matches(&"*a".repeat(200), &format!("{}b", "a".repeat(2_000))));
    }

    #[test]
    fn what_matches_nothing_is_refused() {
        for bad in ["", "/a", "a/", "a//b", "a\u{7}b"] {
            assert!(Pattern::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn exclude_wins_and_inbox_stays() {
        let set = |patterns: &[&str]| patterns.iter().map(|p| Pattern::new(p).unwrap()).collect();
        let table: [(&[&str], &[&str], &str, bool); 8] = [
            (&["*"], &["Spam"], "Spam", false),
            (&["*"], &["Spam"], "Spam/Old", true),
            (&["*"], &["Spam*"], "Spam/Old", false),
            (&["Work/*"], &[], "INBOX", true),
            (&["Work/*"], &[], "INBOX/Lists", false),
            (&["*"], &["*"], "INBOX", true),
            (&["*"], &["inbox"], "INBOX", false),
            (&["*"], &["inbox"], "INBOX/Lists", true),
        ];
        for (include, exclude, name, expected) in table {
            let mailboxes = Mailboxes { include: set(include), exclude: set(exclude) };
            assert_eq!(mailboxes.mirror(&MailboxName::new(name)), expected, "{name} {exclude:?}");
        }
    }
}
