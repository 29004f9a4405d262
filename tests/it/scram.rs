//! SCRAM-SHA-256 over IMAP: taken where it is offered, nothing else where it is demanded.

use kit::imap::{Fault, Profile, When};
use kit::world::World;
use mailtide::account::AccountError;
use mailtide::remote::RemoteError;

/// A server that knows SCRAM and takes no password in the clear.
fn scram() -> Profile {
    let credentials = Some(("me".to_owned(), "secret".to_owned()));
    Profile { scram: true, login_disabled: true, credentials, ..Profile::qresync() }
}

fn world(profile: Profile, demanded: bool) -> World {
    let mut world = World::new(profile);
    world.configure(move |settings| settings.endpoint.scram_only = demanded);
    world.server.append("INBOX", b"Subject: x\r\n\r\nx\r\n", &[], Some(5));
    world
}

/// Why a run ended, in words; nothing came down.
#[track_caller]
fn refused(world: &World) -> String {
    let error = world.sync().1.unwrap_err();
    assert!(world.local().is_empty(), "{error}");
    error.to_string()
}

/// Whether anything was said to prove who we are.
fn said_anything(world: &World) -> bool {
    let commands = world.server.commands();
    commands.iter().any(|c| c.line.starts_with("AUTHENTICATE") || c.line.starts_with("LOGIN"))
}

#[test]
fn it_is_taken_where_it_is_offered() {
    for demanded in [false, true] {
        for sasl_ir in [false, true] {
            let world = world(Profile { sasl_ir, ..scram() }, demanded);
            world.sync().1.unwrap();
            assert_eq!(world.remote(), world.local());
        }
    }
}

#[test]
fn a_server_that_does_not_offer_what_is_demanded_hears_nothing() {
    let world = world(Profile { scram: false, login_disabled: false, ..scram() }, true);
    let words = refused(&world);
    assert!(words.contains("does not offer SCRAM-SHA-256"), "{words}");
    assert!(!said_anything(&world));
}

#[test]
fn a_wrong_password_is_tried_once() {
    let credentials = Some(("me".to_owned(), "other".to_owned()));
    let world = world(Profile { credentials, login_disabled: false, ..scram() }, false);
    let error = world.sync().1.unwrap_err();
    assert!(matches!(error, AccountError::Remote(RemoteError::SignIn { .. })), "{error}");
    let commands = world.server.commands();
    assert_eq!(commands.iter().filter(|c| c.verb == "AUTHENTICATE").count(), 1);
}

#[test]
fn a_server_that_proves_nothing_is_left() {
    for demanded in [false, true] {
        let world = world(scram(), demanded);
        world.server.inject(Fault::OkUndone, When::verb("AUTHENTICATE"));
        let words = refused(&world);
        assert!(words.contains("did not prove who it is"), "{words}");
    }
}
