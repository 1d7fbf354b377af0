//! Files out of the store: CSV for spreadsheets, Parquet for data frames, the files of Galileo's notebooks, and one
//! JSON document with everything.
//!
//! Request records are streamed row by row in all of them, so that an export needs no more memory for a long run.

mod csv;
mod galileo;
mod json;
mod parquet;
mod table;

pub use csv::csv;
pub use galileo::galileo;
pub use json::json;
pub use parquet::parquet;

/// Nanoseconds of run time as seconds since the Unix epoch with six decimals; the decimal point is exact, no `f64` is
/// involved.
fn epoch_seconds(started_unix_ms: u64, run_ns: i64) -> String {
    let microseconds = i128::from(started_unix_ms) * 1_000 + i128::from(run_ns) / 1_000;
    format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

/// Nanoseconds since the Unix epoch as seconds with nine decimals, exactly.
fn unix_seconds(unix_ns: u64) -> String {
    format!("{}.{:09}", unix_ns / 1_000_000_000, unix_ns % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_seconds_are_exact_to_the_microsecond() {
        assert_eq!(epoch_seconds(1_767_225_600_123, 4_567_891), "1767225600.127567");
        assert_eq!(epoch_seconds(0, 0), "0.000000");
        assert_eq!(epoch_seconds(1_767_225_600_000, 86_400_000_000_000), "1767312000.000000");
    }
}
