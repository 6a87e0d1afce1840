//! Durations as people write them in flags, query parameters and the configuration: `500ms`, `10s`,
//! `1h30m`.
#![forbid(unsafe_code)]

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration; such as 500ms, 10s, 5m or 1h30m")]
pub struct NotADuration;

/// Reads a duration; a number needs its unit, and a day has 24 hours.
///
/// # Errors
/// [`NotADuration`], for a negative one and for months and years too.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or(NotADuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_and_is_not_negative() {
        for (text, expected) in [
            ("0s", Some(0)),
            ("500ms", Some(500)),
            ("1.5s", Some(1500)),
            ("10s", Some(10_000)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("", None),
            ("10", None),
            ("-1s", None),
            ("1x", None),
            ("1month", None),
            ("99999999999999999999s", None),
        ] {
            let got = parse(text).ok();
            assert_eq!(got, expected.map(Duration::from_millis), "{text}");
        }
    }
}
