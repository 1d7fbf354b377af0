//! What leaves the store is what came in.

use crate::common::{Directory, batch, record, report, second, spec};
use nuncius_schemas::gate::Quantity;
use nuncius_store::{StepNames, Store, export};

async fn filled(directory: &Directory) -> Store {
    let store = Store::open(directory.file()).await.unwrap();
    store.upsert_experiment(&record("e1")).await.unwrap();
    store.put_histogram("e1", "browse", "list", Quantity::Response, &[0, 171, 255]).await.unwrap();
    store.add_records(&batch("e1", "n1", 1, 1_000), &StepNames::of(&spec())).await.unwrap();
    store.set_report(&report("e1")).await.unwrap();
    for at in 0..600 {
        store.put_second(&second("e1", at)).await.unwrap();
    }
    store
}

#[tokio::test]
async fn csv_files_hold_the_exact_numbers() {
    let directory = Directory::new();
    let store = filled(&directory).await;
    let out = directory.path().join("csv");
    let files = export::csv(&store, "e1", &out).await.unwrap();
    let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        ["experiment.csv", "seconds.csv", "nodes.csv", "events.csv", "quantiles.csv", "requests.csv", "telemetry.csv"]
    );
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let requests = read("requests.csv");
    let lines: Vec<&str> = requests.split("\r\n").collect();
    assert_eq!(lines.len(), 1_002, "a heading, the rows, and the end of the last one");
    assert_eq!(lines[0], "node,group,step,index,planned_ns,sent_ns,done_ns,status,outcome,span_id,created,sent,done");
    assert_eq!(lines[1], "n1,browse,list,10000,0,,,,censored,ffffffffffffffff,1767225600.123000,,");
    assert_eq!(
        lines[2],
        "n1,browse,buy,10001,1000000,1000500,5567891,200,succeeded,,\
         1767225600.124000,1767225600.124000,1767225600.128567"
    );
    assert!(
        read("quantiles.csv")
            .contains("browse,list,response,990,10,0,100,1500.5,9007199254740993,0.99,9007199254740993,true,1,\r\n")
    );
    let seconds = read("seconds.csv");
    assert_eq!(seconds.lines().count(), 1_201, "a heading, then a step and the iterations of each second");
    assert!(
        seconds.contains("\r\n2,0,browse,list,false,1000000000,1000000000,0,,100,0,99,1,0,3,0,0,0,,,2001,,"),
        "{seconds}"
    );
    assert!(seconds.contains("\r\n2,0,browse,iteration,true,1000000000,1000000000,0,100,100,0,99,"), "{seconds}");
    assert!(seconds.contains(r#""[{""status"":200,""count"":99}]""#), "{seconds}");
    assert!(read("experiment.csv").contains(",fail,\"p99, \"\"the gate\"\", did not hold\","));
    assert!(read("nodes.csv").contains("n2,host,0.1.0,zone=a,-5,45000,,128,500,210000,0.125,"));
    assert!(read("events.csv").contains("from the report"));
}

#[tokio::test]
async fn the_json_document_holds_everything() {
    let directory = Directory::new();
    let store = filled(&directory).await;
    let mut bytes = Vec::new();
    export::json(&store, "e1", &mut bytes).await.unwrap();
    let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(document["experiment"]["id"], "e1");
    assert_eq!(
        document["report"]["groups"][0]["steps"][0]["quantities"]["response"]["max_ns"],
        9_007_199_254_740_993u64
    );
    assert_eq!(document["histograms"][0]["bytes"], "00abff");
    let seconds = document["seconds"].as_array().unwrap();
    assert_eq!(seconds.len(), 1_200);
    assert_eq!((&seconds[2]["step"], &seconds[2]["offered"]), (&"list".into(), &100.into()));
    assert_eq!(seconds[2]["statuses"][0]["status"], 200);
    let requests = document["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 1_000);
    assert_eq!(requests[1]["done_ns"], 5_567_891);
    assert_eq!(requests[1]["done"], 1_767_225_600.128_567);
    assert_eq!(requests[0]["span_id"], "ffffffffffffffff");
    assert_eq!(document["spec"]["groups"][0]["headers"]["Authorization"], "[redacted]");
    assert!(!String::from_utf8(bytes).unwrap().contains("hunter2"));
}

#[tokio::test]
async fn an_experiment_without_results_can_be_exported() {
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    let mut waiting = record("e2");
    waiting.started_unix_ms = None;
    store.upsert_experiment(&waiting).await.unwrap();
    let mut bytes = Vec::new();
    export::json(&store, "e2", &mut bytes).await.unwrap();
    let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert!(document["report"].is_null() && document["requests"].as_array().unwrap().is_empty());
    assert_eq!(export::csv(&store, "e2", &directory.path().join("csv")).await.unwrap().len(), 7);
}
