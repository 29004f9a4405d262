//! Modified UTF-7 (RFC 3501 §5.1.3): how servers and Maildir++ spell what is not ASCII.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// BASE64 with `,` for `/` and without padding.
const MODIFIED_BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Modified UTF-7 of a text (RFC 3501 §5.1.3).
#[must_use]
pub fn encode_utf7(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut shifted: Vec<u8> = Vec::new();
    let flush = |shifted: &mut Vec<u8>, out: &mut String| {
        if !shifted.is_empty() {
            out.push('&');
            MODIFIED_BASE64.encode_string(&shifted, out);
            out.push('-');
            shifted.clear();
        }
    };
    for c in text.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut shifted, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend(c.encode_utf16(&mut units).iter().flat_map(|u| u.to_be_bytes()));
        }
    }
    flush(&mut shifted, &mut out);
    out
}

/// The text of modified UTF-7; none unless encoding it again gives the same.
#[must_use]
pub fn decode_utf7(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, shifted)) = rest.split_once('&') {
        out.push_str(plain);
        let (code, after) = shifted.split_once('-')?;
        if code.is_empty() {
            out.push('&');
        } else {
            let bytes = MODIFIED_BASE64.decode(code).ok()?;
            let units = bytes.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
            if bytes.len() % 2 != 0 {
                return None;
            }
            for c in char::decode_utf16(units) {
                out.push(c.ok()?);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    // One text has one spelling: `&AGE-` for `a`, or two shifts in a row, could alias another.
    (encode_utf7(&out) == raw).then_some(out)
}

/// The text that modified UTF-7 most likely stands for, however it is spelled: shifts where none
/// are needed are read, and what cannot be read stands for itself.
#[must_use]
pub fn decode_utf7_loosely(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, shifted)) = rest.split_once('&') {
        out.push_str(plain);
        let Some((code, after)) = shifted.split_once('-') else {
            out.push('&');
            rest = shifted;
            continue;
        };
        match (code.is_empty(), shift(code)) {
            (true, _) => out.push('&'),
            (false, Some(text)) => out.push_str(&text),
            (false, None) => {
                out.push('&');
                rest = shifted;
                continue;
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// What stands between `&` and `-`; none if that is no text of a name.
fn shift(code: &str) -> Option<String> {
    let bytes = MODIFIED_BASE64.decode(code).ok().filter(|bytes| bytes.len() % 2 == 0)?;
    let units = bytes.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    let is_name = !text.is_empty() && !text.contains(['\0', '\r', '\n', '/']);
    is_name.then_some(text)
}
