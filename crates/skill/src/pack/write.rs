//! The ZIP itself. Everything that could differ between two machines is fixed here: order is the caller's, and time,
//! modes, level of compression and the system that an entry claims to come from are constants.

use std::io::{self, Cursor};

use zip::{
    CompressionMethod, DateTime, PreparedZipFile, System, ZipWriter, result::ZipError,
    write::SimpleFileOptions,
};

use super::{Layout, PackError, PackOptions};
use crate::{bundle::BundleLimits, name::SkillName};

/// As small as usual, and a number that will not be changed: another one gives other bytes.
const LEVEL: i64 = 6;
/// The first and the last second that a ZIP can say.
const FIRST_TIME: u64 = 315_532_800;
const LAST_TIME: u64 = 4_354_819_198;

/// A bundle that is being made.
pub(super) struct Bundle {
    zip: ZipWriter<Cursor<Vec<u8>>>,
    /// What stands before each path.
    prefix: String,
    time: DateTime,
    max_ratio: u64,
}

impl Bundle {
    pub(super) fn new(name: &SkillName, options: &PackOptions, limits: &BundleLimits) -> Self {
        let prefix = match options.layout {
            Layout::Wrapped => format!("{name}/"),
            Layout::Flat => String::new(),
        };
        Self {
            zip: ZipWriter::new(Cursor::new(Vec::new())),
            prefix,
            time: time(options.time),
            max_ratio: limits.max_ratio,
        }
    }

    /// Adds a file. Compressed, unless that gains nothing or would look like a bomb to a reader.
    pub(super) fn add(&mut self, path: &str, executable: bool, bytes: &[u8]) -> Result<(), PackError> {
        let name = format!("{}{path}", self.prefix);
        let with = |method| {
            SimpleFileOptions::default()
                .system(System::Unix)
                .last_modified_time(self.time)
                .unix_permissions(if executable { 0o755 } else { 0o644 })
                .compression_level((method == CompressionMethod::Deflated).then_some(LEVEL))
                .compression_method(method)
        };
        let deflated =
            PreparedZipFile::from_data(&name, with(CompressionMethod::Deflated), bytes).map_err(failed)?;
        let (size, compressed) = (deflated.uncompressed_size(), deflated.compressed_size());
        let entry = if compressed >= size || size > compressed.saturating_mul(self.max_ratio) {
            PreparedZipFile::from_data(&name, with(CompressionMethod::Stored), bytes).map_err(failed)?
        } else {
            deflated
        };
        self.zip.add_prepared_file(entry).map_err(failed)
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, PackError> {
        Ok(self.zip.finish().map_err(failed)?.into_inner())
    }
}

fn failed(error: ZipError) -> PackError {
    PackError::Zip(match error {
        ZipError::Io(error) => error,
        other => io::Error::other(other),
    })
}

/// The time of the entries, in UTC. A ZIP knows years from 1980 to 2107, and every second second.
fn time(seconds: u64) -> DateTime {
    let seconds = seconds.clamp(FIRST_TIME, LAST_TIME);
    let of_day = seconds % 86_400;
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let small = |number: u64| u8::try_from(number).unwrap_or_default();
    DateTime::from_date_and_time(
        u16::try_from(year).unwrap_or_default(),
        small(month),
        small(day),
        small(hour),
        small(minute),
        small(second),
    )
    .unwrap_or_default()
}

/// Year, month and day of a day since 1970, in the Gregorian calendar; years are counted from March, so that the leap day is
/// the last of them.
fn date(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let check = |seconds: u64, expected: &str| {
            let t = time(seconds);
            let shown = format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                t.year(),
                t.month(),
                t.day(),
                t.hour(),
                t.minute(),
                t.second()
            );
            assert_eq!(shown, expected, "{seconds}");
        };
        check(0, "1980-01-01 00:00:00");
        check(315_532_800, "1980-01-01 00:00:00");
        check(951_782_400, "2000-02-29 00:00:00");
        check(951_868_799, "2000-02-29 23:59:58");
        check(951_868_800, "2000-03-01 00:00:00");
        check(1_735_689_600, "2025-01-01 00:00:00");
        check(1_709_164_800, "2024-02-29 00:00:00");
        check(4_354_819_198, "2107-12-31 23:59:58");
        check(u64::MAX, "2107-12-31 23:59:58");
    }
}
