//! What servos may ask for over HTTP.

use std::time::Duration;

use nuncius_serve::HttpLimits;

/// What servos may ask for: they keep a connection for as long as they run, and may be silent on it while they measure.
pub fn servo_limits() -> HttpLimits {
    HttpLimits {
        header_max_bytes: 16 * 1024,
        body_max_bytes: 4 * 1024 * 1024,
        read_timeout: Duration::from_secs(30),
        idle_timeout: Some(Duration::from_secs(3600)),
        write_timeout: None,
        connection_timeout: Duration::from_secs(365 * 86_400),
        connections_max: connections_max(),
        allowed_hosts: Vec::new(),
    }
}

/// Connections that may be held: as many as the limit of open files leaves, and 8,192 at most, some 24 KiB each.
fn connections_max() -> usize {
    /// For everything else that is open.
    const SPARE: u64 = 64;
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(SPARE).clamp(16, 8_192)).unwrap_or(16)
}
