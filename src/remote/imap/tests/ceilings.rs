//! No answer takes longer than its ceiling, whatever comes meanwhile.

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::Instant;

use super::*;
use crate::remote::imap::fetch::FetchItems;
use crate::remote::imap::select::Select;

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
        stream.write_all(b"* OK hi\r\n").await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let Some((tag, command)) = line.trim_end().split_once(' ') else { return Ok(()) };
            self.strike(&mut stream, command).await?;
            let selected = "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 9] x\r\n";
            let untagged = match command.split(' ').next() {
                Some("CAPABILITY") => "* CAPABILITY IMAP4rev1 STARTTLS\r\n",
                Some("SELECT") => selected,
                _ => "",
            };
            stream.write_all(format!("{untagged}{tag} OK x\r\n").as_bytes()).await?;
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
    session.noop(&mut |_| {}).await?;
    session.list_status().await?;
    session.select(&inbox(), Select::ReadWrite, None, &mut |_| {}).await?;
    session.search_all().await?;
    let items = FetchItems { flags: true, ..FetchItems::default() };
    session.fetch(&UidSet::all(), items, None, &mut |_| {}).await?;
    session.create(&MailboxName::new("x")).await
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drips_is_left_at_the_ceiling() {
    const REMARK: &str = "* OK still at it\r\n";
    // In minutes; the timeout is one.
    for (at, line, ceiling) in [
        ("GREETING", "* O", 1),
        ("LOGIN", REMARK, 3),
        ("LOGIN", "* CAPABILITY IMAP4rev1\r\n", 3),
        ("NOOP", REMARK, 5),
        ("NOOP", "* 1 FETCH (UID 1 FLAGS ())\r\n", 5),
        ("LIST", "* LIST () \"/\" a\r\n", 30),
        ("SELECT", REMARK, 11),
        ("UID SEARCH", "* SEARCH 1\r\n", 30),
        ("UID FETCH", "* 1 FETCH (UID 1 FLAGS ())\r\n", 11),
        ("CREATE", REMARK, 30),
    ] {
        let begun = Instant::now();
        let error = all(Drip { at, line }).await.unwrap_err();
        assert!(matches!(error, RemoteError::Timeout { .. }), "{at}: {error}");
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        assert!(minutes <= f64::from(ceiling) + 0.1, "{at}: {minutes} minutes");
        assert!(error.ends_session());
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_behind_capability_is_met_by_a_connection_that_does_not_ask() {
    for (line, ceiling) in [("* OK still at it\r\n", 182), ("+ zzz\r\n", 4)] {
        let begun = Instant::now();
        let session = Session::connect(&endpoint(), &Drip { at: "CAPABILITY", line }).await;
        session.unwrap().noop(&mut |_| {}).await.unwrap();
        assert!(begun.elapsed() <= Duration::from_secs(ceiling), "{line}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_go_ahead_that_nobody_asked_for_ends_the_session() {
    for at in ["LOGIN", "NOOP", "LIST", "SELECT", "UID FETCH"] {
        let begun = Instant::now();
        let error = all(Drip { at, line: "+ zzz\r\n" }).await.unwrap_err();
        assert!(matches!(error, RemoteError::Protocol { .. }), "{at}: {error}");
        assert!(begun.elapsed() <= Duration::from_secs(2), "{at}");
    }
    let secured = Endpoint { tls: Tls::StartTls, ..endpoint() };
    let drip = Drip { at: "STARTTLS", line: "+ zzz\r\n" };
    let error = Session::connect(&secured, &drip).await.unwrap_err();
    assert!(matches!(error, RemoteError::Protocol { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_long_transfer_goes_on_while_it_makes_progress() {
    // A body of 1 MiB at 2 KiB a second takes longer than any ceiling.
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            if theirs.write_all(&[b'x'; 4096]).await.is_err() {
                return;
            }
        }
    });
    use crate::remote::allowance::Allowance;
    use crate::remote::budget::Budget;
    let mut wire = super::wire::Wire::new(Box::new(ours), Allowance::new(Duration::from_secs(60)));
    wire.allowance().signed_in();
    wire.allowance().begin(Budget { line: 2 << 20, response: 2 << 20, ..Budget::texts(1) });
    let begun = Instant::now();
    assert!(matches!(wire.response().await, Err(crate::remote::broken::Broken::Limit(..))));
    assert!(begun.elapsed() > Duration::from_secs(1000), "{:?}", begun.elapsed());
}
