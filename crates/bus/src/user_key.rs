//! Keys of users: a seed that is kept, and a public key that the server's configuration names.

use crate::BusError;

/// A new key.
#[derive(Clone, PartialEq, Eq)]
pub struct UserKey {
    /// The secret.
    pub seed: String,
    /// What the server is told.
    pub public: String,
}

impl std::fmt::Debug for UserKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl UserKey {
    /// Makes one.
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub fn new() -> Result<Self, BusError> {
        let key = nkeys::KeyPair::new_user();
        let seed = key.seed().map_err(|error| BusError::Options(format!("no key can be made: {error}")))?;
        Ok(Self { seed, public: key.public_key() })
    }
}

/// The seed of a user in the text of a file: the line that begins with `SU`, as NATS tools have it.
pub(crate) fn seed_in(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| line.starts_with("SU"))
}

/// The public key of the seed in the text of a file; none where there is no seed, or a damaged one.
pub fn public_key(text: &str) -> Option<String> {
    Some(nkeys::KeyPair::from_seed(seed_in(text)?).ok()?.public_key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_found_in_its_file_and_never_shown() {
        let key = UserKey::new().unwrap();
        assert_eq!(public_key(&format!("# a comment\n{}\n", key.seed)), Some(key.public.clone()));
        assert!(!format!("{key:?}").contains(&key.seed));
        assert_eq!(public_key("nothing"), None);
        assert_eq!(public_key("SUAAAA"), None);
    }
}
