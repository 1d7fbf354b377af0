-- Request records beyond what the database holds are in files of Parquet, a directory for each run. A file counts once
-- it stands here; its rows come after the row `after_row` of `request`, and before those that came later.

CREATE TABLE record_file (
    experiment VARCHAR(64) COLLATE "C" NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    number     BIGINT NOT NULL,
    directory  TEXT,
    name       TEXT NOT NULL,
    after_row  BIGINT NOT NULL,
    row_count  BIGINT NOT NULL,
    PRIMARY KEY (experiment, number)
);
