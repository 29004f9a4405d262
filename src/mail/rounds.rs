//! One run: open the Maildir and the store, settle what a crash left open, then rounds of
//! *observe → reconcile → apply → record* until both sides agree.

use std::sync::Arc;

use super::attempt::Attempt;
use super::fetch::connections::Lanes;
use super::hints::Hints;
use super::run::{Run, say_goodbye};
use super::{apply, plan_input, recover, renames, restate, samples, scope, whatif};
use crate::account::error::AccountError;
use crate::account::outcome::Outcome;
use crate::account::report::Report;
use crate::account::request::RunRequest;
use crate::account::settings::{Environment, Settings};
use crate::account::{losses, opening, outcome, progress, suspects};
use crate::reconcile::plan::MailboxStep;
use crate::reconcile::types::{Coverage, Mailbox, RowId};
use crate::reconcile::{Plan, Step};
use crate::remote::imap::{Counters, Session, Shared};
use crate::state::StateError;

/// Rounds after which a run gives up: something changes as fast as it is mirrored.
const ROUNDS_MAX: u32 = 8;

/// Brings both sides of a mirror in step, once; or only looks, as it is wished. `cause` is the
/// reason of the run.
pub async fn sync(
    settings: Settings,
    environment: Environment,
    request: RunRequest,
    cause: &str,
) -> (Report, Result<(), AccountError>) {
    let mut run = match Run::open(settings, environment, &request, cause).await {
        Ok(run) => run,
        Err(error) => return (Report::default(), Err(error)),
    };
    let result = run.rounds(&request).await;
    run.close(result).await
}

impl Run {
    /// Opens an account for its first run, which `cause` is the reason of.
    pub(super) async fn open(
        settings: Settings,
        environment: Environment,
        request: &RunRequest,
        cause: &str,
    ) -> Result<Self, AccountError> {
        let mut store = opening::open_store(&settings, &environment, request)?;
        let number = store.transaction(|tx| tx.begin_run(environment.clock.now(), cause))?;
        let root = match recover::open_place(&settings, &environment, &mut store, request) {
            Ok(root) => root,
            Err(error) => {
                outcome::end_failed(&mut store, number, environment.clock.now(), &error)?;
                return Err(error);
            }
        };
        environment.progress.tell(progress::Event::Connecting);
        let suspects = Shared::default();
        let (now, focus) = (environment.clock.now(), request.focus.clone().unwrap_or_default());
        suspects::load(&suspects, &store, (number, now), cause, focus)?;
        let (endpoint, connector) = (&settings.endpoint, &*environment.connector);
        let session = match Session::connect_cautiously(endpoint, connector, &suspects).await {
            Ok(session) => session,
            Err(error) => {
                let error = AccountError::from(error);
                outcome::end_failed(&mut store, number, environment.clock.now(), &error)?;
                return Err(error);
            }
        };
        let losses = losses::Losses::on(&session);
        Ok(Self {
            lanes: Lanes::new(&settings, &environment, &suspects),
            settings,
            environment,
            store,
            root: Arc::new(root),
            session,
            report: Report::default(),
            attempt: Attempt::new(number, request, Counters::default()),
            hints: Hints::default(),
            waits: true,
            suspects,
            losses,
            is_view_old: false,
        })
    }

    pub(super) async fn rounds(&mut self, request: &RunRequest) -> Result<(), AccountError> {
        if let Some(depth) = request.verify {
            return self.verify(depth).await;
        }
        self.look_at_all_in_doubt()?;
        if !request.dry_run {
            while let Err(error) = apply::take_back(self).await {
                self.survive(error).await?;
            }
            apply::revive(self)?;
        }
        let mut rounds = 0;
        while rounds < ROUNDS_MAX {
            self.report.rounds += 1;
            self.attempt.tried.clear();
            let before = self.losses.count();
            while let Err(error) = self.look().await {
                self.survive(error).await?;
            }
            self.tell_skips();
            if renames::reunite(self)? {
                continue;
            }
            if request.dry_run {
                return whatif::describe(self).await;
            }
            let is_idle = !self.apply_all().await?;
            // A round that lost a connection is no sign that mail changes too fast.
            rounds += u32::from(self.losses.count() == before);
            if is_idle && self.suspects.lock().come_last() {
                continue;
            }
            if is_idle {
                self.settle_lost_copies()?;
                self.name_unlisted()?;
                if apply::settle_taken(self)? {
                    continue;
                }
                self.finish_change()?;
                apply::name_parents(self)?;
                return self.finish_restated();
            }
            if self.environment.is_stopping() {
                self.report.interrupted = true;
                return Ok(());
            }
        }
        let name = self.settings.name.clone();
        self.report.skip(name, "mail keeps changing during the sync; the next run continues");
        Ok(())
    }

