//! What the commands do to the maildrop.

use std::collections::BTreeSet;

use super::fault::Fault;
use super::session::{Held, Next, Session};
use super::wire::Gone;
use crate::imap::fault::Active;

impl Session {
    /// Carries out a command.
    pub(super) async fn carry_out(
        &mut self,
        verb: &str,
        arguments: &str,
        faults: &Active<Fault>,
    ) -> Result<Next, Gone> {
        let known = {
            let profile = &self.shared.lock().profile;
            match verb {
                "CAPA" => profile.capa,
                "UIDL" => profile.uidl,
                "TOP" => profile.top,
                _ => true,
            }
        };
        if !known {
            self.refuse("", "unknown command");
            return Ok(Next::Command);
        }
        match verb {
            "CAPA" => {
                let lines = self.shared.lock().profile.capabilities(self.encrypted);
                self.say("+OK");
                lines.iter().for_each(|line| self.say(line));
                self.say(".");
            }
            "QUIT" => {
                self.update(faults);
                self.say("+OK goodbye");
                return Ok(Next::End);
            }
            _ if self.maildrop.is_none() => return self.before(verb, arguments).await,
            "NOOP" => self.say("+OK"),
            "STAT" => {
                let here = self.here();
                let octets: usize = here.iter().map(|(_, held)| held.message.body.len()).sum();
                let line = format!("+OK {} {octets}", here.len());
                self.say(&line);
            }
            "RSET" => {
                self.maildrop.iter_mut().flatten().for_each(|held| held.deleted = false);
                self.say("+OK");
            }
            "RETR" if arguments.parse().is_ok_and(|n| faults.is(&Fault::CutAtMessage(n))) => {
                return Ok(Next::End);
            }
            "TOP"
                if arguments
                    .split(' ')
                    .next()
                    .and_then(|n| n.parse().ok())
                    .is_some_and(|n| faults.is(&Fault::CutAtMessage(n))) =>
            {
                return Ok(Next::End);
            }
            "UIDL" | "LIST" => self.listing(verb, arguments, faults),
            "RETR" | "TOP" | "DELE" => self.message(verb, arguments, faults),
            _ => self.refuse("", "unknown command"),
        }
        Ok(Next::Command)
    }

    /// What is not deleted, with its numbers.
    fn here(&self) -> Vec<(u32, &Held)> {
        let all = (1..).zip(self.maildrop.iter().flatten());
        all.filter(|(_, held)| !held.deleted).collect()
    }

    fn listing(&mut self, verb: &str, arguments: &str, faults: &Active<Fault>) {
        let lie = faults.find(|fault| match fault {
            Fault::SizeLie(octets) => Some(*octets),
            _ => None,
        });
        let line = |(number, held): &(u32, &Held)| {
            let told = if verb == "UIDL" {
                held.message.uidl.clone().unwrap_or_default()
            } else {
                let size = held.message.body.len() as u64;
                size.saturating_add_signed(lie.unwrap_or(0)).to_string()
            };
            (*number, format!("{number} {told}").trim_end().to_owned())
        };
        let mut lines: Vec<(u32, String)> = self.here().iter().map(line).collect();
        if !arguments.is_empty() {
            let wanted = arguments.parse().ok();
            return match lines.into_iter().find(|(number, _)| Some(*number) == wanted) {
                Some((_, line)) => self.say(&format!("+OK {line}")),
                None => self.refuse("", "no such message"),
            };
        }
        if faults.is(&Fault::Disorder) {
            lines.reverse();
            lines
                .iter_mut()
                .for_each(|(_, line)| *line = format!("  {} ", line.replace(' ', "   ")));
        }
        self.say("+OK");
        let odd = faults.is(&Fault::OddLines);
        for (_, line) in lines {
            if odd {
                for odd in ["", "x y", "-1 2", "99999999999 z", "\u{7f}"] {
                    self.say(odd);
                }
            }
            self.say(&line);
        }
        self.say(".");
    }

