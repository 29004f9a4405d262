//! What a pull works with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::read::Top;
use super::rematch::Alike;
use crate::account::losses::Losses;
use crate::account::report::Report;
use crate::account::settings::{Environment, Settings};
use crate::config::Maildrop;
use crate::local::Root;
use crate::remote::pop3::Listing;
use crate::remote::suspects::Shared;
use crate::state::Store;

/// Everything that a pull works with.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) settings: Settings,
    pub(super) terms: Maildrop,
    pub(super) environment: Environment,
    pub(super) store: Store,
    pub(super) root: Arc<Root>,
    pub(super) home: Home,
    /// What was pulled and is not in the listing under its name.
    pub(super) alike: Alike,
    /// What connections were lost at, in this pull and before.
    pub(super) suspects: Shared,
    /// The maildrop as this session shows it.
    pub(super) listing: Listing,
    /// Connections that were lost in this pull.
    pub(super) losses: Losses,
    pub(super) report: Report,
    pub(super) number: i64,
    pub(super) dry_run: bool,
    /// The marker was advanced by this pull.
    pub(super) marked: bool,
    /// All files could be read, where they had to be.
    pub(super) all_read: bool,
    /// The server shows a part of the maildrop at a time.
    pub(super) in_parts: bool,
    /// Answers were found to belong to other commands: each body is proven by itself.
    pub(super) is_wary: bool,
}

/// What the server said of how messages begin.
pub(super) struct Headers {
    pub(super) tops: BTreeMap<u32, Top>,
    /// It gives some: what it does not give now it may give another time.
    pub(super) offered: bool,
}

/// What became of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Through {
    /// Everything that was listed is dealt with.
    All,
    /// There may be more.
    Part,
    /// Some of it waits for the next pull.
    Enough,
}

/// Whose Maildir it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Our own.
    Own,
    /// That of another account.
    Guest,
    /// None: a program takes the messages, and they lie in ours only until it has.
    Spool,
}
