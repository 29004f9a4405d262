//! A message comes to the disk: written in `tmp/`, made durable, recorded, renamed into place.
//!
//! 1. [`Root::begin`], [`Delivery::write`], [`Delivery::finish`]: the body lies in `tmp/`.
//! 2. [`Root::sync_deliveries`]: a batch of them survives a power loss, and so does the fact
//!    that they lie there. Only then the caller records *placing*.
//! 3. [`Root::place`]: one rename that never overwrites.
//! 4. [`Root::sync_dirs`]: the places survive as well. Only then the caller records *paired*.
//!
//! Found *placing* after a crash: the file is in `tmp/` and is placed, or it is not, and then
//! it was placed and somebody acted on it since.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::reconcile::types::{FileStamp, MailboxName, Stem};

use super::content::{Digest, DiskForm, Form, Summary};
use super::error::{At, LocalError, Scope, if_there};
use super::fs::{Fs, FsFile, Kind};
use super::name::FileName;
use super::read::CHUNK;
use super::root::{Root, make_dirs};

/// Octets of a page of memory, on most machines.
const PAGE: usize = 4096;
/// Batches larger than this are made durable by one `syncfs`.
const SYNC_EACH_MAX: usize = 100;
/// So many `fsync` at a time: they share the journal's commit, where one after another would
/// wait for one each.
const SYNC_LANES: usize = 8;

/// A body on its way into `tmp/`. Dropped before [`Delivery::finish`], its file is removed.
#[derive(Debug)]
pub struct Delivery {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    mailbox: MailboxName,
    stem: Stem,
    file: Box<dyn FsFile>,
    form: DiskForm,
    digest: Digest,
    /// Disk bytes not yet written; at most two chunks.
    pending: Vec<u8>,
    written: u64,
    finished: bool,
}

/// A body that lies whole in `tmp/`; durable only after [`Root::sync_deliveries`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The mailbox that it is for.
    pub mailbox: MailboxName,
    /// The stem that it gets.
    pub stem: Stem,
    /// Its content, header and size on the wire.
    pub summary: Summary,
    /// Its length on disk, in bytes.
    pub file_size: u64,
    pub(super) path: PathBuf,
}

impl Delivered {
    /// Where it lies until it is placed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The outcome of placing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It has its name now.
    Placed(FileStamp),
    /// There is no such file in `tmp/`: it was placed before, or never finished.
    NotInTmp,
    /// The name is taken by another file; nothing was done.
    Exists,
}

impl Root {
    /// Begins a delivery under a stem that the caller has recorded. What an interrupted
    /// delivery of ours left under the same stem is replaced.
    ///
    /// # Errors
    /// As the system says.
    pub fn begin(&self, mailbox: &MailboxName, stem: &Stem) -> Result<Delivery, LocalError> {
        let path = self.tmp_path(mailbox, stem);
        let file = self.create_tmp(&path)?;
        Ok(Delivery {
            fs: Arc::clone(&self.fs),
            path,
            mailbox: mailbox.clone(),
            stem: stem.clone(),
            file,
            form: DiskForm::default(),
            digest: Digest::default(),
            pending: Vec::with_capacity(CHUNK),
            written: 0,
            finished: false,
        })
    }

    /// Makes a batch durable: bodies, times, and their names in `tmp/`.
    ///
    /// # Errors
    /// The first failure, naming its file. Then none of the batch counts as durable, and the
    /// bodies have to be written again: asking the system twice proves nothing.
    pub fn sync_deliveries(&self, batch: &[&Delivered]) -> Result<(), LocalError> {
        if self.sync_many(batch)? {
            return Ok(());
        }
        let files: Vec<&Path> = batch.iter().map(|d| &*d.path).collect();
        let dirs = dirs_of(batch);
        self.sync_lanes(&files, &|path| self.fs.sync_file(path).at(Scope::Message, "sync", path))?;
        self.sync_lanes(&dirs, &|dir| self.fs.sync_dir(dir).at(Scope::Mailbox, "sync", dir))
    }

