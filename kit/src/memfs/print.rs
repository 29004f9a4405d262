//! The whole disk as octets, to be compared.

use std::os::unix::ffi::OsStrExt;

use super::MemFs;
use super::disk::{Body, Node};

impl MemFs {
    /// All that can be seen of the disk, and all that decides what it shows next: nodes with their
    /// times and rights, mounts, the clock. What is durable is left out.
    #[must_use]
    pub fn print(&self) -> Vec<u8> {
        let inner = self.lock_inner();
        let mut out = Vec::new();
        for (number, node) in &inner.nodes {
            put(&mut out, *number, node);
        }
        let rest = (&inner.last_ino, &inner.mounts, inner.last_mount, &inner.disks);
        let more = (inner.now_ns, &inner.denied, inner.folds, inner.down);
        out.extend_from_slice(format!("{rest:?} {more:?}").as_bytes());
        out
    }
}

fn put(out: &mut Vec<u8>, number: u64, node: &Node) {
    let Node { body, mtime_ns, ctime_ns, mode, owner } = node;
    for value in [number, mtime_ns.cast_unsigned(), ctime_ns.cast_unsigned()] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(&mode.to_le_bytes());
    out.extend_from_slice(&owner.to_le_bytes());
    let mut counted = |kind: u8, octets: &[u8]| {
        out.push(kind);
        out.extend_from_slice(&(octets.len() as u64).to_le_bytes());
        out.extend_from_slice(octets);
    };
    match body {
        Body::File { data, .. } => counted(b'f', data),
        Body::Link(to) => counted(b'l', to.as_os_str().as_bytes()),
        Body::Fifo => counted(b'p', b""),
        Body::Dir { entries, .. } => {
            counted(b'd', &(entries.len() as u64).to_le_bytes());
            for (name, node) in entries {
                counted(b'n', name);
                counted(b'i', &node.to_le_bytes());
            }
        }
    }
}
