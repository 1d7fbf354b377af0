//! How many request records a second the store takes with PostgreSQL and MariaDB, against bare programs that write the
//! same rows: COPY in its text form, and multi-row INSERTs, in transactions of one batch.
//!
//! The servers are started here, with the settings they come with. The plain side has neither a table of batches nor a
//! check whose rows they are. Three rounds of each, taking turns; a line for each, then the medians.
//!
//! `cargo run --release -p nuncius-store --example record_rate_servers [batches]`

#![expect(clippy::print_stdout, reason = "a program that prints its result")]

use std::fmt::Write as _;
use std::time::Instant;

use nuncius_schemas::record::{BATCH_ROWS_MAX, RecordBatch, RecordOutcome};
use nuncius_schemas::run::{RunRecord, RunStatus};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_store::{Place, StepNames, Store};
use nuncius_testkit::{SqlKind, SqlServer};
use sqlx::{Connection as _, Executor as _, MySqlConnection, PgConnection, QueryBuilder};

type Failure = Box<dyn std::error::Error>;

const ROUNDS: usize = 3;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let batches: u64 = std::env::args_os()
        .nth(1)
        .and_then(|text| text.into_string().ok())
        .map(|text| text.parse())
        .transpose()?
        .unwrap_or(200);
    let rows = batches * BATCH_ROWS_MAX as u64;
    let batches: Vec<RecordBatch> = (1..=batches).map(batch).collect();
    for (kind, name) in [(SqlKind::Postgres, "postgres"), (SqlKind::MariaDb, "mariadb")] {
        let server = SqlServer::start(kind, &[]).await?;
        let (mut store_seconds, mut plain_seconds) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let store = with_store(&server.url(&server.database()?), &batches).await?;
            let url = server.url(&server.database()?);
            let plain = match kind {
                SqlKind::Postgres => plain_postgres(&url, &batches).await?,
                SqlKind::MariaDb => plain_mariadb(&url, &batches).await?,
            };
            let (store_rate, plain_rate) = (rows as f64 / store, rows as f64 / plain);
            println!("round={} database={name} store_rate={store_rate:.0} plain_rate={plain_rate:.0}", round + 1);
            store_seconds.push(store);
            plain_seconds.push(plain);
        }
        let (store, plain) = (rows as f64 / median(store_seconds), rows as f64 / median(plain_seconds));
        println!("{name} store  {store:>10.0} rows/s  (add_records, {rows} rows, median of {ROUNDS})");
        println!("{name} plain  {plain:>10.0} rows/s");
        println!("{name} ratio  {:>10.2}", store / plain);
    }
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
        sent_ns: indices.clone().map(|i| i * 1_000_000 + 40_000).collect(),
        done_ns: indices.clone().map(|i| i * 1_000_000 + 3_000_000).collect(),
        status: vec![200; rows],
        outcome: vec![RecordOutcome::Succeeded; rows],
        span_id: indices.map(|i| if i % 1_000 == 0 { i.wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { 0 }).collect(),
        host: vec![0; rows],
        hosts: Vec::new(),
    }
}

async fn with_store(url: &str, batches: &[RecordBatch]) -> Result<f64, Failure> {
    let store = Store::open(Place::parse(url)?).await?;
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
    let begun = Instant::now();
    for batch in batches {
        store.add_records(batch, &names).await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    store.close().await;
    Ok(seconds)
}

/// The same columns and the same index.
const POSTGRES: &str = "CREATE TABLE request (id BIGINT GENERATED ALWAYS AS IDENTITY, experiment VARCHAR(64) NOT NULL, \
     node VARCHAR(255) NOT NULL, group_name TEXT NOT NULL, step_name TEXT NOT NULL, idx BIGINT NOT NULL, \
     planned_ns BIGINT NOT NULL, sent_ns BIGINT, done_ns BIGINT, status BIGINT, outcome VARCHAR(32) NOT NULL, \
     span_id BIGINT, host TEXT); CREATE INDEX request_experiment ON request (experiment, id)";
const MARIADB: &str = "CREATE TABLE request (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, \
     experiment VARCHAR(64) NOT NULL, node VARCHAR(255) NOT NULL, group_name TEXT NOT NULL, step_name TEXT NOT NULL, \
     idx BIGINT NOT NULL, planned_ns BIGINT NOT NULL, sent_ns BIGINT, done_ns BIGINT, status BIGINT, \
     outcome VARCHAR(32) NOT NULL, span_id BIGINT, host TEXT, KEY request_experiment (experiment))";
const COLUMNS: &str =
    "experiment, node, group_name, step_name, idx, planned_ns, sent_ns, done_ns, status, outcome, span_id, host";

fn lines(batch: &RecordBatch) -> String {
    let mut text = String::new();
    let times = batch.planned_ns.iter().zip(&batch.sent_ns).zip(&batch.done_ns);
    let ends = batch.status.iter().zip(&batch.span_id);
    for ((index, ((planned, sent), done)), (status, span)) in batch.index.iter().zip(times).zip(ends) {
        let _ = write!(text, "{}\t{}\tmain\tget\t{index}\t", batch.experiment, batch.node);
        let _ = write!(text, "{planned}\t{sent}\t{done}\t{status}\tsucceeded\t");
        match span {
            0 => text.push_str("\\N"),
            span => drop(write!(text, "{}", span.cast_signed())),
        }
        text.push_str("\t\\N\n");
    }
    text
}

async fn plain_postgres(url: &str, batches: &[RecordBatch]) -> Result<f64, Failure> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(sqlx::raw_sql(POSTGRES)).await?;
    let copy = format!("COPY request ({COLUMNS}) FROM STDIN");
    let begun = Instant::now();
    for batch in batches {
        connection.execute("BEGIN").await?;
        let mut copying = connection.copy_in_raw(&copy).await?;
        copying.send(lines(batch).into_bytes()).await?;
        copying.finish().await?;
        connection.execute("COMMIT").await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(seconds)
}

async fn plain_mariadb(url: &str, batches: &[RecordBatch]) -> Result<f64, Failure> {
    let mut connection = MySqlConnection::connect(url).await?;
    connection.execute(sqlx::raw_sql(MARIADB)).await?;
    let begun = Instant::now();
    for batch in batches {
        connection.execute("START TRANSACTION").await?;
        let mut insert = QueryBuilder::<sqlx::MySql>::new(format!("INSERT INTO request ({COLUMNS}) "));
        let times = batch.planned_ns.iter().zip(&batch.sent_ns).zip(&batch.done_ns);
        let ends = batch.status.iter().zip(&batch.span_id);
        let rows = batch.index.iter().zip(times).zip(ends);
        insert.push_values(rows, |mut values, ((index, ((planned, sent), done)), (status, span))| {
            values
                .push_bind(&batch.experiment)
                .push_bind(&batch.node)
                .push_bind("main")
                .push_bind("get")
                .push_bind(index.cast_signed())
                .push_bind(planned.cast_signed())
                .push_bind(sent.cast_signed())
                .push_bind(done.cast_signed())
                .push_bind(*status)
                .push_bind("succeeded")
                .push_bind((*span != 0).then(|| span.cast_signed()))
                .push_bind(None::<&str>);
        });
        insert.build().execute(&mut connection).await?;
        connection.execute("COMMIT").await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(seconds)
}
