//! Publishing an experiment, cancelling one, marking one.

use anyhow::Result;
use nuncius_control::cancel::{self, Cancelled};
use nuncius_control::mark::{self, Mark};
use nuncius_control::{ControlError, recorded, submit};
use nuncius_schemas::names::check_token;
use nuncius_schemas::submission::Submission;

use super::bundle::{self, Prepared};
use super::experiment_id;
use crate::args::{BundleArgs, CancelArgs, EventArgs, Global, SubmissionArgs, SubmitArgs};
use crate::connect;
use crate::exit::Usage;
use crate::output::say;

/// Reads what was named and applies the flags; whatever is wrong is told here, before anything is stored anywhere.
pub(crate) async fn prepare(global: &Global, args: &SubmissionArgs, bundle: &BundleArgs) -> Result<Prepared> {
    let mut prepared = bundle::read(global, &args.file, bundle).await?;
    apply(args, &mut prepared.submission)?;
    if let (Submission::Spec(spec), Some(packed)) = (&mut prepared.submission, &prepared.bundle) {
        let digest = packed.manifest.reference().digest;
        let read = recorded::fill(spec, packed.bytes.as_slice(), &digest, &bundle.limits());
        read.map_err(|error| Usage(format!("{}: {error}", args.file.display())))?;
    }
    Ok(prepared)
}

/// Applies the flags, to every form of input alike.
pub(super) fn apply(args: &SubmissionArgs, submission: &mut Submission) -> Result<(), Usage> {
    if let Some(id) = &args.id {
        check_token("experiment", id).map_err(|error| Usage(format!("--id: {error}")))?;
        submission.set_id(id);
    }
    for flag in &args.services {
        let (name, addresses) =
            flag.split_once('=').ok_or_else(|| Usage(format!("--service {flag}: write it as NAME=HOST:PORT")))?;
        let addresses = addresses.split(',').map(str::to_owned).collect();
        submission.services_mut().insert(name.to_owned(), addresses);
    }
    // What was read was right: a flag is wrong.
    submission.check().map_err(|error| match error.field.strip_prefix("services") {
        Some(_) => Usage(format!("--service: {error}")),
        None => Usage(error.to_string()),
    })
}

/// `nuncius submit`.
pub(super) async fn submit(global: &Global, args: SubmitArgs) -> Result<u8> {
    let Prepared { submission, bundle } = prepare(global, &args.submission, &args.bundle).await?;
    let bus = connect::existing(global, "nuncius-submit").await?;
    if let Some(packed) = &bundle {
        bundle::deploy(&bus, packed).await?;
    }
    let id = submit::submit(&bus, &submission).await?;
    say(global.json, &serde_json::json!({ "id": id }), &id)?;
    Ok(0)
}

/// `nuncius cancel`.
pub(super) async fn cancel(global: &Global, args: CancelArgs) -> Result<u8> {
    let bus = connect::existing_to_look_on(global, "nuncius-cancel").await?;
    let id = experiment_id::meant(global, Some(&bus), &args.id).await?;
    match cancel::cancel(&bus, &id, &args.reason, None).await? {
        Cancelled::Ending => {
            let told = serde_json::json!({ "id": id, "cancelling": true });
            say(global.json, &told, &format!("{id} is being cancelled; `nuncius watch {id}` shows its end"))?;
        }
        Cancelled::BeforeStart => {
            let told = serde_json::json!({ "id": id, "cancelled": true });
            say(global.json, &told, &format!("{id} is cancelled: it had not started"))?;
        }
    }
    Ok(0)
}

/// `nuncius event`.
pub(super) async fn event(global: &Global, args: EventArgs) -> Result<u8> {
    let EventArgs { id, name, value } = args;
    let bus = connect::existing_to_look_on(global, "nuncius-event").await?;
    let id = experiment_id::meant(global, Some(&bus), &id).await?;
    let wanted = Mark { name: name.clone(), value: value.clone(), who: None, at_unix_ms: None };
    match mark::mark(&bus, &id, &wanted).await {
        Err(ControlError::Mark(error)) => return Err(Usage(error.to_string()).into()),
        marked => marked?,
    }
    say(
        global.json,
        &serde_json::json!({ "id": id, "name": name, "value": value }),
        &format!("{id} is marked: {name}"),
    )?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::submission;

    use super::*;

    fn with_flags(text: &str, id: Option<&str>, services: &[&str]) -> Result<Submission, Usage> {
        let args = SubmissionArgs {
            file: "-".into(),
            id: id.map(str::to_owned),
            services: services.iter().map(|flag| (*flag).to_owned()).collect(),
        };
        let mut submission = submission::from_bytes(text.as_bytes()).unwrap();
        apply(&args, &mut submission).map(|()| submission)
    }

    #[test]
    fn every_flag_works_for_every_form_of_input() {
        for text in [
            "groups: [{target: 'http://shop/', rate: 1, duration: 1s}]",
            r#"{"groups": [{"target": "http://shop/", "rate": 1, "duration": "1s"}]}"#,
            r#"{"instructions": "spawn .* shop 1\nrps .* shop 10\nsleep 1"}"#,
            "instructions: |\n  spawn .* shop 1\n  rps .* shop 10\n  sleep 1\n",
            r#"{"configuration": {"duration": 1, "interval": 1, "workloads": [{"service": "shop", "ticks": [1]}]}}"#,
        ] {
            let submission = with_flags(text, Some("mine"), &["shop=127.0.0.1:80,127.0.0.1:81"]).unwrap();
            assert_eq!(submission.id(), Some("mine"), "{text}");
            // What is published is read as the same thing.
            let published = serde_json::to_vec(&submission.to_value().unwrap()).unwrap();
            assert_eq!(submission::from_bytes(&published).unwrap(), submission, "{text}");
            let spec = match submission {
                Submission::Spec(spec) => *spec,
                Submission::Galileo(input) => input.translate(&["node".to_owned()]).unwrap(),
            };
            assert_eq!(spec.id.as_deref(), Some("mine"), "{text}");
            assert_eq!(spec.services["shop"], ["127.0.0.1:80", "127.0.0.1:81"], "{text}");
            for wrong in ["shop", "shop=nowhere", "a b=127.0.0.1:80"] {
                let error = with_flags(text, None, &[wrong]).unwrap_err().to_string();
                assert!(error.contains("--service"), "{error}");
            }
            assert!(with_flags(text, Some("a b"), &[]).unwrap_err().to_string().contains("--id"));
        }
    }
}
