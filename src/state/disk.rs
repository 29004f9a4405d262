//! Where a store may lie, and who may read it.
//!
//! An existing database is only ever looked at by name here: closing a second descriptor of it
//! would drop the locks that SQLite holds for this process (POSIX advisory locks).

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use super::error::{Result, StateError};

/// The file of a store, if there is one: device and inode.
pub(super) type Place = Option<(u64, u64)>;

/// Looks whether there is a file. Anything that is not one is refused, and so are links: their
/// target may be anybody's, and a database of two names has a log for each (hazard 119).
pub(super) fn look(path: &Path) -> Result<Place> {
    let refuse = |why: &str| {
        let source = io::Error::other(why.to_owned());
        Err(StateError::Io { path: path.to_owned(), doing: "open", source })
    };
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => {
            refuse("it is a symbolic link: put the file itself there, or set `state_dir`")
        }
        Ok(meta) if !meta.is_file() => refuse("it is not a regular file"),
        Ok(meta) if meta.nlink() > 1 => refuse("it has another name: remove that hard link"),
        Ok(meta) => Ok(Some((meta.dev(), meta.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateError::Io { path: path.to_owned(), doing: "open", source }),
    }
}

/// The path of a file with the links in its directory resolved, so that none is left to follow.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let directory = fs::canonicalize(parent(path));
    match (directory, path.file_name()) {
        (Ok(directory), Some(name)) => directory.join(name),
        _ => path.to_owned(),
    }
}

/// Makes the directory of a store, and those above it, for its owner only.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    let parent = parent(path);
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|source| StateError::Io {
        path: parent.to_owned(),
        doing: "make the directory",
        source,
    })
}

/// Makes an empty file for its owner only; SQLite gives the files beside it the same mode.
pub(super) fn make_file(path: &Path) -> Result<()> {
    let fail = |doing| move |source| StateError::Io { path: path.to_owned(), doing, source };
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => {
            let directory = File::open(parent(path)).map_err(fail("open the directory of"))?;
            directory.sync_all().map_err(fail("make durable"))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(fail("make")(source)),
    }
}

/// Takes an existing file away from everybody but its owner.
pub(super) fn make_private(path: &Path) -> Result<()> {
    let fail = |doing| move |source| StateError::Io { path: path.to_owned(), doing, source };
    let mode = fs::metadata(path).map_err(fail("open"))?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(fail("make private"))?;
    }
    Ok(())
}

/// Refuses a write-ahead log whose database is gone or empty: SQLite would delete it, and with
/// it whatever the database had not taken over yet.
pub(super) fn refuse_orphaned_log(path: &Path) -> Result<()> {
    let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    let mut log = OsString::from(path);
    log.push("-wal");
    if size(path) == 0 && size(&PathBuf::from(log)) > 0 {
        let detail = "it is empty or gone, but its -wal file is not".to_owned();
        return Err(StateError::Damaged { path: path.to_owned(), detail });
    }
    Ok(())
}

/// Refuses a file system on which locks, shared memory or write order are not to be trusted.
pub(super) fn refuse_network(path: &Path) -> Result<()> {
    let directory = parent(path);
    let found = network(directory).map_err(|source| StateError::Io {
        path: directory.to_owned(),
        doing: "look at the file system of",
        source,
    })?;
    match found {
        Some(kind) => Err(StateError::Network { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The network file system that a directory is on, if it is on one.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn network(directory: &Path) -> io::Result<Option<String>> {
    use std::os::unix::fs::MetadataExt as _;

    const FUSE: u32 = 0x6573_5546;
    // The constants have 32 bits, whatever the width and sign of the field.
    let magic = rustix::fs::statfs(directory)?.f_type as u32;
    if magic != FUSE {
        return Ok(network_of_magic(magic).map(str::to_owned));
    }
    // FUSE serves local disks as well: only the type in the mount table tells.
    let device = fs::metadata(directory)?.dev();
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Ok(fuse_network(&mounts, &device))
}

/// Elsewhere the system itself says whether a file system is local.
#[cfg(target_vendor = "apple")]
fn network(directory: &Path) -> io::Result<Option<String>> {
    const MNT_LOCAL: u32 = 0x1000;
    let local = rustix::fs::statfs(directory)?.f_flags & MNT_LOCAL != 0;
    Ok((!local).then(|| "not a local one".to_owned()))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn network(_directory: &Path) -> io::Result<Option<String>> {
    Ok(None)
}

/// The name of a network file system by the magic number of statfs(2).
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn network_of_magic(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => "SMB",
        0x564c => "NCP",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0102_1997 => "9P",
        0x00c3_6400 => "Ceph",
        0x0bd0_0bd0 => "Lustre",
        0x7461_636f => "OCFS2",
        0x0116_1970 => "GFS2",
        0x786f_4256 => "VirtualBox shared folder",
        _ => return None,
    })
}

/// The network file system behind a FUSE mount, by its type in proc_pid_mountinfo(5).
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn fuse_network(mounts: &str, device: &str) -> Option<String> {
    const KNOWN: [&str; 15] = [
        "afpfs",
        "ceph",
        "curlftpfs",
        "davfs",
        "gcsfuse",
        "glusterfs",
        "goofys",
        "juicefs",
        "nfs",
        "rclone",
        "s3fs",
        "seaweedfs",
        "smbnetfs",
        "sshfs",
        "vmhgfs-fuse",
    ];
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        if mount.split(' ').nth(2)? != device {
            return None;
        }
        let kind = system.split(' ').next()?.strip_prefix("fuse.")?;
        KNOWN.contains(&kind).then(|| kind.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_told_from_local_ones() {
        const EXT4: u32 = 0xef53;
        const BTRFS: u32 = 0x9123_683e;
        assert_eq!(network_of_magic(0x6969), Some("NFS"));
        assert_eq!(network_of_magic(0xff53_4d42), Some("SMB"));
        assert_eq!(network_of_magic(EXT4), None);
        assert_eq!(network_of_magic(BTRFS), None);
    }

    #[test]
    fn only_fuse_mounts_that_reach_over_the_network_are_refused() {
        let mounts = "36 35 98:0 / /home rw,noatime master:1 - ext4 /dev/sda1 rw\n\
                      40 35 0:51 / /mnt/far rw shared:9 - fuse.sshfs me@far:/ rw\n\
                      41 35 0:52 / /mnt/crypt rw - fuse.gocryptfs /x rw\n\
                      torn line - \n";
        assert_eq!(fuse_network(mounts, "0:51").as_deref(), Some("sshfs"));
        assert_eq!(fuse_network(mounts, "0:52"), None);
        assert_eq!(fuse_network(mounts, "98:0"), None);
        assert_eq!(fuse_network("", "0:51"), None);
    }

    #[test]
    fn a_bare_file_name_lies_in_the_current_directory() {
        assert_eq!(parent(Path::new("state.db")), Path::new("."));
        assert_eq!(parent(Path::new("a/state.db")), Path::new("a"));
    }
}
