//! The pages that show.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use hyper::Response;
use nuncius_control::{ControlError, apps as app_table, experiments, reports, routes as route_table};
use nuncius_jobs::{JobError, dead};
use nuncius_pages::queues::{DeadJob, QueueLine};
use nuncius_pages::runs::{Filter, Runs};
use nuncius_pages::trend as trend_page;
use nuncius_pages::trend::TrendRun;
use nuncius_pages::{api as api_page, apps as apps_page, nodes as nodes_page, now as now_page, queues as queues_page};
use nuncius_pages::{routes as routes_page, run as run_page, runs as runs_page, system as system_page};
use nuncius_schemas::head::{ExperimentFilter, ExperimentHead, HeadPlace};
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::route::Route;
use nuncius_schemas::run::RunRecord;
use nuncius_schemas::tag::{TAGS_MAX, TagError, WantedTag};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::door::Visitor;
use super::figures::with_figures;
use super::parts::parts_of;
use crate::api::{ApiState, cursor_of, described, gates_so_far, last_rates, place_in, stored_head, system_told};
use crate::problem::Problem;

/// Runs on one page of the list.
const RUNS_PER_PAGE: usize = 50;
/// Verdicts on the page of now.
const LAST_VERDICTS: usize = 10;
/// Runs of one name that a trend has.
const TREND_MAX: usize = 20;
/// Dead letters of a queue that are shown.
const DEAD_MAX: usize = 50;
/// Runs under way whose last seconds are drawn on the page of now, and how many seconds.
const DRAWN_MAX: usize = 4;
const DRAWN_SECONDS: u32 = 60;
/// How long a page waits for what is made of seconds: a long run that was not looked at before takes a while, and is
/// there the next time.
const SECONDS_PATIENCE: Duration = Duration::from_millis(1_000);

pub(super) async fn now(State(api): State<ApiState>, visitor: Visitor) -> Response<Body> {
    visitor.answer(now_of(&api, &visitor).await)
}

async fn now_of(api: &ApiState, visitor: &Visitor) -> Result<String, Problem> {
    let mut running = Vec::new();
    let mut ended = Vec::new();
    for head in api.known().runs() {
        if head.status.is_terminal() { ended.push(head) } else { running.push(head) }
    }
    running.sort_by_key(|head| std::cmp::Reverse(head.submitted_unix_ms));
    ended.sort_by_key(|head| std::cmp::Reverse(head.ended_unix_ms));
    ended.truncate(LAST_VERDICTS);
    let queues = queue_lines(api).await.unwrap_or_default();
    let mut drawn = Vec::new();
    for head in running {
        let rates = if drawn.len() < DRAWN_MAX { rates_of(api, &head).await } else { Vec::new() };
        drawn.push((head, rates));
    }
    let running = drawn;
    let now = now_page::Now { nodes: all_nodes(api), running, ended, queues };
    Ok(now_page::page(&visitor.frame, &now))
}

/// What succeeded in the last seconds; nothing where that is not known in time.
async fn rates_of(api: &ApiState, head: &ExperimentHead) -> Vec<f64> {
    let rates = async {
        let (record, _) = experiments::record(api.bus(), &head.id).await.ok()??;
        last_rates(api, &record, DRAWN_SECONDS).await.ok()
    };
    tokio::time::timeout(SECONDS_PATIENCE, rates).await.ok().flatten().unwrap_or_default()
}

fn all_nodes(api: &ApiState) -> Vec<NodeInfo> {
    api.known().nodes().iter().map(|node| NodeInfo::clone(node)).collect()
}

pub(super) async fn runs(State(api): State<ApiState>, visitor: Visitor) -> Response<Body> {
    visitor.answer(runs_of(&api, &visitor).await)
}

