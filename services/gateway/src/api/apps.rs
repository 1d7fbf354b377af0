//! Applications: what experiments need, deployed as bundles.

use std::path::PathBuf;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue};
use hyper::{Method, StatusCode};
use nuncius_bundle::{Limits, digest_of, spec_among, unpack};
use nuncius_bus::BusError;
use nuncius_bus::apps as store;
use nuncius_bus::object::ObjectReader;
use nuncius_clock::unix_ms;
use nuncius_control::{ControlError, apps};
use nuncius_schemas::bundle::{AppRecord, AppVersion};
use schemars::JsonSchema;
use serde::Serialize;

use super::asked::Asked;
use super::changes::{note, reason_of};
use super::endpoint::{Content, Endpoint};
use super::experiments::no_content;
use super::lists::{self, CURSOR, LIMIT, Page};
use super::parameter::{Kind, Parameter};
use super::state::ApiState;
use crate::access::Scope;
use crate::answer;
use crate::problem::Problem;

/// Experiments that need an application, of which a problem tells.
const NEEDED_BY_SHOWN: usize = 5;

const REMOVAL: &[Parameter] = &[
    Parameter::new("old", Kind::Flag, "Remove all versions but the current one."),
    Parameter::new("force", Kind::Flag, "Though experiments that have not ended need it."),
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let bundle = Content::of(&["application/gzip"]);
    vec![
        Endpoint::new(Method::GET, "/apps", "list-apps", "All applications, by name.", list)
            .parameters(&[LIMIT, CURSOR])
            .gives_json::<Page<AppRecord>>(),
        Endpoint::new(Method::GET, "/apps/{app}", "get-app", "One application with its versions.", get)
            .gives_json::<AppRecord>(),
        Endpoint::new(Method::GET, "/apps/{app}/bundle", "get-bundle", "The current bundle of an application.", fetch)
            .gives(StatusCode::OK, Some(bundle)),
        Endpoint::new(
            Method::PUT,
            "/apps/{app}",
            "deploy-app",
            "Deploys a bundle: a tar file, compressed with gzip, with the experiment and what it needs.",
            deploy,
        )
        .scope(Scope::Admin)
        .takes(bundle)
        .gives(StatusCode::CREATED, Some(Content::json::<Deployed>()))
        .gives(StatusCode::OK, Some(Content::json::<Deployed>())),
        Endpoint::new(Method::DELETE, "/apps/{app}", "remove-app", "Removes an application with its bundles.", remove)
            .scope(Scope::Admin)
            .parameters(REMOVAL)
            .gives(StatusCode::NO_CONTENT, None),
    ]
}

async fn list(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let all = apps::list(api.bus()).await?;
    Ok(answer::tagged(&asked.headers, &lists::cut(&asked, all, api.settings().list_max)?))
}

async fn get(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let record = apps::get(api.bus(), asked.token("app", "app")?).await?;
    Ok(answer::tagged(&asked.headers, &record))
}

async fn fetch(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let name = asked.token("app", "app")?;
    let (version, reader) = open(&api, name).await?;
    let tag = format!("\"{}\"", version.digest);
    let mut answer = if answer::has_tag(&asked.headers, &tag) {
        axum::response::IntoResponse::into_response(StatusCode::NOT_MODIFIED)
    } else {
        let mut answer = Response::new(Body::from_stream(pieces(reader)));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(version.bytes));
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.tar.gz\"")) {
            headers.insert(CONTENT_DISPOSITION, value);
        }
        answer
    };
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(ETAG, tag);
    }
    Ok(answer)
}

/// The current version of an application, and its bundle to be read.
pub(crate) async fn open(api: &ApiState, name: &str) -> Result<(AppVersion, ObjectReader), Problem> {
    let record = apps::get(api.bus(), name).await?;
    let missing = || ControlError::NoApp { app: name.to_owned() };
    let version = record.current().cloned().ok_or_else(missing)?;
    let reader = store::open(api.bus(), &version.reference(name)).await.map_err(ControlError::from)?;
    Ok((version, reader.ok_or_else(missing)?))
}

