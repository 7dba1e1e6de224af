//! Units of time and of size.

/// Whether a word is a unit of time or of size.
pub(super) fn is_unit(word: &str) -> bool {
    microseconds_in(word).or(bytes_in(word)).is_some()
}

/// Bytes in a unit; powers of 1000, with an "i" of 1024. A small "m" is a minute.
pub(super) fn bytes_in(unit: &str) -> Option<f64> {
    let lower = unit.to_ascii_lowercase();
    Some(match lower.as_str() {
        "b" | "byte" | "bytes" => 1.0,
        "kb" | "kilobyte" | "kilobytes" => 1e3,
        "mb" | "megabyte" | "megabytes" | "meg" | "megs" => 1e6,
        "gb" | "gigabyte" | "gigabytes" | "gig" | "gigs" => 1e9,
        "tb" | "terabyte" | "terabytes" => 1e12,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        "k" => 1e3,
        "g" => 1e9,
        _ if unit == "M" => 1e6,
        _ => return None,
    })
}

/// Microseconds in a unit.
pub(super) fn microseconds_in(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "us" | "µs" | "microseconds" => 1.0,
        "ms" | "millisecond" | "milliseconds" | "msec" => 1e3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1e6,
        "m" | "min" | "mins" | "minute" | "minutes" => 6e7,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3.6e9,
        "d" | "day" | "days" => 8.64e10,
        _ => return None,
    })
}
