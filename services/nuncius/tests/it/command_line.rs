//! What people type, and what they read: ids, tables, JSON, colours, empty variables, outputs that cannot be written.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use nuncius_testkit::TempDir;
use serde_json::Value;

use crate::harness::{Process, System, beside_others, nuncius, open_spec, until};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Output, error output and exit code in one text, for messages of tests.
fn shown(output: &Output) -> String {
    format!("{}: {}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// A system with two experiments that have ended: `first-run`, then `second-run`.
async fn with_two_experiments() -> System {
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    for id in ["first-run", "second-run"] {
        let file = system.directory.path().join(format!("{id}.yaml"));
        std::fs::write(&file, open_spec(id, &address, "500/s", "1s", "")).unwrap();
        let output = system.output(&["run", file.to_str().unwrap(), "--quiet"]);
        assert!(output.status.success(), "{}", shown(&output));
    }
    system
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_may_be_abbreviated_and_last_means_the_latest() {
    let _turn = beside_others().await;
    let system = with_two_experiments().await;
    let id_of = |arguments: &[&str]| {
        let output = system.output(arguments);
        assert!(output.status.success(), "{}", shown(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(id_of(&["report", "last", "--json"]), "second-run");
    assert_eq!(id_of(&["report", "fir", "--json"]), "first-run");
    assert_eq!(id_of(&["watch", "last", "--json"]), "second-run");
    let export = system.output(&["export", "sec", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&export.stdout).unwrap()["report"]["id"], "second-run");

    system.publish(open_spec("first-walk", "127.0.0.1:1", "1/s", "1s", "").as_bytes()).await;
    system.wait_for_end("first-walk").await;
    let ambiguous = system.output(&["report", "first-"]);
    assert_eq!(ambiguous.status.code(), Some(64), "{}", shown(&ambiguous));
    let told = text(&ambiguous.stderr);
    assert!(told.contains("first-run") && told.contains("first-walk"), "{told}");

    let cancelled = system.output(&["cancel", "second"]);
    assert!(text(&cancelled.stderr).contains("second-run"), "it is named in full: {}", shown(&cancelled));
    let removed = system.output(&["rm", "second"]);
    assert!(text(&removed.stdout).contains("removed second-run"), "{}", shown(&removed));
    assert_eq!(id_of(&["report", "last", "--json"]), "first-walk");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_say_what_they_did_and_as_json_where_that_is_asked_for() {
    let _turn = beside_others().await;
    let system = System::start(0).await;
    let said = |arguments: &[&str]| {
        let output = system.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", shown(&output));
        text(&output.stdout)
    };
    let json = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let out = said(&arguments);
        serde_json::from_str::<Value>(&out).unwrap_or_else(|error| panic!("{arguments:?} is no JSON: {error}: {out}"))
    };
    assert!(said(&["ps"]).contains("no experiment waits or runs"));
    assert_eq!(json(&["ps"]), Value::Array(Vec::new()));
    assert!(said(&["route", "ls"]).contains("empty"));
    let set = said(&["route", "set", "shop", "10.0.0.7:8080=3"]);
    assert!(set.contains("shop") && set.contains("10.0.0.7:8080"), "{set}");
    assert_eq!(json(&["route", "set", "shop", "10.0.0.8:8080"])["hosts"][0]["address"], "10.0.0.8:8080");
    assert!(said(&["route", "rm", "shop"]).contains("shop"));
    assert!(json(&["doctor"]).as_array().unwrap().iter().all(|finding| finding["text"].is_string()));
    let nodes = said(&["nodes"]);
    let mut lines = nodes.lines();
    assert!(lines.next().unwrap().starts_with("node "), "{nodes}");
    assert!(lines.next().unwrap().starts_with("experimentd "), "{nodes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_prints_its_report_as_json_and_nothing_else() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let file = system.directory.path().join("json.yaml");
    std::fs::write(&file, open_spec("json", &address, "500/s", "1s", "")).unwrap();
    let mut run = system.command(&["run", "json.yaml", "--json", "--report-json", "report.json"]);
    let output = run.current_dir(system.directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let written = std::fs::read(system.directory.path().join("report.json")).unwrap();
    assert_eq!(printed, serde_json::from_slice::<Value>(&written).unwrap());

    std::fs::write(&file, open_spec("dash", &address, "500/s", "1s", "")).unwrap();
    let mut run = system.command(&["run", "json.yaml", "--json", "-"]);
    let output = run.current_dir(system.directory.path()).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["id"], "dash", "{}", shown(&output));
    assert!(!system.directory.path().join("-").exists(), "no file is called so");
}

/// The variables that any help page names.
fn variables() -> Vec<String> {
    fn help(path: &[String]) -> String {
        text(&nuncius().args(path).arg("--help").output().unwrap().stdout)
    }
    let mut found = Vec::new();
    let mut pages = vec![Vec::<String>::new()];
    while let Some(path) = pages.pop() {
        let page = help(&path);
        let names = page.split("[env: ").skip(1).filter_map(|rest| rest.split(']').next());
        found.extend(names.map(str::to_owned));
        let commands = page.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        for command in commands.filter_map(|line| line.split_whitespace().next()).filter(|command| *command != "help") {
            pages.push(path.iter().cloned().chain([command.to_owned()]).collect());
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Sets everything that Nuncius reads, to nothing.
fn with_empty_variables(command: &mut Command) -> &mut Command {
    for name in variables() {
        command.env(name, "");
    }
    for name in ["NATS_SERVER_BIN", "RUST_LOG", "NUNCIUS_LABEL_ZONE", "NUNCIUS_VAR_X", "XDG_DATA_HOME", "NO_COLOR"] {
        command.env(name, "");
    }
    for name in ["ENDPOINT", "PROTOCOL", "HEADERS", "TIMEOUT", "COMPRESSION"] {
        command.env(format!("OTEL_EXPORTER_OTLP_{name}"), "");
        command.env(format!("OTEL_EXPORTER_OTLP_TRACES_{name}"), "");
    }
    for name in ["OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"] {
        command.env(name, "");
    }
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_is_as_good_as_none_for_every_command() {
    let _turn = beside_others().await;
    let known = variables();
    for name in ["NATS_URL", "NUNCIUS_NATS_CREDENTIALS", "NUNCIUS_NODE_NAME", "HIGHMEMLIM", "NUMTOFACTOR", "DATADIR"] {
        assert!(known.iter().any(|known| known == name), "{name} is in no help page: {known:?}");
    }
    let system = System::start(0).await;
    // Each service, until it says that it is there.
    let services: [(&[&str], &str); 9] = [
        (&["client"], "joined"),
        (&["experimentd", "--name", "second"], "taking experiments"),
        (&["frontend", "q", "--maddr", "127.0.0.1:0"], "metrics at"),
        (&["worker", "--queue", "q", "sleep"], "joined"),
        (&["client", "--queue", "q", "--caddr", "127.0.0.1:0"], "control page at"),
        (&["emulator", "stub", "--listen", "127.0.0.1:0", "--register", "shop"], "registered"),
        (&["emulator", "device", "d1"], "emulated device"),
        (&["emulator", "oco", "--http", "127.0.0.1:0"], "on NATS as node"),
        (&["emulator", "resource", "--http", "127.0.0.1:0"], "on NATS as node"),
    ];
    let mut running = Vec::new();
    for (number, (arguments, sign)) in services.into_iter().enumerate() {
        let log = system.directory.path().join(format!("empty-{number}.log"));
        let out = std::fs::File::create(&log).unwrap();
        let mut command = system.command(arguments);
        with_empty_variables(&mut command).current_dir(system.directory.path());
        let child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        running.push(Process { child });
        let read = || std::fs::read_to_string(&log).unwrap();
        until(&format!("{arguments:?} is there"), async || read().contains(sign).then_some(())).await;
    }
    for arguments in [["nodes"].as_slice(), &["doctor"], &["ps", "--all"], &["queue", "ls"], &["resource", "ls"]] {
        let output = with_empty_variables(&mut system.command(arguments)).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", shown(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_called_as_its_variable_says_and_galileos_variables_name_the_database_of_every_command() {
    let _turn = beside_others().await;
    let directory = TempDir::new("galileo").unwrap();
    let file = directory.path().join("galileo.db");
    let variables = [("galileo_expdb_driver", "sqlite"), ("galileo_expdb_sqlite_path", file.to_str().unwrap())];
    let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut system = System::start_with_environment(0, owned.to_vec()).await;
    let address = system.start_stub(&[]);
    let log = directory.path().join("client.log");
    let mut command = system.command(&["client"]);
    let _client = Process::start(command.env("NUNCIUS_NODE_NAME", "edge-7").stdout(Stdio::null()), &log);
    system.wait_for_nodes(2).await;
    system.publish(open_spec("kept", &address, "50/s", "1s", "").as_bytes()).await;
    system.wait_for_end("kept").await;
    let nodes: Vec<String> = system.report("kept").await.nodes.into_iter().map(|node| node.name).collect();
    assert_eq!(nodes, ["edge-7"]);

    // What the daemon wrote there is found by a command without a bus, in no other place, and not where a flag or a
    // variable of ours says otherwise.
    let listed = |more: &[(&str, &str)], flags: &[&str]| {
        let mut command = nuncius();
        command.arg("--data").arg(directory.path()).args(flags).args(["ps", "--all", "--json"]);
        let output = command.envs(variables).envs(more.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        String::from_utf8(output.stdout).unwrap().contains("\"kept\"")
    };
    assert!(until("the end is stored", async || listed(&[], &[]).then_some(true)).await);
    let other = directory.path().join("other.db").to_str().unwrap().to_owned();
    assert!(!listed(&[("galileo_expdb_sqlite_path", &other)], &[]));
    assert!(!listed(&[("NUNCIUS_DATABASE", &other)], &[]));
    assert!(!listed(&[], &["--database", &other]));
    let mut command = nuncius();
    command.arg("--data").arg(directory.path()).args(["ps", "--all"]).env("galileo_expdb_driver", "influxdb");
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("galileo_expdb_driver is `influxdb`"), "{}", shown(&output));
}

#[test]
fn what_is_not_utf8_in_the_environment_keeps_no_command_from_running() {
    use std::os::unix::ffi::OsStrExt;
    let directory = TempDir::new("utf8").unwrap();
    let bad = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    for arguments in [["ps"].as_slice(), &["worker", "--once", "sleep", "0"]] {
        let mut command = nuncius();
        command
            .args(["--data"])
            .arg(directory.path())
            .args(arguments)
            .env("SOME_NAME", bad)
            .env("NUNCIUS_LABEL_X", bad);
        command.env(bad, "value");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    }
}

#[test]
fn no_output_holds_the_password_of_the_server() {
    let secret = "nats://user:geheim@127.0.0.1:1";
    for arguments in [["--help"].as_slice(), &["run", "--help"], &["nodes"], &["doctor"], &["man"], &["help", "queue"]]
    {
        let directory = TempDir::new("secret").unwrap();
        let mut command = nuncius();
        command.env("NATS_URL", secret).env("NUNCIUS_DATA", directory.path()).args(arguments);
        let output = command.output().unwrap();
        assert!(!shown(&output).contains("geheim"), "{arguments:?}: {}", shown(&output));
    }
}

#[test]
fn without_a_home_nothing_is_kept_in_a_place_that_others_share() {
    let directory = TempDir::new("homeless").unwrap();
    let homeless = |arguments: &[&str]| {
        let mut command = nuncius();
        command.env_remove("HOME").env_remove("XDG_DATA_HOME").env_remove("XDG_RUNTIME_DIR");
        command.env("TMPDIR", directory.path()).args(arguments);
        command
    };
    let output = homeless(&["ps", "--all"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", shown(&output));
    assert!(text(&output.stderr).contains("--data"), "{}", shown(&output));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made there");

    // What a session gives its user alone will do; what others may read will not.
    for (mode, wanted) in [(0o755, 64), (0o700, 0)] {
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let output = homeless(&["ps", "--all"]).env("XDG_RUNTIME_DIR", directory.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(wanted), "{mode:o}: {}", shown(&output));
    }
    let made = std::fs::metadata(directory.path().join("nuncius")).unwrap().permissions().mode() & 0o777;
    assert_eq!(made, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_cannot_be_written_is_an_error_and_a_reader_that_left_is_none() {
    let _turn = beside_others().await;
    let system = with_two_experiments().await;
    let commands: [&[&str]; 6] = [
        &["report", "last"],
        &["report", "last", "--json"],
        &["export", "last", "--json"],
        &["ps", "--all"],
        &["nodes"],
        &["--help"],
    ];
    for arguments in commands {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = system.command(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {}", shown(&output));
        assert!(text(&output.stderr).contains("No space left on device"), "{arguments:?}: {}", shown(&output));
        assert!(!text(&output.stderr).contains("os error"), "{arguments:?}: {}", shown(&output));
        // Nobody reads from the beginning on.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = system.command(arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", shown(&output));
        assert_eq!(text(&output.stderr), "", "{arguments:?} ends quietly");
        // Words about the result that cannot be said end nothing.
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = system.command(arguments).stderr(full).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", shown(&output));
    }
    let output = system.output(&["report", "last", "--html", "/dev/full"]);
    assert_eq!(output.status.code(), Some(5), "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_up_leaves_behind_is_for_its_owner_alone() {
    let _turn = beside_others().await;
    let directory = TempDir::new("private").unwrap();
    let data = directory.path().join("data");
    let mut command = nuncius();
    command.args(["up", "--no-stub", "--clients", "0", "--listen"]);
    command.arg(format!("127.0.0.1:{}", nuncius_testkit::free_port().unwrap())).arg("--data").arg(&data);
    let mut up = Process::start(command.stdout(Stdio::piped()), &directory.path().join("up.log"));
    let mut lines = BufReader::new(up.child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "ready"));
    for file in ["nats.url", "nuncius.db"] {
        let mode = std::fs::metadata(data.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_folded_for_terminals_only_and_coloured_as_the_environment_says() {
    let _turn = beside_others().await;
    let system = with_two_experiments().await;
    let report = |set: &[(&str, &str)]| {
        let mut command = system.command(&["report", "last"]);
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").envs(set.iter().copied());
        text(&command.output().unwrap().stdout)
    };
    let plain = report(&[]);
    assert!(!plain.contains('\x1b'), "a pipe gets no colours: {plain}");
    assert!(plain.lines().next().unwrap().contains("failures < 1% (default)"), "the first line is whole: {plain}");
    assert!(report(&[("CLICOLOR_FORCE", "1")]).contains("\x1b["), "unless they are asked for");
    assert!(!report(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]).contains('\x1b'), "NO_COLOR has the last word");

    let help = nuncius().args(["run", "--help"]).output().unwrap();
    assert!(text(&help.stdout).lines().any(|line| line.chars().count() > 100), "help in a pipe is not folded");

    let logged = |set: &[(&str, &str)]| {
        let mut command = system.command(&["worker", "--once", "--log", "trace", "sleep", "0"]);
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").envs(set.iter().copied());
        text(&command.output().unwrap().stderr)
    };
    assert!(!logged(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]).contains('\x1b'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_could_not_be_stored_is_no_pass() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    // The tables are there, and then no file may grow any more: what the daemon does of it is what it does of a full
    // disk.
    let daemon = system.daemon.take().unwrap();
    daemon.signal(rustix::process::Signal::TERM);
    let mut daemon = daemon;
    until("the daemon has ended", async || daemon.child.try_wait().unwrap()).await;
    let wanted = system.command(&["experimentd"]);
    let mut limited = Command::new("sh");
    // Blocks of 512 bytes: room for a few pages of SQLite's log, and for its index.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"]).arg(wanted.get_program());
    limited.args(wanted.get_args()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    system.daemon = Some(Process { child: limited.spawn().unwrap() });
    // Else the command finds no daemon, and brings its own, which has all the room there is.
    system.wait_for_nodes(2).await;
    let file = system.directory.path().join("full.yaml");
    // So many steps that what is stored at the end alone is longer than that, whenever the log begins anew.
    let steps: String = (1..=40).map(|step| format!("  - {{path: /{step}}}\n")).collect();
    let spec = open_spec("full", &address, "50/s", "1s", "") + "  steps:\n" + &steps;
    std::fs::write(&file, spec).unwrap();
    let output = system.output(&["run", file.to_str().unwrap(), "--quiet"]);
    assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
    assert!(text(&output.stdout).contains("not all in the store"), "{}", shown(&output));
    let report = system.report("full").await;
    assert_eq!(report.verdict, Some(nuncius_schemas::run::Verdict::Invalid));
}

#[test]
fn manual_pages_and_completions_are_of_all_commands() {
    let directory = TempDir::new("man").unwrap();
    let pages = directory.path().join("man1");
    let output = nuncius().arg("man").arg(&pages).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    for page in ["nuncius.1", "nuncius-run.1", "nuncius-queue-dead-ls.1", "nuncius-emulator-oco.1"] {
        let page = std::fs::read_to_string(pages.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(page.contains("Examples:"), "{page}");
    }
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef nuncius"), ("fish", "complete -c nuncius")] {
        let output = nuncius().args(["completions", shell]).output().unwrap();
        assert!(text(&output.stdout).contains(sign) && text(&output.stdout).contains("experimentd"), "{shell}");
    }
}
