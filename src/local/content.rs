//! Line ends and content: the function f, the content id, and the form a body takes on disk.
//!
//! f turns every LF that does not follow a CR into CRLF. The disk holds the CRLF→LF form of a
//! body if f of that gives the wire's bytes back, else the wire's bytes as they came. So
//! f(disk) = f(wire) for every body at all, and a push of a pulled body gives the same bytes
//! unless the wire had a bare LF.

use memchr::{memchr_iter, memchr2_iter};

use crate::reconcile::types::{ContentId, HeaderKeys};

use super::header::HeaderReader;

/// f as a stream: what to insert depends on one byte before the chunk.
#[derive(Debug, Default, Clone)]
pub struct WireForm {
    after_cr: bool,
    scratch: Vec<u8>,
}

impl WireForm {
    /// f of the next chunk. Borrowed from the chunk itself where nothing had to be inserted.
    pub fn next<'a>(&'a mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.scratch.clear();
        let mut start = 0;
        for at in memchr_iter(b'\n', bytes) {
            let follows_cr = if at == 0 { self.after_cr } else { bytes[at - 1] == b'\r' };
            if !follows_cr {
                self.scratch.extend_from_slice(&bytes[start..at]);
                self.scratch.push(b'\r');
                start = at;
            }
        }
        if let Some(last) = bytes.last() {
            self.after_cr = *last == b'\r';
        }
        if self.scratch.is_empty() {
            return bytes;
        }
        self.scratch.extend_from_slice(&bytes[start..]);
        &self.scratch
    }
}

/// f of a whole body.
#[must_use]
pub fn wire_form(bytes: &[u8]) -> Vec<u8> {
    WireForm::default().next(bytes).to_vec()
}

/// What a body amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// BLAKE3 of f of it.
    pub content: ContentId,
    /// Keys of its header.
    pub header: HeaderKeys,
    /// Length of f of it, in octets: what a push sends.
    pub wire_size: u64,
    /// Its first line holds control characters, as that of a compressed file or of zeros does: no
    /// header begins so (RFC 5322 §2.2), and no server takes a NUL (RFC 9051 §4.3).
    pub is_binary: bool,
}

/// Takes a body in chunks of any size, in the form of the disk or of the wire.
#[derive(Debug, Default)]
pub struct Digest {
    hasher: blake3::Hasher,
    form: WireForm,
    header: HeaderReader,
    wire_size: u64,
    first_line: FirstLine,
}

/// Whether the first line holds control characters.
#[derive(Debug, Default)]
struct FirstLine {
    is_over: bool,
    is_binary: bool,
}

impl FirstLine {
    fn update(&mut self, bytes: &[u8]) {
        if self.is_over {
            return;
        }
        let end = memchr::memchr(b'\n', bytes);
        let line = &bytes[..end.unwrap_or(bytes.len())];
        let is_control = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r');
        self.is_binary |= line.iter().any(is_control);
        self.is_over = end.is_some() || self.is_binary;
    }
}

impl Digest {
    /// The next chunk.
    pub fn update(&mut self, bytes: &[u8]) {
        let wire = self.form.next(bytes);
        self.hasher.update(wire);
        self.wire_size += wire.len() as u64;
        self.header.update(bytes);
        self.first_line.update(bytes);
    }

    /// The end of the body.
    #[must_use]
    pub fn finish(self) -> Summary {
        Summary {
            content: ContentId(*self.hasher.finalize().as_bytes()),
            header: self.header.finish(),
            wire_size: self.wire_size,
            is_binary: self.first_line.is_binary,
        }
    }
}

/// The content id of a whole body, in the form of the disk or of the wire.
#[must_use]
pub fn content_id(bytes: &[u8]) -> ContentId {
    ContentId(*blake3::hash(WireForm::default().next(bytes)).as_bytes())
}

/// Wire bytes to disk bytes, chunk by chunk.
///
/// Starts with the LF form. The first bare LF or CR CR LF shows that this cannot be turned
/// back; up to there it can, so what was written is expanded again and the rest goes raw.
#[derive(Debug, Default)]
pub(super) struct DiskForm {
    raw: bool,
    /// A CR was seen and not given out: a LF after it would swallow it.
    held_cr: bool,
    /// The byte before the held CR was a CR too.
    cr_before_held: bool,
    /// LFs given out so far, each of which stands for a CRLF.
    lfs: u64,
}

/// What [`DiskForm::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// The whole chunk was taken.
    Taken,
    /// Everything given out so far is to be expanded (each LF to CRLF); then these follow as
    /// they are: a CR if `cr`, then `rest`.
    Contradiction { cr: bool, rest: &'a [u8] },
}

