//! Namespaces: `/`, or `/` and a name, without what ends them in a packet.

use crate::error::{ProtocolError, shown};
use crate::limits::{Limit, Limits};
use crate::version::Version;

/// Whether a packet can say such a namespace.
pub(super) fn check(version: Version, namespace: &str, limits: &Limits) -> Result<(), ProtocolError> {
    limits.check(Limit::NamespaceBytes, namespace.len())?;
    let reason = if !namespace.starts_with('/') {
        "it begins with /"
    } else if namespace.contains(',') {
        "it has no comma"
    } else if namespace.contains(char::is_control) {
        "it has no control characters"
    } else if version == Version::Eio3 && namespace.contains('?') {
        "what follows ? is its query, which goes beside it"
    } else {
        return Ok(());
    };
    Err(ProtocolError::Namespace { namespace: shown(namespace), reason })
}
