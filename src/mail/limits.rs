//! Limits on the size of messages, in words.

/// Prefix of that reason, by which it is recognised again.
pub(in crate::mail) const TOO_LARGE: &str = "larger than max_message_size";

/// Why a file stays here that is larger than what we send.
pub(in crate::mail) fn too_large(limit: u64) -> String {
    format!("{TOO_LARGE} ({limit} bytes)")
}