impl DiskForm {
    /// Appends the disk form of `wire` to `out`.
    pub(super) fn next<'a>(&mut self, wire: &'a [u8], out: &mut Vec<u8>) -> Form<'a> {
        if self.raw {
            out.extend_from_slice(wire);
            return Form::Taken;
        }
        let mut start = 0;
        for at in memchr2_iter(b'\r', b'\n', wire) {
            self.plain(&wire[start..at], out);
            start = at + 1;
            if wire[at] == b'\r' {
                if self.held_cr {
                    out.push(b'\r');
                }
                self.cr_before_held = self.held_cr;
                self.held_cr = true;
            } else if self.held_cr && !self.cr_before_held {
                out.push(b'\n');
                self.lfs += 1;
                self.held_cr = false;
            } else {
                self.raw = true;
                let cr = std::mem::take(&mut self.held_cr);
                return Form::Contradiction { cr, rest: &wire[at..] };
            }
        }
        self.plain(&wire[start..], out);
        Form::Taken
    }

    /// The end: a CR that nothing followed stays.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_cr) {
            out.push(b'\r');
        }
    }

    /// How much longer the bytes given out become when they are expanded.
    pub(super) fn lfs(&self) -> u64 {
        self.lfs
    }

    fn plain(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.held_cr) {
            out.push(b'\r');
        }
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::header;

    /// What lands on disk when `wire` comes in these chunks.
    fn pull(chunks: &[&[u8]]) -> Vec<u8> {
        let mut form = DiskForm::default();
        let mut out = Vec::new();
        for chunk in chunks {
            match form.next(chunk, &mut out) {
                Form::Taken => {}
                Form::Contradiction { cr, rest } => {
                    let before = out.len() as u64 + form.lfs();
                    let mut full = Vec::new();
                    for byte in out {
                        if byte == b'\n' {
                            full.push(b'\r');
                        }
                        full.push(byte);
                    }
                    assert_eq!(full.len() as u64, before);
                    full.extend(cr.then_some(b'\r'));
                    out = full;
                    assert_eq!(form.next(rest, &mut out), Form::Taken);
                }
            }
        }
        form.finish(&mut out);
        out
    }

    fn f_by_definition(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (i, b) in bytes.iter().enumerate() {
            if *b == b'\n' && (i == 0 || bytes[i - 1] != b'\r') {
                out.push(b'\r');
            }
            out.push(*b);
        }
        out
    }

    fn every_string(max: usize, mut each: impl FnMut(&[u8])) {
        for len in 0..=max {
            for n in 0..3_usize.pow(u32::try_from(len).unwrap()) {
                let mut rest = n;
                let text: Vec<u8> = (0..len)
                    .map(|_| {
                        let b = b"\r\na"[rest % 3];
                        rest /= 3;
                        b
                    })
                    .collect();
                each(&text);
            }
        }
    }

    #[test]
    fn a_push_of_a_pull_is_the_wire_for_every_short_string_and_split() {
        let mut rng = fastrand::Rng::with_seed(27);
        let mut seen = 0;
        every_string(8, |wire| {
            seen += 1;
            let disk = pull(&[wire]);
            let bare = wire
                .iter()
                .enumerate()
                .any(|(i, b)| *b == b'\n' && (i == 0 || wire[i - 1] != b'\r'));
            assert_eq!(wire_form(&disk), f_by_definition(wire), "{wire:?} lay as {disk:?}");
            if !bare {
                assert_eq!(wire_form(&disk), wire, "push(pull) of {wire:?}");
            }
            if !bare && !wire.windows(3).any(|w| w == b"\r\r\n") {
                assert!(!disk.windows(2).any(|w| w == b"\r\n"), "LF form on disk: {wire:?}");
            } else {
                assert_eq!(disk, wire);
            }
            for _ in 0..3 {
                let (a, b) = (rng.usize(..=wire.len()), rng.usize(..=wire.len()));
                let (a, b) = (a.min(b), a.max(b));
                let chunks = [&wire[..a], &wire[a..b], &wire[b..]];
                assert_eq!(pull(&chunks), disk, "{chunks:?}");
                let mut digest = Digest::default();
                chunks.iter().for_each(|c| digest.update(c));
                let summary = digest.finish();
                assert_eq!(summary.content, content_id(&disk));
                assert_eq!(summary.wire_size, wire_form(wire).len() as u64);
                assert_eq!(summary.header, header::keys(&disk), "{wire:?}");
            }
        });
        assert_eq!(seen, 9841);
    }

    #[test]
    fn f_changes_nothing_the_second_time() {
        every_string(7, |s| assert_eq!(wire_form(&wire_form(s)), wire_form(s)));
    }
}
