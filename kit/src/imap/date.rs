//! INTERNALDATE (RFC 9051 §9 `date-time`) to and from seconds since 1970, and plain dates.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days since 1970-01-01 of a civil date in the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a count of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = (mp + 2) % 12 + 1;
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// Seconds since 1970 as `01-Jan-2020 09:00:00 +0000`.
#[must_use]
pub(super) fn format(seconds: i64) -> String {
    let (day, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, date) = civil(day);
    let name = usize::try_from(month - 1).ok().and_then(|m| MONTHS.get(m)).unwrap_or(&"Jan");
    let (h, m, s) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{date:02}-{name}-{year:04} {h:02}:{m:02}:{s:02} +0000")
}

/// Reads `1-Jan-2020` as days since 1970.
#[must_use]
pub(super) fn parse_day(text: &str) -> Option<i64> {
    let mut parts = text.trim_start().splitn(3, '-');
    let day = number(parts.next()?, 1, 2)?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))?;
    let year = number(parts.next()?, 4, 4)?;
    let month = i64::try_from(month).ok()? + 1;
    let count = days(year, month, day);
    // The 31st of June comes back as the 1st of July: refused.
    (civil(count) == (year, month, day)).then_some(count)
}

/// Reads `" 1-Jan-2020 10:00:00 +0100"` (without the quotes); none when it is no date-time.
#[must_use]
pub(super) fn parse(text: &str) -> Option<i64> {
    let mut parts = text.trim_start().split(' ');
    let day = parse_day(parts.next()?)?;
    let mut clock = parts.next()?.split(':');
    let (h, m, s) = (clock.next()?, clock.next()?, clock.next()?);
    let (h, m, s) = (number(h, 2, 2)?, number(m, 2, 2)?, number(s, 2, 2)?);
    let zone = parts.next()?;
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let zone = number(zone.get(1..)?, 4, 4)?;
    if h > 23 || m > 59 || s > 60 || zone % 100 > 59 || clock.next().or(parts.next()).is_some() {
        return None;
    }
    let offset = sign * (zone / 100 * 3600 + zone % 100 * 60);
    Some(day * 86_400 + h * 3600 + m * 60 + s - offset)
}

fn number(text: &str, least: usize, most: usize) -> Option<i64> {
    let fits = (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        assert_eq!(parse("01-Jan-2020 10:00:00 +0100"), Some(1_577_869_200));
        assert_eq!(format(1_577_869_200), "01-Jan-2020 09:00:00 +0000");
        assert_eq!(parse(" 1-jan-1970 00:00:00 +0000"), Some(0));
        for seconds in [-86_400_i64 * 400, -1, 0, 951_782_400, 1_709_164_800, 4_102_444_800] {
            assert_eq!(parse(&format(seconds)), Some(seconds));
        }
    }

    #[test]
    fn not_a_date() {
        for bad in [
            "",
            "bad date",
            "31-Jun-2020 10:00:00 +0000",
            "1-Jan-2020 25:00:00 +0000",
            "1-Jan-2020",
            "1-Jan-2020 10:00:00 0000",
            "1-Jan-2020 10:00:00 +0000 x",
            "é-Jan-2020 10:00:00 +é00",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