    /// As [`Self::sync_deliveries`], by one call, if they are many enough for that and all
    /// lie on the file system of the root. Tells whether it was so.
    ///
    /// # Errors
    /// As for [`Self::sync_deliveries`].
    pub fn sync_many(&self, batch: &[&Delivered]) -> Result<bool, LocalError> {
        Ok(batch.len() > SYNC_EACH_MAX && self.sync_at_once(&dirs_of(batch))?)
    }

    /// One call for the whole file system, if all of `dirs` lie on that of the root.
    fn sync_at_once(&self, dirs: &[&Path]) -> Result<bool, LocalError> {
        let root = self.fs.stat(&self.path).at(Scope::Root, "look at", &self.path)?;
        for dir in dirs {
            if self.fs.lstat(dir).at(Scope::Mailbox, "look at", dir)?.dev != root.dev {
                return Ok(false);
            }
        }
        self.fs.sync_fs(&self.path).at(Scope::Root, "sync", &self.path)
    }

    fn sync_lanes(
        &self,
        paths: &[&Path],
        sync: &(dyn Fn(&Path) -> Result<(), LocalError> + Sync),
    ) -> Result<(), LocalError> {
        let next = AtomicUsize::new(0);
        let lane = || -> Result<(), LocalError> {
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                sync(path)?;
            }
            Ok(())
        };
        if paths.len() < 2 {
            return lane();
        }
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for _ in 1..SYNC_LANES.min(paths.len()) {
                // Without a thread the work is done by those that there are.
                threads.extend(std::thread::Builder::new().spawn_scoped(scope, lane));
            }
            let mut outcome = lane();
            for thread in threads {
                let died = |_| {
                    let error = io::Error::other("a thread died");
                    Err(error).at(Scope::Root, "sync", &self.path)
                };
                outcome = outcome.and(thread.join().unwrap_or_else(died));
            }
            outcome
        })
    }

    /// Gives a delivered body its name in `new/` (which has no flags, hence no info part) or
    /// in `cur/`.
    ///
    /// # Errors
    /// As the system says; then the body is still in `tmp/`.
    pub fn place(
        &self,
        mailbox: &MailboxName,
        stem: &Stem,
        in_new: bool,
        info: &str,
    ) -> Result<Placed, LocalError> {
        let tmp = self.tmp_path(mailbox, stem);
        let info = if in_new { "" } else { info };
        let name = FileName::build(stem, in_new, info, self.options.separator);
        let path = self.path_of(mailbox, &name);
        let before = if_there(self.fs.lstat(&tmp)).at(Scope::Message, "look at", &tmp)?;
        let Some(before) = before else { return Ok(Placed::NotInTmp) };
        match self.fs.rename_noreplace(&tmp, &path) {
            Ok(()) => Ok(Placed::Placed(before.stamp)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let there = if_there(self.fs.lstat(&path)).at(Scope::Message, "look at", &path)?;
                if there.is_none_or(|meta| meta.stamp.ino != before.stamp.ino) {
                    return Ok(Placed::Exists);
                }
                // Interrupted between the second name and the removal of the first, where the
                // system has no rename that does not replace.
                self.fs.remove_file(&tmp).at(Scope::Message, "remove", &tmp)?;
                Ok(Placed::Placed(before.stamp))
            }
            Err(e) => Err(e).at(Scope::Message, "place", &path),
        }
    }

    /// Makes the names in `new/` and `cur/` durable. `tmp/` need not be: a name that is still
    /// there after a crash, beside the placed one, is cleaned as ours.
    ///
    /// # Errors
    /// As the system says, or where the root is gone; then nothing that was placed counts as
    /// durable.
    pub fn sync_dirs(&self, mailbox: &MailboxName) -> Result<(), LocalError> {
        let dir = self.dir_of(mailbox);
        for sub in ["new", "cur"] {
            let path = dir.join(sub);
            self.fs.sync_dir(&path).at(Scope::Mailbox, "sync", &path)?;
        }
        self.check_there()
    }

    /// Whether a delivery lies in `tmp/` under this stem.
    ///
    /// # Errors
    /// As the system says: not knowing is not "no".
    pub fn tmp_exists(&self, mailbox: &MailboxName, stem: &Stem) -> Result<bool, LocalError> {
        let path = self.tmp_path(mailbox, stem);
        let meta = if_there(self.fs.lstat(&path)).at(Scope::Message, "look at", &path)?;
        Ok(meta.is_some())
    }

    /// Removes a delivery of ours from `tmp/`, if it is there.
    ///
    /// # Errors
    /// As the system says.
    pub fn discard(&self, mailbox: &MailboxName, stem: &Stem) -> Result<(), LocalError> {
        let path = self.tmp_path(mailbox, stem);
        if_there(self.fs.remove_file(&path)).at(Scope::Message, "remove", &path)?;
        Ok(())
    }

    /// Removes what this or an earlier run of ours left in `tmp/`, but for `keep`, and what a
    /// lost store of ours left; tells how many. Files of other programs and of guests stay.
    ///
    /// # Errors
    /// As the system says.
    pub fn clean_tmp(
        &self,
        mailbox: &MailboxName,
        keep: &BTreeSet<Stem>,
    ) -> Result<usize, LocalError> {
        let dir = self.dir_of(mailbox).join("tmp");
        let prefix = self.tmp_prefix();
        let former: Vec<String> = self.former.iter().map(|id| prefix_of(id)).collect();
        let mut ours = Vec::new();
        let read = self.fs.read_dir(&dir, &mut |name, kind, _| {
            let stem = name.strip_prefix(prefix.as_bytes()).map(|s| Stem(s.to_vec()));
            let is_lost = former.iter().any(|former| name.starts_with(former.as_bytes()));
            if kind == Kind::File && (is_lost || stem.is_some_and(|s| !keep.contains(&s))) {
                ours.push(dir.join(OsStr::from_bytes(name)));
            }
        });
        if_there(read).at(Scope::Mailbox, "read", &dir)?;
        for path in &ours {
            if_there(self.fs.remove_file(path)).at(Scope::Message, "remove", path)?;
        }
        Ok(ours.len())
    }

    /// Creates a file in `tmp/`, in the place of what an interrupted run left there.
    pub(super) fn create_tmp(&self, path: &Path) -> Result<Box<dyn FsFile>, LocalError> {
        let created = match self.fs.create_new(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                if_there(self.fs.remove_file(path)).at(Scope::Message, "remove", path)?;
                self.fs.create_new(path)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.remake_tmp(path)?;
                self.fs.create_new(path)
            }
            other => other,
        };
        created.at(Scope::Message, "create", path)
    }

    /// Makes `tmp/` again, which other programs are known to remove when it is empty; but
    /// never a mailbox that is gone.
    fn remake_tmp(&self, file: &Path) -> Result<(), LocalError> {
        let Some((tmp, dir)) = file.parent().and_then(|tmp| Some((tmp, tmp.parent()?))) else {
            return Ok(());
        };
        self.fs.lstat(&dir.join("cur")).at(Scope::Mailbox, "look at", dir)?;
        make_dirs(self.fs.as_ref(), tmp, Scope::Mailbox)
    }

    pub(super) fn tmp_path(&self, mailbox: &MailboxName, stem: &Stem) -> PathBuf {
        let mut name = self.tmp_prefix().into_bytes();
        name.extend_from_slice(&stem.0);
        self.dir_of(mailbox).join("tmp").join(OsStr::from_bytes(&name))
    }

    fn tmp_prefix(&self) -> String {
        prefix_of(&self.options.store_id)
    }
}