    /// Where rows are in doubt, a look at some mailboxes is a look at all: what one of them lacks
    /// may be in another (hazard 54).
    fn look_at_all_in_doubt(&mut self) -> Result<(), AccountError> {
        let in_doubt = restate::is_uniting(&self.store)? || self.store.has_restated()?;
        if self.attempt.focus.is_some() && in_doubt {
            tracing::info!("not all is known of what was there: all mailboxes are looked at");
            self.attempt.focus = None;
        }
        Ok(())
    }

    /// Plans and applies until the store shows nothing that was not tried since the last
    /// look. Gives whether anything was done.
    async fn apply_all(&mut self) -> Result<bool, AccountError> {
        let (mut worked, mut passes) = (false, 0);
        loop {
            let mut plan = plan_input::plan(self)?;
            let (tried, copied) = (&self.attempt.tried, &self.attempt.copied);
            plan.steps.retain(|step| !step.rows().iter().any(|row| tried.contains(row)));
            plan.steps.retain(|step| !copies_onto(step).is_some_and(|row| copied.contains(&row)));
            if passes > 0 {
                plan.mailboxes.clear();
            }
            let asked = &self.attempt.creations_asked;
            plan.mailboxes.retain(|step| {
                !matches!(step, MailboxStep::CreateRemote(mailbox) if asked.contains(mailbox))
            });
            apply::hold_back(self, &mut plan)?;
            plan.mailboxes.iter().for_each(|step| tracing::trace!(?step, "planned"));
            plan.steps.iter().for_each(|step| tracing::trace!(?step, "planned"));
            self.record_holds(&plan)?;
            while let Err(error) = samples::look(self).await {
                self.survive(error).await?;
            }
            if plan.is_idle() || self.environment.is_stopping() {
                return Ok(worked);
            }
            self.attempt.tried.extend(plan.steps.iter().flat_map(tried_rows));
            self.mark()?;
            let before = self.report.done();
            apply::apply(self, &plan).await?;
            self.tell_skips();
            self.forget_fetched(&plan)?;
            // Steps that were all refused are no reason to look again at once.
            worked |= self.report.done() > before || std::mem::take(&mut self.attempt.unseen);
            passes += 1;
        }
    }

    /// A message that came down is done with: only what was tried in vain is remembered.
    fn forget_fetched(&mut self, plan: &Plan) -> Result<(), AccountError> {
        for step in &plan.steps {
            if let Step::Fetch(row) = step
                && self.store.is_settled(*row)?
            {
                self.attempt.tried.remove(row);
            }
        }
        Ok(())
    }

    /// After how many seconds another run is of use though nothing is told.
    pub(super) fn wants_again(&self) -> Option<u64> {
        let suspects = self.suspects.lock();
        if self.attempt.waits_for_next || suspects.are_postponed() {
            return Some(0);
        }
        suspects.next_due(self.environment.clock.now()).and_then(|s| u64::try_from(s).ok())
    }

    /// Mailboxes that the server agreed to make and does not list under that name.
    fn name_unlisted(&mut self) -> Result<(), AccountError> {
        for mailbox in &self.attempt.creations_asked {
            let unlisted = |m: &Mailbox| m.local && !m.remote && m.problem.is_none();
            if let Some(mailbox) = self.store.mailbox(*mailbox)?.filter(unlisted) {
                let why = "created on the server, but not listed under this name; rename it: \
                           until then its mail stays only here";
                self.report.skip(mailbox.name.to_string(), why);
            }
        }
        Ok(())
    }

