//! Arrivals at the instants of a file: what was recorded somewhere is offered again.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amendment::Multiplier;

/// Most instants of a file.
pub const RECORDED_MAX: usize = 5_000_000;

/// A file of instants, or of the gaps between them: CSV, of which the first line may name the columns, or a number a
/// line. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordedArrivals {
    /// A file of the bundle.
    pub file: String,
    /// The column that has them, by its name in the first line; the first column when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What the numbers are.
    #[serde(default, skip_serializing_if = "RecordedValues::is_default")]
    pub values: RecordedValues,
    /// How many times as fast as they were recorded they are offered.
    #[serde(default, skip_serializing_if = "is_one")]
    pub speed: Multiplier,
    /// The instants, once somebody has read the file: whoever makes the schedule has to. They travel in the file.
    #[serde(skip)]
    pub instants: Option<Instants>,
}

/// What the numbers of a file of arrivals are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordedValues {
    /// Seconds from the start of the load, none before the one above it.
    #[default]
    Instants,
    /// Seconds since the arrival before; of the first, since the start of the load.
    Gaps,
}

impl RecordedValues {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn is_one(speed: &Multiplier) -> bool {
    *speed == Multiplier::default()
}

/// Instants in nanoseconds from the start of the load, rising. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Instants(pub Arc<[u64]>);

impl fmt::Debug for Instants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} instants", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Arrivals, Group};

    fn read(text: &str) -> Result<Arrivals, String> {
        let group: Result<Group, _> = crate::codec::from_text(&format!("target: http://h/\narrivals: {text}"));
        group.map(|group| group.arrivals).map_err(|error| error.to_string())
    }

    #[test]
    fn arrivals_are_a_word_or_a_file_and_come_back_the_same() {
        for (text, written) in [
            ("constant", r#""constant""#),
            ("poisson", r#""poisson""#),
            ("{file: a.csv}", r#"{"file":"a.csv"}"#),
            ("{file: a.csv, values: instants, speed: 1}", r#"{"file":"a.csv"}"#),
            (
                "{file: a.csv, column: at, values: gaps, speed: 2.5}",
                r#"{"file":"a.csv","column":"at","values":"gaps","speed":2.5}"#,
            ),
        ] {
            let arrivals = read(text).unwrap();
            assert_eq!(serde_json::to_string(&arrivals).unwrap(), written);
            let packed = crate::codec::encode(&arrivals).unwrap();
            assert_eq!(crate::codec::decode::<Arrivals>(&packed).unwrap(), arrivals);
        }
    }

    #[test]
    fn what_is_misspelt_is_named_and_what_was_read_does_not_travel() {
        assert!(read("poison").unwrap_err().contains("constant, poisson, or recorded"));
        assert!(read("{fiel: a.csv}").unwrap_err().contains("fiel"));
        assert!(read("{file: a.csv, instants: [1]}").unwrap_err().contains("instants"));
        let Ok(Arrivals::Recorded(mut recorded)) = read("{file: a.csv}") else { panic!("not recorded") };
        recorded.instants = Some(Instants([1, 2].into()));
        assert_eq!(serde_json::to_string(&recorded).unwrap(), r#"{"file":"a.csv"}"#);
    }
}
