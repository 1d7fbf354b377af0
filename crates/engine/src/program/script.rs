//! The script of a group, checked once for the node.

use std::path::Path;

use nuncius_schemas::flow::ScriptSource;
use nuncius_script::{Compiled, Limits};

use super::files;

/// What errors call a script that is written in the specification.
const INLINE: &str = "script";

/// Checks a group's script.
///
/// # Errors
/// Which field of the group, and what is wrong.
pub(super) fn compile(
    source: Option<&ScriptSource>,
    bundle: Option<&Path>,
) -> Result<Option<Compiled>, (&'static str, String)> {
    let limits = Limits::default();
    let (field, name, text) = match source {
        None => return Ok(None),
        Some(ScriptSource::Source(text)) => ("script.source", INLINE, text.clone()),
        Some(ScriptSource::File(name)) => {
            let refused = |problem: String| ("script", problem);
            let path = files::locate(bundle, name).map_err(refused)?;
            let bytes = files::read(&path, limits.source_bytes as u64).map_err(refused)?;
            let text = String::from_utf8(bytes).map_err(|_| ("script", "is not UTF-8".to_owned()))?;
            ("script", name.as_str(), text)
        }
    };
    Compiled::new(name, &text, limits).map(Some).map_err(|error| (field, error.to_string()))
}
