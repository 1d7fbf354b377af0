//! Experiments: submitted, validated, listed, looked at, marked, cancelled, removed.

use axum::extract::State;
use axum::response::Response;
use hyper::header::{ETAG, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, StatusCode};
use nuncius_control::cancel::{self, Cancelled};
use nuncius_control::removal::{self, Removal};
use nuncius_control::{ControlError, archive, experiments, mark, submit};
use nuncius_schemas::head::{ExperimentFilter, ExperimentHead, HeadPlace};
use nuncius_schemas::names::check_token;
use nuncius_schemas::spec::ExperimentSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked::Asked;
use super::changes::{Why, note, note_in_log, reason_of};
use super::endpoint::PREFIX;
use super::endpoint::{Content, Endpoint};
use super::lists::{self, CURSOR, LIMIT, Page, USUAL};
use super::parameter::{Kind, Parameter};
use super::planned::{self, Validated};
use super::state::ApiState;
use super::submission;
use crate::access::Scope;
use crate::answer;
use crate::problem::Problem;

/// Header: the id of the experiment; the same request with the same one is one experiment.
const HEADER_ID: &str = "nuncius-id";
/// Daemons give no more at a time.
const STORED_MAX: usize = 100;

const STATUSES: &[&str] =
    &["submitted", "planned", "preparing", "running", "draining", "finished", "failed", "cancelled"];
const VERDICTS: &[&str] = &["pass", "undetermined", "fail", "invalid"];

const FILTERS: &[Parameter] = &[
    Parameter::new("status", Kind::Choices(STATUSES), "With one of these statuses."),
    Parameter::new("verdict", Kind::Choices(VERDICTS), "With one of these verdicts."),
    Parameter::new("name", Kind::Text, "Of this name."),
    Parameter::new("creator", Kind::Text, "Wanted by this one."),
    Parameter::new("tag", Kind::Tags, "With this entry of its metadata, NAME or NAME=VALUE; several times: with all."),
    Parameter::new("from", Kind::Time, "Submitted at this time or later."),
    Parameter::new("to", Kind::Time, "Submitted before this time."),
    Parameter::new("text", Kind::Text, "With this text in id, name, creator, target or reason."),
    LIMIT,
    CURSOR,
];

const REMOVAL: &[Parameter] =
    &[Parameter::new("force", Kind::Flag, "Delete what the bus has, though no database that can be reached has it.")];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let spec = Content { types: submission::TYPES, ..Content::json::<ExperimentSpec>() };
    vec![
        Endpoint::new(Method::GET, "/experiments", "list-experiments", "Experiments, the latest first.", list)
            .parameters(FILTERS)
            .gives_json::<Page<ExperimentHead>>(),
        Endpoint::new(
            Method::POST,
            "/experiments",
            "submit-experiment",
            "Submits an experiment: YAML, JSON or MessagePack, in the form of Nuncius or of Galileo.",
            submit_one,
        )
        .headers(&[(HEADER_ID, "Its id: the same request with the same id, made again, is the same experiment.")])
        .takes(spec)
        .gives(StatusCode::CREATED, Some(Content::json::<Submitted>()))
        .gives(StatusCode::OK, Some(Content::json::<Submitted>())),
        Endpoint::new(
            Method::POST,
            "/experiments/validate",
            "validate-experiment",
            "Says what an experiment would do, and what is wrong with it; nothing is stored or started.",
            validate,
        )
        .scope(Scope::Read)
        .takes(spec)
        .gives_json::<Validated>(),
        Endpoint::new(Method::GET, "/experiments/{id}", "get-experiment", "One experiment.", get)
            .gives_json::<Experiment>(),
        Endpoint::new(
            Method::POST,
            "/experiments/{id}/cancel",
            "cancel-experiment",
            "Ends an experiment; one that waits never starts. Who and why become an event.",
            cancel_one,
        )
        .may_take(Content::json::<Why>())
        .gives(StatusCode::ACCEPTED, Some(Content::json::<Ending>())),
        Endpoint::new(
            Method::POST,
            "/experiments/{id}/events",
            "mark-experiment",
            "Marks an experiment that has not ended: an event of kind `user`, with who has set it.",
            mark_one,
        )
        .takes(Content::json::<Mark>())
        .gives(StatusCode::CREATED, Some(Content::json::<Marked>())),
        Endpoint::new(
            Method::DELETE,
            "/experiments/{id}",
            "remove-experiment",
            "Deletes everything that is stored of an experiment that has ended.",
            remove,
        )
        .scope(Scope::Admin)
        .parameters(REMOVAL)
        .gives(StatusCode::NO_CONTENT, None),
    ]
}

