use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use rungs::store::{Budget, Window, Zone};

fn window(text: &str) -> Window {
    text.parse().expect("a window")
}

/// A moment as people write it: `2026-03-29T01:00Z`.
fn at(text: &str) -> SystemTime {
    let timestamp: jiff::Timestamp = text.parse().expect("a moment");
    timestamp.into()
}

#[test]
fn windows_are_written_as_they_are_read() {
    for text in [
        "day",
        "week",
        "week@sun",
        "month",
        "month@15",
        "month@31 Europe/Berlin",
        "day Pacific/Kiritimati",
        "total",
    ] {
        assert_eq!(window(text).to_string(), text);
        let budget: Budget = format!("0.5/{text}").parse().expect("a budget");
        assert_eq!(budget.window, window(text));
        assert_eq!(budget.to_string(), format!("0.5/{text}"));
    }
    for (long, short) in [
        ("week@mon", "week"),
        ("month@1", "month"),
        ("day UTC", "day"),
        ("total Europe/Berlin", "total"),
        ("day europe/berlin", "day Europe/Berlin"),
    ] {
        assert_eq!(window(long).to_string(), short);
    }
    for (wrong, why) in [
        ("", "windows are day, week, month and total"),
        ("hour", "windows are"),
        ("Day", "windows are"),
        ("day@3", "only week and month"),
        ("week@1", "mon, tue"),
        ("week@", "mon, tue"),
        ("month@0", "1 to 31"),
        ("month@32", "1 to 31"),
        ("month@-1", "1 to 31"),
        ("month@mon", "1 to 31"),
        ("day Europe/Bonn", "no time zone"),
        ("day ", "no time zone"),
        ("day Etc/Unknown", "no time zone"),
        ("day  Europe/Berlin", "no time zone"),
        ("day UTC+1", "no time zone"),
    ] {
        let error = wrong.parse::<Window>().expect_err(wrong);
        assert!(error.message().contains(why), "{wrong}: {error}");
    }
}

#[test]
fn windows_begin_and_end_where_the_calendar_of_their_zone_says() {
    for (text, now, start, end) in [
        // UTC: leap day, turn of the year, a week over it.
        (
            "day",
            "2028-02-29T12:00Z",
            "2028-02-29T00:00Z",
            "2028-03-01T00:00Z",
        ),
        (
            "month",
            "2028-02-29T12:00Z",
            "2028-02-01T00:00Z",
            "2028-03-01T00:00Z",
        ),
        (
            "month",
            "2026-12-31T23:59Z",
            "2026-12-01T00:00Z",
            "2027-01-01T00:00Z",
        ),
        (
            "week",
            "2027-01-01T00:00Z",
            "2026-12-28T00:00Z",
            "2027-01-04T00:00Z",
        ),
        (
            "week@fri",
            "2027-01-01T00:00Z",
            "2027-01-01T00:00Z",
            "2027-01-08T00:00Z",
        ),
        (
            "week@sat",
            "2027-01-01T00:00Z",
            "2026-12-26T00:00Z",
            "2027-01-02T00:00Z",
        ),
        // Months that are too short for their first day.
        (
            "month@31",
            "2026-02-27T12:00Z",
            "2026-01-31T00:00Z",
            "2026-02-28T00:00Z",
        ),
        (
            "month@31",
            "2026-02-28T12:00Z",
            "2026-02-28T00:00Z",
            "2026-03-31T00:00Z",
        ),
        (
            "month@31",
            "2028-02-29T12:00Z",
            "2028-02-29T00:00Z",
            "2028-03-31T00:00Z",
        ),
        (
            "month@30",
            "2028-03-01T12:00Z",
            "2028-02-29T00:00Z",
            "2028-03-30T00:00Z",
        ),
        (
            "month@29",
            "2026-03-28T12:00Z",
            "2026-02-28T00:00Z",
            "2026-03-29T00:00Z",
        ),
        (
            "month@31",
            "2026-04-30T00:00Z",
            "2026-04-30T00:00Z",
            "2026-05-31T00:00Z",
        ),
        (
            "month@15",
            "2026-01-14T23:59Z",
            "2025-12-15T00:00Z",
            "2026-01-15T00:00Z",
        ),
        // Berlin sets its clocks forward: a day of 23 hours; and back: one of 25.
        (
            "day Europe/Berlin",
            "2026-03-29T12:00Z",
            "2026-03-28T23:00Z",
            "2026-03-29T22:00Z",
        ),
        (
            "day Europe/Berlin",
            "2026-10-25T12:00Z",
            "2026-10-24T22:00Z",
            "2026-10-25T23:00Z",
        ),
        (
            "week Europe/Berlin",
            "2026-10-25T12:00Z",
            "2026-10-18T22:00Z",
            "2026-10-25T23:00Z",
        ),
        (
            "month Europe/Berlin",
            "2026-03-31T22:00Z",
            "2026-03-31T22:00Z",
            "2026-04-30T22:00Z",
        ),
        (
            "month@29 Europe/Berlin",
            "2026-03-29T00:30Z",
            "2026-03-28T23:00Z",
            "2026-04-28T22:00Z",
        ),
        // The farthest ends of the day.
        (
            "day Pacific/Kiritimati",
            "2026-11-28T10:00Z",
            "2026-11-28T10:00Z",
            "2026-11-29T10:00Z",
        ),
        (
            "month Pacific/Kiritimati",
            "2026-11-30T10:00Z",
            "2026-11-30T10:00Z",
            "2026-12-31T10:00Z",
        ),
        (
            "day Etc/GMT+12",
            "2026-11-28T11:59Z",
            "2026-11-27T12:00Z",
            "2026-11-28T12:00Z",
        ),
        (
            "day Asia/Kathmandu",
            "2026-11-28T18:15Z",
            "2026-11-28T18:15Z",
            "2026-11-29T18:15Z",
        ),
        // Midnight is left out: the day begins at one.
        (
            "day America/Sao_Paulo",
            "2018-11-04T12:00Z",
            "2018-11-04T03:00Z",
            "2018-11-05T02:00Z",
        ),
        // Midnight comes twice, at 04:00 and 05:00 UTC: once it has begun the day goes on.
        (
            "day America/Havana",
            "2024-11-03T05:30Z",
            "2024-11-03T04:00Z",
            "2024-11-04T05:00Z",
        ),
        // A minute after midnight it is yesterday again; the budget is not.
        (
            "day America/St_Johns",
            "2010-11-07T02:45Z",
            "2010-11-07T02:30Z",
            "2010-11-08T03:30Z",
        ),
        // A whole day is left out.
        (
            "day Pacific/Apia",
            "2011-12-30T09:59Z",
            "2011-12-29T10:00Z",
            "2011-12-30T10:00Z",
        ),
        (
            "day Pacific/Apia",
            "2011-12-30T10:00Z",
            "2011-12-30T10:00Z",
            "2011-12-31T10:00Z",
        ),
    ] {
        let (start, end) = (at(start), at(end));
        let w = window(text);
        assert_eq!(w.span(at(now)), (start, Some(end)), "{text} at {now}");
        assert_eq!((w.start(at(now)), w.end(at(now))), (start, Some(end)));
        for inside in [start, end - Duration::from_nanos(1)] {
            assert_eq!(w.span(inside), (start, Some(end)), "{text} at {now}");
        }
        assert_eq!(w.start(end), end, "{text}: the next begins");
    }
    let now = SystemTime::now();
    assert_eq!(Window::TOTAL.span(now), (UNIX_EPOCH, None));
}

