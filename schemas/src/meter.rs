//! Meters: figures that a test or a protocol has of its own, by name. They are declared before the start, so that
//! everybody who adds them up has the same ones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::check_token;

mod declared;

pub use declared::DeclaredMeter;

/// Most meters of a group.
pub const METERS_MAX: usize = 64;

/// What a meter adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeterKind {
    /// A sum.
    Counter,
    /// How values are distributed.
    Histogram,
}

/// What its values are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeterUnit {
    /// Things that are counted.
    #[default]
    Number,
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Nanoseconds,
}

/// Histograms have a resolution of a microsecond and go up to one hour. Values that are no time are kept as so many
/// microseconds: whole numbers up to 3.6 thousand million, at 0.1 % where they are large.
const SCALE: u64 = 1_000;

/// A meter, as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Meter {
    /// Name; unique in its group.
    pub name: String,
    /// What it adds up.
    pub kind: MeterKind,
    /// What its values are of.
    #[serde(default)]
    pub unit: MeterUnit,
}

impl Meter {
    /// A value as its histogram keeps it, in what that takes for nanoseconds.
    pub const fn scaled(&self, value: u64) -> u64 {
        match self.unit {
            MeterUnit::Nanoseconds => value,
            MeterUnit::Number | MeterUnit::Bytes => value.saturating_mul(SCALE),
        }
    }

    /// The value that its histogram keeps as this.
    pub fn unscaled(&self, kept: f64) -> f64 {
        match self.unit {
            MeterUnit::Nanoseconds => kept,
            MeterUnit::Number | MeterUnit::Bytes => kept / SCALE as f64,
        }
    }
}

/// Whether a group may have these meters.
///
/// # Errors
/// Which one is wrong, and what to do.
pub fn check_meters(meters: &[Meter]) -> Result<(), String> {
    if meters.len() > METERS_MAX {
        return Err(format!("{} meters, at most {METERS_MAX} are taken", meters.len()));
    }
    for (index, meter) in meters.iter().enumerate() {
        check_token("meter", &meter.name).map_err(|error| error.to_string())?;
        if meters.iter().take(index).any(|earlier| earlier.name == meter.name) {
            return Err(format!("meter `{}` is declared twice", meter.name));
        }
    }
    Ok(())
}

/// What a meter has added up since the last message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeterDelta {
    /// Index of the group in the specification.
    pub group: u16,
    /// Its name.
    pub name: String,
    /// What it adds up.
    pub kind: MeterKind,
    /// What its values are of.
    #[serde(default)]
    pub unit: MeterUnit,
    /// Of a counter: what was added.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sum: u64,
    /// Of a histogram: the values, as [`Meter::scaled`], encoded by `nuncius-stats`; empty without any.
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<u8>")]
    pub histogram: Vec<u8>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(name: &str) -> Meter {
        Meter { name: name.to_owned(), kind: MeterKind::Counter, unit: MeterUnit::Number }
    }

    #[test]
    fn meters_have_names_of_their_own_and_there_are_not_too_many() {
        let many = |count: usize| (0..count).map(|index| meter(&format!("m{index}"))).collect::<Vec<_>>();
        assert_eq!(check_meters(&many(METERS_MAX)), Ok(()));
        assert!(check_meters(&many(METERS_MAX + 1)).unwrap_err().contains("at most 64"));
        assert!(check_meters(&[meter("a"), meter("a")]).unwrap_err().contains("`a` is declared twice"));
        assert!(check_meters(&[meter("a b")]).unwrap_err().contains("`a b`"));
    }

    #[test]
    fn what_is_no_time_is_kept_finely_enough_and_read_back() {
        for unit in [MeterUnit::Number, MeterUnit::Bytes, MeterUnit::Nanoseconds] {
            let meter = Meter { unit, ..meter("m") };
            assert!((meter.unscaled(meter.scaled(1_234) as f64) - 1_234.0).abs() < 1e-9, "{unit:?}");
        }
        assert_eq!(meter("m").scaled(u64::MAX), u64::MAX);
    }
}
