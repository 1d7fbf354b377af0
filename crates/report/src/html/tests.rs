use super::*;
use crate::fixture::{checkout, interval};
use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_testkit::{Browser, Scheme};

/// As it is written without a place to look at traces.
fn page(report: &Report) -> String {
    super::page(report, None)
}

const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(1)>";

/// Everything between `<` and `>` that is a tag, with its attributes.
fn tags(page: &str) -> Vec<&str> {
    let body = page.split("<body>").nth(1).unwrap().split("<script>").next().unwrap();
    body.split('<').skip(1).filter_map(|piece| piece.split('>').next()).collect()
}

#[test]
fn the_page_holds_every_section_and_reads_the_same_figures_as_the_text() {
    let page = page(&checkout());
    for piece in [
        "<span class=\"badge pass\">PASS</span><h1>checkout (e12)</h1>",
        "every gate held",
        "Requests per second",
        "Percentiles of browse/get",
        "≥12.3ms",
        "upstream is away",
        "lost: no heartbeat for 10 s",
        "node n2 did not answer",
        "SHOP-12",
        "0af7651916cd43dd8448eb211c80319c",
        crate::text::CLOSED_NOTE,
        "one-sided bounds 11.1ms to 13.5ms",
    ] {
        assert!(page.contains(piece), "{piece} is not on the page");
    }
}

#[test]
fn hostile_text_stays_text() {
    let mut report = checkout();
    report.id = HOSTILE.to_owned();
    report.name = HOSTILE.to_owned();
    report.creator = Some(HOSTILE.to_owned());
    report.version = HOSTILE.to_owned();
    report.schema = HOSTILE.to_owned();
    report.trace_id = Some(HOSTILE.to_owned());
    report.reasons = vec![HOSTILE.to_owned(); 3];
    for group in &mut report.groups {
        group.name = HOSTILE.to_owned();
        group.target = HOSTILE.to_owned();
        for step in &mut group.steps {
            step.name = HOSTILE.to_owned();
            step.failures[0].sample = Some(HOSTILE.to_owned());
            for slow in &mut step.slowest {
                (slow.trace_id, slow.span_id, slow.node) = (HOSTILE.into(), HOSTILE.into(), HOSTILE.into());
            }
        }
    }
    report.gates[0].gate = HOSTILE.to_owned();
    report.gates[0].reason = HOSTILE.to_owned();
    for node in &mut report.nodes {
        node.name = HOSTILE.to_owned();
        node.host = HOSTILE.to_owned();
        node.version = HOSTILE.to_owned();
        node.labels = [(HOSTILE.to_owned(), HOSTILE.to_owned())].into();
        node.lost = Some(HOSTILE.to_owned());
    }
    for event in &mut report.events {
        event.message = HOSTILE.to_owned();
        event.data = [(HOSTILE.to_owned(), HOSTILE.to_owned())].into();
    }
    let spec = report.spec.as_mut().unwrap();
    spec.metadata.insert(HOSTILE.to_owned(), HOSTILE.to_owned());
    let page = super::page(&report, Some(&TraceView::jaeger("http://jaeger:16686").unwrap()));
    assert!(!page.contains("href="), "an id that is none leads nowhere");
    assert_eq!(page.matches("<script").count(), 1, "only the page's own script");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    for tag in tags(&page) {
        // Every second piece is inside quotes, where text belongs.
        let outside: String = tag.split('"').step_by(2).collect();
        assert!(!tag.starts_with("img") && !outside.contains("onerror") && !outside.contains("alert"), "{tag}");
    }
}

#[test]
fn the_page_refers_to_nothing_outside() {
    let page = page(&checkout());
    assert!(!STYLE.contains("@import") && !STYLE.contains("url("));
    assert!(!SCRIPT.contains("://") && !STYLE.contains("://") && !SCRIPT.contains("fetch"));
    for tag in tags(&page) {
        for attribute in ["src=", "href=", "srcset=", "action=", "://"] {
            assert!(!tag.contains(attribute), "{tag}");
        }
    }
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
}

#[test]
fn the_slowest_requests_lead_to_their_traces_where_these_can_be_looked_at() {
    let slowest =
        |page: &str| page.split("Slowest requests").nth(1).unwrap().split("</section>").next().unwrap().to_owned();
    let plain = slowest(&page(&checkout()));
    assert!(plain.contains("812ms") && plain.contains("edge-2") && plain.contains("b7ad6b7169203331"), "{plain}");
    let linked = super::page(&checkout(), Some(&TraceView::jaeger("http://jaeger:16686/").unwrap()));
    let trace = "http://jaeger:16686/trace/0af7651916cd43dd8448eb211c80319c";
    assert!(slowest(&linked).contains(&format!("href=\"{trace}?uiFind=b7ad6b7169203331\"")));
    assert!(linked.contains(&format!("<a href=\"{trace}\"")), "and so does the trace of the whole");
}

