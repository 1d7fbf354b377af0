//! Every call of the shell does what it says; a script in the order in which Galileo's are written runs to its end.

use std::path::Path;

use nuncius_schemas::amendment::Change;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::run::RunStatus;
use nuncius_schemas::spec::{RecordsMode, TelemetrySpec};

use crate::harness::{System, beside_others, stub_stats};
use crate::shell::{begun, typed};
use crate::telemetry::host;

/// A node of zone A whose machine is sampled, and a stub.
async fn place() -> (System, String) {
    let mut system = System::start(0).await;
    system.start_client("a", &["--label", "zone=A"]);
    system.wait_for_nodes(2).await;
    let address = system.start_stub(&[]);
    assert!(system.output(&["telemetry", "show", "--wait", "60s"]).status.success());
    (system, address)
}

/// What a script says that runs to its end.
fn said(system: &System, script: &str) -> String {
    let output = typed(system, &[], script.as_bytes());
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(err, "", "nothing is amiss: {out}");
    out
}

/// The usual order of Galileo's experiments.
const USUAL: &str = "\
g.discover()
g.start_tracing()
telemd.start_telemd()
exp.start('edge', creator='me', metadata={'round': 1})
exp.event('pod/running', '{\"podUid\": \"1\"}')
rtbl.set('shop', ['ADDRESS'])
c = g.spawn('shop', 2, worker_labels={'galileo_zone': 'A'})
w = c.request(n=20, ia=0.05)
w.wait()
sleep(0.1)
g.stop_tracing()
telemd.stop_telemd()
exp.stop()
exp.start('untraced')
c.request(10).wait()
exp.stop()
";

