-- The histograms of merged seconds, as metric deltas have them: what two runs are compared by. A row is there for each
-- row of `second` that has latencies; NULL where a series has none.
--
-- Of a second that came without its histograms, because it did not fit into a message, `left_out` is 1.

CREATE TABLE second_histogram (
    experiment        TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    second            INTEGER NOT NULL,
    late              INTEGER NOT NULL,
    group_index       INTEGER NOT NULL,
    step_index        INTEGER NOT NULL,
    left_out          INTEGER NOT NULL,
    response          BLOB,
    censored_response BLOB,
    service           BLOB,
    censored_service  BLOB,
    PRIMARY KEY (experiment, second, late, group_index, step_index)
) WITHOUT ROWID;
