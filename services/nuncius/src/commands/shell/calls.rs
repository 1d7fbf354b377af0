//! What calls do.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use nuncius_clock::unix_ms;
use nuncius_control::apps;
use nuncius_control::mark::{self, Mark};
use nuncius_control::routes::{self, Expected};
use nuncius_schemas::event::{MARKS_MAX, check_mark};
use nuncius_schemas::interarrival::CLIENTS_MAX;
use nuncius_schemas::names::check_token;
use nuncius_schemas::route::{Route, RouteHost, Weight};
use nuncius_schemas::telemetry::TelemetryControl;
use nuncius_shell::{Arguments, Object, ShellError, Value, help, tables};

use super::convert::{Load, interarrival, json, labels, requested};
use super::state::{GROUPS_MAX, Group, Naming, State, Work};
use super::{fleet, groups};
use crate::commands::telemetry;
use crate::output::{note, print};

fn refuse(problem: String) -> anyhow::Error {
    ShellError::Arguments(problem).into()
}

/// Calls a method of an object.
pub(super) async fn call(state: &mut State, object: Object, method: &str, given: Arguments) -> Result<Value> {
    match object {
        Object::Galileo => galileo(state, method, given).await,
        Object::Show => show(state, method, given).await,
        Object::Experiment => experiment(state, method, given).await,
        Object::Routes => routing(state, method, given).await,
        Object::Telemetry => machines(state, method, given).await,
        Object::Group(number) => group(state, number, method, given).await,
        Object::Work(number) => work(state, number, method, given).await,
    }
}

fn no_method(object: &str, method: &str, methods: &[(&str, &str)]) -> anyhow::Error {
    let names: Vec<&str> = methods.iter().filter_map(|(known, _)| known.split('(').next()).collect();
    let shown: String = method.chars().take(40).collect();
    refuse(format!("{object} has no `{shown}`; it has {}", names.join(", ")))
}

fn methods_of(object: &str) -> &'static [(&'static str, &'static str)] {
    help::OBJECTS.iter().find(|(known, ..)| *known == object).map_or(&[], |(_, _, methods)| methods)
}

fn texts(names: Vec<String>) -> Value {
    Value::List(names.into_iter().map(Value::Text).collect())
}

async fn galileo(state: &mut State, method: &str, given: Arguments) -> Result<Value> {
    let bus = &state.bus;
    match method {
        "spawn" => return spawn(state, given),
        "clients" if !given.positional.is_empty() => {
            let problem = "clients: lists the groups of this session, and takes no ids: what another session runs is \
                           steered with `nuncius scale`, `pause` and `end`";
            return Err(refuse(problem.to_owned()));
        }
        "request" => {
            let problem = "request: from here use `curl`; from a node write c = g.spawn('shop'), then c.request(1)";
            return Err(refuse(problem.to_owned()));
        }
        _ => {}
    }
    if !methods_of("g").iter().any(|(known, _)| known.split('(').next() == Some(method)) {
        return Err(no_method("g", method, methods_of("g")));
    }
    given.bind(method, &[], 0)?;
    Ok(match method {
        // The registry tells by itself who comes and goes.
        "discover" | "workers" => texts(fleet::workers(bus).await?),
        "ping" => texts(fleet::ping(bus).await?),
        "workers_info" => Value::List(fleet::infos(bus).await?),
        "start_tracing" | "stop_tracing" => {
            state.tracing = Some(method == "start_tracing");
            Value::None
        }
        _ => Value::List((0..state.groups.len()).map(|number| Value::Object(Object::Group(number))).collect()),
    })
}

/// A group, which sends nothing until it is given work.
fn spawn(state: &mut State, given: Arguments) -> Result<Value> {
    let given = given.bind("spawn", &["service", "num", "client", "parameters", "worker_labels"], 1)?;
    let service = given.text("service")?;
    check_token("service", &service).map_err(|error| given.refused("service", &error.to_string()))?;
    let count = u32::try_from(given.count("num")?.unwrap_or(1)).ok().filter(|count| *count <= CLIENTS_MAX);
    let count = count.ok_or_else(|| given.refused("num", &format!("at most {CLIENTS_MAX} clients are taken")))?;
    if given.optional_text("client")?.is_some() {
        let problem = "applications are run as experiments, with `nuncius run`; clients of the shell send one request";
        return Err(given.refused("client", problem).into());
    }
    if state.groups.len() >= GROUPS_MAX {
        return Err(refuse(format!("spawn: there are {GROUPS_MAX} groups, which is as many as there can be")));
    }
    let parameters = given.entries("parameters")?;
    let made = Group {
        name: state.free_name(),
        wanted: requested(&service, &parameters)?,
        service,
        parameters: given.value("parameters").to_string(),
        labels: labels(given.entries("worker_labels")?),
        count,
        run: None,
    };
    let number = state.groups.len();
    let value = Value::Object(Object::Group(number));
    if !state.set_name(&made.name, value.clone()) {
        return Err(refuse("spawn: there are too many names".to_owned()));
    }
    state.groups.push(made);
    Ok(value)
}

