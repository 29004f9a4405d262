//! How much of a header is asked for, and whether it came as a whole.

/// Octets of a header that are requested: more tells nothing more.
pub(crate) const HEADER_MAX: usize = 256 * 1024;

/// A header ends with an empty line, unless it is the whole message.
pub(crate) fn is_whole_header(header: &[u8], size: Option<u64>) -> bool {
    let ends = header.ends_with(b"\n\r\n") || header.ends_with(b"\n\n");
    let is_all = size.is_none_or(|size| size <= header.len() as u64 + 2);
    ends || !header.is_empty() && (is_all || header == b"\r\n")
}
