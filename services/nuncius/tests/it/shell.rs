//! The shell: what Galileo's users type is load that the target counts, and experiments in the books.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Output, Stdio};
use std::time::Instant;

use nuncius_schemas::event::EventKind;
use nuncius_schemas::run::RunStatus;
use nuncius_schemas::spec::RecordsMode;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::harness::{PATIENCE, Process, System, beside_others, spawn_stub, stub_stats, until};

/// The README's session of Galileo, names aside.
const SESSION: &str = "\
# the README's session
rtbl.set('myservice', ['FIRST', 'SECOND'], [1, 0.5])
rtbl
exp.start('session', creator='somebody', metadata={'kind': 'readme', 'round': 1})
c = g.spawn('myservice', 3, client=None, parameters={'path': '/?picture=1'}, worker_labels={'galileo_zone': 'A'})
c.rps(5)
sleep(1)
exp.event('x', 1)
c.rps(10)
c.add(2)
sleep(4)
c.info()
c.rps(0)
c.resume()
c.close(1)
c.close()
c.add(3)
w = c.request(n=20, ia=('expovariate', 20))
w.wait()
spawn myservice 2 zone=A as d
v = d.request(50)
v.wait()
rps d 5
sleep 1
exp.stop()
show.clients()
show.workers()
";

/// Two nodes, one of zone A and one of zone B, and two targets.
async fn zones() -> (System, String, (Process, String)) {
    let mut system = System::start(0).await;
    system.start_client("a", &["--label", "zone=A"]);
    system.start_client("b", &["--label", "zone=B"]);
    system.wait_for_nodes(3).await;
    let first = system.start_stub(&[]);
    let second = spawn_stub(system.directory.path(), &[]);
    (system, first, second)
}