#[test]
fn what_resets_says_when_and_where() {
    let now = at("2026-11-28T12:00Z");
    for (text, reset) in [
        ("day", "resets on 2026-11-29 at 00:00 UTC"),
        (
            "week@sun Europe/Berlin",
            "resets on 2026-11-29 at 00:00 Europe/Berlin",
        ),
        (
            "month@15 Pacific/Kiritimati",
            "resets on 2026-12-15 at 00:00 Pacific/Kiritimati",
        ),
        ("total", "does not reset"),
    ] {
        assert_eq!(window(text).reset(now), reset);
    }
    let late = at("2018-11-03T12:00Z");
    assert_eq!(
        window("day America/Sao_Paulo").reset(late),
        "resets on 2018-11-04 at 01:00 America/Sao_Paulo"
    );
}

#[test]
fn times_that_no_clock_shows_are_no_trouble() {
    let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
    for text in [
        "day",
        "week@sun",
        "month@31 Europe/Berlin",
        "day Pacific/Niue",
    ] {
        let w = window(text);
        let (start, _) = w.span(UNIX_EPOCH - Duration::from_secs(1));
        assert!(start <= UNIX_EPOCH);
        let _ = (w.span(far), w.reset(far));
    }
}

fn zone() -> impl Strategy<Value = Zone> {
    let names: Vec<String> = jiff::tz::db()
        .available()
        .map(|name| name.to_string())
        .collect();
    prop::sample::select(names).prop_filter_map("a zone of places", |name| name.parse().ok())
}

fn any_window() -> impl Strategy<Value = Window> {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let period = prop_oneof![
        Just("day".to_owned()),
        prop::sample::select(days.to_vec()).prop_map(|day| format!("week@{day}")),
        (1..=31u8).prop_map(|day| format!("month@{day}")),
    ];
    (period, zone()).prop_map(|(period, zone)| window(&period).in_zone(zone))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn windows_tile_time_without_gap_or_overlap(w in any_window(), seconds in 0..4_102_444_800u64) {
        let now = UNIX_EPOCH + Duration::from_secs(seconds);
        let (start, end) = w.span(now);
        let end = end.expect("it ends");
        prop_assert!(start <= now && now < end, "{:?}", w);
        let nano = Duration::from_nanos(1);
        prop_assert_eq!(w.span(end - nano), (start, Some(end)));
        prop_assert_eq!(w.start(end), end);
        if start > UNIX_EPOCH {
            prop_assert_eq!(w.span(start), (start, Some(end)));
            prop_assert_eq!(w.end(start - nano), Some(start));
        }
        let again: Window = w.to_string().parse().expect("it is read as it is written");
        prop_assert_eq!(again, w);
    }
}
