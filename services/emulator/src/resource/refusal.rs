//! Why a request is not taken.

use nuncius_schemas::resource::{Amount, ResourceKind, ResourceUnitError};

use super::limits::LimitError;

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It cannot be meant; the text names the field.
    #[error("{0}")]
    Invalid(String),
    /// An amount of it.
    #[error("amount: {0}")]
    Amount(#[from] ResourceUnitError),
    /// More than may be had.
    #[error("{kind}: over the limit: {} wanted, {} may be; ask for less", level(*.kind, *.wanted), level(*.kind, *.most))]
    OverLimit { kind: ResourceKind, wanted: u64, most: u64 },
    /// A share of nothing.
    #[error(
        "{kind}: nothing may be had: {available_bytes} bytes are free, and {floor_bytes} must be left; lower --floor, or make room"
    )]
    NoRoom { kind: ResourceKind, available_bytes: u64, floor_bytes: u64 },
    /// A limit cannot be read.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// It is ending.
    #[error("the emulator is shutting down")]
    ShutDown,
}

/// An amount as people write it.
fn level(kind: ResourceKind, amount: u64) -> String {
    match kind {
        ResourceKind::Cpu => Amount::Percent(amount).to_string(),
        ResourceKind::Memory | ResourceKind::Disk => format!("{amount} bytes"),
    }
}
