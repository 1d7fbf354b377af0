//! What several tests need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nuncius_import::artillery::{Imported, Options, import};
use nuncius_import::{ImportError, Wanted};

/// Where the files of tests are.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The environment that tests have.
pub(crate) fn environment() -> BTreeMap<String, String> {
    [("TARGET", "http://desk.test:8080"), ("USERS", "200"), ("API_KEY", "k3y"), ("WEIGHT", "3")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

pub(crate) fn options() -> Options {
    Options { process_environment: environment(), ..Options::default() }
}

/// Imports a text; other files are those of the directory of tests.
pub(crate) fn import_with(text: &str, options: &Options) -> Result<Imported, ImportError> {
    let mut reader = |wanted: Wanted<'_>| {
        let path = directory().join(wanted.path.trim_start_matches("./"));
        std::fs::read(path).map_err(|_| "it is not there".to_owned())
    };
    import("test.yaml", text.as_bytes(), options, &mut reader)
}

pub(crate) fn imported(text: &str) -> Imported {
    import_with(text, &options()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Imports a text with these files beside it.
pub(crate) fn import_files(text: &str, files: &[(&str, &str)]) -> Result<Imported, ImportError> {
    let others =
        [("lib/other.js", "exports.twice = (n) => 2 * n; exports.name = __filename;"), ("data.json", r#"{"n": 21}"#)];
    let mut reader = |wanted: Wanted<'_>| {
        let found = files.iter().chain(&others).find(|(path, _)| *path == wanted.path);
        found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| "it is not there".to_owned())
    };
    import("test.yaml", text.as_bytes(), &options(), &mut reader)
}

/// Why a file with these steps and this processor is refused.
pub(crate) fn refused(steps: &str, processor: &str) -> String {
    let text = format!(
        "config: {{target: 'http://shop.test', phases: [{{duration: 1, arrivalRate: 1}}], processor: p.js}}\n\
         scenarios: [{{flow: [{steps}]}}]"
    );
    match import_files(&text, &[("p.js", processor)]) {
        Ok(_) => panic!("it is taken: {text}"),
        Err(error) => error.to_string(),
    }
}
