use super::*;

fn spec() -> ScalingSpec {
    ScalingSpec::new(vec![1, 2, 4, 8], ScalingWorkers::Wait { slots: 1 })
}

#[test]
fn what_is_not_said_has_its_default() {
    let read: ScalingSpec = serde_json::from_str(r#"{"steps":[1,2,4,8],"workers":{"start":"wait"}}"#).unwrap();
    assert_eq!(read, spec());
    assert_eq!(read.check(), Ok(()));
    let all = r#"{"steps":[1,2],"repeats":5,"warm_up":"500ms","duration":"1m","judge_up_to":2,"min_efficiency":0.8,
        "jobs_per_slot":4,"workers":{"start":"kubectl","deployment":"gpu-worker","namespace":"batch","slots":2},
        "patience":"5m"}"#;
    let read: ScalingSpec = serde_json::from_str(all).unwrap();
    assert_eq!(read.check(), Ok(()));
    assert_eq!(read.workers.slots(), 2);
    let written = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<ScalingSpec>(&written).unwrap(), read);
}

#[test]
fn an_unknown_field_is_refused_and_named() {
    for text in [
        r#"{"steps":[1,2],"repeat":5,"workers":{"start":"wait"}}"#,
        r#"{"steps":[1,2],"workers":{"start":"wait","repeat":2}}"#,
    ] {
        let error = serde_json::from_str::<ScalingSpec>(text).unwrap_err().to_string();
        assert!(error.contains("`repeat`"), "{error}");
    }
}

#[test]
fn an_experiment_is_refused_by_the_field_that_is_wrong() {
    let field = |change: &dyn Fn(&mut ScalingSpec)| {
        let mut spec = spec();
        change(&mut spec);
        spec.check().unwrap_err().field
    };
    for steps in [vec![], vec![1], vec![0, 1], vec![1, 1], vec![2, 1], vec![1, 4_097], (1..=33).collect()] {
        assert_eq!(field(&|spec| spec.steps.clone_from(&steps)), "steps", "{steps:?}");
    }
    for repeats in [0, 101] {
        assert_eq!(field(&|spec| spec.repeats = repeats), "repeats");
    }
    assert_eq!(field(&|spec| spec.duration = HumanDuration(0)), "duration");
    assert_eq!(field(&|spec| spec.warm_up = HumanDuration(u64::MAX)), "warm_up");
    assert_eq!(field(&|spec| spec.patience = HumanDuration(0)), "patience");
    assert_eq!(field(&|spec| spec.judge_up_to = Some(1)), "judge_up_to");
    for share in [0.0, -1.0, 1.51, f64::NAN, f64::INFINITY] {
        assert_eq!(field(&|spec| spec.min_efficiency = share), "min_efficiency", "{share}");
    }
    assert_eq!(field(&|spec| spec.jobs_per_slot = 0), "jobs_per_slot");
    assert_eq!(field(&|spec| spec.workers = ScalingWorkers::Wait { slots: 0 }), "workers.slots");
    let short = |spec: &mut ScalingSpec| {
        spec.warm_up = HumanDuration::from_millis(1_500);
        spec.duration = HumanDuration::from_millis(1_499);
    };
    assert_eq!(field(&short), "duration", "1.5 s to 2.999 s holds no whole second");
    let wrong = ScalingSpec { repeats: 0, ..spec() };
    assert_eq!(wrong.check().unwrap_err().to_string(), "scaling repeats: 0; give 1 to 100");
}

#[test]
fn whole_seconds_between_the_warm_up_and_the_end_are_counted() {
    let counted = |warm_up, duration| {
        let (warm_up, duration) = (HumanDuration::from_millis(warm_up), HumanDuration::from_millis(duration));
        ScalingSpec { warm_up, duration, ..spec() }.counted_seconds()
    };
    assert_eq!(counted(1_000, 5_000), 1..6);
    assert_eq!(counted(0, 1_000), 0..1);
    assert_eq!(counted(1_500, 2_000), 2..3);
    assert_eq!(counted(500, 3_200), 1..3);
}

#[test]
fn a_device_that_cannot_be_is_refused_by_the_field_that_is_wrong() {
    let refused = |change: fn(&mut EmulatedDevice)| {
        let mut device: EmulatedDevice = serde_json::from_str(r#"{"name":"gpu"}"#).unwrap();
        change(&mut device);
        ScalingSpec { device: Some(device), ..spec() }.check().map_or_else(|error| error.field, |()| "fine")
    };
    assert_eq!(refused(|_| {}), "fine");
    assert_eq!(refused(|device| device.name = "a.b".to_owned()), "device.name");
    assert_eq!(refused(|device| device.lanes = 0), "device.lanes");
    assert_eq!(refused(|device| device.lanes = 10_001), "device.lanes");
    assert_eq!(refused(|device| device.alpha = 1.1), "device.alpha");
    assert_eq!(refused(|device| device.beta = f64::NAN), "device.beta");
    assert_eq!(refused(|device| device.work = String::new()), "device.work");
    assert!(serde_json::from_str::<EmulatedDevice>(r#"{"name":"gpu","lane":2}"#).is_err());
}

#[test]
fn workers_that_cannot_be_started_are_refused() {
    let problem = |workers: ScalingWorkers| ScalingSpec { workers, ..spec() }.check().unwrap_err().field;
    for command in [vec![], vec![String::new()], vec!["a\0b".to_owned()], vec!["a".to_owned(); 257]] {
        assert_eq!(problem(ScalingWorkers::Local { command, slots: 1 }), "workers.command");
    }
    for name in ["", "-n", "a_b", "A", "a..b", "a.", "--all", "a b", &"x".repeat(254)] {
        let workers = ScalingWorkers::Kubectl { deployment: name.to_owned(), namespace: None, slots: 1 };
        assert_eq!(problem(workers), "workers.deployment", "{name}");
        let namespace = Some(name.to_owned());
        let workers = ScalingWorkers::Kubectl { deployment: "a.b-1".to_owned(), namespace, slots: 1 };
        assert_eq!(problem(workers), "workers.namespace", "{name}");
    }
}

#[test]
fn the_law_is_linear_without_contention_and_falls_beyond_its_peak() {
    let estimate = |value| ScalingEstimate { value, lower: None, upper: None };
    let mut fit = UslFit {
        lambda: estimate(10.0),
        alpha: estimate(0.0),
        beta: estimate(0.0),
        r_squared: 1.0,
        peak_workers: None,
        residuals: Vec::new(),
    };
    assert_eq!(fit.jobs_per_second(7.0), 70.0);
    fit.beta.value = 0.01;
    // The peak is at sqrt(1 / 0.01) = 10 workers.
    assert!(fit.jobs_per_second(10.0) > fit.jobs_per_second(9.0).max(fit.jobs_per_second(11.0)));
}
