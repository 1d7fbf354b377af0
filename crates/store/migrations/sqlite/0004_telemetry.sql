-- Telemetry of the machines that an experiment chose.
--
-- A sample is one message of one sampler; (experiment, node, epoch, sequence) is its identity, so that one that is told
-- twice is kept once, and a gap in the sequence is a message that was lost. A series is one figure of one node; the
-- values of a sample refer to them. Numbers are in base units: `unit` says which.

CREATE TABLE telemetry_sample (
    id              INTEGER PRIMARY KEY NOT NULL,
    experiment      TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    node            TEXT NOT NULL,
    machine         TEXT NOT NULL,
    epoch           INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    at_unix_ns      INTEGER NOT NULL,
    at_monotonic_ns INTEGER NOT NULL,
    rows            INTEGER NOT NULL,
    UNIQUE (experiment, node, epoch, sequence)
);
CREATE INDEX telemetry_sample_experiment ON telemetry_sample (experiment);

CREATE TABLE telemetry_series (
    id         INTEGER PRIMARY KEY NOT NULL,
    experiment TEXT NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    node       TEXT NOT NULL,
    metric     TEXT NOT NULL,
    subsystem  TEXT NOT NULL,
    unit       TEXT NOT NULL,
    UNIQUE (experiment, node, metric, subsystem)
);

CREATE TABLE telemetry_value (
    sample INTEGER NOT NULL REFERENCES telemetry_sample (id) ON DELETE CASCADE,
    series INTEGER NOT NULL,
    value  REAL NOT NULL,
    PRIMARY KEY (sample, series)
) WITHOUT ROWID;

-- The table as Galileo has it, for those who know that.
CREATE VIEW telemetry AS
SELECT
    telemetry_sample.experiment AS EXP_ID,
    telemetry_sample.at_unix_ns / 1e9 AS TIMESTAMP,
    telemetry_series.metric AS METRIC,
    nullif(telemetry_series.subsystem, '') AS SUBSYSTEM,
    telemetry_sample.node AS NODE,
    telemetry_value.value AS VALUE
FROM telemetry_sample
JOIN telemetry_value ON telemetry_value.sample = telemetry_sample.id
JOIN telemetry_series ON telemetry_series.id = telemetry_value.series;
