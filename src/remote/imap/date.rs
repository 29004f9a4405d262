//! INTERNALDATE (RFC 9051 §2.3.3): an instant for us, a string on the wire.

/// Names of the months as on the wire, in any case.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 of a `date-time` without its quotes.
///
/// Tolerant, as servers are not exact: one-digit or blank-padded days, no zone (taken as
/// UTC), further blanks. None if it is no date.
#[must_use]
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (date, time) = (words.next()?, words.next()?);
    let mut date = date.splitn(3, '-');
    let day = number(date.next()?, 1, 31)?;
    let month = date.next()?;
    let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))?;
    let year = number(date.next()?, 0, 9999)?;
    let mut time = time.splitn(3, ':');
    let hour = number(time.next()?, 0, 23)?;
    let minute = number(time.next()?, 0, 59)?;
    let second = time.next().map_or(Some(0), |s| number(s, 0, 60))?;
    let zone = words.next().map_or(Some(0), zone_seconds)?;
    let days = days_from_civil(year, month as i64 + 1, day);
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second - zone)
}

fn number(text: &str, low: i64, high: i64) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && (low..=high).contains(n))
}

/// `+hhmm` or `-hhmm` in seconds east of UTC.
fn zone_seconds(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("GMT") || text.eq_ignore_ascii_case("UT") || text == "Z" {
        return Some(0);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let both = number(digits, 0, 9999).filter(|_| digits.len() == 4)?;
    Some(sign * (both / 100 * 3_600 + both % 100 * 60))
}

/// The `date-time` of an instant, in UTC and without quotes; none outside the years 1 to 9999,
/// for which IMAP has no words.
#[must_use]
pub(crate) fn format(instant: i64) -> Option<String> {
    let (days, seconds) = (instant.div_euclid(86_400), instant.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days)?;
    let month = MONTHS.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    Some(format!("{day:02}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} +0000"))
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, whose years are
/// counted from March so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`]; none outside the years 1 to 9999.
fn civil_from_days(days: i64) -> Option<(i64, i64, i64)> {
    let days = days.checked_add(719_468)?;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = (shifted + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let known = (1..=9999).contains(&year);
    known.then_some((year, month, day_of_year - (153 * shifted + 2) / 5 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_write() {
        for (text, instant) in [
            ("01-Jan-1970 00:00:00 +0000", 0),
            ("17-Jul-1996 02:44:25 -0700", 837_596_665),
            (" 7-jul-1996 02:44:25 +0000", 836_707_465),
            ("29-Feb-2024 23:59:60 +0530", 1_709_231_400),
            ("31-Dec-1969 23:59:59 +0000", -1),
            ("01-Jan-2026 10:00:00", 1_767_261_600),
            ("1-Jan-2026  10:00 GMT", 1_767_261_600),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(instant), "{text}");
        }
        for bad in ["", "NIL", "01-Foo-2020 00:00:00 +0000", "x", "01-Jan-2020", "\u{e9}", "1-1-1"]
        {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse(b"01-Jan-2020 00:00:00 \xff"), None);
        assert_eq!(parse("01-Jan-2020 00:00:00 é0000".as_bytes()), None);
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut instant = -62_135_596_800_i64;
        while let Some(text) = format(instant) {
            assert_eq!(parse(text.as_bytes()), Some(instant), "{text}");
            instant += 86_400 * 97 + 12_345;
        }
        assert!(instant > 253_402_300_799, "{instant}");
        assert_eq!(format(253_402_300_799).as_deref(), Some("31-Dec-9999 23:59:59 +0000"));
        for absurd in [i64::MIN, i64::MAX, 253_402_300_800, -62_135_596_801] {
            assert_eq!(format(absurd), None);
        }
    }
}
