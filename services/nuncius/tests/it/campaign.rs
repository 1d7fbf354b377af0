//! A campaign of kills and freezes: whatever is done to whom and when, every run ends, and its report is what the
//! target counted.
//!
//! It is made from a seed, which is printed: `NUNCIUS_SEED` repeats one, `NUNCIUS_KILLS` makes it longer.

use std::time::Duration;

use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_store::Store;
use nuncius_testkit::Recorder;
use rustix::process::Signal;

use crate::harness::{Process, System, beside_others, until};

/// Kills and freezes of the campaign unless NUNCIUS_KILLS says otherwise.
const KILLS: u64 = 100;
/// Runs of one system, whose processes are all there again at the start of each.
const RUN_SECONDS: u64 = 8;

/// Who is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Node(usize),
    Daemon(usize),
    Server,
}

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The processes of a campaign.
struct Stage {
    system: System,
    daemons: Vec<Process>,
    recorder: Recorder,
}

impl Stage {
    async fn set() -> Self {
        let mut system = System::start(3).await;
        // All daemons are ours to kill.
        let first = system.daemon.take().unwrap();
        let second = System::start_second_daemon(&system, "second");
        system.wait_for_nodes(5).await;
        Self { system, daemons: vec![first, second], recorder: Recorder::start().unwrap() }
    }

    fn spec(&self, id: &str) -> String {
        format!(
            "id: {id}\nlag_limit: 1h\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\nhorizon: 3s\nmax_deficit: 1.0\n\
             records: all\ntrace_ratio: 1.0\ndrain: 1s\nservices: {{target: ['{address}']}}\ngates: ['failures < 100%']\n\
             groups:\n- name: open\n  target: http://target/\n  rate: 60/s\n  duration: {RUN_SECONDS}s\n\
             - name: closed\n  target: http://target/\n  users: 6\n  think_time: 100ms\n  duration: {RUN_SECONDS}s\n",
            address = self.recorder.address()
        )
    }

    /// SIGKILL, or SIGSTOP and SIGCONT after a while; whoever was killed is started again after a while.
    async fn disturb(&mut self, victim: Victim, random: &mut fastrand::Rng) {
        let pause = Duration::from_millis(random.u64(100..3_000));
        let is_killed = random.bool();
        match victim {
            Victim::Server if is_killed => {
                self.system.server.kill();
                tokio::time::sleep(pause).await;
                self.system.server.restart().await.unwrap();
            }
            Victim::Server => {
                self.system.server.pause();
                tokio::time::sleep(pause).await;
                self.system.server.resume();
            }
            Victim::Node(index) if is_killed => {
                self.system.clients[index].kill();
                tokio::time::sleep(pause).await;
                let log = self.system.directory.path().join(format!("n{}-again.log", index + 1));
                let mut command = self.system.command(&["client", "--name", &format!("n{}", index + 1)]);
                command.stdout(std::process::Stdio::null());
                self.system.clients[index] = Process::start(&mut command, &log);
            }
            Victim::Node(index) => {
                self.system.clients[index].signal(Signal::STOP);
                tokio::time::sleep(pause).await;
                self.system.clients[index].signal(Signal::CONT);
            }
            Victim::Daemon(index) if is_killed => {
                self.daemons[index].kill();
                tokio::time::sleep(pause).await;
                self.daemons[index] = System::start_second_daemon(&self.system, &format!("again-{index}"));
            }
            Victim::Daemon(index) => {
                self.daemons[index].signal(Signal::STOP);
                tokio::time::sleep(pause).await;
                self.daemons[index].signal(Signal::CONT);
            }
        }
    }

    /// What must hold after a run, whatever was done meanwhile.
    async fn check(&self, id: &str, counted_before: u64) {
        let record = self.system.wait_for_end(id).await;
        if record.status == RunStatus::Failed {
            // It could not be started: nothing was sent.
            assert_eq!(self.recorder.requests(), counted_before, "{id}: {record:?}");
            return;
        }
        let report = self.system.report(id).await;
        let told = format!("{id}: {:?} {:?}\n{:#?}", record.verdict, report.reasons, report.events);
        assert_eq!(record.status, RunStatus::Finished, "{told}");
        let steps = || report.groups.iter().flat_map(|group| &group.steps);
        for step in steps() {
            assert_eq!(step.planned, step.succeeded + step.failed + step.censored, "{told}");
        }
        let sent: u64 = steps().map(|step| step.sent).sum();
        let open = &report.groups[0];
        let scheduled = open.scheduled.unwrap();
        assert_eq!(scheduled, 60 * RUN_SECONDS, "{told}");
        assert!(open.offered <= scheduled, "{told}");
        // Users of a lost node have no schedule: what they had sent since they last told is known to no one but the
        // target, and bounded by what six users can do in a horizon and the second that was not told.
        let most = sent + report.unaccounted + self.untold(&report);
        let counted = until("the target has counted what was sent", async || {
            let counted = self.recorder.requests() - counted_before;
            (counted >= sent).then_some(counted)
        })
        .await;
        assert!(counted <= most, "{sent} to {most} told, {counted} counted; {told}");
        if report.nodes.iter().all(|node| node.lost.is_none()) {
            assert_eq!(counted, sent, "{told}");
        }
        assert_ne!(record.verdict, Some(Verdict::Fail), "the target did nothing wrong; {told}");
        assert_eq!(self.recorder.repeated(), [], "{told}");
    }

    /// Most requests that users of lost nodes may have sent without a word.
    fn untold(&self, report: &nuncius_schemas::report::Report) -> u64 {
        let lost = report.nodes.iter().filter(|node| node.lost.is_some()).count() as u64;
        // Up to six users, ten times a second, for the horizon and two seconds.
        lost * 6 * 11 * 5
    }

    /// Nothing is left: no run under way, no lease, no node at work.
    async fn check_left_nothing(&self, runs: usize) {
        until("nothing is held any more", async || {
            let lease = self.system.bus.kv(&self.system.bus.namespace().bucket_lease()).await.ok()?;
            let keys = lease.keys().await.ok()?;
            let is_free = self.system.nodes().await.iter().all(|node| node.experiment.is_none());
            (is_free && keys.iter().all(|key| !key.starts_with("run."))).then_some(())
        })
        .await;
        let store = Store::open(self.system.data().join("nuncius.db")).await.unwrap();
        let rows = store.list_experiments(10_000).await.unwrap();
        store.close().await;
        assert_eq!(rows.len(), runs, "one row for each run");
        assert!(rows.iter().all(|row| row.status.is_terminal()), "{rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_or_frozen_every_run_ends_with_what_the_target_counted() {
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
        let counted_before = stage.recorder.requests();
        let spec = stage.spec(&id);
        stage.system.publish(spec.as_bytes()).await;
        // Anywhere from before its start to after its end.
        while done < kills && !stage.system.record(&id).await.is_some_and(|record| record.status.is_terminal()) {
            tokio::time::sleep(Duration::from_millis(random.u64(0..1_500))).await;
            let victim = match random.u8(0..7) {
                0..=2 => Victim::Node(random.usize(0..3)),
                3..=5 => Victim::Daemon(random.usize(0..2)),
                _ => Victim::Server,
            };
            println!("{id}: {victim:?}");
            stage.disturb(victim, &mut random).await;
            done += 1;
        }
        stage.check(&id, counted_before).await;
    }
    println!("{done} kills and freezes in {runs} runs");
    stage.check_left_nothing(runs).await;
}
