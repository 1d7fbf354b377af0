//! What leaves the store is what came in.

use crate::common::{Site, batch, event, in_each, record, report, second, spec};
use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::gate::Quantity;
use nuncius_store::{Piece, StepNames, Store, export};

async fn filled(site: &Site) -> Store {
    let store = site.open().await;
    store.upsert_experiment(&record("e1")).await.unwrap();
    store.put_histogram("e1", "browse", "list", Quantity::Response, &[0, 171, 255]).await.unwrap();
    store.add_records(&batch("e1", "n1", 1, 1_000), &StepNames::of(&spec())).await.unwrap();
    store.set_report(&report("e1")).await.unwrap();
    let seconds: Vec<_> = (0..600).map(|at| second("e1", at)).collect();
    for chunk in seconds.chunks(64) {
        let pieces: Vec<_> = chunk.iter().map(Piece::Second).collect();
        store.keep(&pieces).await.unwrap();
    }
    store
}

#[tokio::test]
async fn csv_files_hold_the_exact_numbers() {
    in_each(async |site| {
        let store = filled(site).await;
        let out = site.directory().join("csv");
        let files = export::csv(&store, "e1", &out).await.unwrap();
        let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "experiment.csv",
                "seconds.csv",
                "nodes.csv",
                "events.csv",
                "quantiles.csv",
                "requests.csv",
                "telemetry.csv"
            ]
        );
        let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
        let requests = read("requests.csv");
        let lines: Vec<&str> = requests.split("\r\n").collect();
        assert_eq!(lines.len(), 1_002, "a heading, the rows, and the end of the last one");
        assert_eq!(
            lines[0],
            "node,group,step,index,planned_ns,sent_ns,done_ns,status,outcome,span_id,host,created,sent,done"
        );
        assert_eq!(lines[1], "n1,browse,list,10000,0,,,,censored,ffffffffffffffff,,1767225600.123000,,");
        assert_eq!(
            lines[2],
            "n1,browse,buy,10001,1000000,1000500,5567891,200,succeeded,,10.0.0.7:80,\
         1767225600.124000,1767225600.124000,1767225600.128567"
        );
        assert!(
            read("quantiles.csv").contains(
                "browse,list,response,990,10,0,100,1500.5,9007199254740993,0.99,9007199254740993,true,1,\r\n"
            )
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
    })
    .await;
}

#[tokio::test]
async fn the_json_document_holds_everything() {
    in_each(async |site| {
        let store = filled(site).await;
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
    })
    .await;
}

#[tokio::test]
async fn an_experiment_without_results_can_be_exported() {
    in_each(async |site| {
        let store = site.open().await;
        let mut waiting = record("e2");
        waiting.started_unix_ms = None;
        store.upsert_experiment(&waiting).await.unwrap();
        let mut bytes = Vec::new();
        export::json(&store, "e2", &mut bytes).await.unwrap();
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert!(document["report"].is_null() && document["requests"].as_array().unwrap().is_empty());
        assert_eq!(export::csv(&store, "e2", &site.directory().join("csv")).await.unwrap().len(), 7);
    })
    .await;
}

