//! Times and sizes as people write and read them.

use std::time::Duration;

/// Parses `90s`, `5m`, `1h30m`, `250ms`, or a number of seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const FORM: &str = "expected a time such as 90s, 5m or 1h30m";
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(FORM.to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| FORM.to_owned())?;
        let letters = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit = match &rest[digits..letters] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "" if digits == text.len() => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(FORM.to_owned()),
        };
        let part = u32::try_from(number).ok().and_then(|number| unit.checked_mul(number));
        total = part.and_then(|part| total.checked_add(part)).ok_or("the time is too long")?;
        rest = &rest[letters..];
    }
    if total.is_zero() { Err("the time must not be zero".to_owned()) } else { Ok(total) }
}

/// Parses `512M`, `1.5G`, `64KiB`, or a number of bytes. Letters mean powers of 1024, as memory is counted.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    const FORM: &str = "expected a size such as 512M or 2G";
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(FORM.to_owned()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| FORM.to_owned())?;
    let mut bytes = whole.checked_mul(factor).ok_or("the size is too large")?;
    if number.contains('.') {
        // Three digits are as exact as anybody writes; whole numbers only, so that nothing is rounded twice.
        if fraction.is_empty() || fraction.len() > 3 || factor == 1 {
            return Err(FORM.to_owned());
        }
        let thousandths: u64 = format!("{fraction:0<3}").parse().map_err(|_| FORM.to_owned())?;
        bytes = bytes.checked_add(thousandths * (factor / 1000)).ok_or("the size is too large")?;
    }
    if bytes == 0 { Err("the size must not be zero".to_owned()) } else { Ok(bytes) }
}

/// `1.2 KB`: powers of 1024, one decimal below ten.
pub(crate) fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    if tenths < 100 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", tenths / 10, UNITS[unit])
    }
}

/// `41 ms`, `2.4 s`, `3 min 5 s`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// Whole milliseconds for JSON.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let check = |text: &str, ms: u64| {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        };
        check("5m", 300_000);
        check("90s", 90_000);
        check("90", 90_000);
        check("1h30m", 5_400_000);
        check("250ms", 250);
        check("1m500ms", 60_500);
    }

    #[test]
    fn other_durations_are_refused() {
        for text in ["", "0", "0s", "m", "5 m", "-5s", "1h30", "5x", "1.5h", "99999999999h", "s5", "5m5"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read() {
        let check = |text: &str, bytes: u64| assert_eq!(parse_size(text), Ok(bytes), "{text}");
        check("512M", 512 << 20);
        check("512MiB", 512 << 20);
        check("2g", 2 << 30);
        check("1024", 1024);
        check("64k", 64 << 10);
        check("1.5G", (1 << 30) + 500 * ((1 << 30) / 1000));
    }

    #[test]
    fn other_sizes_are_refused() {
        for text in ["", "0", "0M", "M", "-1M", "1.M", "1..5M", "1.5", "5 M", "5X", "99999999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1234, "1.2 KB"),
            (20 << 10, "20 KB"),
            (18 << 20, "18 MB"),
            (1 << 30, "1.0 GB"),
        ];
        for (bytes, shown) in sizes {
            assert_eq!(show_size(bytes), shown);
        }
        assert_eq!(show_size(u64::MAX), "1677721 TB");
        let times = [(41, "41 ms"), (2_449, "2.4 s"), (185_000, "3 min 5 s")];
        for (ms, shown) in times {
            assert_eq!(show_duration(Duration::from_millis(ms)), shown);
        }
    }
}
