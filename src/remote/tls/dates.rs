//! The dates of a certificate (RFC 5280 §4.1.2.5), which webpki checks only in chains.

use rustls::pki_types::UnixTime;

/// Whether a certificate in DER is valid at this time; false where its dates cannot be read.
pub(super) fn is_valid_at(certificate: &[u8], now: UnixTime) -> bool {
    let Some((from, to)) = dates(certificate) else { return false };
    (from..=to).contains(&now.as_secs())
}

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notBefore` and `notAfter`, in seconds since 1970.
fn dates(certificate: &[u8]) -> Option<(u64, u64)> {
    let (_, certificate, _) = value(certificate)?;
    let (_, mut rest, _) = value(certificate)?;
    // Version (optional), serial number, algorithm, issuer; then the dates.
    for tag in [VERSION, INTEGER, SEQUENCE, SEQUENCE] {
        let (found, _, after) = value(rest)?;
        match found == tag {
            true => rest = after,
            false if tag == VERSION => {}
            false => return None,
        }
    }
    let (tag, validity, _) = value(rest)?;
    let (from_tag, from, rest) = value(validity)?;
    let (to_tag, to, _) = value(rest)?;
    (tag == SEQUENCE).then_some((seconds(from_tag, from)?, seconds(to_tag, to)?))
}

/// A value of DER: its tag, what is in it, and what follows.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=127 => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (octets.iter().fold(0, |n, octet| n << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (inner, after) = rest.split_at_checked(length)?;
    Some((tag, inner, after))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn seconds(tag: u8, text: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(text.strip_suffix(b"Z")?).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME if digits.len() == 12 => {
            let year: i64 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        GENERALIZED_TIME if digits.len() == 14 => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    // Days since 1970 in the proleptic Gregorian calendar, the year beginning in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day
            - 1
            - 719_468;
    let time = days * 86_400 + part(4)? * 3600 + part(6)? * 60 + part(8)?;
    Some(u64::try_from(time).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_kinds() {
        assert_eq!(seconds(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, b"240229123456Z"), Some(1_709_210_096));
        assert_eq!(seconds(GENERALIZED_TIME, b"20500101000000Z"), Some(2_524_608_000));
        assert_eq!(seconds(UTC_TIME, b"240229123456"), None);
        assert_eq!(seconds(INTEGER, b"240229123456Z"), None);
    }

    #[test]
    fn cut_anywhere_it_is_not_valid() {
        let made = rcgen::generate_simple_self_signed(["mail.test".to_owned()]).unwrap();
        let der = made.cert.der();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_700_000_000));
        assert!(is_valid_at(der, now));
        assert!((0..40).all(|length| !is_valid_at(&der[..length], now)));
    }
}
