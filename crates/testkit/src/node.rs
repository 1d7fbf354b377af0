//! Programs of Node that tests speak to, with the packages that `scripts/setup --test` gets.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::TestkitError;

/// Starts a script of `node/` beside this crate's sources; what it says is read by whoever started it.
///
/// # Errors
/// There is no Node, or none of the packages.
pub(crate) fn start(script: &str, arguments: &[&str]) -> Result<Child, TestkitError> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("node").join(script);
    Command::new("node")
        .arg(path)
        .args(arguments)
        .env("NODE_PATH", modules()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| TestkitError::NoBinary(format!("node: {error}; run scripts/setup --test")))
}

/// A file of a package of Node.
///
/// # Errors
/// It is not there.
pub fn package_file(path: &str) -> Result<String, TestkitError> {
    let file = modules()?.join(path);
    std::fs::read_to_string(&file)
        .map_err(|error| TestkitError::NoBinary(format!("{}: {error}; run scripts/setup --test", file.display())))
}

/// The packages of Node, in the nearest `.tools` above this crate.
fn modules() -> Result<PathBuf, TestkitError> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here.ancestors().map(|parent| parent.join(".tools/node/node_modules")).find(|path| path.exists());
    found.ok_or_else(|| TestkitError::NoBinary("no packages of Node in .tools: run scripts/setup --test".to_owned()))
}
