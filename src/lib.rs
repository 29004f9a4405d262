//! mailtide mirrors mailboxes to local Maildirs and keeps both sides the same.
//!
//! Data flows one way: `config` → `cli` → `account` (observe → reconcile → apply → record).
//! `reconcile` is pure and uses nothing of ours; `state`, `local` and `remote` use only its
//! types; `account` uses those. A test holds this (`tests/it/tidy.rs`).

pub mod reconcile;
pub mod remote;
