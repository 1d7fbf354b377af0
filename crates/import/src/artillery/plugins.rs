//! Plugins, and other sections of `config` that are not about users.

use serde::Serialize;

use super::ensure::{self, Ensure};
use super::state::State;
use super::view::{View, shown};
use super::{config::Config, expect};

/// How requests are named in metrics by endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ByEndpoint {
    /// By their `name` alone, where they have one.
    pub names_only: bool,
    /// Without their query.
    pub strips_query: bool,
    /// Those without a `name` not at all.
    pub ignores_unnamed: bool,
    /// What stands before.
    pub prefix: String,
}

impl Default for ByEndpoint {
    fn default() -> Self {
        // As it is where the file says nothing of the plugin.
        Self { names_only: false, strips_query: true, ignores_unnamed: false, prefix: BY_ENDPOINT.to_owned() }
    }
}

/// What stands before metrics by endpoint.
const BY_ENDPOINT: &str = "plugins.metrics-by-endpoint";

/// What plugins bring.
#[derive(Debug, Default)]
pub(crate) struct Plugins {
    pub(crate) ensure: Vec<Ensure>,
    pub(crate) apdex_threshold_ms: Option<f64>,
    pub(crate) by_endpoint: ByEndpoint,
    pub(crate) hidden: Vec<String>,
}

/// How long a satisfied user waits unless the file says otherwise, in milliseconds.
const APDEX_DEFAULT_MS: f64 = 500.0;

/// Reads `config.plugins`, `config.ensure` and `config.apdex`.
pub(crate) fn read(state: &mut State<'_, '_>, view: &View<'_>, config: &mut Config) -> Plugins {
    // The plugin is there where nobody has named it, too, but shows nothing.
    let mut made = Plugins { hidden: vec![BY_ENDPOINT.to_owned()], ..Plugins::default() };
    let section = |key: &str| view.get(key).filter(|section| !section.is_nothing());
    if let Some(apdex) = section("apdex") {
        made.apdex_threshold_ms = Some(threshold(state, &apdex));
    }
    let ensure = section("ensure");
    if let Some(ensure) = &ensure {
        state.ledger.supported(ensure.spot());
        made.ensure = ensure::read(state, ensure);
    }
    let Some(plugins) = section("plugins") else { return made };
    state.ledger.supported(plugins.spot());
    if plugins.get("metrics-by-endpoint").is_some() {
        made.hidden.clear();
    }
    for (name, plugin) in plugins.entries() {
        if plugin.get("suppressOutput").and_then(|flag| flag.boolean()) == Some(true) {
            made.hidden.push(format!("plugins.{name}"));
        }
        match name {
            "expect" => {
                state.ledger.supported(plugin.spot());
                config.expect = Some(expect::options(state, &plugin));
                state.differs(
                    "`expect`: a failed expectation fails nothing in the experiment itself, where checks are counted; \
                     `nuncius run` of the file ends with code 21, as Artillery does",
                );
            }
            "ensure" => {
                state.ledger.supported(plugin.spot());
                if ensure.is_some() {
                    state.ledger.warn(plugin.spot(), "`config.ensure` goes before it");
                } else {
                    made.ensure = ensure::read(state, &plugin);
                }
            }
            "apdex" => {
                let own = threshold(state, &plugin);
                made.apdex_threshold_ms.get_or_insert(own);
            }
            "metrics-by-endpoint" => made.by_endpoint = by_endpoint(state, &plugin),
            "publish-metrics" => publish(state, &plugin),
            "fake-data" => {
                let note = "data is not made up here: put it into a file of rows (`config.payload`)";
                state.ledger.refused(plugin.spot(), note);
            }
            "slack" => all_of(state, &plugin, "nobody is told by message: the report and the exit code tell"),
            "memory-inspector" => {
                all_of(state, &plugin, "`telemetry` of the specification records what nodes and servers use");
            }
            other => {
                let note = format!("the plugin `{}` is not known, and code of others is not run", shown(other));
                state.ledger.refused(plugin.spot(), note);
            }
        }
    }
    made
}

fn threshold(state: &mut State<'_, '_>, view: &View<'_>) -> f64 {
    let mut threshold = APDEX_DEFAULT_MS;
    for (key, inner) in view.entries() {
        match key {
            "threshold" => {
                threshold = state.known_number(&inner).unwrap_or(APDEX_DEFAULT_MS);
                state.ledger.supported(inner.spot());
            }
            other => state.ledger.unknown(inner.spot(), other, &["threshold"]),
        }
    }
    state.ledger.supported(view.spot());
    threshold
}

fn by_endpoint(state: &mut State<'_, '_>, view: &View<'_>) -> ByEndpoint {
    const KNOWN: [&str; 6] = [
        "useOnlyRequestNames",
        "stripQueryString",
        "ignoreUnnamedRequests",
        "metricsNamespace",
        "groupDynamicURLs",
        "suppressOutput",
    ];
    let mut made = ByEndpoint { strips_query: false, ..ByEndpoint::default() };
    for (key, inner) in view.entries() {
        let flag = inner.boolean().unwrap_or(false);
        match key {
            "useOnlyRequestNames" => made.names_only = flag,
            "stripQueryString" => made.strips_query = flag,
            "ignoreUnnamedRequests" => made.ignores_unnamed = flag,
            "metricsNamespace" => made.prefix = inner.text().unwrap_or(made.prefix),
            "groupDynamicURLs" => {
                if !flag {
                    let note = "steps are told apart by how they are written, not by what their variables made of them";
                    state.ledger.approximated(inner.spot(), note);
                }
            }
            "suppressOutput" => {}
            other => {
                state.ledger.unknown(inner.spot(), other, &KNOWN);
                continue;
            }
        }
        state.ledger.supported(inner.spot());
    }
    state.ledger.supported(view.spot());
    made
}

/// Who else is told of metrics and traces: that is for the gateway to do, for every run alike.
fn publish(state: &mut State<'_, '_>, view: &View<'_>) {
    const KNOWN: [&str; 13] = [
        "open-telemetry",
        "prometheus",
        "datadog",
        "newrelic",
        "statsd",
        "influxdb-statsd",
        "cloudwatch",
        "honeycomb",
        "lightstep",
        "mixpanel",
        "splunk",
        "dynatrace",
        "new-relic",
    ];
    state.ledger.supported(view.spot());
    for reporter in view.listed() {
        let kind = reporter.get("type").and_then(|kind| kind.text()).unwrap_or_default();
        match kind.as_str() {
            "open-telemetry" => all_of(
                state,
                &reporter,
                "metrics, traces and logs of every run leave by OTLP: the gateway sends them to \
                 OTEL_EXPORTER_OTLP_ENDPOINT (docs/observability.md)",
            ),
            "prometheus" => all_of(
                state,
                &reporter,
                "nothing is pushed: Prometheus reads /metrics of the gateway (docs/observability.md)",
            ),
            kind if KNOWN.contains(&kind) => all_of(
                state,
                &reporter,
                "it is not spoken here: send OTLP from the gateway to what it reads (docs/observability.md)",
            ),
            other => state.ledger.refused(reporter.spot(), format!("`{}` is no kind of reporter", shown(other))),
        }
    }
}

/// Says the same of a piece and of all keys in it.
pub(crate) fn all_of(state: &mut State<'_, '_>, view: &View<'_>, note: &str) {
    state.ledger.approximated(view.spot(), note);
    for (_, inner) in view.entries() {
        all_of(state, &inner, note);
    }
    for inner in view.items() {
        if inner.is_map() || inner.is_list() {
            all_of(state, &inner, note);
        }
    }
}
