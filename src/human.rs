//! Amounts in units for people.

/// A number of bytes, in units of 1024.
pub fn bytes(n: i64) -> String {
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = "KiB";
    for larger in ["MiB", "GiB", "TiB", "PiB", "EiB"] {
        // 1023.95 and more would round to 1024.0: use the next unit.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// A number of bytes in five characters, for narrow columns: K is 1024.
pub fn short_bytes(n: f64) -> String {
    if n < 999.5 {
        return format!("{n:.0}");
    }
    let mut value = n / 1024.0;
    let mut unit = 'K';
    for larger in ['M', 'G', 'T', 'P', 'E'] {
        if value < 999.5 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    match value < 9.95 {
        true => format!("{value:.1}{unit}"),
        false => format!("{value:.0}{unit}"),
    }
}

/// A number in five characters: K is 1000.
pub fn short_count(n: i64) -> String {
    match n {
        ..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{}K", n / 1_000),
        1_000_000..10_000_000_000 => format!("{}M", n / 1_000_000),
        _ => format!("{}G", n / 1_000_000_000),
    }
}

/// A duration, given in microseconds, in its largest unit.
pub fn short_duration(us: i64) -> String {
    let seconds = us / 1_000_000;
    match seconds {
        ..10 => format!("{:.1}s", us as f64 / 1e6),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A duration, given in microseconds, in its two largest units.
pub fn duration(us: i64) -> String {
    match us {
        ..1_000 => format!("{us}us"),
        1_000..999_950 => format!("{:.1}ms", us as f64 / 1e3),
        999_950..59_950_000 => format!("{:.1}s", us as f64 / 1e6),
        _ => long(us.saturating_add(500_000) / 1_000_000),
    }
}

/// A minute or more, in seconds.
fn long(seconds: i64) -> String {
    let (large, unit, small, rest) = match seconds {
        ..3_600 => (seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => (seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => (seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    };
    match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit} {small}{rest}"),
    }
}

/// A number with its noun: `1 process`, `2 processes`.
pub fn count(n: i64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_use_the_largest_unit_of_which_there_is_at_least_one() {
        for (n, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (i64::MAX, "8.0 EiB"),
            (-1, "-1 B"),
        ] {
            assert_eq!(bytes(n), shown);
        }
    }

    #[test]
    fn short_forms_fit_narrow_columns() {
        for (n, shown) in [
            (0.0, "0"),
            (999.0, "999"),
            (1000.0, "1.0K"),
            (10_240.0, "10K"),
            (1_023_000.0, "999K"),
            (1_024_000.0, "1.0M"),
            (5e9, "4.7G"),
            (i64::MAX as f64, "8.0E"),
        ] {
            assert_eq!(short_bytes(n), shown);
        }
        for (n, shown) in [(9_999, "9999"), (12_345, "12K"), (12_345_678, "12M")] {
            assert_eq!(short_count(n), shown);
        }
        for (us, shown) in [
            (0, "0.0s"),
            (1_250_000, "1.2s"),
            (12_340_000, "12s"),
            (125_000_000, "2m"),
            (7_500_000_000, "2h"),
            (273_600_000_000, "3d"),
        ] {
            assert_eq!(short_duration(us), shown);
        }
    }

    #[test]
    fn durations_show_at_most_two_units() {
        for (us, shown) in [
            (0, "0us"),
            (999, "999us"),
            (12_340, "12.3ms"),
            (999_960, "1.0s"),
            (59_990_000, "1m"),
            (125_000_000, "2m 5s"),
            (7_500_000_000, "2h 5m"),
            (7_200_000_000, "2h"),
            (273_600_000_000, "3d 4h"),
            (i64::MAX, "106751991d 4h"),
        ] {
            assert_eq!(duration(us), shown);
        }
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(count(1, "process", "processes"), "1 process");
        assert_eq!(count(0, "process", "processes"), "0 processes");
    }
}
