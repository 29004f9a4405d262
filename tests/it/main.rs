//! Everything that is proved from outside, in one binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod config;
mod conform;
mod courier;
mod crash;
mod demo;
mod dovecot;
mod downloads;
mod dry_run;
mod fuzz;
mod hands;
mod hazards;
mod hostile;
mod interrupt;
mod maildrop;
mod months;
mod names;
mod plans;
mod poison;
mod pop3;
mod progress;
mod puller;
mod running;
mod scenarios;
mod scram;
mod service;
mod shipped;
mod storms;
mod throttled;
mod tidy;
mod torture;
mod uploads;
mod verify;
