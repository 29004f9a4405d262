//! Servers whose MAILBOXID in STATUS is no id, or not that of the mailbox.

use kit::imap::{Profile, StatusIds};
use kit::world::World;

use super::{agreed_on, sync};

fn deceived(status_ids: StatusIds, list_status: bool) -> World {
    agreed_on(&Profile { objectid: true, status_ids, list_status, ..Profile::qresync() })
}

const LIES: [StatusIds; 2] = [StatusIds::Garbled, StatusIds::Untrue];

#[test]
fn hazard_98_an_id_that_is_none_says_nothing_of_a_mailbox() {
    for status_ids in LIES {
        for list_status in [true, false] {
            let world = deceived(status_ids, list_status);
            for n in 0..4 {
                let text = format!("Message-ID: <n{n}>\r\n\r\nnew {n}\r\n");
                world.server.append("Work", text.as_bytes(), &[], Some(n));
                let report = sync(&world);
                assert_eq!((report.pulled, report.done()), (1, 1), "{status_ids:?} {report}");
                assert_eq!(sync(&world).done(), 0, "{status_ids:?}");
            }
            assert_eq!(world.remote(), world.local());
        }
    }
}

#[test]
fn hazard_98_a_store_that_took_such_an_id_for_one_goes_on_with_the_true_one() {
    for status_ids in LIES {
        let world = deceived(status_ids, true);
        let before = (world.remote(), world.local());
        world.server.configure(|profile| profile.status_ids = StatusIds::True);
        for _ in 0..3 {
            assert_eq!(sync(&world).done(), 0, "{status_ids:?}");
        }
        world.server.configure(|profile| profile.status_ids = status_ids);
        for _ in 0..3 {
            assert_eq!(sync(&world).done(), 0, "{status_ids:?}");
        }
        assert_eq!((world.remote(), world.local()), before);
    }
}
