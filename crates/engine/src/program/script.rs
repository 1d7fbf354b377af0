//! The script of a group, checked once for the node.

use std::path::Path;

use nuncius_schemas::flow::ScriptSource;
use nuncius_script::{Compiled, Limits, ScriptError, Watchdog, watchdog};

use super::files;

/// What errors call a script that is written in the specification.
const INLINE: &str = "script";

/// A script that was checked.
#[derive(Debug)]
pub(crate) struct Script {
    compiled: Compiled,
    /// Tells of calls that nothing can end.
    watchdog: Watchdog,
}

impl Script {
    /// Loads it for the calling thread.
    ///
    /// # Errors
    /// Its top level does not do here what it did when it was checked.
    pub(crate) fn load(&self) -> Result<nuncius_script::Runtime, ScriptError> {
        nuncius_script::Runtime::new(&self.compiled, Some(&self.watchdog))
    }

    pub(super) fn exports(&self) -> &nuncius_script::Exports {
        self.compiled.exports()
    }
}

/// Checks a group's script.
///
/// # Errors
/// Which field of the group, and what is wrong.
pub(super) fn compile(
    source: Option<&ScriptSource>,
    bundle: Option<&Path>,
) -> Result<Option<Script>, (&'static str, String)> {
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
    let compiled = Compiled::new(name, &text, limits).map_err(|error| (field, error.to_string()))?;
    let watchdog = Watchdog::start(watchdog::OVERRUN, |overrun| tracing::error!("{overrun}"))
        .map_err(|error| (field, format!("its watchdog cannot be started: {error}")))?;
    Ok(Some(Script { compiled, watchdog }))
}
