//! Reading an experiment from a body, and submitting it.

use hyper::StatusCode;
use nuncius_control::submit::{self, Once};
use nuncius_schemas::spec::files_of;
use nuncius_schemas::submission::{self, Submission};

use super::changes::note;
use super::state::ApiState;
use crate::access::Who;
use crate::problem::Problem;

/// What a body may say it is.
pub(super) const TYPES: &[&str] =
    &["application/yaml", "application/json", "application/msgpack", "application/x-yaml", "text/yaml"];
/// Sent by clients that were told nothing else.
const UNTOLD: [&str; 4] =
    ["application/x-www-form-urlencoded", "application/octet-stream", "text/plain", "application/vnd.msgpack"];

/// Refuses a body that says it is something else.
pub(super) fn check_type(content_type: Option<&str>) -> Result<(), Problem> {
    let Some(kind) = content_type else { return Ok(()) };
    if TYPES.contains(&kind) || UNTOLD.contains(&kind) {
        return Ok(());
    }
    let text = format!("send the experiment as one of {}", TYPES.join(", "));
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-type", text).field("content-type"))
}

/// The experiment that some bytes are.
///
/// # Errors
/// The field that is wrong, with its place.
pub(crate) fn read(bytes: &[u8]) -> Result<Submission, Problem> {
    let submission = submission::from_bytes(bytes)?;
    let refuse = |field: &str, problem: String| {
        Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-field", problem).field(field))
    };
    if let Submission::Spec(spec) = &submission {
        if spec.scaling.is_some() {
            let text = "how throughput grows with workers is measured by `nuncius run`, not by a daemon".to_owned();
            return refuse("scaling", text);
        }
        if spec.bundle.is_none()
            && let Some(file) = files_of(spec).first()
        {
            let text = format!(
                "the file {} travels in a bundle: deploy the experiment with what it needs as an app, and name that \
                 in `bundle`; `nuncius submit` does both",
                file.path
            );
            return refuse(&file.field, text);
        }
    }
    Ok(submission)
}

/// Submits it for somebody, and writes down who and why; the same under the same `id` is one experiment.
///
/// # Errors
/// Nobody takes it, or it is refused.
pub(crate) async fn submit(
    api: &ApiState,
    mut submission: Submission,
    id: Option<&str>,
    who: &Who,
    reason: &str,
) -> Result<Once, Problem> {
    if let (Submission::Spec(spec), Some(name)) = (&mut submission, &who.name)
        && spec.creator.is_none()
    {
        spec.creator = Some(name.clone());
    }
    let once = match id {
        Some(id) => submit::submit_once(api.bus(), &mut submission, id).await?,
        None => Once { id: submit::submit(api.bus(), &submission).await?, was_there: false },
    };
    if !once.was_there {
        note(api, who, "submit", &format!("experiment {}", once.id), reason).await;
    }
    Ok(once)
}
