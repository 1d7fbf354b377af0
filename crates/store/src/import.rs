//! A run that [`crate::export::parquet`] has written, put back into a store: all of it, or nothing.
//!
//! Everything is looked at before the store is touched; then it is one transaction, in batches of rows, so that neither
//! memory nor a process that is killed half-way matters.

use std::path::Path;

use nuncius_schemas::names::check_token;
use nuncius_schemas::run::RunStatus;

use crate::backend::{IfThere, Table};
use crate::comparable::HISTOGRAM as SECOND_HISTOGRAM;
use crate::error::StoreError;
use crate::record_files::files_within;
use crate::removal::remove_within;
use crate::rows::named;
use crate::seconds::SECOND;
use crate::store::Store;
use crate::tables::{EVENTS, NODES, PHASES, QUANTITIES, REQUESTS, SAMPLES, SECOND_HISTOGRAMS, SECONDS, TELEMETRY};
use crate::value::{FromRow, Row};
use crate::write::{EVENT, EVENT_WITH_DIGEST, NODE, PHASE};
use crate::writing::Writing;

mod checks;
mod error;
mod files;
mod head;
mod place;
mod put;
mod records;
mod telemetry;

pub use error::ImportError;

use files::Exported;
use head::EXPERIMENT;
use put::Put;
use records::NewFiles;

/// Histograms of the whole run.
const HISTOGRAM: Table =
    Table { name: "histogram", columns: &["experiment", "group_name", "step_name", "quantity", "bytes"] };
const HISTOGRAM_WITH_DIGEST: Table = Table {
    name: "histogram",
    columns: &["experiment", "group_name", "step_name", "quantity", "bytes", "name_digest"],
};

/// How a run is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct How {
    /// The id that it gets; its own without.
    pub id: Option<String>,
    /// Whether it takes the place of one of that id that is there.
    pub replace: bool,
    /// Most rows that a file may have.
    pub rows_max: u64,
}

impl Default for How {
    fn default() -> Self {
        Self { id: None, replace: false, rows_max: 1_000_000_000 }
    }
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The id that it has here.
    pub id: String,
    /// The id that it was exported with.
    pub exported_as: String,
    /// Whether another of that id went for it.
    pub replaced: bool,
    /// Rows of seconds.
    pub seconds: u64,
    /// Events.
    pub events: u64,
    /// Request records.
    pub records: u64,
    /// Figures of machines.
    pub figures: u64,
}

/// The status of an experiment that is there already.
struct Status(String);

impl FromRow for Status {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        row.get("status").map(Self)
    }
}

/// Puts the run that `directory` has into a store.
///
/// # Errors
/// When the directory is not what an export wrote, or is of a run that had not ended; when an experiment of that id is
/// there, and is not to be replaced, or has not ended; when the store cannot be written. Then the store is as it was.
pub async fn parquet(store: &Store, directory: &Path, how: &How) -> Result<Imported, ImportError> {
    let contents = files::contents(directory)?;
    let id = how.id.clone().unwrap_or_else(|| contents.experiment.id.clone());
    check_token("experiment", &id)?;
    let status = contents.experiment.status;
    if !status.is_terminal() {
        return Err(ImportError::NotEnded { id, status: status.name() });
    }
    // All of it is read only where there is a place for it.
    is_replaced(store, &id, how, &there(store, &id).await?)?;
    let exported = files::look(directory, contents, how.rows_max)?;
    let head = head::head(directory, &exported, &id)?;
    let mut writing = store.begin("import a run", &id).await?;
    let known: Vec<Status> = writing.rows("SELECT status FROM experiment WHERE id = ?", &[id.as_str().into()]).await?;
    let replaced = is_replaced(store, &id, how, &known)?;
    let old = files_within(&mut writing, &id).await?;
    if replaced {
        remove_within(&mut writing, &id).await?;
    }
    writing.renew();
    writing.insert(&EXPERIMENT, &head, IfThere::Fail).await?;
    // From here on nobody else imports a run of this id: what is there and does not count is nobody's.
    if let Some(directory) = store.run_directory(&id) {
        directory.sweep(&old)?;
    }
    let mut new = NewFiles::default();
    let imported = fill(store, &mut writing, &id, exported, &mut new).await?;
    writing.renew();
    // Should nobody say whether it was done, they stay.
    new.keep();
    writing.commit().await?;
    for file in old {
        let _ = std::fs::remove_file(store.path_of(&id, &file));
    }
    Ok(Imported { replaced, ..imported })
}

async fn there(store: &Store, id: &str) -> Result<Vec<Status>, StoreError> {
    store.fetch(("look for an experiment", id), "SELECT status FROM experiment WHERE id = ?", &[id.into()]).await
}

/// Whether there is one to be replaced.
fn is_replaced(store: &Store, id: &str, how: &How, known: &[Status]) -> Result<bool, ImportError> {
    let Some(Status(status)) = known.first() else { return Ok(false) };
    let (store_name, id) = (store.name(), id.to_owned());
    if !how.replace {
        return Err(ImportError::There { store: store_name, id });
    }
    let has_ended = named::<RunStatus>(status).is_ok_and(RunStatus::is_terminal);
    if has_ended { Ok(true) } else { Err(ImportError::Running { store: store_name, id }) }
}

/// Writes everything but the experiment's own row.
async fn fill(
    store: &Store,
    writing: &mut Writing<'_>,
    id: &str,
    mut exported: Exported,
    new: &mut NewFiles,
) -> Result<Imported, ImportError> {
    let has_digests = writing.dialect().has_digests();
    let (events, histograms) = match has_digests {
        true => (&EVENT_WITH_DIGEST, &HISTOGRAM_WITH_DIGEST),
        false => (&EVENT, &HISTOGRAM),
    };
    let mut put = Put { writing, id };
    put.rows(exported.take(&PHASES)?, &PHASE, checks::phase).await?;
    let events = put.rows(exported.take(&EVENTS)?, events, |row| checks::event(row, has_digests)).await?;
    put.rows(exported.take(&NODES)?, &NODE, checks::node).await?;
    put.rows(exported.take(&QUANTITIES)?, histograms, |row| checks::quantity(row, has_digests)).await?;
    let seconds = put.rows(exported.take(&SECONDS)?, &SECOND, checks::second).await?;
    put.rows(exported.take(&SECOND_HISTOGRAMS)?, &SECOND_HISTOGRAM, checks::second_histograms).await?;
    let records = records::records(store, &mut put, exported.take(&REQUESTS)?, new).await?;
    let figures = match exported.has(&TELEMETRY) {
        true => {
            let samples = telemetry::samples(put.writing, id, exported.take(&SAMPLES)?).await?;
            telemetry::figures(put.writing, id, exported.take(&TELEMETRY)?, samples).await?
        }
        false => 0,
    };
    let exported_as = exported.about.id;
    Ok(Imported { id: id.to_owned(), exported_as, replaced: false, seconds, events, records, figures })
}
