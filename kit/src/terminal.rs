//! A terminal as far as a picture that is drawn in place needs one: what stands on it after
//! some output, line by line, with everything that scrolled away.

/// A terminal of fixed size.
#[derive(Debug, Clone)]
pub struct Terminal {
    columns: usize,
    rows: usize,
    lines: Vec<Vec<char>>,
    /// Line (from the first that ever was) and column of the cursor.
    at: (usize, usize),
    wraps: bool,
    /// An escape sequence that is not complete yet.
    escape: Option<String>,
}

impl Terminal {
    /// An empty one.
    #[must_use]
    pub fn new(columns: usize, rows: usize) -> Self {
        let lines = vec![Vec::new()];
        Self { columns, rows, lines, at: (0, 0), wraps: true, escape: None }
    }

    /// Takes output.
    ///
    /// # Panics
    /// At an escape sequence that it does not know: then a test cannot tell what is seen.
    pub fn feed(&mut self, output: &str) {
        for c in output.chars() {
            match self.escape.take() {
                Some(mut escape) => {
                    escape.push(c);
                    if c.is_ascii_alphabetic() {
                        self.obey(&escape);
                    } else {
                        self.escape = Some(escape);
                    }
                }
                None => self.put(c),
            }
        }
    }

    /// Every line that there is, the empty last one left out; colours are not kept.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| line.iter().filter(|c| **c != '\0').collect::<String>())
            .collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// Whether the cursor stands where a prompt would begin a new line.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.wraps && self.at.1 == 0 && self.at.0 >= self.lines().len()
    }

    fn put(&mut self, c: char) {
        match c {
            '\u{1b}' => self.escape = Some(String::new()),
            '\r' => self.at.1 = 0,
            '\n' => self.next_line(),
            c => self.print(c),
        }
    }

    fn next_line(&mut self) {
        // As a terminal driver does: the start of the next line.
        self.at = (self.at.0 + 1, 0);
        if self.lines.len() <= self.at.0 {
            self.lines.push(Vec::new());
        }
    }

    fn print(&mut self, c: char) {
        assert!(!c.is_control(), "a control character on the terminal: {c:?}");
        let wide = width(c);
        if self.at.1 + wide > self.columns {
            if !self.wraps {
                return;
            }
            self.next_line();
        }
        let (line, column) = self.at;
        let line = &mut self.lines[line];
        if line.len() < column + wide {
            line.resize(column + wide, ' ');
        }
        if wide > 0 {
            line[column] = c;
            line[column + 1..column + wide].fill('\0');
        }
        self.at.1 += wide;
    }

    fn obey(&mut self, escape: &str) {
        match escape {
            "[?7l" => self.wraps = false,
            "[?7h" => self.wraps = true,
            "[K" => self.lines[self.at.0].truncate(self.at.1),
            "[J" => {
                self.lines[self.at.0].truncate(self.at.1);
                self.lines.truncate(self.at.0 + 1);
            }
            _ if escape.ends_with('m') => {}
            _ => {
                let up = escape.strip_prefix('[').and_then(|rest| rest.strip_suffix('A'));
                let up: usize = up.and_then(|n| n.parse().ok()).unwrap_or_else(|| {
                    panic!("an escape sequence that no terminal here knows: {escape:?}")
                });
                let top = self.lines.len().saturating_sub(self.rows);
                self.at.0 = self.at.0.saturating_sub(up).max(top);
            }
        }
    }
}

/// The columns of a character, for the scripts that tests write.
fn width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xff00..=0xff60 => 2,
        0x1f300..=0x1faff => 2,
        _ => 1,
    }
}
