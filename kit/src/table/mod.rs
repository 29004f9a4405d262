//! Tables: base, local and remote in; the plan, and what becomes of it, out.
//!
//! [`model`] is a tiny world: a server, a disk and the rows that remember what was seen and
//! agreed. It does what the engine does, without sockets, files and time, so that thousands of
//! worlds can be tried in a second. [`notation`] is how an author writes one down, [`check`]
//! what every one of them has to pass, [`generate`] makes up more of them.

pub mod act;
pub mod apply;
pub mod check;
mod disk;
pub mod engine;
pub mod generate;
pub mod load;
pub mod meeting;
pub mod model;
pub mod notation;
pub mod observe;
pub mod oracle;
mod server;
pub mod text;

/// Whether somebody wants to see each run of a world.
fn is_loud() -> bool {
    std::env::var_os("MAILTIDE_WORLD_LOUD").is_some()
}
