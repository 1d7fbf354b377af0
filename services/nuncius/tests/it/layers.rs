//! Arrows between crates go down only: the manifests and the tree are read, and everything else is refused by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

mod circles;
mod modules;
mod tokens;

/// Longest source file.
const LINES_MAX: usize = 500;

/// Everything below the services but the testkit.
const CRATES: &[&str] = &[
    "schemas",
    "clock",
    "metrics",
    "bundle",
    "load",
    "stats",
    "search",
    "shell",
    "scenario",
    "import",
    "socketio",
    "bus",
    "store",
    "telemetry",
    "machine",
    "amqp",
    "jobs",
    "control",
    "script",
    "engine",
    "report",
    "pages",
    "serve",
];

/// What crate `name` at `place` in the tree may depend on, without the prefix of their names.
fn allowed(name: &str, place: &str) -> Vec<&'static str> {
    match (name, place) {
        ("schemas" | "clock" | "testkit" | "serve" | "socketio" | "amqp" | "shell", _) => vec![],
        ("metrics", _) => vec!["clock"],
        ("load" | "stats" | "bundle", _) => vec!["schemas"],
        ("scenario", _) => vec!["schemas", "load"],
        ("search", _) => vec!["schemas", "load", "stats"],
        ("script", _) => vec!["schemas"],
        ("report", _) => vec!["schemas", "load", "stats"],
        ("pages", _) => vec!["schemas", "report"],
        ("import", _) => vec!["schemas", "stats", "socketio"],
        ("bus" | "store" | "telemetry", _) => vec!["schemas", "clock", "load", "stats"],
        ("dashboards", _) => vec!["metrics"],
        ("machine", _) => vec!["schemas", "clock", "bus"],
        ("jobs", _) => vec!["schemas", "clock", "bus", "telemetry"],
        ("control", _) => vec!["schemas", "clock", "bundle", "load", "stats", "report", "bus"],
        ("engine", _) => {
            vec![
                "schemas",
                "clock",
                "load",
                "stats",
                "telemetry",
                "bus",
                "jobs",
                "scenario",
                "script",
                "socketio",
                "amqp",
            ]
        }
        ("nuncius", _) => CRATES
            .iter()
            .chain(&["bridge", "client", "experimentd", "emulator", "frontend", "gateway", "viewer", "worker"])
            .copied()
            .collect(),
        (_, "services") => CRATES.to_vec(),
        _ => vec![],
    }
}

/// Foreign crates that some of ours alone may import.
const RESERVED: &[(&str, &[&str])] = &[
    ("async-nats", &["bus"]),
    ("sqlx", &["store"]),
    // The bus has a bare program that a bench compares with.
    ("lapin", &["amqp", "engine", "bridge", "bus", "testkit"]),
    ("rquickjs", &["script"]),
    ("tar", &["bundle"]),
];

/// Foreign crates that the pure ones do without: no I/O, no clock.
const IMPURE: &[&str] = &["tokio", "rustix", "hyper", "socket2", "opentelemetry", "tracing"];

struct Package {
    /// Without the prefix.
    name: String,
    /// `crates`, `services`, or empty.
    place: String,
    directory: PathBuf,
    /// Names of normal and build dependencies, and of all.
    shipped: BTreeSet<String>,
    all: BTreeSet<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let directory = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned();
            let place = directory.strip_prefix(root()).unwrap().parent().unwrap().to_string_lossy().into_owned();
            let dependencies = package["dependencies"].as_array().unwrap();
            let names = |wanted: &dyn Fn(&Value) -> bool| {
                dependencies
                    .iter()
                    .filter(|d| wanted(&d["kind"]))
                    .map(|d| d["name"].as_str().unwrap().to_owned())
                    .collect()
            };
            Package {
                name: plain(package["name"].as_str().unwrap()).to_owned(),
                place,
                directory,
                shipped: names(&|kind| kind != "dev"),
                all: names(&|_| true),
            }
        })
        .collect()
}

fn plain(name: &str) -> &str {
    name.strip_prefix("nuncius-").unwrap_or(name)
}

#[test]
fn arrows_between_crates_go_down_only() {
    let packages = packages();
    let ours: BTreeMap<String, &Package> = packages.iter().map(|package| (package.name.clone(), package)).collect();
    for package in &packages {
        let allowed = allowed(&package.name, &package.place);
        for dependency in package.shipped.iter().map(|name| plain(name)).filter(|name| ours.contains_key(*name)) {
            assert!(allowed.contains(&dependency), "{} must not depend on {dependency}", package.name);
        }
        assert!(!["common", "utils", "util", "types", "helpers"].contains(&package.name.as_str()), "{}", package.name);
        // Not in tests either: what a crate is tested with must not turn the arrows round.
        for dependency in package.all.difference(&package.shipped).map(|name| plain(name)) {
            let is_service = ours.get(dependency).is_some_and(|other| other.place == "services");
            assert!(
                !is_service || package.name == "nuncius",
                "the tests of {} must not use {dependency}",
                package.name
            );
        }
    }
}

#[test]
fn foreign_libraries_are_imported_where_they_belong() {
    for package in packages() {
        for (library, owners) in RESERVED {
            let imports = package.all.contains(*library);
            assert!(!imports || owners.contains(&package.name.as_str()), "{} must not import {library}", package.name);
        }
        if ["load", "stats", "scenario", "search", "import", "socketio", "shell"].contains(&package.name.as_str()) {
            for library in IMPURE {
                assert!(!package.all.contains(*library), "{} is pure and must not import {library}", package.name);
            }
        }
        // Requests to targets are the engine's; what serves HTTP is no client. Telemetry leaves by a client of its own.
        for file in sources(&package.directory) {
            let text = std::fs::read_to_string(&file).unwrap();
            let is_client = text.contains(concat!("hyper", "::client")) || text.contains(concat!("client", "::legacy"));
            let may_be =
                package.name == "engine" || file.parent().is_some_and(|place| place.ends_with("telemetry/src/otlp"));
            assert!(!is_client || may_be, "{} must not be an HTTP client", file.display());
        }
    }
}

/// All Rust files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_tree_keeps_its_form() {
    for file in packages().iter().flat_map(|package| sources(&package.directory)) {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines; at most {LINES_MAX}: split it by subject", file.display());
        let name = file.file_name().unwrap();
        assert!(name != "mod.rs", "{}: write foo.rs and foo/, not foo/mod.rs", file.display());
        if name == "lib.rs" {
            assert!(text.starts_with("//!"), "{} begins with what the crate is for", file.display());
        }
    }
}
