//! The POP3 client against the simulated server: in memory, with time at a standstill.

mod bodies;
mod ceilings;
mod faults;
mod listing;
mod sign_in;

use std::io;
use std::time::Duration;

use kit::pop3::Server;
use mailtide::remote::pop3::{BodySink, Session};
use mailtide::remote::{Endpoint, RemoteError, Tls};

fn endpoint() -> Endpoint {
    Endpoint {
        host: "localhost".to_owned(),
        port: 110,
        tls: Tls::None,
        ca: None,
        pin: None,
        allow_cleartext: false,
        user: "me".to_owned(),
        secret: "open sesame".to_owned().into(),
        timeout: Duration::from_secs(60),
        scram_only: false,
        disable: Default::default(),
    }
}

async fn connect(server: &Server) -> Session {
    Session::connect(&endpoint(), &server.connector()).await.unwrap()
}

/// Keeps bodies whole.
#[derive(Debug, Default)]
struct Kept {
    whole: Vec<(u32, Vec<u8>)>,
    sizes: Vec<Option<u64>>,
    open: Option<Vec<u8>>,
    refused: Vec<(u32, String)>,
    discarded: usize,
    /// The longest piece.
    largest: usize,
    /// Fails when it has so many octets of a body.
    fails_at: Option<usize>,
}

impl BodySink for Kept {
    fn begin(&mut self, _: u32, size: Option<u64>) -> io::Result<()> {
        assert!(self.open.is_none());
        self.sizes.push(size);
        self.open = Some(Vec::new());
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.largest = self.largest.max(bytes.len());
        let open = self.open.as_mut().expect("a begin before");
        open.extend_from_slice(bytes);
        match self.fails_at {
            Some(most) if open.len() >= most => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn end(&mut self, number: u32) -> io::Result<()> {
        self.whole.push((number, self.open.take().expect("a begin before")));
        Ok(())
    }

    fn discard(&mut self) {
        assert!(self.open.take().is_some());
        self.discarded += 1;
    }

    fn refused(&mut self, number: u32, error: RemoteError) {
        self.refused.push((number, error.to_string()));
    }
}

impl Kept {
    fn bodies(&self) -> Vec<Vec<u8>> {
        self.whole.iter().map(|(_, body)| body.clone()).collect()
    }
}
