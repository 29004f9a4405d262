//! Into a mailbox of an account that is kept in step by IMAP: this is how mail moves from POP3.

use std::collections::BTreeSet;

use kit::imap::Profile;
use kit::world::{ROOT, World};
use mailtide::account::AccountError;
use mailtide::config::Keep;

use super::{brings, messages, of, pull, server};

/// Contents of a mailbox on the IMAP server, sorted.
fn there(owner: &World, mailbox: &str) -> Vec<String> {
    let mut all = owner.remote();
    all.remove(mailbox).unwrap_or_default().into_iter().map(|(content, _)| content).collect()
}

fn sync(world: &World) {
    world.sync().1.unwrap();
    world.wait();
}

#[test]
fn mail_moves_from_pop3_to_imap() {
    for mailbox in ["INBOX", "Old/Provider"] {
        for keep in [Keep::Forever, Keep::UntilPulled] {
            let owner = World::new(Profile::qresync());
            let drop = server(5);
            let guest = World::guest_of(&owner, &drop, keep, mailbox);
            sync(&owner);
            for _ in 0..2 {
                pull(&guest);
                sync(&owner);
                sync(&owner);
            }
            assert_eq!(there(&owner, mailbox), of(messages(1..=5)), "{keep:?}");
            // What is deleted on IMAP does not come back from POP3.
            brings(&guest, 0);
        }
    }
}

/// Either of them dies at any point, in turns; in the end all is there once.
#[test]
fn a_crash_of_either_at_every_point() {
    for keep in [Keep::Forever, Keep::UntilPulled] {
        let prepared = || {
            let owner = World::new(Profile::qresync());
            let drop = server(3);
            let guest = World::guest_of(&owner, &drop, keep, "Old");
            sync(&owner);
            (owner, guest)
        };
        let (owner, guest) = prepared();
        let pulls = guest.run_until(0).1;
        guest.wait();
        let pushes = owner.run_until(0).1;
        let points: BTreeSet<(u64, u64)> =
            (1..=pulls).map(|n| (n, 0)).chain((1..=pushes).map(|n| (0, n))).collect();
        for (in_guest, in_owner) in points {
            let (owner, guest) = prepared();
            let _ = guest.run_until(in_guest);
            owner.fs.restart();
            owner.wait();
            let _ = owner.run_until(in_owner);
            owner.fs.restart();
            owner.wait();
            for _ in 0..2 {
                pull(&guest);
                sync(&owner);
                sync(&owner);
            }
            let what = format!("{keep:?}: {in_guest} of {pulls}, {in_owner} of {pushes}");
            assert_eq!(there(&owner, "Old"), of(messages(1..=3)), "{what}");
        }
    }
}

/// A guest that came first: the owner takes over what it finds.
#[test]
fn the_guest_may_come_first() {
    let owner = World::new(Profile::qresync());
    let drop = server(3);
    let guest = World::guest_of(&owner, &drop, Keep::UntilPulled, "INBOX");
    let report = pull(&guest);
    // Nobody has said yet whose Maildir that is.
    assert_eq!((report.pulled, report.removed_remote, report.skipped.len()), (3, 0, 1));
    sync(&owner);
    sync(&owner);
    assert_eq!(there(&owner, "INBOX"), of(messages(1..=3)));
    assert_eq!(pull(&guest).removed_remote, 3);
    assert!(drop.messages().is_empty());
}

/// The owner's disk is not mounted: nothing is put into its place.
#[test]
fn a_maildir_that_is_not_there_gets_no_mail() {
    let owner = World::new(Profile::qresync());
    let drop = server(2);
    let mut guest = World::guest_of(&owner, &drop, Keep::UntilPulled, "INBOX");
    sync(&owner);
    assert_eq!(pull(&guest).pulled, 2);
    drop.deliver(super::message(3).as_bytes());
    guest.fs = super::unmounted(owner.fs.clock());
    for _ in 0..2 {
        let (_, result) = guest.sync();
        assert!(matches!(result, Err(AccountError::Gone { .. })), "{result:?}");
        guest.fs.mkdir_all(ROOT);
    }
    assert_eq!(drop.messages().len(), 1);
}
