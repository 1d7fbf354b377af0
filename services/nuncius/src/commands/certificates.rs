//! Files that a specification names: read where the person types, so that their contents travel with it.

use std::io::Read;
use std::path::Path;

use anyhow::Result;
use nuncius_schemas::spec::TlsOptions;
use nuncius_schemas::submission::Submission;
use nuncius_schemas::variable::has_variables;

use crate::Usage;

/// Longest file of certificates, in bytes.
const FILE_MAX_BYTES: u64 = 128 * 1024;

/// Puts the contents of the files that `tls` of the groups names in their place. Paths are relative to `directory`; PEM
/// text and variables stay as they are.
pub(super) fn read_files(submission: &mut Submission, directory: &Path) -> Result<()> {
    let Submission::Spec(spec) = submission else { return Ok(()) };
    for (index, group) in spec.groups.iter_mut().enumerate() {
        let Some(TlsOptions { verify: _, ca, cert, key, server_name: _ }) = &mut group.tls else { continue };
        for (name, value) in [("ca", ca), ("cert", cert), ("key", key)] {
            if let Some(text) = value
                && !text.contains("-----BEGIN")
                && !has_variables(text)
            {
                *text = read(&format!("groups[{index}].tls.{name}"), &directory.join(text.as_str()))?;
            }
        }
    }
    Ok(())
}

fn read(field: &str, path: &Path) -> Result<String> {
    let shown = path.display();
    let failed = |error: std::io::Error| Usage(format!("{field}: {shown}: {error}"));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(Usage(format!("{field}: {shown} has more than {FILE_MAX_BYTES} bytes")).into());
    }
    if !text.contains("-----BEGIN") {
        return Err(Usage(format!("{field}: {shown} holds no PEM text (-----BEGIN ...)")).into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_beside_the_specification_and_pem_and_variables_stay() {
        let directory = std::env::temp_dir().join(format!("nuncius-certificates-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("ca.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
        std::fs::write(directory.join("empty.pem"), "").unwrap();
        let read_with = |tls: serde_json::Value| {
            let group = |more: serde_json::Value| {
                let mut group = serde_json::json!({"target": "https://a/", "rate": 1, "duration": "1s", "tls": more});
                group["name"] = more.to_string().len().to_string().into();
                group
            };
            let spec = serde_json::json!({"groups": [group(serde_json::json!({})), group(tls)]});
            let tree = nuncius_schemas::submission::read_tree(spec.to_string().as_bytes()).unwrap();
            let mut submission = nuncius_schemas::submission::parse(&tree).unwrap();
            read_files(&mut submission, &directory).map(|()| submission.to_value().unwrap()["groups"][1]["tls"].clone())
        };
        let read =
            read_with(serde_json::json!({"ca": "ca.pem", "cert": "-----BEGIN X", "key": "${KEY}", "verify": true}));
        let read = read.unwrap();
        assert_eq!(read["ca"], "-----BEGIN CERTIFICATE-----\n");
        assert_eq!((&read["cert"], &read["key"]), (&"-----BEGIN X".into(), &"${KEY}".into()));
        for (name, words) in [("missing.pem", "No such file"), ("empty.pem", "holds no PEM")] {
            let error = read_with(serde_json::json!({"key": name})).unwrap_err().to_string();
            assert!(error.starts_with("groups[1].tls.key: ") && error.contains(words), "{error}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
