//! Selecting a mailbox that a plan was made for.

use crate::reconcile::types::Mailbox;
use crate::remote::RemoteError;
use crate::remote::imap::{Select, Session, Untagged};

/// Selects a mailbox for changes, if it is still the one that was planned for. Gives why it may not
/// be worked with, if so, and an error for what ends the session.
pub(super) async fn choose(
    session: &mut Session,
    mailbox: &Mailbox,
) -> Result<Option<String>, RemoteError> {
    if session.selected() == Some(&mailbox.name) {
        return Ok(None);
    }
    let mut ignore = |_: Untagged| {};
    let selected = match session.select(&mailbox.name, Select::ReadWrite, None, &mut ignore).await {
        Ok(selected) => selected,
        Err(error) if error.ends_session() => return Err(error),
        Err(error) => return Ok(Some(error.to_string())),
    };
    if mailbox.cursor.map(|cursor| cursor.uid_validity) == Some(selected.gate.uid_validity) {
        return Ok(None);
    }
    session.unselect().await?;
    let why = "its UIDVALIDITY changed; nothing is changed there until it is read again";
    Ok(Some(why.to_owned()))
}