/// What the names of a store's files in `tmp/` begin with.
fn prefix_of(store_id: &str) -> String {
    let id = store_id.chars().filter(char::is_ascii_alphanumeric).take(16);
    format!("mailtide-{}-", id.collect::<String>())
}

impl Delivery {
    /// The next bytes of the wire. Memory stays bounded whatever comes.
    ///
    /// # Errors
    /// As the system says; the delivery is then of no use.
    pub fn write(&mut self, wire: &[u8]) -> Result<(), LocalError> {
        for piece in wire.chunks(CHUNK) {
            self.digest.update(piece);
            match self.form.next(piece, &mut self.pending) {
                Form::Taken => {}
                Form::Contradiction { cr, rest } => {
                    self.flush()?;
                    let lfs = self.form.lfs();
                    expand(self.file.as_mut(), self.written, lfs).at(
                        Scope::Message,
                        "write",
                        &self.path,
                    )?;
                    self.written += lfs;
                    self.pending.extend(cr.then_some(b'\r'));
                    self.pending.extend_from_slice(rest);
                }
            }
            if self.pending.len() >= CHUNK {
                // Whole pages: one that is written in two parts costs the system twice.
                self.flush_up_to(self.pending.len() / PAGE * PAGE)?;
            }
        }
        Ok(())
    }

