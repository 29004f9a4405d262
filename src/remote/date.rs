//! Dates: instants for us, on the wire INTERNALDATE (RFC 9051 §2.3.3), in a header the
//! `date-time` of RFC 5322 §3.3.

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

/// When a message came, by its header: the date that the last server wrote into `Received`,
/// else the one that its author gave it. None if there is neither.
#[must_use]
pub(crate) fn of_header(header: &[u8]) -> Option<i64> {
    let dated = |name: &[u8]| {
        let value = field(header, name)?;
        let date = value.rsplit(|byte| *byte == b';').next()?;
        in_header(&String::from_utf8_lossy(date))
    };
    dated(b"received").or_else(|| dated(b"date"))
}

/// The first field of this name (in lower case), with what it goes on with in further lines.
fn field(header: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut lines = header.split(|byte| *byte == b'\n');
    let value = lines.by_ref().find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (given, value) = (line[..colon].trim_ascii_end(), &line[colon + 1..]);
        given.eq_ignore_ascii_case(name).then_some(value)
    })?;
    let mut value = value.to_vec();
    for line in lines.take_while(|line| matches!(line.first(), Some(b' ' | b'\t'))) {
        value.extend_from_slice(line);
    }
    Some(value)
}

/// Tolerant, too: without the day of the week, with comments, years of two digits, zones by
/// name (RFC 5322 §4.3; one that is not known counts as UTC).
fn in_header(text: &str) -> Option<i64> {
    let text = text.split('(').next()?;
    let text = text.split_once(',').map_or(text, |(_, date)| date);
    let mut words = text.split_ascii_whitespace();
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = month.get(..3)?;
    let year = match (year.len(), number(year, 0, 9999)?) {
        (2, year) => year + if year < 50 { 2000 } else { 1900 },
        (3, year) => year + 1900,
        (_, year) => year,
    };
    let zone = words.next().map_or("+0000", |zone| match zone.to_ascii_uppercase().as_str() {
        "EST" | "CDT" => "-0500",
        "EDT" => "-0400",
        "CST" | "MDT" => "-0600",
        "MST" | "PDT" => "-0700",
        "PST" => "-0800",
        _ if zone_seconds(zone).is_some() => zone,
        _ => "+0000",
    });
    parse(format!("{day}-{month}-{year} {time} {zone}").as_bytes())
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
    fn reads_what_headers_say() {
        for (text, instant) in [
            ("Thu, 01 Jan 1970 00:00:00 +0000", Some(0)),
            ("Wed, 17 Jul 1996 02:44:25 -0700 (PDT)", Some(837_596_665)),
            ("17 Jul 96 02:44:25 PDT", Some(837_596_665)),
            (" 17 July 1996 02:44 -0700", Some(837_596_640)),
            ("Wed, 17 Jul 1996 02:44:25 MESZ", Some(837_571_465)),
            ("Wed, 17 Jul 1996", None),
            ("yesterday", None),
            ("Wed, 17 \u{e9}\u{e9}\u{e9} 1996 02:44:25 +0000", None),
        ] {
            assert_eq!(in_header(text), instant, "{text}");
        }
        let header: &[u8] = b"Return-Path: <a@b>\r\nReceived: from a (b; c)\r\n\tby d with e; \
            Thu, 01 Jan 1970\r\n 00:01:00 +0000\r\nReceived: x; Thu, 01 Jan 1970 00:00:30 +0000\r\n\
            Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n\r\n";
        assert_eq!(of_header(header), Some(60));
        let odd: &[u8] = b"Received: nonsense\nDATE: Thu, 01 Jan 1970 00:00:07 +0000\n";
        assert_eq!(of_header(odd), Some(7));
        assert_eq!(of_header(b"Subject: none\n\n"), None);
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
