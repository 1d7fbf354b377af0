use proptest::prelude::*;

use super::*;

fn measurement(jobs_per_second: f64, failed: u64) -> ScalingMeasurement {
    ScalingMeasurement {
        experiment: "e1".to_owned(),
        seconds: 10.0,
        succeeded: (jobs_per_second * 10.0).round() as u64,
        failed,
        jobs_per_second,
        run_p50_seconds: Some(0.1),
        wait_p50_seconds: None,
    }
}

fn step(workers: u32, rates: &[f64]) -> MeasuredStep {
    let measurements = rates.iter().map(|rate| measurement(*rate, 0)).collect();
    MeasuredStep { workers, slots: workers, measurements }
}

/// Three repeats, 1 % apart, around each rate.
fn spread(steps: &[(u32, f64)]) -> Vec<MeasuredStep> {
    steps.iter().map(|(workers, rate)| step(*workers, &[rate * 0.99, *rate, rate * 1.01])).collect()
}

fn rules() -> ScalingRules {
    ScalingRules { min_efficiency: 0.9, judge_up_to: None }
}

fn outcomes(judgement: &ScalingJudgement) -> Vec<Verdict> {
    judgement.steps.iter().map(|step| step.outcome).collect()
}

#[test]
fn linear_throughput_passes_and_has_no_knee() {
    let judged = judge(spread(&[(1, 10.0), (2, 20.0), (4, 39.6), (8, 79.0)]), rules());
    assert_eq!(judged.verdict, Verdict::Pass, "{}", judged.reason);
    assert!(judged.reason.contains("at 8 workers"), "{}", judged.reason);
    assert_eq!(outcomes(&judged), [Verdict::Pass; 4]);
    assert_eq!(judged.knee, None);
    assert!(judged.knee_reason.contains("grew up to 8 workers, the last step"), "{}", judged.knee_reason);
    assert!(judged.fit.unwrap().alpha.upper.unwrap() < 0.02);
}

#[test]
fn a_device_of_four_lanes_fails_at_eight_workers_and_has_its_knee_at_four() {
    let judged = judge(spread(&[(1, 10.0), (2, 20.0), (4, 40.0), (8, 40.0)]), rules());
    assert_eq!(judged.verdict, Verdict::Fail);
    assert_eq!(outcomes(&judged), [Verdict::Pass, Verdict::Pass, Verdict::Pass, Verdict::Fail]);
    assert!(judged.reason.starts_with("at 8 workers: efficiency 0.500 (95 %"), "{}", judged.reason);
    assert_eq!(judged.knee, Some(4), "{}", judged.knee_reason);
    let up_to_four =
        judge(spread(&[(1, 10.0), (2, 20.0), (4, 40.0), (8, 40.0)]), ScalingRules { judge_up_to: Some(4), ..rules() });
    assert_eq!((up_to_four.verdict, up_to_four.knee), (Verdict::Pass, Some(4)));
    assert!(!up_to_four.steps[3].judged && up_to_four.steps[3].outcome == Verdict::Fail);
}

#[test]
fn intervals_are_those_of_the_tables() {
    // Mean 10, deviation 1 of three: 10 ± 4.3027 / √3.
    let judged = judge(vec![step(1, &[9.0, 10.0, 11.0]), step(2, &[20.0, 20.0, 20.0])], rules());
    let rate = judged.steps[0].jobs_per_second.unwrap();
    assert!((rate.upper.unwrap() - 12.4841).abs() < 1e-3 && (rate.lower.unwrap() - 7.5159).abs() < 1e-3, "{rate:?}");
    // 20/s in 10 s: the ends of each count have a variance of 1/6 job.
    let rate = judged.steps[1].jobs_per_second.unwrap();
    assert!((rate.upper.unwrap() - 20.0 - 4.3027 * 0.1 / 18f64.sqrt()).abs() < 1e-4, "{rate:?}");
    // The log ratio has the variance (1/3)/100 + (1/600)/3/400, of almost two degrees of freedom.
    let efficiency = judged.steps[1].efficiency.unwrap();
    let reach = libm::log(efficiency.upper.unwrap() / efficiency.value);
    assert!((reach - 4.3027 * 0.057_74).abs() < 1e-3, "{efficiency:?}");
    assert_eq!(judged.steps[1].outcome, Verdict::Undetermined);
}

