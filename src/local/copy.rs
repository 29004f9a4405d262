//! A copy within the root: a delivery whose bytes are on the disk already.

use std::io;
use std::path::Path;

use crate::reconcile::types::{Local, MailboxName, Stem};

use super::content::{Digest, Summary};
use super::deliver::Delivered;
use super::error::{At, LocalError, Scope, if_there};
use super::fs::Kind;
use super::name::FileName;
use super::read::{CHUNK, summarise};
use super::root::Root;

/// The outcome of a local copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// The copy lies in `tmp/` of the target, to be made durable and placed like any delivery.
    Copied(Delivered),
    /// The source is not there under the name that it had.
    Gone,
    /// The source is not the file that it was, or became another one meanwhile.
    Changed,
}

impl Root {
    /// Copies a message into `tmp/` of a mailbox, sharing its blocks where the disk can.
    /// `date_s` becomes the copy's modification time (seconds since 1970).
    ///
    /// # Errors
    /// As the system says.
    pub fn copy_to(
        &self,
        from: &MailboxName,
        source: &Local,
        to: &MailboxName,
        stem: &Stem,
        date_s: i64,
    ) -> Result<Copied, LocalError> {
        let source_name = FileName::of(source, self.options.separator);
        let path = self.path_of(from, &source_name);
        let tmp = self.tmp_path(to, stem);
        let before = if_there(self.fs.lstat(&path)).at(Scope::Message, "look at", &path)?;
        match before {
            None => return Ok(Copied::Gone),
            Some(meta) if meta.kind != Kind::File || meta.stamp != source.stamp => {
                return Ok(Copied::Changed);
            }
            Some(_) => {}
        }
        // A copy is made under a name that must be free, and makes sure that `tmp/` is there.
        drop(self.create_tmp(&tmp)?);
        self.fs.remove_file(&tmp).at(Scope::Message, "remove", &tmp)?;
        let copied = self.duplicate(&path, &tmp, date_s).at(Scope::Message, "copy", &path);
        let copied = copied.and_then(|copied| {
            let after = if_there(self.fs.lstat(&path)).at(Scope::Message, "look at", &path)?;
            // A rename of the source meanwhile does no harm; a write does.
            Ok(copied.filter(|_| after.is_none_or(|meta| meta.stamp == source.stamp)))
        });
        match copied {
            Ok(Some((summary, file_size))) => Ok(Copied::Copied(Delivered {
                mailbox: to.clone(),
                stem: stem.clone(),
                summary,
                file_size,
                path: tmp,
            })),
            other => {
                // Nobody refers to it yet; what cannot be removed now is cleaned later.
                let _ = self.fs.remove_file(&tmp);
                other.map(|_| Copied::Changed)
            }
        }
    }

    /// A second file with the bytes of the first. `None` when the first left meanwhile.
    fn duplicate(&self, from: &Path, to: &Path, date_s: i64) -> io::Result<Option<(Summary, u64)>> {
        let Some(source) = if_there(self.fs.open(from))? else { return Ok(None) };
        // A hard link has the source's time, and setting it would be a change of the source.
        if self.options.hard_links && self.fs.hard_link(from, to).is_ok() {
            let size = source.meta()?.stamp.size;
            return Ok(Some((summarise(source.as_ref())?, size)));
        }
        let Some(shared) = if_there(self.fs.reflink(from, to))? else { return Ok(None) };
        let mut digest = Digest::default();
        let mut target = if shared { self.fs.open(to)? } else { self.fs.create_new(to)? };
        let mut chunk = vec![0; CHUNK];
        let mut offset = 0;
        loop {
            let n = if shared { &target } else { &source }.read_at(&mut chunk, offset)?;
            if n == 0 {
                break;
            }
            digest.update(&chunk[..n]);
            if !shared {
                target.write_at(&chunk[..n], offset)?;
            }
            offset += n as u64;
        }
        target.set_mtime(date_s)?;
        Ok(Some((digest.finish(), offset)))
    }
}
