//! Loads the world of one round: unsettled rows, new messages, and what either could match.

use std::collections::{BTreeMap, BTreeSet};

use mailtide::reconcile::agree::is_settled;
use mailtide::reconcile::hold::Direction;
use mailtide::reconcile::row_state::{RowState, state_of};
use mailtide::reconcile::types::{Journal, MailboxId, MailboxName, Row, RowId, SpecialUse};
use mailtide::reconcile::{self, Hold, HoldReason, MailboxView, Plan, PlanInput, Policy};

use super::model::{Model, Side};

impl Model {
    /// The plan of this moment, over what the engine loads.
    #[must_use]
    pub fn plan(&self) -> Plan {
        reconcile::plan(&self.load())
    }

    /// The input of a plan, as the engine loads it.
    #[must_use]
    pub fn load(&self) -> PlanInput {
        let mut rows: BTreeMap<RowId, Row> = BTreeMap::new();
        let held: BTreeSet<RowId> =
            self.store.pending.iter().flat_map(|hold| &hold.rows).copied().collect();
        let held = held.union(&self.store.approved).copied().collect::<BTreeSet<_>>();
        let asked = |row: &&Row| self.is_asked_for(row) || held.contains(&row.id);
        for row in self.store.rows.values().filter(asked) {
            for known in self.store.rows.values().filter(|known| could_match(row, known)) {
                rows.entry(known.id).or_insert_with(|| known.clone());
            }
            if let Journal::Replaced { by } = row.journal
                && let Some(edited) = self.store.rows.get(&by)
            {
                rows.insert(by, edited.clone());
            }
            rows.insert(row.id, row.clone());
        }
        self.world(rows.into_values().collect())
    }

    /// The input with every row that is known: the plan must be the same.
    #[must_use]
    pub fn load_all(&self) -> PlanInput {
        self.world(self.store.rows.values().cloned().collect())
    }