/// What a shell says that is given this on standard input.
pub(crate) fn typed(system: &System, arguments: &[&str], text: &[u8]) -> Output {
    let mut command = system.command(&["shell"]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A shell that has ended already reads no more.
    let _ = child.stdin.take().unwrap().write_all(text);
    child.wait_with_output().unwrap()
}

/// The experiments that a shell said it began.
pub(crate) fn begun(said: &str) -> Vec<&str> {
    said.lines()
        .filter(|line| line.contains(" clients of "))
        .filter_map(|line| Some(line.split_once(": ")?.0))
        .filter(|id| id.len() > 3)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_of_galileos_readme_is_load_that_the_targets_counted() {
    let _turn = beside_others().await;
    let (system, first, (_second_stub, second)) = zones().await;
    let file = system.directory.path().join("session.txt");
    std::fs::write(&file, SESSION.replace("FIRST", &first).replace("SECOND", &second)).unwrap();
    let output = system.output(&["shell", "--source", file.to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for words in [
        format!("RoutingRecord(service='myservice', hosts=['{first}', '{second}'], weights=[1, 0.5])"),
        "| Service                   |                Hosts |   Weights |".to_owned(),
        format!("|                           | {second:>20} |       0.5 |"),
        "experiment started\n".to_owned(),
        ": x = 1\n".to_owned(),
        "waiting for experiment to end...\n".to_owned(),
        "\nok\n".to_owned(),
        "\na\nb\n".to_owned(),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    let ids = begun(&said);
    assert_eq!(ids.len(), 4, "{said}");
    let mut sent = 0;
    let mut reports = Vec::new();
    for id in ids {
        let report = system.report(id).await;
        assert_eq!(report.status, RunStatus::Finished, "{:?}", report.reasons);
        assert_eq!((report.name.as_str(), report.creator.as_deref()), ("session", Some("somebody")));
        // Only the node of that zone.
        assert_eq!(report.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["a"]);
        let step = &report.groups[0].steps[0];
        assert_eq!((step.failed, step.censored), (0, 0));
        let verdict = report.verdict.unwrap().name();
        assert!(said.contains(&format!("{id}: {verdict}, {} requests, 0 failed", step.sent)), "{said}");
        sent += step.sent;
        reports.push(report);
    }
    let counted = [stub_stats(&first).requests, stub_stats(&second).requests];
    assert_eq!(counted[0] + counted[1], sent, "{said}");
    // Twice as many to the first, to one request for each experiment.
    assert!(counted[0].abs_diff(2 * counted[1]) <= 8, "{counted:?}");
    assert_eq!(reports[1].groups[0].steps[0].sent, 60, "{said}");
    assert_eq!(reports[2].groups[0].steps[0].sent, 100, "{said}");
    let marks: Vec<&str> = reports[0]
        .events
        .iter()
        .filter(|event| event.kind == EventKind::User)
        .map(|event| event.message.as_str())
        .collect();
    assert!(marks.len() == 1 && marks[0].contains('x'), "{marks:?}");
    let record = system.record(&reports[0].id).await.unwrap();
    let changes: Vec<String> = record.spec.amendments.iter().map(|one| one.change.told()).collect();
    assert_eq!(changes, ["scale 2", "users 5", "pause", "resume", "users 4", "end"]);
    assert_eq!(record.spec.metadata["round"], "1");
    assert_eq!(record.spec.records, RecordsMode::All, "what belongs to exp.start keeps a record of each request");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_line_ends_a_script_with_its_number_and_nothing_panics() {
    let system = System::start(0).await;
    let file = system.directory.path().join("garbage.txt");
    let deep = "[".repeat(60_000);
    for (line, words) in [
        ("g.spawn(".to_owned(), "column 9: a value is missing"),
        ("\u{1b}[31m;;; drop table".to_owned(), "means nothing here"),
        (deep, "at most 32 levels"),
        ("x".repeat(1 << 19), "at most 65536 are taken"),
        ("nobody.rps(1)".to_owned(), "nothing is called `nobody`"),
        ("g.spawn('a b')".to_owned(), "spawn: service:"),
        ("g.spawn('s', num=10**9)".to_owned(), "means nothing here"),
        ("g.spawn('s', 1000000000)".to_owned(), "at most 100000 clients"),
        ("rtbl.set('s', ['h:80'], [1, 2])".to_owned(), "invalid number of weights"),
        ("rtbl.set('s', ['h:80'], [-1])".to_owned(), "a weight is a number from 0"),
        ("rtbl.update_weights('s', [1])".to_owned(), "no service s"),
        ("exp.event('x', 1)".to_owned(), "nothing to mark"),
        ("sleep(-1)".to_owned(), "not negative"),
        ("source /nowhere".to_owned(), "/nowhere"),
        (format!("source {}", file.display()), "8 deep at most"),
    ] {
        std::fs::write(&file, format!("# fine\npwd\n\n{line}\npwd\n")).unwrap();
        let output = system.output(&["shell", "--source", file.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words) && said.contains("garbage.txt, line 4: "), "{line:.80}: {said:.400}");
        assert!(matches!(output.status.code(), Some(5 | 64)), "{line:.80}: {:?}", output.status);
        assert!(!said.contains("panicked"), "{said}");
    }
    let mut text = b"pwd\n".to_vec();
    text.extend(vec![b'x'; 1 << 20]);
    text.extend(b"\n\xff\xfe\npwd\n");
    let output = typed(&system, &["--keep-going"], &text);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), out.lines().count()), (Some(64), 2), "{out} {err}");
    assert!(err.contains("line 2: the line has 1048576 bytes") && err.contains("line 3: "), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_the_shell_ends_what_runs_and_is_told_its_verdict() {
    let _turn = beside_others().await;
    let (system, first, _second) = zones().await;
    let set = system.output(&["route", "set", "shop", &first]);
    assert!(set.status.success());
    let log = system.directory.path().join("shell.log");
    let said = system.directory.path().join("shell.out");
    let mut command = system.command(&["shell", "-c", "spawn shop 2 as c", "-c", "rps c 20", "-c", "sleep 5m"]);
    command.stdout(std::fs::File::create(&said).unwrap());
    let mut shell = Process::start(&mut command, &log);
    system.wait_for_requests(40).await;
    // All nodes are taken: a second group has to wait, and is told so.
    let busy = typed(&system, &[], b"spawn shop 1\nrps c1 1\n");
    let told = String::from_utf8(busy.stderr).unwrap();
    assert!(busy.status.code() == Some(5) && told.contains("line 2: ") && told.contains("worker_labels"), "{told}");
    shell.signal(Signal::INT);
    assert_eq!(shell.child.wait().unwrap().code(), Some(6));
    let said = std::fs::read_to_string(&said).unwrap();
    let id = begun(&said)[0].to_owned();
    let record = until("it has ended", async || system.record(&id).await.filter(|record| record.is_told())).await;
    assert_eq!(record.status, RunStatus::Finished);
    let report = system.report(&id).await;
    let step = &report.groups[0].steps[0];
    assert_eq!(step.sent, stub_stats(&first).requests);
    assert!(said.contains(&format!(", {} requests, 0 failed", step.sent)), "{said}");
    assert!(std::fs::read_to_string(&log).unwrap().contains(&format!("ending what runs: {id}")));
}

/// The master of a terminal, and its other end.
fn terminal() -> (File, File) {
    let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    tcsetwinsize(&master, Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let other = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (File::from(master), other)
}

/// What a terminal is asked before each prompt: where its cursor is.
const ASKED: &str = "\x1b[6n";

/// Reads what is shown up to some words, answering as a terminal does; what is left is what was shown after them.
fn read_until(master: &mut File, shown: &mut String, words: &str) {
    let begun = Instant::now();
    let mut buffer = [0; 65_536];
    while !shown.contains(words) {
        assert!(begun.elapsed() < PATIENCE, "{words} is not shown: {shown}");
        let Ok(length @ 1..) = master.read(&mut buffer) else { panic!("{words} is not shown: {shown}") };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        for _ in text.matches(ASKED) {
            master.write_all(b"\x1b[1;1R").unwrap();
        }
        shown.push_str(&text);
    }
    let end = shown.find(words).unwrap() + words.len();
    *shown = shown.split_off(end);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_words_are_completed_kept_in_the_history_and_ctrl_c_ends_nothing() {
    let system = System::start(0).await;
    let (mut master, other) = terminal();
    let mut command = system.command(&["shell"]);
    command.env("TERM", "xterm").current_dir("/").stdin(other.try_clone().unwrap()).stdout(other.try_clone().unwrap());
    let mut child = command.stderr(other).spawn().unwrap();
    drop(command);
    let mut shown = String::new();
    read_until(&mut master, &mut shown, ASKED);
    for (typed, words) in [
        ("us\t\r", "Objects:"),
        ("nobody.rps(1)\r", "nothing is called `nobody`"),
        ("half a line\x03", ""),
        ("env\r", "data directory"),
    ] {
        master.write_all(typed.as_bytes()).unwrap();
        read_until(&mut master, &mut shown, words);
        read_until(&mut master, &mut shown, ASKED);
    }
    master.write_all(b"\x04").unwrap();
    // The last writer gone, a terminal's master gives an error.
    let mut buffer = [0; 65_536];
    while let Ok(1..) = master.read(&mut buffer) {}
    assert_eq!(child.wait().unwrap().code(), Some(0), "{shown}");
    let history = std::fs::read_to_string(system.data().join("shell-history.txt")).unwrap();
    assert!(history.contains("usage") && history.contains("env"), "{history}");
}
