//! The same for queues, workers and systems under test.

use nuncius_schemas::change::ChangeRecord;
use nuncius_schemas::job::{Job, JobEvent, JobEventKind, JobRepeat, JobResult, JobStatus};
use nuncius_schemas::oco::{OcoEvent, OcoReply};
use nuncius_schemas::queue::{DurationCounts, QueueDefinition, QueueState, QueueTotals};
use nuncius_schemas::resource::{
    ResourceKind, ResourcePhase, ResourceReply, ResourceRequest, ResourceState, ResourceStep,
};
use nuncius_schemas::run::Verdict;
use nuncius_schemas::scaling::{
    EmulatedDevice, ScalingEstimate, ScalingMeasurement, ScalingReport, ScalingStep, UslFit, UslResidual,
};
use nuncius_schemas::units::HumanDuration;
use nuncius_schemas::worker::{
    DeviceInfo, DeviceKind, DeviceReply, DeviceRequest, DeviceSample, NodeSample, WorkerInfo,
};

pub(crate) fn worker_info() -> WorkerInfo {
    WorkerInfo {
        queue: "render".into(),
        slots: 2,
        node: "edge-1".into(),
        pod: "edge-1-abc".into(),
        workload: "/usr/bin/render".into(),
        devices: vec![DeviceInfo {
            name: "renderD128".into(),
            kind: DeviceKind::Drm,
            path: "/dev/dri/renderD128".into(),
            model: Some("i915".into()),
            memory_bytes: Some(1 << 30),
        }],
    }
}

pub(crate) fn job() -> Job {
    Job { args: vec!["0.1".into(), "ü".into()], limit: Some("1m30s".parse().unwrap()) }
}

pub(crate) fn job_result() -> JobResult {
    JobResult {
        job: "j-1".into(),
        queue: "render".into(),
        client: "c-1".into(),
        priority: 1,
        status: JobStatus::Failed,
        attempt: 2,
        job_sequence: 7,
        submitted_unix_ns: 1_700_000_000_000_000_000,
        wait_seconds: 0.25,
        run_seconds: 1.5,
        worker: Some("w-1".into()),
        node: Some("edge-1".into()),
        pod: Some("edge-1-abc".into()),
        device: Some("renderD128".into()),
        exit_code: Some(3),
        signal: Some(15),
        timed_out: true,
        limit_seconds: Some(1.5),
        error: Some("over its limit".into()),
        stdout_tail: Some("out".into()),
        stderr_tail: Some("err".into()),
    }
}

pub(crate) fn job_repeat() -> JobRepeat {
    JobRepeat {
        job: "j-1".into(),
        queue: "render".into(),
        client: "c-1".into(),
        job_sequence: 9,
        recorded_job_sequence: 7,
    }
}

pub(crate) fn job_event() -> JobEvent {
    JobEvent {
        event: JobEventKind::Retried,
        job: "j-1".into(),
        client: "c-1".into(),
        worker: "w-1".into(),
        node: "edge-1".into(),
        attempt: 1,
        unix_ms: 1_700_000_000_000,
        reason: Some("exit code 3".into()),
    }
}

pub(crate) fn change() -> ChangeRecord {
    ChangeRecord {
        at_unix_ms: 1_700_000_000_000,
        who: Some("ada".into()),
        by: "gateway".into(),
        action: "remove".into(),
        what: "dead letter j-1 of queue render".into(),
        reason: "no longer wanted".into(),
    }
}

pub(crate) fn queue_definition() -> QueueDefinition {
    QueueDefinition {
        state: QueueState::Draining,
        max_waiting: 9_999,
        max_jobs: 10,
        max_bytes: 11,
        priorities: 3,
        attempts: 5,
        retry_failures: true,
        backoff: "250ms".parse().unwrap(),
        backoff_max: "10s".parse().unwrap(),
        max_job_bytes: 1_024,
        max_arguments: 12,
        max_wait: "1h".parse().unwrap(),
        result_bytes: 13,
        result_keep: "1m".parse().unwrap(),
        dead_letters: 14,
        duplicate_window: "2m".parse().unwrap(),
        priority_shares: vec![8, 4, 1],
        ..QueueDefinition::new("render")
    }
}

pub(crate) fn queue_totals() -> QueueTotals {
    let mut counts = DurationCounts::default();
    counts.add(0.25);
    QueueTotals {
        queue: "render".into(),
        sequence: 9,
        token: 3,
        succeeded: 4,
        failed: 2,
        timed_out: 1,
        retried: 5,
        dead: 1,
        dropped: 2,
        repeated: 6,
        wait: counts.clone(),
        run: counts.clone(),
        total: counts,
    }
}

