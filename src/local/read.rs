//! Reading a message: to know its content, and to send it. The file may be written to or
//! renamed by another program at any moment; what was read is only believed if it was not.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::reconcile::types::{ContentId, FileStamp, MailboxName};

use super::content::{Digest, Summary, WireForm};
use super::error::{At, LocalError, Scope, if_there};
use super::fs::{FsFile, Kind, Meta};
use super::root::Root;
use super::scan::Listed;

/// Read at once (octets).
pub(super) const CHUNK: usize = 64 * 1024;

/// What a look into a file gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Examined {
    /// A message, unchanged while it was read.
    Message {
        /// Its content, header and size on the wire.
        summary: Summary,
        /// The file that was read.
        stamp: FileStamp,
        /// Its modification time in seconds since 1970: the date of a first push.
        mtime_s: i64,
        /// Its change time in nanoseconds since 1970: past its modification time, it was
        /// renamed here or finished by more than a write.
        ctime_ns: i64,
    },
    /// It has no bytes (yet).
    Empty,
    /// It is larger than what is read at all; [`Root::examine`] reads any.
    Large {
        /// The file.
        stamp: FileStamp,
    },
    /// It changed while it was read.
    Changing,
    /// It is not there under that name.
    Gone,
    /// A link, a directory, a pipe: not a message.
    NotRegular,
}

/// The bytes of a push, exactly as many as were announced.
#[derive(Debug)]
pub struct PushSource {
    path: PathBuf,
    file: Box<dyn FsFile>,
    before: Meta,
    form: WireForm,
    digest: Digest,
    chunk: Vec<u8>,
    /// Bytes of f not yet given out.
    ready: Vec<u8>,
    given: usize,
    offset: u64,
    left: u64,
}

impl Root {
    /// Reads a message to its end and tells its content.
    ///
    /// # Errors
    /// What cannot be read is an error of that message.
    pub fn examine(&self, mailbox: &MailboxName, listed: &Listed) -> Result<Examined, LocalError> {
        self.examine_at(self.path_of(mailbox, &listed.name))
    }

    /// The same by the path of a file, which may lie in no mailbox.
    pub(super) fn examine_at(&self, path: PathBuf) -> Result<Examined, LocalError> {
        let opened = if_there(self.fs.open(&path));
        if opened.as_ref().is_err_and(is_link) {
            return Ok(Examined::NotRegular);
        }
        let Some(file) = opened.at(Scope::Message, "open", &path)? else {
            return Ok(Examined::Gone);
        };
        // A reader's rename moves the change time too; a second reading tells the two apart.
        for _ in 0..2 {
            let before = file.meta().at(Scope::Message, "look at", &path)?;
            if before.kind != Kind::File {
                return Ok(Examined::NotRegular);
            }
            if before.stamp.size == 0 {
                return Ok(Examined::Empty);
            }
            let summary = summarise(file.as_ref()).at(Scope::Message, "read", &path)?;
            let after = file.meta().at(Scope::Message, "look at", &path)?;
            if after == before {
                let stamp = before.stamp;
                let mtime_s = stamp.mtime_ns.div_euclid(1_000_000_000);
                let ctime_ns = before.ctime_ns;
                return Ok(Examined::Message { summary, stamp, mtime_s, ctime_ns });
            }
            if after.stamp != before.stamp {
                break;
            }
        }
        Ok(Examined::Changing)
    }

    /// Opens a message for sending: `wire_size` octets, as [`Root::examine`] told.
    ///
    /// # Errors
    /// [`LocalError::Changed`] when the file is no longer the one with that stamp.
    pub fn open_for_push(
        &self,
        mailbox: &MailboxName,
        listed: &Listed,
        expect: FileStamp,
        wire_size: u64,
    ) -> Result<PushSource, LocalError> {
        let path = self.path_of(mailbox, &listed.name);
        let file = self.fs.open(&path).at(Scope::Message, "open", &path)?;
        let before = file.meta().at(Scope::Message, "look at", &path)?;
        if before.kind != Kind::File || before.stamp != expect {
            return Err(LocalError::Changed { path });
        }
        Ok(PushSource {
            path,
            file,
            before,
            form: WireForm::default(),
            digest: Digest::default(),
            chunk: vec![0; CHUNK],
            ready: Vec::new(),
            given: 0,
            offset: 0,
            left: wire_size,
        })
    }
}

impl PushSource {
    /// The next octets of f(file); 0 when all that were announced have been given.
    ///
    /// # Errors
    /// [`LocalError::Changed`] when the file became shorter: the literal cannot be completed.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, LocalError> {
        while self.given == self.ready.len() && self.left > 0 {
            self.refill()?;
        }
        let ready = &self.ready[self.given..];
        let n = ready.len().min(buf.len());
        buf[..n].copy_from_slice(&ready[..n]);
        self.given += n;
        Ok(n)
    }

    fn refill(&mut self) -> Result<(), LocalError> {
        let read = self.file.read_at(&mut self.chunk, self.offset);
        let n = read.at(Scope::Message, "read", &self.path)?;
        if n == 0 {
            return Err(LocalError::Changed { path: self.path.clone() });
        }
        self.offset += n as u64;
        let wire = self.form.next(&self.chunk[..n]);
        // A file that grew gives no more than was announced.
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        let wire = &wire[..wire.len().min(room)];
        self.left -= wire.len() as u64;
        self.digest.update(wire);
        self.ready.clear();
        self.ready.extend_from_slice(wire);
        self.given = 0;
        Ok(())
    }

    /// After the last octet: what was sent, and whether the file is still the one that was
    /// opened. What was sent is that message if its content id is the known one, whatever
    /// happened to the file since.
    ///
    /// # Errors
    /// As the system says.
    pub fn finish(self) -> Result<Pushed, LocalError> {
        let after = self.file.meta().at(Scope::Message, "look at", &self.path)?;
        let whole = self.left == 0 && self.given == self.ready.len();
        let unchanged = whole && after.stamp == self.before.stamp;
        Ok(Pushed { content: self.digest.finish().content, unchanged })
    }
}

/// What a push sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// Content id of the octets that were given out.
    pub content: ContentId,
    /// Whether all were given out and the file has the same stamp as before.
    pub unchanged: bool,
}

/// Reads a file to its end.
pub(super) fn summarise(file: &dyn FsFile) -> io::Result<Summary> {
    let mut digest = Digest::default();
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let n = file.read_at(&mut chunk, offset)?;
        if n == 0 {
            return Ok(digest.finish());
        }
        digest.update(&chunk[..n]);
        offset += n as u64;
    }
}

/// Whether opening failed because the name is a symbolic link.
fn is_link(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}
