//! Sizes (`"200MB"`) and spans of time (`"5m"`) as people write them.

use std::time::Duration;

/// What a size may look like, for messages.
pub(super) const SIZE_FORM: &str =
    "a whole number and a unit (B, kB, MB, GB, TB or KiB, MiB, GiB, TiB), like \"200MB\"";

/// What a span of time may look like, for messages.
pub(super) const DURATION_FORM: &str =
    "a whole number and a unit (s, m, h or d), like \"30s\" or \"5m\"";

/// Splits `"200 MB"` into the number and the unit behind it.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim_start_matches(' ')))
}

/// Bytes of a size: kB, MB, GB, TB count in thousands, KiB, MiB, GiB, TiB in 1024s, in any case.
///
/// None when it is no size or does not fit into 64 bits.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// The span of `"30s"`, `"5m"`, `"2h"` or `"30d"` (a day is 24 hours).
///
/// None when it is no span of time or longer than 64 bits of seconds.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    number.checked_mul(factor).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let table = [
            ("200MB", Some(200_000_000)),
            ("200 mb", Some(200_000_000)),
            ("1GiB", Some(1 << 30)),
            ("0B", Some(0)),
            ("3kB", Some(3_000)),
            ("200", None),
            ("MB", None),
            ("", None),
            ("-1MB", None),
            ("1.5GB", None),
            ("1MBs", None),
            ("99999999999TB", None),
            ("99999999999999999999999B", None),
        ];
        for (text, expected) in table {
            assert_eq!(size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn durations() {
        let table = [
            ("30s", Some(30)),
            ("5m", Some(300)),
            ("2h", Some(7_200)),
            ("30d", Some(2_592_000)),
            ("5 m", Some(300)),
            ("5", None),
            ("5M", None),
            ("5min", None),
            ("m", None),
            ("99999999999999999d", None),
        ];
        for (text, expected) in table {
            assert_eq!(duration(text), expected.map(Duration::from_secs), "{text:?}");
        }
    }
}