async fn list(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let filter = ExperimentFilter {
        id: None,
        statuses: asked.choices("status"),
        verdicts: asked.choices("verdict"),
        name: asked.text("name").map(str::to_owned),
        creator: asked.text("creator").map(str::to_owned),
        tags: asked.tags("tag"),
        from_unix_ms: asked.time("from"),
        to_unix_ms: asked.time("to"),
        text: asked.text("text").map(str::to_owned),
    };
    let limit = asked.limit(USUAL, api.settings().list_max.min(STORED_MAX))?;
    let after: Option<HeadPlace> = lists::place_of(&asked)?;
    let found = experiments::page(api.bus(), api.known().runs().into_iter(), &filter, after.as_ref(), limit).await?;
    let missing = (found.silent > 0)
        .then(|| format!("{} daemons did not answer: what they have stored is not listed", found.silent));
    let next = found.next.as_ref().and_then(lists::cursor_of);
    Ok(answer::tagged(&asked.headers, &Page { items: found.experiments, next, missing }))
}

/// What became of a submission.
#[derive(Debug, Serialize, JsonSchema)]
struct Submitted {
    /// Its id.
    id: String,
    /// Whether it was submitted before, with the same id.
    existed: bool,
}

async fn submit_one(State(api): State<ApiState>, mut asked: Asked) -> Result<Response, Problem> {
    submission::check_type(asked.content_type().as_deref())?;
    let reason = reason_of(&asked)?;
    let id = asked.header(HEADER_ID).map(str::to_owned);
    if let Some(id) = &id {
        check_token("experiment", id).map_err(|error| Problem::parameter(HEADER_ID, error.to_string()))?;
    }
    let body = answer::body(asked.take_body(), api.settings().body_max_bytes, "an experiment").await?;
    let read = submission::read(&body)?;
    if let (Some(own), Some(id)) = (read.id(), &id)
        && own != id
    {
        let text = format!("the experiment says its id is {own}");
        return Err(Problem::parameter(HEADER_ID, text));
    }
    let once = submission::submit(&api, read, id.as_deref(), &asked.who, &reason).await?;
    let status = if once.was_there { StatusCode::OK } else { StatusCode::CREATED };
    let mut answer = answer::fresh(status, &Submitted { id: once.id.clone(), existed: once.was_there });
    let place = format!("{}{PREFIX}/experiments/{}", api.settings().base_path, once.id);
    if let (Ok(place), Ok(id)) = (HeaderValue::from_str(&place), HeaderValue::from_str(&once.id)) {
        answer.headers_mut().insert(LOCATION, place);
        answer.headers_mut().insert(HeaderName::from_static(HEADER_ID), id);
    }
    Ok(answer)
}

async fn validate(State(api): State<ApiState>, mut asked: Asked) -> Result<Response, Problem> {
    submission::check_type(asked.content_type().as_deref())?;
    let body = answer::body(asked.take_body(), api.settings().body_max_bytes, "an experiment").await?;
    Ok(answer::fresh(StatusCode::OK, &planned::validate(&api, &body).await?))
}

/// One experiment: what lists say of it, and what the bus has beside that.
#[derive(Debug, Serialize, JsonSchema)]
struct Experiment {
    #[serde(flatten)]
    head: ExperimentHead,
    /// Whether the bus knows it: else a daemon has it stored.
    on_bus: bool,
    /// The specification, redacted; absent where only a report has it.
    spec: Option<ExperimentSpec>,
    /// How often nodes were chosen for it.
    attempt: Option<u32>,
    /// Who takes part; of very many the first.
    nodes: Vec<String>,
    /// How many more there are.
    nodes_left_out: u32,
    /// Where its result is stored: the host and the path of the database.
    store: Option<String>,
    /// Trace id, 32 hexadecimal digits.
    trace_id: Option<String>,
}

