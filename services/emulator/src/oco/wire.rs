//! How commands are written.

use bytes::Bytes;

/// What precedes the number of a command in its `cmd_uid`.
pub(crate) const COMMAND_PREFIX: &str = "cmd-";

/// A command; `param` is JSON.
pub(crate) fn command(name: &str, param: &str, number: Option<u64>) -> Bytes {
    match number {
        None => format!(r#"{{"cmd":"{name}","param":{param}}}"#),
        Some(number) => format!(r#"{{"cmd":"{name}","param":{param},"cmd_uid":"{COMMAND_PREFIX}{number}"}}"#),
    }
    .into()
}
