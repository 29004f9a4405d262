//! No answer takes longer than its ceiling, whatever comes meanwhile.

use std::io;
use std::time::Duration;

use mailtide::remote::{BoxStream, Connecting, Connector, RemoteError};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::Instant;

use super::{Kept, Session, endpoint};

/// Answers everything, and at one command sends a line every two seconds for ever.
#[derive(Debug, Clone, Copy)]
struct Drip {
    at: &'static str,
    line: &'static str,
}

impl Drip {
    async fn serve(self, stream: tokio::io::DuplexStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        self.strike(&mut stream, "GREETING").await?;
        stream.write_all(b"+OK hi\r\n").await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let rest = match line.split_whitespace().next() {
                Some("CAPA") => "USER\r\nUIDL\r\n.\r\n",
                Some("UIDL") => "1 a\r\n.\r\n",
                Some("LIST") => "1 17\r\n.\r\n",
                Some("RETR") => "Subject: x\r\n\r\nx\r\n.\r\n",
                _ => "",
            };
            if line.starts_with(self.at) && rest.is_empty() {
                self.strike(&mut stream, &line).await?;
            }
            stream.write_all(b"+OK\r\n").await?;
            self.strike(&mut stream, &line).await?;
            stream.write_all(rest.as_bytes()).await?;
        }
    }

    async fn strike(
        self,
        stream: &mut BufReader<tokio::io::DuplexStream>,
        command: &str,
    ) -> io::Result<()> {
        while command.starts_with(self.at) {
            tokio::time::sleep(Duration::from_secs(2)).await;
            stream.write_all(self.line.as_bytes()).await?;
        }
        Ok(())
    }
}

impl Connector for Drip {
    fn connect<'a>(&'a self, _: &'a str, _: u16) -> Connecting<'a> {
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            tokio::spawn(self.serve(theirs));
            Ok(Box::new(ours) as BoxStream)
        })
    }
}

async fn all(drip: Drip) -> Result<(), RemoteError> {
    let mut session = Session::connect(&endpoint(), &drip).await?;
    session.list().await?;
    session.retrieve(&[1], &mut Kept::default()).await?;
    session.quit().await
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drips_is_left_at_the_ceiling() {
    // In minutes; the timeout is one.
    for (at, line, ceiling) in [
        ("GREETING", "+O", 1),
        ("CAPA", "X-A\r\n", 3),
        ("USER", "+", 1),
        ("UIDL", "2 b\r\n", 11),
        ("LIST", "2 17\r\n", 11),
        ("RETR", "a line of the text\r\n", 11),
        ("QUIT", "+", 1),
    ] {
        let begun = Instant::now();
        let error = all(Drip { at, line }).await.unwrap_err();
        assert!(matches!(error, RemoteError::Timeout { .. }), "{at}: {error}");
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        assert!(minutes <= f64::from(ceiling) + 0.1, "{at}: {minutes} minutes");
    }
}
