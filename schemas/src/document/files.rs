//! The files that are generated.

use super::{asyncapi, messages, sorted, yaml};

/// Every generated file: its path below `schemas/` and its content.
pub fn files() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = messages()
        .iter()
        .map(|message| {
            let mut schema = (message.schema)();
            if let Some(map) = schema.as_object_mut() {
                map.insert("$id".to_owned(), format!("urn:nuncius:schema:{}", message.schema_name()).into());
            }
            (message.schema_path(), format!("{:#}\n", sorted(schema)))
        })
        .collect();
    let head = "# Generated from the types: NUNCIUS_UPDATE=1 cargo test -p nuncius-schemas --test documents\n";
    files.push(("asyncapi.yaml".to_owned(), format!("{head}{}", yaml::to_yaml(&asyncapi::document()))));
    files
}
