//! mailtide at work, with a mail server of its own: `cargo run --release --example demo`.
//!
//! A simulated IMAP server in this process holds some friendly mail. `./demo-mail` is kept in
//! step with it by a run a second, both ways, until Ctrl-C; what changes is printed.

#[path = "demo/phone.rs"]
mod phone;
#[path = "demo/place.rs"]
mod place;
#[path = "demo/sight.rs"]
mod sight;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kit::imap::Server;
use kit::sample;
use mailtide::account::{self, AccountError, Outside, Report, Settings, Wish};
use mailtide::cli::interrupt::Interrupt;
use mailtide::local::LocalError;
use mailtide::state::{Hold, HoldState, Store};

use self::phone::Phone;
use self::place::{CONFIG, MAIL, Place, STATE};
use self::sight::{DiskSight, ServerSight};

/// The port of the server, if it is free; else any other.
const PORT: u16 = 14_143;
/// Time between two runs.
const PAUSE: Duration = Duration::from_secs(1);
/// Time between two things that the phone does.
const PHONE: Duration = Duration::from_secs(20);
/// Lines that one run prints about one side; the rest is counted.
const LINES: usize = 6;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            // Nobody is left to tell when stderr is gone, too.
            let _ = writeln!(io::stderr(), "demo: {text}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn run() -> Result<(), String> {
    let interrupt = Interrupt::install().map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut demo = Demo::start(Path::new("."), interrupt.flag())?;
        if !say(&demo.greeting()) || !say(&demo.first_sync().await?) {
            return Ok(());
        }
        let mut next_act = Instant::now() + PHONE;
        loop {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = interrupt.requested() => break,
            }
            let mut lines = Vec::new();
            if Instant::now() >= next_act {
                lines.extend(demo.phone_acts());
                next_act = Instant::now() + PHONE;
            }
            lines.extend(demo.step().await);
            if !lines.is_empty() && !say(&(lines.join("\n") + "\n")) {
                return Ok(());
            }
        }
        say(&farewell());
        Ok(())
    })
}

/// Prints; false when nobody reads any more.
fn say(text: &str) -> bool {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}

fn farewell() -> String {
    format!(
        "\nThe server is gone; {MAIL} stays, as mail does. Clean up with: rm -r {MAIL}*\n\
         Your own mail next: README.md, \"Ten lines of config\".\n"
    )
}

/// A server, its mirror, and what was last seen of both.
pub(crate) struct Demo {
    pub(crate) server: Server,
    place: Place,
    settings: Settings,
    outside: Outside,
    phone: Phone,
    seen: ServerSight,
    holds: Vec<Hold>,
    /// What was complained about in the last run: said once, not each second.
    complaints: BTreeSet<String>,
}

impl Demo {
    /// Starts the server and takes the directories below `base`.
    pub(crate) fn start(base: &Path, stop: Arc<AtomicBool>) -> Result<Self, String> {
        let place = Place::take(base)?;
        let now = u32::try_from(now()).unwrap_or(1);
        let server = sample::server(now);
        let port = listen(&server).map_err(|e| format!("no port for the server: {e}"))?;
        let settings = place.settings(&place.account(port)?);
        Ok(Self {
            seen: ServerSight::of(&server),
            server,
            settings,
            place,
            outside: place::outside(stop),
            phone: Phone::default(),
            holds: Vec::new(),
            complaints: BTreeSet::new(),
        })
    }

    /// What this is.
    pub(crate) fn greeting(&self) -> String {
        let put_aside = match &self.place.put_aside {
            Some(name) => format!("The {MAIL} of the last demo was put aside: it is {name} now.\n"),
            None => String::new(),
        };
        format!(
            "mailtide demo: a mail server inside this program, and ./{MAIL}, its mirror on your \
             disk.\nNo account of yours is touched; nothing leaves this machine.\n{put_aside}\n"
        )
    }

    /// The first sync, and what to try then.
    pub(crate) async fn first_sync(&mut self) -> Result<String, String> {
        let started = Instant::now();
        let (report, result) = self.sync().await;
        result.map_err(|error| error.to_string())?;
        let (mailboxes, messages) = self.seen.counts();
        let took = started.elapsed();
        Ok(format!(
            "First sync: {} of {messages} messages in {mailboxes} mailboxes fetched in {}.{} s.\n\n{}",
            report.pulled,
            took.as_secs(),
            took.subsec_millis() / 100,
            things_to_try(self.settings.endpoint.port),
        ))
    }

    /// One run. Gives what to say about it: nothing when nothing happened.
    pub(crate) async fn step(&mut self) -> Vec<String> {
        let root = self.place.mail();
        let removed = !root.join(".mailtide").exists();
        let mut lines = self.news_of_server();
        let before = DiskSight::of(&root);
        let (report, result) = self.sync().await;
        lines.extend(self.news_of_server());
        let base = root.parent().unwrap_or(&root);
        let on_disk = DiskSight::of(&root).since(&before, base);
        if removed && result.is_ok() {
            lines.push(format!(
                "safe:    {MAIL} was gone as a whole. That is no wish to delete your mail: \
                 {} messages fetched again, none deleted.",
                report.pulled
            ));
        } else {
            lines.extend(labelled("disk:", on_disk));
        }
        lines.extend(self.complain(&report, result));
        lines.extend(self.news_of_holds());
        lines
    }

