-- Experiments and their results: the tables that SQLite has, with the same names and columns.
--
-- Times are milliseconds since the Unix epoch (`_unix_ms`) or nanoseconds (`_ns`). Columns of JSON are TEXT: JSONB
-- would not give back what was put in. Numbers that use all 64 bits (epoch, span_id) are kept as the signed integer of
-- the same bits. Texts that are ordered by are compared byte by byte, as the other databases do it. `id` numbers rows
-- in the order in which they came. An index takes no text of any length: such keys have a SHA-256 in it.

CREATE TABLE experiment (
    id                VARCHAR(64) COLLATE "C" PRIMARY KEY,
    stream_sequence   BIGINT NOT NULL,
    name              TEXT NOT NULL,
    creator           TEXT,
    status            VARCHAR(32) NOT NULL,
    verdict           VARCHAR(32),
    reason            TEXT,
    spec              TEXT,
    report            TEXT,
    submitted_unix_ms BIGINT NOT NULL,
    started_unix_ms   BIGINT,
    ended_unix_ms     BIGINT,
    trace_id          VARCHAR(32),
    owner             VARCHAR(64),
    target            TEXT,
    scheduled         BIGINT,
    offered           BIGINT
);
CREATE INDEX experiment_submitted ON experiment (submitted_unix_ms);
CREATE INDEX experiment_status ON experiment (status);

-- Processes that write; a process lives that was seen lately.
CREATE TABLE owner (
    token         VARCHAR(64) COLLATE "C" PRIMARY KEY,
    process_id    BIGINT NOT NULL,
    since_unix_ms BIGINT NOT NULL,
    seen_unix_ms  BIGINT NOT NULL
);

CREATE TABLE phase (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    experiment VARCHAR(64) COLLATE "C" NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    status     VARCHAR(32) NOT NULL,
    at_unix_ms BIGINT NOT NULL,
    UNIQUE (experiment, at_unix_ms, status)
);

CREATE TABLE event (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    experiment     VARCHAR(64) COLLATE "C" NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    at_unix_ms     BIGINT NOT NULL,
    kind           VARCHAR(32) NOT NULL,
    message        TEXT NOT NULL,
    message_digest BYTEA NOT NULL,
    status         VARCHAR(32),
    verdict        VARCHAR(32),
    data           TEXT NOT NULL,
    -- An event that is replayed from the stream is the same event.
    UNIQUE (experiment, at_unix_ms, kind, message_digest)
);

-- A row is one step of a group, or its whole iterations, in one second. What came late of a second that had been let
-- go has a row of its own (`late` > 0): the rows of a second are added. Statuses and failures are JSON.
CREATE TABLE second (
    experiment      VARCHAR(64) COLLATE "C" NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    second          BIGINT NOT NULL,
    late            BIGINT NOT NULL,
    group_index     BIGINT NOT NULL,
    step_index      BIGINT NOT NULL,
    group_name      TEXT NOT NULL,
    step_name       TEXT NOT NULL,
    is_iteration    BOOLEAN NOT NULL,
    length_ns       BIGINT NOT NULL,
    offered_ns      BIGINT NOT NULL,
    nodes           BIGINT NOT NULL,
    scheduled       BIGINT,
    offered         BIGINT NOT NULL,
    sent            BIGINT NOT NULL,
    succeeded       BIGINT NOT NULL,
    failed          BIGINT NOT NULL,
    censored        BIGINT NOT NULL,
    in_flight       BIGINT NOT NULL,
    retried         BIGINT NOT NULL,
    bytes_sent      BIGINT NOT NULL,
    bytes_received  BIGINT NOT NULL,
    response_p50_ns BIGINT,
    response_p95_ns BIGINT,
    response_p99_ns BIGINT,
    response_max_ns BIGINT,
    service_p50_ns  BIGINT,
    service_p95_ns  BIGINT,
    service_p99_ns  BIGINT,
    service_max_ns  BIGINT,
    blocked_p99_ns  BIGINT,
    lag_p99_ns      BIGINT,
    statuses        TEXT NOT NULL,
    failures        TEXT NOT NULL,
    PRIMARY KEY (experiment, second, late, group_index, step_index)
);

