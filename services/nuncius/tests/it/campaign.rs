//! A campaign of kills and freezes, two at a time: whatever is done to whom and when, every run ends, and its report is
//! what the target counted.
//!
//! It is made from a seed, which is printed: `NUNCIUS_SEED` repeats one, `NUNCIUS_KILLS` makes it longer.

use std::time::{Duration, Instant};

use nuncius_schemas::report::{GroupReport, Report};
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_store::Store;
use nuncius_testkit::Recorder;
use rustix::process::Signal;

use crate::harness::{Process, System, beside_others, until};

/// Kills and freezes of the campaign unless NUNCIUS_KILLS says otherwise.
const KILLS: u64 = 100;
/// How long a run offers load.
const RUN_SECONDS: u64 = 6;
/// Most pairs of kills and freezes while one run is under way: it has to get somewhere now and then.
const PAIRS_MAX: u64 = 5;
/// Longest that a process is away, in milliseconds.
const AWAY_MAX_MS: u64 = 3_000;
/// Users of the closed group, and how many requests one may send in a second.
const USERS: u64 = 6;
const USER_RATE_MAX: u64 = 11;
/// A node without a word may have gone on for its horizon and the second that it had not told, in seconds; and a
/// little.
const UNTOLD_SECONDS: u64 = 5;

/// Who is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Node(usize),
    Daemon(usize),
    Server,
}

/// One thing that is done to somebody.
#[derive(Debug, Clone, Copy)]
struct Disturbance {
    victim: Victim,
    /// SIGKILL and started again, or SIGSTOP and SIGCONT.
    is_killed: bool,
    begins_ms: u64,
    ends_ms: u64,
}

/// Two different processes, and times that overlap.
fn pair(random: &mut fastrand::Rng) -> [Disturbance; 2] {
    let node = random.usize(0..3);
    let daemon = random.usize(0..2);
    let victims = match random.u8(0..6) {
        0 => [Victim::Daemon(daemon), Victim::Daemon(1 - daemon)],
        1 => [Victim::Node(node), Victim::Node((node + random.usize(1..3)) % 3)],
        2 => [Victim::Server, Victim::Node(node)],
        3 => [Victim::Server, Victim::Daemon(daemon)],
        4 => [Victim::Daemon(daemon), Victim::Node(node)],
        _ => [Victim::Node(node), Victim::Daemon(daemon)],
    };
    let away_ms = [random.u64(100..AWAY_MAX_MS), random.u64(100..AWAY_MAX_MS)];
    let second_ms = random.u64(0..away_ms[0]);
    let one = |victim, begins_ms, away_ms, is_killed| Disturbance {
        victim,
        is_killed,
        begins_ms,
        ends_ms: begins_ms + away_ms,
    };
    [one(victims[0], 0, away_ms[0], random.bool()), one(victims[1], second_ms, away_ms[1], random.bool())]
}

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What a run is known to have sent, at least and at most, by path.
struct Told {
    path: String,
    least: u64,
    most: u64,
    text: String,
}

/// The processes of a campaign.
struct Stage {
    system: System,
    daemons: Vec<Process>,
    recorder: Recorder,
    told: Vec<Told>,
}

impl Stage {
    async fn set() -> Self {
        let mut system = System::start(3).await;
        // All daemons are ours to kill.
        let first = system.daemon.take().unwrap();
        let second = System::start_second_daemon(&system, "second");
        system.wait_for_nodes(5).await;
        Self { system, daemons: vec![first, second], recorder: Recorder::start().unwrap(), told: Vec::new() }
    }

    fn spec(&self, id: &str) -> String {
        format!(
            "id: {id}\nlag_limit: 1h\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\nhorizon: 3s\nmax_deficit: 1.0\n\
             records: all\ntrace_ratio: 1.0\ndrain: 1s\nservices: {{target: ['{address}']}}\ngates: ['failures < 100%']\n\
             groups:\n- name: open\n  target: http://target/{id}/open\n  rate: 60/s\n  duration: {RUN_SECONDS}s\n\
             - name: closed\n  target: http://target/{id}/closed\n  users: {USERS}\n  think_time: 100ms\n  \
             duration: {RUN_SECONDS}s\n",
            address = self.recorder.address()
        )
    }

