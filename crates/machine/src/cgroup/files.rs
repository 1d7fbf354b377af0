//! Where the files of a control group are, and how they are read.

use std::path::{Path, PathBuf};

use nuncius_schemas::telemetry::CgroupVersion;

use super::root;
use crate::source::Source;

/// Names that the controllers of version 1 have among others: mounted together, or alone.
pub(super) const ACCOUNT: &[&str] = &["cpuacct", "cpu,cpuacct"];
pub(super) const PROCESSOR: &[&str] = &["cpu", "cpu,cpuacct"];
pub(super) const MEMORY: &[&str] = &["memory"];
pub(super) const DISK: &[&str] = &["blkio"];
pub(super) const THREADS: &[&str] = &["pids"];

/// The directory of a group whose processes are listed there.
pub(super) fn directory(version: CgroupVersion, source: &Source, path: &str) -> PathBuf {
    match version {
        CgroupVersion::V2 => root(source).join(below(path)),
        CgroupVersion::V1 => of_controller(source, ACCOUNT, path),
    }
}

/// The directory of a group in the tree of a controller of version 1.
pub(super) fn of_controller(source: &Source, names: &[&str], path: &str) -> PathBuf {
    let root = root(source);
    let mut trees = names.iter().map(|name| root.join(name));
    let tree = trees.find(|tree| tree.is_dir()).unwrap_or_else(|| root.join("absent"));
    tree.join(below(path))
}

fn below(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// Figures of a file of lines `name number`.
pub(super) fn table(source: &mut Source, path: &Path, mut see: impl FnMut(&str, u64)) -> bool {
    source
        .parse_at(path, |text| {
            for line in text.lines() {
                let Some((name, number)) = line.split_once(' ') else { continue };
                match number.trim().parse() {
                    Ok(number) => see(name, number),
                    Err(_) => return Err(format!("`{}` is no figure", shown(line))),
                }
            }
            Ok(())
        })
        .is_some()
}

/// A limit, which may be none.
pub(super) fn limit(source: &mut Source, path: &Path) -> Option<u64> {
    source.parse_at(path, |text| match text.trim() {
        "max" => Ok(None),
        number => number.parse().map(Some).map_err(|_| format!("`{}` is no limit", shown(number))),
    })?
}

pub(super) fn shown(text: &str) -> String {
    text.chars().take(60).collect::<String>().escape_debug().to_string()
}