#[test]
fn one_measurement_has_the_interval_of_its_count() {
    // Garwood's bounds for 10 are 4.795 and 18.39, for 0 they are 0 and 3.689.
    let judged = judge(vec![step(1, &[1.0]), step(2, &[0.0])], rules());
    let rate = judged.steps[0].jobs_per_second.unwrap();
    assert!((rate.lower.unwrap() - 0.4795).abs() < 1e-4 && (rate.upper.unwrap() - 1.8390).abs() < 1e-4, "{rate:?}");
    let rate = judged.steps[1].jobs_per_second.unwrap();
    assert!(rate.lower == Some(0.0) && (rate.upper.unwrap() - 0.3689).abs() < 1e-4, "{rate:?}");
    let judged = judge(vec![step(1, &[100.0]), step(2, &[200.0])], rules());
    let efficiency = judged.steps[1].efficiency.unwrap();
    let reach = 1.959_964 * (1.0f64 / 1_000.0 + 1.0 / 2_000.0).sqrt();
    assert!((libm::log(efficiency.upper.unwrap()) - reach).abs() < 1e-5, "{efficiency:?}");
    assert!(judged.steps[1].reason.contains("measured once"), "{}", judged.steps[1].reason);
}

#[test]
fn a_failed_job_fails_its_step_and_the_verdict() {
    let mut steps = spread(&[(1, 10.0), (2, 20.0), (4, 40.0)]);
    steps[1].measurements[0].failed = 3;
    let judged = judge(steps, rules());
    assert_eq!(outcomes(&judged), [Verdict::Pass, Verdict::Fail, Verdict::Pass]);
    assert_eq!(judged.steps[1].reason, "3 of 603 jobs failed");
    assert_eq!(judged.verdict, Verdict::Fail);
    let mut steps = spread(&[(1, 10.0), (2, 20.0)]);
    steps[0].measurements[0].failed = 1;
    assert_eq!(judge(steps, rules()).verdict, Verdict::Fail);
}

#[test]
fn a_step_without_throughput_fails_and_the_next_one_is_the_baseline() {
    let mut steps = spread(&[(2, 20.0), (4, 40.0)]);
    steps.push(step(1, &[0.0, 0.0, 0.0]));
    let judged = judge(steps, rules());
    assert_eq!(judged.steps.iter().map(|step| step.workers).collect::<Vec<_>>(), [1, 2, 4]);
    assert_eq!(outcomes(&judged), [Verdict::Fail, Verdict::Pass, Verdict::Pass]);
    assert_eq!((judged.verdict, judged.reason.as_str()), (Verdict::Fail, "at 1 worker: no job succeeded"));
    assert!((judged.steps[2].efficiency.unwrap().value - 1.0).abs() < 1e-9);
    assert!(judged.steps[2].reason.contains("compared with 2 workers"), "{}", judged.steps[2].reason);
    let still = judge(vec![step(1, &[0.0]), step(2, &[0.0])], rules());
    assert_eq!((still.verdict, still.knee), (Verdict::Fail, None));
}

#[test]
fn the_weightiest_outcome_of_the_judged_steps_is_the_verdict() {
    let steps = |last: f64, third: &[f64]| {
        let mut steps = spread(&[(1, 10.0), (2, 20.0), (8, last)]);
        steps.push(step(4, third));
        steps
    };
    // Undetermined at 4 workers: 0.9 of the baseline and wide.
    let wide = [34.0, 36.0, 38.0];
    assert_eq!(judge(steps(80.0, &wide), rules()).verdict, Verdict::Undetermined);
    let judged = judge(steps(40.0, &wide), rules());
    assert_eq!(judged.verdict, Verdict::Fail, "a definite failure outweighs what is undetermined");
    let invalid = judge(steps(40.0, &[f64::NAN]), rules());
    assert_eq!(invalid.verdict, Verdict::Invalid, "{}", invalid.reason);
    let not_judged = judge(steps(40.0, &wide), ScalingRules { judge_up_to: Some(2), ..rules() });
    assert_eq!(not_judged.verdict, Verdict::Pass);
    assert_eq!(
        judge(steps(40.0, &[]), ScalingRules { judge_up_to: Some(4), ..rules() }).verdict,
        Verdict::Undetermined
    );
}

#[test]
fn nothing_measured_or_nothing_to_compare_never_passes() {
    assert_eq!(judge(Vec::new(), rules()).verdict, Verdict::Undetermined);
    assert_eq!(judge(spread(&[(1, 10.0)]), rules()).verdict, Verdict::Undetermined);
    let only_first = judge(spread(&[(1, 10.0), (2, 20.0)]), ScalingRules { judge_up_to: Some(1), ..rules() });
    assert_eq!(only_first.verdict, Verdict::Undetermined, "{}", only_first.reason);
    let empty = judge(vec![step(1, &[]), step(2, &[])], rules());
    assert_eq!((empty.verdict, empty.knee), (Verdict::Undetermined, None));
    assert!(empty.fit.is_none() && empty.fit_problem.unwrap().contains("0 steps"));
}

