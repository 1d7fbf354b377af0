//! `nuncius validate`: what an experiment would do, and nothing is left behind.

use serde_json::Value;

use crate::harness::{System, beside_others, nuncius, open_spec};

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_is_checked_against_who_is_there_and_leaves_nothing_behind() {
    let _turn = beside_others().await;
    let system = System::start(2).await;
    let file = system.directory.path().join("checked.yaml");
    let path = file.to_str().unwrap();
    let nodes: Vec<String> = system.nodes().await.into_iter().map(|node| node.name).collect();
    std::fs::write(&file, open_spec("checked", "127.0.0.1:9", "50/s", "2s", "gates: [p99(response) < 1s]")).unwrap();
    let output = system.output(&["validate", path, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["groups"][0]["scheduled"], &told["groups"][0]["offered_seconds"]), (&100.into(), &2.0.into()));
    assert_eq!(told["nodes"].as_array().unwrap().len(), 2);
    assert!(nodes.contains(&told["nodes"][0]["name"].as_str().unwrap().to_owned()), "{told}");
    assert_eq!(told["gates"][0], "p99(response) < 1s");
    assert!(told["gates"][1].as_str().unwrap().starts_with("failures < 1%"));
    let words = String::from_utf8(system.output(&["validate", path]).stdout).unwrap();
    assert!(words.contains("100 iterations in 2 s") && words.ends_with("valid\n"), "{words}");

    // Who is not there, and what no node knows, would be refused.
    for (more, wanted) in [("nodes: {count: 3}", "3 nodes wanted"), ("nodes: {labels: {zone: mars}}", "zone=mars")] {
        std::fs::write(&file, open_spec("checked", "127.0.0.1:9", "50/s", "2s", more)).unwrap();
        let output = system.output(&["validate", path]);
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(5), "{words}");
        assert!(words.contains("would be refused: ") && words.contains(wanted), "{words}");
    }
    std::fs::write(&file, "groups: [{target: 'http://nobody/', rate: 1, duration: 1s}]").unwrap();
    let words = String::from_utf8(system.output(&["validate", path]).stdout).unwrap();
    assert!(words.contains("service `nobody`"), "{words}");

    std::fs::write(&file, open_spec("checked", "127.0.0.1:9", "50/s", "2s", "gaets: []")).unwrap();
    let output = system.output(&["validate", path]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert_eq!(error.matches("did you mean `gates`?").count(), 1, "{error}");
    assert!(system.record("checked").await.is_none(), "nothing was submitted");
    let listed = system.output(&["ps", "--all"]).stdout;
    assert!(!String::from_utf8_lossy(&listed).contains("checked"));
}

#[test]
fn without_a_server_it_is_checked_against_the_node_that_run_would_bring() {
    let directory = tempfile_directory();
    let file = directory.join("alone.yaml");
    let group = |name: &str| format!("- {{name: {name}, target: 'http://stub/', rate: 60, duration: 1s}}\n");
    let text = format!("groups:\n{}{}", group("a"), group("b"));
    std::fs::write(&file, text).unwrap();
    let validate = |more: &[&str]| {
        let mut command = nuncius();
        command.arg("--data").arg(directory.join("data")).arg("validate").arg(&file).args(more);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, words) = validate(&[]);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("as `nuncius run` would bring one"), "{words}");
    let (code, words) = validate(&["--max-rate", "100"]);
    assert_eq!(code, Some(5), "{words}");
    assert!(words.contains("node client-1: ") && words.contains("120") && words.contains("--max-rate"), "{words}");
    assert!(!directory.join("data").join("nuncius.db").exists(), "nothing is left behind");
    std::fs::remove_dir_all(&directory).unwrap();
}

fn tempfile_directory() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("nuncius-validate-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}