    /// SIGKILL or SIGSTOP.
    fn begin(&mut self, disturbance: &Disturbance) {
        match (disturbance.victim, disturbance.is_killed) {
            (Victim::Server, true) => self.system.server.kill(),
            (Victim::Server, false) => self.system.server.pause(),
            (Victim::Node(index), true) => self.system.clients[index].kill(),
            (Victim::Node(index), false) => self.system.clients[index].signal(Signal::STOP),
            (Victim::Daemon(index), true) => self.daemons[index].kill(),
            (Victim::Daemon(index), false) => self.daemons[index].signal(Signal::STOP),
        }
    }

    /// Whoever was killed is started again; whoever stood still goes on.
    async fn end(&mut self, disturbance: &Disturbance) {
        match (disturbance.victim, disturbance.is_killed) {
            (Victim::Server, true) => self.system.server.restart().await.unwrap(),
            (Victim::Server, false) => self.system.server.resume(),
            (Victim::Node(index), true) => {
                let log = self.system.directory.path().join(format!("n{}-{}.log", index + 1, fastrand::u32(..)));
                let mut command = self.system.command(&["client", "--name", &format!("n{}", index + 1)]);
                command.stdout(std::process::Stdio::null());
                self.system.clients[index] = Process::start(&mut command, &log);
            }
            (Victim::Node(index), false) => self.system.clients[index].signal(Signal::CONT),
            (Victim::Daemon(index), true) => {
                self.daemons[index] = System::start_second_daemon(&self.system, &format!("again-{index}"));
            }
            (Victim::Daemon(index), false) => self.daemons[index].signal(Signal::CONT),
        }
    }

    /// Both at a time.
    async fn disturb(&mut self, pair: &[Disturbance; 2]) {
        let mut steps: Vec<(u64, bool, &Disturbance)> =
            pair.iter().flat_map(|one| [(one.begins_ms, true, one), (one.ends_ms, false, one)]).collect();
        steps.sort_by_key(|(at_ms, ..)| *at_ms);
        let begun = Instant::now();
        for (at_ms, is_begin, disturbance) in steps {
            let left = Duration::from_millis(at_ms).saturating_sub(begun.elapsed());
            tokio::time::sleep(left).await;
            if is_begin {
                self.begin(disturbance);
            } else {
                self.end(disturbance).await;
            }
        }
    }

    /// What must hold after a run, whatever was done meanwhile.
    async fn check(&mut self, id: &str) {
        let record = self.system.wait_for_end(id).await;
        let paths = ["open", "closed"].map(|group| format!("/{id}/{group}"));
        if record.status == RunStatus::Failed {
            // It could not be started: nothing was sent.
            eprintln!("{id}: {:?}", record.reason);
            let text = format!("{id}: {record:?}");
            self.told.extend(paths.map(|path| Told { path, least: 0, most: 0, text: text.clone() }));
            return self.check_told(0);
        }
        let report = self.system.report(id).await;
        let told = format!("{id}: {:?} {:?}\n{:#?}", record.verdict, report.reasons, report.events);
        assert_eq!((record.status, record.verdict), (RunStatus::Finished, report.verdict), "{told}");
        assert_ne!(record.verdict, Some(Verdict::Fail), "the target did nothing wrong; {told}");
        for group in &report.groups {
            let step = &group.steps[0];
            assert_eq!(step.planned, step.succeeded + step.failed + step.censored, "{told}");
            assert!(step.sent <= step.planned, "{told}");
        }
        let [open, closed] = &report.groups[..] else { panic!("two groups: {told}") };
        let scheduled = open.scheduled.unwrap();
        assert_eq!((scheduled, report.scheduled), (60 * RUN_SECONDS, 60 * RUN_SECONDS), "{told}");
        assert_eq!(scheduled - open.offered, report.deficit, "to the request; {told}");
        assert!(report.unaccounted <= report.deficit, "{told}");
        // Users of a lost node have no schedule: what they had sent since they last told is known to no one but the
        // target, and bounded by what they can do in a horizon and the second that was not told.
        let sent = |group: &GroupReport| group.steps[0].sent;
        let lost = lost(&report);
        let untold = [report.unaccounted, lost * USERS * USER_RATE_MAX * UNTOLD_SECONDS];
        let groups = paths.into_iter().zip([open, closed]).zip(untold);
        self.told.extend(groups.map(|((path, group), untold)| {
            // What a lost node had taken when it was last heard of it may have sent since: it is censored.
            let known = if lost > 0 { group.steps[0].planned } else { sent(group) };
            Told { path, least: sent(group), most: known + untold, text: told.clone() }
        }));
        let least = [sent(open), sent(closed)];
        let recorder = &self.recorder;
        until("the target has counted what was sent", async || {
            let counted = ["open", "closed"].map(|group| recorder.requests_for(&format!("/{id}/{group}")));
            (counted[0] >= least[0] && counted[1] >= least[1]).then_some(())
        })
        .await;
        self.check_told(self.told.len() - 2);
    }

