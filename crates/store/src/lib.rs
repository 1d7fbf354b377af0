//! Experiments and their results in one place, a file of SQLite or a database of PostgreSQL, MariaDB or MySQL, and
//! their export as CSV, JSON and Parquet.
//!
//! The only importer of sqlx: no type of it leaves this crate. It must never know how anything arrived (that is
//! `nuncius-bus`) nor judge it; what it is given twice it keeps once. Specifications are redacted on their way in.
//!
//! Layout: [`Place`] says where it is; [`Store`] opens it; `write`, `records`, `seconds`, `comparable`, `telemetry`,
//! `owner` and `read` are its methods, `writing` one transaction of theirs; `moving` has files take what of records is
//! beyond a bound, and `requests` reads both; [`export`] writes files out of it, and [`import`] takes them back.
//! `backend` is what they ask of a database, and `sqlite`, `postgres` and `mysql` are the databases.

mod backend;
mod column_rows;
mod columns;
mod comparable;
mod contents;
mod digest;
pub mod error;
pub mod export;
mod heads;
pub mod import;
mod inspect;
mod lease;
mod limits;
mod migrations;
mod moving;
mod mysql;
mod numbers;
mod owner;
mod owner_lock;
mod place;
mod postgres;
mod query;
mod read;
mod record_files;
mod records;
mod removal;
mod requests;
mod room;
mod rows;
mod seconds;
mod sqlite;
mod store;
mod tables;
mod telemetry;
mod value;
mod write;
mod writing;

pub use error::StoreError;
pub use inspect::{Inspection, inspect};
pub use limits::StoreLimits;
pub use owner::Unended;
pub use place::{Place, PlaceError};
pub use read::{Checkpoint, Held, HistogramRow, Phase, StoredExperiment};
pub use records::StepNames;
pub use seconds::SecondRow;
pub use store::Store;
pub use telemetry::{TelemetryCoverage, TelemetryRow, TelemetrySeries, telemetry_rows};
pub use write::Piece;
