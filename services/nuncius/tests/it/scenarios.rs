//! The examples of scenarios run as they are, and what their reports say is what the target has counted.

use std::path::Path;

use nuncius_emulator::stub::StubStats;
use nuncius_schemas::report::{Report, StepReport, WarmUpReport};

use crate::harness::{System, beside_others, stub_stats};

/// A run of an example, and what the stub that it went to has counted.
struct Shown {
    report: Report,
    counted: StubStats,
}

impl Shown {
    /// Runs an example on two nodes, as a user does.
    async fn run(example: &str) -> Self {
        let mut system = System::start(2).await;
        let address = system.start_stub(&[]);
        let set = system.output(&["route", "set", "stub", &address]);
        assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/examples").join(example);
        let report = system.directory.path().join("report.json");
        let arguments = ["run", "--report-json", report.to_str().unwrap(), file.to_str().unwrap()];
        let output = system.output(&arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // Noise may decide the verdict on a busy machine, never what was sent and answered.
        assert!(matches!(output.status.code(), Some(0 | 1 | 3 | 4)), "{example}: {said}");
        let report: Report = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        for step in report.groups.iter().flat_map(|group| &group.steps) {
            assert_eq!((step.failed, step.censored), (0, 0), "{example}: {}: {:?}\n{said}", step.name, step.failures);
            assert!(step.succeeded > 0, "{example}: {}: {said}", step.name);
            for check in &step.checks {
                let is_time = check.name.contains("time");
                assert!(check.passed > 0 && (check.failed == 0 || is_time), "{example}: {check:?}");
            }
        }
        let shown = Self { report, counted: stub_stats(&address) };
        assert_eq!(shown.sent_by(|_| true) + shown.redirects(), shown.counted.requests - shown.beside());
        shown
    }

    fn steps(&self) -> impl Iterator<Item = &StepReport> {
        self.report.groups.iter().flat_map(|group| &group.steps).filter(|step| !step.is_iteration)
    }

    fn sent_by(&self, is_meant: impl Fn(&str) -> bool) -> u64 {
        self.steps().filter(|step| is_meant(&step.name)).map(|step| step.sent).sum()
    }

    /// What began before anything counted.
    fn warm_up(&self) -> WarmUpReport {
        self.report.groups.iter().find_map(|group| group.warm_up.clone()).unwrap_or_default()
    }

    /// Requests that belong to no step: tokens that are fetched for all, what is done once, what is warm-up.
    fn beside(&self) -> u64 {
        let once = |group: &nuncius_schemas::spec::Group| group.before.len() + group.after.len();
        let once = self.report.spec.iter().flat_map(|spec| &spec.groups).map(once).sum::<usize>() as u64;
        self.counted.path("token") + once + self.warm_up().sent + self.warm_up().redirects
    }

    fn redirects(&self) -> u64 {
        self.steps().map(|step| step.redirects).sum()
    }

    /// What steps say that they have sent is what was counted of a kind.
    fn assert_counted(&self, steps: &[&str], kind: &str) {
        assert_eq!(self.sent_by(|name| steps.contains(&name)), self.counted.path(kind), "{kind}: {:?}", self.counted);
        assert!(self.counted.path(kind) > 0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_that_logs_in_shows_its_token_everywhere() {
    let _turn = beside_others().await;
    let shown = Shown::run("scenario-login.yaml").await;
    shown.assert_counted(&["log in"], "login");
    shown.assert_counted(&["account"], "account");
    shown.assert_counted(&["log out"], "logout");
    assert_eq!((shown.counted.path("login"), shown.counted.unauthorized), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_shop_has_three_who_look_for_one_who_buys() {
    let _turn = beside_others().await;
    let shown = Shown::run("scenario-shop.yaml").await;
    shown.assert_counted(&["look/list", "buy/list"], "items");
    shown.assert_counted(&["look/item"], "item");
    shown.assert_counted(&["buy/cart"], "cart");
    shown.assert_counted(&["buy/order"], "order_made");
    shown.assert_counted(&["buy/receipt"], "order");
    let sent = |name: &str| shown.sent_by(|step| step == name);
    // Drawn from the seed: one of four, and a receipt for about half of them.
    let visitors = sent("look/list") + sent("buy/list");
    assert!((visitors / 8..visitors / 2).contains(&sent("buy/order")), "{} of {visitors}", sent("buy/order"));
    assert!(sent("buy/receipt") < sent("buy/order"));
    assert!((sent("look/list")..=3 * sent("look/list")).contains(&sent("look/item")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_with_hooks_counts_what_its_script_fetches() {
    let _turn = beside_others().await;
    let shown = Shown::run("scenario-hook.yaml").await;
    shown.assert_counted(&["list"], "items");
    shown.assert_counted(&["choose"], "item");
    shown.assert_counted(&["next"], "order_made");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_http_2_has_one_connection_for_each_user_and_follows_redirects() {
    let _turn = beside_others().await;
    let shown = Shown::run("scenario-http2.yaml").await;
    let sent = shown.sent_by(|step| step == "page");
    let warm_up = shown.warm_up();
    assert!(sent > warm_up.iterations && warm_up.iterations > 0 && warm_up.failed == 0, "{warm_up:?}");
    // Two redirects before each page, and every request on a connection of its user: twenty of them, on two nodes.
    assert_eq!((shown.redirects(), warm_up.redirects), (2 * sent, 2 * warm_up.iterations));
    assert_eq!(shown.counted.path("redirect"), 2 * (sent + warm_up.iterations));
    assert_eq!(shown.counted.http2, shown.counted.requests);
    assert_eq!(shown.counted.compressed, shown.counted.requests - shown.counted.path("redirect"));
    assert!(shown.counted.connections_accepted <= 20 + 10, "{:?}", shown.counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_directory_has_its_rows_and_its_script_on_every_node() {
    let _turn = beside_others().await;
    let shown = Shown::run("members").await;
    shown.assert_counted(&["account"], "account");
    shown.assert_counted(&["order"], "order_made");
    assert_eq!((shown.counted.path("login"), shown.counted.path("logout"), shown.counted.unauthorized), (1, 1, 0));
    let spec = shown.report.spec.as_ref().unwrap();
    assert_eq!(spec.bundle.as_ref().map(|bundle| bundle.name.as_str()), Some("members"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_oauth_2_has_few_tokens_and_no_request_without_one() {
    let _turn = beside_others().await;
    let shown = Shown::run("scenario-oauth2.yaml").await;
    shown.assert_counted(&["orders"], "account");
    assert_eq!(shown.counted.unauthorized, 0);
    assert!((1..=10).contains(&shown.counted.path("token")), "{:?}", shown.counted);
}
