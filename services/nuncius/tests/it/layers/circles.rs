//! No circle of files inside a crate: whoever reads a file can read what it stands on first.
//!
//! An import is any path that leads to another file, in a `use` or in the code. `pub use` is a signpost and no import:
//! whoever follows it imports the file that it points to. Tests are left out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use super::modules::{Files, Modules};
use super::{packages, sources};

/// Files that stand in circles still: crate, and place below `src`. The list only shrinks.
const KNOWN: &[(&str, &[&str])] = &[(
    "engine",
    &[
        "amqp.rs",
        "amqp/connection.rs",
        "amqp/consume.rs",
        "amqp/publish.rs",
        "connect.rs",
        "dispatch.rs",
        "feed.rs",
        "flights.rs",
        "http/general.rs",
        "http/plain.rs",
        "http/plain/connection.rs",
        "http/response.rs",
        "http/response/error.rs",
        "http/response/head.rs",
        "plan.rs",
        "plan/environment.rs",
        "plan/request.rs",
        "plan/servo.rs",
        "plan/spread.rs",
        "plan/target.rs",
        "policy.rs",
        "queue.rs",
        "run.rs",
        "servo.rs",
        "servo/driver.rs",
        "servo/http.rs",
        "servo/ledger.rs",
        "servo/nats.rs",
        "servo/script.rs",
        "servo/script/operation.rs",
        "servo/transport.rs",
    ],
)];

