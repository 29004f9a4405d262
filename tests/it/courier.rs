//! Pulls from the POP3 of a real Courier, the second server of its kind: it counts, names and
//! locks in ways of its own.

use std::collections::BTreeMap;

use kit::corpus::corpus;
use kit::courier::{Courier, USER};
use kit::pop3::plain;

use crate::puller::{Puller, census};
use crate::running::until;

/// A server with awkward mail, and an account that pulls from it.
fn filled(more: &str, count: usize) -> (Courier, Puller) {
    let server = Courier::start();
    deliver(&server, 5, count);
    let puller = Puller::new(server.port);
    puller.own(more);
    (server, puller)
}

fn deliver(server: &Courier, seed: u64, count: usize) {
    for (n, mail) in corpus(seed, count).enumerate() {
        // As a mail system of its own would have stored it.
        let mut body = mail.bytes;
        body.dedup_by(|next, before| {
            (*before, *next) == (b'\r', b'\n') && {
                *before = b'\n';
                true
            }
        });
        server.deliver(&format!("{seed}.{n}.host"), &body);
    }
}

#[track_caller]
fn same(puller: &Puller, server: &Courier) {
    let (here, there) = (puller.here(), there(server));
    let differ: Vec<_> =
        there.iter().filter(|(content, n)| here.get(*content) != Some(*n)).collect();
    assert!(differ.is_empty() && here.len() == there.len(), "{differ:?}");
}

/// What the server gives a client of the simplest kind.
fn there(server: &Courier) -> BTreeMap<String, usize> {
    census(plain::bodies(server.port, USER))
}

#[test]
fn awkward_mail_comes_as_it_is_and_once() {
    if !Courier::can_start() {
        return;
    }
    let (server, puller) = filled("", 300);
    let log = || server.log();
    let told = puller.run(&["sync"], &log);
    assert!(told.contains("pulled 300"), "{told}");
    same(&puller, &server);
    let told = puller.run(&["sync"], &log);
    assert!(told.contains("nothing to do"), "{told}");
    deliver(&server, 6, 5);
    let told = puller.run(&["sync"], &log);
    assert!(told.contains("pulled 5"), "{told}");
    same(&puller, &server);
    let told = puller.run(&["verify", "--bodies"], &log);
    let expected = "verified: 305 files are as recorded, and 305 messages on the server";
    assert!(told.contains(expected), "{told}");
    assert_eq!(server.bodies().len(), 305);
}

#[test]
fn what_was_pulled_leaves() {
    if !Courier::can_start() {
        return;
    }
    let (server, puller) = filled("keep = \"until_pulled\"", 40);
    let before = there(&server);
    let told = puller.run(&["sync"], &|| server.log());
    assert!(told.contains("pulled 40, removed 40 on the server"), "{told}");
    assert_eq!(puller.here(), before);
    // It answers QUIT, and deletes then.
    until("they are gone", || server.bodies().is_empty());
}
