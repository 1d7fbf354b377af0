-- Which process looks after an experiment that has not ended, and the processes that have the file open to write.
-- Whether one still lives is told by the lock on its file beside this one, never by what stands here.

CREATE TABLE owner (
    token         TEXT PRIMARY KEY NOT NULL,
    process_id    INTEGER NOT NULL,
    since_unix_ms INTEGER NOT NULL
) WITHOUT ROWID;

ALTER TABLE experiment ADD COLUMN owner TEXT;
CREATE INDEX experiment_status ON experiment (status);
