//! What the file comes to with what is given beside it, in Artillery's own order: the file of `--config` is laid over
//! it, then the environment of `--environment` over `config`, then target and TLS, then the overrides, then variables;
//! then `config` is filled in, with the variables of the command alone: those of `config.variables` are not known
//! there.

use std::collections::BTreeMap;

use nuncius_schemas::codec;
use nuncius_schemas::tree::{Content, Meaning, Node, Scalar};

use super::environment::parse_env_file;
use super::merge::{self, Lists};
use super::options::Options;
use super::read;
use super::template::{self, Piece};
use super::view::shown;
use crate::error::ImportError;
use crate::files::{Base, Reader, Wanted};
use crate::keys::{Ledger, Spot};

/// The file, ready to be compiled.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) node: Node,
    /// The environment: that of the process, and what a file adds to it.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Prepares a file.
///
/// # Errors
/// A file cannot be read; an option is not what it should be.
pub(crate) fn prepare(
    name: &str,
    bytes: &[u8],
    options: &Options,
    reader: &mut Reader<'_>,
    ledger: &mut Ledger,
) -> Result<Prepared, ImportError> {
    let file = read::read(name, bytes)?;
    for position in file.repaired {
        let text = "a template without quotes is a map to YAML, and makes Artillery fail: it is taken as the text that \
                    was meant; write it in quotes";
        ledger.warn(Spot { path: String::new(), position: Some(position) }, text);
    }
    let mut node = file.node;
    let mut environment = options.process_environment.clone();
    let mut load = |option: &'static str, path: &String| {
        let problem = |problem: String| ImportError::Option { option, problem: format!("{}: {problem}", shown(path)) };
        reader(Wanted { path, base: Base::WorkingDirectory }).map_err(problem)
    };
    if let Some(path) = &options.env_file {
        let text = String::from_utf8_lossy(&load("--env-file", path)?).into_owned();
        for (name, value) in parse_env_file(&text) {
            environment.entry(name).or_insert(value);
        }
    }
    if let Some(path) = &options.config {
        let mut top = read::read(path, &load("--config", path)?)?.node;
        merge::forget_places(&mut top);
        merge::over(&mut node, top, Lists::Merged);
    }
    if let Some(name) = &options.environment {
        let own = node.get("config").and_then(|config| config.get("environments")).and_then(|all| all.get(name));
        match (own.cloned(), merge::child(&mut node, "config")) {
            (Some(own), Some(config)) => merge::over(config, own, Lists::Merged),
            _ => {
                let text = format!("the environment `{}` is not one of `config.environments`", shown(name));
                ledger.warn(Spot { path: "config.environments".to_owned(), position: None }, text);
            }
        }
    }
    if let (Some(target), Some(config)) = (&options.target, merge::child(&mut node, "config")) {
        merge::set(config, "target", merge::text(target));
    }
    if options.insecure
        && let Some(tls) = merge::child(&mut node, "config").and_then(|config| merge::child(config, "tls"))
    {
        merge::set(tls, "rejectUnauthorized", merge::boolean(false));
    }
    if let Some(text) = &options.overrides {
        merge::over(&mut node, json("--overrides", text)?, Lists::Replaced);
    }
    let mut variables = Vec::new();
    if let Some(text) = &options.variables {
        let given = json("--variables", text)?;
        if let Content::Map(entries) = &given.content {
            variables.extend(entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())));
        }
        if let Some(all) = merge::child(&mut node, "config").and_then(|config| merge::child(config, "variables")) {
            for (name, value) in &variables {
                merge::set(all, name, value.clone());
            }
        }
    }
    if let Some(config) = merge::child(&mut node, "config") {
        fill_in(config, options, name, &variables);
    }
    Ok(Prepared { node, environment })
}

/// A map in JSON, from an option.
fn json(option: &'static str, text: &str) -> Result<Node, ImportError> {
    let wrong = |problem: String| ImportError::Option { option, problem };
    if !text.trim_start().starts_with('{') {
        return Err(wrong("it is no map in JSON: write {\"name\": …}".to_owned()));
    }
    let mut node = codec::read_tree(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    merge::forget_places(&mut node);
    Ok(node)
}

/// Fills in what is known of `config` now. What is of the environment stays: whoever takes it decides whether it has to
/// be known.
fn fill_in(node: &mut Node, options: &Options, file_name: &str, variables: &[(String, Node)]) {
    match &mut node.content {
        Content::Map(entries) => {
            entries.iter_mut().for_each(|entry| fill_in(&mut entry.value, options, file_name, variables));
        }
        Content::List(items) => items.iter_mut().for_each(|item| fill_in(item, options, file_name, variables)),
        Content::Scalar(Scalar { meaning: Meaning::Text, text }) if template::has_template(text) => {
            let pieces = template::parse(text);
            let known = |path: &template::Path| -> Option<Node> {
                let plain = |text: &str| Some(merge::text(text));
                match (path.root.as_str(), path.further.as_slice()) {
                    ("$environment", []) => plain(options.environment.as_deref().unwrap_or("undefined")),
                    ("$testId", []) => plain(&options.test_id),
                    ("$scenarioFile", []) => plain(file_name),
                    ("$dirname", []) => plain("."),
                    (name, []) => variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()),
                    _ => None,
                }
            };
            // One variable and nothing beside it keeps its type.
            if let [Piece::Variable(path)] = pieces.as_slice()
                && let Some(value) = known(path)
            {
                node.content = value.content;
                return;
            }
            let mut made = String::new();
            let mut rest = text.as_str();
            for piece in pieces {
                // What is not known stays as it is written.
                let length = written_length(rest, &piece);
                let written = rest.get(..length).unwrap_or(rest);
                let value = if let Piece::Variable(path) = &piece { known(path) } else { None };
                match value.as_ref().and_then(Node::text) {
                    Some(value) => made.push_str(value),
                    None => made.push_str(written),
                }
                rest = rest.get(length..).unwrap_or_default();
            }
            made.push_str(rest);
            *text = made;
        }
        Content::Scalar(_) => {}
    }
}

