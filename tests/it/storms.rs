//! Servers that tell of news without an end, or end each IDLE at once: few commands, and mail
//! still comes soon. Time is paused.

use std::time::Duration;

use kit::imap::{Fault, Profile, When};

use crate::months::{keep, message};

const HOUR: Duration = Duration::from_secs(3600);

/// Servers that call out for nothing, and what it costs them in an hour of IDLE.
#[test]
fn hazard_106_news_that_are_none_are_few_looks() {
    let storms: [(&str, &[u8]); 4] = [
        ("the same number of messages", b"* 0 EXISTS\r\n"),
        ("flags that did not change", b"* 1 FETCH (FLAGS (\\Seen))\r\n"),
        ("a number of recent messages", b"* 7 RECENT\r\n"),
        ("numbers that rise and fall", b"* 5 EXISTS\r\n* 0 EXISTS\r\n"),
    ];
    for (what, octets) in storms {
        keep(Profile::qresync(), async |kept| {
            kept.pass(Duration::from_secs(60)).await;
            let wait = Duration::from_millis(50);
            kept.world.server.inject(Fault::IdleSays(octets.to_vec(), wait), When::verb("IDLE"));
            kept.world.server.drop_connections();
            let before = kept.view().runs;
            kept.pass(HOUR).await;
            let looks = kept.view().runs - before;
            assert!(looks <= 120, "{what}: {looks} looks in an hour");
            kept.world.server.append("INBOX", &message(1), &[], Some(7));
            let took = kept.until("mail comes all the same", || kept.agrees()).await;
            assert!(took <= Duration::from_secs(300), "{what}: {took:?}");
        });
    }
}

#[test]
fn hazard_106_a_server_that_ends_idle_at_once_is_polled() {
    keep(Profile::qresync(), async |kept| {
        kept.pass(Duration::from_secs(60)).await;
        let ends = kept.world.server.inject(Fault::IdleEnds, When::verb("IDLE"));
        kept.world.server.drop_connections();
        let before = kept.world.server.counters();
        kept.pass(HOUR).await;
        let after = kept.world.server.counters();
        let idles = ends.hits();
        assert!((5..=150).contains(&idles), "{idles} IDLEs in an hour");
        assert!(after.connections - before.connections < 60);
        kept.world.server.append("INBOX", &message(1), &[], Some(7));
        let took = kept.until("it is polled", || kept.agrees()).await;
        assert!(took <= Duration::from_secs(360), "{took:?}");
        kept.world.server.heal();
        kept.pass(HOUR).await;
        kept.world.server.append("INBOX", &message(2), &[], Some(8));
        let took = kept.until("it listens again", || kept.agrees()).await;
        assert!(took <= Duration::from_secs(1), "{took:?}");
    });
}

#[test]
fn hazard_138_connections_that_die_soon_after_each_sign_in_are_made_ever_more_rarely() {
    keep(Profile::qresync(), async |kept| {
        kept.pass(HOUR).await;
        let before = kept.world.server.counters().connections;
        for _ in 0..50 {
            kept.world.server.drop_connections();
            kept.pass(Duration::from_secs(4)).await;
        }
        let made = kept.world.server.counters().connections - before;
        assert!(made <= 40, "{made} connections in 200 s");
        kept.world.server.append("INBOX", &message(1), &[], Some(7));
        let took = kept.until("mail comes all the same", || kept.agrees()).await;
        assert!(took <= Duration::from_secs(300), "{took:?}");
        // A loss now and then is none of a series.
        kept.pass(HOUR).await;
        kept.world.server.drop_connections();
        kept.world.server.append("INBOX", &message(2), &[], Some(8));
        let took = kept.until("it connects at once", || kept.agrees()).await;
        assert!(took <= Duration::from_secs(2), "{took:?}");
    });
}
