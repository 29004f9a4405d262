//! mailtide mirrors mailboxes to local Maildirs and keeps both sides the same.
//!
//! Data flows one way: `config` → `cli` → `daemon` → `mail` (observe → reconcile → apply →
//! record) or `pull`, both of which stand on `account`. `reconcile` is pure and uses nothing of
//! ours; `state`, `local` and `remote` use only its types; `account` uses those. A test holds
//! this (`tests/it/tidy.rs`).

pub mod account;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod local;
pub mod mail;
pub mod pull;
pub mod reconcile;
pub mod remote;
pub mod state;