/// How long a piece is as it is written, in bytes.
fn written_length(rest: &str, piece: &Piece) -> usize {
    match piece {
        Piece::Text(text) => text.len(),
        Piece::Variable(_) | Piece::Call(_, _) => {
            let end = rest.find("}}").map_or(rest.len(), |at| at + 2);
            // A third brace belongs to it where there is one.
            if rest.get(end..).is_some_and(|rest| rest.starts_with('}')) && matches!(piece, Piece::Variable(_)) {
                end + 1
            } else {
                end
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn prepared(text: &str, options: &Options, files: &[(&str, &str)]) -> (Value, BTreeMap<String, String>) {
        let mut reader = |wanted: Wanted<'_>| {
            let found = files.iter().find(|(path, _)| *path == wanted.path);
            found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| "is not there".to_owned())
        };
        let mut ledger = Ledger::default();
        let prepared = prepare("test.yaml", text.as_bytes(), options, &mut reader, &mut ledger).unwrap();
        (prepared.node.read().unwrap(), prepared.environment)
    }

    #[test]
    fn everything_is_laid_over_the_file_in_the_order_of_artillery() {
        let text = "config:\n  target: http://a\n  http: {timeout: 5}\n  phases: [{duration: 1, arrivalRate: 1}, \
                    {pause: 2}]\n  \
                    environments:\n    prod: {target: http://prod, phases: [{duration: 9}]}\n";
        let options = Options {
            config: Some("more.yaml".to_owned()),
            environment: Some("prod".to_owned()),
            insecure: true,
            overrides: Some(r#"{"config": {"phases": [{"pause": 1}], "http": {"pool": 3}}}"#.to_owned()),
            variables: Some(r#"{"name": "x", "n": 5}"#.to_owned()),
            ..Options::default()
        };
        let files = [("more.yaml", "config: {http: {timeout: 7}, variables: {a: 1}}")];
        let (made, _) = prepared(text, &options, &files);
        let config = &made["config"];
        assert_eq!(config["target"], "http://prod");
        assert_eq!(config["http"], json!({"timeout": 7, "pool": 3}));
        assert_eq!(config["phases"], json!([{"pause": 1}]));
        assert_eq!(config["tls"], json!({"rejectUnauthorized": false}));
        assert_eq!(config["variables"], json!({"a": 1, "name": "x", "n": 5}));
        // Without overrides lists are merged item by item.
        let options = Options { overrides: None, target: Some("http://t".to_owned()), ..options };
        let (made, _) = prepared(text, &options, &files);
        assert_eq!(made["config"]["phases"], json!([{"duration": 9, "arrivalRate": 1}, {"pause": 2}]));
        assert_eq!(made["config"]["target"], "http://t");
    }

    #[test]
    fn config_is_filled_in_with_variables_of_the_command_and_nothing_else() {
        let text = "config:\n  target: 'http://{{ host }}:{{ port }}/{{ $environment }}'\n  n: '{{ n }}'\n  \
                    e: 'x{{ $env.A }}y{{ host }}'\n  other: '{{ a }} {{ b + c }}'\n  variables: {a: 1}\n\
                    scenarios: ['{{ host }}']\n";
        let variables = Some(r#"{"host": "h", "port": 80, "n": {"m": [1]}}"#.to_owned());
        let options = Options { variables, environment: Some("e".to_owned()), ..Options::default() };
        let (made, _) = prepared(text, &options, &[]);
        let config = &made["config"];
        assert_eq!(config["target"], "http://h:80/e");
        assert_eq!(config["n"], json!({"m": [1]}));
        assert_eq!(config["e"], "x{{ $env.A }}yh");
        assert_eq!(config["other"], "{{ a }} {{ b + c }}");
        assert_eq!(made["scenarios"], json!(["{{ host }}"]));
    }

    #[test]
    fn a_file_of_variables_is_for_those_that_are_not_set() {
        let process = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let env_file = Some(".env".to_owned());
        let options = Options { env_file, process_environment: process, ..Options::default() };
        let (_, environment) = prepared("config: {}", &options, &[(".env", "A=2\nB=3\n")]);
        assert_eq!((environment["A"].as_str(), environment["B"].as_str()), ("1", "3"));
    }

    #[test]
    fn options_that_are_not_what_they_should_be_are_told_by_their_names() {
        let cases = [
            (Options { overrides: Some("[]".to_owned()), ..Options::default() }, "option --overrides: it is no map"),
            (Options { variables: Some("{".to_owned()), ..Options::default() }, "option --variables: "),
            (Options { config: Some("x".to_owned()), ..Options::default() }, "option --config: x: is not there"),
            (Options { env_file: Some("y".to_owned()), ..Options::default() }, "option --env-file: y: is not there"),
        ];
        for (options, told) in cases {
            let mut reader = |_: Wanted<'_>| Err("is not there".to_owned());
            let error = prepare("t", b"config: {}", &options, &mut reader, &mut Ledger::default()).unwrap_err();
            assert!(error.to_string().starts_with(told), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_not_known_stays_as_it_is_written(text in "(\\{|\\}|a|\\$f\\(1\\)|\\[0\\]|\\.| |-|ü){1,20}") {
            let mut node = merge::text(&text);
            fill_in(&mut node, &Options::default(), "f", &[]);
            proptest::prop_assert_eq!(node.text(), Some(text.as_str()));
        }
    }
}
