use std::collections::BTreeMap;
use std::path::Path;

use super::*;

fn words(text: &str) -> Vec<OsString> {
    shlex::split(text).unwrap().into_iter().map(OsString::from).collect()
}

/// Every command with its path, `queue dead ls`; the first is `nuncius` itself.
fn everything() -> Vec<(String, Clap)> {
    fn collect(path: &str, command: &Clap, found: &mut Vec<(String, Clap)>) {
        found.push((path.to_owned(), command.clone()));
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            collect(format!("{path} {}", below.get_name()).trim_start(), below, found);
        }
    }
    let mut found = Vec::new();
    collect("", &command(), &mut found);
    found
}

/// What would be handed to the program: without what a shell takes for itself.
fn typed(line: &str) -> Option<Vec<OsString>> {
    let mut words = words(line);
    let end =
        words.iter().position(|word| [">", ">>", "|", "&", "2>", ";", "&&", "||"].iter().any(|sign| word == sign));
    words.truncate(end.unwrap_or(words.len()));
    for word in &mut words {
        // A `;` or `&` needs no blank before it.
        if let Some(bare) = word.to_str().and_then(|word| word.strip_suffix([';', '&'])) {
            *word = bare.into();
            break;
        }
    }
    (words.first().is_some_and(|word| Path::new(word).file_name().is_some_and(|name| name == "nuncius")))
        .then_some(words)
}

fn must_parse(line: &str) {
    let words = typed(line).unwrap_or_else(|| panic!("this is no command of nuncius: {line}"));
    if let Err(error) = read(&words) {
        assert!(!error.use_stderr(), "an example does not parse: {line}\n{error}");
    }
}

#[test]
fn every_help_page_has_examples_that_parse() {
    for (path, command) in everything() {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("nuncius ")).collect();
        assert!(!examples.is_empty(), "`nuncius {path} --help` has no example");
        for example in examples {
            must_parse(example);
            assert!(example.starts_with(format!("nuncius {path}").trim_end()), "{example} is no example of `{path}`");
        }
        assert!(text.contains("Exit codes: "), "`nuncius {path} --help` says no exit codes");
    }
}

#[test]
fn examples_are_of_commands_that_there_are() {
    let known: Vec<String> = everything().into_iter().map(|(path, _)| path).collect();
    for path in examples::paths() {
        assert!(known.iter().any(|known| known == path), "there is no command `{path}`");
    }
}

#[test]
fn what_readme_and_docs_type_parses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    // Beside the texts there are pictures.
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let texts = docs.chain([root.join("README.md")]).map(|path| std::fs::read_to_string(path).unwrap());
    let readme = texts.collect::<Vec<String>>().join("\n");
    let mut fenced = false;
    let mut lines: Vec<String> = Vec::new();
    let mut continued = false;
    for line in readme.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let line = line.trim().strip_prefix("$ ").unwrap_or(line.trim());
        match lines.last_mut().filter(|_| fenced && continued) {
            Some(last) => *last = format!("{} {line}", last.trim_end_matches('\\')),
            None if fenced => lines.push(line.to_owned()),
            None => {}
        }
        continued = line.ends_with('\\');
    }
    let commands: Vec<&String> = lines
        .iter()
        .filter(|line| line.starts_with("nuncius ") || line.starts_with("target/release/nuncius "))
        .collect();
    assert!(commands.len() >= 10, "they have fewer commands than this test was made for: {commands:?}");
    for command in commands {
        // The first of several on one line; the others are of other programs or like it.
        let all = command.split("; ").flat_map(|one| one.split(" && "));
        for one in all.filter(|one| one.starts_with("nuncius ")) {
            must_parse(one);
        }
    }
}

