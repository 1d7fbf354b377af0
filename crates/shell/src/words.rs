//! Lines of plain words, turned into the calls that mean the same.

use crate::{Expression, ShellError, Statement, Value, help};

/// What a line of plain words means; `None` where it is something else.
pub(crate) fn statement(line: &str) -> Option<Result<Statement, ShellError>> {
    let verb = line.split_whitespace().next()?;
    let rest = line.get(verb.len()..).unwrap_or_default().trim_start();
    // `exp = 1` and `sleep (2)` are for the grammar, which has names such as `exp`, too.
    if !help::VERBS.iter().any(|(known, _)| *known == verb) || rest.starts_with(['=', '(']) {
        return None;
    }
    let usage = help::VERBS.iter().find(|(known, _)| *known == verb).map_or("", |(_, usage)| usage);
    let made = split(rest).and_then(|words| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        meaning(verb, &words).ok_or(ShellError::Words(usage))
    });
    Some(made)
}

/// Words, and texts in quotes; a `#` that begins a word begins a comment.
fn split(rest: &str) -> Result<Vec<String>, ShellError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<(char, usize)> = None;
    for (index, next) in rest.chars().enumerate() {
        match quote {
            Some((open, _)) if next == open => quote = None,
            Some(_) => word.get_or_insert_default().push(next),
            None if next == '\'' || next == '"' => {
                word.get_or_insert_default();
                quote = Some((next, index + 1));
            }
            None if next.is_whitespace() => words.extend(word.take()),
            None if next == '#' && word.is_none() => return Ok(words),
            None => word.get_or_insert_default().push(next),
        }
    }
    words.extend(word);
    match quote {
        None => Ok(words),
        Some((open, column)) => {
            Err(ShellError::Syntax { column, problem: format!("the text has no end: {open} is missing") })
        }
    }
}

/// A word as a number where it is one.
fn value(word: &str) -> Expression {
    let whole = word.parse().ok().map(Value::Integer);
    let number = || word.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Float);
    Expression::Value(whole.or_else(number).unwrap_or_else(|| Value::Text(word.to_owned())))
}

fn values(words: &[&str]) -> Vec<Expression> {
    words.iter().map(|word| value(word)).collect()
}

fn texts(words: &[&str]) -> Expression {
    Expression::List(words.iter().map(|word| Expression::text(word)).collect())
}

fn meaning(verb: &str, words: &[&str]) -> Option<Statement> {
    if verb == "spawn" {
        return spawn(words);
    }
    let expression = match (verb, words) {
        ("rps", [group, rate]) => Expression::method(group, "rps", vec![value(rate)]),
        ("request", [group, count]) => Expression::method(group, "request", vec![value(count)]),
        ("request", [group, count, seconds]) => {
            Expression::method(group, "request", vec![value(count), value(seconds)])
        }
        ("request", [group, count, distribution @ ..]) => {
            let distribution = Expression::Tuple(values(distribution));
            Expression::method(group, "request", vec![value(count), distribution])
        }
        ("pause" | "resume", [group]) => Expression::method(group, verb, Vec::new()),
        ("add", [group, count]) => Expression::method(group, verb, vec![value(count)]),
        ("close", [group, rest @ ..]) if rest.len() <= 1 => Expression::method(group, verb, values(rest)),
        ("info", []) => Expression::method("show", "info", Vec::new()),
        ("info", [group]) => Expression::method(group, "info", Vec::new()),
        ("route", ["set" | "append", service, hosts @ ..]) if !hosts.is_empty() => {
            return hosts_of(words, service, hosts);
        }
        ("route", ["weights", service, weights @ ..]) if !weights.is_empty() => {
            let weights = Expression::List(values(weights));
            Expression::method("rtbl", "update_weights", vec![Expression::text(service), weights])
        }
        ("route", ["rm", service]) => Expression::method("rtbl", "remove", vec![Expression::text(service)]),
        ("route", [] | ["ls"]) => Expression::method("rtbl", "print", Vec::new()),
        ("exp", ["start", rest @ ..]) if rest.len() <= 2 => {
            let texts = rest.iter().map(|word| Expression::text(word)).collect();
            Expression::method("exp", "start", texts)
        }
        ("exp", ["event", name, rest @ ..]) if rest.len() <= 1 => {
            let texts = std::iter::once(name).chain(rest).map(|word| Expression::text(word)).collect();
            Expression::method("exp", "event", texts)
        }
        ("exp", ["stop"]) => Expression::method("exp", "stop", Vec::new()),
        ("telemetry", ["start", hosts @ ..]) => hosts_to("start_telemd", hosts),
        ("telemetry", ["stop", hosts @ ..]) => hosts_to("stop_telemd", hosts),
        ("telemetry", [] | ["ls"]) => Expression::method("telemd", "list_telemd_hosts", Vec::new()),
        ("nodes", []) => Expression::method("show", "workers", Vec::new()),
        ("apps", []) => Expression::method("show", "apps", Vec::new()),
        ("sleep" | "source", [argument]) => Expression::function(verb, vec![value(argument)]),
        ("help", []) => Expression::function("usage", Vec::new()),
        ("help", [about]) => Expression::function("help", vec![Expression::text(about)]),
        ("usage" | "env" | "pwd" | "exit", []) => Expression::function(verb, Vec::new()),
        _ => return None,
    };
    Some(Statement { target: None, expression })
}

/// `spawn SERVICE [COUNT] [LABEL=VALUE…] [as NAME]`.
fn spawn(words: &[&str]) -> Option<Statement> {
    let (words, target) = match words {
        [words @ .., "as", name] if !help::is_taken(name) => (words, Some((*name).to_owned())),
        words => (words, None),
    };
    let (service, rest) = words.split_first()?;
    let (count, labels) = match rest.split_first() {
        Some((count, labels)) if !count.contains('=') => (value(count), labels),
        Some(_) | None => (Expression::Value(Value::Integer(1)), rest),
    };
    let labels: Vec<(Expression, Expression)> = labels
        .iter()
        .map(|label| label.split_once('=').map(|(name, value)| (Expression::text(name), Expression::text(value))))
        .collect::<Option<_>>()?;
    let call = Expression::method("g", "spawn", vec![Expression::text(service), count]);
    let expression = if labels.is_empty() { call } else { call.with("worker_labels", Expression::Dict(labels)) };
    Some(Statement { target, expression })
}

/// `route set SERVICE HOST[=WEIGHT]…`, and `append`, which takes several hosts here.
fn hosts_of(words: &[&str], service: &str, hosts: &[&str]) -> Option<Statement> {
    let method = words.first()?;
    let pairs = hosts.iter().map(|host| host.split_once('=').unwrap_or((host, "1")));
    let (names, weights): (Vec<&str>, Vec<&str>) = pairs.unzip();
    let arguments = vec![Expression::text(service), texts(&names), Expression::List(values(&weights))];
    Some(Statement { target: None, expression: Expression::method("rtbl", method, arguments) })
}

/// Machines that are named, or all of them.
fn hosts_to(method: &str, hosts: &[&str]) -> Expression {
    let arguments = if hosts.is_empty() { Vec::new() } else { vec![texts(hosts)] };
    Expression::method("telemd", method, arguments)
}