/// Which file imports which, with a path that says so.
type Arrows = BTreeMap<(String, String), String>;

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    let mut problems = Vec::new();
    for package in packages() {
        let (files, arrows) = arrows_of(&package.directory.join("src"));
        let known: BTreeSet<&str> = KNOWN
            .iter()
            .filter(|(name, _)| *name == package.name)
            .flat_map(|(_, files)| files.iter().copied())
            .collect();
        let mut found = BTreeSet::new();
        for circle in circles(&arrows) {
            if !circle.iter().all(|file| known.contains(file.as_str())) {
                problems.push(format!("{}: {}", package.name, told(&circle, &arrows)));
            }
            found.extend(circle);
        }
        for file in known {
            let is_there = files.contains_key(file);
            if !found.contains(file) {
                problems.push(format!(
                    "{}: {file} {} no more: take it from the list of known ones",
                    package.name,
                    if is_there { "stands in a circle" } else { "is there" }
                ));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The files of a crate, and the arrows between them.
fn arrows_of(source: &Path) -> (Files, Arrows) {
    let place = |file: &Path| file.strip_prefix(source).unwrap().to_string_lossy().into_owned();
    let files: Files =
        sources(source).iter().map(|file| (place(file), std::fs::read_to_string(file).unwrap())).collect();
    let roots: Vec<&str> = ["lib.rs", "main.rs"].into_iter().filter(|root| files.contains_key(*root)).collect();
    let read: Vec<Modules> = roots.iter().map(|root| Modules::read(&files, root)).collect();
    for file in files.keys() {
        let is_read = read.iter().any(|modules| modules.is_read(file));
        assert!(is_read, "{}: no `mod` leads to {file}", source.display());
    }
    let arrows = read.iter().flat_map(Modules::arrows).collect();
    (files, arrows)
}

/// Sets of files of which each can be reached from each.
fn circles(arrows: &Arrows) -> Vec<BTreeSet<String>> {
    let files: BTreeSet<&str> = arrows.keys().flat_map(|(from, to)| [from.as_str(), to.as_str()]).collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> = files.iter().map(|file| (*file, reached(arrows, file))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for file in files {
        let circle: BTreeSet<String> = reached[file]
            .iter()
            .filter(|other| reached[**other].contains(file))
            .map(|other| (*other).to_owned())
            .collect();
        if !circle.is_empty() && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

/// All files that one imports, and what these import.
fn reached<'a>(arrows: &'a Arrows, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for (_, to) in arrows.keys().filter(|(of, _)| of == file) {
            if reached.insert(to.as_str()) {
                next.push(to);
            }
        }
    }
    reached
}

/// The shortest way round, and who hangs in it beside.
fn told(circle: &BTreeSet<String>, arrows: &Arrows) -> String {
    let inside = |file: &String| circle.contains(file);
    let mut shortest: Option<Vec<&str>> = None;
    for start in circle {
        let mut ways: VecDeque<Vec<&str>> = VecDeque::from([vec![start.as_str()]]);
        let mut seen = BTreeSet::new();
        'search: while let Some(way) = ways.pop_front() {
            let last = way.last().copied().unwrap_or_default();
            for (_, to) in arrows.keys().filter(|(from, to)| from == last && inside(to)) {
                let longer: Vec<&str> = way.iter().copied().chain([to.as_str()]).collect();
                if to == start {
                    if shortest.as_ref().is_none_or(|shortest| longer.len() < shortest.len()) {
                        shortest = Some(longer);
                    }
                    break 'search;
                }
                if seen.insert(to.as_str()) {
                    ways.push_back(longer);
                }
            }
        }
    }
    let way = shortest.unwrap_or_default();
    let steps: Vec<String> = way
        .windows(2)
        .map(|pair| {
            let path = &arrows[&(pair[0].to_owned(), pair[1].to_owned())];
            format!("{} imports `{path}` from {}", pair[0], pair[1])
        })
        .collect();
    let beside: Vec<&str> = circle.iter().map(String::as_str).filter(|file| !way.contains(file)).collect();
    let others = if beside.is_empty() { String::new() } else { format!("; in it as well: {}", beside.join(", ")) };
    format!("{}{others}", steps.join(", "))
}

/// The circles of a crate of these files, as they are told.
fn of(files: &[(&str, &str)]) -> Vec<String> {
    let files: Files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let arrows = Modules::read(&files, "lib.rs").arrows();
    circles(&arrows).iter().map(|circle| told(circle, &arrows)).collect()
}

#[test]
fn a_parent_that_uses_its_child_and_is_used_by_it_is_a_circle() {
    let found = of(&[
        ("lib.rs", "mod foo;"),
        ("foo.rs", "mod bar; pub struct Y; fn f() { bar::run(1); }"),
        ("foo/bar.rs", "use super::Y; pub fn run(n: u8) {}"),
    ]);
    assert_eq!(found, ["foo.rs imports `bar::run` from foo/bar.rs, foo/bar.rs imports `super::Y` from foo.rs"]);
}

#[test]
fn every_way_to_write_an_import_is_seen() {
    let ways = [
        "use crate::a::X;",
        "use crate::{a::{self, X as Other}};",
        "use super::a; fn f() { a::g(); }",
        "use super::*; fn f(x: X) {}",
        "fn f() -> crate::a::X { todo!() }",
        "fn f() { let x = 0..crate::a::X; }",
        "mod inner { use super::super::a::X; }",
        "fn f() { use crate::a::X; }",
        "#[serde(with = \"crate::a\")] struct Z;",
        "pub use crate::a::X; fn f(x: X) {}",
        "use crate::facade::X;",
        "use crate::facade::all::X;",
        "struct Z(pub crate::a::X);",
        "struct Z(pub (crate::a::X, u8));",
    ];
    for way in ways {
        let found = of(&[
            ("lib.rs", "mod a; mod b; mod facade; pub use a::X;"),
            ("a.rs", "pub struct X; pub fn g() { crate::b::f() }"),
            ("facade.rs", "pub use crate::a::X; pub mod all { pub use super::super::a::*; }"),
            ("b.rs", way),
        ]);
        assert_eq!(found.len(), 1, "{way}: {found:?}");
        assert!(found[0].contains("a.rs imports `crate::b::f` from b.rs"), "{way}: {found:?}");
    }
}

#[test]
fn tests_comments_signposts_and_other_crates_are_no_imports() {
    let none = [
        "#[cfg(test)] mod tests { use crate::a::X; }",
        "#[cfg(test)] use crate::a::{X, g}; pub fn h() {}",
        "#[cfg(test)] fn f<A, B>(x: crate::a::X) { crate::a::g() } pub fn h() {}",
        "struct Z { #[cfg(test)] x: crate::a::X, y: u8 }",
        "/// See [`crate::a::X`].\nstruct Z; // crate::a::X",
        "const TEXT: &str = \"crate::a::X\";",
        "pub use crate::a::X;",
        "use ::a::X; use foreign::a::{X as Y};",
        "use super::a; struct Z { a: u8 }",
        "struct X; fn f(x: X, a: u8) -> u8 { x.a.g() }",
        "pub(in crate::a) struct Z;",
        "pub use crate::a::g; #[g(1)] struct Z { g: u8 }",
    ];
    for way in none {
        let files =
            [("lib.rs", "mod a; mod b;"), ("a.rs", "pub struct X; pub fn g() { crate::b::f() }"), ("b.rs", way)];
        assert_eq!(of(&files), Vec::<String>::new(), "{way}");
    }
}

#[test]
fn a_long_way_round_is_told_with_what_hangs_in_it() {
    let found = of(&[
        ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::c::C; use crate::d::D; pub struct B;"),
        ("c.rs", "use crate::a::A; pub struct C;"),
        ("d.rs", "use crate::e::E; pub struct D;"),
        ("e.rs", "use crate::a::A; use crate::f; pub struct E;"),
    ]);
    let way = "a.rs imports `crate::b::B` from b.rs, b.rs imports `crate::c::C` from c.rs, \
               c.rs imports `crate::a::A` from a.rs; in it as well: d.rs, e.rs";
    assert_eq!(found, [way]);
}
