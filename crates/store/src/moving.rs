//! Request records of a run beyond what the database holds go to files. They are written into the database first, as
//! all are: a batch is known and safe there. Once there are enough of them for a file, the oldest of those beyond the
//! bound move into one: the file first, then, in one transaction, the row that has it count, and the end of those in
//! the database. Whoever is ended in the middle has moved nothing.

use crate::backend::IfThere;
use crate::error::StoreError;
use crate::numbers::{count, uncount};
use crate::record_files::{Growing, RECORD_FILE, RunDirectory, Written, file_rows, files_within};
use crate::rows::RequestRow;
use crate::store::Store;
use crate::value::{FromRow, Row};
use crate::writing::Writing;

/// Rows that are read together.
const PORTION: u64 = 10_000;
/// After how many more records it is tried again, where it failed.
const TRIED_AGAIN_ROWS: u64 = 1_000;

/// A record, and its place among all.
struct Placed {
    place: i64,
    record: RequestRow,
}

impl FromRow for Placed {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self { place: row.get("place")?, record: RequestRow::from_row(row)? })
    }
}

/// A column `found`.
struct Found(i64);

impl FromRow for Found {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        row.get("found").map(Self)
    }
}

/// A column `id`.
struct Id;

impl FromRow for Id {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        row.get::<String>("id").map(|_| Self)
    }
}

impl Store {
    /// Has records of a run moved, of which so many have come, where there are too many. They are stored already: what
    /// fails here is told in the log, and tried again.
    pub(crate) async fn make_room(&self, experiment: &str, added: u64) {
        let Some(directory) = self.run_directory(experiment) else { return };
        if self.room().takes(experiment, self.generation(), added) {
            return;
        }
        let room = match self.move_records(experiment, &directory).await {
            Ok(room) => room,
            Err(error) => {
                tracing::warn!(experiment, %error, "request records stay in the database: trying again later");
                TRIED_AGAIN_ROWS
            }
        };
        self.room().set(experiment, self.generation(), room);
    }

    /// Moves what is too much; for how many there is room then.
    async fn move_records(&self, experiment: &str, directory: &RunDirectory) -> Result<u64, StoreError> {
        let at_once = file_rows(self.limits().records_max);
        let most = self.limits().records_max.saturating_add(at_once);
        loop {
            let about = ("count request records", experiment);
            let held = self.fetch_number(about, &self.held_sql(), &[experiment.into(), experiment.into()]).await?;
            if uncount(held) < most {
                return Ok(most - uncount(held));
            }
            if self.settled(|| self.move_once(experiment, directory, at_once)).await? == 0 {
                return Ok(at_once);
            }
        }
    }

    /// How many records of a run the database has itself, as its batches and files say: counting rows takes long.
    fn held_sql(&self) -> String {
        format!(
            "SELECT CAST((SELECT coalesce(sum(row_count), 0) FROM record_batch WHERE experiment = ?) \
             - (SELECT coalesce(sum(row_count), 0) FROM record_file WHERE experiment = ?) AS {}) AS found",
            self.dialect().integer()
        )
    }

    /// Moves one file's records, unless another has done so meanwhile; how many.
    async fn move_once(&self, experiment: &str, directory: &RunDirectory, at_once: u64) -> Result<u64, StoreError> {
        let mut writing = self.begin("move request records to a file", experiment).await?;
        // Two that move records of one run do so one after the other.
        let locked = format!("SELECT id FROM experiment WHERE id = ?{}", self.dialect().for_update());
        if writing.rows::<Id>(&locked, &[experiment.into()]).await?.is_empty() {
            return Ok(0);
        }
        let files = files_within(&mut writing, experiment).await?;
        let held: Vec<Found> = writing.rows(&self.held_sql(), &[experiment.into(), experiment.into()]).await?;
        let held = held.first().map_or(0, |Found(held)| uncount(*held));
        let Some(beyond) = held.checked_sub(self.limits().records_max).filter(|beyond| *beyond >= at_once) else {
            return Ok(0);
        };
        let after = match files.first() {
            Some(first) => first.after_row,
            None => last_that_stays(&mut writing, experiment, beyond, self.limits().records_max).await?,
        };
        directory.sweep(&files)?;
        let number = files.last().map_or(1, |last| last.number.saturating_add(1));
        let file = Growing::create(directory, experiment, number, self.random())?;
        let Some((file, last)) = fill(&mut writing, experiment, file, after, at_once).await? else { return Ok(0) };
        let moved = settle(&mut writing, (experiment, directory), (number, after, last), &file).await;
        if let Err(error) = moved {
            file.discard();
            return Err(error);
        }
        // Should nobody say whether this was done, the file stays: it counts, or the next one sweeps it away.
        writing.commit().await?;
        tracing::info!(experiment, rows = file.rows(), number, "request records moved to a file");
        Ok(file.rows())
    }
}

/// The last row of those that stay in the database, where `beyond` more come after it.
async fn last_that_stays(
    writing: &mut Writing<'_>,
    experiment: &str,
    beyond: u64,
    records_max: u64,
) -> Result<i64, StoreError> {
    if records_max == 0 {
        return Ok(0);
    }
    let row = writing.dialect().row_number();
    let sql = format!("SELECT {row} AS found FROM request WHERE experiment = ? ORDER BY {row} DESC LIMIT 1 OFFSET ?");
    writing.renew();
    let found: Vec<Found> = writing.rows(&sql, &[experiment.into(), count(beyond).into()]).await?;
    Ok(found.first().map_or(0, |Found(row)| *row))
}

/// Writes the next records after a row into a file; the file, and the last row that is in it.
async fn fill(
    writing: &mut Writing<'_>,
    experiment: &str,
    mut file: Growing,
    after: i64,
    at_once: u64,
) -> Result<Option<(Written, i64)>, StoreError> {
    let row = writing.dialect().row_number();
    let sql = format!(
        "SELECT request.{row} AS place, request.* FROM request WHERE experiment = ? AND {row} > ? \
         ORDER BY {row} LIMIT ?"
    );
    let mut last = after;
    while file.rows() < at_once {
        let portion = count(PORTION.min(at_once - file.rows()));
        writing.renew();
        let rows: Vec<Placed> = writing.rows(&sql, &[experiment.into(), last.into(), portion.into()]).await?;
        if rows.is_empty() {
            break;
        }
        for Placed { place, record } in rows {
            file.row(record.into_values())?;
            last = place;
        }
    }
    if file.rows() == 0 { Ok(None) } else { Ok(Some((file.finish()?, last))) }
}

/// Has a file count, in place of the rows that are in it.
async fn settle(
    writing: &mut Writing<'_>,
    (experiment, directory): (&str, &RunDirectory),
    (number, after, last): (i64, i64, i64),
    file: &Written,
) -> Result<(), StoreError> {
    writing.renew();
    writing.insert(&RECORD_FILE, &directory.row(experiment, number, after, file), IfThere::Fail).await?;
    let row = writing.dialect().row_number();
    let sql = format!("DELETE FROM request WHERE experiment = ? AND {row} > ? AND {row} <= ?");
    writing.execute(&sql, &[experiment.into(), after.into(), last.into()]).await?;
    writing.renew();
    Ok(())
}
