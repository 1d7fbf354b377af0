//! How many request records a second the store takes, against plain multi-row INSERTs of the same columns.
//!
//! Both write the same rows into a fresh file, in transactions of one batch, with the same pragmas; the plain side has
//! no table of batches and no foreign key. Three rounds of each, taking turns; a line for each, then the medians. What
//! was recorded is exported as Parquet: rows a second, and bytes of each.
//!
//! `cargo run --release -p nuncius-store --example record_rate [batches]`

#![expect(clippy::print_stdout, reason = "a program that prints its result")]

use std::path::Path;
use std::time::{Duration, Instant};

use nuncius_schemas::record::{BATCH_ROWS_MAX, RecordBatch, RecordOutcome};
use nuncius_schemas::run::{RunRecord, RunStatus};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_store::{StepNames, Store};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, QueryBuilder, Sqlite};

type Failure = Box<dyn std::error::Error>;

const ROUNDS: usize = 3;
const ROWS_PER_INSERT: usize = 500;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let batches: u64 = std::env::args_os()
        .nth(1)
        .and_then(|text| text.into_string().ok())
        .map(|text| text.parse())
        .transpose()?
        .unwrap_or(200);
    let directory = std::env::temp_dir().join(format!("nuncius-record-rate-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let rows = batches * BATCH_ROWS_MAX as u64;
    let (mut store_seconds, mut plain_seconds) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let path = directory.join(format!("store-{round}.sqlite"));
        let store = with_store(&path, batches).await?;
        let (parquet, parquet_bytes) = to_parquet(&path, &directory.join(format!("parquet-{round}"))).await?;
        let plain = plain(&directory.join(format!("plain-{round}.sqlite")), batches).await?;
        let (store_rate, plain_rate) = (rows as f64 / store, rows as f64 / plain);
        let (parquet_rate, bytes_per_row) = (rows as f64 / parquet, parquet_bytes as f64 / rows as f64);
        println!(
            "round={} store_rate={store_rate:.0} plain_rate={plain_rate:.0} parquet_rate={parquet_rate:.0} \
             parquet_bytes={bytes_per_row:.2}",
            round + 1
        );
        store_seconds.push(store);
        plain_seconds.push(plain);
    }
    std::fs::remove_dir_all(&directory)?;
    let (store, plain) = (rows as f64 / median(store_seconds), rows as f64 / median(plain_seconds));
    println!("store  {store:>10.0} rows/s  (add_records, {rows} rows, median of {ROUNDS})");
    println!("plain  {plain:>10.0} rows/s  (multi-row INSERT of the same columns)");
    println!("ratio  {:>10.2}", store / plain);
    Ok(())
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

fn spec() -> Result<ExperimentSpec, Failure> {
    Ok(serde_json::from_str(r#"{"groups":[{"target":"http://127.0.0.1/","rate":"1000/s","duration":"60s"}]}"#)?)
}

fn batch(sequence: u64) -> RecordBatch {
    let rows = BATCH_ROWS_MAX;
    let first = sequence * rows as u64;
    let indices = first..first + rows as u64;
    RecordBatch {
        experiment: "bench".to_owned(),
        node: "client-1".to_owned(),
        epoch: 1,
        attempt: 1,
        sequence,
        last: false,
        group: vec![0; rows],
        step: vec![0; rows],
        index: indices.clone().collect(),
        planned_ns: indices.clone().map(|i| i * 1_000_000).collect(),
        sent_ns: indices.clone().map(sent_ns).collect(),
        done_ns: indices.clone().map(|i| sent_ns(i) + service_ns(i)).collect(),
        status: vec![200; rows],
        outcome: vec![RecordOutcome::Succeeded; rows],
        span_id: indices.map(|i| if i % 1_000 == 0 { i.wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { 0 }).collect(),
        host: vec![0; rows],
        hosts: Vec::new(),
    }
}

/// Uniform in [0, 1), as good as random for each index and purpose: times that follow a rule take no room in a file.
fn uniform(index: u64, purpose: u64) -> f64 {
    let mixed = (index ^ purpose.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 32)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Some 40 µs late.
fn sent_ns(index: u64) -> u64 {
    index * 1_000_000 + 10_000 + (-40_000.0 * (1.0 - uniform(index, 1)).ln()) as u64
}

/// Exponential, 3 ms on average.
fn service_ns(index: u64) -> u64 {
    (-3_000_000.0 * (1.0 - uniform(index, 2)).ln()) as u64
}

async fn with_store(path: &Path, batches: u64) -> Result<f64, Failure> {
    let store = Store::open(path).await?;
    let record = RunRecord {
        id: "bench".to_owned(),
        stream_sequence: 1,
        status: RunStatus::Running,
        verdict: None,
        reason: None,
        spec: spec()?,
        submitted_unix_ms: 1,
        started_unix_ms: Some(1),
        ended_unix_ms: None,
        routes: Vec::new(),
        route_changes: 0,
        nodes: Vec::new(),
        nodes_left_out: 0,
        attempt: 0,
        token: 0,
        traceparent: None,
        store: None,
    };
    let names = StepNames::of(&record.spec);
    store.upsert_experiment(&record).await?;
    let batches: Vec<RecordBatch> = (1..=batches).map(batch).collect();
    let begun = Instant::now();
    for batch in &batches {
        store.add_records(batch, &names).await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    store.close().await;
    Ok(seconds)
}

/// Exports what [`with_store`] has written; seconds, and the bytes of the file of requests.
async fn to_parquet(path: &Path, directory: &Path) -> Result<(f64, u64), Failure> {
    let store = Store::open(path).await?;
    let begun = Instant::now();
    nuncius_store::export::parquet(&store, "bench", directory).await?;
    let seconds = begun.elapsed().as_secs_f64();
    store.close().await;
    Ok((seconds, std::fs::metadata(directory.join("requests.parquet"))?.len()))
}

async fn plain(path: &Path, batches: u64) -> Result<f64, Failure> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    sqlx::query(
        "CREATE TABLE request (experiment TEXT NOT NULL, node TEXT NOT NULL, group_name TEXT NOT NULL, \
         step_name TEXT NOT NULL, idx INTEGER NOT NULL, planned_ns INTEGER NOT NULL, sent_ns INTEGER, \
         done_ns INTEGER, status INTEGER, outcome TEXT NOT NULL, span_id INTEGER, host TEXT)",
    )
    .execute(&pool)
    .await?;
    sqlx::query("CREATE INDEX request_experiment ON request (experiment)").execute(&pool).await?;
    let batches: Vec<RecordBatch> = (1..=batches).map(batch).collect();
    let begun = Instant::now();
    for batch in &batches {
        let mut transaction = pool.begin().await?;
        let rows: Vec<_> = batch
            .index
            .iter()
            .zip(&batch.planned_ns)
            .zip(batch.sent_ns.iter().zip(&batch.done_ns))
            .zip(batch.status.iter().zip(&batch.span_id))
            .collect();
        for chunk in rows.chunks(ROWS_PER_INSERT) {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO request (experiment, node, group_name, step_name, idx, planned_ns, sent_ns, done_ns, \
                 status, outcome, span_id, host) ",
            );
            insert.push_values(chunk, |mut values, (((index, planned), (sent, done)), (status, trace))| {
                values
                    .push_bind(&batch.experiment)
                    .push_bind(&batch.node)
                    .push_bind("main")
                    .push_bind("get")
                    .push_bind(index.cast_signed())
                    .push_bind(planned.cast_signed())
                    .push_bind(Some(sent.cast_signed()))
                    .push_bind(Some(done.cast_signed()))
                    .push_bind(Some(**status))
                    .push_bind("succeeded")
                    .push_bind((**trace != 0).then(|| trace.cast_signed()))
                    .push_bind(None::<&str>);
            });
            insert.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    pool.close().await;
    Ok(seconds)
}
