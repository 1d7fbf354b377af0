//! A store of an earlier version, with what was in it; one of a later version; one whose tables were not finished.

use nuncius_store::{Store, StoreError};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use crate::common::{Directory, Kind, Site, batch, in_each, metadata, record, report, spec};

/// The tables of SQLite before those of servers were there.
const BEFORE: [&str; 5] = [
    include_str!("../../migrations/sqlite/0001_experiments.sql"),
    include_str!("../../migrations/sqlite/0002_seconds.sql"),
    include_str!("../../migrations/sqlite/0003_owners.sql"),
    include_str!("../../migrations/sqlite/0004_telemetry.sql"),
    include_str!("../../migrations/sqlite/0005_second_histograms.sql"),
];

#[tokio::test]
async fn a_file_of_the_version_before_keeps_what_is_in_it() {
    let directory = Directory::new();
    let options = SqliteConnectOptions::new().filename(directory.file()).create_if_missing(true).foreign_keys(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let migration = |(version, sql): (i64, &'static str)| {
        Migration::new(version, "before".into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations((1..).zip(BEFORE).map(migration).collect()).run(&pool).await.unwrap();
    let report = report("e1");
    let mut tagged = spec();
    tagged.metadata = metadata(&[("branch", "main"), ("note", "two\nlines")]);
    let (document, spec_text) = (serde_json::to_string(&report).unwrap(), serde_json::to_string(&tagged).unwrap());
    for statement in [
        "INSERT INTO experiment (id, stream_sequence, name, status, submitted_unix_ms) \
         VALUES ('e0', 1, 'n', 'running', 1)",
        "INSERT INTO record_batch (experiment, node, epoch, sequence, rows) VALUES ('e1', 'n1', -2, 1, 1)",
        "INSERT INTO request (experiment, node, group_name, step_name, idx, planned_ns, outcome) \
         VALUES ('e1', 'n1', 'browse', 'list', 1, 2, 'censored')",
        "INSERT INTO telemetry_sample (experiment, node, machine, epoch, sequence, at_unix_ns, at_monotonic_ns, rows) \
         VALUES ('e1', 'n1', 'm', 1, 1, 1, 1, 3)",
        "INSERT INTO phase (experiment, status, at_unix_ms) VALUES ('e1', 'running', 3)",
    ] {
        if statement.contains("'e0'") {
            sqlx::query(
                "INSERT INTO experiment (id, stream_sequence, name, status, spec, report, submitted_unix_ms) \
                 VALUES ('e1', 2, 'checkout', 'finished', ?, ?, 2)",
            )
            .bind(&spec_text)
            .bind(&document)
            .execute(&pool)
            .await
            .unwrap();
        }
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&pool).await.unwrap();
    }
    pool.close().await;

    let store = Store::open(directory.file()).await.unwrap();
    let heads = store.heads(None, 10).await.unwrap();
    assert_eq!((heads[0].id.as_str(), heads[0].scheduled, heads[0].offered), ("e1", Some(1_000), Some(1_000)));
    assert_eq!((heads[1].id.as_str(), heads[1].target.as_deref(), heads[1].scheduled), ("e0", None, None));
    assert!(heads[0].target.is_some());
    assert_eq!((&heads[0].tags, heads[1].tags.len()), (&metadata(&[("branch", "main")]), 0));
    assert_eq!(store.report("e1").await.unwrap().unwrap().reasons, report.reasons);
    assert_eq!((store.record_count("e1").await.unwrap(), store.held("e1").await.unwrap().record_rows), (1, 1));
    assert_eq!(store.telemetry_rows("e1").await.unwrap(), 3);
    assert_eq!(store.phases("e1").await.unwrap().len(), 1);
    // The batch that is there is known by its name of then.
    let mut known = batch("e1", "n1", 1, 1);
    known.epoch = u64::MAX - 1;
    assert_eq!(store.add_records(&known, &nuncius_store::StepNames::of(&spec())).await.unwrap(), 0);
    store.close().await;
}

#[tokio::test]
async fn what_was_stored_before_there_were_tags_has_those_of_its_metadata() {
    in_each(async |site| {
        let store = site.open().await;
        let (mut tagged, long) = (record("e1"), "x".repeat(5_000));
        tagged.spec.metadata = metadata(&[("branch", "ma\"in \u{fc}"), ("nightly", ""), ("why", &long)]);
        store.upsert_experiment(&tagged).await.unwrap();
        let mut bare = record("e2");
        bare.spec.metadata.clear();
        store.upsert_experiment(&bare).await.unwrap();
        store.close().await;
        // As it was before: neither tags nor what came after them.
        site.sql("DROP TABLE record_file").await;
        site.sql("ALTER TABLE request DROP COLUMN host").await;
        site.sql("ALTER TABLE experiment DROP COLUMN tags").await;
        let version = if site.kind == Kind::Sqlite { 7 } else { 2 };
        site.sql(&format!("DELETE FROM _sqlx_migrations WHERE version >= {version}")).await;
        let store = site.open().await;
        let heads = store.heads(None, 10).await.unwrap();
        assert_eq!(heads[0].tags, metadata(&[("branch", "ma\"in \u{fc}"), ("nightly", "")]));
        assert!(heads[1].tags.is_empty());
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_store_of_a_later_version_is_left_alone_and_told_with_both_versions() {
    in_each(async |site| {
        let store = site.open().await;
        store.upsert_experiment(&record("e1")).await.unwrap();
        store.close().await;
        let (sum, yes) = match site.kind {
            Kind::Sqlite => ("x'00'", "1"),
            Kind::Postgres => ("'x'", "true"),
            Kind::MariaDb => ("'x'", "1"),
        };
        site.sql(&format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (99, 'later', {yes}, {sum}, 0)"
        ))
        .await;
        let error = Store::open(site.place()).await.unwrap_err();
        assert!(matches!(error, StoreError::Newer { version: 99, .. }), "{error}");
        assert!(error.to_string().contains("version 99") && error.to_string().contains("newer nuncius"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn tables_whose_making_was_broken_off_are_made_to_their_end() {
    let site = Site::new(Kind::MariaDb).await;
    site.open().await.close().await;
    site.sql("DROP TABLE telemetry_value; UPDATE _sqlx_migrations SET success = 0").await;
    let store = site.open().await;
    store.upsert_experiment(&record("e1")).await.unwrap();
    let samples = crate::telemetry::samples();
    assert!(store.add_telemetry("e1", &samples, &mut nuncius_store::TelemetrySeries::default()).await.unwrap() > 0);
    // The lock that makers of tables take is free.
    let other = Store::open(site.place()).await.unwrap();
    other.close().await;
    store.close().await;
}
