//! Tells whether two worlds are the same, down to inodes, mod-sequences and the store: what runs
//! do with them is the same then.

use super::World;

/// A hash of a world.
pub type Fingerprint = [u8; 32];

impl World {
    /// A hash of all that a later run may see of the disk, the server and the store; none where
    /// the store was not closed.
    ///
    /// # Panics
    /// Where the store cannot be read.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let mut hasher = blake3::Hasher::new();
        // The mark in the root names the place of the store.
        let place = self.state.path().to_string_lossy().into_owned();
        let disk = self.fs.print();
        let mut rest = disk.as_slice();
        while let Some(at) = memchr::memmem::find(rest, place.as_bytes()) {
            hasher.update(&rest[..at]);
            rest = &rest[at + place.len()..];
        }
        hasher.update(rest);
        hasher.update(format!("{:?}", self.server.snapshot()).as_bytes());
        let mut stores: Vec<_> = std::fs::read_dir(self.state.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        stores.sort();
        for name in stores {
            let octets = std::fs::read(self.state.path().join(&name)).expect("the store");
            if name.to_string_lossy().ends_with("-wal") && !octets.is_empty() {
                return None;
            }
            if name.to_string_lossy().ends_with(".db") {
                hasher.update(&octets);
            }
        }
        Some(*hasher.finalize().as_bytes())
    }
}
