//! Applications of Galileo: what a `manifest.yml` describes. They are kept as bundles; their Python is not run.

use std::path::Path;

use nuncius_schemas::bundle::check_app_name;
use nuncius_schemas::codec;
use serde_json::Value;

use crate::pack::{Packed, pack_files};
use crate::{BundleError, Limits};

/// What such an application says of itself.
pub const APP_MANIFEST: &str = "manifest.yml";

/// An application that has been packed.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedApp {
    /// What it is called.
    pub name: String,
    /// Its manifest.
    pub manifest: Value,
    /// The bundle.
    pub packed: Packed,
}

/// A manifest, where it is YAML with a map at the top.
pub fn manifest_of(bytes: &[u8]) -> Option<Value> {
    codec::from_text(std::str::from_utf8(bytes).ok()?).ok()
}

/// Packs the files of an application, relative to `place`, under its own name unless another one is given.
///
/// # Errors
/// Without a manifest that names it, or with a name that it cannot have; as [`pack_files`].
pub fn pack_app(place: &Path, paths: &[String], name: Option<&str>, limits: &Limits) -> Result<PackedApp, BundleError> {
    let wrong = |problem: &str| BundleError::Spec(problem.to_owned());
    if !paths.iter().any(|path| path == APP_MANIFEST) {
        return Err(wrong("there is no manifest.yml in it"));
    }
    let file = place.join(APP_MANIFEST);
    let written = std::fs::read(&file).map_err(BundleError::io(&file))?;
    let manifest = manifest_of(&written).ok_or_else(|| wrong("manifest.yml is not YAML with a map at the top"))?;
    let own = manifest.get("name").and_then(Value::as_str);
    let name = name.or(own).ok_or_else(|| wrong("manifest.yml has no name"))?.to_owned();
    check_app_name(&name).map_err(|error| wrong(&error.to_string()))?;
    let packed = pack_files(place, &name, APP_MANIFEST, paths, limits)?;
    Ok(PackedApp { name, manifest, packed })
}
