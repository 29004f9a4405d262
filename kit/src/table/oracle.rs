//! What must hold of every world in the end, said without the planner's words.

use std::collections::BTreeMap;

use mailtide::reconcile::types::{Flags, MailboxName};
use mailtide::reconcile::{OnLocalDelete, OnRemoteDelete};

use super::model::{Mail, Model, Side};

type Place = (MailboxName, Flags);

/// What is known of one body before a run: where it was agreed, where it lies.
#[derive(Debug, Clone, Default)]
struct Known {
    base: Vec<Place>,
    local: Vec<Place>,
    remote: Vec<Place>,
}

/// What a world may become.
#[derive(Debug, Clone)]
pub struct Oracle {
    known: BTreeMap<char, Known>,
    trash: Option<MailboxName>,
}

impl Oracle {
    /// Takes down a world before its run.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let mut known: BTreeMap<char, Known> = BTreeMap::new();
        for row in model.store.rows.values() {
            let (Some(content), Some(base)) = (row.content, &row.base) else { continue };
            let place = (model.name(row.mailbox), base.flags.clone());
            known.entry(char::from(content.0[0])).or_default().base.push(place);
        }
        let place = |name: &MailboxName, mail: &Mail| (name.clone(), mail.flags.clone());
        for (name, files) in &model.disk {
            for mail in files.values() {
                known.entry(mail.body).or_default().local.push(place(name, mail));
            }
        }
        for (name, folder) in &model.server {
            for mail in folder.mail.values() {
                known.entry(mail.body).or_default().remote.push(place(name, mail));
            }
        }
        let policy = model.policy_now();
        let mirrors = policy.on_local_delete != OnLocalDelete::Keep
            && policy.on_remote_delete != OnRemoteDelete::Keep
            && !policy.pull_only;
        assert!(mirrors, "an oracle for two-way mirrors");
        let trash = policy.trash.filter(|_| policy.on_local_delete == OnLocalDelete::Trash);
        Self { known, trash }
    }

    /// Judges the world after its run: nothing lost, nothing doubled, both sides equal. With
    /// `exact`, each message that can be told apart lies where the table of truth puts it.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn judge(&self, model: &Model, exact: bool) -> Result<(), String> {
        let (local, remote) = (model.shown(Side::Local), model.shown(Side::Remote));
        if local != remote {
            return Err("the sides differ".to_owned());
        }
        if model.store.rows.values().any(|row| row.set_aside.is_some()) {
            return Err("a message is set aside".to_owned());
        }
        let counted = model.counted(Side::Local);
        for (body, known) in &self.known {
            let now = counted.get(body).copied().unwrap_or(0);
            let (least, most) = self.bounds(known);
            if now < least.min(if exact { least } else { 1 }) {
                return Err(format!("{body} is lost: {now} copies, at least {least} expected"));
            }
            if now > most {
                return Err(format!("{body} is doubled: {now} copies, at most {most} expected"));
            }
            let Some(expected) = self.expected(known) else { continue };
            let text = |places: &[Place]| {
                let line = |(name, flags): &Place| format!("{name} {body} {flags:?}");
                let mut lines: Vec<String> = places.iter().map(line).collect();
                lines.sort();
                lines
            };
            let body_is = |line: &&String| line.rsplit(' ').nth(1) == Some(&body.to_string());
            let got: Vec<String> = local.iter().filter(body_is).cloned().collect();
            if exact && !expected.iter().any(|places| text(places) == got) {
                return Err(format!("{body} lies at {got:?}, not at {:?}", text(&expected[0])));
            }
        }
        match counted.keys().find(|body| !self.known.contains_key(body)) {
            Some(body) => Err(format!("{body} came from nowhere")),
            None => Ok(()),
        }
    }

    /// Whether the end of each message is the only right one.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.known.values().all(|known| self.expected(known).is_none_or(|ends| ends.len() == 1))
    }

    /// Judges a world in which users acted during the run, none of them deleting: the sides are
    /// equal, and of each body that neither side had lost before there is a copy.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn judge_kept(&self, model: &Model) -> Result<(), String> {
        // What left again before any look confirmed it is set aside: kept here, and named.
        let named = model.store.rows.values().any(|row| row.set_aside.is_some());
        if !named && model.shown(Side::Local) != model.shown(Side::Remote) {
            return Err("the sides differ".to_owned());
        }
        let counted = model.counted(Side::Local);
        let kept = self.known.iter().filter(|(_, known)| self.bounds(known).0 > 0);
        match kept.map(|(body, _)| body).find(|body| !counted.contains_key(body)) {
            Some(body) => Err(format!("{body} is lost")),
            None => Ok(()),
        }
    }

    /// The fewest and the most copies that what both sides did explains.
    fn bounds(&self, known: &Known) -> (u32, u32) {
        let base = counts(&known.base);
        let (local, remote) = (counts(&known.local), counts(&known.remote));
        let total = |side: &BTreeMap<&MailboxName, i64>| side.values().sum::<i64>();
        let change = |side: &BTreeMap<&MailboxName, i64>| total(side) - total(&base);
        let added = |side: &BTreeMap<&MailboxName, i64>| {
            side.iter().map(|(name, n)| (n - base.get(name).unwrap_or(&0)).max(0)).sum::<i64>()
        };
        let (here, there) = (change(&local), change(&remote));
        let least =
            total(&base) + if here > 0 && there > 0 { here.max(there) } else { here + there };
        let most = total(&base) + added(&local) + added(&remote);
        let count = |n: i64| u32::try_from(n.max(0)).unwrap_or(0);
        (count(least), count(most))
    }

    /// Where a message ends that exists once, by the table of truth; the first is the usual end.
    fn expected(&self, known: &Known) -> Option<Vec<Vec<Place>>> {
        let once = |places: &[Place]| -> Option<Option<Place>> {
            (places.len() <= 1).then(|| places.first().cloned())
        };
        let (base, local, remote) = (once(&known.base)?, once(&known.local)?, once(&known.remote)?);
        let only = match (base, local, remote) {
            (_, None, None) => Vec::new(),
            (None, Some(here), Some(there)) if here.0 == there.0 => {
                vec![(here.0, here.1.union(&there.1))]
            }
            (None, Some(here), Some(there)) => {
                // The same bytes, new in two places. Where one becomes a copy of the other, the
                // copy brings the flags along, and a row without a past unites them.
                let both = here.1.union(&there.1);
                let (united_here, united_there) =
                    ((here.0.clone(), both.clone()), (there.0.clone(), both));
                return Some(vec![
                    vec![here.clone(), there.clone()],
                    vec![united_here, there],
                    vec![here, united_there],
                ]);
            }
            (None, here, there) => here.into_iter().chain(there).collect(),
            (Some(base), Some(here), Some(there)) => {
                let flags = merged(&base.1, &here.1, &there.1);
                let place = if there.0 == base.0 { here.0 } else { there.0 };
                vec![(place, flags)]
            }
            // Deleted on one side; where the other side moved it, it is kept.
            (Some(base), Some(only), None) if only.0 == base.0 => Vec::new(),
            (Some(base), None, Some(only)) if only.0 == base.0 => match &self.trash {
                Some(trash) if *trash != base.0 => vec![(trash.clone(), only.1)],
                _ => Vec::new(),
            },
            (Some(_), Some(only), None) | (Some(_), None, Some(only)) => vec![only],
        };
        Some(vec![only])
    }
}

fn counts(places: &[Place]) -> BTreeMap<&MailboxName, i64> {
    let mut out = BTreeMap::new();
    places.iter().for_each(|(name, _)| *out.entry(name).or_default() += 1);
    out
}

/// Per flag: the side that changed it wins.
fn merged(base: &Flags, local: &Flags, remote: &Flags) -> Flags {
    let gained = local.difference(base).union(&remote.difference(base));
    let lost = base.difference(local).union(&base.difference(remote));
    base.difference(&lost).union(&gained)
}
