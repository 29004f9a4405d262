//! The dots of a multi-line answer (RFC 1939 §3): a line "." ends it, and a line of the body
//! that begins with one has got another in front.
//!
//! A server that ends its status line in CRLF ends the lines of a body so, too: there a bare
//! LF is part of the message, and what stands behind it is no line. Else mail could hold
//! its own end, and answers of somebody else's behind it.

/// Where in a line the last byte left us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At its start.
    Start,
    /// Somewhere in it.
    Within,
    /// Behind a CR.
    Cr,
    /// Behind the dot that it begins with.
    Dot,
    /// Behind that dot and a CR.
    DotCr,
    /// Behind the line that ends the body.
    Ended,
}

/// Undoes the stuffing of one body, wherever it is cut.
#[derive(Debug)]
pub(crate) struct Unstuffer {
    state: State,
    /// Whether lines end in a bare LF.
    bare: bool,
}

impl Unstuffer {
    pub(crate) fn new(bare: bool) -> Self {
        Self { state: State::Start, bare }
    }

    /// Whether the end was seen.
    pub(crate) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Takes bytes up to the end of the body at most, and adds what it holds to `out`; gives
    /// how many were taken.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while at < input.len() {
            let byte = input[at];
            match (self.state, byte) {
                (State::Ended, _) => break,
                (State::Start, b'.') => self.state = State::Dot,
                (State::Dot, b'\r') => self.state = State::DotCr,
                (State::Dot, b'\n') if self.bare => self.state = State::Ended,
                (State::DotCr, b'\n') => self.state = State::Ended,
                (State::DotCr, _) => {
                    // It was no end, so its CR is text; this byte is looked at once more.
                    out.push(b'\r');
                    self.state = State::Cr;
                    continue;
                }
                (State::Start | State::Within | State::Cr | State::Dot, _) => {
                    let end = self.run(&input[at..]);
                    out.extend_from_slice(&input[at..at + end]);
                    at += end;
                    continue;
                }
            }
            at += 1;
        }
        at
    }

    /// Passes over what is text: to the end, or to the start of a line with a dot.
    fn run(&mut self, text: &[u8]) -> usize {
        let mut from = 0;
        let after_cr = self.state == State::Cr;
        while let Some(found) = memchr::memchr(b'\n', &text[from..]) {
            let at = from + found;
            let cr = if at == 0 { after_cr } else { text[at - 1] == b'\r' };
            from = at + 1;
            if (cr || self.bare) && text.get(from).is_none_or(|byte| *byte == b'.') {
                self.state = State::Start;
                return from;
            }
        }
        self.state = if text.last() == Some(&b'\r') { State::Cr } else { State::Within };
        text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of all the bytes, and how many were taken.
    fn unstuffed(input: &[u8], bare: bool) -> (Vec<u8>, usize, bool) {
        let (mut out, mut unstuffer) = (Vec::new(), Unstuffer::new(bare));
        let taken = unstuffer.feed(input, &mut out);
        (out, taken, unstuffer.is_ended())
    }

    #[test]
    fn dots() {
        let table: [(&[u8], &[u8], bool); 12] = [
            (b".\r\n", b"", true),
            (b"\r\n.\r\n", b"\r\n", true),
            (b"a\r\n.\r\n", b"a\r\n", true),
            (b"..\r\n.\r\n", b".\r\n", true),
            (b"a\r\n...b\r\n.\r\n", b"a\r\n..b\r\n", true),
            (b".b\r\n.\r\n", b"b\r\n", true),
            (b"a.\r\n.\r\n", b"a.\r\n", true),
            // A bare LF ends no line, nor does a CR.
            (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", true),
            (b"a\r.\r\n.\r\n", b"a\r.\r\n", true),
            (b"a\r\r\n.\r\r\n.\r\n", b"a\r\r\n\r\r\n", true),
            (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", true),
            (b"a\r\n.", b"a\r\n", false),
        ];
        for (input, expected, ended) in table {
            let shown = input.escape_ascii();
            assert_eq!(unstuffed(input, false), (expected.to_vec(), input.len(), ended), "{shown}");
        }
    }

    #[test]
    fn a_server_of_bare_line_feeds() {
        let table: [(&[u8], &[u8]); 4] = [
            (b".\n", b""),
            (b"a\n..\nb\r\n..c\n.\n", b"a\n.\nb\r\n.c\n"),
            (b"a\n.\r\n", b"a\n"),
            (b"\n\n.\n", b"\n\n"),
        ];
        for (input, expected) in table {
            assert_eq!(unstuffed(input, true), (expected.to_vec(), input.len(), true));
        }
    }

    #[test]
    fn nothing_is_taken_behind_the_end() {
        assert_eq!(unstuffed(b"a\r\n.\r\n+OK\r\n", false), (b"a\r\n".to_vec(), 6, true));
    }
}
