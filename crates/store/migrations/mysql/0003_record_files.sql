-- Request records beyond what the database holds are in files of Parquet, a directory for each run. A file counts once
-- it stands here; its rows come after the row `after_row` of `request`, and before those that came later.

CREATE TABLE IF NOT EXISTS record_file (
    experiment VARCHAR(64) NOT NULL,
    number     BIGINT NOT NULL,
    directory  TEXT,
    name       VARCHAR(255) NOT NULL,
    after_row  BIGINT NOT NULL,
    row_count  BIGINT NOT NULL,
    PRIMARY KEY (experiment, number),
    FOREIGN KEY (experiment) REFERENCES experiment (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
