//! What a test needs travels with it: deployed, fetched once per host, checked; refused in words where it cannot be.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use nuncius_bundle::{ZipFile, write_zip};
use nuncius_bus::Headers;
use nuncius_bus::apps;
use nuncius_schemas::bundle::{AppRecord, AppVersion};
use nuncius_schemas::codec;
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use serde_json::Value;

use crate::harness::{System, beside_others, open_spec, until};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn shown(output: &Output) -> String {
    format!("{}: {}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// A directory with an experiment, data of two pieces and some hidden files; its path.
fn directory(system: &System, name: &str, spec: &str) -> PathBuf {
    let shop = system.directory.path().join(name);
    std::fs::create_dir_all(shop.join("data")).unwrap();
    std::fs::create_dir_all(shop.join(".git")).unwrap();
    std::fs::write(shop.join("experiment.yaml"), spec).unwrap();
    std::fs::write(shop.join("data/users.csv"), noise(200_000)).unwrap();
    std::fs::write(shop.join(".env"), "TOKEN=secret").unwrap();
    std::fs::write(shop.join(".git/config"), "secret").unwrap();
    shop
}

/// What cannot be compressed, always the same.
fn noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
}

/// Runs a command that must go well; what it says as JSON.
fn json(system: &System, arguments: &[&str]) -> Value {
    let output = system.output(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", shown(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown(&output)))
}

fn logs(system: &System, nodes: &[&str]) -> String {
    let log = |node: &&str| std::fs::read_to_string(system.directory.path().join(format!("{node}.log"))).unwrap();
    nodes.iter().map(log).collect()
}

fn unpacked(system: &System, digest: &str) -> PathBuf {
    system.data().join("bundles").join(digest)
}

async fn record_of(system: &System, app: &str) -> Option<AppRecord> {
    apps::find(&system.bus, app).await.unwrap()
}

/// Submits, and waits until the run has ended without having begun.
async fn refused(system: &System, arguments: &[&str], id: &str) -> RunRecord {
    let output = system.output(&[&["submit"], arguments, &["--id", id]].concat());
    assert!(output.status.success(), "{}", shown(&output));
    let ended = system.wait_for_end(id).await;
    assert_eq!(ended.status, RunStatus::Failed, "{ended:?}");
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_runs_on_two_nodes_of_a_host_that_fetch_it_once() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    let shop = directory(&system, "shop", &open_spec("e1", &address, "200/s", "2s", ""));
    let output = system.output(&["run", shop.to_str().unwrap(), "--quiet"]);
    assert!(output.status.success(), "{}", shown(&output));
    assert!(text(&output.stderr).contains(".env, .git/"), "what is left out is told: {}", shown(&output));
    let report = system.report("e1").await;
    assert_eq!((report.verdict, report.nodes.len()), (Some(Verdict::Pass), 2), "{report:?}");

    let current = record_of(&system, "shop").await.unwrap().versions.pop().unwrap();
    assert_eq!((current.files, current.spec.as_str()), (2, "experiment.yaml"), "{current:?}");
    let record = system.record("e1").await.unwrap();
    assert_eq!(record.spec.bundle, Some(current.reference("shop")));
    let tree = unpacked(&system, &current.digest);
    assert_eq!(std::fs::read(tree.join("data/users.csv")).unwrap(), noise(200_000));
    assert!(!tree.join(".env").exists() && !tree.join(".git").exists());
    let mode = |path: &str| std::fs::metadata(tree.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("data"), mode("data/users.csv")), (0o555, 0o555, 0o444));
    assert_eq!(logs(&system, &["n1", "n2"]).matches("bundle fetched").count(), 1, "{}", logs(&system, &["n1", "n2"]));

    // Once more it is neither stored nor fetched; and from elsewhere it runs by its name.
    let stream = format!("OBJ_{}", system.bus.namespace().bucket_app());
    let stored = system.bus.last_sequence(&stream).await.unwrap();
    for (what, id) in [(shop.to_str().unwrap(), "e2"), ("app:shop", "e3")] {
        let output = system.output(&["run", what, "--id", id, "--quiet"]);
        assert!(output.status.success(), "{}", shown(&output));
        assert_eq!(system.record(id).await.unwrap().spec.bundle, Some(current.reference("shop")));
    }
    assert_eq!(system.bus.last_sequence(&stream).await.unwrap(), stored);
    assert_eq!(logs(&system, &["n1", "n2"]).matches("bundle fetched").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_are_deployed_listed_and_removed() {
    let _turn = beside_others().await;
    let system = System::start(0).await;
    assert_eq!(json(&system, &["app", "ls"]), Value::Array(Vec::new()));
    let nothing = system.output(&["app", "ls"]);
    assert!(text(&nothing.stdout).contains("no app is deployed"), "{}", shown(&nothing));
    let shop = directory(&system, "shop", &open_spec("e1", "127.0.0.1:1", "400/s", "1s", ""));
    let shop = shop.to_str().unwrap();
    let first = json(&system, &["app", "deploy", shop]);
    assert_eq!((&first["name"], &first["stored"], &first["changed"]), (&"shop".into(), &true.into(), &true.into()));
    let paths: Vec<&str> = first["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["data/users.csv", "experiment.yaml"]);
    assert_eq!(first["files"][0]["bytes"], 200_000);
    let again = json(&system, &["app", "deploy", shop]);
    assert_eq!(
        (&again["digest"], &again["stored"], &again["changed"]),
        (&first["digest"], &false.into(), &false.into())
    );
    std::fs::write(Path::new(shop).join("data/more.csv"), "a,b\n").unwrap();
    let second = json(&system, &["app", "deploy", shop]);
    assert_ne!(second["digest"], first["digest"]);
    let other = system.output(&["app", "deploy", shop, "--name", "shop-2"]);
    assert!(text(&other.stdout).contains("app shop-2 is now"), "{}", shown(&other));

    let table = system.output(&["app", "ls"]);
    let table = text(&table.stdout);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!((lines[0][0], lines[0].last()), ("app", Some(&"versions")), "{table}");
    let digest = &second["digest"].as_str().unwrap()[..12];
    assert_eq!((lines[1][0], lines[1][1], lines[1].last()), ("shop", digest, Some(&"2")), "{table}");
    assert_eq!((lines[2][0], lines[2].last()), ("shop-2", Some(&"1")), "{table}");
    let listed: Vec<AppRecord> = serde_json::from_value(json(&system, &["app", "ls"])).unwrap();
    assert_eq!(listed[0].versions[0].digest, first["digest"].as_str().unwrap());
    assert_eq!(listed[0].versions[1].files, 3);

    let old = json(&system, &["app", "rm", "--old", "shop"]);
    assert_eq!((&old["removed"], &old["versions"]), (&false.into(), &1.into()));
    assert_eq!(record_of(&system, "shop").await.unwrap().versions.len(), 1);
    let removed = system.output(&["app", "rm", "shop"]);
    assert!(text(&removed.stdout).contains("app shop removed with 1 version"), "{}", shown(&removed));
    assert_eq!(record_of(&system, "shop").await, None);
    assert!(record_of(&system, "shop-2").await.is_some());
    for arguments in [["app", "rm", "shop"].as_slice(), &["run", "app:shop"], &["submit", "app:shop"]] {
        let output = system.output(arguments);
        assert_eq!(output.status.code(), Some(5), "{}", shown(&output));
        assert!(text(&output.stderr).contains("there is no app shop"), "{}", shown(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_deployed_as_what_is_in_it_and_refused_by_what_is_wrong_with_it() {
    let _turn = beside_others().await;
    let system = System::start(0).await;
    let shop = directory(&system, "shop", &open_spec("e1", "127.0.0.1:1", "400/s", "1s", ""));
    let of_directory = json(&system, &["app", "deploy", shop.to_str().unwrap()]);
    let archive = |name: &str, files: &[(&str, Vec<u8>)]| {
        let path = system.directory.path().join(name);
        let file = |(path, bytes): &(&str, Vec<u8>)| ZipFile { path: (*path).to_owned(), bytes: bytes.clone() };
        std::fs::write(&path, write_zip(&files.iter().map(file).collect::<Vec<_>>())).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let of = |path: &str| std::fs::read(shop.join(path)).unwrap();
    let files = [
        ("any/experiment.yaml", of("experiment.yaml")),
        ("any/data/users.csv", of("data/users.csv")),
        ("any/.env", of(".env")),
    ];
    let of_archive = json(&system, &["app", "deploy", &archive("shop.zip", &files)]);
    assert_eq!((&of_archive["name"], &of_archive["digest"]), (&"shop".into(), &of_directory["digest"]));
    assert_eq!(of_archive["stored"], false, "the same files are the same bundle");
    // What Galileo's own command packs.
    let files = [("manifest.yml", b"name: img\n".to_vec()), ("generator.py", b"def next_request(): pass".to_vec())];
    let app = json(&system, &["app", "deploy", &archive("of-galileo.zip", &files)]);
    assert_eq!((&app["name"], &app["spec"]), (&"img".into(), &"manifest.yml".into()));
    let nameless = archive("nameless.zip", &[("manifest.yml", b"{}".to_vec())]);
    let evil = archive("evil.zip", &[("../evil", Vec::new())]);
    let without = archive("without.zip", &[("a.csv", Vec::new())]);
    let torn = system.directory.path().join("torn.ZIP").to_str().unwrap().to_owned();
    std::fs::write(&torn, b"PK").unwrap();
    for (place, words) in [
        (&nameless, "manifest.yml has no name"),
        (&evil, "../evil"),
        (&without, "experiment.yaml"),
        (&torn, "it is no zip archive"),
        (&shop.join("experiment.yaml").to_str().unwrap().to_owned(), "no directory, and no zip archive"),
        (&"nowhere.zip".to_owned(), "no directory, and no zip archive"),
    ] {
        let output = system.output(&["app", "deploy", place]);
        assert_eq!(output.status.code(), Some(64), "{place}: {}", shown(&output));
        assert!(text(&output.stderr).contains(words), "{place}: {}", shown(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_an_experiment_still_needs_is_not_removed_unless_that_is_wanted() {
    let _turn = beside_others().await;
    let mut system = System::start(0).await;
    let spec = open_spec("e1", "127.0.0.1:1", "400/s", "1s", "");
    let shop = directory(&system, "shop", &spec);
    let output = system.output(&["submit", shop.to_str().unwrap()]);
    assert!(output.status.success(), "{}", shown(&output));
    let ended = system.wait_for_end("e1").await;
    // One like it that waits; without a daemon it goes on waiting.
    system.daemon = None;
    let waiting = RunRecord { id: "e2".to_owned(), status: RunStatus::Submitted, ..ended };
    let runs = system.bus.kv(&system.bus.namespace().bucket_run()).await.unwrap();
    runs.put("e2", codec::encode(&waiting).unwrap().into()).await.unwrap();
    let held = system.output(&["app", "rm", "shop"]);
    assert_eq!(held.status.code(), Some(5), "{}", shown(&held));
    assert!(text(&held.stderr).contains("e2 has not ended and needs app shop"), "{}", shown(&held));
    // What it needs is the current version.
    std::fs::write(shop.join("data/more.csv"), "a,b\n").unwrap();
    assert!(system.output(&["app", "rm", "--old", "shop"]).status.success());
    json(&system, &["app", "deploy", shop.to_str().unwrap()]);
    let old = system.output(&["app", "rm", "--old", "shop"]);
    assert_eq!(old.status.code(), Some(5), "now it is an old one: {}", shown(&old));
    assert_eq!(record_of(&system, "shop").await.unwrap().versions.len(), 2);
    let forced = system.output(&["app", "rm", "--force", "shop"]);
    assert!(forced.status.success(), "{}", shown(&forced));
    assert_eq!(record_of(&system, "shop").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_gone_another_or_damaged_ends_the_run_before_any_load_and_says_so() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let shop = directory(&system, "shop", &open_spec("x", &address, "400/s", "1s", ""));
    let shop = shop.to_str().unwrap();
    let deployed = json(&system, &["app", "deploy", shop]);
    let version = record_of(&system, "shop").await.unwrap().versions.pop().unwrap();
    // By a file that names a bundle which nobody deployed.
    let file = system.directory.path().join("absent.yaml");
    let bundle = format!("bundle: {{digest: {}, name: shop, bytes: {}}}", "ab".repeat(32), version.bytes);
    std::fs::write(&file, open_spec("x", &address, "400/s", "1s", &bundle)).unwrap();
    let absent = refused(&system, &[file.to_str().unwrap()], "absent").await;
    let reason = absent.reason.unwrap();
    assert!(reason.contains("bundle: shop abababababab: ") && reason.contains("not in the store"), "{reason}");

    // Under a digest that is not its own.
    let bytes =
        nuncius_bundle::pack_directory(Path::new(shop), "shop", &nuncius_bundle::Limits::default()).unwrap().bytes;
    let false_version = AppVersion { digest: "cd".repeat(32), ..version.clone() };
    apps::deploy(&system.bus, "shop", &false_version, &bytes).await.unwrap();
    let bundle = format!("bundle: {{digest: {}, name: shop, bytes: {}}}", "cd".repeat(32), version.bytes);
    std::fs::write(&file, open_spec("x", &address, "400/s", "1s", &bundle)).unwrap();
    let other = refused(&system, &[file.to_str().unwrap()], "other").await;
    let reason = other.reason.unwrap();
    assert!(reason.contains("bundle: shop cdcdcdcdcdcd: damaged: its digest is"), "{reason}");

    // With a piece that was changed in the store.
    let names = system.bus.namespace();
    let stream = format!("OBJ_{}", names.bucket_app());
    let pieces = format!("$O.{}.C.*", names.bucket_app());
    let first = system.bus.next_message(&stream, &pieces, 1).await.unwrap().unwrap();
    let last = system.bus.last_message(&stream, &first.subject).await.unwrap().unwrap();
    assert!(system.bus.delete_message(&stream, last.sequence).await.unwrap());
    let mut changed = last.payload.to_vec();
    changed[100] ^= 0x40;
    system.bus.publish_acked(&first.subject, &Headers::new(), changed.into(), None, None).await.unwrap();
    let bundle =
        format!("bundle: {{digest: {}, name: shop, bytes: {}}}", deployed["digest"].as_str().unwrap(), version.bytes);
    std::fs::write(&file, open_spec("x", &address, "400/s", "1s", &bundle)).unwrap();
    let damaged = refused(&system, &[file.to_str().unwrap()], "damaged").await;
    let reason = damaged.reason.unwrap();
    assert!(reason.contains("damaged: its digest is"), "{reason}");

    assert_eq!(crate::harness::stub_stats(&address).requests, 0, "no load was offered");
    assert!(!unpacked(&system, deployed["digest"].as_str().unwrap()).exists());
    // Removed and deployed anew it is whole again.
    assert!(system.output(&["app", "rm", "shop"]).status.success());
    let output = system.output(&["run", shop, "--id", "whole", "--quiet"]);
    assert!(output.status.success(), "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_killed_while_it_unpacked_is_in_nobodys_way() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let shop = directory(&system, "shop", &open_spec("e1", &address, "400/s", "1s", ""));
    let shop = shop.to_str().unwrap();
    let digest = json(&system, &["app", "deploy", shop])["digest"].as_str().unwrap().to_owned();
    // What it leaves: a tree that is half there, a download that is half there, and no lock.
    let bundles = system.data().join("bundles");
    let partial = bundles.join(format!("{digest}.partial"));
    std::fs::create_dir_all(partial.join("data")).unwrap();
    std::fs::write(partial.join("data/users.csv"), "half").unwrap();
    std::fs::set_permissions(partial.join("data"), std::fs::Permissions::from_mode(0o555)).unwrap();
    std::fs::write(bundles.join(format!("{digest}.download")), "half").unwrap();
    std::fs::write(bundles.join(format!("{digest}.lock")), "").unwrap();
    let output = system.output(&["run", shop, "--quiet"]);
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(std::fs::read(unpacked(&system, &digest).join("data/users.csv")).unwrap(), noise(200_000));
    assert!(!partial.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_directory_is_told_before_anything_is_stored() {
    let _turn = beside_others().await;
    let system = System::start(0).await;
    let good = open_spec("e1", "127.0.0.1:1", "400/s", "1s", "");
    let told = |name: &str, change: &dyn Fn(&Path), arguments: &[&str]| {
        let shop = directory(&system, name, &good);
        change(&shop);
        let output = system.output(&[&["submit", shop.to_str().unwrap()], arguments].concat());
        assert_eq!(output.status.code(), Some(64), "{name}: {}", shown(&output));
        text(&output.stderr)
    };
    let none = told("none", &|shop| std::fs::remove_file(shop.join("experiment.yaml")).unwrap(), &[]);
    assert!(none.contains("none: there is no experiment.yaml"), "{none}");
    let several = |shop: &Path| {
        std::fs::rename(shop.join("experiment.yaml"), shop.join("a.yaml")).unwrap();
        std::fs::write(shop.join("b.yaml"), &good).unwrap();
    };
    let several = told("several", &several, &[]);
    assert!(several.contains("2 .yaml files (a.yaml, b.yaml)"), "{several}");
    let bad = told("bad", &|shop| std::fs::write(shop.join("experiment.yaml"), "groupz: []").unwrap(), &[]);
    assert!(bad.contains("bad/experiment.yaml: ") && bad.contains("groupz"), "{bad}");
    let named = format!("bundle: {{digest: {}, name: shop, bytes: 1}}", "ab".repeat(32));
    let named = open_spec("e1", "127.0.0.1:1", "400/s", "1s", &named);
    let named = told("named", &|shop| std::fs::write(shop.join("experiment.yaml"), &named).unwrap(), &[]);
    assert!(named.contains("bundle: leave it out"), "{named}");
    let galileo = r#"{"instructions": "spawn .* shop 1\nrps .* shop 10\nsleep 1"}"#;
    let galileo = told("galileo", &|shop| std::fs::write(shop.join("experiment.yaml"), galileo).unwrap(), &[]);
    assert!(galileo.contains("a form of Galileo"), "{galileo}");
    let out = told("out", &|shop| std::os::unix::fs::symlink("/etc/hostname", shop.join("x.csv")).unwrap(), &[]);
    assert!(out.contains("x.csv is a link that leads out"), "{out}");
    let many = told("many", &|_| {}, &["--bundle-files", "1"]);
    assert!(many.contains("more than 1 files") && many.contains("--bundle-files"), "{many}");
    let large = told("large", &|_| {}, &["--bundle-size", "100KiB"]);
    assert!(large.contains("more than 102400 bytes") && large.contains("--bundle-size"), "{large}");
    let file = system.directory.path().join("alone.yaml");
    let alone = "groups: [{target: 'http://h/', rate: 1, duration: 1s, steps: [{get: /}], script: hooks.js}]";
    std::fs::write(&file, alone).unwrap();
    let output = system.output(&["validate", file.to_str().unwrap()]);
    let (code, told) = (output.status.code(), shown(&output));
    assert!(code == Some(64) && told.contains("groups[0].script: hooks.js: ") && told.contains("beside"), "{told}");
    let output = system.output(&["app", "deploy", system.directory.path().join("absent").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64), "{}", shown(&output));
    assert_eq!(json(&system, &["app", "ls"]), Value::Array(Vec::new()), "nothing was stored");
    // It would be: and still nothing is stored.
    let shop = directory(&system, "fine", &open_spec("e1", "127.0.0.1:1", "400/s", "1s", ""));
    let plan = json(&system, &["validate", shop.to_str().unwrap()]);
    assert_eq!((&plan["bundle"]["name"], plan["bundle"]["files"].as_array().unwrap().len()), (&"fine".into(), 2));
    assert_eq!(json(&system, &["app", "ls"]), Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_runs_where_nothing_is_there_yet() {
    let _turn = beside_others().await;
    let directory = nuncius_testkit::TempDir::new("bundle").unwrap();
    let shop = directory.path().join("My shop");
    std::fs::create_dir_all(&shop).unwrap();
    let spec = open_spec("e1", "127.0.0.1:1", "400/s", "1s", "").replace("services: {target: ['127.0.0.1:1']}", "");
    std::fs::write(shop.join("load.yaml"), spec.replace("http://target/", "http://stub/")).unwrap();
    std::fs::write(shop.join("users.csv"), "a,b\n").unwrap();
    let mut command = crate::harness::nuncius();
    command.args(["run", ".", "--quiet", "--json", "--data"]).arg(directory.path().join("data")).current_dir(&shop);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    let bundles = std::fs::read_dir(directory.path().join("data/bundles")).unwrap();
    let trees: Vec<PathBuf> = bundles.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    assert_eq!(trees.len(), 1, "{trees:?}");
    assert!(trees[0].join("load.yaml").is_file() && trees[0].join("users.csv").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_place_for_data_refuses_experiments_with_bundles_and_runs_others() {
    let _turn = beside_others().await;
    let mut system = System::start(0).await;
    let address = system.start_stub(&[]);
    let mut command = crate::harness::nuncius();
    command.env_remove("HOME").env_remove("XDG_DATA_HOME").env_remove("XDG_RUNTIME_DIR");
    command.args(["client", "--name", "n1", "--nats", &system.server.url()]).stdout(std::process::Stdio::null());
    let log = system.directory.path().join("n1.log");
    system.clients.push(crate::harness::Process::start(&mut command, &log));
    system.wait_for_nodes(2).await;
    let shop = directory(&system, "shop", &open_spec("x", &address, "400/s", "1s", ""));
    let ended = refused(&system, &[shop.to_str().unwrap()], "e1").await;
    assert!(ended.reason.as_ref().is_some_and(|reason| reason.contains("--data")), "{ended:?}");
    let output = system.output(&["run", shop.join("experiment.yaml").to_str().unwrap(), "--id", "e2", "--quiet"]);
    assert!(output.status.success(), "{}", shown(&output));
    until("the node is free", async || {
        let nodes = system.nodes().await;
        nodes.iter().all(|node| node.experiment.is_none()).then_some(())
    })
    .await;
}