async fn group(state: &mut State, number: usize, method: &str, given: Arguments) -> Result<Value> {
    match method {
        "rps" => {
            let rate = given.bind(method, &["n"], 1)?.number("n")?;
            groups::rps(state, number, rate).await?;
        }
        "request" => {
            let given = given.bind(method, &["n", "ia"], 0)?;
            let (requests, times) = (given.count("n")?, given.value("ia"));
            let load = match (times, requests) {
                (Value::None, Some(requests)) => Load::Fast(requests),
                (Value::None, None) => return Err(given.refused("n", "say how many requests, or `ia`").into()),
                (times, requests) => Load::Times(interarrival(times)?, requests),
            };
            let each = requests.map_or_else(|| "requests".to_owned(), |requests| format!("{requests} requests"));
            let id = groups::start(state, number, load, None).await?;
            state.works.push(Work { group: number, told: format!("{id}: {each} of each client"), id });
            return Ok(Value::Object(Object::Work(state.works.len() - 1)));
        }
        "pause" | "resume" => {
            given.bind(method, &[], 0)?;
            groups::pause(state, number, method == "pause").await?;
        }
        "add" => {
            let more = given.bind(method, &["n"], 1)?.count("n")?.unwrap_or(1);
            groups::add(state, number, more).await?;
        }
        "close" => {
            let fewer = given.bind(method, &["n"], 0)?.count("n")?;
            groups::close(state, number, fewer).await?;
        }
        "info" => {
            given.bind(method, &[], 0)?;
            print(&info(state, &[number]).await?);
        }
        "merge" => {
            let problem = "merge: groups are not merged: write each call for each of them, or give one more with add()";
            return Err(refuse(problem.to_owned()));
        }
        _ => return Err(no_method("a group of clients", method, help::GROUP)),
    }
    Ok(Value::None)
}

async fn work(state: &mut State, number: usize, method: &str, given: Arguments) -> Result<Value> {
    let found = state.works.get(number).cloned();
    let Work { group, id, .. } = found.ok_or_else(|| refuse("there are no such requests".to_owned()))?;
    match method {
        "wait" => {
            let given = given.bind(method, &["timeout", "abort_after_timeout"], 0)?;
            let is_left = given.flag("abort_after_timeout")? == Some(false);
            let waited = groups::wait(state, group, &id);
            if *given.value("timeout") == Value::None {
                waited.await?;
                return Ok(Value::None);
            }
            let seconds = given.number("timeout")?;
            let longest = Duration::try_from_secs_f64(seconds).map_err(|_| given.refused("timeout", "too long"))?;
            match tokio::time::timeout(longest, waited).await {
                Ok(done) => done?,
                Err(_) if is_left => print(&format!("{id}: not answered within {seconds} s, goes on")),
                // As in the original, whoever waits no longer wants it no longer.
                Err(_) => groups::conclude(state, group).await?,
            }
        }
        "abort" => {
            given.bind(method, &[], 0)?;
            if groups::group(state, group)?.run.as_ref().is_some_and(|run| run.id == id) {
                groups::conclude(state, group).await?;
            }
        }
        _ => return Err(no_method("what was requested", method, help::WORK)),
    }
    Ok(Value::None)
}

/// Groups as cells: the columns of `show.clients()`.
fn cells(group: &Group) -> Vec<String> {
    let labels: Vec<String> = group.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let experiment = group.run.as_ref().map_or_else(|| "-".to_owned(), |run| run.id.clone());
    let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(",") };
    let parameters = tables::cut(&group.parameters);
    vec![group.name.clone(), group.count.to_string(), group.service.clone(), labels, parameters, experiment]
}

const COLUMNS: [&str; 6] = ["group", "clients", "service", "worker labels", "parameters", "experiment"];

/// The same with the requests so far.
async fn info(state: &State, numbers: &[usize]) -> Result<String> {
    let mut rows = Vec::new();
    for found in numbers.iter().filter_map(|number| state.groups.get(*number)) {
        let mut row = cells(found);
        row.extend(match &found.run {
            Some(run) => {
                let (sent, failed) = groups::so_far(&state.bus, &run.id).await?;
                [sent.to_string(), failed.to_string()]
            }
            None => ["-".to_owned(), "-".to_owned()],
        });
        rows.push(row);
    }
    let heading: Vec<&str> = COLUMNS.into_iter().chain(["requests", "failed"]).collect();
    Ok(tables::table(&heading, &rows))
}

