//! What names must keep to: those that people read, and those of hosts.

use crate::spec::check::{SpecError, refuse};
use crate::spec::limits::NAME_MAX_CHARACTERS;
use crate::target::{Host, split_userinfo};

/// A name that people read: it never becomes part of a subject, a key or a file name.
pub(crate) fn check_display_name(field: &str, name: &str) -> Result<(), SpecError> {
    if name.trim().is_empty() || name.trim() != name {
        return refuse(field, "empty, or begins or ends with a space");
    }
    if name.chars().count() > NAME_MAX_CHARACTERS || name.chars().any(char::is_control) {
        return refuse(field, format!("longer than {NAME_MAX_CHARACTERS} characters, or holds control characters"));
    }
    Ok(())
}

/// A name, an IPv4 address or an IPv6 address in brackets.
pub(crate) fn is_host(host: Host<'_>) -> bool {
    host.is_bracketed || is_host_name(host.name)
}

pub(crate) fn is_host_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A host with or without a port, perhaps after `user:password@`.
pub(crate) fn is_authority(authority: &str) -> bool {
    let (_, host) = split_userinfo(authority);
    Host::read(host).is_ok_and(is_host)
}
