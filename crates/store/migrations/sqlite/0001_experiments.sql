-- Experiments and their results.
--
-- Times are milliseconds since the Unix epoch (`_unix_ms`) or nanoseconds (`_ns`). Columns of JSON are TEXT.
-- SQLite's integers are signed: counts are kept at most at 2^63 - 1, while numbers that use all 64 bits
-- (epoch, span_id) are kept as the signed integer of the same bits.

CREATE TABLE experiment (
    id                TEXT PRIMARY KEY NOT NULL,
    stream_sequence   INTEGER NOT NULL,
    name              TEXT NOT NULL,
    creator           TEXT,
    status            TEXT NOT NULL,
    verdict           TEXT,
    reason            TEXT,
    spec              TEXT,
    report            TEXT,
    submitted_unix_ms INTEGER NOT NULL,
    started_unix_ms   INTEGER,
    ended_unix_ms     INTEGER,
    trace_id          TEXT
);
CREATE INDEX experiment_submitted ON experiment (submitted_unix_ms);

CREATE TABLE phase (
    experiment TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    status     TEXT NOT NULL,
    at_unix_ms INTEGER NOT NULL,
    UNIQUE (experiment, at_unix_ms, status)
);

CREATE TABLE event (
    experiment TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    at_unix_ms INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    message    TEXT NOT NULL,
    status     TEXT,
    verdict    TEXT,
    data       TEXT NOT NULL,
    -- An event that is replayed from the stream is the same event.
    UNIQUE (experiment, at_unix_ms, kind, message)
);

CREATE TABLE interval (
    experiment      TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    second          INTEGER NOT NULL,
    offered         INTEGER NOT NULL,
    succeeded       INTEGER NOT NULL,
    failed          INTEGER NOT NULL,
    in_flight       INTEGER NOT NULL,
    response_p50_ns INTEGER,
    response_p95_ns INTEGER,
    response_p99_ns INTEGER,
    service_p50_ns  INTEGER,
    service_p99_ns  INTEGER,
    blocked_p99_ns  INTEGER,
    lag_p99_ns      INTEGER,
    PRIMARY KEY (experiment, second)
) WITHOUT ROWID;

CREATE TABLE histogram (
    experiment TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    group_name TEXT NOT NULL,
    step_name  TEXT NOT NULL,
    quantity   TEXT NOT NULL,
    bytes      BLOB NOT NULL,
    UNIQUE (experiment, group_name, step_name, quantity)
);

CREATE TABLE node (
    experiment         TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    name               TEXT NOT NULL,
    host               TEXT NOT NULL,
    version            TEXT NOT NULL,
    labels             TEXT NOT NULL,
    clock_offset_ns    INTEGER,
    clock_error_ns     INTEGER,
    clock_drift_ns     INTEGER,
    shards             INTEGER NOT NULL,
    offered            INTEGER NOT NULL,
    lag_p99_ns         INTEGER,
    run_delay_share    REAL NOT NULL,
    throttled_ns       INTEGER NOT NULL,
    resident_bytes_max INTEGER NOT NULL,
    deltas             INTEGER NOT NULL,
    lost               TEXT,
    PRIMARY KEY (experiment, name)
) WITHOUT ROWID;

CREATE TABLE request (
    experiment TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    node       TEXT NOT NULL,
    group_name TEXT NOT NULL,
    step_name  TEXT NOT NULL,
    idx        INTEGER NOT NULL,
    planned_ns INTEGER NOT NULL,
    sent_ns    INTEGER,
    done_ns    INTEGER,
    status     INTEGER,
    outcome    TEXT NOT NULL,
    span_id  INTEGER
);
CREATE INDEX request_experiment ON request (experiment);

-- Which batches of request records are in: (experiment, node, epoch, sequence) is the identity of a batch.
CREATE TABLE record_batch (
    experiment TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    node       TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    rows       INTEGER NOT NULL,
    PRIMARY KEY (experiment, node, epoch, sequence)
) WITHOUT ROWID;

CREATE TABLE checkpoint (
    experiment      TEXT PRIMARY KEY NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    stream_sequence INTEGER NOT NULL,
    at_unix_ms      INTEGER NOT NULL,
    bytes           BLOB NOT NULL
);
