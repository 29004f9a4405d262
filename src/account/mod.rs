//! One account: the page to read first.
//!
//! A run is: open the Maildir and the store, settle what a crash left open, then rounds of
//! *observe → reconcile → apply → record* until both sides agree. [`observe`] writes what was
//! seen, [`crate::reconcile`] decides, [`apply`] performs steps and gives facts, and
//! [`record`] is the only writer of the store.

pub mod answer;
pub mod apply;
mod brakes;
pub mod error;
pub mod listen;
pub mod live;
pub mod maildrop;
pub mod observe;
pub mod progress;
pub mod record;
pub mod recover;
mod renames;
pub mod report;
pub mod restate;
pub mod samples;
pub mod scope;
mod sets;
pub mod settings;
pub mod suspects;
pub mod verify;
mod whatif;
pub mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::local::Root;
use crate::reconcile::plan::MailboxStep;
use crate::reconcile::types::{Journal, Mailbox, MailboxId, MailboxName, Row, RowId, Uid};
use crate::reconcile::{self, Plan, Step};
use crate::remote::imap::{Counters, Session, Shared};
use crate::state::Store;

pub use answer::{adopt, bring_back};
pub use error::{AccountError, Trouble};
pub use listen::{Listener, Listens};
pub use live::{Hints, Live, RENEWAL};
pub use progress::Progress;
pub use report::{Report, Skip, Verified};
pub use settings::{Clock, Outside, Settings};
pub use verify::Depth;

/// Rounds after which a run gives up: something changes as fast as it is mirrored.
const ROUNDS_MAX: u32 = 8;

/// Everything that a run of one account works with.
#[derive(Debug)]
pub struct Run {
    /// The account's configuration.
    pub settings: Settings,
    /// File system, network, clock.
    pub outside: Outside,
    /// The state store.
    pub store: Store,
    /// The Maildir.
    pub root: Arc<Root>,
    /// The server.
    pub session: Session,
    /// Further connections, where many bodies come down.
    lanes: apply::Lanes,
    /// The number of this run.
    pub number: i64,
    /// What was done so far.
    pub report: Report,
    /// What the last look saw.
    pub seen: observe::Seen,
    /// Rows whose step was tried since the last look: not tried again before the next one.
    tried: BTreeSet<RowId>,
    /// Rows that the server said it copied, or copied onto: not asked for again in this run,
    /// since neither COPY nor MOVE may be repeated before a later look (hazard 16).
    copied: BTreeSet<RowId>,
    /// Mailboxes that the server was asked to make: not asked again in this run, whatever it
    /// answered. It may list them under another name, or not at all (hazard 41).
    asked: BTreeSet<MailboxId>,
    /// Names that a mailbox was to be given in this run: not tried again before the next one.
    renamed: BTreeSet<MailboxName>,
    /// Mailboxes of which it is not known which directory is theirs.
    doubtful: BTreeSet<MailboxName>,
    /// What a dry run would do with files that share a unique name.
    twins: Vec<String>,
    /// What a dry run would rename.
    renames: Vec<String>,
    /// Nothing is changed on either side.
    dry_run: bool,
    /// Something was done whose fact only the next look can see.
    unseen: bool,
    /// Messages that a command was to change and that the server did not show: one more look
    /// in this run tells what became of them.
    absent: BTreeSet<RowId>,
    /// Mailboxes whose keyword table could not be read: no letter is given there (hazard 58).
    unread_tables: BTreeSet<MailboxId>,
    /// How many of the report's skips whoever watches knows of.
    skips_told: usize,
    /// The marker was advanced by this run.
    marked: bool,
    /// The only mailboxes that are looked at, if not all.
    focus: Option<BTreeSet<MailboxName>>,
    /// What was told of files before the run.
    hints: Hints,
    /// Whether a file that is still being written is waited for; who stays looks again.
    waits: bool,
    /// The disk is to be looked at again soon: there was such a file, or not all was compared.
    growing: bool,
    /// What had gone over the connection when the run began.
    traffic: Counters,
    /// Messages whose headers do not come as announced: nothing is paired by them.
    headless: BTreeSet<(MailboxId, Uid)>,
    /// What connections were lost at, in this run and before.
    suspects: Shared,
    /// Connections that were lost in this run.
    losses: suspects::Losses,
    /// Something is believed, or done, only if the next run finds the same.
    waits_for_next: bool,
    /// The server named what this session does not show: the next run asks over a new one.
    is_view_old: bool,
}

