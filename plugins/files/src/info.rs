//! `file_info`: what is known of a path.

use std::time::UNIX_EPOCH;

use aos_sdk::{Answer, ToolError, fs, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::walk::Kind;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct FileInfo {
    /// The file or directory, for example `/src/main.rs`.
    path: String,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Info {
    path: String,
    kind: Kind,
    size_bytes: u64,
    /// In UTC, as `2026-01-31T12:00:00Z`; none where it is not known.
    modified: Option<String>,
}

/// Tells of a file or directory: kind, size in bytes, time of the last change.
///
/// A symbolic link is followed.
#[tool(read_only, idempotent, title = "File info")]
pub(crate) fn file_info(arguments: FileInfo) -> Result<Answer<Info>, ToolError> {
    let path = fs::normalize(&arguments.path);
    let metadata = fs::metadata(&path)?;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let info = Info {
        kind: Kind::of(metadata.file_type()),
        size_bytes: metadata.len(),
        modified: modified.map(|since| utc(since.as_secs())),
        path,
    };
    let mut text = format!("{}: {}, {} bytes", info.path, info.kind.name(), info.size_bytes);
    if let Some(modified) = &info.modified {
        text.push_str(&format!(", changed {modified}"));
    }
    Ok(Answer::new(text, info))
}

/// Seconds since 1970 as a date, by the civil calendar: years of March to February, so that the
/// leap day is the last of a year, in eras of 400 years.
fn utc(seconds: u64) -> String {
    const DAYS_PER_ERA: u64 = 146_097;
    /// From 0000-03-01 to 1970-01-01.
    const DAYS_BEFORE_EPOCH: u64 = 719_468;
    let days = seconds / 86_400 + DAYS_BEFORE_EPOCH;
    let (era, day) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn utc_writes_dates_of_the_civil_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_704_067_199, "2023-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), date);
        }
    }
}
