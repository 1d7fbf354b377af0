//! A viewer of traces for machines that have no Jaeger: takes spans by OTLP over HTTP, as Jaeger does, keeps the latest
//! traces in memory, and answers what Jaeger's own pages ask, which it serves from a directory.
//!
//! It must never become a store: what it holds is bounded in bytes, the traces that nothing was added to for longest go
//! first, and all of it is gone with the process. It must never let a page load anything from elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nuncius_serve::{HttpLimits, ServeError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

mod http;
mod jaeger;
mod kept;
mod pages;
mod query;

pub use pages::find_pages;

use kept::Kept;
use pages::Pages;

/// Longest body of one export, in bytes.
const BODY_MAX_BYTES: usize = 16 << 20;

/// How to run it.
#[derive(Debug, Clone)]
pub struct ViewerConfig {
    /// Where it listens, host and port; for the pages and for OTLP alike.
    pub listen: String,
    /// Directory with the build of Jaeger's pages: `index.html` and `static/`.
    pub pages: PathBuf,
    /// Most bytes of spans that are kept, as OTLP encodes them.
    pub kept_max_bytes: usize,
    /// Most spans of one trace that are kept; the pages grow slow with more.
    pub trace_spans_max: usize,
    /// What a client may ask for.
    pub limits: HttpLimits,
}

impl ViewerConfig {
    /// Jaeger's port of this machine, 64 MiB of spans.
    pub fn new(pages: impl Into<PathBuf>) -> Self {
        Self {
            listen: "127.0.0.1:16686".to_owned(),
            pages: pages.into(),
            kept_max_bytes: 64 << 20,
            trace_spans_max: 20_000,
            limits: HttpLimits {
                body_max_bytes: BODY_MAX_BYTES,
                read_timeout: Duration::from_secs(10),
                idle_timeout: Some(Duration::from_secs(60)),
                connection_timeout: Duration::from_secs(3_600),
                header_max_bytes: 16 << 10,
                ..HttpLimits::default()
            },
        }
    }
}

/// Why there is no viewer.
#[derive(Debug, thiserror::Error)]
pub enum ViewerError {
    /// Its address cannot be had.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// There are no pages to be found.
    #[error(
        "no pages of Jaeger found: run scripts/setup --observe, or set NUNCIUS_JAEGER_UI to the directory that has them"
    )]
    NoPages,
    /// The pages cannot be read.
    #[error("the pages of Jaeger in {}: {reason}; run scripts/setup --observe", path.display())]
    Pages {
        /// What could not be read.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// Serves until `shutdown`; `ready` gets the address.
///
/// # Errors
/// The pages cannot be read, or the address cannot be had.
pub async fn run(
    config: ViewerConfig,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<SocketAddr>>,
) -> Result<(), ViewerError> {
    let directory = config.pages.clone();
    let read = tokio::task::spawn_blocking(move || Pages::read(&directory)).await;
    let pages = read.map_err(|_| ViewerError::NoPages)??;
    let listener = nuncius_serve::listen("the viewer of traces", &config.listen, "--traces").await?;
    let unknown = |source| ServeError::Listen {
        what: "the viewer of traces",
        address: config.listen.clone(),
        flag: "--traces",
        source,
    };
    let address = listener.local_addr().map_err(unknown)?;
    let shared = http::Shared {
        kept: Mutex::new(Kept::new(config.kept_max_bytes, config.trace_spans_max)),
        pages,
        limits: config.limits,
    };
    if let Some(ready) = ready {
        let _ = ready.send(address);
    }
    http::serve(listener, Arc::new(shared), shutdown).await;
    Ok(())
}
