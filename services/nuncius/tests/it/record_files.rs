//! A run with more request records than its database holds: the rest lies beside it, and goes with it.

use std::path::Path;

use serde_json::Value;

use crate::harness::{System, beside_others, nuncius, open_spec, until};

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_beyond_the_bound_of_a_daemon_are_exported_imported_and_removed_with_the_others() {
    let _turn = beside_others().await;
    let mut system = System::start_with(1, Vec::new(), "", &["--database-records", "1000"]).await;
    let address = system.start_stub(&[]);
    let more = "records: all\ngates: ['failures < 20%']";
    system.publish(open_spec("many", &address, "1000/s", "5s", more).as_bytes()).await;
    system.wait_for_end("many").await;
    let directory = system.data().join("nuncius.db-records/many");
    let exported = || {
        let output = system.output(&["export", "many", "--json"]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        document["requests"].as_array().cloned().unwrap_or_default()
    };
    let requests = until("all records are there", async || Some(exported()).filter(|all| all.len() == 5_000)).await;
    assert!(files(&directory) >= 3, "{}", files(&directory));
    let mut indices: Vec<u64> = requests.iter().map(|request| request["index"].as_u64().unwrap()).collect();
    indices.sort_unstable();
    assert!(indices.into_iter().eq(0..5_000), "each once");

    // Into another database, with a bound of its own.
    let (out, there) = (system.directory.path().join("out"), system.directory.path().join("there"));
    assert!(system.output(&["export", "many", "--parquet", out.to_str().unwrap()]).status.success());
    let alone = |arguments: &[&str]| nuncius().arg("--data").arg(&there).args(arguments).output().unwrap();
    let imported = alone(&["import-run", out.to_str().unwrap(), "--database-records", "2000"]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    assert_eq!(files(&there.join("nuncius.db-records/many")), 2);
    let document: Value = serde_json::from_slice(&alone(&["export", "many", "--json"]).stdout).unwrap();
    assert_eq!(document["requests"].as_array().unwrap(), &requests);

    assert!(system.output(&["rm", "many"]).status.success());
    assert!(!directory.exists());
    assert!(alone(&["rm", "many"]).status.success());
    assert!(!there.join("nuncius.db-records").exists());
}
