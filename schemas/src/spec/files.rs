//! The files that a specification names: they travel beside it, in its bundle.

use std::convert::Infallible;

use super::ExperimentSpec;
use super::texts::TextKind;

/// A file that is needed, by the field that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// Path of the field: `groups[0].feeders[1].file`.
    pub field: String,
    /// Where the file is, from the directory of the specification; a path within a bundle.
    pub path: String,
}

/// The files that are not in the specification itself, in the order of its fields, each as often as it is named: its
/// texts of [`TextKind::File`]. The certificates of `tls` are none of them: `nuncius run` puts their contents in their
/// place.
pub fn files_of(spec: &ExperimentSpec) -> Vec<NamedFile> {
    let mut found = Vec::new();
    let done = spec.clone().visit_texts::<Infallible>(&mut |text| {
        if text.kind == TextKind::File {
            found.push(NamedFile { field: text.field, path: text.value.clone() });
        }
        Ok(())
    });
    match done {
        Ok(()) => found,
    }
}
