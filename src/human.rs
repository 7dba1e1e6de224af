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
