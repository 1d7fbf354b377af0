-- Merged seconds, by group and step, in place of seconds over all groups. What an older report says of its seconds
-- stays in the report.
--
-- A row is one step of a group, or its whole iterations, in one second. What came late of a second that had been let
-- go has a row of its own (`late` > 0): the rows of a second are added. Statuses and failures are JSON.

DROP TABLE interval;

CREATE TABLE second (
    experiment      TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    second          INTEGER NOT NULL,
    late            INTEGER NOT NULL,
    group_index     INTEGER NOT NULL,
    step_index      INTEGER NOT NULL,
    group_name      TEXT NOT NULL,
    step_name       TEXT NOT NULL,
    -- 1: whole iterations are counted, else requests. The only step of a group is its iteration, too.
    is_iteration    INTEGER NOT NULL,
    length_ns       INTEGER NOT NULL,
    offered_ns      INTEGER NOT NULL,
    nodes           INTEGER NOT NULL,
    scheduled       INTEGER,
    offered         INTEGER NOT NULL,
    sent            INTEGER NOT NULL,
    succeeded       INTEGER NOT NULL,
    failed          INTEGER NOT NULL,
    censored        INTEGER NOT NULL,
    in_flight       INTEGER NOT NULL,
    retried         INTEGER NOT NULL,
    bytes_sent      INTEGER NOT NULL,
    bytes_received  INTEGER NOT NULL,
    response_p50_ns INTEGER,
    response_p95_ns INTEGER,
    response_p99_ns INTEGER,
    response_max_ns INTEGER,
    service_p50_ns  INTEGER,
    service_p95_ns  INTEGER,
    service_p99_ns  INTEGER,
    service_max_ns  INTEGER,
    blocked_p99_ns  INTEGER,
    lag_p99_ns      INTEGER,
    statuses        TEXT NOT NULL,
    failures        TEXT NOT NULL,
    PRIMARY KEY (experiment, second, late, group_index, step_index)
) WITHOUT ROWID;