/// What a run is asked to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Observe and plan, then say what would be done.
    pub dry_run: bool,
    /// Look whether everything is as it should be. That is a dry run, too.
    pub verify: Option<Depth>,
    /// Look only at these mailboxes. What could have gone elsewhere is not removed then.
    pub focus: Option<BTreeSet<MailboxName>>,
}

impl Wish {
    /// To see what a run would do.
    #[must_use]
    pub fn dry_run() -> Self {
        Self { dry_run: true, ..Self::default() }
    }

    /// To see whether everything is as it should be.
    #[must_use]
    pub fn verify(depth: Depth) -> Self {
        Self { verify: Some(depth), ..Self::dry_run() }
    }
}

/// Brings both sides of an account in step, once; or only looks, as it is wished.
///
/// The report is given even where the run failed, since what was done is done.
pub async fn sync(
    settings: Settings,
    outside: Outside,
    wish: Wish,
) -> (Report, Result<(), AccountError>) {
    const CAUSE: &str = "command";
    if let Some(terms) = settings.maildrop.clone() {
        return Box::pin(maildrop::pull(settings, terms, outside, &wish, CAUSE)).await;
    }
    let mut run = match Run::open(settings, outside, &wish, CAUSE).await {
        Ok(run) => run,
        Err(error) => return (Report::default(), Err(error)),
    };
    let result = run.rounds(&wish).await;
    run.close(result).await
}

impl Run {
    /// Opens an account for its first run, which `cause` is the reason of.
    async fn open(
        settings: Settings,
        outside: Outside,
        wish: &Wish,
        cause: &str,
    ) -> Result<Self, AccountError> {
        let mut store = recover::open_store(&settings, &outside, wish)?;
        let number = store.transaction(|tx| tx.begin_run(outside.clock.now(), cause))?;
        let root = match recover::open_place(&settings, &outside, &mut store, wish) {
            Ok(root) => root,
            Err(error) => {
                record::end_failed(&mut store, number, outside.clock.now(), &error)?;
                return Err(error);
            }
        };
        outside.progress.tell(progress::Event::Connecting);
        let suspects = Shared::default();
        let (now, focus) = (outside.clock.now(), wish.focus.clone().unwrap_or_default());
        suspects::load(&suspects, &store, (number, now), cause, focus)?;
        let (endpoint, connector) = (&settings.endpoint, &*outside.connector);
        let session = match Session::connect_cautiously(endpoint, connector, &suspects).await {
            Ok(session) => session,
            Err(error) => {
                let error = AccountError::from(error);
                record::end_failed(&mut store, number, outside.clock.now(), &error)?;
                return Err(error);
            }
        };
        let losses = suspects::Losses::on(&session);
        Ok(Self {
            lanes: apply::Lanes::new(&settings, &outside, &suspects),
            settings,
            outside,
            store,
            root: Arc::new(root),
            session,
            number,
            report: Report::default(),
            seen: observe::Seen::default(),
            tried: BTreeSet::new(),
            copied: BTreeSet::new(),
            asked: BTreeSet::new(),
            renamed: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            twins: Vec::new(),
            renames: Vec::new(),
            dry_run: wish.dry_run,
            unseen: false,
            absent: BTreeSet::new(),
            unread_tables: BTreeSet::new(),
            skips_told: 0,
            marked: false,
            focus: wish.focus.clone(),
            hints: Hints::default(),
            waits: true,
            growing: false,
            traffic: Counters::default(),
            headless: BTreeSet::new(),
            suspects,
            losses,
            waits_for_next: false,
            is_view_old: false,
        })
    }