#[tokio::test(flavor = "multi_thread")]
async fn a_script_in_galileos_order_runs_to_its_end_and_leaves_traces_telemetry_and_its_first_event() {
    let _turn = beside_others().await;
    let (system, address) = place().await;
    let before = nuncius_clock::unix_ms();
    let said = said(&system, &USUAL.replace("ADDRESS", &address));
    let ids = begun(&said);
    assert_eq!(ids.len(), 2, "{said}");
    let report = system.report(ids[0]).await;
    assert_eq!((report.status, report.groups[0].steps[0].sent), (RunStatus::Finished, 40), "{said}");
    let marks: Vec<_> = report.events.iter().filter(|event| event.kind == EventKind::User).collect();
    assert_eq!(marks.len(), 1, "{marks:?}");
    let (name, value) = (marks[0].data["name"].as_str(), marks[0].data["value"].as_str());
    assert_eq!((name, value), ("pod/running", r#"{"podUid": "1"}"#));
    // When it was said, not when the experiment began.
    assert!(before <= marks[0].at_unix_ms && marks[0].at_unix_ms <= report.submitted_unix_ms, "{marks:?}");

    let directory = system.directory.path().join("galileo");
    let exported = system.output(&["export", ids[0], "--galileo", directory.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let lines = |name: &str| lines_of(&directory.join(name));
    assert_eq!(lines("traces.csv").len(), 1 + 40, "a trace of each request");
    assert!(lines("telemetry.csv").iter().any(|line| line.contains(&format!(",load1,,{},", host()))));
    let event = format!(r#",pod/running,{},"{{""podUid"": ""1""}}""#, ids[0]);
    assert!(lines("events.csv").iter().any(|line| line.ends_with(&event)), "{:?}", lines("events.csv"));
    assert!(lines("experiment.csv")[1].contains(r#"""round"":""1"""#));
    let processors = std::fs::read_to_string("/proc/stat").unwrap().matches("\ncpu").count();
    let architecture = rustix::system::uname().machine().to_string_lossy().into_owned();
    for row in
        [format!("a,cpus,{processors}"), format!("a,arch,{architecture}"), format!("{},cpus,{processors}", host())]
    {
        assert!(lines("nodeinfo.csv").contains(&format!("{},{row}", ids[0])), "{row}: {:?}", lines("nodeinfo.csv"));
    }

    let spec = system.record(ids[1]).await.unwrap().spec;
    assert_eq!((spec.records, spec.telemetry), (RecordsMode::None, Some(TelemetrySpec::all())));
    let second = system.report(ids[1]).await;
    assert!(second.events.iter().all(|event| event.kind != EventKind::User), "the mark was of the first alone");
}

fn lines_of(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.split_terminator("\r\n").map(str::to_owned).collect()
}

/// Every call but those of the README's session.
const CALLS: &str = "\
rtbl.set('shop', ['ADDRESS'])
rtbl.append('shop', '127.0.0.1:9', 0.5)
rtbl.update_weights('shop', [1, 0])
rtbl.record('shop')
rtbl.set('other', 'h:80', 2)
rtbl.records()
rtbl.remove('other')
rtbl.print()
g.workers()
g.ping()
g.workers_info()
telemd.list_telemd_hosts()
telemd.stop_telemd(['HOST'])
telemd.start_telemd()
exp.start()
c = g.spawn('shop', 2, parameters={'path': '/p', 'kwargs': {'params': {'q': 'a b'}, 'timeout': 5}})
g.clients()
show.clients()
w = c.request(n=1000, ia=0.1)
c.pause()
c.resume()
w.wait(timeout=0.5, abort_after_timeout=False)
c.info()
show.info()
x = c.request(ia=[0.1, 0.2, 0.1])
x.wait()
y = c.request(n=1000, ia=0.05)
y.wait(timeout=0.5)
z = c.request(ia=0.05)
z.abort()
c.close(1)
c
exp.stop()
rtbl.clear()
rtbl
";

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_the_shell_does_what_it_says() {
    let _turn = beside_others().await;
    let (system, address) = place().await;
    let said = said(&system, &CALLS.replace("ADDRESS", &address).replace("HOST", &host()));
    let ids = begun(&said);
    assert_eq!(ids.len(), 4, "{said}");
    let record =
        |hosts: &str, weights: &str| format!("RoutingRecord(service='shop', hosts=[{hosts}], weights=[{weights}])");
    let both = format!("'{address}', '127.0.0.1:9'");
    let empty = "| Service                   |                Hosts |   Weights |\n\
                 +---------------------------+----------------------+-----------+\n";
    for words in [
        format!("{}\n", record(&format!("'{address}'"), "1")),
        format!("|                           | {:>20} |       0.5 |\n", "127.0.0.1:9"),
        format!("{}\n", record(&both, "1, 0")),
        "RoutingRecord(service='other', hosts=['h:80'], weights=[2])\n".to_owned(),
        "['a']\n['a']\n[{'name': 'a', 'host': '".to_owned(),
        "'labels': {'zone': 'A'}".to_owned(),
        format!("['{}']\n", host()),
        "experiment started\n".to_owned(),
        "c1: 2 clients of shop\n".to_owned(),
        format!("{}: not answered within 0.5 s, goes on\n", ids[0]),
        "closing 1 clients of c1\nc1: 1 clients of shop\n".to_owned(),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    // Set, and told among the records; taken out by name, and the rest at once.
    assert_eq!(said.matches("service='other'").count(), 2, "{said}");
    assert!(said.ends_with(empty), "{said}");

    // The two tables with numbers: so many requests by then, and none failed.
    let row = "| c1    | 2       | shop    | -             | {'path': '/p', 'kwargs': ";
    let rows: Vec<&str> = said.lines().filter(|line| line.starts_with(row) && line.contains(ids[0])).collect();
    assert_eq!(rows.len(), 2, "{said}");
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert!(cells[7].parse::<u64>().is_ok() && cells[8] == "0", "{row}");
    }

    let mut sent = 0;
    for (index, id) in ids.iter().enumerate() {
        let report = system.report(id).await;
        assert_eq!((report.status, report.name.as_str()), (RunStatus::Finished, *id), "{:?}", report.reasons);
        let step = &report.groups[0].steps[0];
        assert!(step.failed == 0 && step.censored == 0 && (1..1_000).contains(&step.sent), "{id}: {step:?}");
        assert!(said.contains(&format!(", {} requests, 0 failed", step.sent)), "{said}");
        sent += step.sent;
        let spec = system.record(id).await.unwrap().spec;
        assert_eq!(spec.groups[0].steps[0].path.as_deref(), Some("/p?q=a+b"));
        let changes: Vec<Change> = spec.amendments.iter().map(|one| one.change.clone()).collect();
        match index {
            // Work that is given while other work is under way ends it.
            0 => assert_eq!(changes, [Change::Pause, Change::Resume, Change::End]),
            // Each client the times of the list, and no more.
            1 => assert_eq!((step.sent, changes.last()), (6, Some(&Change::End))),
            _ => assert_eq!(changes, [Change::End]),
        }
    }
    assert_eq!(stub_stats(&address).requests, sent, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_shell_does_not_do_is_refused_with_what_to_write_instead() {
    let system = System::start(0).await;
    let script = [
        ("exp.stop()", "no experiment is running: start one with exp.start()"),
        ("exp.event('x', 1)", "exp.start() was not called: there is nothing to mark"),
        ("exp.start('one')", ""),
        ("exp.start('two')", "experiment already running"),
        ("exp.event('', 1)", "event: name: is empty"),
        ("exp.event('kept', 1)", ""),
        ("c = g.spawn('s', 2)", ""),
        ("d = g.spawn('s', 2, client='img')", "client: applications are run as experiments, with `nuncius run`"),
        ("d = c.add(1)", "add: makes no group of its own"),
        ("both = c + c", "groups are not merged"),
        ("c.merge(c)", "write each call for each of them"),
        ("g.clients('a:s:0')", "takes no ids"),
        ("g.request('s')", "write c = g.spawn('shop'), then c.request(1)"),
        ("c.done", "wait() returns once they are answered"),
        ("c.request()", "say how many requests, or `ia`"),
        ("c.pause()", "c1 has no work: give it some with c1.rps(1)"),
        ("c.rps(0)", ""),
        ("c.close(2)", ""),
        ("c.rps(1)", "c1 has no clients: give it some with c1.add(1)"),
        ("g.spawn('s', parameters={'kwargs': {'verify': False}})", "parameters.kwargs"),
        ("exp.stop()", "its events are in no experiment"),
    ];
    let text: String = script.iter().map(|(line, _)| format!("{line}\n")).collect();
    let output = typed(&system, &["--keep-going"], text.as_bytes());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{told}");
    for (number, (line, words)) in (1..).zip(script) {
        let found: Vec<&str> = told.lines().filter(|told| told.contains(&format!(", line {number}: "))).collect();
        match words {
            "" => assert_eq!(found, Vec::<&str>::new(), "{line}: {told}"),
            // What is only said does not fail the line.
            _ if line == "exp.stop()" && number > 1 => assert!(told.contains(words), "{told}"),
            _ => assert!(found.len() == 1 && found[0].contains(words), "{line}: {words}: {told}"),
        }
    }
}
