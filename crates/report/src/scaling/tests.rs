use nuncius_schemas::scaling::{ScalingMeasurement, UslResidual};

use super::*;

const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(1)>";

fn estimate(value: f64, share: f64) -> ScalingEstimate {
    ScalingEstimate { value, lower: Some(value * (1.0 - share)), upper: Some(value * (1.0 + share)) }
}

fn step(workers: u32, rate: f64, outcome: Verdict, reason: &str) -> ScalingStep {
    let measurements = (0..3)
        .map(|repeat| ScalingMeasurement {
            experiment: format!("s12-{workers}-{repeat}"),
            seconds: 10.0,
            succeeded: (rate * 10.0) as u64,
            failed: 0,
            jobs_per_second: rate,
            run_p50_seconds: Some(0.1),
            wait_p50_seconds: None,
        })
        .collect();
    let value = rate / f64::from(workers) / 10.0;
    ScalingStep {
        workers,
        slots: workers,
        measurements,
        jobs_per_second: Some(estimate(rate, 0.02)),
        efficiency: Some(if workers == 1 { estimate(1.0, 0.0) } else { estimate(value, 0.03) }),
        judged: workers <= 4,
        outcome,
        reason: reason.to_owned(),
    }
}

/// A device of four lanes, judged up to four workers.
fn lanes() -> ScalingReport {
    ScalingReport {
        id: "s12".to_owned(),
        queue: "sleep".to_owned(),
        started_unix_ms: 1_767_225_600_000,
        verdict: Verdict::Pass,
        reason:
            "every judged step has an efficiency of 0.9 or more; the lowest is 0.990 (95 % 0.960 to 1.020) at 4 workers"
                .to_owned(),
        steps: vec![
            step(1, 10.0, Verdict::Pass, "the step that the others are compared with"),
            step(2, 20.0, Verdict::Pass, "efficiency 1.000 is at least 0.9"),
            step(4, 39.6, Verdict::Pass, "efficiency 0.990 is at least 0.9"),
            step(8, 40.0, Verdict::Fail, "efficiency 0.500 (95 % 0.485 to 0.515) is below 0.9"),
        ],
        fit: Some(UslFit {
            lambda: estimate(10.9, 0.1),
            alpha: ScalingEstimate { value: 0.0213, lower: Some(0.0), upper: Some(0.14) },
            beta: ScalingEstimate { value: 0.0154, lower: Some(0.000_123), upper: None },
            r_squared: 0.97,
            peak_workers: Some(7.97),
            residuals: vec![UslResidual {
                workers: 1,
                jobs_per_second: 10.0,
                fitted_jobs_per_second: 10.9,
                relative: -0.08,
            }],
        }),
        fit_problem: None,
        knee: Some(4),
        knee_reason: "from 4 to 8 workers each added worker brought 0.01 of one of the first step".to_owned(),
        min_efficiency: 0.9,
        judge_up_to: Some(4),
        device: None,
    }
}

#[test]
fn the_summary_of_a_passed_experiment_reads_as_expected() {
    let text = text(&lanes(), TextOptions::default());
    assert_eq!(text, include_str!("golden.txt"), "\n{text}");
}

#[test]
fn an_emulated_device_is_called_one_wherever_its_figures_are() {
    let device = EmulatedDevice { name: "gpu".to_owned(), lanes: 4, work: HOSTILE.to_owned(), alpha: 0.1, beta: 0.0 };
    let report = ScalingReport { device: Some(device), ..lanes() };
    let text = text(&report, TextOptions::default());
    let line = text.lines().nth(3).unwrap();
    assert!(line.starts_with("  emulated: no real device: gpu stands for one, 4 lanes"), "{text}");
    let page = html(&report);
    assert!(page.contains("<dt>emulated</dt><dd>no real device: gpu") && !page.contains(HOSTILE), "{page}");
    assert!(!html(&lanes()).contains("emulated"));
}

#[test]
fn the_verdict_comes_first_in_its_colour() {
    let mut report = lanes();
    report.verdict = Verdict::Fail;
    let coloured = text(&report, TextOptions { colour: true, width: 100 });
    assert!(coloured.starts_with("\x1b[1;31mFAIL\x1b[0m\x1b[1m scaling of sleep (s12): every"), "{coloured}");
}

#[test]
fn a_report_without_data_still_says_how_it_ended() {
    let mut report = lanes();
    (report.verdict, report.reason) = (Verdict::Undetermined, "no worker came within 120 s".to_owned());
    report.steps.clear();
    (report.fit, report.fit_problem) = (None, Some("0 steps had throughput".to_owned()));
    (report.knee, report.knee_reason) = (None, "no step had throughput".to_owned());
    let words = text(&report, TextOptions::default());
    assert!(words.starts_with("UNDETERMINED scaling of sleep (s12): no worker came within 120 s\n"), "{words}");
    assert!(words.contains("nothing was measured") && words.contains("not fitted: 0 steps had throughput"), "{words}");
    let page = html(&report);
    assert!(page.contains("UNDETERMINED") && page.contains("Nothing was measured") && page.ends_with("</html>\n"));
}

