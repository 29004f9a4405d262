//! Stderr as one thing: log lines and the region below them come from many threads.
//!
//! A process has one stderr, so this is one static.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::lines::{Line, Size};
use super::region::Region;

struct Screen {
    region: Region,
    /// How many have asked for the terminal to be left alone.
    paused: usize,
}

static SCREEN: Mutex<Screen> = Mutex::new(Screen { region: Region::new(), paused: 0 });

fn lock() -> MutexGuard<'static, Screen> {
    // Whoever panicked left at worst a line that is drawn again.
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes())?;
    stderr.flush()
}

/// The terminal behind stderr; a common size where it does not tell.
pub(super) fn size() -> Size {
    let told = rustix::termios::tcgetwinsize(io::stderr()).ok();
    let told = told.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    told.map_or(Size { columns: 80, rows: 24 }, |size| Size {
        columns: usize::from(size.ws_col),
        rows: usize::from(size.ws_row),
    })
}

/// Shows these lines below everything that was said; none of them removes the region.
pub(super) fn show(lines: Vec<Line>, columns: usize) {
    let mut screen = lock();
    if screen.paused == 0 {
        screen.show(lines, columns);
    }
}

impl Screen {
    fn show(&mut self, lines: Vec<Line>, columns: usize) {
        let text = self.region.draw(lines, columns);
        if !text.is_empty() {
            // There is nobody to tell that nobody can be told.
            let _ = write(&text);
        }
    }
}

/// Says whole lines on stderr, above the region.
pub(in crate::cli) fn say(text: &str) -> io::Result<()> {
    let mut screen = lock();
    let text = screen.region.say(text, size().columns);
    write(&text)
}

/// Writes a line to stderr; there is nobody to tell when that fails.
pub(in crate::cli) fn complain(text: &str) {
    let _ = say(&format!("{text}\n"));
}

/// Leaves the terminal to another program until it is dropped.
#[derive(Debug)]
pub(in crate::cli) struct Pause(());

/// Removes the region, and draws none while the result lives.
pub(in crate::cli) fn pause() -> Pause {
    let mut screen = lock();
    screen.show(Vec::new(), size().columns);
    screen.paused += 1;
    Pause(())
}

impl Drop for Pause {
    fn drop(&mut self) {
        let mut screen = lock();
        screen.paused = screen.paused.saturating_sub(1);
    }
}

/// Stderr for whoever writes whole lines at once, as the log does.
#[derive(Debug)]
pub(in crate::cli) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say(&String::from_utf8_lossy(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
