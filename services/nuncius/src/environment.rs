//! The environment of this process. What is set but empty counts as absent, whoever reads it: a compose file hands on
//! what was never given as the empty string. What is not UTF-8 is nobody's setting, and keeps no command from running.

use std::ffi::OsStr;

/// The value of a variable, if it has one.
pub(crate) fn variable(name: &str) -> Option<String> {
    given(name).and_then(|value| value.into_string().ok())
}

/// The same for paths, which need not be UTF-8.
pub(crate) fn given(name: impl AsRef<OsStr>) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// All variables that have a value in UTF-8.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(_, value)| !value.is_empty())
}
