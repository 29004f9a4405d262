//! What a task tells of its account: in the log, and on the board.

use std::time::Duration;

use super::state::{State, View, now};
use super::task::Task;
use crate::account::Report;
use crate::reconcile::types::printable;

impl Task {
    /// One line for each run: why, and what it did.
    pub(super) fn tell(&self, causes: &str, report: &Report, time: Duration) {
        let millis = time.as_millis();
        let did = report.to_string();
        tracing::info!("{causes}: {did} in {millis} ms");
        for hold in &report.holds {
            let (id, why, place) = (&hold.id, &hold.why, printable(&hold.mailbox_name));
            let place = if place.is_empty() { "the account".to_owned() } else { place };
            tracing::warn!(
                "held in {place}: {why}; look with `mailtide holds`, answer with \
                 `mailtide approve {id}` or `mailtide reject {id}`"
            );
        }
        self.board.update(&self.account.name, |view| {
            let run = format!("{did} ({causes}, {millis} ms)");
            if report.done() > 0 || view.last.is_none() {
                view.last = Some(run.clone());
            }
            view.run = Some(run);
        });
    }

    /// What a run or an attempt came to: whoever waits for its end sees that.
    pub(super) fn ends(&self, state: State, until: Option<i64>, why: Option<String>) {
        self.show(state, until, why, |view| {
            view.runs += 1;
            view.ended = view.begun;
        });
    }

    pub(super) fn state(&self, state: State, until: Option<i64>, why: Option<String>) {
        self.show(state, until, why, |_| {});
    }

    fn show(
        &self,
        state: State,
        until: Option<i64>,
        why: Option<String>,
        also: impl FnOnce(&mut View),
    ) {
        self.board.update(&self.account.name, |view| {
            also(view);
            if view.state != state || view.since == 0 {
                view.since = now();
            }
            (view.state, view.until, view.why) = (state, until, why);
        });
    }
}
