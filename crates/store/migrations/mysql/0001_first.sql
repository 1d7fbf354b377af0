-- Experiments and their results: the tables that SQLite has, with the same names and columns.
--
-- Times are milliseconds since the Unix epoch (`_unix_ms`) or nanoseconds (`_ns`). Columns of JSON are LONGTEXT: JSON
-- would not give back what was put in. Numbers that use all 64 bits (epoch, span_id) are kept as the signed integer of
-- the same bits. Texts are compared byte by byte, as the other databases do it. `id` numbers rows in the order in which
-- they came. An index takes no text of any length: such keys have a SHA-256 in it.
--
-- Each of these statements is kept as soon as it has run. A file that was not run to its end is run again from its
-- beginning: every statement here may be run twice.

CREATE TABLE IF NOT EXISTS experiment (
    id                VARCHAR(64) PRIMARY KEY,
    stream_sequence   BIGINT NOT NULL,
    name              LONGTEXT NOT NULL,
    creator           LONGTEXT,
    status            VARCHAR(32) NOT NULL,
    verdict           VARCHAR(32),
    reason            LONGTEXT,
    spec              LONGTEXT,
    report            LONGTEXT,
    submitted_unix_ms BIGINT NOT NULL,
    started_unix_ms   BIGINT,
    ended_unix_ms     BIGINT,
    trace_id          VARCHAR(32),
    owner             VARCHAR(64),
    target            TEXT,
    scheduled         BIGINT,
    offered           BIGINT,
    KEY experiment_submitted (submitted_unix_ms),
    KEY experiment_status (status)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Processes that write; a process lives that was seen lately.
CREATE TABLE IF NOT EXISTS owner (
    token         VARCHAR(64) PRIMARY KEY,
    process_id    BIGINT NOT NULL,
    since_unix_ms BIGINT NOT NULL,
    seen_unix_ms  BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS phase (
    id         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    experiment VARCHAR(64) NOT NULL,
    status     VARCHAR(32) NOT NULL,
    at_unix_ms BIGINT NOT NULL,
    UNIQUE (experiment, at_unix_ms, status),
    FOREIGN KEY (experiment) REFERENCES experiment (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS event (
    id             BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    experiment     VARCHAR(64) NOT NULL,
    at_unix_ms     BIGINT NOT NULL,
    kind           VARCHAR(32) NOT NULL,
    message        LONGTEXT NOT NULL,
    message_digest BINARY(32) NOT NULL,
    status         VARCHAR(32),
    verdict        VARCHAR(32),
    data           LONGTEXT NOT NULL,
    -- An event that is replayed from the stream is the same event.
    UNIQUE (experiment, at_unix_ms, kind, message_digest),
    FOREIGN KEY (experiment) REFERENCES experiment (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A row is one step of a group, or its whole iterations, in one second. What came late of a second that had been let
-- go has a row of its own (`late` > 0): the rows of a second are added. Statuses and failures are JSON.
CREATE TABLE IF NOT EXISTS second (
    experiment      VARCHAR(64) NOT NULL,
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
    statuses        LONGTEXT NOT NULL,
    failures        LONGTEXT NOT NULL,
    PRIMARY KEY (experiment, second, late, group_index, step_index),
    FOREIGN KEY (experiment) REFERENCES experiment (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The histograms of merged seconds. Of a second that came without them, `left_out` is true.
CREATE TABLE IF NOT EXISTS second_histogram (
    experiment        VARCHAR(64) NOT NULL,
    second            BIGINT NOT NULL,
    late              BIGINT NOT NULL,
    group_index       BIGINT NOT NULL,
    step_index        BIGINT NOT NULL,
    left_out          BOOLEAN NOT NULL,
    response          LONGBLOB,
    censored_response LONGBLOB,
    service           LONGBLOB,
    censored_service  LONGBLOB,
    PRIMARY KEY (experiment, second, late, group_index, step_index),
    FOREIGN KEY (experiment) REFERENCES experiment (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS histogram (
    experiment  VARCHAR(64) NOT NULL,
    name_digest BINARY(32) NOT NULL,
    group_name  TEXT NOT NULL,
    step_name   TEXT NOT NULL,
    quantity    VARCHAR(32) NOT NULL,
    bytes       LONGBLOB NOT NULL,
    PRIMARY KEY (experiment, name_digest),
    FOREIGN KEY (experiment) REFERENCES experiment (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS node (
    experiment         VARCHAR(64) NOT NULL,
    name               VARCHAR(255) NOT NULL,
    host               TEXT NOT NULL,
    version            TEXT NOT NULL,
    labels             LONGTEXT NOT NULL,
    clock_offset_ns    BIGINT,
    clock_error_ns     BIGINT,
    clock_drift_ns     BIGINT,
    shards             BIGINT NOT NULL,
    offered            BIGINT NOT NULL,
    lag_p99_ns         BIGINT,
    run_delay_share    DOUBLE NOT NULL,
    throttled_ns       BIGINT NOT NULL,
    resident_bytes_max BIGINT NOT NULL,
    deltas             BIGINT NOT NULL,
    lost               LONGTEXT,
    PRIMARY KEY (experiment, name),
    FOREIGN KEY (experiment) REFERENCES experiment (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Which batches of request records are in: (experiment, node, epoch, sequence) is the identity of a batch.
CREATE TABLE IF NOT EXISTS record_batch (
    experiment VARCHAR(64) NOT NULL,
    node       VARCHAR(255) NOT NULL,
    epoch      BIGINT NOT NULL,
    sequence   BIGINT NOT NULL,
    row_count  BIGINT NOT NULL,
    PRIMARY KEY (experiment, node, epoch, sequence),
    FOREIGN KEY (experiment) REFERENCES experiment (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Of whom a row is, its batch has made sure: a foreign key is looked up for each row, and costs half the time.
CREATE TABLE IF NOT EXISTS request (
    id         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    experiment VARCHAR(64) NOT NULL,
    node       VARCHAR(255) NOT NULL,
    group_name TEXT NOT NULL,
    step_name  TEXT NOT NULL,
    idx        BIGINT NOT NULL,
    planned_ns BIGINT NOT NULL,
    sent_ns    BIGINT,
    done_ns    BIGINT,
    status     BIGINT,
    outcome    VARCHAR(32) NOT NULL,
    span_id    BIGINT,
    KEY request_experiment (experiment)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS checkpoint (
    experiment      VARCHAR(64) PRIMARY KEY,
    stream_sequence BIGINT NOT NULL,
    at_unix_ms      BIGINT NOT NULL,
    bytes           LONGBLOB NOT NULL,
    FOREIGN KEY (experiment) REFERENCES experiment (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Telemetry of machines. A sample is one message of one sampler; (experiment, node, epoch, sequence) is its identity. A
-- series is one figure of one node; the values of a sample refer to them. Numbers are in base units: `unit` says which.
CREATE TABLE IF NOT EXISTS telemetry_sample (
    id              BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    experiment      VARCHAR(64) NOT NULL,
    node            VARCHAR(255) NOT NULL,
    machine         TEXT NOT NULL,
    epoch           BIGINT NOT NULL,
    sequence        BIGINT NOT NULL,
    at_unix_ns      BIGINT NOT NULL,
    at_monotonic_ns BIGINT NOT NULL,
    row_count       BIGINT NOT NULL,
    UNIQUE (experiment, node, epoch, sequence),
    FOREIGN KEY (experiment) REFERENCES experiment (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS telemetry_series (
    id            BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    experiment    VARCHAR(64) NOT NULL,
    node          VARCHAR(255) NOT NULL,
    figure_digest BINARY(32) NOT NULL,
    metric        TEXT NOT NULL,
    subsystem     TEXT NOT NULL,
    unit          TEXT NOT NULL,
    UNIQUE (experiment, node, figure_digest),
    FOREIGN KEY (experiment) REFERENCES experiment (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS telemetry_value (
    sample BIGINT NOT NULL,
    series BIGINT NOT NULL,
    value  DOUBLE NOT NULL,
    PRIMARY KEY (sample, series),
    FOREIGN KEY (sample) REFERENCES telemetry_sample (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
