//! Durations as people write them: 30s, 15m, 24h, 7d.

use std::time::Duration;

/// The longest: ten years. What is longer was mistyped.
const DAYS_MAX: u64 = 3_650;

/// Reads a whole number and a unit: s, m, h or d.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write 30s, 15m, 24h or 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: u64 = text.strip_suffix(unit).unwrap_or_default().parse().map_err(|_| wrong())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(seconds)
        .filter(|&seconds| seconds <= DAYS_MAX * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is longer than {DAYS_MAX}d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_make_a_duration() {
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(parse("3650d"), Ok(Duration::from_secs(315_360_000)));
        assert_eq!(parse("3651d"), Err(r#""3651d" is longer than 3650d"#.to_owned()));
        for wrong in ["", "s", "5", "5 m", "-1h", "1.5h", "5w", "99999999999999999d", "5é"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