-- The histograms of merged seconds. Of a second that came without them, `left_out` is true.
CREATE TABLE second_histogram (
    experiment        VARCHAR(64) COLLATE "C" NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    second            BIGINT NOT NULL,
    late              BIGINT NOT NULL,
    group_index       BIGINT NOT NULL,
    step_index        BIGINT NOT NULL,
    left_out          BOOLEAN NOT NULL,
    response          BYTEA,
    censored_response BYTEA,
    service           BYTEA,
    censored_service  BYTEA,
    PRIMARY KEY (experiment, second, late, group_index, step_index)
);

CREATE TABLE histogram (
    experiment  VARCHAR(64) COLLATE "C" NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    name_digest BYTEA NOT NULL,
    group_name  TEXT COLLATE "C" NOT NULL,
    step_name   TEXT COLLATE "C" NOT NULL,
    quantity    VARCHAR(32) COLLATE "C" NOT NULL,
    bytes       BYTEA NOT NULL,
    PRIMARY KEY (experiment, name_digest)
);

CREATE TABLE node (
    experiment         VARCHAR(64) COLLATE "C" NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    name               VARCHAR(255) COLLATE "C" NOT NULL,
    host               TEXT NOT NULL,
    version            TEXT NOT NULL,
    labels             TEXT NOT NULL,
    clock_offset_ns    BIGINT,
    clock_error_ns     BIGINT,
    clock_drift_ns     BIGINT,
    shards             BIGINT NOT NULL,
    offered            BIGINT NOT NULL,
    lag_p99_ns         BIGINT,
    run_delay_share    DOUBLE PRECISION NOT NULL,
    throttled_ns       BIGINT NOT NULL,
    resident_bytes_max BIGINT NOT NULL,
    deltas             BIGINT NOT NULL,
    lost               TEXT,
    PRIMARY KEY (experiment, name)
);

-- Which batches of request records are in: (experiment, node, epoch, sequence) is the identity of a batch.
CREATE TABLE record_batch (
    experiment VARCHAR(64) COLLATE "C" NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    node       VARCHAR(255) COLLATE "C" NOT NULL,
    epoch      BIGINT NOT NULL,
    sequence   BIGINT NOT NULL,
    row_count  BIGINT NOT NULL,
    PRIMARY KEY (experiment, node, epoch, sequence)
);

-- Of whom a row is, its batch has made sure: a foreign key is looked up for each row, and costs half the time.
CREATE TABLE request (
    id         BIGINT GENERATED ALWAYS AS IDENTITY,
    experiment VARCHAR(64) COLLATE "C" NOT NULL,
    node       VARCHAR(255) NOT NULL,
    group_name TEXT NOT NULL,
    step_name  TEXT NOT NULL,
    idx        BIGINT NOT NULL,
    planned_ns BIGINT NOT NULL,
    sent_ns    BIGINT,
    done_ns    BIGINT,
    status     BIGINT,
    outcome    VARCHAR(32) NOT NULL,
    span_id    BIGINT
);
CREATE INDEX request_experiment ON request (experiment, id);

CREATE TABLE checkpoint (
    experiment      VARCHAR(64) COLLATE "C" PRIMARY KEY REFERENCES experiment (id) ON DELETE CASCADE,
    stream_sequence BIGINT NOT NULL,
    at_unix_ms      BIGINT NOT NULL,
    bytes           BYTEA NOT NULL
);

-- Telemetry of machines. A sample is one message of one sampler; (experiment, node, epoch, sequence) is its identity. A
-- series is one figure of one node; the values of a sample refer to them. Numbers are in base units: `unit` says which.
CREATE TABLE telemetry_sample (
    id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    experiment      VARCHAR(64) COLLATE "C" NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    node            VARCHAR(255) COLLATE "C" NOT NULL,
    machine         TEXT NOT NULL,
    epoch           BIGINT NOT NULL,
    sequence        BIGINT NOT NULL,
    at_unix_ns      BIGINT NOT NULL,
    at_monotonic_ns BIGINT NOT NULL,
    row_count       BIGINT NOT NULL,
    UNIQUE (experiment, node, epoch, sequence)
);

CREATE TABLE telemetry_series (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    experiment    VARCHAR(64) COLLATE "C" NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    node          VARCHAR(255) COLLATE "C" NOT NULL,
    figure_digest BYTEA NOT NULL,
    metric        TEXT NOT NULL,
    subsystem     TEXT NOT NULL,
    unit          TEXT NOT NULL,
    UNIQUE (experiment, node, figure_digest)
);

CREATE TABLE telemetry_value (
    sample BIGINT NOT NULL REFERENCES telemetry_sample (id) ON DELETE CASCADE,
    series BIGINT NOT NULL,
    value  DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (sample, series)
);
