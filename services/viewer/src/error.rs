//! Why there is no viewer.

use std::path::PathBuf;

use nuncius_serve::ServeError;

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
