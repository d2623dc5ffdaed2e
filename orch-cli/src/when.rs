//! Times as people write and read them: those of the place where they are.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use orch_runtime::Timestamp;

/// The local time.
pub(crate) fn local(at: Timestamp) -> String {
    shown(at, &TimeZone::system())
}

fn shown(at: Timestamp, zone: &TimeZone) -> String {
    let millis = i64::try_from(at.as_millis()).ok();
    match millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok()) {
        Some(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        None => "never".to_owned(),
    }
}

/// A point in time: so long ago, a local date and time, or one with its offset.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    read(text, Timestamp::now(), &TimeZone::system()).ok_or_else(|| {
        "expected so long ago (90s, 30m, 2h, 7d, 2w), a local date and time (2026-11-22, \
         \"2026-11-22 14:30\"), or one with its offset (2026-11-22T14:30:00Z)"
            .to_owned()
    })
}

fn read(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if let Some(ago) = length(text) {
        let millis = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        return Some(Timestamp::from_millis(now.as_millis().saturating_sub(millis)));
    }
    let at = match text.parse::<jiff::Timestamp>() {
        Ok(at) => at,
        Err(_) => text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok()?.timestamp(),
    };
    u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_millis)
}

fn length(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    /// Two hours and a half before Greenwich.
    fn zone() -> TimeZone {
        TimeZone::posix("<-0230>2:30").unwrap()
    }

    fn check(text: &str, millis: Option<u64>) {
        assert_eq!(read(text, NOW, &zone()), millis.map(Timestamp::from_millis), "{text}");
    }

    #[test]
    fn a_length_of_time_is_so_long_ago() {
        check("90s", Some(1_799_999_910_000));
        check("2h", Some(1_799_992_800_000));
        check("1w", Some(1_799_395_200_000));
        check("99999999w", Some(0));
        check("99999999999999999w", None);
        check("-2h", None);
    }

    #[test]
    fn a_date_is_local_unless_it_says_its_offset() {
        check("1970-01-02", Some(86_400_000 + 9_000_000));
        check("1970-01-01 01:00", Some(3_600_000 + 9_000_000));
        check("1970-01-01T01:00:00.5", Some(3_600_500 + 9_000_000));
        check("1970-01-01T01:00:00Z", Some(3_600_000));
        check("1969-12-31", None);
        check("yesterday", None);
        check("12", None);
        check("", None);
    }

    #[test]
    fn a_time_reads_back_as_it_is_shown() {
        assert_eq!(shown(NOW, &zone()), "2027-01-15 05:30:00.000");
        assert_eq!(read(&shown(NOW, &zone()), NOW, &zone()), Some(NOW));
        assert_eq!(shown(Timestamp::NEVER, &zone()), "never");
    }
}
