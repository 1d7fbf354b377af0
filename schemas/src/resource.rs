//! Emulated consumption of resources: what is asked of a node (`resource.<node>.<kind>`, `POST /v1/<kind>`), and how it
//! stands.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{HumanDuration, text_or_number};

/// Most steps of a profile.
pub const PROFILE_MAX_STEPS: usize = 1000;
/// Longest text an error repeats, in characters.
const SHOWN_MAX: usize = 80;

/// What is consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// Memory that is written to and kept.
    Memory,
    /// Files that are written and kept.
    Disk,
    /// Processor time.
    Cpu,
}

impl ResourceKind {
    /// All of them, in the order of listings.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Disk, Self::Cpu];

    /// The name in subjects, paths and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Cpu => "cpu",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ResourceKind {
    type Err = ResourceUnitError;

    fn from_str(text: &str) -> Result<Self, ResourceUnitError> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == text);
        kind.ok_or_else(|| ResourceUnitError::Kind(shown(text)))
    }
}

/// What was wrong with an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceUnitError {
    /// The text is no amount.
    #[error("`{0}` is not an amount: write bytes as 512MiB, a share as 50%, or cores as 1.5; not negative")]
    Amount(String),
    /// The text is no rate of bytes.
    #[error("`{0}` is not a rate of bytes: write bytes per second, as 10MiB/s or 10MiB; not negative")]
    Rate(String),
    /// The number does not fit.
    #[error("`{0}` is too large")]
    TooLarge(String),
    /// The text names no kind.
    #[error("`{0}` is not a kind of resource: write memory, disk or cpu")]
    Kind(String),
    /// Cores where bytes are wanted.
    #[error("`{0}` is no whole number of bytes: write it as 512MiB or 50%")]
    NotBytes(Amount),
    /// Bytes where cores are wanted.
    #[error("`{0}` is no share of a processor: write 150% or 1.5 (cores)")]
    NotCores(Amount),
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

/// Units in which bytes are written, largest first.
const WRITTEN_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Bytes of a unit: `B`, `k`, `KB`, `Mi`, `GiB` and the like.
fn unit_bytes(unit: &str) -> Option<u64> {
    let stem = unit.strip_suffix('B').unwrap_or(unit);
    let (prefix, base) = stem.strip_suffix('i').map_or((stem, 1000u64), |prefix| (prefix, 1024));
    let power = match prefix {
        "" if unit == "B" => 0,
        "k" | "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    Some(base.pow(power))
}

/// Decimal digits that are kept after the point, and taken before it: what a `u128` holds, and more than any amount
/// needs.
const FRACTION_DIGITS: usize = 9;
const WHOLE_DIGITS_MAX: usize = 20;

/// The decimal `text` times `scale`, rounded down; `None` when it is no plain decimal.
fn decimal_times(text: &str, scale: u64) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_decimal = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !is_decimal || whole.len() + fraction.len() == 0 || whole.len() > WHOLE_DIGITS_MAX {
        return None;
    }
    let fraction = fraction.get(..FRACTION_DIGITS).unwrap_or(fraction);
    let digits: u128 = format!("{whole}{fraction:0<FRACTION_DIGITS$}").parse().ok()?;
    Some(digits.checked_mul(u128::from(scale))? / 10u128.pow(9))
}

fn bytes_of(text: &str) -> Option<Result<u64, ResourceUnitError>> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let bytes = decimal_times(number.trim(), unit_bytes(unit.trim())?)?;
    Some(u64::try_from(bytes).map_err(|_| ResourceUnitError::TooLarge(shown(text))))
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: u64) -> fmt::Result {
    let binary = WRITTEN_UNITS.iter().find(|(_, scale)| bytes >= *scale && bytes.is_multiple_of(*scale));
    let (unit, scale) = binary.copied().unwrap_or(("B", 1));
    write!(f, "{}{unit}", bytes / scale)
}

/// How much of a resource, as people write it: bytes ("512MiB"), a share ("50%") or a bare number: bytes of memory and
/// disk, cores of a processor ("1.5").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// A number of bytes.
    Bytes(u64),
    /// Thousandths of a percent: of the limit in force, or of one core.
    Percent(u64),
    /// A number without a unit, in thousandths.
    Plain(u128),
}