#[tokio::test]
async fn parquet_files_hold_the_exact_numbers_and_are_the_same_from_each_database() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;
    in_each(async |site| {
        let store = filled(site).await;
        let mut totals = nuncius_stats::Histogram::new();
        for value_ns in [3_000, 3_500, 900_000, 12_345_678, 12_345_678, 4_000_000_000_000] {
            totals.record_ns(value_ns);
        }
        store.put_histogram("e1", "browse", "list", Quantity::Response, &totals.encode_delta()).await.unwrap();
        let mut series = nuncius_store::TelemetrySeries::default();
        store.add_telemetry("e1", &crate::telemetry::samples(), &mut series).await.unwrap();
        let out = site.directory().join("parquet");
        let files = export::parquet(&store, "e1", &out).await.unwrap();
        let names: Vec<_> = files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap()).collect();
        let tables = "requests seconds second_histograms quantities histograms events phases nodes gates";
        assert_eq!(names.join(" "), format!("{tables} samples telemetry report export"));
        let open = |name: &str| {
            let file = std::fs::File::open(out.join(format!("{name}.parquet"))).unwrap();
            SerializedFileReader::new(file).unwrap()
        };
        let requests = open("requests");
        let about = requests.metadata().file_metadata().key_value_metadata().unwrap();
        let about = about.iter().find(|pair| pair.key == "nuncius").unwrap().value.clone().unwrap();
        let about: serde_json::Value = serde_json::from_str(&about).unwrap();
        assert_eq!((&about["verdict"], &about["started_unix_ms"]), (&"fail".into(), &1_767_225_600_123u64.into()));
        assert!(!about.to_string().contains("hunter2"));
        let rows: Vec<_> = requests.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1_000);
        assert_eq!((rows[0].get_string(9).unwrap().as_str(), rows[0].is_null(5).unwrap()), ("ffffffffffffffff", true));
        let second = &rows[1];
        assert_eq!((second.get_string(2).unwrap().as_str(), second.get_long(3).unwrap()), ("buy", 10_001));
        assert_eq!((second.get_long(5).unwrap(), second.get_long(6).unwrap()), (1_000_500, 5_567_891));
        assert_eq!((second.get_long(7).unwrap(), second.is_null(9).unwrap()), (200, true));
        let buckets: Vec<_> = open("histograms")
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap())
            .map(|row| (row.get_long(3).unwrap(), row.get_long(4).unwrap(), row.get_long(5).unwrap()))
            .collect();
        assert_eq!(buckets[..2], [(3_000, 3_999, 2), (900_000, 900_999, 1)]);
        assert!(buckets[2].0 <= 12_345_678 && 12_345_678 <= buckets[2].1 && buckets[2].2 == 2, "{buckets:?}");
        assert_eq!(buckets[3], (3_600_000_001_000, 4_000_000_000_000, 1));
        assert_eq!(open("seconds").metadata().file_metadata().num_rows(), 1_200);
        let quantity = open("quantities").get_row_iter(None).unwrap().next().unwrap().unwrap();
        assert_eq!((quantity.get_long(3).unwrap(), quantity.get_long(4).unwrap()), (6, 1));
        assert_eq!((quantity.get_long(5).unwrap(), quantity.get_long(7).unwrap()), (3_000, 4_000_000_000_000));
        assert_eq!(quantity.get_bytes(8).unwrap().data(), totals.encode_delta());
        let histograms = open("second_histograms");
        assert_eq!(histograms.metadata().file_metadata().num_rows(), 1_200);
        let listed: serde_json::Value =
            serde_json::from_slice(&std::fs::read(out.join("export.json")).unwrap()).unwrap();
        assert_eq!((&listed["format"], &listed["experiment"]), (&"nuncius-export.v1".into(), &about));
        assert_eq!(listed["files"].as_array().unwrap().len(), names.len() - 1);
        assert_eq!(open("nodes").metadata().file_metadata().num_rows(), 2);
        let telemetry = i64::try_from(store.telemetry_rows("e1").await.unwrap()).unwrap();
        assert_eq!(open("telemetry").metadata().file_metadata().num_rows(), telemetry);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn galileos_files_have_the_columns_that_its_notebooks_read() {
    in_each(async |site| {
        let store = filled(site).await;
        let mut series = nuncius_store::TelemetrySeries::default();
        store.add_telemetry("e1", &crate::telemetry::samples(), &mut series).await.unwrap();
        let pairs = [("name", "pod/running"), ("value", r#"{"name": "e1-pod, one"}"#), ("who", "ci")];
        let mark = ExperimentEvent {
            kind: EventKind::User,
            status: None,
            data: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..event("e1", 1_767_225_600_500, "pod/running: …")
        };
        let bare = ExperimentEvent {
            data: [("name".to_owned(), "drained".to_owned())].into(),
            at_unix_ms: 1_767_225_600_501,
            ..mark.clone()
        };
        store.keep(&[Piece::Event(&mark), Piece::Event(&bare)]).await.unwrap();
        let out = site.directory().join("galileo");
        export::galileo(&store, "e1", &out).await.unwrap();
        let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
        let heading = |name: &str| read(name).lines().next().unwrap().to_owned();
        assert_eq!(heading("experiment.csv"), "EXP_ID,NAME,CREATOR,START,END,CREATED,STATUS,metadata");
        assert_eq!(heading("nodeinfo.csv"), "EXP_ID,NODE,INFO_KEY,INFO_VALUE");
        assert_eq!(heading("events.csv"), ",ts,name,exp_id,value");
        assert_eq!(heading("telemetry.csv"), "ts,exp_id,metric,subsystem,node,value,ts");
        let raw = "request_id,client,service,created,sent,done,status,server,exp_id,headers,response";
        assert_eq!(heading("raw_traces.csv"), raw);
        let derived = "rtt,final_server,origin_zone,origin_cluster,latency,exec,start,end";
        assert_eq!(heading("traces.csv"), format!("{raw},{derived}"));
        let experiment = read("experiment.csv");
        assert!(experiment.contains("e1,checkout,alice,1767225600.123,1767225611.000,1767225590.000,FINISHED,"));
        // The user's own metadata are at the top, as Galileo's are.
        assert!(experiment.contains(r#"""note"":""a, b"",""nuncius"":{"#), "{experiment}");
        assert!(experiment.contains(r#"""round"":""1"""#), "{experiment}");
        let events = read("events.csv");
        assert!(
            events.contains(",1767225600.500,pod/running,e1,\"{\"\"name\"\": \"\"e1-pod, one\"\"}\"\r\n"),
            "{events}"
        );
        assert!(events.contains(",1767225600.501,drained,e1,\r\n"), "{events}");
        let nodes = read("nodeinfo.csv");
        for row in [
            "e1,n1,labels,\"{\"\"zone\"\":\"\"a\"\"}\"",
            "e1,n2,arch,aarch64",
            "e1,n2,cpus,4",
            "e1,n2,ram,8388608",
            "e1,n2,boot,1767000000",
            "e1,n2,disk,mmcblk0 sda",
            "e1,n2,netspeed,",
            "e1,target,labels,{}",
            "e1,target,cpus,2",
            "e1,target,hostname,target.example",
        ] {
            assert!(nodes.contains(&format!("\r\n{row}\r\n")), "{row}: {nodes}");
        }
        assert_eq!(nodes.lines().count(), 1 + 4 * 15, "each key of each node once: {nodes}");
        let traces = read("traces.csv");
        assert_eq!(traces.lines().count(), 1_001);
        assert!(
            traces.contains(
                "n1:browse:10001:buy,n1:browse:0,browse,1767225600.124000,1767225600.124000,1767225600.128567,200,\
             10.0.0.7:80,e1,{},,0.004567,10.0.0.7:80,a,,,,,"
            ),
            "{traces}"
        );
        assert!(traces.contains("1767225600.123000,-1,-1,-1,,e1,"), "{traces}");
        store.close().await;
    })
    .await;
}
