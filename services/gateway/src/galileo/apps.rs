//! Galileo's applications: zip archives there, bundles here. What is deployed either way is listed in both.

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use hyper::StatusCode;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use nuncius_bundle::{
    APP_MANIFEST, BundleError, Limits, PackedApp, ZipFile, manifest_of, pack_app, unpack, unpack_zip, write_zip,
};
use nuncius_bus::apps as store;
use nuncius_clock::unix_ms;
use nuncius_control::{ControlError, apps};
use nuncius_schemas::bundle::check_app_name;
use serde_json::{Value, json};

use crate::access::Who;
use crate::answer;
use crate::api::{ApiState, Scratch, note_change, open_app};
use crate::problem::Problem;

/// The routes of applications.
pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/api/apps", get(list).post(deploy))
        .route("/api/apps/{app_name}", get(one).delete(remove))
        .route("/api/apps/{app_name}/download", get(download))
}

async fn list(State(api): State<ApiState>) -> Result<Response, Problem> {
    let mut all = Vec::new();
    for app in apps::list(api.bus()).await?.into_iter().take(api.settings().list_max) {
        all.push(shown(&api, &app.name).await?);
    }
    Ok(told(&Value::Array(all)))
}

/// The name and the manifest; of what came another way the manifest is the name alone.
async fn shown(api: &ApiState, name: &str) -> Result<Value, Problem> {
    let files = files_of(api, name).await?;
    let manifest = files.iter().find(|file| file.path == APP_MANIFEST).and_then(|file| manifest_of(&file.bytes));
    Ok(json!({ "name": name, "manifest": manifest.unwrap_or_else(|| json!({ "name": name })) }))
}

/// The files of the current version of an application.
async fn files_of(api: &ApiState, name: &str) -> Result<Vec<ZipFile>, Problem> {
    check_app_name(name).map_err(|error| Problem::not_found(error.to_string()))?;
    let (_, mut reader) = open_app(api, name).await?;
    let mut packed = Vec::new();
    while let Some(piece) = reader.next().await.map_err(ControlError::from)? {
        packed.extend_from_slice(&piece);
    }
    let unpacked = tokio::task::spawn_blocking(move || {
        let place = Scratch::new();
        let entries = unpack(packed.as_slice(), &place.0, &Limits::default()).map_err(|error| error.to_string())?;
        let file = |path: &String| {
            let bytes = std::fs::read(place.0.join(path)).map_err(|error| error.to_string())?;
            Ok::<ZipFile, String>(ZipFile { path: path.clone(), bytes })
        };
        entries.iter().map(|entry| file(&entry.path)).collect::<Result<Vec<_>, String>>()
    });
    let files = unpacked.await.map_err(|error| Problem::internal(error.to_string()))?;
    files.map_err(|problem| Problem::new(StatusCode::BAD_GATEWAY, "unreadable-bundle", problem))
}

async fn one(State(api): State<ApiState>, Path(name): Path<String>) -> Result<Response, Problem> {
    Ok(told(&shown(&api, &name).await?))
}

async fn deploy(
    State(api): State<ApiState>,
    Extension(who): Extension<Who>,
    request: Request,
) -> Result<Response, Problem> {
    let refuse = |problem: String| {
        let text = format!("Error processing upload: {problem}");
        Problem::new(StatusCode::BAD_REQUEST, "unreadable-bundle", text)
    };
    let body = answer::body(request.into_body(), api.settings().bundle_max_bytes, "an application").await?;
    let read = tokio::task::spawn_blocking(move || pack(&body));
    let read = read.await.map_err(|error| Problem::internal(error.to_string()))?;
    let PackedApp { name, manifest, packed } = read.map_err(|error| refuse(error.to_string()))?;
    let version = packed.manifest.version(unix_ms());
    store::deploy(api.bus(), &name, &version, &packed.bytes).await.map_err(ControlError::from)?;
    note_change(&api, &who, "deploy", &format!("app {name} {}", version.digest), "").await;
    Ok(answer::fresh(StatusCode::CREATED, &json!({ "name": name, "manifest": manifest })))
}

/// A bundle of what is in an archive.
fn pack(archive: &[u8]) -> Result<PackedApp, BundleError> {
    let place = Scratch::new();
    let paths = unpack_zip(archive, &place.0)?;
    pack_app(&place.0, &paths, None, &Limits::default())
}

async fn remove(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Extension(who): Extension<Who>,
) -> Result<Response, Problem> {
    if check_app_name(&name).is_err() {
        return Ok(told(&Value::Bool(false)));
    }
    match apps::remove(api.bus(), &name, false).await {
        Ok(_) => {
            note_change(&api, &who, "remove", &format!("app {name}"), "").await;
            Ok(told(&Value::Bool(true)))
        }
        Err(ControlError::NoApp { .. }) => Ok(told(&Value::Bool(false))),
        Err(error) => Err(error.into()),
    }
}

async fn download(State(api): State<ApiState>, Path(name): Path<String>) -> Result<Response, Problem> {
    let files = files_of(&api, &name).await?;
    let mut answer = Response::new(Body::from(write_zip(&files)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.zip\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    Ok(answer)
}

fn told(value: &Value) -> Response {
    answer::fresh(StatusCode::OK, value)
}
