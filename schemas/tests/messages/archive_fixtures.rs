//! The same for what is asked of daemons about experiments.

use nuncius_schemas::amendment::{Amendment, Change, Multiplier};
use nuncius_schemas::archive::{ArchiveFile, ArchiveRefusal, ArchiveReply, ArchiveRequest};
use nuncius_schemas::head::{ExperimentFilter, ExperimentHead, HeadPlace};
use nuncius_schemas::run::{Control, RunStatus, Verdict};
use nuncius_schemas::units::HumanDuration;

pub(crate) fn control_by() -> Control {
    Control::Cancel { reason: "enough".into(), who: Some("ci".into()) }
}

pub(crate) fn control_mark() -> Control {
    let at_unix_ms = Some(1_700_000_000_000);
    Control::Mark { name: "deployed".into(), value: Some("2.4.1".into()), who: Some("ci".into()), at_unix_ms }
}

pub(crate) fn archive_request() -> ArchiveRequest {
    ArchiveRequest::Read { export: u64::MAX, file: 1, offset_bytes: 131_072 }
}

pub(crate) fn archive_find() -> ArchiveRequest {
    let filter = ExperimentFilter {
        id: Some("e-2".into()),
        statuses: vec![RunStatus::Finished, RunStatus::Cancelled],
        verdicts: vec![Verdict::Fail],
        name: Some("shop".into()),
        creator: Some("me".into()),
        tags: ["nightly", "branch=main"].map(|tag| tag.parse().unwrap()).into(),
        from_unix_ms: Some(1_700_000_000_000),
        to_unix_ms: Some(1_800_000_000_000),
        text: Some("gate".into()),
    };
    let after = HeadPlace { submitted_unix_ms: 1_700_000_000_000, id: "e-1".into() };
    ArchiveRequest::Find { filter: Box::new(filter), after: Some(after), limit: 50 }
}

fn head() -> ExperimentHead {
    ExperimentHead {
        id: "e-1".into(),
        name: "shop".into(),
        creator: Some("me".into()),
        tags: [("branch".into(), "main".into()), ("nightly".into(), String::new())].into(),
        status: RunStatus::Finished,
        verdict: Some(Verdict::Fail),
        reason: Some("a gate did not hold: failures < 1%".into()),
        target: Some("http://shop/".into()),
        scheduled: Some(u64::MAX),
        offered: Some(499),
        submitted_unix_ms: 1_700_000_000_000,
        started_unix_ms: Some(1_700_000_001_000),
        ended_unix_ms: Some(1_700_000_011_000),
    }
}

pub(crate) fn archive_replies() -> Vec<(&'static str, ArchiveReply)> {
    let file = ArchiveFile { name: "requests.csv".into(), size_bytes: 131_073 };
    let reason = "there is no experiment e-1".to_owned();
    vec![
        ("", ArchiveReply::Piece { bytes: vec![0, 255] }),
        ("-files", ArchiveReply::Files { files: vec![file] }),
        ("-found", ArchiveReply::Found { experiments: vec![head()], more: true }),
        ("-refused", ArchiveReply::Refused { code: ArchiveRefusal::Unknown, reason }),
    ]
}

pub(crate) fn amendment(seconds: u64) -> Amendment {
    Amendment {
        at: HumanDuration::from_secs(seconds),
        group: Some("browse".into()),
        change: Change::Scale(Multiplier(1_500_000)),
        reason: "the sale begins".into(),
        who: Some("ci".into()),
    }
}
