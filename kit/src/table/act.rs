//! What others do to an account: the user in a mail reader, a phone, another program.

use mailtide::reconcile::types::{Flags, MailboxName};

use super::model::{Mail, Model, Side};

/// One thing that somebody does. A message is named by its body; the first one is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A message arrives or is filed.
    Add(Side, MailboxName, Mail),
    /// A message is deleted for good.
    Delete(Side, MailboxName, char),
    /// A message is moved to another mailbox of its side.
    Move(Side, MailboxName, char, MailboxName),
    /// A message gets exactly these flags.
    Flag(Side, MailboxName, char, Flags),
    /// A file gets another name.
    Rename(MailboxName, char),
    /// A file is edited in place.
    Edit(MailboxName, char, char),
    /// The server numbers a mailbox anew.
    Renumber(MailboxName),
    /// A mailbox gets another name: on one side, and then on the other, too.
    RenameMailbox(MailboxName, MailboxName),
}

impl Model {
    /// Lets somebody do something; where there is nothing to do it to, nothing happens.
    pub fn act(&mut self, act: &Act) {
        match act {
            Act::Add(side, name, mail) => self.add(*side, name, mail.clone(), None),
            Act::Delete(side, name, body) => {
                self.take(*side, name, *body);
            }
            Act::Move(side, name, body, to) => {
                if let Some((mail, stem)) = self.take(*side, name, *body) {
                    self.add(*side, to, mail, Some(stem));
                }
            }
            Act::Flag(side, name, body, flags) => {
                if let Some(mail) = self.find(*side, name, *body) {
                    mail.flags.clone_from(flags);
                }
            }
            Act::Rename(name, body) => {
                if let Some((mail, _)) = self.take(Side::Local, name, *body) {
                    self.add(Side::Local, name, mail, None);
                }
            }
            Act::Edit(name, body, now) => {
                if let Some(mail) = self.find(Side::Local, name, *body) {
                    mail.body = *now;
                }
            }
            Act::RenameMailbox(from, to) => {
                let (folder, files) = (self.server.remove(from), self.disk.remove(from));
                self.server.extend(folder.map(|folder| (to.clone(), folder)));
                self.disk.extend(files.map(|files| (to.clone(), files)));
                for mailbox in self.store.mailboxes.values_mut().filter(|m| m.name == *from) {
                    mailbox.name.clone_from(to);
                }
            }
            Act::Renumber(name) => {
                if let Some(folder) = self.server.get_mut(name) {
                    folder.uid_validity += 1;
                    folder.uid_next = 1;
                    for mail in std::mem::take(&mut folder.mail).into_values() {
                        folder.add(mail);
                    }
                }
            }
        }
    }

    fn add(&mut self, side: Side, name: &MailboxName, mut mail: Mail, stem: Option<String>) {
        match side {
            Side::Local => {
                let stem = stem.unwrap_or_else(|| self.new_stem());
                self.disk.entry(name.clone()).or_default().insert(stem, mail);
            }
            Side::Remote => {
                if mail.object == 0 {
                    mail.object = self.new_object();
                }
                self.server.entry(name.clone()).or_default().add(mail);
            }
        }
    }

    fn take(&mut self, side: Side, name: &MailboxName, body: char) -> Option<(Mail, String)> {
        match side {
            Side::Local => {
                let files = self.disk.get_mut(name)?;
                let stem = files.iter().find(|(_, mail)| mail.body == body)?.0.clone();
                files.remove(&stem).map(|mail| (mail, stem))
            }
            Side::Remote => {
                let folder = self.server.get_mut(name)?;
                let uid = *folder.mail.iter().find(|(_, mail)| mail.body == body)?.0;
                folder.mail.remove(&uid).map(|mail| (mail, String::new()))
            }
        }
    }

    fn find(&mut self, side: Side, name: &MailboxName, body: char) -> Option<&mut Mail> {
        match side {
            Side::Local => self.disk.get_mut(name)?.values_mut().find(|mail| mail.body == body),
            Side::Remote => {
                self.server.get_mut(name)?.mail.values_mut().find(|mail| mail.body == body)
            }
        }
    }
}
