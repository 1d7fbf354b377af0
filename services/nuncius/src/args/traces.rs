//! Where traces are looked at.

use clap::Args;
use nuncius_report::traces::TraceView;

/// What reports link to.
#[derive(Debug, Args)]
pub(crate) struct TraceViewArgs {
    /// Jaeger's pages, which reports link to: http://HOST:16686.
    #[arg(long, value_name = "URL", env = "NUNCIUS_JAEGER_URL", value_parser = TraceView::jaeger)]
    pub(crate) jaeger_url: Option<TraceView>,
}
