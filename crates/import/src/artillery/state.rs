//! What is kept while a file is compiled.

use std::collections::{BTreeMap, BTreeSet};

use super::names::Names;
use super::options::Options;
use super::script::Script;
use crate::files::Reader;
use crate::keys::{Ledger, Spot};

/// A file that the specification needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedFile {
    /// Its path in the bundle.
    pub path: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// Variables that are there for certain, by their names in Artillery: what else is named may not be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sure(BTreeSet<String>);

impl Sure {
    pub(crate) fn add(&mut self, name: &str) {
        self.0.insert(name.to_owned());
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// What is kept while a file is compiled.
pub(crate) struct State<'o, 'r> {
    pub(crate) options: &'o Options,
    pub(crate) reader: &'o mut Reader<'r>,
    pub(crate) ledger: Ledger,
    pub(crate) names: Names,
    /// Name of the file, as `{{ $scenarioFile }}` gives it.
    pub(crate) file_name: String,
    /// The environment: that of the process, and what a file adds to it.
    pub(crate) environment: BTreeMap<String, String>,
    /// Variables of nodes that texts name.
    pub(crate) exposed: BTreeSet<String>,
    /// `config.target`.
    pub(crate) target: String,
    /// Captures into a member (`as: user.id`), by their whole name.
    pub(crate) dotted: BTreeSet<String>,
    /// Variables that templates name, with the first place of each.
    pub(crate) named: BTreeMap<String, Spot>,
    /// Variables that something in the file sets.
    pub(crate) assigned: BTreeSet<String>,
    /// Whether `{{ $uuid }}` is wanted.
    pub(crate) wants_uuid: bool,
    pub(crate) files: Vec<ImportedFile>,
    pub(crate) script: Script,
    /// Differences of the whole that no key can be blamed for.
    pub(crate) differences: BTreeSet<&'static str>,
}

impl State<'_, '_> {
    /// Adds a file to the bundle; its path.
    pub(crate) fn add_file(&mut self, path: String, bytes: Vec<u8>) -> String {
        if !self.files.iter().any(|file| file.path == path) {
            self.files.push(ImportedFile { path: path.clone(), bytes });
        }
        path
    }

    /// Something that is set: what names it finds it.
    pub(crate) fn assign(&mut self, name: &str) {
        self.assigned.insert(name.to_owned());
    }

    pub(crate) fn differs(&mut self, text: &'static str) {
        self.differences.insert(text);
    }
}