#[test]
fn options_that_all_commands_have_stand_under_their_own_heading_once() {
    let mut command = command();
    command.build();
    let page = |path: &str| {
        let found = path
            .split(' ')
            .filter(|name| !name.is_empty())
            .fold(command.clone(), |command, name| command.find_subcommand(name).unwrap().clone());
        found.clone().render_long_help().to_string()
    };
    for path in ["", "run", "queue dead ls", "emulator oco"] {
        let text = page(path);
        let (own, global) = text.split_once("Global options:").expect("a heading of their own");
        assert_eq!(text.matches("Global options:").count(), 1, "{text}");
        for option in ["--nats <", "--namespace <", "--data <", "--json\n", "--log <"] {
            assert!(global.contains(option) && !own.contains(option), "{path}: {option}\n{text}");
        }
    }
}

#[test]
fn no_help_shows_what_a_variable_holds() {
    for (path, command) in everything() {
        for argument in command.get_arguments() {
            assert!(argument.is_hide_env_values_set(), "{path}: {}", argument.get_id());
        }
    }
}

#[test]
fn an_empty_variable_is_no_value_of_any_option() {
    // Every variable is set, as far as clap is told, and none of them has anything in it.
    let command = heeding(Cli::command(), &|_| false);
    fn check(command: &Clap, names: &mut BTreeMap<String, String>) {
        for argument in command.get_arguments() {
            assert_eq!(argument.get_env(), None, "{}", argument.get_id());
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            if let Some((_, name)) = help.rsplit_once("[env: ") {
                names.insert(name.trim_end_matches(']').to_owned(), command.get_name().to_owned());
            }
        }
        command.get_subcommands().for_each(|command| check(command, names));
    }
    let mut names = BTreeMap::new();
    check(&command, &mut names);
    for name in ["NATS_URL", "NUNCIUS_NATS_CREDENTIALS", "HIGHMEMLIM", "NUNCIUS_ALLOW_TARGET"] {
        assert!(names.contains_key(name), "{name} is not named in help any more: {names:?}");
    }
}

#[test]
fn json_is_a_switch_and_its_old_spelling_with_a_file_still_works() {
    let run = |text: &str| match parse(words(text)).unwrap() {
        (Cli { command: Command::Run(args), global }, hint) => (args, global.json, hint.is_some()),
        (other, _) => panic!("{other:?}"),
    };
    let (args, json, hinted) = run("nuncius run a.yaml --json");
    assert_eq!((args.report_json, json, hinted), (None, true, false));
    for old in [
        "nuncius run a.yaml --json out.json",
        "nuncius run --json out.json a.yaml",
        "nuncius run a.yaml --json=out.json",
    ] {
        let (args, json, hinted) = run(old);
        assert_eq!(args.submission.file, Path::new("a.yaml"), "{old}");
        assert_eq!((args.report_json.as_deref(), json, hinted), (Some(Path::new("out.json")), false, true), "{old}");
    }
    let (args, ..) = run("nuncius run --json - a.yaml");
    assert!(crate::output::is_standard_output(&args.report_json.unwrap()));
    for wrong in ["nuncius ps --json out.json", "nuncius run a.yaml b.yaml", "nuncius run"] {
        assert!(parse(words(wrong)).unwrap_err().use_stderr(), "{wrong}");
    }
}

#[test]
fn limits_of_bundles_are_those_of_the_library_where_nothing_is_said() {
    let submitted = |text: &str| match read(&words(text)).unwrap().command {
        Command::Submit(args) => args.bundle.limits(),
        other => panic!("{other:?}"),
    };
    assert_eq!(submitted("nuncius submit shop/"), nuncius_bundle::Limits::default());
    let raised = submitted("nuncius submit shop/ --bundle-files 5000 --bundle-size 1GiB");
    assert_eq!(raised, nuncius_bundle::Limits { files: 5_000, unpacked_bytes: 1 << 30 });
    match read(&words("nuncius run shop/")).unwrap().command {
        Command::Run(args) => {
            assert_eq!(args.node.bundle.limits(), nuncius_bundle::Limits::default());
            assert_eq!(args.node.bundle_cache, nuncius_client::bundles::CACHE_BYTES);
        }
        other => panic!("{other:?}"),
    }
    for wrong in ["--bundle-files 0", "--bundle-files 100001", "--bundle-size 10%", "--bundle-size x"] {
        assert!(read(&words(&format!("nuncius submit shop/ {wrong}"))).is_err(), "{wrong}");
    }
}