    fn message(&mut self, verb: &str, arguments: &str, faults: &Active<Fault>) {
        let mut words = arguments.split_ascii_whitespace();
        let number: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let kept = faults.is(&Fault::RefuseMessage(number));
        let at = (number as usize).wrapping_sub(1);
        let held = self.maildrop.as_mut().and_then(|all| all.get_mut(at));
        let Some(held) = held.filter(|held| !held.deleted && !kept) else {
            return self.refuse("", "no such message");
        };
        match verb {
            "DELE" => {
                held.deleted = true;
                self.say("+OK");
            }
            "TOP" => {
                let lines = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                let whole = faults.is(&Fault::TopIsWhole);
                let mut top = if whole {
                    held.message.body.to_vec()
                } else {
                    top(&held.message.body, lines).to_vec()
                };
                if faults.is(&Fault::AddHeader) {
                    let counters = &mut self.shared.lock().log.counters;
                    counters.bodies_sent += 1;
                    let add = format!("X-Retrieved: {}\r\n", counters.bodies_sent);
                    top.splice(0..0, add.into_bytes());
                }
                self.body(&top, faults);
            }
            _ => {
                held.retrieved = true;
                let mut body = held.message.body.to_vec();
                let cut = faults.find(|fault| match fault {
                    Fault::CutBody(of, octets) if *of == number => Some(*octets),
                    _ => None,
                });
                body.truncate(cut.unwrap_or(body.len()));
                let octets = self.retrieved(&body, faults);
                self.body(&octets, faults);
            }
        }
    }

    /// What RETR sends of a message.
    fn retrieved(&self, body: &[u8], faults: &Active<Fault>) -> Vec<u8> {
        let counters = &mut self.shared.lock().log.counters;
        counters.bodies_sent += 1;
        let mut octets = Vec::new();
        if faults.is(&Fault::AddHeader) {
            octets = format!("X-Retrieved: {}\r\n", counters.bodies_sent).into_bytes();
        }
        octets.extend_from_slice(body);
        counters.body_octets_sent += octets.len() as u64;
        octets
    }

    /// Adds a body to the answer, stuffed; its last line gets an end if it has none.
    fn body(&mut self, octets: &[u8], faults: &Active<Fault>) {
        self.say(&format!("+OK {} octets", octets.len()));
        let end = self.line_end.as_bytes();
        let mut at_start = true;
        let stuffs = !faults.is(&Fault::Unstuffed);
        for line in octets.split_inclusive(|byte| *byte == b'\n') {
            if stuffs && at_start && line.starts_with(b".") {
                self.out.push(b'.');
            }
            self.out.extend_from_slice(line);
            at_start = self.out.ends_with(end);
        }
        if !at_start {
            self.out.extend_from_slice(end);
        }
        self.say(".");
    }

    /// The UPDATE state (RFC 1939 §6).
    fn update(&mut self, faults: &Active<Fault>) {
        let Some(maildrop) = self.maildrop.take() else { return };
        let kept = faults.is(&Fault::KeepDeleted);
        let of = |which: fn(&Held) -> bool| -> BTreeSet<u64> {
            maildrop.iter().filter(|held| which(held)).map(|held| held.message.id).collect()
        };
        let (deleted, retrieved) = (of(|held| held.deleted), of(|held| held.retrieved));
        let mut inner = self.shared.lock();
        inner.messages.retain(|message| kept || !deleted.contains(&message.id));
        for message in &mut inner.messages {
            message.popped |= retrieved.contains(&message.id);
        }
    }
}

/// The header with the empty line behind it, and so many lines of the body.
fn top(body: &[u8], lines: usize) -> &[u8] {
    let (mut at, mut left) = (0, None);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        if left == Some(0) {
            break;
        }
        at += line.len();
        left = match left {
            Some(lines) => Some(lines - 1),
            None => line.trim_ascii().is_empty().then_some(lines),
        };
    }
    &body[..at]
}
