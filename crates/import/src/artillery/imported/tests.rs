//! Files of Artillery and what they become: what is expected of each is beside it, and is written anew where
//! `NUNCIUS_UPDATE` is set.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use nuncius_schemas::document::yaml::to_yaml;

use super::*;
use crate::files::Wanted;
use crate::keys::grouped;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn options() -> Options {
    let environment = [("TARGET", "http://desk.test:8080"), ("USERS", "200"), ("API_KEY", "k3y"), ("WEIGHT", "3")];
    let process_environment: BTreeMap<String, String> =
        environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Options { process_environment, ..Options::default() }
}

fn read_file(wanted: Wanted<'_>) -> Result<Vec<u8>, String> {
    std::fs::read(directory().join(wanted.path)).map_err(|_| "it is not there".to_owned())
}

/// All that is told of a file, as text.
fn told(imported: &Imported) -> String {
    let mut text = to_yaml(&imported.document);
    let mut line = |line: String| writeln!(text, "{line}").unwrap();
    line("\n# keys".to_owned());
    for group in grouped(&imported.keys) {
        let note = if group.first.note.is_empty() { String::new() } else { format!(": {}", group.first.note) };
        line(format!("{} x{} {}{note}", group.pattern, group.count, group.first.support));
    }
    line("\n# warnings".to_owned());
    imported.warnings.iter().for_each(|warning| line(warning.to_string()));
    line("\n# differences".to_owned());
    imported.differences.iter().for_each(|difference| line(difference.clone()));
    line(format!("\n# environment: {:?}", imported.environment));
    for file in &imported.files {
        match file.path.as_str() {
            SCRIPT_PATH => {
                let script = String::from_utf8_lossy(&file.bytes);
                let (_, own) = script.split_once("\nconst artillery = ").unwrap();
                line(format!("\n# {} (behind what is the same in all)\n{own}", file.path));
            }
            path => line(format!("\n# {path}\n{}", String::from_utf8_lossy(&file.bytes))),
        }
    }
    let ensure: Vec<String> = imported.ensure.iter().map(|e| format!("{} [{}]", e.expression, e.strict)).collect();
    line(format!("# ensure\n{}", ensure.join("\n")));
    line(format!("\n# origin\n{}", to_yaml(&serde_json::to_value(&imported.origin).unwrap())));
    text
}

#[test]
fn files_become_what_stands_beside_them() {
    let mut names: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(names.len() >= 13, "{names:?}");
    for name in names {
        let bytes = std::fs::read(directory().join(&name)).unwrap();
        let imported = import(&name, &bytes, &options(), &mut read_file);
        let text = match &imported {
            Ok(imported) => told(imported),
            Err(error) => {
                let loose = Options { leave_out_refused: true, ..options() };
                let imported = import(&name, &bytes, &loose, &mut read_file).unwrap();
                format!("# refused\n{error}\n\n# without what is refused\n{}", told(&imported))
            }
        };
        let path = directory().join(name.replace(".yaml", ".txt"));
        if std::env::var_os("NUNCIUS_UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, expected, "{name}");
    }
}
