//! Tokens: the names that become parts of subjects and keys.

/// Longest token, in bytes.
pub const TOKEN_MAX_BYTES: usize = 64;

/// A name that cannot be part of a subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{name}` is not a valid name: use 1 to {TOKEN_MAX_BYTES} of A-Z a-z 0-9 _ -")]
pub struct NameError {
    /// What the name names: "experiment", "node".
    pub kind: &'static str,
    /// The refused name, cut to a printable length.
    pub name: String,
}

/// Refuses whatever does not match `[A-Za-z0-9_-]{1,64}`.
pub fn check_token(kind: &'static str, name: &str) -> Result<(), NameError> {
    let fine = (1..=TOKEN_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fine { Ok(()) } else { Err(NameError { kind, name: name.chars().take(80).collect() }) }
}

/// A host name as a token: `.` and whatever else is not allowed become `-`; cut to the longest token.
pub fn token_from_host(host: &str) -> String {
    let token: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' })
        .take(TOKEN_MAX_BYTES)
        .collect();
    if token.is_empty() { "node".to_owned() } else { token }
}

/// A token with something behind it, cut before that where the whole would be too long. A token is ASCII, so that bytes
/// are characters.
pub fn with_suffix(token: &str, suffix: &str) -> String {
    let stem: String = token.chars().take(TOKEN_MAX_BYTES.saturating_sub(suffix.len())).collect();
    format!("{stem}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_tokens_become_subjects() {
        for name in ["a", "A_b-9", &"x".repeat(64)] {
            assert!(check_token("node", name).is_ok(), "{name}");
        }
        for name in ["", "a.b", "a b", ">", "*", "ü", &"x".repeat(65)] {
            assert!(check_token("node", name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_suffix_stays_and_what_is_before_it_makes_room() {
        assert_eq!(with_suffix("edge", "-2"), "edge-2");
        let long = with_suffix(&"x".repeat(64), "-resource");
        assert_eq!((long.len(), long.ends_with("x-resource")), (64, true));
    }

    #[test]
    fn a_host_name_always_gives_a_token() {
        for host in ["edge-1.example.org", "", "ü", &"h".repeat(200)] {
            assert!(check_token("node", &token_from_host(host)).is_ok(), "{host}");
        }
    }
}
