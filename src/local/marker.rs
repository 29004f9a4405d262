//! The marker: which store a root belongs to, and how far the two have come together.

use std::path::Path;

use crate::reconcile::types::printable;

use super::error::{At as _, LocalError, Scope, if_there};
use super::fs::Fs;
use super::layout::Layout;
use super::reserved::OWN;
use super::root::{MARKER, Root};

const FIRST_LINE: &str = "mailtide 1";
const MARKER_MAX: u64 = 16 * 1024;

/// What the root knows of its store. A marker that does not fit the store means that one of
/// the two was restored, copied or belongs to somebody else: then nothing is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The store's random id, in hexadecimal digits.
    pub store_id: String,
    /// Advances together with the store's in every run that changed something, by no fixed step.
    pub counter: u64,
    /// The account: host and user.
    pub account: String,
    /// The machine that owns the root: its id or name.
    pub machine: String,
    /// Where that machine keeps the store.
    pub state_dir: String,
    /// How mailboxes lie in the root.
    pub layout: Layout,
    /// What stands before the flags in the names of files.
    pub separator: u8,
}

/// Of a marker that does not say.
pub const UNKNOWN_SEPARATOR: u8 = 0;
/// So many lengths a marker has, one after the other.
const LENGTHS: u64 = 509;

impl Marker {
    /// The number of a run after the one with this number. Each history of a store has numbers of
    /// its own: one that was restored goes on with others than those it had given before (hazard
    /// 179).
    #[must_use]
    pub fn after(counter: u64) -> u64 {
        counter + 1 + LENGTHS * fastrand::u64(0..1 << 24)
    }

    fn print(&self) -> String {
        // A value is one line, whatever it holds.
        let line = |s: &str| printable(s);
        let counter = self.counter;
        // A copy that goes by sizes alone has to see that it is another one (hazard 172).
        let length = ".".repeat(usize::try_from(counter % LENGTHS).unwrap_or(0));
        format!(
            "{FIRST_LINE}\nstore {}\ncounter {counter}\naccount {}\nmachine {}\nstate {}\n\
             layout {}\nseparator {}\nlength {length}\n",
            line(&self.store_id),
            line(&self.account),
            line(&self.machine),
            line(&self.state_dir),
            self.layout.as_str(),
            char::from(self.separator),
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        if value("mailtide")? != "1" {
            return None;
        }
        let store_id = value("store")?.to_owned();
        if store_id.is_empty() || !store_id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        Some(Self {
            store_id,
            counter: value("counter")?.parse().ok()?,
            account: value("account")?.to_owned(),
            machine: value("machine")?.to_owned(),
            state_dir: value("state")?.to_owned(),
            // Markers were written before there was a choice.
            layout: match value("layout").unwrap_or("nested") {
                "nested" => Layout::Nested,
                "maildir++" => Layout::MaildirPlusPlus,
                _ => return None,
            },
            // Nor was this always noted: no other one was in use then but by choice.
            separator: match value("separator").map(str::as_bytes) {
                Some([separator]) => {
                    value("length")?;
                    *separator
                }
                Some(_) => return None,
                None => UNKNOWN_SEPARATOR,
            },
        })
    }
}

impl Root {
    /// The marker; `None` when there is none.
    ///
    /// # Errors
    /// A marker that cannot be read or understood is an error, not a missing one.
    pub fn marker(&self) -> Result<Option<Marker>, LocalError> {
        self.marker_in(&self.options.marker)
    }

    /// The marker of the account whose root it is; a guest has another of its own.
    ///
    /// # Errors
    /// As for [`Self::marker`].
    pub fn owner_marker(&self) -> Result<Option<Marker>, LocalError> {
        self.marker_in(MARKER)
    }

    /// The markers of all guests; what cannot be read is nobody's.
    ///
    /// # Errors
    /// Where our own directory cannot be read.
    pub fn guest_markers(&self) -> Result<Vec<Marker>, LocalError> {
        let own = self.path.join(OWN);
        let mut names = Vec::new();
        let read = self.fs.read_dir(&own, &mut |name, _, _| {
            let text = String::from_utf8_lossy(name);
            names.extend(
                (text.starts_with("guest-") && text.ends_with(".marker"))
                    .then(|| text.into_owned()),
            );
        });
        if_there(read).at(Scope::Root, "read", &own)?;
        Ok(names.iter().filter_map(|name| self.marker_in(name).ok().flatten()).collect())
    }

