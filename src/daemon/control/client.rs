//! Asks a running daemon.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::protocol::{Answer, RUN_MAX, Request, STILL_THERE};
use super::socket::{at, is_of_ours};

/// How long a daemon may take for an answer that waits for no run.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Why nothing can be had of a daemon.
#[derive(Debug)]
pub enum NoAnswer {
    /// None runs there.
    Nobody,
    /// One runs, or something in its place, and does not do as it should.
    Failed(io::Error),
}

/// Asks a running daemon.
///
/// # Errors
/// None runs, it belongs to another user, or it does not answer.
pub fn ask(
    path: &Path,
    request: &Request,
) -> Result<impl Iterator<Item = io::Result<Answer>> + use<>, NoAnswer> {
    let mut stream =
        at(path, |path| UnixStream::connect(path)).map_err(|error| match error.kind() {
            // A socket that cannot be there is answered by nobody.
            io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput => NoAnswer::Nobody,
            _ => NoAnswer::Failed(error),
        })?;
    is_of_ours(&stream).map_err(NoAnswer::Failed)?;
    let sent = || {
        // Whoever answers has a deadline of its own; this is for one that hangs.
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        stream.set_read_timeout(Some(match request {
            Request::Watch => STILL_THERE + ANSWER_MAX,
            Request::Sync { .. } => RUN_MAX + ANSWER_MAX,
            _ => ANSWER_MAX,
        }))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line)
    };
    let mut sent = sent;
    sent().map_err(NoAnswer::Failed)?;
    let lines = BufReader::new(stream).lines();
    Ok(lines.map(|line| match line {
        Ok(line) => Ok(serde_json::from_str(&line)?),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "it stays silent"))
        }
        Err(error) => Err(error),
    }))
}