async fn get(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let id = asked.id()?;
    let Some((record, revision)) = experiments::record(api.bus(), id).await? else {
        let head = stored_head(&api, id).await?;
        return Ok(answer::tagged(
            &asked.headers,
            &Experiment {
                head,
                on_bus: false,
                spec: None,
                attempt: None,
                nodes: Vec::new(),
                nodes_left_out: 0,
                store: None,
                trace_id: None,
            },
        ));
    };
    let trace_id = record.traceparent.as_deref().and_then(|text| text.split('-').nth(1)).map(str::to_owned);
    let experiment = Experiment {
        head: ExperimentHead::of(&record),
        on_bus: true,
        // One that waits is kept as it was submitted.
        spec: Some(nuncius_schemas::redact::redact_spec(&record.spec)),
        attempt: Some(record.attempt),
        nodes: record.nodes.iter().map(|node| node.name.clone()).collect(),
        nodes_left_out: record.nodes_left_out,
        store: record.store.clone(),
        trace_id,
    };
    let mut answer = answer::tagged(&asked.headers, &experiment);
    if let Ok(value) = HeaderValue::from_str(&revision.to_string()) {
        answer.headers_mut().insert(HeaderName::from_static("nuncius-revision"), value);
    }
    debug_assert!(answer.headers().contains_key(ETAG));
    Ok(answer)
}

/// What daemons have stored of an experiment that the bus does not know.
pub(crate) async fn stored_head(api: &ApiState, id: &str) -> Result<ExperimentHead, Problem> {
    let filter = ExperimentFilter { id: Some(id.to_owned()), ..ExperimentFilter::default() };
    let found = archive::find(api.bus(), &filter, None, STORED_MAX).await?;
    let silent = found.silent;
    let head = found.experiments.into_iter().find(|head| head.id == id);
    head.ok_or_else(|| match silent {
        0 => Problem::from(ControlError::NoExperiment { id: id.to_owned() }),
        _ => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "no-answer",
            format!("the bus knows no experiment {id}, and not all daemons say what they have stored"),
        ),
    })
}

/// How it ends.
#[derive(Debug, Serialize, JsonSchema)]
struct Ending {
    /// The experiment.
    id: String,
    /// Whether it had started; then its daemon ends it now.
    started: bool,
}

async fn cancel_one(State(api): State<ApiState>, mut asked: Asked) -> Result<Response, Problem> {
    let id = asked.id()?.to_owned();
    let reason = asked.document::<Why>(api.settings().body_max_bytes).await?.given(&asked)?;
    let how = cancel::cancel(api.bus(), &id, &reason, asked.who.name.as_deref()).await?;
    note_in_log(&asked.who, "cancel", &id, &reason);
    Ok(answer::fresh(StatusCode::ACCEPTED, &Ending { id, started: how == Cancelled::Ending }))
}

/// A mark, as it is wanted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Mark {
    /// What it is called, 1 to 64 characters.
    #[schemars(required, length(min = 1, max = 64))]
    name: String,
    /// What it says beside that, at most 1,024 characters.
    value: Option<String>,
}

/// A mark that is set.
#[derive(Debug, Serialize, JsonSchema)]
struct Marked {
    /// The experiment.
    id: String,
    /// What the mark is called.
    name: String,
}

async fn mark_one(State(api): State<ApiState>, mut asked: Asked) -> Result<Response, Problem> {
    let id = asked.id()?.to_owned();
    let Mark { name, value } = asked.document::<Mark>(api.settings().body_max_bytes).await?;
    let wanted = mark::Mark { name: name.clone(), value, who: asked.who.name.clone(), at_unix_ms: None };
    mark::mark(api.bus(), &id, &wanted).await?;
    note_in_log(&asked.who, "mark", &id, &name);
    Ok(answer::fresh(StatusCode::CREATED, &Marked { id, name }))
}

async fn remove(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let reason = reason_of(&asked)?;
    let id = asked.id()?;
    delete(&api, id, asked.flag("force")).await?;
    note(&api, &asked.who, "remove", &format!("experiment {id}"), &reason).await;
    Ok(no_content())
}

/// Deletes everything of an experiment.
///
/// # Errors
/// It has not ended, nobody knows it, or nobody has it.
pub(crate) async fn delete(api: &ApiState, id: &str, force: bool) -> Result<(), Problem> {
    let nowhere = async || Ok::<bool, ControlError>(false);
    let removal = Removal { force, elsewhere: None };
    match removal::remove(api.bus(), id, removal, nowhere).await? {
        true => Ok(()),
        false => Err(ControlError::NoExperiment { id: id.to_owned() }.into()),
    }
}

pub(super) fn no_content() -> Response {
    axum::response::IntoResponse::into_response(StatusCode::NO_CONTENT)
}

/// An id for an experiment that has none.
pub(crate) fn fresh_id() -> String {
    submit::fresh_id()
}
