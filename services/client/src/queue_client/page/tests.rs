use std::time::{Duration, Instant};

use super::*;
use crate::queue_client::final_report;
use crate::queue_client::statistics::{Ended, Statistics};

const HOSTILE: &str = "<script>alert('1')</script>\"&";

fn success(node: &str, device: &str) -> Ended {
    Ended {
        node: Some(node.to_owned()),
        pod: Some(format!("{node}-pod")),
        device: Some(device.to_owned()),
        wait_seconds: 0.5,
        run_seconds: 0.25,
        total_seconds: 1.0,
        ..Ended::default()
    }
}

fn failure(node: Option<&str>, error: &str) -> Ended {
    Ended { node: node.map(str::to_owned), error: Some(error.to_owned()), ..Ended::default() }
}

fn statistics(all: &[Ended]) -> Statistics {
    let mut statistics = Statistics::new(2);
    for ended in all {
        let begun = statistics.begin(Instant::now());
        statistics.end(begun, ended);
    }
    statistics
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn what_scripts_read_stays_as_it_is() {
    assert_eq!(fails(Output::Plain, 3), "3\n");
    assert_eq!(requests_per_second(Output::Plain, 3.5), "3.500000\n");
    assert_eq!(parallel(Output::Plain, 8), "8\n");
    assert_eq!(reset(Output::Plain), "Reseted\n");
    assert_eq!(fails(Output::Json, 3), "{\"result\": 3, \"info\": \"request failures\"}\n");
    assert_eq!(requests_per_second(Output::Json, 0.5), "{\"result\": 0.5, \"info\": \"requests per second\"}\n");
    assert_eq!(parallel(Output::Json, 8), "{\"result\": 8, \"info\": \"requests in parallel\"}\n");
    assert_eq!(reset(Output::Json), "{\"result\": \"Reseted\", \"info\": \"\"}\n");
    assert!(fails(Output::Html, 3).contains("<p>3 request failures. <a href=\"stats\">"));
    assert!(reset(Output::Html).contains("<p>Reseted. <a href=\"stats\">"));
}

#[test]
fn the_text_of_all_requests_has_counts_rate_and_times() {
    let mut statistics = Statistics::new(2);
    let start = Instant::now();
    let begun = [statistics.begin(start), statistics.begin(start), statistics.begin(start)];
    let [first, second, _third] = begun;
    statistics.end(first, &success("a", "card0"));
    statistics.end(second, &failure(None, "refused"));
    statistics.count_query(true);
    statistics.count_query(false);
    let text = text::overall(&statistics.overall(start + Duration::from_secs(4)));
    let wanted = "
All requests
============

2 requests in parallel.

1 pending, 1 failed (0 timed out) and 1 successful in 4.0 seconds
= 0.25 successful requests per second.

Successful requests, in seconds, max / average / min:
- 0.250 / 0.250 / 0.250 run time
- 0.500 / 0.500 / 0.500 queue wait
- 0.250 / 0.250 / 0.250 communication overhead
p99 / p90 / p50:
- 0.250 / 0.250 / 0.250 run time
- 0.500 / 0.500 / 0.500 queue wait
- 0.250 / 0.250 / 0.250 communication overhead

HTTP queries: 1 completed, 1 rejected.
";
    assert_eq!(text, wanted);
    assert!(!text::overall(&Statistics::new(0).overall(start)).contains("max / average / min"));
}

#[test]
fn the_text_of_nodes_has_bars_with_percent_and_count_most_frequent_device_first() {
    let all = [
        success("long-name", "card1"),
        success("long-name", "card1"),
        success("long-name", "card0"),
        success("b", "x"),
    ];
    let statistics = statistics(&[&all[..], &[failure(Some("b"), "broken"), failure(None, "queue full")]].concat());
    let text = text::nodes(&statistics.nodes());
    let wanted = "
Node statistics
===============

     Node | Successes:
----------+-----------
        b | ############### 25.0% (1)
long-name | ############################################# 75.0% (3)
(no node) |  0.0% (0)

     Node | Failures:
----------+----------
        b | ############################## 50.0% (1)
long-name |  0.0% (0)
(no node) | ############################## 50.0% (1)

Node: b
=======

Device | Successes:
-------+-----------
     x | ############################################################ 100.0% (1)

Run time | Successes:
---------+-----------
to 0.5 s | ############################################################ 100.0% (1)
max / average / min: 0.250 / 0.250 / 0.250 seconds
p99 / p90 / p50: 0.250 / 0.250 / 0.250 seconds

Errors:
- 1: broken

Node: long-name
===============

Device | Successes:
-------+-----------
 card1 | ######################################## 66.7% (2)
 card0 | #################### 33.3% (1)
";
    assert_eq!(text.get(..wanted.len()), Some(wanted), "{text}");
    assert!(text.ends_with("\nNode: (no node)\n===============\n\nErrors:\n- 1: queue full\n"), "{text}");
    assert!(text::pods(&statistics.nodes()).contains("\n  Pod | Successes:\n------+-----------\nb-pod | ####"));
}

#[test]
fn failures_that_all_lack_a_node_are_explained_and_nothing_yet_is_said() {
    let refused = statistics(&[failure(None, "queue full")]);
    assert!(text::nodes(&refused.nodes()).contains("they were refused, or lost on the way"));
    for text in [text::nodes(&Statistics::new(1).nodes()), text::pods(&Statistics::new(1).nodes())] {
        assert!(text.contains("Nothing has ended yet."), "{text}");
    }
}

#[test]
fn nothing_from_outside_is_markup_in_a_page() {
    let statistics = statistics(&[success(HOSTILE, HOSTILE), failure(Some(HOSTILE), HOSTILE)]);
    let nodes_report = statistics.nodes();
    let overall = statistics.overall(Instant::now());
    let pages = [
        nodes(Output::Html, &nodes_report),
        pods(Output::Html, &nodes_report),
        stats(Output::Html, &overall, 8),
        error(Output::Html, HOSTILE),
    ];
    for page in pages {
        assert!(!page.contains("<script") && !page.contains("alert('"), "{page}");
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="), "{page}");
    }
    assert!(error(Output::Html, HOSTILE).contains("ERROR: &lt;script&gt;alert(&#39;1&#39;)"));
}

#[test]
fn json_is_valid_for_whatever_names_there_are() {
    let odd = "a\"b\\c\n\u{0}\u{1b}</script>\u{2028}😀";
    let statistics = statistics(&[success(odd, odd), failure(Some(odd), odd), failure(None, odd)]);
    let report = statistics.nodes();
    let document = json(&nodes(Output::Json, &report));
    assert_eq!(document["result"]["nodes"][0]["successful"], 1);
    assert_eq!(document["result"]["nodes"][0]["run"]["min_seconds"], 0.25);
    assert_eq!(document["result"]["without_node"]["failed"], 1);
    assert_eq!(json(&pods(Output::Json, &report))["result"]["nodes"][0]["pods"]["named"][0]["count"], 1);
    assert_eq!(json(&error(Output::Json, odd))["info"], odd);
    assert_eq!(json(&error(Output::Json, odd))["result"], "ERROR");
    assert_eq!(json(&requests_per_second(Output::Json, f64::NAN))["result"], Value::Null);
    let overall = json(&stats(Output::Json, &statistics.overall(Instant::now()), 8));
    assert_eq!((&overall["result"]["failed"], &overall["result"]["parallel"]), (&2.into(), &2.into()));
}

#[test]
fn the_control_page_changes_by_post_only() {
    let page = stats(Output::Html, &Statistics::new(2).overall(Instant::now()), 8);
    assert_eq!(page.matches("<form ").count(), page.matches("method=\"post\"").count());
    assert!(
        page.contains("max=\"8\" value=\"2\"") && page.contains("href=\"nodes\"") && page.contains("href=\"pods\"")
    );
}

#[test]
fn the_final_report_has_nodes_first_and_then_all_requests() {
    let report = final_report(&statistics(&[success("a", "card0")]));
    let (nodes, all) = (report.find("Node statistics").unwrap(), report.find("All requests").unwrap());
    assert!(nodes < all, "{report}");
}