    /// Whether the target counted what was told, of the runs from this one on.
    fn check_told(&self, from: usize) {
        for told in &self.told[from..] {
            let counted = self.recorder.requests_for(&told.path);
            let Told { path, least, most, text } = told;
            assert!((*least..=*most).contains(&counted), "{path}: {least} to {most} told, {counted} counted; {text}");
        }
        assert_eq!(self.recorder.repeated(), [], "an arrival was sent twice");
    }

    /// Nothing is left: no run under way, no lease, no node at work, nothing on the bus or on disk that nobody needs.
    async fn check_left_nothing(&mut self, runs: usize) {
        until("nothing is held any more", async || {
            let bus = &self.system.bus;
            let names = bus.namespace();
            let lease = bus.kv(&names.bucket_lease()).await.ok()?;
            let keys = lease.keys().await.ok()?;
            let is_free = self.system.nodes().await.iter().all(|node| node.experiment.is_none());
            (is_free && keys.iter().all(|key| !key.starts_with("run."))).then_some(())
        })
        .await;
        // Whatever a dead daemon has left is swept when the next one looks around.
        self.daemons.clear();
        self.system.start_daemon_with(&["--stream-retention", "1ms"]);
        let bus = &self.system.bus;
        let names = bus.namespace();
        until("no checkpoint, delta or record is on the bus any more", async || {
            let objects = bus.objects(&names.bucket_artifact()).await.ok()?;
            let artifacts = objects.names().await.ok()?;
            let deltas = bus.subjects(&names.stream_metric(), &names.metric_all("*")).await.ok()?;
            let records = bus.subjects(&names.stream_trace(), &names.trace_all("*")).await.ok()?;
            let is_swept = artifacts.iter().all(|name| name.ends_with("-report.json"));
            (is_swept && deltas.is_empty() && records.is_empty()).then_some(())
        })
        .await;
        let data = self.system.data();
        let files = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let unknown: Vec<String> = files.filter(|name| !name.starts_with("nuncius.db")).collect();
        assert_eq!(unknown, Vec::<String>::new(), "nothing but the store is on disk");
        let store = Store::open(data.join("nuncius.db")).await.unwrap();
        let rows = store.list_experiments(10_000).await.unwrap();
        store.close().await;
        assert_eq!(rows.len(), runs, "one row for each run");
        assert!(rows.iter().all(|row| row.status.is_terminal()), "{rows:?}");
    }
}

/// How many nodes were lost.
fn lost(report: &Report) -> u64 {
    report.events.iter().filter(|event| event.message.contains(" was lost: ")).count() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_two_processes_are_killed_or_frozen_every_run_ends_with_what_the_target_counted() {
    let _turn = beside_others().await;
    let seed = number_of("NUNCIUS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = number_of("NUNCIUS_KILLS").unwrap_or(KILLS);
    println!("NUNCIUS_SEED={seed} NUNCIUS_KILLS={kills}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut stage = Stage::set().await;
    let (mut done, mut runs) = (0, 0usize);
    while done < kills {
        runs += 1;
        let id = format!("c{runs}");
        stage.system.wait_for_nodes(5).await;
        let spec = stage.spec(&id);
        stage.system.publish(spec.as_bytes()).await;
        // From before its start to after its end.
        let phases = [RunStatus::Submitted, RunStatus::Planned, RunStatus::Preparing, RunStatus::Running];
        let later = [RunStatus::Draining, RunStatus::Finished];
        let phase = phases.into_iter().chain(later).nth(random.usize(0..6)).unwrap();
        stage.system.wait_for_status(&id, phase).await;
        for number in 0..PAIRS_MAX {
            let pause = Duration::from_millis(random.u64(0..if number == 0 { 300 } else { 1_500 }));
            tokio::time::sleep(pause).await;
            let pair = pair(&mut random);
            println!("{id}, {}, {} ms later: {pair:?}", phase.name(), pause.as_millis());
            stage.disturb(&pair).await;
            done += 2;
            let is_over = stage.system.record(&id).await.is_some_and(|record| record.status.is_terminal());
            if is_over || done >= kills {
                break;
            }
        }
        stage.check(&id).await;
    }
    println!("{done} kills and freezes in {runs} runs");
    stage.check_left_nothing(runs).await;
    // Whoever woke up late has added nothing that was not told.
    stage.check_told(0);
}
