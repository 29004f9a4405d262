//! What a server says beside its answers, told in the log: each once, and not too many.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::parse::status::{Condition, Status};
use crate::reconcile::types::printable;
use crate::remote::code::Code;

/// How many different remarks of one session are told; the others are counted.
const TOLD: usize = 10;
/// How much of one is told, in characters.
const LENGTH: usize = 300;

/// Remarks of a session.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    told: BTreeSet<u64>,
    left_out: u64,
}

impl Remarks {
    /// Tells a remark, unless the same was told or there were enough of them.
    pub(super) fn hear(&mut self, status: &Status) {
        let is_alert = matches!(status.code, Some(Code::Alert));
        if !is_alert && !matches!(status.condition, Condition::No | Condition::Bad) {
            return;
        }
        let mut hasher = DefaultHasher::new();
        (is_alert, &status.words).hash(&mut hasher);
        let hash = hasher.finish();
        if self.told.contains(&hash) || self.told.len() >= TOLD {
            self.left_out += 1;
            return;
        }
        self.told.insert(hash);
        let words = shortened(&status.words);
        match is_alert {
            true => tracing::warn!("the server says: {words}"),
            false => tracing::info!("the server warns: {words}"),
        }
    }
}

impl Drop for Remarks {
    fn drop(&mut self) {
        if self.left_out > 0 {
            tracing::info!("the server said {} more remarks like these", self.left_out);
        }
    }
}

fn shortened(words: &str) -> String {
    let mut short: String = words.chars().take(LENGTH).collect();
    if short.len() < words.len() {
        short.push('…');
    }
    printable(&short)
}