pub(crate) fn node_sample() -> NodeSample {
    NodeSample {
        node: "w-1".into(),
        unix_ms: 1_700_000_000_000,
        queue: Some("render".into()),
        slots: 2,
        busy: 1,
        finished: 10,
        cpu_share: Some(0.5),
        memory_used_bytes: Some(1 << 30),
        memory_total_bytes: Some(1 << 31),
        devices: vec![DeviceSample {
            name: "emulated-0".into(),
            emulated: true,
            utilization: Some(0.75),
            memory_used_bytes: Some(1 << 20),
            temperature_celsius: Some(55.5),
            power_watts: Some(120.0),
        }],
    }
}

pub(crate) fn device_request() -> DeviceRequest {
    DeviceRequest { work_seconds: Some(0.5) }
}

pub(crate) fn device_reply() -> DeviceReply {
    DeviceReply {
        device: "d".into(),
        work_seconds: 0.5,
        wait_seconds: 0.1,
        run_seconds: 0.6,
        error: Some("too long".into()),
    }
}

pub(crate) fn oco_event() -> OcoEvent {
    let param = serde_json::json!({ "progress": 10, "runtime": 5 });
    OcoEvent { event: "MEASUREMENT".into(), param: param.as_object().cloned(), servo_uid: Some("s".into()) }
}

pub(crate) fn oco_reply() -> OcoReply {
    OcoReply {
        cmd: Some("MEASURE".into()),
        param: Some(serde_json::Map::new()),
        cmd_uid: Some("cmd-1".into()),
        status: Some("ok".into()),
        message: Some("m".into()),
        reason: Some("r".into()),
        detail: Some("Sequence error for a: Unexpected WHATS_NEXT in in-measure".into()),
    }
}

pub(crate) fn resource_request() -> ResourceRequest {
    ResourceRequest {
        amount: Some("50%".parse().unwrap()),
        ttl: Some(HumanDuration::from_secs(60)),
        ramp: Some(HumanDuration::from_secs(10)),
        profile: vec![ResourceStep {
            duration: HumanDuration::from_secs(5),
            amount: "512MiB".parse().unwrap(),
            ramp: true,
        }],
        write_rate: Some("10MiB/s".parse().unwrap()),
        read_rate: Some("1MiB".parse().unwrap()),
        sync: true,
        token: Some("t".into()),
    }
}

pub(crate) fn resource_reply() -> ResourceReply {
    let state = ResourceState {
        kind: ResourceKind::Memory,
        id: 1_700_000_000_000_000_000,
        phase: ResourcePhase::Working,
        progress: 0.5,
        wanted_bytes: Some(1024),
        actual_bytes: Some(512),
        limit_bytes: Some(4096),
        floor_bytes: Some(64),
        wanted_percent: Some(150.0),
        measured_percent: Some(149.5),
        limit_percent: Some(200.0),
        written_bytes: Some(1),
        read_bytes: Some(2),
        error: Some("e".into()),
        ends_at_unix_ms: Some(1_700_000_060_000),
    };
    ResourceReply { node: "n".into(), state: Some(state), error: Some("e".into()) }
}

pub(crate) fn scaling_report() -> ScalingReport {
    let estimate = |value: f64| ScalingEstimate { value, lower: Some(value / 2.0), upper: Some(value * 2.0) };
    ScalingReport {
        id: "s-1".into(),
        queue: "render".into(),
        started_unix_ms: 1_700_000_000_000,
        verdict: Verdict::Fail,
        reason: "at 2 workers: efficiency 0.75 is below 0.9".into(),
        steps: vec![ScalingStep {
            workers: 2,
            slots: 4,
            measurements: vec![ScalingMeasurement {
                experiment: "s-1-w2-r1".into(),
                seconds: 10.0,
                succeeded: 150,
                failed: 1,
                jobs_per_second: 15.0,
                run_p50_seconds: Some(0.25),
                wait_p50_seconds: Some(0.125),
            }],
            jobs_per_second: Some(estimate(15.0)),
            efficiency: Some(estimate(0.75)),
            judged: true,
            outcome: Verdict::Fail,
            reason: "efficiency 0.75 is below 0.9".into(),
        }],
        fit: Some(UslFit {
            lambda: estimate(10.0),
            alpha: estimate(0.25),
            beta: ScalingEstimate { value: 0.0, lower: Some(0.0), upper: None },
            r_squared: 0.5,
            peak_workers: Some(8.0),
            residuals: vec![UslResidual {
                workers: 2,
                jobs_per_second: 15.0,
                fitted_jobs_per_second: 16.0,
                relative: -0.0625,
            }],
        }),
        fit_problem: Some("none".into()),
        knee: Some(2),
        knee_reason: "found".into(),
        min_efficiency: 0.9,
        judge_up_to: Some(4),
        device: Some(EmulatedDevice { name: "d".into(), lanes: 4, work: "100ms".into(), alpha: 0.1, beta: 0.01 }),
    }
}