    /// Whether a directory has the marker of an account whose root it is.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn has_marker(fs: &dyn Fs, root: &Path) -> Result<bool, LocalError> {
        let path = root.join(OWN).join(MARKER);
        Ok(if_there(fs.lstat(&path)).at(Scope::Root, "look at", &path)?.is_some())
    }

    fn marker_in(&self, file: &str) -> Result<Option<Marker>, LocalError> {
        let path = self.path.join(OWN).join(file);
        let Some(text) = self.read_small(&path, MARKER_MAX, Scope::Root)? else {
            return Ok(None);
        };
        let marker = std::str::from_utf8(&text).ok().and_then(Marker::parse);
        let why = "not a marker that this version writes";
        marker.map(Some).ok_or(LocalError::Malformed { path, why })
    }

    /// Replaces the marker, durably: after a crash it is the old one or the new one.
    ///
    /// # Errors
    /// As the system says; the old one stays then.
    pub fn write_marker(&self, marker: &Marker) -> Result<(), LocalError> {
        if let Ok(Some(old)) = self.marker() {
            let same = |m: &Marker| (m.account.clone(), m.machine.clone());
            if old.store_id != marker.store_id && same(&old) == same(marker) {
                self.note_former(old.store_id)?;
            }
        }
        self.write_own(&self.options.marker, marker.print().as_bytes())
    }
}

/// Ids of stores that were lost, a line each, in a file of ours.
const FORMER: &str = "former-stores";
/// So many of them are kept.
const FORMER_MAX: usize = 32;

impl Root {
    /// Ids of lost stores of this account on this machine, the oldest first.
    pub(super) fn former_stores(&self) -> Result<Vec<String>, LocalError> {
        let path = self.path.join(OWN).join(FORMER);
        let text = self.read_small(&path, MARKER_MAX, Scope::Root)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let is_id = |line: &&str| !line.is_empty() && line.bytes().all(|b| b.is_ascii_hexdigit());
        let ids = text.lines().filter(is_id).filter(|id| *id != self.options.store_id);
        Ok(ids.map(str::to_owned).collect())
    }

    fn note_former(&self, id: String) -> Result<(), LocalError> {
        let mut ids = self.former_stores()?;
        ids.retain(|known| *known != id);
        ids.push(id);
        let kept = &ids[ids.len().saturating_sub(FORMER_MAX)..];
        self.write_own(FORMER, (kept.join("\n") + "\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker() -> Marker {
        Marker {
            store_id: "0a1f".into(),
            counter: 7,
            account: "imap.example.org me@example.org".into(),
            machine: "desk".into(),
            state_dir: "/home/me/.local/state/mailtide".into(),
            layout: Layout::MaildirPlusPlus,
            separator: b':',
        }
    }

    #[test]
    fn hazard_179_two_histories_of_a_store_have_no_number_in_common() {
        let (mut one, mut other) = (vec![Marker::after(7)], vec![Marker::after(7)]);
        for _ in 0..5 {
            one.push(Marker::after(one[one.len() - 1]));
            other.push(Marker::after(other[other.len() - 1]));
        }
        assert!(one.is_sorted() && one.iter().all(|number| !other.contains(number)));
        // Hazard 172: the next one has another length.
        let length = |counter| Marker { counter, ..marker() }.print().len();
        assert!(one.windows(2).all(|pair| length(pair[0]) != length(pair[1])));
    }

    #[test]
    fn a_marker_comes_back() {
        assert_eq!(Marker::parse(&marker().print()), Some(marker()));
    }

    #[test]
    fn values_stay_on_their_line_and_rubbish_is_none() {
        let odd = Marker { account: "a\ncounter 9".into(), ..marker() };
        assert_eq!(Marker::parse(&odd.print()).unwrap().counter, 7);
        let text = marker().print();
        // As older versions wrote it.
        let [before_layout, before_separator] =
            ["layout ", "separator "].map(|line| text.find(line).unwrap());
        let older = [before_layout, before_separator];
        for cut in (0..text.len()).filter(|cut| !older.contains(cut)) {
            assert_eq!(Marker::parse(&text[..cut]), None, "cut at {cut}");
        }
        let unknown = Marker { separator: UNKNOWN_SEPARATOR, ..marker() };
        assert_eq!(Marker::parse(&text[..before_separator]), Some(unknown.clone()));
        let nested = Marker { layout: Layout::Nested, ..unknown };
        assert_eq!(Marker::parse(&text[..before_layout]), Some(nested));
        assert_eq!(Marker::parse(&text.replace("mailtide 1", "mailtide 2")), None);
        assert_eq!(Marker::parse(&text.replace("0a1f", "xyz")), None);
    }
}
