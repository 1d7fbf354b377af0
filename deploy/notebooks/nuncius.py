"""Runs of Nuncius, exported by `nuncius export ID --parquet DIR`, as relations of DuckDB.

A run is the directory of its files; docs/exports.md has their columns. A relation can be queried, and is a stream of
Arrow: `pyarrow.table(relation)`. `at_s` and `planned_s` count from the start of load.
"""

import json
from pathlib import Path

from duckdb import sql


def _file(*path):
    return "'" + str(Path(*path)).replace("'", "''") + ".parquet'"


def about(run):
    """What the files say of their experiment: id, verdict, times since the Unix epoch, the specification as `spec`."""
    gates_file = f"parquet_kv_metadata({_file(run, 'gates')})"
    return json.loads(sql(f"SELECT decode(value) FROM {gates_file} WHERE key = 'nuncius'").fetchall()[0][0])


def experiments(directory):
    """One row a run that was exported into a directory of its own in `directory`, in the order of their start."""
    return sql(f"""
        SELECT about->>'id' AS id, about->>'name' AS name, about->>'status' AS status, about->>'verdict' AS verdict,
            (about->>'started_unix_ms')::BIGINT AS started_unix_ms, parse_dirpath(file_name) AS run
        FROM (SELECT file_name, decode(value)::JSON AS about FROM parquet_kv_metadata({_file(directory, '*', 'gates')})
            WHERE key = 'nuncius') ORDER BY started_unix_ms, id""")


def requests(run):
    """Recorded requests without the warm-up. `response_ns` counts from the planned instant, if there was one,
    `service_ns` from the sending; where `is_censored` to the last thing that the node recorded: lower bounds."""
    groups = about(run)["spec"]["groups"]
    return sql(f"""
        WITH rows AS (SELECT *, outcome = 'censored' AS is_censored, planned_ns / 1e9 AS planned_s, coalesce(done_ns,
                    max(greatest(planned_ns, sent_ns, done_ns)) OVER (PARTITION BY node)) AS end_ns,
                min(planned_ns) OVER (PARTITION BY node, "group", "index") AS begun_ns FROM {_file(run, 'requests')})
        SELECT rows.* EXCLUDE (begun_ns, end_ns), end_ns - sent_ns AS service_ns,
            CASE WHEN ("group", step) IN (SELECT ("group", step) FROM {_file(run, 'histograms')} WHERE quantity = 'lag')
                THEN end_ns - planned_ns END AS response_ns
        FROM rows WHERE begun_ns >= epoch_ns(coalesce(map(?, ?)["group"], '0s')::INTERVAL)""", params=[
            [group.get("name", "main") for group in groups], [group.get("warm_up", "0s") for group in groups]])


def seconds(run):
    """Merged seconds by group and step: counts may be added, quantiles may not."""
    return sql(f"SELECT *, second + length_ns / 2e9 AS at_s FROM {_file(run, 'seconds')}")


def histograms(run):
    """Buckets that are not empty, of the whole run."""
    return sql(f"FROM {_file(run, 'histograms')}")


def events(run):
    """What happened; before the start of load `at_s` is negative."""
    return sql(f"SELECT *, (at_unix_ms - {about(run)['started_unix_ms']}) / 1e3 AS at_s FROM {_file(run, 'events')}")


def nodes(run):
    """The client nodes, with `zone`, their label of that name."""
    return sql(f"SELECT *, labels::JSON->>'zone' AS zone FROM {_file(run, 'nodes')}")


def gates(run):
    """The gates; latencies among `observed`, `lower` and `upper` are in nanoseconds."""
    return sql(f"FROM {_file(run, 'gates')}")


def telemetry(run):
    """Figures of machines in base units, where the run has any; `node` is a client node's `host`."""
    since = about(run)["started_unix_ms"]
    return sql(f"SELECT *, (at_unix_ns - {since} * 1000000) / 1e9 AS at_s FROM {_file(run, 'telemetry')}")


def quantiles(run, quantity="response", at=(0.5, 0.9, 0.95, 0.99, 0.999)):
    """Quantiles by group and step from the buckets of the whole run, those of the report. Censored requests are in no
    bucket: with some the quantile lies from `at_least_ns` to `at_most_ns`, which is absent where nobody knows."""
    censored = "sum(censored)::BIGINT" if quantity in ("response", "service") else "0"
    return sql(f"""
        WITH buckets AS (SELECT "group", step, highest_ns, sum(count) OVER rising AS up_to,
                (sum(count) OVER of)::BIGINT AS samples FROM {_file(run, 'histograms')} WHERE quantity = '{quantity}'
                WINDOW of AS (PARTITION BY "group", step), rising AS (of ORDER BY highest_ns)),
            steps AS (SELECT "group", step, {censored} AS censored FROM {_file(run, 'seconds')} GROUP BY ALL),
            ranks AS (SELECT *, ceil(quantile * (samples + censored)) AS rank
                FROM buckets JOIN steps USING ("group", step), (SELECT unnest({list(at)}::DOUBLE[]) AS quantile))
        SELECT "group", step, quantile, min(highest_ns) FILTER (up_to >= rank - censored) AS at_least_ns,
            min(highest_ns) FILTER (up_to >= rank) AS at_most_ns, samples, censored
        FROM ranks GROUP BY ALL ORDER BY ALL""")


def compare(a, b, quantity="response", at=(0.5, 0.95, 0.99)):
    """Quantiles of two runs side by side. Whether they differ by more than chance `nuncius compare` says."""
    a, b = quantiles(a, quantity, at), quantiles(b, quantity, at)
    return sql("""SELECT "group", step, quantile, a.at_least_ns AS a_at_least_ns, b.at_least_ns AS b_at_least_ns,
            a.at_most_ns AS a_at_most_ns, b.at_most_ns AS b_at_most_ns
        FROM a FULL JOIN b USING ("group", step, quantile) ORDER BY ALL""")