async fn show(state: &mut State, method: &str, given: Arguments) -> Result<Value> {
    if !methods_of("show").iter().any(|(known, _)| known.split('(').next() == Some(method)) {
        return Err(no_method("show", method, methods_of("show")));
    }
    given.bind(method, &[], 0)?;
    let all: Vec<usize> = (0..state.groups.len()).collect();
    let told = match method {
        "workers" => match fleet::workers(&state.bus).await?.as_slice() {
            [] => "no available workers".to_owned(),
            names => names.join("\n"),
        },
        "apps" => {
            let names: Vec<String> = apps::list(&state.bus).await?.into_iter().map(|app| app.name).collect();
            if names.is_empty() { "no apps".to_owned() } else { names.join("\n") }
        }
        "clients" => tables::table(&COLUMNS, &state.groups.iter().map(cells).collect::<Vec<_>>()),
        _ => info(state, &all).await?,
    };
    print(&told);
    Ok(Value::None)
}

async fn experiment(state: &mut State, method: &str, given: Arguments) -> Result<Value> {
    match method {
        "start" => {
            let given = given.bind(method, &["name", "creator", "metadata"], 0)?;
            if state.naming.is_some() {
                return Err(refuse("experiment already running".to_owned()));
            }
            let mut metadata = BTreeMap::new();
            for (name, value) in given.entries("metadata")? {
                // Texts as they are, the rest as JSON.
                let text = if let Value::Text(text) = value { text } else { json(&value)?.to_string() };
                metadata.insert(name, text);
            }
            let (name, creator) = (given.optional_text("name")?, given.optional_text("creator")?);
            state.naming = Some(Naming { name, creator, metadata, ..Naming::default() });
            print("experiment started");
        }
        "event" => {
            let given = given.bind(method, &["name", "value"], 1)?;
            let name = given.text("name")?;
            let value = Some(given.value("value")).filter(|value| **value != Value::None).map(Value::plain);
            event(state, Mark { name, value, who: None, at_unix_ms: None }).await?;
        }
        "stop" => {
            // How long to wait is Galileo's: here it is until the report is there.
            given.bind(method, &["wait"], 0)?;
            if state.naming.is_none() {
                return Err(refuse("no experiment is running: start one with exp.start()".to_owned()));
            }
            print("waiting for experiment to end...");
            groups::conclude_all(state, |run| run.is_named).await?;
            if state.naming.take().is_some_and(|naming| !naming.has_begun && !naming.kept.is_empty()) {
                note("no group was given work since exp.start(): its events are in no experiment");
            }
            print("ok");
        }
        _ => return Err(no_method("exp", method, methods_of("exp"))),
    }
    Ok(Value::None)
}

/// Marks what runs. While nothing of what `exp.start` began has work, the mark is kept for what begins.
async fn event(state: &mut State, mark: Mark) -> Result<()> {
    check_mark(&mark.name, mark.value.as_deref()).map_err(|error| refuse(format!("event: {error}")))?;
    let at_ms = unix_ms();
    let runs: Vec<(String, bool)> =
        state.groups.iter().filter_map(|group| group.run.as_ref()).map(|run| (run.id.clone(), run.is_named)).collect();
    let waits = runs.iter().all(|(_, is_named)| !is_named);
    match state.naming.as_mut().filter(|_| waits) {
        Some(naming) if naming.kept.len() >= MARKS_MAX => {
            return Err(refuse(format!("event: {MARKS_MAX} are kept, the most that an experiment takes: begin one")));
        }
        Some(naming) => naming.kept.push(Mark { at_unix_ms: Some(at_ms), ..mark.clone() }),
        None if runs.is_empty() => {
            let problem = "no group has work, and exp.start() was not called: there is nothing to mark";
            return Err(refuse(problem.to_owned()));
        }
        None => {}
    }
    for (id, _) in runs {
        mark::mark(&state.bus, &id, &mark).await?;
    }
    let Mark { name, value, .. } = mark;
    let shown = value.unwrap_or_else(|| "None".to_owned());
    print(&format!("{}.{:03}: {name} = {shown}", at_ms / 1_000, at_ms % 1_000));
    Ok(())
}

/// The routing table as text.
pub(super) async fn route_table(state: &State) -> Result<String> {
    let all = routes::list(&state.bus).await?;
    let rows: Vec<tables::RouteRows<'_>> = all
        .iter()
        .map(|found| {
            let hosts = found.route.hosts.iter().map(|host| (host.address.as_str(), host.weight.value()));
            (found.route.service.as_str(), hosts.collect())
        })
        .collect();
    Ok(tables::routes(&rows))
}

