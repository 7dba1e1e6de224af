//! Values of options: durations, sizes and counts.
#![cfg_attr(
    not(feature = "record"),
    expect(dead_code, reason = "most are the recorder's")
)]

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::store::Override;

pub fn duration(text: &str) -> Result<Duration> {
    let duration =
        humantime::parse_duration(text).context("invalid duration; try 60s, 10m or 1h 30m")?;
    if duration.is_zero() {
        bail!("the duration must be longer than zero; try 60s, 10m or 1h 30m");
    }
    Ok(duration)
}

pub fn at_least_one(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => bail!("expected a number of at least 1, for example 100000"),
    }
}

/// "none" and "default", which every limit accepts.
fn keyword<T>(text: &str) -> Option<Override<T>> {
    match text.to_ascii_lowercase().as_str() {
        "none" => Some(Override::Unbounded),
        "default" => Some(Override::Default),
        _ => None,
    }
}

/// `--keep`, `--keep-summary`: a duration, "none" or "default".
pub fn kept_time(text: &str) -> Result<Override<Duration>> {
    if let Some(keyword) = keyword(text) {
        return Ok(keyword);
    }
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() => Ok(Override::Bound(time)),
        _ => bail!("expected a duration such as 30d or 12h, \"none\" or \"default\""),
    }
}

/// `--max-size`: a size of at least 1M (`M` or `MiB`, `G` or `GiB`), "none" or "default".
pub fn max_size(text: &str) -> Result<Override<u64>> {
    if let Some(keyword) = keyword(text) {
        return Ok(keyword);
    }
    let upper = text.to_ascii_uppercase();
    let number = upper.trim_end_matches("IB");
    let (number, unit) = match (number.strip_suffix('M'), number.strip_suffix('G')) {
        (Some(number), _) => (number, 1 << 20),
        (_, Some(number)) => (number, 1 << 30),
        _ => ("", 1),
    };
    match number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)) {
        Some(bytes) if bytes > 0 => Ok(Override::Bound(bytes)),
        _ => bail!("expected a size such as 500M or 2GiB, \"none\" or \"default\""),
    }
}

/// 4K to 1G, the sizes that a ring buffer can have.
pub fn ring_bytes(text: &str) -> Result<u32> {
    let (number, unit) = match text.strip_suffix(['K', 'k']) {
        Some(number) => (number, 10),
        None => match text.strip_suffix(['M', 'm']) {
            Some(number) => (number, 20),
            None => (text, 0),
        },
    };
    let bytes = number
        .parse::<u32>()
        .ok()
        .and_then(|n| n.checked_mul(1 << unit));
    match bytes {
        Some(bytes) if (4096..=1 << 30).contains(&bytes) => Ok(bytes),
        _ => bail!("expected a size from 4K to 1024M, for example 16M"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_have_units_and_bounds() {
        assert_eq!(ring_bytes("64K").unwrap(), 65_536);
        assert_eq!(ring_bytes("16M").unwrap(), 16 << 20);
        for bad in ["", "1", "5G", "4294967296", "-1", "M", "2000M"] {
            assert!(ring_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(max_size("2GiB").unwrap(), Override::Bound(2 << 30));
        assert_eq!(max_size("500m").unwrap(), Override::Bound(500 << 20));
        assert_eq!(max_size("none").unwrap(), Override::Unbounded);
        assert_eq!(max_size("Default").unwrap(), Override::Default);
        let day = Duration::from_secs(86_400);
        assert_eq!(kept_time("1d").unwrap(), Override::Bound(day));
        assert_eq!(kept_time("none").unwrap(), Override::Unbounded);
        assert!(kept_time("never").is_err());
        for bad in ["", "0M", "2", "-1G", "99999999999G", "GiB"] {
            assert!(max_size(bad).is_err(), "{bad}");
        }
        assert_eq!(duration("1m 30s").unwrap(), Duration::from_secs(90));
        for bad in ["", "0s", "10", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
