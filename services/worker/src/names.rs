//! What a worker calls its node and its pod.

use std::env;

use crate::bounded;

/// Longest name of a node or a pod, in bytes: as long as a host name can be.
pub const NAME_MAX_BYTES: usize = 253;
/// The name of a host that has none.
const NAMELESS: &str = "localhost";

/// The name that the environment variable `variable` holds; where it is unset, empty, or none is given, the host's.
///
/// The name is for people and labels and need not be a token. It never is empty, and is cut to [`NAME_MAX_BYTES`].
pub fn name_from(variable: Option<&str>) -> String {
    // A variable's name with `=` or NUL in it would make the lookup panic on some systems; there is none of that name.
    let variable = variable.filter(|name| !name.is_empty() && !name.contains(['=', '\0']));
    choose(variable.and_then(env::var_os).map(|value| value.to_string_lossy().into_owned()), &host_name())
}

/// The name of this host, "localhost" if it has none.
pub fn host_name() -> String {
    choose(None, &rustix::system::uname().nodename().to_string_lossy())
}

fn choose(value: Option<String>, host: &str) -> String {
    let name = value.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let host = Some(host.trim()).filter(|name| !name.is_empty());
    bounded(name.or(host).unwrap_or(NAMELESS).to_owned(), NAME_MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_comes_before_the_host_and_the_host_before_localhost() {
        assert_eq!(choose(Some("node-7".to_owned()), "host"), "node-7");
        assert_eq!(choose(Some(" \n".to_owned()), "host"), "host");
        assert_eq!(choose(Some(String::new()), "host"), "host");
        assert_eq!(choose(None, "host"), "host");
        assert_eq!(choose(None, ""), "localhost");
        assert_eq!(choose(Some(String::new()), " "), "localhost");
    }

    #[test]
    fn a_variable_that_is_set_names_the_node_and_one_that_is_not_gives_the_host() {
        assert_eq!(name_from(Some("PATH")), choose(env::var("PATH").ok(), ""));
        for unset in [None, Some(""), Some("NUNCIUS_NOT_SET_BY_ANYBODY"), Some("a=b"), Some("a\0b")] {
            assert_eq!(name_from(unset), host_name(), "{unset:?}");
        }
        assert!(!host_name().is_empty());
    }

    #[test]
    fn a_name_is_bounded() {
        assert!(choose(Some("ü".repeat(1000)), "").len() <= NAME_MAX_BYTES);
    }
}
