//! Settings of the interface.

/// Settings of the interface: its bounds.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Longest body of a request, in bytes; those of bundles have their own limit.
    pub body_max_bytes: usize,
    /// Longest bundle, in bytes.
    pub bundle_max_bytes: usize,
    /// Most entries of a page of a list.
    pub list_max: usize,
    /// Most events, points and rows of one answer.
    pub rows_max: usize,
    /// Readers of live streams at a time.
    pub live_clients_max: usize,
    /// Messages of a live stream that a reader may be behind before it is cut off, and comes again.
    pub live_frames_max: usize,
    /// Prefix of all paths but those of metrics and probes; empty, or `/nuncius`.
    pub base_path: String,
    /// Serve metrics and probes alone.
    pub metrics_only: bool,
    /// Where Galileo's interface is served, host and port.
    pub galileo_listen: Option<String>,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            body_max_bytes: 1 << 20,
            bundle_max_bytes: 64 << 20,
            list_max: 100,
            rows_max: 10_000,
            live_clients_max: 512,
            live_frames_max: 256,
            base_path: String::new(),
            metrics_only: false,
            galileo_listen: None,
        }
    }
}