#[test]
fn a_peak_beyond_the_largest_step_is_called_extrapolated() {
    let mut report = lanes();
    let fit = report.fit.as_mut().unwrap();
    fit.peak_workers = Some(44.3);
    let words = text(&report, TextOptions { colour: false, width: 300 });
    assert!(words.contains("highest at 44 workers, extrapolated: the largest step has 8 workers"), "{words}");
    let fit = report.fit.as_mut().unwrap();
    fit.beta.lower = Some(0.0);
    assert!(text(&report, TextOptions { colour: false, width: 300 }).contains("β may be 0, and then it never falls"));
    report.fit.as_mut().unwrap().peak_workers = None;
    assert!(text(&report, TextOptions::default()).contains("throughput never falls"));
}

#[test]
fn the_page_holds_every_section_and_reads_the_same_figures_as_the_text() {
    let page = html(&lanes());
    for piece in [
        "<title>PASS scaling of sleep (s12) – Nuncius</title>",
        "<span class=\"badge pass\">PASS</span><h1>scaling of sleep (s12)</h1>",
        "Throughput, jobs per second",
        "Efficiency: throughput per worker",
        "scalability law",
        "ideal: as each worker of the first step",
        "least that was asked for",
        "class=\"mark\"",
        "knee: 4 workers",
        "38.8/s to 40.4/s",
        "fail, not judged",
        "0.000123 or more",
        "s12-8-2",
    ] {
        assert!(page.contains(piece), "{piece} is not on the page");
    }
    assert_eq!(page.matches("<path class=\"bars measured\"").count(), 2);
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_ideal_line_does_not_flatten_the_rest() {
    let mut report = lanes();
    report.steps.push(step(512, 41.0, Verdict::Fail, "x"));
    report.fit = None;
    let page = html(&report);
    let chart = page.split("</svg>").next().unwrap();
    assert!(chart.contains(">40</text>") && !chart.contains(">1,000</text>"), "{chart}");
}

#[test]
fn hostile_text_stays_text() {
    let mut report = lanes();
    report.id = HOSTILE.to_owned();
    report.queue = HOSTILE.to_owned();
    report.reason = HOSTILE.to_owned();
    report.knee_reason = HOSTILE.to_owned();
    for step in &mut report.steps {
        step.reason = HOSTILE.to_owned();
        step.measurements[0].experiment = HOSTILE.to_owned();
    }
    let mut without_fit = report.clone();
    (without_fit.fit, without_fit.fit_problem) = (None, Some(HOSTILE.to_owned()));
    for report in [report, without_fit] {
        let page = html(&report);
        assert_eq!(page.matches("<script").count(), 1, "only the page's own script");
        assert!(!page.contains("<img") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    }
}

#[test]
fn a_name_cannot_drive_the_terminal() {
    let mut report = lanes();
    report.queue = "\x1b[2J".to_owned();
    report.reason = "\x1b]0;owned\x07\r\nsecond line".to_owned();
    report.knee_reason = "\x07".to_owned();
    report.steps[3].reason = "\x1b[31m".to_owned();
    let text = text(&report, TextOptions::default());
    assert!(!text.contains('\x1b') && !text.contains('\x07') && !text.contains('\r'), "{text}");
}

#[test]
fn no_number_is_too_strange_to_show() {
    for strange in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -1.0, 0.0, 5e-324] {
        let mut report = lanes();
        let odd = ScalingEstimate { value: strange, lower: Some(strange), upper: Some(strange) };
        for step in &mut report.steps {
            (step.jobs_per_second, step.efficiency) = (Some(odd), Some(odd));
            step.measurements[0].jobs_per_second = strange;
            step.measurements[0].seconds = strange;
        }
        let fit = report.fit.as_mut().unwrap();
        (fit.lambda, fit.alpha, fit.beta, fit.r_squared, fit.peak_workers) = (odd, odd, odd, strange, Some(strange));
        report.min_efficiency = strange;
        report.steps[0].workers = 0;
        let (words, page) = (text(&report, TextOptions::default()), html(&report));
        assert!(!words.contains("NaN") && !words.contains("inf"), "{words}");
        let body = page.split("<body>").nth(1).unwrap().split("<script>").next().unwrap();
        assert!(!body.contains("NaN") && !body.contains("inf"), "{strange}: {body}");
    }
}

#[test]
fn numbers_have_three_digits_that_mean_something() {
    for (value, text) in [
        (0.0, "0"),
        (0.9, "0.9"),
        (0.021_34, "0.0213"),
        (0.000_512_3, "0.000512"),
        (1.2e-7, "1.20e-7"),
        (1_234.0, "1234"),
        (f64::NAN, "-"),
    ] {
        assert_eq!(number(value), text);
    }
}
