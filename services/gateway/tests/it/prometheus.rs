//! A real Prometheus reads the page: native histograms and exemplars by protobuf, and what it makes of them is right.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nuncius_schemas::metric::SlowRequest;
use nuncius_schemas::run::{RunRecord, RunStatus};
use nuncius_schemas::second::{ExperimentSecond, GroupSecond, StepSecond};
use nuncius_schemas::spec::{ExperimentSpec, Group};
use nuncius_stats::second::distribution;
use nuncius_stats::{Histogram, Totals};
use nuncius_testkit::TempDir;
use serde_json::Value;

use crate::metrics::{PATIENCE, Running};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A Prometheus that scrapes one address once a second; ends with this.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        let directory = TempDir::new("prometheus").unwrap();
        let configuration = directory.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: nuncius\n  static_configs:\n  - targets: \
             ['{target}']\n"
        );
        std::fs::write(&configuration, text).unwrap();
        // Free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage,native-histograms")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("no Prometheus: run scripts/setup --observe, which installs it");
        Self { child, address, _directory: directory }
    }

    /// The data of an answer, once there are any.
    async fn ask(&self, path: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path);
            let data = answer.as_ref().map_or(&Value::Null, |answer| &answer["data"]);
            let found = data.as_array().or_else(|| data["result"].as_array());
            if found.is_some_and(|found| !found.is_empty()) {
                return data.clone();
            }
            assert!(Instant::now() < deadline, "{path}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nhost: prometheus\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    async fn value(&self, query: &str) -> f64 {
        let data = self.ask(&format!("/api/v1/query?query={}", escaped(query))).await;
        data["result"][0]["value"][1].as_str().unwrap().parse().unwrap()
    }
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        let _ = std::fmt::Write::write_fmt(&mut escaped, format_args!("%{byte:02X}"));
        escaped
    })
}

fn record() -> RunRecord {
    let group = Group { rate: Some("100/s".parse().unwrap()), ..Group::of_target("http://stub/".to_owned()) };
    RunRecord {
        id: "seen".to_owned(),
        stream_sequence: 1,
        status: RunStatus::Running,
        verdict: None,
        reason: None,
        spec: ExperimentSpec::of_groups(vec![group]),
        submitted_unix_ms: nuncius_clock::unix_ms(),
        started_unix_ms: Some(nuncius_clock::unix_ms()),
        ended_unix_ms: None,
        routes: Vec::new(),
        route_changes: 0,
        nodes: Vec::new(),
        nodes_left_out: 0,
        attempt: 1,
        token: 1,
        traceparent: None,
        store: None,
    }
}

/// A second of so many requests of 1 ms to 100 ms, evenly spread, and one of 5 s that has a trace.
fn second(requests: u64) -> (ExperimentSecond, Totals) {
    let mut histogram = Histogram::new();
    (0..requests).for_each(|number| histogram.record_ns(1_000_000 + number * 99_000_000 / requests));
    histogram.record_ns(5_000_000_000);
    let totals = Totals::from(&histogram);
    let step = StepSecond {
        name: "get".to_owned(),
        offered: requests + 1,
        succeeded: requests + 1,
        response: distribution(&totals),
        slowest: vec![SlowRequest {
            trace_id: TRACE.to_owned(),
            span_id: "00f067aa0ba902b7".to_owned(),
            response_ns: 5_000_000_000,
            service_ns: 5_000_000_000,
            done_ns: 5_500_000_000,
            index: 1,
            status: 200,
            failure: None,
            sampled: true,
            node: "n1".to_owned(),
        }],
        ..StepSecond::default()
    };
    let group = GroupSecond { name: "main".to_owned(), open: true, steps: vec![step], ..GroupSecond::default() };
    let told = ExperimentSecond {
        experiment: "seen".to_owned(),
        second: 0,
        first_second: 0,
        revision: 0,
        late: false,
        part: 0,
        parts: 1,
        length_ns: 1_000_000_000,
        at_unix_ns: nuncius_clock::unix_ns() - 6_000_000_000,
        status: RunStatus::Running,
        seconds_total: None,
        groups: vec![group],
        nodes: Vec::new(),
        nodes_left_out: 0,
    };
    (told, totals)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_has_the_quantiles_of_the_report_and_the_trace_of_the_slowest() {
    let running = Running::start(Default::default()).await;
    let names = running.bus.namespace().clone();
    let runs = running.bus.kv(&names.bucket_run()).await.unwrap();
    runs.put("seen", nuncius_schemas::codec::encode(&record()).unwrap().into()).await.unwrap();
    let (told, totals) = second(990);
    running.bus.store_message(&names.experiment_second("seen"), "experiment-second.v1", &told, None).await.unwrap();
    running
        .wait_for("nuncius_experiment_response_seconds_count{experiment=\"seen\",group=\"main\",step=\"get\"} 991")
        .await;
    let prometheus = Prometheus::start(running.address);
    assert_eq!(prometheus.value("histogram_count(nuncius_experiment_response_seconds)").await, 991.0);
    let sum = prometheus.value("histogram_sum(nuncius_experiment_response_seconds)").await;
    assert!((sum - totals.summary().sum_ns as f64 / 1e9).abs() < 1e-6, "{sum}");
    for quantile in [0.1, 0.5, 0.9, 0.99] {
        let query = format!("histogram_quantile({quantile}, nuncius_experiment_response_seconds)");
        let (read, exact) = (prometheus.value(&query).await, totals.quantile_ns(quantile).unwrap() as f64 / 1e9);
        // A native bucket is 2.2 % wide.
        assert!((read / exact - 1.0).abs() < 0.025, "p{quantile}: {read}, and {exact} in the report");
    }
    let counted = prometheus.value("sum(nuncius_experiment_requests_total{outcome=\"succeeded\"})").await;
    assert_eq!(counted, 991.0);
    let now = nuncius_clock::unix_ms() / 1_000;
    let query = escaped("nuncius_experiment_response_seconds");
    let path = format!("/api/v1/query_exemplars?query={query}&start={}&end={}", now - 600, now + 600);
    let exemplars = prometheus.ask(&path).await;
    let exemplar = &exemplars[0]["exemplars"][0];
    assert_eq!(exemplar["labels"]["trace_id"], TRACE, "{exemplars}");
    assert_eq!(exemplar["value"], "5", "{exemplars}");
    drop(prometheus);
    running.stop().await;
}
