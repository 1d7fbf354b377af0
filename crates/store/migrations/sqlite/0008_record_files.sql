-- Request records beyond what the database holds are in files of Parquet, a directory for each run. A file counts once
-- it stands here; its rows come after the row `after_row` of `request`, and before those that came later. `directory`
-- is NULL where that is beside the database.

CREATE TABLE record_file (
    experiment TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    directory  TEXT,
    name       TEXT NOT NULL,
    after_row  INTEGER NOT NULL,
    row_count  INTEGER NOT NULL,
    PRIMARY KEY (experiment, number)
) WITHOUT ROWID;