#[test]
fn a_measurement_that_contradicts_itself_is_invalid() {
    let broken: [fn(&mut ScalingMeasurement); 5] = [
        |m| m.jobs_per_second = f64::INFINITY,
        |m| m.jobs_per_second = -1.0,
        |m| m.seconds = 0.0,
        |m| m.succeeded = 0,
        |m| m.jobs_per_second = 0.0,
    ];
    for break_it in broken {
        let mut steps = spread(&[(1, 10.0), (2, 20.0)]);
        break_it(&mut steps[1].measurements[0]);
        let judged = judge(steps, rules());
        assert_eq!((judged.verdict, judged.steps[1].jobs_per_second), (Verdict::Invalid, None), "{}", judged.reason);
    }
}

#[test]
fn the_knee_is_not_found_by_noise_between_neighbours() {
    // From 15 to 16 workers throughput happened to fall; it grows none the less.
    let grows = judge(spread(&[(1, 10.0), (8, 80.0), (15, 151.0), (16, 149.0), (32, 318.0)]), rules());
    assert_eq!(grows.knee, None, "{}", grows.knee_reason);
    // Two workers that may or may not have brought something.
    let unclear = judge(vec![step(1, &[9.0, 10.0, 11.0]), step(2, &[12.0, 14.0, 16.0])], rules());
    assert_eq!(unclear.knee, None);
    assert!(unclear.knee_reason.contains("may decide"), "{}", unclear.knee_reason);
    let falls = judge(spread(&[(1, 10.0), (2, 20.0), (4, 35.0), (8, 30.0), (16, 20.0)]), rules());
    assert_eq!(falls.knee, Some(4), "{}", falls.knee_reason);
    let at_once = judge(spread(&[(1, 10.0), (2, 10.0), (4, 10.0)]), rules());
    assert_eq!(at_once.knee, Some(1), "{}", at_once.knee_reason);
}

#[test]
fn efficiency_intervals_hold_the_truth_as_often_as_they_say() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut normal =
        move || (-2.0 * libm::log(1.0 - random.f64())).sqrt() * libm::cos(std::f64::consts::TAU * random.f64());
    let runs = 400;
    let mut held = 0;
    for _ in 0..runs {
        // Noise of 1 % at the first step and of 4 % at the second.
        let first: Vec<f64> = (0..3).map(|_| 1_000.0 * (1.0 + 0.01 * normal())).collect();
        let second: Vec<f64> = (0..3).map(|_| 1_800.0 * (1.0 + 0.04 * normal())).collect();
        let judged = judge(vec![step(1, &first), step(2, &second)], rules());
        let efficiency = judged.steps[1].efficiency.unwrap();
        held += u32::from(efficiency.lower.unwrap() <= 0.9 && 0.9 <= efficiency.upper.unwrap());
    }
    // Three standard errors of 95 % in 400 runs are 3.3 %.
    assert!(held >= 366, "{held} of {runs}");
}

proptest! {
    #[test]
    fn no_measurement_makes_the_judge_panic_or_pass_without_grounds(
        raw in prop::collection::vec((any::<u32>(), prop::collection::vec((any::<f64>(), any::<f64>(), any::<u64>(), 0u64..2), 0..4)), 0..6),
        tame in prop::collection::vec((1u32..64, prop::collection::vec((0.5f64..100.0, 0u64..9), 1..4)), 0..6),
        min_efficiency in 0.01f64..1.5,
    ) {
        let wild = raw.into_iter().map(|(workers, rows)| MeasuredStep {
            workers,
            slots: workers,
            measurements: rows.into_iter().map(|(jobs_per_second, seconds, succeeded, failed)| ScalingMeasurement {
                jobs_per_second, seconds, succeeded, ..measurement(1.0, failed)
            }).collect(),
        });
        let tame = tame.into_iter().map(|(workers, rows)| MeasuredStep {
            workers,
            slots: workers,
            measurements: rows.into_iter().map(|(rate, failed)| measurement(rate, failed / 8)).collect(),
        });
        for steps in [wild.clone().collect::<Vec<_>>(), tame.clone().collect(), wild.chain(tame).collect()] {
            let judged = judge(steps, ScalingRules { min_efficiency, judge_up_to: None });
            for step in &judged.steps {
                for estimate in step.jobs_per_second.into_iter().chain(step.efficiency) {
                    let (lower, upper) = (estimate.lower.unwrap(), estimate.upper.unwrap());
                    prop_assert!(lower <= estimate.value && estimate.value <= upper && upper.is_finite(), "{:?}", estimate);
                    prop_assert!(lower >= 0.0);
                }
                prop_assert!(!step.reason.is_empty());
            }
            if judged.verdict == Verdict::Pass {
                let lowest = judged.steps.iter().filter_map(|step| step.efficiency?.lower).fold(1.0, f64::min);
                prop_assert!(lowest >= min_efficiency.min(1.0));
                prop_assert!(judged.steps.iter().all(|step| step.measurements.iter().all(|m| m.failed == 0)));
            }
        }
    }
}
