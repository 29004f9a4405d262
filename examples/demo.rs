//! mailtide at work, with a mail server of its own: `cargo run --release --example demo`.
//!
//! A simulated IMAP server in this process holds some friendly mail. `./demo-mail` is kept in
//! step with it, both ways, by the daemon of `mailtide run`, until Ctrl-C; what changes is printed.

#[path = "demo/daemon.rs"]
mod daemon;
#[path = "demo/phone.rs"]
mod phone;
#[path = "demo/place.rs"]
mod place;
#[path = "demo/sight.rs"]
mod sight;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kit::imap::Server;
use kit::sample;
use mailtide::cli::interrupt::Interrupt;
use mailtide::daemon::state::State;
use mailtide::reconcile::types::printable;
use mailtide::state::{Hold, HoldState, Store};

use self::daemon::Running;
use self::phone::Phone;
use self::place::{CONFIG, MAIL, Place, STATE};
use self::sight::{DiskSight, ServerSight};

/// The port of the server, if it is free; else any other.
const PORT: u16 = 14_143;
/// Time between two looks at both sides: the daemon does not wait for them.
const LOOK: Duration = Duration::from_millis(100);
/// Time between two things that the phone does.
const PHONE: Duration = Duration::from_secs(20);
/// How long the first sync may take.
const FIRST: Duration = Duration::from_secs(60);
/// Lines that one look prints about one side; the rest is counted.
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
    let mut demo = Demo::start(Path::new("."))?;
    if !say(&demo.greeting()) || !say(&demo.first_sync()?) {
        return Ok(());
    }
    runtime.block_on(async {
        let mut next_act = Instant::now() + PHONE;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = interrupt.requested() => break,
            }
            let mut lines = demo.look();
            if Instant::now() >= next_act {
                lines.extend(demo.phone_acts());
                next_act = Instant::now() + PHONE;
            }
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
    port: u16,
    phone: Phone,
    on_server: ServerSight,
    on_disk: DiskSight,
    /// The Maildir was not there at the last look.
    gone: bool,
    holds: Vec<Hold>,
    /// What the daemon complained about last: said once, not each time.
    complaint: Option<String>,
    /// Ended before its place is given up.
    daemon: Running,
    place: Place,
}

impl Demo {
    /// Starts the server and the daemon, and takes the directories below `base`.
    pub(crate) fn start(base: &Path) -> Result<Self, String> {
        let place = Place::take(base)?;
        let now = u32::try_from(now()).unwrap_or(1);
        let server = sample::server(now);
        let port = listen(&server).map_err(|e| format!("no port for the server: {e}"))?;
        let daemon = Running::start(place.config(port)?)?;
        Ok(Self {
            on_server: ServerSight::of(&server),
            on_disk: DiskSight::default(),
            server,
            port,
            phone: Phone::default(),
            gone: false,
            holds: Vec::new(),
            complaint: None,
            daemon,
            place,
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

    /// Waits for the first sync; says what to try then.
    pub(crate) fn first_sync(&mut self) -> Result<String, String> {
        let started = Instant::now();
        let view = self.daemon.settled(FIRST);
        if view.state != State::InStep {
            return Err(format!("{}: {}", view.state.words(), view.why.unwrap_or_default()));
        }
        let took = started.elapsed();
        self.on_disk = DiskSight::of(&self.place.mail());
        let (mailboxes, messages) = self.on_server.counts();
        Ok(format!(
            "First sync: {} of {messages} messages in {mailboxes} mailboxes fetched in {}.{} s.\n\n{}",
            self.on_disk.count(),
            took.as_secs(),
            took.subsec_millis() / 100,
            things_to_try(self.port),
        ))
    }

    /// What is different on either side since the last look: nothing when nothing happened.
    pub(crate) fn look(&mut self) -> Vec<String> {
        let mut lines = self.news_of_disk();
        lines.extend(self.news_of_server());
        lines.extend(self.complaints());
        lines.extend(self.news_of_holds());
        lines
    }

    /// What the other device does next, if it is not asleep.
    pub(crate) fn phone_acts(&mut self) -> Option<String> {
        let mut lines = self.news_of_server();
        lines.push(format!("{:9}{}", "phone:", self.phone.act(&self.server, now())?));
        // The phone has said it.
        self.on_server = ServerSight::of(&self.server);
        Some(lines.join("\n"))
    }

    fn news_of_server(&mut self) -> Vec<String> {
        let now = ServerSight::of(&self.server);
        let lines = now.since(&self.on_server);
        self.on_server = now;
        labelled("server:", lines)
    }

    fn news_of_disk(&mut self) -> Vec<String> {
        let root = self.place.mail();
        let now = DiskSight::of(&root);
        if !root.join(".mailtide").exists() {
            self.gone = true;
            return Vec::new();
        }
        if self.gone {
            let (_, messages) = self.on_server.counts();
            if now.count() < messages {
                // They are still on their way.
                return Vec::new();
            }
            self.gone = false;
            let line = format!(
                "safe:    {MAIL} was gone as a whole. That is no wish to delete your mail: \
                 {} messages fetched again, none deleted.",
                now.count()
            );
            self.on_disk = now;
            return vec![line];
        }
        let lines = now.since(&self.on_disk, root.parent().unwrap_or(&root));
        self.on_disk = now;
        labelled("disk:", lines)
    }

    /// What the daemon complains about, if it is not what it said before.
    fn complaints(&mut self) -> Vec<String> {
        let view = self.daemon.view();
        let now = match view.state {
            State::BackingOff | State::SignIn | State::InStep => view.why,
            _ => self.complaint.clone(),
        };
        let new = now.clone().filter(|_| now != self.complaint);
        self.complaint = now;
        labelled("problem:", new.iter().map(|text| printable(text)).collect())
    }

    fn news_of_holds(&mut self) -> Vec<String> {
        let Some(holds) = holds(&self.place.store()) else { return Vec::new() };
        let mut lines = Vec::new();
        for hold in holds.iter().filter(|hold| hold.state == HoldState::Pending) {
            if !self.holds.iter().any(|known| known.id == hold.id) {
                let mailbox = printable(&hold.mailbox_name);
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
printed below: "disk:" is what happens to your files, "server:" is what others see.
Ctrl-C ends it; rm -r {MAIL}* leaves nothing ({STATE} is what mailtide remembers).

"#,
        tides = sample::TIDES,
        phone = PHONE.as_secs(),
    )
}
