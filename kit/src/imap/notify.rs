//! NOTIFY (RFC 5465) for personal mailboxes: what it is asked for is told of all of them, at
//! once, while the client has no command under way.

use std::collections::BTreeMap;

use super::commands::{Answer, Refusal};
use super::respond::{self, Out};
use super::session::Link;
use super::state::State;
use super::wire::{Gone, LineError};

/// What was told of each mailbox.
pub(super) type Told = BTreeMap<String, MailboxStatus>;

/// What shows that a mailbox changed: its identity, UIDNEXT, messages and mod-sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MailboxStatus {
    identity: u64,
    uid_next: u32,
    messages: usize,
    highest_modseq: u64,
}

fn gates(state: &State) -> Told {
    let selectable = state.mailboxes.iter().filter(|(_, mailbox)| !mailbox.noselect);
    let gate = |mailbox: &super::mailbox::Mailbox| MailboxStatus {
        identity: mailbox.identity,
        uid_next: mailbox.uid_next,
        messages: mailbox.visible(None).count(),
        highest_modseq: mailbox.highest_modseq,
    };
    selectable.map(|(name, mailbox)| (name.clone(), gate(mailbox))).collect()
}

impl Link {
    /// NOTIFY SET and NOTIFY NONE. Which events are asked for is not looked at.
    pub(super) fn notify(&mut self, arguments: &str) -> Answer {
        let inner = self.shared.lock();
        let arguments = arguments.trim().to_ascii_uppercase();
        if !inner.profile.notify || !self.me.signed_in {
            return Err(Refusal::Bad("Unknown command.".to_owned()));
        }
        self.me.told = match arguments.as_str() {
            "NONE" => None,
            set if set.starts_with("SET ") => Some(gates(&inner.state)),
            _ => return Err(Refusal::Bad("Invalid arguments.".to_owned())),
        };
        Ok("NOTIFY completed.".to_owned())
    }

    /// The next line of the client; meanwhile it is told of changes if it asked for that.
    pub(super) async fn next_line(&mut self, max: usize) -> Result<Vec<u8>, LineError> {
        if self.me.told.is_none() {
            return self.wire.line(max).await;
        }
        let mut changed = self.shared.changed.subscribe();
        loop {
            self.tell_all().await.map_err(|_| LineError::Gone)?;
            tokio::select! {
                line = self.wire.line(max) => return line,
                _ = changed.changed() => {}
            }
        }
    }

    async fn tell_all(&mut self) -> Result<(), Gone> {
        let mut out = Out::default();
        {
            let inner = self.shared.lock();
            let now = gates(&inner.state);
            let before = self.me.told.replace(now.clone()).unwrap_or_default();
            let modseq = inner.profile.has_modseq();
            for (name, gate) in now.iter().filter(|(name, gate)| before.get(*name) != Some(gate)) {
                let shown = respond::mailbox(name);
                if !before.contains_key(name) {
                    out.line(format_args!("* LIST () \"{}\" {shown}", inner.profile.delimiter));
                }
                let MailboxStatus { uid_next, messages, highest_modseq, .. } = gate;
                let highest =
                    if modseq { format!(" HIGHESTMODSEQ {highest_modseq}") } else { String::new() };
                out.line(format_args!(
                    "* STATUS {shown} (MESSAGES {messages} UIDNEXT {uid_next}{highest})"
                ));
            }
            for gone in before.keys().filter(|name| !now.contains_key(*name)) {
                let shown = respond::mailbox(gone);
                let delimiter = inner.profile.delimiter;
                out.line(format_args!("* LIST (\\NonExistent) \"{delimiter}\" {shown}"));
            }
        }
        self.wire.send(&out).await
    }
}