impl Amount {
    /// No more than this many percent are taken.
    pub const PERCENT_MAX: u64 = 10_000_000;

    /// In bytes, with what percentages are of.
    ///
    /// # Errors
    /// [`ResourceUnitError::NotBytes`] for parts of a byte, [`ResourceUnitError::TooLarge`].
    pub fn to_bytes(self, whole_bytes: u64) -> Result<u64, ResourceUnitError> {
        let bytes = match self {
            Self::Bytes(bytes) => return Ok(bytes),
            Self::Percent(thousandths) => u128::from(whole_bytes) * u128::from(thousandths) / 100_000,
            Self::Plain(thousandths) if thousandths.is_multiple_of(1000) => thousandths / 1000,
            Self::Plain(_) => return Err(ResourceUnitError::NotBytes(self)),
        };
        u64::try_from(bytes).map_err(|_| ResourceUnitError::TooLarge(self.to_string()))
    }

    /// In thousandths of a percent of one core.
    ///
    /// # Errors
    /// [`ResourceUnitError::NotCores`] for bytes, [`ResourceUnitError::TooLarge`].
    pub fn to_core_millipercent(self) -> Result<u64, ResourceUnitError> {
        match self {
            Self::Bytes(_) => Err(ResourceUnitError::NotCores(self)),
            Self::Percent(thousandths) => Ok(thousandths),
            Self::Plain(thousandths) => thousandths
                .checked_mul(100)
                .and_then(|thousandths| u64::try_from(thousandths).ok())
                .ok_or_else(|| ResourceUnitError::TooLarge(self.to_string())),
        }
    }
}

impl FromStr for Amount {
    type Err = ResourceUnitError;

    fn from_str(text: &str) -> Result<Self, ResourceUnitError> {
        let bad = || ResourceUnitError::Amount(shown(text));
        let trimmed = text.trim();
        if let Some(number) = trimmed.strip_suffix('%') {
            let thousandths = decimal_times(number.trim(), 1000).ok_or_else(bad)?;
            let percent = u64::try_from(thousandths).ok().filter(|percent| *percent <= Self::PERCENT_MAX * 1000);
            return percent.map(Self::Percent).ok_or_else(|| ResourceUnitError::TooLarge(shown(text)));
        }
        if let Some(bytes) = bytes_of(trimmed) {
            return bytes.map(Self::Bytes);
        }
        let thousandths = decimal_times(trimmed, 1000).ok_or_else(bad)?;
        if thousandths / 1000 > u128::from(u64::MAX) {
            return Err(ResourceUnitError::TooLarge(shown(text)));
        }
        Ok(Self::Plain(thousandths))
    }
}

/// A number of thousandths, without zeros that say nothing.
fn write_thousandths(f: &mut fmt::Formatter<'_>, thousandths: u128) -> fmt::Result {
    let (whole, fraction) = (thousandths / 1000, thousandths % 1000);
    if fraction == 0 {
        return write!(f, "{whole}");
    }
    write!(f, "{whole}.{}", format!("{fraction:03}").trim_end_matches('0'))
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Bytes(bytes) => write_bytes(f, bytes),
            Self::Percent(thousandths) => {
                write_thousandths(f, u128::from(thousandths))?;
                f.write_str("%")
            }
            Self::Plain(thousandths) => write_thousandths(f, thousandths),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes (512MiB), a share (50%: of the limit in force, or of one core), or a bare number: bytes, or cores.",
            "oneOf": [
                { "type": "number", "minimum": 0 },
                { "type": "string", "pattern": r"^([0-9]+\.?[0-9]*|\.[0-9]+) ?(%|B|[kKMGT]B?|[KMGT]iB?)?$" }
            ]
        })
    }
}

/// A rate of bytes per second, written "10MiB/s" or "10MiB".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteRate(pub u64);

impl FromStr for ByteRate {
    type Err = ResourceUnitError;