    /// Writes down how the run ended. Further connections end with it.
    pub(super) async fn end(
        &mut self,
        result: Result<(), AccountError>,
    ) -> Result<(), AccountError> {
        let (counters, beside) = (self.session.counters(), self.lanes.close().await);
        self.report.received = counters.received - self.attempt.traffic.received + beside.received;
        self.report.sent = counters.sent - self.attempt.traffic.sent + beside.sent;
        if result.is_ok() {
            self.forget_unneeded();
        }
        let named = self.name_suspects();
        self.report.again = self.wants_again();
        if self.settings.pull_only {
            self.report.unsent = scope::unsent(&self.store)?;
        }
        self.tell_skips();
        let recorded = self.record_outcome(&result);
        result.and(named).and(recorded.map_err(AccountError::from))
    }

    /// Writes down how the run ended.
    fn record_outcome(&mut self, result: &Result<(), AccountError>) -> Result<(), StateError> {
        let held = !self.pending_holds()?.is_empty();
        let outcome = Outcome::of(&self.report, result, held).print();
        let (number, now) = (self.attempt.number, self.environment.clock.now());
        self.store.transaction(|tx| {
            tx.prune_departures(now - 2 * plan_input::WINDOW_S)?;
            tx.end_run(number, now, &outcome)
        })
    }

    /// Says goodbye after a run that ended.
    pub(super) async fn close(
        mut self,
        result: Result<(), AccountError>,
    ) -> (Report, Result<(), AccountError>) {
        let lost = result.as_ref().is_err_and(AccountError::ends_session);
        let result = self.end(result).await;
        opening::tidy_up(&self.settings, &self.environment, &self.root);
        if !lost {
            say_goodbye(self.session).await;
        }
        (self.report, result)
    }
}

/// The row of the copy that a step asks the server for.
fn copies_onto(step: &Step) -> Option<RowId> {
    match step {
        Step::RemoteCopy { to, .. } | Step::RemoteMove { to, .. } => Some(*to),
        _ => None,
    }
}

/// Rows that one attempt uses up; the source of a copy may serve others.
fn tried_rows(step: &Step) -> Vec<RowId> {
    match step {
        Step::LocalCopy { to, .. } | Step::RemoteCopy { to, .. } => vec![*to],
        step => step.rows(),
    }
}

impl Run {
    /// A look at everything, after a change of the settings, has shown what departed before it.
    pub(super) fn finish_change(&mut self) -> Result<(), AccountError> {
        let mailboxes = self.store.mailboxes()?;
        let selects = &self.settings.selects;
        let whole = mailboxes.iter().filter(|m| selects(&m.name)).all(|m| self.has_seen(m));
        if whole {
            super::scope::finish(&mut self.store)?;
            super::observe::passed::forget(&mut self.store)?;
            restate::end_uniting(&mut self.store)?;
        }
        Ok(())
    }

    /// Whether both sides of a mailbox were looked at, wholly.
    fn has_seen(&self, mailbox: &Mailbox) -> bool {
        let sides = [&self.attempt.seen.local, &self.attempt.seen.remote];
        sides.iter().all(|side| side.get(&mailbox.id) == Some(&Coverage::Complete))
    }

    /// A run that identified everything in its restated mailboxes ends their state.
    pub(super) fn finish_restated(&mut self) -> Result<(), AccountError> {
        // Of what was not looked at nothing was identified.
        let mut restated = self.store.mailboxes()?;
        restated.retain(|mailbox| mailbox.restated && self.has_seen(mailbox));
        for mailbox in restated {
            let unknown = self.store.new_remotes_beyond(mailbox.id, 0)?;
            if unknown == 0 && self.store.restated_count(mailbox.id)? == 0 {
                self.record(|w| w.mailbox(&Mailbox { restated: false, ..mailbox.clone() }))?;
            }
        }
        Ok(())
    }
}
