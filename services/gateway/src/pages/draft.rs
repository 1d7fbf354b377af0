//! A new experiment: written, checked, submitted.

use axum::body::Body;
use axum::extract::{Request, State};
use hyper::Response;
use nuncius_import::artillery::{self, Options};
use nuncius_import::keys::{KeyGroup, grouped};
use nuncius_import::{ImportError, KeyReport, Wanted, Warning};
use nuncius_pages::new::{Draft, EXAMPLES, ImportedFile, Problem as Wrong, page};
use nuncius_schemas::document::yaml::to_yaml;

use super::changed::{Form, taken};
use super::door::Visitor;
use super::sent::see_other;
use crate::access::Scope;
use crate::api::{
    ApiState, Message, Validated, cleaned_reason, fresh_id, read_submission, submit_read, validate_experiment,
};
use crate::problem::Problem;

/// What the button says that submits; the other one checks.
const SUBMIT: &str = "submit";
/// Why a file that a test names is not read.
const NO_FILES: &str = "files are not read here: import the test with `nuncius import`, which packs what it names";
/// Why a test whose files would have to go with it is not run.
const NEEDS_FILES: &str = "the experiment needs files beside it: import the test with `nuncius import --out DIRECTORY`";
/// Names and values of a form are longer than what they stand for.
const ENCODING: usize = 3;

/// The page with an example, or with nothing.
pub(super) async fn show(visitor: Visitor) -> Response<Body> {
    let wanted = visitor.parameter("example").unwrap_or("smallest");
    let text = EXAMPLES.iter().find(|(name, _)| *name == wanted).map_or("", |(_, text)| *text);
    visitor.answer(Ok(page(&visitor.frame, &Draft { text: text.to_owned(), ..Draft::default() })))
}

/// Checks it, or submits it.
pub(super) async fn take(State(api): State<ApiState>, visitor: Visitor, request: Request) -> Response<Body> {
    match taken_in(&api, &visitor, request).await {
        Ok(answer) => answer,
        Err(refused) => visitor.refused(&refused),
    }
}

async fn taken_in(api: &ApiState, visitor: &Visitor, request: Request) -> Result<Response<Body>, Problem> {
    let most_bytes = api.settings().body_max_bytes.saturating_mul(ENCODING);
    let needed = |form: &Form| if form.field("do") == SUBMIT { Scope::Control } else { Scope::Read };
    let (who, form) = taken(api, request, most_bytes, needed).await?;
    let mut draft = Draft { text: form.field("spec").to_owned(), ..Draft::default() };
    if form.field("do") != SUBMIT {
        let told = validate_experiment(api, draft.text.as_bytes()).await?;
        draft.plan = told.problems.is_empty().then(|| plan(&told));
        draft.problems = told.problems.into_iter().map(wrong).collect();
        return Ok(visitor.answer(Ok(page(&visitor.frame, &draft))));
    }
    let submitted = match read_submission(draft.text.as_bytes()) {
        Ok(read) => submit_read(api, read, None, &who, &cleaned_reason(form.field("reason"), "reason")?).await,
        Err(refused) => Err(refused),
    };
    match submitted {
        Ok(once) => Ok(see_other(&format!("{}/runs/{}", api.settings().base_path, once.id))),
        Err(refused) => {
            let (line, _) = refused.place();
            draft.problems.push(Wrong {
                line: line_of(line),
                field: refused.field_path().unwrap_or_default().to_owned(),
                problem: refused.detail().to_owned(),
            });
            Ok(visitor.answer(Ok(page(&visitor.frame, &draft))))
        }
    }
}

/// Makes a specification of a test of Artillery, and says key by key what became of it.
pub(super) async fn import(State(api): State<ApiState>, visitor: Visitor, request: Request) -> Response<Body> {
    match imported(&api, &visitor, request).await {
        Ok(answer) => answer,
        Err(refused) => visitor.refused(&refused),
    }
}

async fn imported(api: &ApiState, visitor: &Visitor, request: Request) -> Result<Response<Body>, Problem> {
    let most_bytes = api.settings().body_max_bytes.saturating_mul(ENCODING);
    let (_, form) = taken(api, request, most_bytes, |_| Scope::Read).await?;
    let text = form.field("text").to_owned();
    let target = Some(form.field("target").to_owned()).filter(|target| !target.is_empty());
    let options = Options { target, test_id: fresh_id(), ..Options::default() };
    // Files of this machine are nobody's business.
    let mut nothing = |_: Wanted<'_>| Err(NO_FILES.to_owned());
    let made =
        tokio::task::spawn_blocking(move || artillery::import("test.yml", text.as_bytes(), &options, &mut nothing));
    let made = made.await.map_err(|error| Problem::internal(format!("not imported: {error}")))?;
    let draft = match made {
        Ok(found) if found.files.is_empty() => Draft {
            text: to_yaml(&found.document),
            imported: Some(told(&found.keys, &found.warnings, &found.differences, String::new())),
            ..Draft::default()
        },
        Ok(found) => Draft {
            imported: Some(told(&found.keys, &found.warnings, &found.differences, NEEDS_FILES.to_owned())),
            ..Draft::default()
        },
        Err(ImportError::Refused { keys, warnings }) => {
            let refused = ImportError::Refused { keys: keys.clone(), warnings: Vec::new() }.to_string();
            Draft { imported: Some(told(&keys, &warnings, &[], refused)), ..Draft::default() }
        }
        Err(error) => Draft {
            imported: Some(ImportedFile { refused: error.to_string(), ..ImportedFile::default() }),
            ..Draft::default()
        },
    };
    Ok(visitor.answer(Ok(page(&visitor.frame, &draft))))
}

/// What became of each kind of key.
fn told(keys: &[KeyReport], warnings: &[Warning], differences: &[String], refused: String) -> ImportedFile {
    let row = |group: &KeyGroup| {
        let first = &group.first;
        let place = first.position.map(|position| position.to_string()).unwrap_or_default();
        [first.support.to_string(), group.pattern.clone(), group.count.to_string(), place, first.note.clone()]
    };
    let warnings = warnings.iter().map(ToString::to_string);
    ImportedFile {
        keys: grouped(keys).iter().map(row).collect(),
        warnings: warnings.chain(differences.iter().cloned()).collect(),
        refused,
    }
}

fn wrong(message: Message) -> Wrong {
    Wrong { line: line_of(message.line), field: message.field, problem: message.message }
}

fn line_of(line: Option<u64>) -> Option<usize> {
    line.and_then(|line| usize::try_from(line).ok())
}

/// What it would do, in words.
fn plan(told: &Validated) -> String {
    let mut lines = Vec::new();
    for group in &told.groups {
        let load = match (group.scheduled, group.users) {
            (Some(scheduled), _) => format!("{scheduled} iterations"),
            (None, Some(users)) => format!("{users} users"),
            (None, None) => "no load".to_owned(),
        };
        let length = group.offered_seconds.map_or_else(String::new, |seconds| format!(" in {seconds} s"));
        lines.push(format!("group {}: {load}{length} at {}", group.name, group.target));
    }
    lines.extend(told.gates.iter().map(|gate| format!("gate {gate}")));
    lines.extend(told.nodes.iter().map(|node| format!("node {node}")));
    lines.extend(told.warnings.iter().map(|warning| format!("but {}: {}", warning.field, warning.message)));
    lines.join("\n")
}