    fn world(&self, rows: Vec<Row>) -> PlanInput {
        let (unseen, mut rows): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| self.is_unreadable(row.mailbox));
        let unseen_texts: BTreeSet<_> = unseen.iter().filter_map(|row| row.content).collect();
        let agreed = unseen.iter().filter(|row| row.remote.is_some() || row.base.is_some());
        let agreed: BTreeSet<_> = agreed.filter_map(|row| row.content).collect();
        let is_new = |row: &Row| matches!(state_of(row), RowState::LocalNew | RowState::RemoteNew);
        let waits =
            |row: &mut Row| is_new(row) && row.content.is_some_and(|text| agreed.contains(&text));
        let waiting: Vec<Row> = rows.extract_if(.., waits).collect();
        let shut = self.store.rows.values().filter(|row| self.is_unreadable(row.mailbox));
        let mut mailboxes = self.views();
        // They are new messages that the plan does not see.
        for row in waiting.iter().filter(|row| state_of(row) == RowState::RemoteNew) {
            mailboxes.entry(row.mailbox).and_modify(|view| view.remotes_beyond = 1);
        }
        let unseen_arrivals = shut.chain(&waiting).any(|row| state_of(row) == RowState::RemoteNew);
        PlanInput {
            mailboxes,
            rows,
            policy: self.policy_now(),
            run: self.run,
            unseen_arrivals,
            passed: self.store.passed,
            disk_seen: self.fate.blind.iter().all(|(side, _)| *side == Side::Remote),
            unseen_texts,
            unseen_held: BTreeSet::new(),
            outside: self.outside(),
            somewhere: BTreeSet::new(),
            departures: self.store.departures.clone(),
            approved: self.answered(),
            pending: self.store.pending.clone(),
            store: [0; 16],
        }
    }

    fn is_unreadable(&self, mailbox: MailboxId) -> bool {
        self.is_blind(Side::Local, &self.name(mailbox))
    }

    /// What was approved, whatever would be done with it.
    fn answered(&self) -> Vec<Hold> {
        let rows: Vec<RowId> = self.store.approved.iter().copied().collect();
        let reasons = [
            HoldReason::Emptied { now: 0, before: 0 },
            HoldReason::FlagsRemoved { now: 0, limit: 0 },
            HoldReason::SurplusCopies { now: 0 },
        ];
        let hold = |direction, reason| Hold {
            id: String::new(),
            mailbox: None,
            direction,
            reason,
            rows: rows.clone(),
            added: 0,
            replaces: None,
        };
        let sides = [Direction::FromRemote, Direction::FromLocal];
        let all = sides.into_iter().flat_map(|side| reasons.iter().map(move |r| (side, r.clone())));
        all.map(|(side, reason)| hold(side, reason)).collect()
    }

    /// Unsettled, or new on the server.
    fn is_asked_for(&self, row: &Row) -> bool {
        let Some(mailbox) = self.store.mailboxes.get(&row.mailbox) else { return false };
        !is_settled(row, &MailboxView::of(mailbox.clone()), &self.policy_now())
    }

    /// The policy, with the mailbox that is \Trash.
    #[must_use]
    pub fn policy_now(&self) -> Policy {
        let listed = self.uses.iter().find(|(_, special_use)| **special_use == SpecialUse::Trash);
        let trash = self.policy.trash.clone().or_else(|| listed.map(|(name, _)| name.clone()));
        Policy { trash, ..self.policy.clone() }
    }

    fn views(&self) -> BTreeMap<MailboxId, MailboxView> {
        let view = |mailbox: &mailtide::reconcile::types::Mailbox| {
            let id = mailbox.id;
            let rows = || self.store.rows.values().filter(move |row| row.mailbox == id);
            let count =
                |wanted: &dyn Fn(&Row) -> bool| rows().filter(|row| wanted(row)).count() as u64;
            let coverage = |side| self.coverage.get(&(id, side)).copied().unwrap_or_default();
            MailboxView {
                local_coverage: coverage(Side::Local),
                remote_coverage: coverage(Side::Remote),
                agreed: count(&|row| row.base.is_some()),
                newest_known: self.store.waves.get(&id).copied().unwrap_or(RowId(i64::MAX)),
                keeps_known: count(&|row| {
                    let wave = self.store.waves.get(&id).is_none_or(|newest| row.id <= *newest);
                    wave && row.base.is_some() && row.local.is_some() && row.remote.is_some()
                }) > 0,
                known_departed: [Direction::FromRemote, Direction::FromLocal]
                    .iter()
                    .filter_map(|side| self.store.departures.get(&(id, *side)))
                    .sum(),
                with_local: count(&|row| row.local.is_some()),
                with_remote: count(&|row| row.remote.is_some()),
                ..MailboxView::of(mailbox.clone())
            }
        };
        let readable = |id: &MailboxId| !self.is_unreadable(*id);
        let mailboxes = self.store.mailboxes.values().filter(|mailbox| readable(&mailbox.id));
        mailboxes.map(|mailbox| (mailbox.id, view(mailbox))).collect()
    }

    /// Rows whose file was found in a directory that is not mirrored (hazard 43).
    fn outside(&self) -> BTreeMap<RowId, MailboxName> {
        let mut out = BTreeMap::new();
        for name in &self.excluded {
            let mut found: Vec<_> = self
                .disk
                .get(name)
                .into_iter()
                .flat_map(BTreeMap::values)
                .map(|m| m.content())
                .collect();
            for row in self.store.rows.values().filter(|row| state_of(row) == RowState::LocalGone) {
                if let Some(at) = found.iter().position(|content| row.content == Some(*content)) {
                    found.swap_remove(at);
                    out.insert(row.id, name.clone());
                }
            }
        }
        out
    }
}

fn could_match(row: &Row, known: &Row) -> bool {
    let same_content =
        state_of(row) != RowState::Paired && row.content.is_some() && row.content == known.content;
    let arrival = state_of(row) == RowState::RemoteNew && row.journal == Journal::Idle;
    let (Some(words), Some(theirs)) = (&row.words, &known.words) else { return same_content };
    let same_words = row.header.is_some() && words.size == theirs.size && words.date == theirs.date;
    let same_object = words.object_id.is_some() && words.object_id == theirs.object_id;
    same_content || (arrival && (same_words || same_object))
}
