//! Bundles: what a test needs, specification, data and scripts, as one file that is named by what is in it; and the
//! applications as which bundles are deployed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{NameError, check_token};

/// Most files in a bundle where nothing else is set.
pub const FILES_MAX: u32 = 1_000;
/// Most bytes of all files of a bundle together where nothing else is set.
pub const UNPACKED_MAX_BYTES: u64 = 256 << 20;
/// Longest path of a file in a bundle, in bytes: what the oldest common form of tar files can say.
pub const PATH_MAX_BYTES: usize = 155;
/// Longest name of a file or a directory in a bundle, in bytes, for the same reason.
pub const PATH_NAME_MAX_BYTES: usize = 100;
/// Most directories that a file in a bundle lies in.
pub const PATH_DEPTH_MAX: usize = 16;
/// Most versions of an application that are kept: all of them together must fit into a message.
pub const VERSIONS_MAX: usize = 500;

/// Digits of a digest: SHA-256 in hexadecimal.
const DIGEST_DIGITS: usize = 64;
/// Digits of a digest that are shown to people.
const DIGEST_DIGITS_SHOWN: usize = 12;

/// The bundle that an experiment needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BundleReference {
    /// SHA-256 of the bundle, as it is packed, in 64 hexadecimal digits.
    pub digest: String,
    /// The application that it was deployed as, a token.
    pub name: String,
    /// Its size as it is packed, in bytes.
    pub bytes: u64,
}

impl BundleReference {
    /// For people: the application and the beginning of the digest.
    pub fn shown(&self) -> String {
        format!("{} {}", self.name, short_digest(&self.digest))
    }
}

/// A deployed application (bucket `app`, one key an application).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppRecord {
    /// Its name, a token; the key.
    pub name: String,
    /// Its bundles: the last one is the current one. Those before stay for experiments that name them.
    pub versions: Vec<AppVersion>,
}

impl AppRecord {
    /// What `app:NAME` means.
    pub fn current(&self) -> Option<&AppVersion> {
        self.versions.last()
    }
}

/// One bundle of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppVersion {
    /// SHA-256 of the bundle, as it is packed, in 64 hexadecimal digits.
    pub digest: String,
    /// Its size as it is packed, in bytes.
    pub bytes: u64,
    /// Size of its files together, in bytes.
    pub unpacked_bytes: u64,
    /// How many files it has.
    pub files: u32,
    /// Path of the specification in it.
    pub spec: String,
    /// When it became the current one, milliseconds since the Unix epoch.
    pub deployed_unix_ms: u64,
}

impl AppVersion {
    /// How an experiment names it.
    pub fn reference(&self, app: &str) -> BundleReference {
        BundleReference { digest: self.digest.clone(), name: app.to_owned(), bytes: self.bytes }
    }
}

/// A digest that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{digest}` is no digest: SHA-256 has {DIGEST_DIGITS} hexadecimal digits, in lower case")]
pub struct DigestError {
    /// The refused text, cut to a printable length.
    pub digest: String,
}

/// Refuses whatever is not SHA-256 in hexadecimal digits of lower case.
///
/// # Errors
/// The text.
pub fn check_digest(digest: &str) -> Result<(), DigestError> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digest.len() == DIGEST_DIGITS && digest.bytes().all(is_digit) {
        return Ok(());
    }
    Err(DigestError { digest: digest.chars().take(80).collect::<String>().escape_debug().to_string() })
}

/// Refuses an application's name that is no token.
///
/// # Errors
/// The name.
pub fn check_app_name(name: &str) -> Result<(), NameError> {
    check_token("app", name)
}

/// The beginning of a digest, for people.
pub fn short_digest(digest: &str) -> &str {
    digest.get(..DIGEST_DIGITS_SHOWN).unwrap_or(digest)
}

/// A path that cannot be one of a file in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is no path of a file in a bundle: {problem}")]
pub struct PathError {
    /// The path, made printable and cut.
    pub path: String,
    /// What is wrong with it and what to do.
    pub problem: String,
}

/// Refuses a path that could lead out of a bundle, or that a system somewhere would read otherwise than another.
///
/// # Errors
/// The path, and what is wrong with it.
pub fn check_path(path: &str) -> Result<(), PathError> {
    let refuse = |problem: String| {
        let path = path.chars().take(PATH_MAX_BYTES).collect::<String>().escape_debug().to_string();
        Err(PathError { path, problem })
    };
    if path.is_empty() {
        return refuse("it is empty".to_owned());
    }
    if path.len() > PATH_MAX_BYTES {
        return refuse(format!("longer than {PATH_MAX_BYTES} bytes"));
    }
    if path.chars().any(char::is_control) || path.contains('\\') {
        return refuse("it holds a control character or `\\`".to_owned());
    }
    if path.starts_with('/') {
        return refuse("it is absolute: name it from the directory of the specification".to_owned());
    }
    for name in path.split('/') {
        if matches!(name, "" | "." | "..") {
            return refuse("it has a part that is empty, `.` or `..`".to_owned());
        }
        if name.len() > PATH_NAME_MAX_BYTES {
            return refuse(format!("a part of it is longer than {PATH_NAME_MAX_BYTES} bytes"));
        }
    }
    if path.split('/').count() > PATH_DEPTH_MAX + 1 {
        return refuse(format!("it lies in more than {PATH_DEPTH_MAX} directories"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_could_lead_out_of_a_bundle_are_refused() {
        for path in ["a", "a/b.csv", "a/.hidden", "ü/ö.json", "a b/c", &"x".repeat(100), "..a/b..", "C:a"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        let deep = "d/".repeat(17) + "f";
        for path in
            ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "./a", "a/./b", "a\\b", "a\nb", "a\0", &deep]
        {
            assert!(check_path(path).is_err(), "{path:?}");
        }
        assert!(check_path(&"x".repeat(101)).unwrap_err().to_string().contains("100 bytes"));
        assert!(check_path(&format!("{0}/{0}", "x".repeat(80))).unwrap_err().to_string().contains("155 bytes"));
        assert_eq!(check_path(&("d/".repeat(16) + "f")), Ok(()));
    }

    #[test]
    fn a_digest_has_its_digits_in_lower_case() {
        let digest = "0123456789abcdef".repeat(4);
        assert_eq!(check_digest(&digest), Ok(()));
        assert_eq!(short_digest(&digest), "0123456789ab");
        for wrong in ["", "abc", &digest.to_uppercase(), &format!("{digest}0"), &digest.replace('0', "/")] {
            assert!(check_digest(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_path_that_is_taken_stays_below_where_it_is_joined_to(path in "[a-c./\\\\ü\u{1}]{0,20}") {
            if check_path(&path).is_ok() {
                let joined = std::path::Path::new("/base").join(&path);
                prop_assert!(joined.starts_with("/base"));
                let is_plain = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(std::path::Path::new(&path).components().all(is_plain));
            }
        }
    }
}
