//! What is asked and answered over the control socket, and how long it may take.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::daemon::state::View;
use crate::daemon::volume::Level;

/// How long a run that was asked for may take before the client is told to look later.
pub(super) const RUN_MAX: Duration = Duration::from_secs(30 * 60);

/// A client that looks on hears something at least so often.
pub(super) const STILL_THERE: Duration = Duration::from_secs(60);

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// How all accounts stand.
    Status,
    /// The same, again after each change, until the client hangs up.
    Watch,
    /// A run now, of one account or of all; answered when it is over.
    Sync {
        /// Which one.
        account: Option<String>,
    },
    /// The same, answered at once.
    Nudge {
        /// Which one.
        account: Option<String>,
    },
    /// The account, or all, are left alone until `resume`.
    Pause {
        /// Which one.
        account: Option<String>,
    },
    /// The account, or all, go on.
    Resume {
        /// Which one.
        account: Option<String>,
    },
    /// What is logged of the account, or of all.
    Log {
        /// Which one.
        account: Option<String>,
        /// How much.
        level: Level,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The state directory of the daemon, by which a client knows that it is the right one.
    pub state_dir: PathBuf,
    /// Its config file: another one with the same state directory is a mistake.
    #[serde(default)]
    pub config: PathBuf,
    /// How all accounts stand.
    #[serde(default)]
    pub accounts: Vec<View>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