    async fn rounds(&mut self, wish: &Wish) -> Result<(), AccountError> {
        if let Some(depth) = wish.verify {
            return self.verify(depth).await;
        }
        self.look_at_all_in_doubt()?;
        if !wish.dry_run {
            while let Err(error) = apply::take_back(self).await {
                self.survive(error).await?;
            }
            apply::revive(self)?;
        }
        let mut rounds = 0;
        while rounds < ROUNDS_MAX {
            self.report.rounds += 1;
            self.tried.clear();
            let before = self.losses.count();
            while let Err(error) = observe::observe(self).await {
                self.survive(error).await?;
            }
            self.tell_skips();
            if wish.dry_run {
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
            if self.outside.is_stopping() {
                self.report.interrupted = true;
                return Ok(());
            }
        }
        let name = self.settings.name.clone();
        self.report.skip(name, "mail changes as fast as it is mirrored; the next run goes on");
        Ok(())
    }

    /// Where rows are in doubt, a look at some mailboxes is a look at all: what one of them lacks
    /// may be in another (hazard 54).
    fn look_at_all_in_doubt(&mut self) -> Result<(), AccountError> {
        if self.focus.is_some() && self.store.has_restated()? {
            tracing::info!("not all is known of what was there: all mailboxes are looked at");
            self.focus = None;
        }
        Ok(())
    }

    /// Reports what a run would do and what it would hold; a dry run has a store of its own.
    fn describe(&mut self, plan: &Plan) -> Result<(), AccountError> {
        let lines = world::describe(self, plan)?;
        self.report_plan(lines, plan)
    }

    /// Reports a plan in these lines, with what it holds.
    fn report_plan(&mut self, lines: Vec<String>, plan: &Plan) -> Result<(), AccountError> {
        self.report.plan = lines;
        self.record_holds(plan)?;
        self.report.holds = self.pending_holds()?;
        self.describe_renames();
        Ok(())
    }

    /// What a dry run says where a mailbox got another name: its messages would be seen there
    /// only once it is renamed, so the rest of the plan is not what would come.
    fn describe_renames(&mut self) {
        self.report.plan.append(&mut self.twins);
        if !self.renames.is_empty() {
            self.report.plan = std::mem::take(&mut self.renames);
            self.report.plan.push("whatever else there is, once that is done".to_owned());
        }
    }

    /// Plans and applies until the store shows nothing that was not tried since the last
    /// look. Gives whether anything was done.
    async fn apply_all(&mut self) -> Result<bool, AccountError> {
        let (mut worked, mut passes) = (false, 0);
        loop {
            let mut plan = self.plan()?;
            let (tried, copied) = (&self.tried, &self.copied);
            plan.steps.retain(|step| !step.rows().iter().any(|row| tried.contains(row)));
            plan.steps.retain(|step| !copies_onto(step).is_some_and(|row| copied.contains(&row)));
            if passes > 0 {
                plan.mailboxes.clear();
            }
            let asked = &self.asked;
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
            if plan.is_idle() || self.outside.is_stopping() {
                return Ok(worked);
            }
            self.tried.extend(plan.steps.iter().flat_map(tried_rows));
            self.mark()?;
            let before = self.report.done();
            apply::apply(self, &plan).await?;
            self.tell_skips();
            self.forget_fetched(&plan)?;
            // Steps that were all refused are no reason to look again at once.
            worked |= self.report.done() > before || std::mem::take(&mut self.unseen);
            passes += 1;
        }
    }

    /// A command met none of these messages: they may have been moved or removed since the look.
    /// One more look in this run finds out; what it still shows is named.
    fn look_again_for(&mut self, mailbox: &Mailbox, rows: &[RowId]) {
        let known = rows.iter().filter(|row| !self.absent.insert(**row)).count();
        self.unseen |= known < rows.len();
        if known > 0 {
            let why = format!("the server names {known} messages and shows nothing of them");
            self.report.skip(mailbox.name.to_string(), why);
        }
    }

    /// A message that came down is done with: only what was tried in vain is remembered.
    fn forget_fetched(&mut self, plan: &Plan) -> Result<(), AccountError> {
        for step in &plan.steps {
            if let Step::Fetch(row) = step
                && self.store.is_settled(*row)?
            {
                self.tried.remove(row);
            }
        }
        Ok(())
    }

    /// After how many seconds another run is of use though nothing is told.
    fn wants_again(&self) -> Option<u64> {
        let suspects = self.suspects.lock();
        if self.waits_for_next || suspects.are_postponed() {
            return Some(0);
        }
        suspects.next_due(self.outside.clock.now()).and_then(|s| u64::try_from(s).ok())
    }

    /// Mailboxes that the server agreed to make and does not list under that name.
    fn name_unlisted(&mut self) -> Result<(), AccountError> {
        for mailbox in &self.asked {
            let unlisted = |m: &Mailbox| m.local && !m.remote && m.problem.is_none();
            if let Some(mailbox) = self.store.mailbox(*mailbox)?.filter(unlisted) {
                let why = "the server made it, and does not list it under this name; \
                           rename it, its mail stays here meanwhile";
                self.report.skip(mailbox.name.to_string(), why);
            }
        }
        Ok(())
    }

    /// Tells of what was skipped since the last time.
    fn tell_skips(&mut self) {
        let skipped = &self.report.skipped;
        let news = skipped.get(self.skips_told..).unwrap_or_default();
        news.iter().for_each(|skip| self.outside.progress.tell(progress::Event::Skipped(skip)));
        self.skips_told = skipped.len();
    }

    /// Whether a mailbox is mirrored and looked at in this run.
    fn looks_at(&self, name: &MailboxName) -> bool {
        let in_focus = self.focus.as_ref().is_none_or(|focus| focus.contains(name));
        in_focus && !self.doubtful.contains(name) && (self.settings.selects)(name)
    }

    fn plan(&mut self) -> Result<Plan, AccountError> {
        let world = world::load(self)?;
        Ok(reconcile::plan(&world))
    }

    /// Writes down how the run ended. Further connections end with it.
    async fn end(&mut self, result: Result<(), AccountError>) -> Result<(), AccountError> {
        let (counters, beside) = (self.session.counters(), self.lanes.close().await);
        self.report.received = counters.received - self.traffic.received + beside.received;
        self.report.sent = counters.sent - self.traffic.sent + beside.sent;
        if result.is_ok() {
            self.forget_unneeded();
        }
        let named = self.name_suspects();
        self.report.again = self.wants_again();
        if self.settings.pull_only {
            self.report.unsent = scope::unsent(&self.store)?;
        }
        self.tell_skips();
        let recorded = record::end_run(self, &result);
        result.and(named).and(recorded.map_err(AccountError::from))
    }

    /// Says goodbye after a run that ended.
    async fn close(
        mut self,
        result: Result<(), AccountError>,
    ) -> (Report, Result<(), AccountError>) {
        let lost = result.as_ref().is_err_and(AccountError::ends_session);
        let result = self.end(result).await;
        recover::tidy_up(&self.settings, &self.outside, &self.root);
        if !lost {
            say_goodbye(self.session).await;
        }
        (self.report, result)
    }
}

/// The mail is in step; a server that cannot say goodbye changes nothing of that.
async fn say_goodbye(session: Session) {
    if let Err(error) = session.logout().await {
        tracing::debug!(%error, "logout");
    }
}

/// A copy that the server agreed to is nowhere to be seen yet.
fn is_under_way(row: &Row) -> bool {
    match row.journal {
        Journal::Moving { .. } => row.local.is_some() && row.remote.is_none(),
        Journal::Trashing { .. } => row.remote.is_some(),
        _ => false,
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
