//! What lies in the maildrop, however oddly it is told.

use std::time::Instant;

use kit::pop3::{Fault, Profile, Server, When};
use mailtide::remote::RemoteError;
use mailtide::remote::pop3::Listed;

use super::connect;

fn listed(number: u32, uidl: Option<&str>, size: u64) -> Listed {
    Listed { number, uidl: uidl.map(Into::into), size: Some(size) }
}

/// What it is called, what is done to the server, and what it lists then.
type Case = (&'static str, fn(&Server), Vec<Listed>);

#[tokio::test(start_paused = true)]
async fn oddities() {
    let usual = || vec![listed(1, Some("a"), 1), listed(2, Some("b"), 2), listed(3, Some("c"), 3)];
    let long = "x".repeat(1_000);
    let table: [Case; 11] = [
        ("nothing odd", |_| {}, usual()),
        ("not pipelined", |server| server.configure(|p| p.pipelining = false), usual()),
        (
            "lines that make no sense",
            |server| drop(server.inject(Fault::OddLines, When::always())),
            usual(),
        ),
        (
            "blanks, and another order",
            |server| drop(server.inject(Fault::Disorder, When::always())),
            usual(),
        ),
        ("bare line feeds", |server| server.configure(|p| p.bare_lf = true), usual()),
        (
            "no ids",
            |server| server.configure(|p| p.uidl = false),
            vec![listed(1, None, 1), listed(2, None, 2), listed(3, None, 3)],
        ),
        (
            "a missing id",
            |server| server.set_uidl(1, None),
            vec![listed(1, Some("a"), 1), listed(2, None, 2), listed(3, Some("c"), 3)],
        ),
        (
            "an id twice",
            |server| server.set_uidl(1, Some("a")),
            vec![listed(1, Some("a"), 1), listed(2, Some("a"), 2), listed(3, Some("c"), 3)],
        ),
        (
            "a long id",
            |server| server.set_uidl(1, Some(&"x".repeat(1_000))),
            vec![listed(1, Some("a"), 1), listed(2, Some(&long), 2), listed(3, Some("c"), 3)],
        ),
        (
            "an id over all measure",
            |server| server.set_uidl(1, Some(&"x".repeat(20_000))),
            vec![listed(1, Some("a"), 1), listed(2, None, 2), listed(3, Some("c"), 3)],
        ),
        (
            "sizes that are wrong",
            |server| drop(server.inject(Fault::SizeLie(7), When::always())),
            vec![listed(1, Some("a"), 8), listed(2, Some("b"), 9), listed(3, Some("c"), 10)],
        ),
    ];
    for (what, make, expected) in table {
        let server = Server::new(["1", "22", "333"]);
        ["a", "b", "c"].iter().enumerate().for_each(|(at, id)| server.set_uidl(at, Some(id)));
        make(&server);
        let mut session = connect(&server).await;
        assert_eq!(*session.list().await.unwrap(), *expected, "{what}");
        session.noop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn both_go_out_together_where_that_is_allowed() {
    for (pipelining, most) in [(true, 2), (false, 1)] {
        let server = Server::with(Profile { pipelining, ..Profile::default() }, ["a"]);
        let mut session = connect(&server).await;
        server.reset_counters();
        session.list().await.unwrap();
        assert_eq!(server.counters().most_waiting, most);
        assert_eq!(server.commands().len(), 2);
    }
}

/// Else each message would be taken for one without an id.
#[tokio::test(start_paused = true)]
async fn ids_that_are_not_to_be_had_for_now_are_an_error() {
    let server = Server::new(["a"]);
    server.inject(Fault::Refuse("[SYS/TEMP] later".to_owned()), When::verb("UIDL"));
    let mut session = connect(&server).await;
    let error = session.list().await.unwrap_err();
    assert!(matches!(error, RemoteError::No { .. }) && !error.ends_session(), "{error}");
    session.noop().await.unwrap();
    server.heal();
    server.inject(Fault::Refuse("why?".to_owned()), When::verb("LIST"));
    let error = session.list().await.unwrap_err();
    assert_eq!(error.to_string(), "LIST: the server refused: why?");
    session.noop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_empty_maildrop_and_a_new_message() {
    let server = Server::new([""; 0]);
    let mut session = connect(&server).await;
    assert_eq!(*session.list().await.unwrap(), []);
    server.deliver(b"late");
    assert_eq!(*session.list().await.unwrap(), [], "a session is a snapshot");
    assert_eq!(connect(&server).await.list().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn time_is_by_the_number_of_messages() {
    let mut took = Vec::new();
    for count in [10_000_u32, 100_000] {
        let server = Server::new((0..count).map(|n| n.to_string()));
        server.inject(Fault::Disorder, When::always());
        let mut session = connect(&server).await;
        let before = Instant::now();
        let listed = session.list().await.unwrap();
        took.push(before.elapsed());
        assert_eq!(listed.len(), count as usize);
        assert!(listed.is_sorted_by(|one, next| one.number < next.number));
    }
    // Ten times as many: a hundred times as long would be seconds.
    assert!(took[1] < took[0] * 40 + std::time::Duration::from_millis(500), "{took:?}");
}