fn pieces(reader: ObjectReader) -> impl futures_util::Stream<Item = Result<Bytes, BusError>> {
    stream::try_unfold(reader, async |mut reader: ObjectReader| Ok(reader.next().await?.map(|piece| (piece, reader))))
}

/// What a deployment did.
#[derive(Debug, Serialize, JsonSchema)]
struct Deployed {
    /// Its name.
    app: String,
    /// The version that it is now.
    version: AppVersion,
    /// Whether the bundle was stored now; else it was there.
    stored: bool,
    /// Whether it was another version before, or none.
    changed: bool,
}

async fn deploy(State(api): State<ApiState>, mut asked: Asked) -> Result<Response, Problem> {
    let reason = reason_of(&asked)?;
    let name = asked.token("app", "app")?.to_owned();
    let bytes = answer::body(asked.take_body(), api.settings().bundle_max_bytes, "a bundle").await?;
    let looked_at = bytes.clone();
    let version = tokio::task::spawn_blocking(move || version_of(&looked_at)).await;
    let version = version.map_err(|error| Problem::internal(format!("the bundle was not looked at: {error}")))??;
    let deployed = store::deploy(api.bus(), &name, &version, &bytes).await.map_err(ControlError::from)?;
    note(&api, &asked.who, "deploy", &format!("app {name} {}", version.digest), &reason).await;
    let status = if deployed.is_changed { StatusCode::CREATED } else { StatusCode::OK };
    let told = Deployed { app: name, version, stored: deployed.is_stored, changed: deployed.is_changed };
    Ok(answer::fresh(status, &told))
}

/// Looks at a bundle as a node will: unpacked, in a place that goes again.
fn version_of(bytes: &[u8]) -> Result<AppVersion, Problem> {
    let wrong = |error: &dyn std::fmt::Display| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unreadable-bundle", error.to_string())
    };
    let place = Scratch::new();
    let files = unpack(bytes, &place.0, &Limits::default()).map_err(|error| wrong(&error))?;
    let spec = spec_among(files.iter().map(|file| file.path.as_str())).map_err(|error| wrong(&error))?;
    Ok(AppVersion {
        digest: digest_of(bytes),
        bytes: bytes.len() as u64,
        unpacked_bytes: files.iter().map(|file| file.bytes).sum(),
        files: u32::try_from(files.len()).unwrap_or(u32::MAX),
        spec: spec.to_owned(),
        deployed_unix_ms: unix_ms(),
    })
}

/// A directory that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    /// A name that is not there yet.
    pub(crate) fn new() -> Self {
        let name = format!("nuncius-gateway-{}-{:016x}", std::process::id(), fastrand::u64(..));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove_tree(&self.0);
    }
}

/// Removes a tree whose directories may be read only.
fn remove_tree(place: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let writable = std::fs::Permissions::from_mode(0o700);
    let mut left = vec![place.to_owned()];
    while let Some(directory) = left.pop() {
        let _ = std::fs::set_permissions(&directory, writable.clone());
        let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        left.extend(
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
    }
    if let Err(error) = std::fs::remove_dir_all(place)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, directory = %place.display(), "cannot be removed");
    }
}

async fn remove(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let reason = reason_of(&asked)?;
    let name = asked.token("app", "app")?;
    let only_old = asked.flag("old");
    if !asked.flag("force") {
        let needed_by = apps::needed_by(api.bus(), name, only_old).await?;
        if !needed_by.is_empty() {
            let shown: Vec<&str> = needed_by.iter().take(NEEDED_BY_SHOWN).map(String::as_str).collect();
            let text = format!("experiments that have not ended need it: {}", shown.join(", "));
            return Err(Problem::new(StatusCode::CONFLICT, "needed", text));
        }
    }
    apps::remove(api.bus(), name, only_old).await?;
    note(&api, &asked.who, "remove", &format!("app {name}"), &reason).await;
    Ok(no_content())
}
