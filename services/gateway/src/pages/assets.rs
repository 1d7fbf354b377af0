//! The files of the pages: each with a tag, compressed once when the gateway starts.

use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, VARY,
};
use hyper::{Response, StatusCode};
use nuncius_pages::assets::ASSETS;

use crate::answer::{has_tag, tag_of};
use crate::problem::Problem;

/// A file as it is sent.
#[derive(Debug)]
struct Served {
    name: &'static str,
    media_type: &'static str,
    tag: String,
    plain: Bytes,
    /// None where it would not be shorter.
    compressed: Option<Bytes>,
}

/// The path has the name of a file; nobody needs to be known for it.
pub(super) fn router(path: &str) -> Router {
    let served: Arc<Vec<Served>> = Arc::new(ASSETS.iter().map(served).collect());
    Router::new().route(path, get(file)).with_state(served)
}

fn served(asset: &nuncius_pages::assets::Asset) -> Served {
    let plain = Bytes::from_static(asset.bytes);
    let compressed = compressed(asset.bytes).filter(|bytes| bytes.len() < asset.bytes.len()).map(Bytes::from);
    Served { name: asset.name, media_type: asset.media_type, tag: tag_of(asset.bytes), plain, compressed }
}

fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

async fn file(
    State(all): State<Arc<Vec<Served>>>,
    Path(name): Path<String>,
    asked: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let served = all.iter().find(|served| served.name == name);
    let served = served.ok_or_else(|| Problem::not_found("there is no such file"))?;
    let accepts = asked.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_compressed = accepts.split(',').any(|one| one.trim().starts_with("gzip"));
    let mut answer = Response::new(Body::empty());
    if has_tag(&asked, &served.tag) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        let compressed = served.compressed.as_ref().filter(|_| is_compressed);
        if compressed.is_some() {
            answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        *answer.body_mut() = Body::from(compressed.unwrap_or(&served.plain).clone());
    }
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(served.media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&served.tag) {
        headers.insert(ETAG, tag);
    }
    Ok(answer)
}