    fn from_str(text: &str) -> Result<Self, ResourceUnitError> {
        let bad = || ResourceUnitError::Rate(shown(text));
        let trimmed = text.trim();
        let amount: Amount = trimmed.strip_suffix("/s").unwrap_or(trimmed).parse().map_err(|_| bad())?;
        match amount {
            Amount::Percent(_) => Err(bad()),
            other => other.to_bytes(0).map(Self).map_err(|_| bad()),
        }
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bytes(f, self.0)?;
        f.write_str("/s")
    }
}

impl Serialize for ByteRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ByteRate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteRate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes per second: 10MiB/s, 10MiB, or a bare number.",
            "oneOf": [
                { "type": "number", "minimum": 0 },
                { "type": "string", "pattern": r"^([0-9]+\.?[0-9]*|\.[0-9]+) ?(B|[kKMGT]B?|[KMGT]iB?)?(/s)?$" }
            ]
        })
    }
}

impl<'de> Deserialize<'de> for ByteRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One step of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceStep {
    /// How long the step lasts; more than 0.
    #[serde(rename = "for")]
    pub duration: HumanDuration,
    /// The level during the step, or at its end where it is a ramp.
    pub amount: Amount,
    /// Whether it goes in a straight line from the level before to this one, instead of at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ramp: bool,
}

/// What is asked of one resource of a node. An amount of 0 releases. On the bus nothing at all (`{}`) asks how
/// it stands; over HTTP, GET does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceRequest {
    /// How much is wanted in all, not how much more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// After this everything is released; absent: held until told otherwise, or to the end of the profile.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<HumanDuration>,
    /// Time in which the amount is reached, in a straight line from what is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<HumanDuration>,
    /// Levels and ramps over time, instead of `amount` and `ramp`. After the last step everything is released, or its
    /// level held until `for` has passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profile: Vec<ResourceStep>,
    /// Disk only: bytes per second that are written as long as the amount is held, into a file of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_rate: Option<ByteRate>,
    /// Disk only: bytes per second that are read back as long as the amount is held, past the page cache where it lets
    /// go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_rate: Option<ByteRate>,
    /// Disk only: every file is on the medium before it counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sync: bool,
    /// The node's token, where it has one and no header can carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl ResourceRequest {
    /// Whether it only asks how the resource stands.
    pub fn is_query(&self) -> bool {
        *self == Self { token: self.token.clone(), ..Self::default() }
    }
}

/// What a resource is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResourcePhase {
    /// Nothing is held.
    #[default]
    Idle,
    /// On the way to what is wanted.
    Working,
    /// What is wanted is held.
    Holding,
    /// On the way to nothing.
    Releasing,
    /// What is wanted could not be had; what was got until then is held.
    Failed,
}

impl ResourcePhase {
    /// The name in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Working => "working",
            Self::Holding => "holding",
            Self::Releasing => "releasing",
            Self::Failed => "failed",
        }
    }
}

/// How a resource stands. Amounts are in bytes for memory and disk, in percent of one core for processors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceState {
    /// Which.
    pub kind: ResourceKind,
    /// The last accepted request: nanoseconds since the Unix epoch; 0 where there was none.
    pub id: u64,
    /// What it is doing.
    pub phase: ResourcePhase,
    /// Share of the way to what was asked that is done, 0 to 1.
    pub progress: f64,
    /// Wanted at present, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_bytes: Option<u64>,
    /// Held at present, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_bytes: Option<u64>,
    /// Most that a request may want now, with what is held, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// What is always left free, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor_bytes: Option<u64>,
    /// Wanted at present, in percent of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_percent: Option<f64>,
    /// Used in the last second, in percent of one core, by the clock of the threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_percent: Option<f64>,
    /// Most that a request may want now, in percent of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_percent: Option<f64>,
    /// Disk only: bytes written since the start, files and load together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
    /// Disk only: bytes read since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    /// What went wrong with the last request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When everything is released, milliseconds since the Unix epoch; absent where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at_unix_ms: Option<u64>,
}

/// The answer on the bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceReply {
    /// Who answers, as in the registry.
    pub node: String,
    /// How the resource stands, with the request taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ResourceState>,
    /// Why the request was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests;
