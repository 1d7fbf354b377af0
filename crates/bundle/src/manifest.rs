//! What is in a bundle.

use nuncius_schemas::bundle::{AppVersion, BundleReference};
use serde::{Deserialize, Serialize};

use crate::BundleError;

/// The specification of a directory that has several.
const SPEC: &str = "experiment.yaml";
/// What specifications end in.
const SPEC_ENDINGS: [&str; 2] = [".yaml", ".yml"];

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path, from the root of the bundle.
    pub path: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// SHA-256 of its contents.
    pub digest: String,
}

/// A bundle and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The application that it is a version of, a token.
    pub name: String,
    /// SHA-256 of the bundle, as it is packed.
    pub digest: String,
    /// Its size as it is packed, in bytes.
    pub bytes: u64,
    /// Path of the specification in it.
    pub spec: String,
    /// All of its files, in the order of their paths.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// Size of all files together, in bytes.
    pub fn unpacked_bytes(&self) -> u64 {
        total_bytes(&self.files)
    }

    /// How an experiment names the bundle.
    pub fn reference(&self) -> BundleReference {
        BundleReference { digest: self.digest.clone(), name: self.name.clone(), bytes: self.bytes }
    }

    /// As the bus knows it, deployed at this time.
    pub fn version(&self, deployed_unix_ms: u64) -> AppVersion {
        AppVersion {
            digest: self.digest.clone(),
            bytes: self.bytes,
            unpacked_bytes: self.unpacked_bytes(),
            files: u32::try_from(self.files.len()).unwrap_or(u32::MAX),
            spec: self.spec.clone(),
            deployed_unix_ms,
        }
    }
}

/// Size of these files together, in bytes.
pub(crate) fn total_bytes(files: &[FileEntry]) -> u64 {
    files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.bytes))
}

/// The specification among the files of a bundle: `experiment.yaml`, or the only one of its kind beside it.
///
/// # Errors
/// When there is none, or more than one.
pub fn spec_among<'a>(paths: impl Iterator<Item = &'a str>) -> Result<&'a str, BundleError> {
    let is_spec = |path: &&str| !path.contains('/') && SPEC_ENDINGS.iter().any(|ending| path.ends_with(ending));
    let found: Vec<&str> = paths.filter(is_spec).collect();
    match found.as_slice() {
        [] => Err(BundleError::Spec(format!("there is no {SPEC} in it, and no other .yaml file"))),
        [only] => Ok(only),
        several => several.iter().find(|path| **path == SPEC).copied().ok_or_else(|| {
            let names: Vec<&str> = several.iter().take(5).copied().collect();
            BundleError::Spec(format!(
                "it has {} .yaml files ({}): call the one that is meant {SPEC}",
                several.len(),
                names.join(", ")
            ))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_is_experiment_yaml_or_the_only_one_at_the_root() {
        let among = |paths: &[&'static str]| spec_among(paths.iter().copied()).map_err(|error| error.to_string());
        assert_eq!(among(&["a.csv", "load.yaml", "data/x.yaml"]), Ok("load.yaml"));
        assert_eq!(among(&["load.yml"]), Ok("load.yml"));
        assert_eq!(among(&["a.yaml", "experiment.yaml", "z.yml"]), Ok("experiment.yaml"));
        assert!(among(&["data/experiment.yaml", "a.csv"]).unwrap_err().contains("no experiment.yaml"));
        let several = among(&["a.yaml", "b.yaml"]).unwrap_err();
        assert!(several.contains("a.yaml, b.yaml") && several.contains("experiment.yaml"), "{several}");
    }
}