/// A route as Galileo shows a record of its table.
fn record(route: &Route) -> String {
    let hosts: Vec<String> = route.hosts.iter().map(|host| Value::Text(host.address.clone()).to_string()).collect();
    let weights: Vec<String> = route.hosts.iter().map(|host| host.weight.to_string()).collect();
    let (hosts, weights) = (hosts.join(", "), weights.join(", "));
    format!("RoutingRecord(service='{}', hosts=[{hosts}], weights=[{weights}])", route.service)
}

/// A weight of a call.
fn weight(value: &Value) -> Result<Weight> {
    let number = value.number().ok_or_else(|| refuse(format!("weights: `{value}` is no number")))?;
    Weight::new(number).map_err(|error| refuse(format!("weights: {error}")))
}

async fn routing(state: &mut State, method: &str, given: Arguments) -> Result<Value> {
    let bus = &state.bus;
    match method {
        "set" | "append" => {
            let (hosts, weights) = if method == "set" { ("hosts", "weights") } else { ("host", "weight") };
            let given = given.bind(method, &["service", hosts, weights], 2)?;
            let (service, addresses) = (given.text("service")?, given.texts(hosts)?);
            let alone = std::slice::from_ref(given.value(weights));
            let written = match given.value(weights) {
                Value::None => vec![Weight::default(); addresses.len()],
                some => some.entries().unwrap_or(alone).iter().map(weight).collect::<Result<_>>()?,
            };
            if written.len() != addresses.len() {
                return Err(refuse(format!(
                    "{method}: invalid number of weights: {} for {} hosts",
                    written.len(),
                    addresses.len()
                )));
            }
            let pairs = addresses.into_iter().zip(written);
            let hosts: Vec<RouteHost> = pairs.map(|(address, weight)| RouteHost { address, weight }).collect();
            if method == "append" {
                routes::append(bus, &service, &hosts).await?;
                return Ok(Value::Object(Object::Routes));
            }
            let route = Route { service, hosts, owner: None };
            routes::put(bus, &route, Expected::Any).await?;
            print(&record(&route));
            return Ok(Value::None);
        }
        "update_weights" => {
            let given = given.bind(method, &["service", "weights"], 2)?;
            let weights = given.value("weights").entries();
            let weights = weights.ok_or_else(|| given.refused("weights", "a list of numbers is needed"))?;
            let weights = weights.iter().map(weight).collect::<Result<Vec<_>>>()?;
            routes::reweigh(bus, &given.text("service")?, &weights).await?;
        }
        "remove" => {
            let service = given.bind(method, &["service"], 1)?.text("service")?;
            routes::remove(bus, &service, Expected::Any).await?;
        }
        "clear" => {
            given.bind(method, &[], 0)?;
            for found in routes::list(bus).await?.into_iter().filter(|found| found.route.owner.is_none()) {
                routes::remove(bus, &found.route.service, Expected::Revision(found.revision)).await?;
            }
        }
        "record" => {
            let service = given.bind(method, &["service"], 1)?.text("service")?;
            print(&record(&routes::get(bus, &service).await?.route));
            return Ok(Value::None);
        }
        "records" => {
            given.bind(method, &[], 0)?;
            for found in routes::list(bus).await? {
                print(&record(&found.route));
            }
            return Ok(Value::None);
        }
        "print" => {
            given.bind(method, &[], 0)?;
        }
        _ => return Err(no_method("rtbl", method, methods_of("rtbl"))),
    }
    Ok(Value::Object(Object::Routes))
}

async fn machines(state: &mut State, method: &str, given: Arguments) -> Result<Value> {
    let (control, parameters): (_, &[&'static str]) = match method {
        "start_telemd" => (TelemetryControl::Resume {}, &["hosts"]),
        "stop_telemd" => (TelemetryControl::Pause {}, &["hosts"]),
        "list_telemd_hosts" => (TelemetryControl::Describe {}, &[]),
        _ => return Err(no_method("telemd", method, methods_of("telemd"))),
    };
    let hosts = given.bind(method, parameters, 0)?.texts("hosts")?;
    let found = telemetry::select(&state.bus, &hosts, Duration::ZERO).await?;
    if method == "list_telemd_hosts" {
        return Ok(Value::List(found.into_iter().map(Value::Text).collect()));
    }
    for node in &found {
        telemetry::ask(&state.bus, node, &control).await.map_err(|problem| refuse(format!("{node}: {problem}")))?;
    }
    Ok(Value::None)
}
