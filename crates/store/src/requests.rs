//! Reading request records in the order in which they came: the first from the database, then those of the files, then
//! those that came after.

use futures_util::TryStreamExt as _;

use crate::error::StoreError;
use crate::numbers::uncount;
use crate::rows::RequestRow;
use crate::store::Store;
use crate::value::{FromRow, Row};

/// A record that came after the files, and how many files there were when it was read.
struct Late {
    files: i64,
    record: RequestRow,
}

impl FromRow for Late {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self { files: row.get("files")?, record: RequestRow::from_row(row)? })
    }
}

/// What there was after the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All of it was handed out.
    Read,
    /// Nothing.
    Nothing,
    /// Some of it has moved into a file that is not read yet; nothing was handed out.
    Moved,
}

impl Store {
    /// How many request records an experiment has.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn record_count(&self, id: &str) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT CAST((SELECT count(*) FROM request WHERE experiment = ?) \
             + (SELECT coalesce(sum(row_count), 0) FROM record_file WHERE experiment = ?) AS {}) AS found",
            self.dialect().integer()
        );
        self.fetch_number(("count request records", id), &sql, &[id.into(), id.into()]).await.map(uncount)
    }

    /// Hands each request record of an experiment to `take`, in the order in which they came; each once, though some
    /// move from the database into files meanwhile.
    pub(crate) async fn for_each_request(
        &self,
        id: &str,
        mut take: impl FnMut(RequestRow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let row = self.dialect().row_number();
        let (mut has_first, mut read) = (false, 0);
        loop {
            let files = self.record_files(id).await?;
            let after = files.first().map_or(0, |first| first.after_row);
            if !files.is_empty() && !std::mem::replace(&mut has_first, true) {
                let sql = format!("SELECT * FROM request WHERE experiment = ? AND {row} <= ? ORDER BY {row}");
                self.for_each(("read request records", id), &sql, &[id.into(), after.into()], &mut take).await?;
            }
            for file in files.iter().skip(read) {
                self.read_record_file(id, file, &mut take)?;
            }
            read = read.max(files.len());
            let end = self.read_end(id, after, read, &mut take).await?;
            // What is not there, or has moved, is in files that came since they were listed; else it was removed.
            if end == End::Read || self.record_files(id).await?.len() <= read {
                return Ok(());
            }
        }
    }

    /// Hands out what came after the files, of which there are so many as far as the reader knows.
    async fn read_end(
        &self,
        id: &str,
        after: i64,
        files: usize,
        take: &mut impl FnMut(RequestRow) -> Result<(), StoreError>,
    ) -> Result<End, StoreError> {
        let row = self.dialect().row_number();
        let sql = format!(
            "SELECT request.*, (SELECT count(*) FROM record_file WHERE experiment = ?) AS files FROM request \
             WHERE experiment = ? AND {row} > ? ORDER BY {row}"
        );
        let failed = |source| self.failed("read request records", id, source);
        let readers = self.backend().readers().await?;
        // One statement sees one state of the database.
        let mut rows = readers.rows(&sql, &[id.into(), id.into(), after.into()]);
        let mut end = End::Nothing;
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let Late { files: there, record } = Late::from_row(&row).map_err(failed)?;
            if uncount(there) != files as u64 {
                return Ok(End::Moved);
            }
            end = End::Read;
            take(record)?;
        }
        Ok(end)
    }
}