#[test]
fn a_report_without_data_still_has_a_page() {
    let mut report = checkout();
    (report.status, report.verdict) = (RunStatus::Failed, None);
    report.reasons = vec!["no node matched".to_owned()];
    report.groups.clear();
    report.gates.clear();
    report.nodes.clear();
    report.intervals.clear();
    report.series.clear();
    report.events.clear();
    report.spec = None;
    (report.started_unix_ms, report.ended_unix_ms) = (None, None);
    let page = page(&report);
    assert!(page.contains("FAILED") && page.contains("no node matched") && page.contains("Nothing was measured"));
    assert!(page.ends_with("</html>\n"));
}

#[test]
fn a_day_of_seconds_and_more_stays_under_two_megabytes() {
    let mut report = checkout();
    report.series.clear();
    report.intervals = (0..100_000).map(interval).collect();
    report.events = (0..10_000)
        .map(|i| ExperimentEvent {
            experiment: "e12".to_owned(),
            at_unix_ms: 1_767_225_600_000 + i,
            kind: EventKind::User,
            message: format!("message {i}"),
            status: None,
            verdict: None,
            data: Default::default(),
        })
        .collect();
    let page = page(&report);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert!(page.contains("100,000 seconds are drawn as points of 84 seconds each"));
    assert!(page.contains("9,500 events are not shown"));
    assert!(page.contains("message 9999<") && !page.contains("message 5000<"));
}

#[test]
fn sixteen_series_of_half_an_hour_stay_under_four_megabytes_and_the_rest_is_told() {
    let mut report = checkout();
    let mut long = report.series[0].clone();
    let thousands = |values: &[u64]| values.iter().copied().cycle().take(1_800).collect::<Vec<u64>>();
    let columns = &mut long.columns;
    columns.second = (0..1_800).collect();
    for column in [&mut columns.offered, &mut columns.succeeded, &mut columns.failed, &mut columns.scheduled] {
        *column = thousands(column);
    }
    (columns.length_ns, columns.offered_ns) = (vec![1_000_000_000; 1_800], vec![1_000_000_000; 1_800]);
    report.series = vec![long; 20];
    let page = page(&report);
    assert!(page.len() < 4_000_000, "{} bytes", page.len());
    assert!(page.contains("Charts over time of 4 further steps are not shown"));
}

/// What the page says of itself: how wide it is, and charts without a size.
const MEASURE: &str = r#"(() => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const root = document.scrollingElement;
  const charts = [...document.querySelectorAll("figure.chart svg")];
  const wide = [...document.querySelectorAll("main *")].filter((element) => {
    const scrolled = element.closest(".scroll, pre");
    return !scrolled && element.getBoundingClientRect().right > root.clientWidth + 1;
  });
  return {
    overflow: root.scrollWidth - root.clientWidth,
    charts: charts.length,
    empty: charts.filter((chart) => chart.getBoundingClientRect().height < 40).length,
    wide: wide.map((element) => element.tagName + "." + element.className).slice(0, 5),
  };
})()"#;

#[test]
fn in_a_browser_the_page_fits_its_window_and_complains_of_nothing() {
    let mut browser = Browser::start().unwrap();
    let directory = nuncius_testkit::TempDir::new("page").unwrap();
    let file = directory.path().join("report.html");
    std::fs::write(&file, page(&checkout())).unwrap();
    for (width, scheme) in [(1400, Scheme::Light), (1400, Scheme::Dark), (400, Scheme::Light), (400, Scheme::Dark)] {
        let opened = browser.open(&file, width, scheme).unwrap();
        let measured = browser.evaluate(MEASURE).unwrap();
        assert_eq!(measured["overflow"], 0, "{width} px: {measured}");
        assert_eq!(measured["wide"], serde_json::json!([]), "{width} px: {measured}");
        assert_eq!(measured["empty"], 0, "{width} px: {measured}");
        assert!(measured["charts"].as_u64() > Some(12), "{measured}");
        assert_eq!(opened, Vec::<String>::new(), "{width} px");
        if let Some(shots) = std::env::var_os("NUNCIUS_SHOTS") {
            let name = format!("report-{width}-{scheme:?}.png").to_lowercase();
            browser.screenshot(&std::path::Path::new(&shots).join(name)).unwrap();
        }
    }
    let paper = directory.path().join("report.pdf");
    browser.print(&paper).unwrap();
    assert!(std::fs::read(&paper).unwrap().starts_with(b"%PDF"));
    if let Some(shots) = std::env::var_os("NUNCIUS_SHOTS") {
        std::fs::copy(&paper, std::path::Path::new(&shots).join("report.pdf")).unwrap();
    }
}