    /// What the other device does next, if it is not asleep.
    pub(crate) fn phone_acts(&mut self) -> Option<String> {
        let mut lines = self.news_of_server();
        lines.push(format!("{:9}{}", "phone:", self.phone.act(&self.server, now())?));
        // The phone has said it.
        self.seen = ServerSight::of(&self.server);
        Some(lines.join("\n"))
    }

    async fn sync(&self) -> (Report, Result<(), AccountError>) {
        let (settings, outside) = (self.settings.clone(), self.outside.clone());
        Box::pin(account::sync(settings, outside, Wish::default())).await
    }

    fn news_of_server(&mut self) -> Vec<String> {
        let now = ServerSight::of(&self.server);
        let lines = now.since(&self.seen);
        self.seen = now;
        labelled("server:", lines)
    }

    /// What the last run could not do, if it is not what the run before said.
    fn complain(&mut self, report: &Report, result: Result<(), AccountError>) -> Vec<String> {
        let mut complaints: BTreeSet<String> =
            report.skipped.iter().map(|skip| format!("{}: {}", skip.what, skip.why)).collect();
        match result {
            // Somebody tries the command line; the next run is a second away.
            Ok(()) | Err(AccountError::Local(LocalError::Locked { .. })) => {}
            Err(error) => _ = complaints.insert(error.to_string()),
        }
        let shown = |text: &String| mailtide::reconcile::types::printable(text);
        let new = complaints.difference(&self.complaints).map(shown).collect();
        self.complaints = complaints;
        labelled("problem:", new)
    }

    fn news_of_holds(&mut self) -> Vec<String> {
        let Some(holds) = holds(&self.place.store()) else { return Vec::new() };
        let mut lines = Vec::new();
        for hold in holds.iter().filter(|hold| hold.state == HoldState::Pending) {
            if !self.holds.iter().any(|known| known.id == hold.id) {
                let mailbox = mailtide::reconcile::types::printable(&hold.mailbox_name);
                let (id, count, why) = (&hold.id, hold.rows.len(), &hold.why);
                lines.push(format!(
                    "held:    {count} messages of {mailbox}: {why}\n         \
                     let it pass:      {}\n         bring them back:  {}",
                    command(&format!("approve {id}")),
                    command(&format!("reject {id}")),
                ));
            }
        }
        for known in &self.holds {
            if !holds.iter().any(|hold| hold.id == known.id) {
                lines.push(format!("held:    {} is settled", known.id));
            }
        }
        self.holds = holds;
        lines
    }
}

/// Lines with who speaks in front; of many, the first.
fn labelled(label: &str, mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > LINES {
        let rest = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(format!("… and {rest} more"));
    }
    lines.iter().map(|line| format!("{label:9}{line}")).collect()
}

fn holds(store: &Path) -> Option<Vec<Hold>> {
    let store = Store::open_existing_readonly(store).ok()??;
    store.holds().ok()
}

/// Serves on a thread of its own: it answers others while a run waits for the disk.
fn listen(server: &Server) -> io::Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(PORT).or_else(|_| bind(0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = server.clone();
    std::thread::Builder::new().name("server".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                // Else each answer may wait 40 ms for an acknowledgement.
                let _ = stream.set_nodelay(true);
                tokio::spawn(server.serve(stream));
            }
        });
    })?;
    Ok(port)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(0)
}

/// How the real command is called on the demo.
fn command(what: &str) -> String {
    format!("cargo run -r -- --config {CONFIG} {what}")
}

fn things_to_try(port: u16) -> String {
    let status = command("status");
    format!(
        r#"Read it with any program for Maildirs (neomutt -f {MAIL}/INBOX), or just ls {MAIL}.
Now change something, in another terminal, in this directory:

  file one      mv "$(grep -rl 'Subject: Lunch' {MAIL}/INBOX)" {MAIL}/Archive/2024/cur/
  flag one      f="$(grep -rl 'Subject: Your bill' {MAIL}/INBOX)"; mv "$f" "${{f}}F"
  delete one    rm "$(grep -rl 'Subject: Cheap' {MAIL}/INBOX)"
  write one     printf 'Subject: Hello\n\nWritten on disk.\n' > {MAIL}/Drafts/cur/hello:2,D
  a mailbox     mkdir -p {MAIL}/Recipes/cur {MAIL}/Recipes/new {MAIL}/Recipes/tmp
  a slip        rm {MAIL}/'{tides}'/cur/*
  a disaster    rm -r {MAIL}

From the other side, as another device would (or set up a mail program: 127.0.0.1, port {port},
no TLS, user demo, password demo):

  read one      curl -u demo:demo 'imap://127.0.0.1:{port}/INBOX;UID=3'
  flag one      curl -u demo:demo imap://127.0.0.1:{port}/INBOX -X 'UID STORE 3 +FLAGS (\Flagged)'
  file one      curl -u demo:demo imap://127.0.0.1:{port}/INBOX -X 'UID MOVE 2 Archive/2024'

How it stands, says the real command (cargo builds it first):

  status        {status}

There is also a phone, in other hands, that does something every {phone} s. What arrives is
printed below: "server:" is what others would see, "disk:" is what became of your files.
Ctrl-C ends it; rm -r {MAIL}* leaves nothing ({STATE} is what mailtide remembers).

"#,
        tides = sample::TIDES,
        phone = PHONE.as_secs(),
    )
}
