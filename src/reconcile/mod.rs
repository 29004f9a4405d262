//! Decides: three columns in, a plan out. Pure: no I/O, no clock, no async, no failure.

pub mod types;
