//! Experiments and their results in one SQLite file, and their export as CSV and JSON.
//!
//! The only importer of sqlx: no type of it leaves this crate. It must never know how anything arrived (that is
//! `nuncius-bus`) nor judge it; what it is given twice it keeps once. Specifications are redacted on their way in.
//!
//! Layout: [`Store`] opens the file; `write`, `records`, `seconds`, `telemetry`, `owner` and `read` are its methods,
//! `writing` one transaction of theirs; [`export`] writes files out of it.

pub mod error;
pub mod export;
mod inspect;
mod limits;
mod numbers;
mod owner;
mod read;
mod records;
mod rows;
mod seconds;
mod store;
mod telemetry;
mod write;
mod writing;

pub use error::StoreError;
pub use inspect::{Inspection, inspect};
pub use limits::StoreLimits;
pub use owner::Unended;
pub use read::{Checkpoint, Held, HistogramRow, Phase, StoredExperiment};
pub use records::StepNames;
pub use seconds::SecondRow;
pub use store::Store;
pub use telemetry::{TelemetryCoverage, TelemetryRow, TelemetrySeries, telemetry_rows};
pub use write::Piece;
