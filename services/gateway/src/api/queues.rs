//! Job queues: how they are, whether they give jobs, and their dead letters.

use axum::extract::State;
use axum::response::Response;
use hyper::{Method, StatusCode};
use nuncius_jobs::dead;
use nuncius_jobs::info::QueueInfo;
use nuncius_schemas::queue::{QueueDefinition, QueueState, QueueTotals};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked::Asked;
use super::changes::{note, reason_of};
use super::endpoint::{Content, Endpoint};
use super::experiments::no_content;
use super::lists::{self, CURSOR, LIMIT, LIMIT_ROWS, Page, USUAL};
use super::state::ApiState;
use crate::access::Scope;
use crate::answer;
use crate::problem::Problem;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/queues", "list-queues", "All queues, by name.", list)
            .parameters(&[LIMIT, CURSOR])
            .gives_json::<Page<Queue>>(),
        Endpoint::new(Method::GET, "/queues/{queue}", "get-queue", "One queue.", get).gives_json::<Queue>(),
        Endpoint::new(
            Method::PUT,
            "/queues/{queue}/state",
            "set-queue-state",
            "Whether a queue takes and gives jobs: open, paused or draining.",
            set_state,
        )
        .takes(Content::json::<State_>())
        .gives_json::<Queue>(),
        Endpoint::new(
            Method::GET,
            "/queues/{queue}/dead",
            "list-dead-letters",
            "Jobs that were given up, the oldest first.",
            dead_letters,
        )
        .parameters(&[LIMIT_ROWS])
        .gives_json::<Page<DeadLetter>>(),
        Endpoint::new(
            Method::POST,
            "/queues/{queue}/dead/{job}/retry",
            "retry-dead-letter",
            "Submits a dead job again, under a new id.",
            retry,
        )
        .gives(StatusCode::CREATED, Some(Content::json::<Retried>())),
        Endpoint::new(
            Method::DELETE,
            "/queues/{queue}/dead/{job}",
            "remove-dead-letter",
            "Removes a dead letter.",
            remove,
        )
        .scope(Scope::Admin)
        .gives(StatusCode::NO_CONTENT, None),
    ]
}

/// A queue as it is.
#[derive(Debug, Serialize, JsonSchema)]
struct Queue {
    /// As it is wanted.
    definition: QueueDefinition,
    /// What became of the jobs that have ended.
    totals: QueueTotals,
    /// Jobs ever stored.
    accepted: u64,
    /// Jobs in it: those that have not ended.
    jobs: u64,
    /// Jobs that neither ended nor are there: 0, unless records were lost or are too many to be read.
    unaccounted: u64,
    /// Records that are not in the totals.
    behind_records: u64,
    /// Jobs never delivered, by priority.
    waiting: Vec<u64>,
    /// Most jobs that may wait, or be in it.
    limit: u64,
    /// Dead letters kept.
    dead_letters: u64,
    /// The frontend that keeps its books.
    keeper: Option<String>,
}

impl From<QueueInfo> for Queue {
    fn from(info: QueueInfo) -> Self {
        Self {
            definition: info.definition,
            totals: info.totals,
            accepted: info.accepted,
            jobs: info.jobs,
            unaccounted: info.unaccounted,
            behind_records: info.behind_records,
            waiting: info.waiting,
            limit: info.limit,
            dead_letters: info.dead_letters,
            keeper: info.holder,
        }
    }
}

async fn list(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let queues = api.queues().await?;
    let names: Vec<String> = queues.list().await?.into_keys().collect();
    let page = lists::cut(&asked, names, api.settings().list_max)?;
    let mut items = Vec::new();
    for name in &page.items {
        match queues.info(name).await {
            Ok(info) => items.push(Queue::from(info)),
            // Removed meanwhile.
            Err(nuncius_jobs::JobError::NoQueue { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(answer::tagged(&asked.headers, &Page { items, next: page.next, missing: None }))
}

async fn get(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let info = api.queues().await?.info(asked.token("queue", "queue")?).await?;
    Ok(answer::tagged(&asked.headers, &Queue::from(info)))
}

/// Whether a queue takes and gives jobs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "QueueStateWanted")]
struct State_ {
    /// What it shall do.
    state: QueueState,
}

async fn set_state(State(api): State<ApiState>, mut asked: Asked) -> Result<Response, Problem> {
    let reason = reason_of(&asked)?;
    let name = asked.token("queue", "queue")?.to_owned();
    let wanted = answer::body(asked.take_body(), api.settings().body_max_bytes, "a state").await?;
    let State_ { state } = nuncius_schemas::codec::from_tree(&nuncius_schemas::codec::read_tree(&wanted)?)?;
    let queues = api.queues().await?;
    queues.set_state(&name, state).await?;
    note(&api, &asked.who, state.name(), &format!("queue {name}"), &reason).await;
    Ok(answer::fresh(StatusCode::OK, &Queue::from(queues.info(&name).await?)))
}

/// A job that was given up.
#[derive(Debug, Serialize, JsonSchema)]
struct DeadLetter {
    job: String,
    /// Who submitted it.
    client: String,
    priority: u8,
    /// How often it was begun.
    attempts: u32,
    /// Why it was given up.
    reason: String,
    /// When, by the server's clock, milliseconds since the Unix epoch.
    at_unix_ms: i64,
}

async fn dead_letters(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let limit = asked.limit(USUAL, api.settings().rows_max)?;
    let found = dead::list(api.queues().await?, asked.token("queue", "queue")?, limit).await?;
    let letter = |letter: dead::DeadLetter| DeadLetter {
        job: letter.job,
        client: letter.client,
        priority: letter.priority,
        attempts: letter.attempts,
        reason: letter.reason,
        at_unix_ms: letter.unix_ns / 1_000_000,
    };
    Ok(answer::tagged(&asked.headers, &Page::new(found.into_iter().map(letter).collect())))
}

/// What a dead job is now.
#[derive(Debug, Serialize, JsonSchema)]
struct Retried {
    /// Its new id.
    job: String,
}

async fn retry(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let reason = reason_of(&asked)?;
    let (queue, job) = (asked.token("queue", "queue")?, asked.word("job"));
    let id = dead::retry(api.queues().await?, queue, job).await?;
    note(&api, &asked.who, "retry", &format!("job {job} of queue {queue}"), &reason).await;
    Ok(answer::fresh(StatusCode::CREATED, &Retried { job: id }))
}

async fn remove(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let reason = reason_of(&asked)?;
    let (queue, job) = (asked.token("queue", "queue")?, asked.word("job"));
    dead::remove(api.queues().await?, queue, job).await?;
    note(&api, &asked.who, "remove", &format!("dead letter {job} of queue {queue}"), &reason).await;
    Ok(no_content())
}
