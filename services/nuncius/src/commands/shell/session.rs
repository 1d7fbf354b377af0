//! Lines, worked out one after the other.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nuncius_schemas::units::HumanDuration;
use nuncius_shell::{Arguments, Expression, Object, ShellError, Statement, Value, help};

use super::calls;
use super::groups;
use super::state::{NAMES_MAX, State};
use crate::output::{note, print};
use crate::signals::Interrupts;

/// Largest script, in bytes.
const SCRIPT_MAX_BYTES: u64 = 1 << 20;
/// How deep scripts may `source` scripts.
const SOURCE_DEPTH_MAX: usize = 8;
/// Longest `sleep`.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The text of a script.
///
/// # Errors
/// One that cannot be read, or is too large.
pub(super) fn script(path: &Path) -> Result<String> {
    let shown = path.display();
    let length = std::fs::metadata(path).with_context(|| shown.to_string())?.len();
    if length > SCRIPT_MAX_BYTES {
        bail!("{shown} has {length} bytes, at most {SCRIPT_MAX_BYTES} are taken");
    }
    let bytes = std::fs::read(path).with_context(|| shown.to_string())?;
    String::from_utf8(bytes).map_err(|_| anyhow!("{shown} is no UTF-8 text"))
}

/// Does a line.
///
/// # Errors
/// What the line cannot mean, and what it means and cannot be done.
pub(super) async fn line(state: &mut State, line: &str) -> Result<()> {
    let Some(Statement { target, expression }) = nuncius_shell::parse(line)? else { return Ok(()) };
    if target.is_some() && is_call_of(&expression, "add") {
        let problem = "add: makes no group of its own: write it without a name before it; clients that are steered \
                       apart are spawned apart, with g.spawn()";
        return Err(ShellError::Arguments(problem.to_owned()).into());
    }
    // A name alone that is a word of the shell is called: `usage`, `exit`.
    let value = value(state, &expression).await?;
    match target {
        Some(name) => {
            let problem =
                || ShellError::Arguments(format!("there are {NAMES_MAX} names, which is as many as there can be"));
            if !state.set_name(&name, value) { Err(problem().into()) } else { Ok(()) }
        }
        None => show(state, &value).await,
    }
}

/// Whether it is a call of a method of this name.
fn is_call_of(expression: &Expression, method: &str) -> bool {
    let Expression::Call { callee, .. } = expression else { return false };
    matches!(callee.as_ref(), Expression::Attribute(_, name) if name == method)
}

/// Prints a value, as Python's prompt does.
async fn show(state: &State, value: &Value) -> Result<()> {
    match value {
        Value::None => {}
        Value::Object(Object::Routes) => print(&calls::route_table(state).await?),
        Value::Object(Object::Galileo | Object::Show | Object::Experiment | Object::Telemetry) => {
            print(&help::about(&value.to_string()).unwrap_or_default());
        }
        other => print(&described(state, other)),
    }
    Ok(())
}

fn described(state: &State, value: &Value) -> String {
    match value {
        Value::Object(Object::Group(number)) => state
            .groups
            .get(*number)
            .map_or_else(String::new, |group| format!("{}: {} clients of {}", group.name, group.count, group.service)),
        Value::Object(Object::Work(number)) => {
            state.works.get(*number).map_or_else(String::new, |work| work.told.clone())
        }
        Value::List(entries) if entries.iter().any(|entry| matches!(entry, Value::Object(_))) => {
            entries.iter().map(|entry| described(state, entry)).collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

/// What an expression is worth. How deep it goes is bounded by whoever read the line.
fn value<'a>(
    state: &'a mut State,
    expression: &'a Expression,
) -> std::pin::Pin<Box<dyn Future<Output = Result<Value>> + 'a>> {
    Box::pin(async move {
        match expression {
            Expression::Value(found) => Ok(found.clone()),
            Expression::Name(name) => state.named(name).ok_or_else(|| unknown(name)),
            Expression::List(entries) => Ok(Value::List(values(state, entries).await?)),
            Expression::Tuple(entries) => Ok(Value::Tuple(values(state, entries).await?)),
            Expression::Dict(entries) => {
                let mut pairs = Vec::new();
                for (key, entry) in entries {
                    pairs.push((value(state, key).await?, value(state, entry).await?));
                }
                Ok(Value::Dict(pairs))
            }
            Expression::Attribute(_, name) if name == "done" || name == "aborted" => {
                let problem =
                    format!("`{name}` is not kept: wait() returns once they are answered, info() counts them");
                Err(ShellError::Arguments(problem).into())
            }
            Expression::Attribute(_, name) => {
                Err(ShellError::Arguments(format!("`{}` is called: write {0}()", shown(name))).into())
            }
            Expression::Call { callee, positional, keyword } => {
                let mut given = Arguments { positional: values(state, positional).await?, keyword: Vec::new() };
                for (name, argument) in keyword {
                    given.keyword.push((name.clone(), value(state, argument).await?));
                }
                match callee.as_ref() {
                    Expression::Name(name) => function(state, name, given).await,
                    Expression::Attribute(object, method) => match value(state, object).await? {
                        Value::Object(object) => calls::call(state, object, method, given).await,
                        other => Err(ShellError::Arguments(format!("{other} has no methods")).into()),
                    },
                    Expression::Value(_)
                    | Expression::List(_)
                    | Expression::Tuple(_)
                    | Expression::Dict(_)
                    | Expression::Call { .. } => {
                        Err(ShellError::Arguments("only methods and functions are called".to_owned()).into())
                    }
                }
            }
        }
    })
}

async fn values(state: &mut State, entries: &[Expression]) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for entry in entries {
        found.push(value(state, entry).await?);
    }
    Ok(found)
}

fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}

fn unknown(name: &str) -> anyhow::Error {
    ShellError::Arguments(format!("nothing is called `{}`; `usage` shows what there is", shown(name))).into()
}

/// Functions that belong to no object.
async fn function(state: &mut State, name: &str, given: Arguments) -> Result<Value> {
    match name {
        "usage" | "env" | "pwd" | "exit" => {
            given.bind(name, &[], 0)?;
            match name {
                "usage" => print(&help::usage()),
                "pwd" => {
                    print(&std::env::current_dir().context("there is no working directory")?.display().to_string())
                }
                "exit" => state.is_leaving = true,
                _ => {
                    let data = state.data.as_ref().map_or_else(|| "-".to_owned(), |path| path.display().to_string());
                    print(&format!("namespace       {}\ndata directory  {data}", state.bus.namespace().as_str()));
                }
            }
        }
        "help" => {
            let given = given.bind(name, &["about"], 1)?;
            let about = match given.value("about") {
                Value::Object(Object::Group(_)) => "group".to_owned(),
                Value::Object(Object::Work(_)) => "work".to_owned(),
                other => other.plain(),
            };
            print(&help::about(&about).ok_or_else(|| unknown(&about))?);
        }
        "sleep" => {
            let given = given.bind(name, &["time"], 1)?;
            let time = match given.optional_text("time") {
                Ok(Some(text)) => text.parse::<HumanDuration>().ok().map(HumanDuration::to_std),
                Ok(None) | Err(_) => Duration::try_from_secs_f64(given.number("time")?).ok(),
            };
            let time = time.filter(|time| *time <= SLEEP_MAX);
            let problem = || given.refused("time", "a time up to a day is needed: 2, 0.5, 500ms, 1m");
            tokio::time::sleep(time.ok_or_else(problem)?).await;
        }
        "source" => {
            let path = given.bind(name, &["file"], 1)?.text("file")?;
            source(state, Path::new(&path)).await?;
        }
        _ => return Err(unknown(name)),
    }
    Ok(Value::None)
}

/// Does the lines of a file, up to the first that fails.
async fn source(state: &mut State, path: &Path) -> Result<()> {
    if state.depth >= SOURCE_DEPTH_MAX {
        bail!(ShellError::Arguments(format!("source: scripts in scripts go {SOURCE_DEPTH_MAX} deep at most")));
    }
    let text = script(path)?;
    state.depth += 1;
    let mut outcome = Ok(());
    for (number, written) in (1..).zip(text.lines()) {
        outcome = line(state, written).await.map_err(|error| anyhow!("{}, line {number}: {error:#}", path.display()));
        if outcome.is_err() || state.is_leaving {
            break;
        }
    }
    state.depth -= 1;
    outcome
}

/// Ends what runs, and says so; another signal leaves it to itself.
///
/// # Errors
/// What could not be ended in good order.
pub(super) async fn leave(state: &mut State, interrupts: &mut Interrupts) -> Result<()> {
    let running = |state: &State| -> Vec<String> {
        state.groups.iter().filter_map(|group| Some(group.run.as_ref()?.id.clone())).collect()
    };
    let ids = running(state);
    if ids.is_empty() {
        return Ok(());
    }
    note(&format!("ending what runs: {}", ids.join(", ")));
    match interrupts.unless(groups::conclude_all(state, |_| true)).await {
        Some(done) => done,
        None => {
            let left = running(state).join(", ");
            note(&format!("left to themselves: {left}; `nuncius end ID` ends them"));
            bail!("interrupted")
        }
    }
}
