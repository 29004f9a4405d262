//! The address of the control socket, and whose process is at its other end.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Where the socket of a daemon with these directories is: the first of them. A client looks at
/// all, since a service may have a runtime directory where its user has none.
#[must_use]
pub fn paths(runtime_dir: Option<&Path>, state_dir: &Path) -> Vec<PathBuf> {
    let dirs = runtime_dir.into_iter().chain([state_dir]);
    dirs.map(|dir| dir.join("control.sock")).collect()
}

/// Octets that the path of a socket may have (`sun_path`, with its NUL, on macOS; Linux has four
/// more).
const ADDRESS_MAX: usize = 104;

/// Calls with the address of a socket. A path that is too long for one is put as its name below a
/// descriptor of its directory (hazard 149).
///
/// # Errors
/// Those of the call; `InvalidInput` where the system has no such paths.
pub(super) fn at<T>(path: &Path, call: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() < ADDRESS_MAX {
        return call(path);
    }
    #[cfg(target_os = "linux")]
    if let (Some(dir), Some(name)) = (path.parent(), path.file_name()) {
        use std::os::fd::AsRawFd as _;

        use rustix::fs::{Mode, OFlags};

        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(dir, flags, Mode::empty())?;
        return call(&Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name));
    }
    let words = format!(
        "its path has more than {ADDRESS_MAX} octets: set XDG_RUNTIME_DIR, or choose a shorter \
         state_dir"
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, words))
}

/// Whether the other end of a socket is a process of the same user, or of root.
///
/// # Errors
/// It is another user's, and nothing it says is to be believed.
pub(super) fn is_of_ours(stream: &UnixStream) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let peer = rustix::net::sockopt::socket_peercred(stream)?.uid;
        if peer != rustix::process::geteuid() && !peer.is_root() {
            let words = format!("the other end belongs to user {}", peer.as_raw());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, words));
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
    Ok(())
}
