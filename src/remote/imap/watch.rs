//! Being told: NOTIFY (RFC 5465) for all mailboxes, IDLE (RFC 2177) for one.
//!
//! What a server tells is only a reason to look. So nothing of it is read beyond that it is
//! news, and a connection that listens does nothing else.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::parse::Response;
use super::parse::status::Condition;
use super::select::Select;
use super::session::Session;
use super::talk::{Stop, Untagged, require_ok};
use crate::reconcile::types::{MailboxName, printable};
use crate::remote::budget::Budget;
use crate::remote::code::Code;
use crate::remote::error::RemoteError;

/// So long after a change was told, NOTIFY is asked for once more. Dovecot (2.3.19, measured)
/// watches the log of each mailbox: when that is rotated, which happens after some changes, it
/// tells nothing of the mailbox any more until it is asked again.
const REARM: Duration = Duration::from_secs(5);
/// A connection that listens has no answer to wait for; its deadline comes after the renewal.
const AFTER_RENEWAL: Duration = Duration::from_secs(60);

/// How a connection is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// Of every personal mailbox, at any time.
    Notify,
    /// Of the selected mailbox, while in IDLE.
    Idle(MailboxName),
}

impl Session {
    /// Begins to listen, in the best way that the server has: to all mailboxes, else to
    /// `mailbox`. None where it tells nothing unasked.
    ///
    /// # Errors
    /// What ends the session, and a refusal of the mailbox.
    pub async fn begin_watch(
        &mut self,
        mailbox: &MailboxName,
    ) -> Result<Option<Watch>, RemoteError> {
        if self.talk.capabilities.has("NOTIFY") && self.notify(&mut || {}).await? {
            return Ok(Some(Watch::Notify));
        }
        if !self.talk.capabilities.has("IDLE") {
            return Ok(None);
        }
        let mut ignore = |_: Untagged| {};
        self.select(mailbox, Select::ReadOnly, None, &mut ignore).await?;
        Ok(Some(Watch::Idle(mailbox.clone())))
    }