async fn runs_of(api: &ApiState, visitor: &Visitor) -> Result<String, Problem> {
    let chosen = |name: &str| visitor.parameter(name).map(str::to_owned);
    let written: Vec<String> = visitor.parameters("tag").map(str::to_owned).collect();
    let filter = ExperimentFilter {
        statuses: named(visitor, "status"),
        verdicts: named(visitor, "verdict"),
        name: chosen("name"),
        creator: chosen("creator"),
        tags: wanted_tags(&written)?,
        text: chosen("text"),
        ..ExperimentFilter::default()
    };
    let after: Option<HeadPlace> = visitor.parameter("cursor").and_then(place_in);
    let known = api.known().runs().into_iter();
    let found = experiments::page(api.bus(), known, &filter, after.as_ref(), RUNS_PER_PAGE).await?;
    let kept = Filter {
        status: chosen("status"),
        verdict: chosen("verdict"),
        name: chosen("name"),
        creator: chosen("creator"),
        tags: written,
        text: chosen("text"),
    };
    let next = found.next.as_ref().and_then(cursor_of).map(|cursor| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("status", &kept.status),
            ("verdict", &kept.verdict),
            ("name", &kept.name),
            ("creator", &kept.creator),
            ("text", &kept.text),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        for tag in &kept.tags {
            query.append_pair("tag", tag);
        }
        query.append_pair("cursor", &cursor).finish()
    });
    let experiments = with_figures(api, found.experiments).await;
    let runs = Runs { experiments, filter: kept, next, silent: found.silent };
    Ok(runs_page::page(&visitor.frame, &runs))
}

/// The tags that are asked for.
///
/// # Errors
/// What is no tag, and more than there may be.
fn wanted_tags(written: &[String]) -> Result<Vec<WantedTag>, Problem> {
    if written.len() > TAGS_MAX {
        return Err(Problem::parameter("tag", format!("at most {TAGS_MAX} at a time")));
    }
    let wrong = |error: TagError| Problem::parameter("tag", error.to_string());
    written.iter().map(|tag| tag.parse().map_err(wrong)).collect()
}

/// What a parameter names; nothing of what is no name.
fn named<T: DeserializeOwned>(visitor: &Visitor, parameter: &str) -> Vec<T> {
    let word = visitor.parameter(parameter).map(|word| Value::String(word.to_owned()));
    word.and_then(|word| serde_json::from_value(word).ok()).into_iter().collect()
}

pub(super) async fn run(State(api): State<ApiState>, Path(id): Path<String>, visitor: Visitor) -> Response<Body> {
    visitor.answer(run_of(&api, &visitor, &id).await)
}

async fn run_of(api: &ApiState, visitor: &Visitor, id: &str) -> Result<String, Problem> {
    let record = experiments::record(api.bus(), id).await?.map(|(record, _)| record);
    let head = match &record {
        Some(record) => ExperimentHead::of(record),
        None => stored_head(api, id).await?,
    };
    if !head.status.is_terminal() {
        return Ok(live_page(api, visitor, head, record).await);
    }
    match reports::report(api.bus(), id).await {
        Ok(report) => {
            let frame = visitor.frame.clone();
            made(move || run_page::ended(&frame, &report, None)).await
        }
        // It is being written.
        Err(ControlError::NoReport { .. }) => Ok(live_page(api, visitor, head, record).await),
        Err(error) => Err(error.into()),
    }
}

async fn live_page(api: &ApiState, visitor: &Visitor, head: ExperimentHead, record: Option<RunRecord>) -> String {
    let mut live = run_page::Live { head, gates: Vec::new(), lag_limit_ns: 0, groups: Vec::new() };
    if let Some(record) = record {
        live.lag_limit_ns = record.spec.lag_limit.0;
        live.groups = record.spec.groups.iter().map(|group| group.name.clone()).collect();
        let gates = tokio::time::timeout(SECONDS_PATIENCE, gates_so_far(api, &record)).await;
        live.gates = gates.ok().and_then(Result::ok).unwrap_or_default();
    }
    run_page::live(&visitor.frame, &live)
}

/// A page that takes a while to be made, off the threads that answer.
async fn made(make: impl FnOnce() -> String + Send + 'static) -> Result<String, Problem> {
    let made = tokio::task::spawn_blocking(make).await;
    made.map_err(|error| Problem::internal(format!("the page cannot be made: {error}")))
}

