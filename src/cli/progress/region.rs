//! The last lines of a terminal, redrawn in place; what is logged goes above them.

use std::fmt::Write as _;

use super::lines::Line;

/// What stands on the terminal now.
#[derive(Debug, Default)]
pub struct Region {
    drawn: Vec<Line>,
}

impl Region {
    /// A region that nothing was drawn in.
    #[must_use]
    pub const fn new() -> Self {
        Self { drawn: Vec::new() }
    }

    /// What to write so that `lines` stand where the former ones stood, on a terminal of so
    /// many columns: one text, written at once, that blanks nothing that stays. The cursor
    /// rests below, where a shell's prompt would be right if this were the last that is said.
    #[must_use]
    pub fn draw(&mut self, lines: Vec<Line>, columns: usize) -> String {
        if lines == self.drawn {
            return String::new();
        }
        let mut out = self.up(columns);
        // Without wrapping: a terminal may think a character wider than we do.
        out.push_str("\u{1b}[?7l");
        for line in &lines {
            let _ = writeln!(out, "{}\u{1b}[K\r", line.text);
        }
        out.push_str("\u{1b}[J\u{1b}[?7h");
        self.drawn = lines;
        out
    }

    /// What to write so that `text` (whole lines) stands above the region, which comes after.
    #[must_use]
    pub fn say(&mut self, text: &str, columns: usize) -> String {
        let lines = std::mem::take(&mut self.drawn);
        if lines.is_empty() {
            return text.to_owned();
        }
        let mut out = Self { drawn: lines.clone() }.up(columns);
        out.push_str("\u{1b}[J");
        out.push_str(text);
        out + &self.draw(lines, columns)
    }

    /// To the first line of what was drawn, which may take more rows since the terminal was
    /// made narrower.
    fn up(&self, columns: usize) -> String {
        let columns = columns.max(1);
        let rows: usize = self.drawn.iter().map(|line| line.columns.div_ceil(columns).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\r\u{1b}[{rows}A") }
    }
}
