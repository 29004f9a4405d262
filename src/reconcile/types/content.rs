//! What tells messages and files apart.

use std::fmt;

use super::name::printable;

/// BLAKE3 of f(bytes), f turning every LF that does not follow a CR into CRLF.
///
/// Equal on both sides of a message by construction, whatever line ends the disk holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub [u8; 32]);

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// What can be told from a message's header alone (lines up to the first empty one,
/// CR*LF read as LF, no trailing blank line).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderKeys {
    /// First 16 bytes of BLAKE3 of the normalised header: the *fingerprint*'s part.
    pub hash: [u8; 16],
    /// First 16 bytes of BLAKE3 of Message-ID, Date, From and Subject, unfolded and trimmed:
    /// survives servers that rewrite headers. For pairing one local with one remote only.
    pub loose: [u8; 16],
    /// Whether there is a nonempty Message-ID: without one a fingerprint proves nothing.
    pub has_message_id: bool,
}

/// A Maildir file name up to its info part (`:2,FLAGS`), as raw bytes of any origin.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stem(pub Vec<u8>);

impl fmt::Debug for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&String::from_utf8_lossy(&self.0)))
    }
}

/// What tells, without reading, that a file is still the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileStamp {
    /// Inode number.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
}