    /// Asks to be told of all personal mailboxes. A server may know fewer events than the RFC
    /// has; it says so by a refusal.
    async fn notify(&mut self, news: &mut dyn FnMut()) -> Result<bool, RemoteError> {
        const WISHES: [&str; 2] = [
            "(personal (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))",
            "(personal (MessageNew MessageExpunge FlagChange))",
        ];
        for wish in WISHES {
            let hear = &mut |response: &Response<'_>| heard(response, news);
            match self.run("NOTIFY", &format!("NOTIFY SET {wish}"), Budget::SHORT, hear).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_refusal() => {
                    let words = printable(error.words().unwrap_or_default());
                    tracing::debug!("NOTIFY is refused: {words}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Listens for this long, then makes sure that the server is still there. `news` is called
    /// for whatever it tells of its mailboxes; it may be called more often than there is news.
    ///
    /// # Errors
    /// What ends the session; an IDLE that is refused.
    pub async fn watch(
        &mut self,
        how: &Watch,
        time: Duration,
        news: &mut dyn FnMut(),
    ) -> Result<(), RemoteError> {
        let before = self.timeout();
        self.wire().allowance().set_silence(time + AFTER_RENEWAL);
        let told = match how {
            Watch::Notify => self.hear_all(time, news).await,
            Watch::Idle(_) => self.idle(time, news).await.map(|()| false),
        };
        self.wire().allowance().set_silence(before);
        let told = told?;
        match how {
            Watch::Notify if told => self.ask_again(news).await,
            Watch::Notify => {
                let hear = &mut |response: &Response<'_>| heard(response, news);
                self.run("NOOP", "NOOP", Budget::SHORT, hear).await.map(drop)
            }
            Watch::Idle(_) => Ok(()),
        }
    }

    async fn ask_again(&mut self, news: &mut dyn FnMut()) -> Result<(), RemoteError> {
        // Asked without an end of what was asked before, Dovecot tells nothing from then on.
        let hear = &mut |response: &Response<'_>| heard(response, news);
        self.run("NOTIFY", "NOTIFY NONE", Budget::SHORT, hear).await?;
        if !self.notify(news).await? {
            let what = "it no longer accepts NOTIFY".to_owned();
            return Err(RemoteError::Protocol { doing: "NOTIFY".to_owned(), what });
        }
        // It may have been silent for some of that time.
        news();
        Ok(())
    }

    /// Hears of all mailboxes; after something was told, only for a while longer. Gives whether
    /// something was told.
    async fn hear_all(
        &mut self,
        time: Duration,
        news: &mut dyn FnMut(),
    ) -> Result<bool, RemoteError> {
        let mut told = false;
        let mut heard = || {
            told = true;
            news();
        };
        self.listen("NOTIFY", time, Until::News, &mut heard).await?;
        if told {
            self.listen("NOTIFY", REARM.min(time), Until::Time, news).await?;
        }
        Ok(told)
    }

    async fn idle(&mut self, time: Duration, news: &mut dyn FnMut()) -> Result<(), RemoteError> {
        const DOING: &str = "IDLE";
        let tag = self.start(DOING, DOING, Budget::LISTEN).await?;
        if let Some(refusal) = self.go_ahead(DOING, &tag).await? {
            return Err(refusal);
        }
        // Told before the go-ahead.
        if !self.take_pending().seen.is_empty() {
            news();
        }
        self.listen(DOING, time, Until::Time, news).await?;
        if let Some(status) = self.talk.answered(&tag) {
            return require_ok(DOING, status).map(drop);
        }
        self.say_done().await?;
        let status = self
            .answer(DOING, &tag, &mut |response| {
                if is_news(response) {
                    news();
                }
                true
            })
            .await?;
        require_ok(DOING, status).map(drop)
    }

    async fn say_done(&mut self) -> Result<(), RemoteError> {
        let wire = self.wire();
        wire.uncork();
        let sent = async {
            wire.write(b"DONE\r\n").await?;
            wire.flush().await
        }
        .await;
        wire.cork();
        sent.map_err(|broken| self.stopped("IDLE", broken.into()))
    }

    /// After a [`Self::watch`] that was given up, so that the session can be logged out.
    ///
    /// # Errors
    /// What ends the session.
    pub async fn end_watch(&mut self, how: &Watch) -> Result<(), RemoteError> {
        match how {
            Watch::Idle(_) if !self.talk.outstanding.is_empty() => self.say_done().await,
            _ => Ok(()),
        }
    }

    /// Hears what is told until the time is over, or until the first news.
    async fn listen(
        &mut self,
        doing: &str,
        time: Duration,
        until: Until,
        news: &mut dyn FnMut(),
    ) -> Result<(), RemoteError> {
        let end = Instant::now() + time;
        let result = self.try_listen(end, until, news).await;
        result.map_err(|stop| self.stopped(doing, stop))
    }

    async fn try_listen(
        &mut self,
        end: Instant,
        until: Until,
        news: &mut dyn FnMut(),
    ) -> Result<(), Stop> {
        let (wire, talk) = self.parts();
        wire.flush().await?;
        wire.allowance().begin(Budget::LISTEN);
        loop {
            match timeout_at(end, wire.wait_ahead()).await {
                Err(_) => return Ok(()),
                Ok(waited) => waited?,
            }
            let mut heard = false;
            // All that came together is one piece of news.
            while !wire.ahead().is_empty() {
                wire.response().await?;
                let response = Response::parse(wire.in_hand());
                // The same number of messages as before is no news (hazard 106).
                let same = matches!(response, Response::Exists(count) if count == talk.exists);
                heard |= is_news(&response) && !same;
                if is_overflow(&response) {
                    let what = "it stopped telling of changes".to_owned();
                    return Err(Stop::Protocol(what));
                }
                if !matches!(response, Response::Continue) {
                    talk.take_in(wire, &mut |_| true)?;
                }
            }
            if !talk.early.is_empty() {
                // The server ended it by itself.
                return Ok(());
            }
            if heard {
                news();
                if until == Until::News {
                    return Ok(());
                }
            }
        }
    }
}

/// When listening ends, at the latest when the time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    News,
    Time,
}

/// Passes news on; a listening connection has no other use for what it hears.
fn heard(response: &Response<'_>, news: &mut dyn FnMut()) -> bool {
    if is_news(response) {
        news();
    }
    true
}

fn is_news(response: &Response<'_>) -> bool {
    match response {
        Response::Tagged { .. } | Response::Continue | Response::Capability(_) => false,
        // "Still here".
        Response::Status(_) | Response::Enabled(_) => false,
        _ => true,
    }
}

/// NOTIFICATIONOVERFLOW (RFC 5465 §5.8): from now on the server tells nothing.
fn is_overflow(response: &Response<'_>) -> bool {
    match response {
        Response::Status(status) if status.condition == Condition::Ok => {
            matches!(&status.code, Some(Code::Other(code)) if code == "NOTIFICATIONOVERFLOW")
        }
        _ => false,
    }
}
