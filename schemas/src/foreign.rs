//! Test files of other programs, told by what they look like, and what to write here instead.

use crate::tree::Node;

/// How much of a text is looked at, in bytes.
const LOOKED_AT_BYTES: usize = 64 * 1024;

/// A file that another program would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// What it is: "a script of k6".
    pub what: &'static str,
    /// What to do with it, in one line.
    pub advice: String,
}

fn foreign(what: &'static str, instead: &str) -> Foreign {
    let advice = format!("it cannot be run or translated yet; write {instead} (docs/experiment-files.md)");
    Foreign { what, advice }
}

const SCRIPT: &str = "its requests as `groups: [{target: http://HOST/, steps: [{path: /…}]}]`, its virtual users as \
                      `users` with `duration`, its arrivals as `rate` or `stages`, its thresholds as `gates`";

/// A map that belongs to another program.
pub fn of_tree(node: &Node) -> Option<Foreign> {
    let has = |path: &[&str]| path.iter().try_fold(node, |node, key| node.get(key)).is_some();
    if has(&["groups"]) || has(&["instructions"]) || has(&["configuration"]) {
        return None;
    }
    let artillery = has(&["config", "phases"])
        || has(&["config", "target"])
        || has(&["config", "environments"])
        || (has(&["config"]) && has(&["scenarios"]));
    if artillery {
        return Some(Foreign {
            what: "an Artillery script",
            advice:
                "`nuncius run FILE` takes it as it is, `nuncius import FILE --out DIRECTORY` makes an experiment of it \
                     (docs/artillery.md)"
                    .to_owned(),
        });
    }
    if has(&["execution"]) && (has(&["scenarios"]) || has(&["settings"]) || has(&["modules"])) {
        return Some(foreign(
            "a Taurus configuration",
            "`execution` (concurrency, hold-for) as `users` with `duration` of a group, the requests of its scenario \
             as `steps`",
        ));
    }
    if has(&["log", "entries"]) {
        return Some(foreign("a HAR archive", "the requests that matter as `steps` of a group"));
    }
    if has(&["info", "_postman_id"]) || (has(&["info", "schema"]) && has(&["item"])) {
        return Some(foreign("a Postman collection", "its requests as `steps` of a group"));
    }
    if (has(&["openapi"]) || has(&["swagger"])) && has(&["paths"]) {
        return Some(foreign("an OpenAPI document", "the paths that matter as `steps` of a group"));
    }
    if has(&["plan"]) && (has(&["base"]) || has(&["concurrency"])) {
        return Some(foreign(
            "a Drill benchmark",
            "`base` as the `target` of a group, `concurrency` as `users`, `iterations` as it is, `plan` as `steps`",
        ));
    }
    None
}

/// A text that is no experiment at all, but a file of another program.
pub fn of_text(bytes: &[u8]) -> Option<Foreign> {
    let head = bytes.get(..LOOKED_AT_BYTES).unwrap_or(bytes);
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let holds = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let first = text.lines().next().unwrap_or_default();
    if text.starts_with('<') && holds(&["<jmeterTestPlan"]) {
        return Some(foreign(
            "a JMeter test plan",
            "each thread group as a group: its threads as `users`, its samplers as `steps`, its assertions as `expect`",
        ));
    }
    if holds(&["from 'k6", "from \"k6", "require('k6", "require(\"k6"]) {
        return Some(foreign("a script of k6", SCRIPT));
    }
    if holds(&["from locust import", "import locust", "HttpUser"]) {
        return Some(foreign(
            "a Locust file",
            "each user class as a group: its `host` as `target`, its tasks as `steps`, its wait_time as `think_time`, \
             the number of users as `users`",
        ));
    }
    if holds(&["io.gatling", "@gatling.io"]) {
        return Some(foreign("a Gatling simulation", SCRIPT));
    }
    if holds(&["wrk.method", "wrk.body", "wrk.headers", "wrk.format", "wrk.path"]) {
        return Some(foreign("a script of wrk", "its request as the one step of a group with `users` and `duration`"));
    }
    if is_request_line(first) {
        return Some(foreign(
            "a list of Vegeta's targets",
            "each line as a step of a group ({method, path, headers, body}), the rate as `rate` with `duration`",
        ));
    }
    if first.starts_with("curl ") {
        return Some(foreign("a command of curl", "its URL as `target` of a group with `rate` and `duration`"));
    }
    if text.lines().filter(|line| !line.trim().is_empty()).take(1).any(is_url) {
        return Some(foreign("a list of URLs", "their host as `target` of a group and their paths as `steps`"));
    }
    None
}

/// `GET http://host/path`.
fn is_request_line(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default();
    let url = words.next().unwrap_or_default();
    !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase()) && is_url(url)
}

fn is_url(text: &str) -> bool {
    let rest = text.trim().strip_prefix("http://").or_else(|| text.trim().strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}
