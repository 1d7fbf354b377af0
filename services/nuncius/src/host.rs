//! What this host is called.

use nuncius_schemas::names::token_from_host;

/// The host's name as the host gives it.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// The host's name as a node's name.
pub(crate) fn host_token() -> String {
    token_from_host(&host_name())
}