    /// The end of the body; `date_s` (INTERNALDATE, seconds since 1970) becomes the
    /// modification time.
    ///
    /// # Errors
    /// As the system says; the file is then removed.
    pub fn finish(mut self, date_s: i64) -> Result<Delivered, LocalError> {
        self.form.finish(&mut self.pending);
        self.flush()?;
        self.file.set_mtime(date_s).at(Scope::Message, "set the time of", &self.path)?;
        self.finished = true;
        Ok(Delivered {
            mailbox: self.mailbox.clone(),
            stem: self.stem.clone(),
            summary: std::mem::take(&mut self.digest).finish(),
            file_size: self.written,
            path: self.path.clone(),
        })
    }

    fn flush(&mut self) -> Result<(), LocalError> {
        self.flush_up_to(self.pending.len())
    }

    /// Writes so many of the bytes that are pending.
    fn flush_up_to(&mut self, end: usize) -> Result<(), LocalError> {
        if end > 0 {
            let wrote = self.file.write_at(&self.pending[..end], self.written);
            wrote.at(Scope::Message, "write", &self.path)?;
            self.written += end as u64;
            self.pending.drain(..end);
        }
        Ok(())
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.finished {
            // If that fails, the next run cleans it by its name.
            let _ = self.fs.remove_file(&self.path);
        }
    }
}

/// Where a batch lies. A body whose name does not survive would look, after a crash, like one
/// that was placed and then removed by somebody: the directories are synced as well.
fn dirs_of<'a>(batch: &[&'a Delivered]) -> Vec<&'a Path> {
    let dirs: BTreeSet<&Path> = batch.iter().filter_map(|d| d.path.parent()).collect();
    dirs.into_iter().collect()
}

/// Turns the `lfs` LFs of the first `len` bytes into CRLF, in place and from the end, where
/// what is written never reaches what is yet to be read.
fn expand(file: &mut dyn FsFile, len: u64, lfs: u64) -> io::Result<()> {
    let (mut read_end, mut write_end) = (len, len + lfs);
    let mut chunk = vec![0; CHUNK];
    let mut wide = Vec::with_capacity(2 * CHUNK);
    while read_end > 0 && write_end > read_end {
        let n = usize::try_from(read_end.min(CHUNK as u64)).unwrap_or(CHUNK);
        let start = read_end - n as u64;
        let mut got = 0;
        while got < n {
            match file.read_at(&mut chunk[got..n], start + got as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => got += more,
            }
        }
        wide.clear();
        for byte in &chunk[..n] {
            if *byte == b'\n' {
                wide.push(b'\r');
            }
            wide.push(*byte);
        }
        write_end -= wide.len() as u64;
        file.write_at(&wide, write_end)?;
        read_end = start;
    }
    Ok(())
}
