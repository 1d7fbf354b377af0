//! Which control groups there are.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use nuncius_schemas::telemetry::CgroupVersion;

use super::name::{Container, container};
use super::root;
use crate::config::MachineLimits;
use crate::source::Source;

/// Deepest group, and longest path, in bytes.
const DEPTH_MAX: usize = 12;
const PATH_MAX_BYTES: usize = 512;

/// A group that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) container: Option<Container>,
}

/// The groups that are read, and how many are not.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) version: CgroupVersion,
    pub(super) places: Vec<Place>,
    /// Beyond the limit of those that are read.
    pub(super) beyond: u64,
    /// Seen, but not looked into, beyond the limit of those that are looked at.
    pub(super) unvisited: u64,
}

/// Looks for containers, and for groups of the patterns.
pub(super) fn find(source: &mut Source, patterns: &[String], limits: &MachineLimits) -> Found {
    let root = root(source);
    let Some((version, tree)) = tree(&root) else { return Found::default() };
    let mut found = Found { version, ..Found::default() };
    let mut waiting: VecDeque<(PathBuf, String, usize)> = VecDeque::from([(tree, String::new(), 0)]);
    let mut visited = 0;
    while let Some((directory, path, depth)) = waiting.pop_front() {
        if visited >= limits.cgroups_visited {
            found.unvisited = waiting.len() as u64 + 1;
            break;
        }
        visited += 1;
        // One that vanished meanwhile has nothing below it.
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{path}/{name}");
            if path.len() > PATH_MAX_BYTES || name.chars().any(char::is_control) {
                continue;
            }
            let container = container(&path);
            if container.is_some() || patterns.iter().any(|pattern| matches(pattern, &path)) {
                let name = container.as_ref().map_or_else(|| path.clone(), Container::name);
                found.places.push(Place { name, path: path.clone(), container });
            }
            if depth + 1 < DEPTH_MAX && waiting.len() < limits.cgroups_visited {
                waiting.push_back((entry.path(), path, depth + 1));
            }
        }
    }
    // Containers first, then by path: which ones are left out does not change from one search to the next.
    found.places.sort_by(|a, b| (a.container.is_none(), &a.path).cmp(&(b.container.is_none(), &b.path)));
    // Of a container within a container the outer one may have the same id: what is told once is told of the first.
    let mut names = std::collections::BTreeSet::new();
    found.places.retain_mut(|place| {
        names.insert(place.name.clone()) || {
            place.name.clone_from(&place.path);
            names.insert(place.name.clone())
        }
    });
    found.beyond = found.places.len().saturating_sub(limits.cgroups) as u64;
    found.places.truncate(limits.cgroups);
    found
}

/// Which version the groups of this machine have, and the tree that has all of them.
fn tree(root: &Path) -> Option<(CgroupVersion, PathBuf)> {
    if root.join("cgroup.controllers").exists() {
        return Some((CgroupVersion::V2, root.to_owned()));
    }
    ["cpuacct", "cpu,cpuacct", "memory"]
        .into_iter()
        .map(|controller| root.join(controller))
        .find(|tree| tree.is_dir())
        .map(|tree| (CgroupVersion::V1, tree))
}

/// Whether a path is one that a pattern means: `*` stands for any characters but `/`.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if nuncius_schemas::spec::telemetry::matches(pattern, part) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::telemetry::Runtime;
    use nuncius_testkit::TempDir;

    use super::*;
    use crate::config::Roots;

    #[test]
    fn a_pattern_stands_for_the_parts_of_a_path() {
        assert!(matches("/*", "/system.slice"));
        assert!(!matches("/*", "/system.slice/ssh.service"));
        assert!(matches("/system.slice/*.service", "/system.slice/ssh.service"));
        assert!(!matches("/system.slice/*.service", "/user.slice/ssh.service"));
    }

    #[test]
    fn of_ten_thousand_groups_containers_come_first_and_the_rest_is_counted() {
        let root = TempDir::new("cgroups").unwrap();
        let tree = root.path().join("sys/fs/cgroup");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("cgroup.controllers"), "cpu memory\n").unwrap();
        for number in 0..10_000 {
            std::fs::create_dir(tree.join(format!("group-{number:05}"))).unwrap();
        }
        let id = "a".repeat(64);
        std::fs::create_dir_all(tree.join("docker").join(&id).join("inner")).unwrap();
        let mut source = Source::new(Roots::below(root.path()));
        let patterns = ["/*".to_owned()];
        let found = find(&mut source, &patterns, &MachineLimits::default());
        assert_eq!((found.places.len(), found.beyond, found.unvisited), (256, 9_746, 0));
        let first = &found.places[0];
        assert_eq!((first.name.as_str(), first.path.clone()), ("aaaaaaaaaaaa", format!("/docker/{id}")));
        assert_eq!(first.container.as_ref().map(|container| container.runtime), Some(Runtime::Docker));
        assert_eq!(found.places[1].name, "/docker");
        let few = MachineLimits { cgroups_visited: 100, ..MachineLimits::default() };
        let found = find(&mut source, &patterns, &few);
        assert!(found.unvisited > 0 && found.places.len() == 256);
        assert!(source.problems().take_fresh().is_empty());
    }

    #[test]
    fn a_machine_without_control_groups_has_none() {
        let root = TempDir::new("cgroups").unwrap();
        let mut source = Source::new(Roots::below(root.path()));
        assert!(find(&mut source, &[], &MachineLimits::default()).places.is_empty());
    }
}
