//! The other device: it does five things, then it sleeps.

use kit::imap::{Msg, Server};
use kit::sample;

/// A phone on which somebody reads the same mail.
#[derive(Debug, Default)]
pub(crate) struct Phone {
    done: usize,
}

impl Phone {
    /// Does the next thing and says what; none when it is asleep. `now` is in seconds since
    /// 1970. A message that somebody else has taken away is passed over.
    pub(crate) fn act(&mut self, server: &Server, now: i64) -> Option<String> {
        const ACTS: usize = 5;
        while self.done < ACTS {
            self.done += 1;
            let told = match self.done {
                1 => flag(server, "Photos from the lighthouse"),
                2 => receive(server, now),
                3 => file(server, "A book is due on Friday", "Archive/2024"),
                4 => file(server, "The ferry leaves at seven", "Boats"),
                _ => delete(server, "We miss you"),
            };
            if told.is_some() {
                return told;
            }
        }
        let last = self.done == ACTS;
        self.done = ACTS + 1;
        last.then(|| "goes to sleep; from now on it is quiet unless you make waves".to_owned())
    }
}

/// Where a message is, by its subject.
fn find(server: &Server, subject: &str) -> Option<(String, u32)> {
    let line = format!("\r\nSubject: {subject}\r\n");
    let is_it = |m: &Msg| memchr::memmem::find(&m.body, line.as_bytes()).is_some();
    server.mailboxes().into_iter().find_map(|mailbox| {
        let uid = server.list(&mailbox).iter().find(|m| is_it(m)).map(|m| m.uid)?;
        Some((mailbox, uid))
    })
}

fn flag(server: &Server, subject: &str) -> Option<String> {
    let (mailbox, uid) = find(server, subject)?;
    server.set_flags(&mailbox, uid, &["\\Seen", "\\Flagged"], &[]);
    Some(format!("read “{subject}” in {mailbox} and flagged it"))
}

fn receive(server: &Server, now: i64) -> Option<String> {
    let text = "Half past twelve it is. The soup is pea.";
    let body = sample::message("Ada Marsh <ada@example.org>", "Re: Lunch?", text, now);
    server.append("INBOX", &body, &[], Some(now));
    Some("rings: “Re: Lunch?” has arrived in INBOX".to_owned())
}

fn file(server: &Server, subject: &str, to: &str) -> Option<String> {
    let (mailbox, uid) = find(server, subject)?;
    let made = if server.create(to) { "the new mailbox " } else { "" };
    server.mv(&mailbox, uid, to)?;
    Some(format!("moved “{subject}” from {mailbox} to {made}{to}"))
}

fn delete(server: &Server, subject: &str) -> Option<String> {
    let (mailbox, uid) = find(server, subject)?;
    server.expunge(&mailbox, &[uid]);
    Some(format!("deleted “{subject}” from {mailbox} for good"))
}