pub(super) async fn trend(State(api): State<ApiState>, Path(name): Path<String>, visitor: Visitor) -> Response<Body> {
    visitor.answer(trend_of(&api, &visitor, &name).await)
}

async fn trend_of(api: &ApiState, visitor: &Visitor, name: &str) -> Result<String, Problem> {
    let filter = ExperimentFilter { name: Some(name.to_owned()), ..ExperimentFilter::default() };
    let known = api.known().runs().into_iter();
    let found = experiments::page(api.bus(), known, &filter, None, TREND_MAX).await?;
    let runs = with_figures(api, found.experiments).await;
    let runs: Vec<TrendRun> = runs.into_iter().map(|(head, figures)| TrendRun { head, figures }).collect();
    Ok(trend_page::page(&visitor.frame, name, &runs))
}

pub(super) async fn nodes(State(api): State<ApiState>, visitor: Visitor) -> Response<Body> {
    visitor.answer(Ok(nodes_page::page(&visitor.frame, &all_nodes(&api), &api.metrics().machines())))
}

pub(super) async fn queues(State(api): State<ApiState>, visitor: Visitor) -> Response<Body> {
    visitor.answer(queues_of(&api, &visitor).await)
}

async fn queues_of(api: &ApiState, visitor: &Visitor) -> Result<String, Problem> {
    let lines = queue_lines(api).await?;
    let mut given_up = Vec::new();
    for line in &lines {
        let letters = dead::list(api.queues().await?, &line.name, DEAD_MAX).await.unwrap_or_default();
        let job = |letter: dead::DeadLetter| DeadJob {
            queue: line.name.clone(),
            id: letter.job,
            client: letter.client,
            attempts: letter.attempts,
            at_unix_ms: u64::try_from(letter.unix_ns / 1_000_000).unwrap_or(0),
            reason: letter.reason,
        };
        given_up.extend(letters.into_iter().map(job));
    }
    Ok(queues_page::page(&visitor.frame, &lines, &given_up, DEAD_MAX))
}

async fn queue_lines(api: &ApiState) -> Result<Vec<QueueLine>, Problem> {
    let queues = api.queues().await?;
    let nodes = api.known().nodes();
    let mut lines = Vec::new();
    for name in queues.list().await?.into_keys() {
        let info = match queues.info(&name).await {
            Ok(info) => info,
            // Removed meanwhile.
            Err(JobError::NoQueue { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let waiting: u64 = info.waiting.iter().sum();
        let takes = |node: &&Arc<NodeInfo>| node.worker.as_ref().is_some_and(|worker| worker.queue == name);
        lines.push(QueueLine {
            state: info.definition.state.name().to_owned(),
            waiting,
            running: info.jobs.saturating_sub(waiting),
            ended: [info.totals.succeeded, info.totals.failed, info.totals.dead, info.totals.dropped],
            workers: nodes.iter().filter(takes).count(),
            name,
        });
    }
    Ok(lines)
}

pub(super) async fn routes(State(api): State<ApiState>, visitor: Visitor) -> Response<Body> {
    let table = route_table::list(api.bus()).await.map_err(Problem::from);
    let page = table.map(|table| {
        let routes: Vec<Route> = table.into_iter().map(|entry| entry.route).collect();
        routes_page::page(&visitor.frame, &routes)
    });
    visitor.answer(page)
}

pub(super) async fn apps(State(api): State<ApiState>, visitor: Visitor) -> Response<Body> {
    let apps = app_table::list(api.bus()).await.map_err(Problem::from);
    visitor.answer(apps.map(|apps| apps_page::page(&visitor.frame, &apps)))
}

pub(super) async fn system(State(api): State<ApiState>, visitor: Visitor) -> Response<Body> {
    visitor.answer(system_told(&api).await.map(|told| system_page::page(&visitor.frame, &parts_of(&told))))
}

/// What the interface can do, as its document says.
pub(super) async fn interface(State(api): State<ApiState>, visitor: Visitor) -> Response<Body> {
    visitor.answer(Ok(api_page::page(&visitor.frame, &described(&api.settings().base_path))))
}
