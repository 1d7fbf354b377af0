//! Examples for every help page, and the exit codes where they mean something.

use clap::Command;

/// What exit codes mean wherever an experiment is waited for.
const VERDICTS: &str = "Exit codes: 0 pass, 1 fail, 3 undetermined, 4 invalid, 5 failed, 6 cancelled, 64 usage, \
                        77 not permitted";
/// What they mean elsewhere.
const OTHERS: &str = "Exit codes: 0 done, 5 failed, 64 usage, 77 not permitted";
/// What they mean where a job or a workload is waited for.
const JOBS: &str = "Exit codes: 0 succeeded, 1 the job failed, 5 failed, 64 usage, 77 not permitted";

/// What they mean where a test of Artillery may be run.
const RUN: &str = "Exit codes: 0 pass, 1 fail, 3 undetermined, 4 invalid, 5 failed, 6 cancelled, 64 usage, 77 not \
                   permitted; of a test of Artillery also 21, an expectation was not met";
/// What they mean where a file is only read.
const IMPORT: &str = "Exit codes: 0 done, 1 something in the file is refused, 5 failed, 64 usage";

/// What they mean where two runs are compared.
const COMPARE: &str = "Exit codes: 0 not shown to differ, 1 different, 3 too little data, 5 failed, 64 usage, 77 not \
                       permitted";

/// What is typed, and what it does.
type Example = (&'static str, &'static str);

/// By the words after `nuncius`.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            ("nuncius run examples/smallest.yaml", "run an experiment, bringing along whatever is missing"),
            ("nuncius up --clients 3", "keep a server, a daemon and three nodes here"),
            ("nuncius watch last", "follow what was submitted last"),
        ],
    ),
    (
        "up",
        &[
            ("nuncius up", "everything on this machine"),
            ("nuncius up --listen 0.0.0.0:4222 --clients 2", "for nodes on other machines, too"),
            ("nuncius up --queue sleep --emulator oco", "with a job queue and OCO backends"),
            ("nuncius up --observe", "with Prometheus and traces to look at; see scripts/setup --observe"),
        ],
    ),
    (
        "import",
        &[
            ("nuncius import --check test.yaml", "what becomes of each key of a test of Artillery"),
            ("nuncius import test.yaml --out shop", "the experiment and what it needs, in a directory"),
            ("nuncius import test.yaml --leave-out-refused", "only the experiment, without what has no meaning here"),
        ],
    ),
    (
        "validate",
        &[
            ("nuncius validate shop.yaml", "what it would do, and what would be refused"),
            ("nuncius validate shop.yaml --max-rate 100 --json", "against the caps of a node here, as JSON"),
        ],
    ),
    (
        "run",
        &[
            ("nuncius run smallest.yaml", "live view, verdict, HTML report"),
            ("nuncius run shop.yaml --service shop=10.0.0.7:8080 --clients 2", "the target from the command line"),
            ("nuncius run smallest.yaml --open", "its page in a browser, beside `nuncius up`"),
            ("nuncius run smallest.yaml --quiet --json", "the report as JSON, nothing else"),
            ("nuncius run - --report-json report.json", "the experiment from standard input"),
            ("nuncius run shop/", "a directory: the experiment in it, with its data and scripts"),
            ("nuncius run app:shop", "the same as it was deployed"),
            ("nuncius run test.yml -e staging --output report.json", "a test of Artillery, as it is"),
        ],
    ),
    (
        "submit",
        &[
            ("nuncius submit smallest.yaml", "prints the id"),
            ("nuncius submit shop.yaml --id nightly-7 --service shop=10.0.0.7:8080", "with an id of one's own"),
            ("nuncius submit app:shop", "what is deployed, from any machine"),
        ],
    ),
    (
        "ps",
        &[
            ("nuncius ps", "what waits or runs"),
            ("nuncius ps --all --json", "what has ended, too, as JSON"),
            ("nuncius ps --all --tag branch=main --tag nightly", "by entries of their metadata"),
        ],
    ),
    (
        "watch",
        &[
            ("nuncius watch last", "what was submitted last"),
            ("nuncius watch nightly-7 --html nightly-7.html", "keep its page"),
        ],
    ),
    (
        "cancel",
        &[
            ("nuncius cancel last", "end what was submitted last"),
            ("nuncius cancel nightly-7 --reason 'the shop is being deployed'", "say why"),
        ],
    ),
    (
        "pause",
        &[
            ("nuncius pause last", "no load until it is resumed"),
            ("nuncius pause nightly-7 --group shop --reason 'the database is failing over'", "one group, and why"),
        ],
    ),
    ("resume", &[("nuncius resume last", "go on with the load")]),
    ("end", &[("nuncius end last --reason 'seen enough'", "no more load: judged by what there was")]),
    (
        "scale",
        &[
            ("nuncius scale last --rate 500/s", "another rate, whatever the stages say"),
            ("nuncius scale nightly-7 --by 1.5 --group shop", "half as much again as was written"),
            ("nuncius scale nightly-7 --users 20", "so many users of a closed group"),
            ("nuncius scale nightly-7 --weights browse=3,buy=0.5", "which scenarios are taken how often"),
        ],
    ),
    (
        "event",
        &[
            ("nuncius event last deployed 2.4.1", "what happened beside the load, in every view of it"),
            ("nuncius event nightly-7 'cache cleared'", "a name alone"),
        ],
    ),
    (
        "report",
        &[
            ("nuncius report last", "as text"),
            ("nuncius report 20261122-01 --html report.html", "the beginning of an id will do"),
            ("nuncius report last --json", "for programs"),
        ],
    ),
    (
        "compare",
        &[
            ("nuncius compare nightly-6 nightly-7", "whether the later one is slower, and by how much"),
            ("nuncius compare nightly-6 last --figure p99,failures", "only these: smaller differences are found"),
            ("nuncius compare nightly-6 last --ignore 3% --json", "for programs; differences up to 3 % are none"),
        ],
    ),
    (
        "profile",
        &[
            ("nuncius profile last", "which there are, and what became of them"),
            ("nuncius profile last cpu --node shop-1 --out cpu.folded", "what the profiler wrote on one node"),
            ("nuncius profile last cpu --flamegraph cpu.svg", "a flame graph, of all nodes together"),
            (
                "nuncius profile nightly-7 --flamegraph change.svg --diff nightly-6",
                "what has changed since another run",
            ),
        ],
    ),
    (
        "export",
        &[
            ("nuncius export last --csv", "tables in the directory ID-csv"),
            ("nuncius export last --json --out run.json", "one document"),
            ("nuncius export last --parquet run", "tables for DuckDB, polars or pandas, in the directory run"),
            ("nuncius export last --arrivals times.csv", "when its arrivals were planned, to be offered again"),
        ],
    ),
    (
        "import-run",
        &[
            ("nuncius import-run run", "what `nuncius export ID --parquet run` wrote, into the database"),
            ("nuncius import-run run --as night-1-again --database results.db", "under another id, into this file"),
            ("nuncius import-run run --replace --json", "in the place of the one that is there; what it has, as JSON"),
        ],
    ),
    ("rm", &[("nuncius rm last", "the last one"), ("nuncius rm nightly-6 nightly-7", "several")]),
    ("nodes", &[("nuncius nodes", "a table"), ("nuncius nodes --json", "with all that nodes say of themselves")]),
    (
        "route",
        &[
            ("nuncius route set shop 10.0.0.7:8080", "point a service name at an address"),
            ("nuncius route ls", "show all"),
        ],
    ),
    (
        "route set",
        &[
            ("nuncius route set shop 10.0.0.7:8080", "one address"),
            ("nuncius route set shop 10.0.0.7:8080=3 10.0.0.8:8080=1", "three quarters to the first"),
        ],
    ),
    ("route append", &[("nuncius route append shop 10.0.0.9:8080=0.5", "half as much to another address")]),
    ("route weights", &[("nuncius route weights shop 1 2 0.5", "other shares for its three addresses")]),
    (
        "shell",
        &[
            ("nuncius shell", "a prompt, with history, completion and help"),
            ("nuncius shell --source session.txt", "a file of lines, up to the first that fails"),
            ("nuncius shell -c 'spawn shop 3 as c' -c 'rps c 5' -c 'sleep 10'", "some lines"),
        ],
    ),
    ("route ls", &[("nuncius route ls", "a table")]),
    ("route rm", &[("nuncius route rm shop", "forget a service name")]),
    (
        "app",
        &[
            ("nuncius app deploy shop/", "store an experiment with its data and scripts"),
            ("nuncius app ls", "what is deployed"),
        ],
    ),
    ("app ls", &[("nuncius app ls", "a table"), ("nuncius app ls --json", "with all versions")]),
    (
        "app deploy",
        &[
            ("nuncius app deploy shop/", "as the directory is called"),
            ("nuncius app deploy shop.zip", "from an archive, an application of Galileo too"),
            ("nuncius app deploy . --name shop --json", "under another name; what is in it, as JSON"),
            ("nuncius app deploy shop/ --bundle-files 5000 --bundle-size 1GiB", "more than there may be by default"),
        ],
    ),
    (
        "app rm",
        &[("nuncius app rm shop", "all of it"), ("nuncius app rm --old shop", "all versions but the current one")],
    ),
    ("doctor", &[("nuncius doctor", "what would keep an experiment from running")]),
    (
        "queue",
        &[
            ("nuncius queue create sleep --qmax 100", "make a queue"),
            ("nuncius queue submit sleep -- 0.1", "run one job"),
            ("nuncius queue ls", "show all queues"),
        ],
    ),
    (
        "queue create",
        &[
            ("nuncius queue create sleep", "with the settings of new queues"),
            ("nuncius queue create render --qmax 100 --attempts 5 --max-wait 10m", "with others"),
            ("nuncius queue create render-2 --like render", "with those of another queue"),
        ],
    ),
    ("queue ls", &[("nuncius queue ls", "a table"), ("nuncius queue ls --json", "for programs")]),
    ("queue info", &[("nuncius queue info sleep", "settings and books of one queue")]),
    ("queue pause", &[("nuncius queue pause sleep", "workers get nothing until it is resumed")]),
    ("queue resume", &[("nuncius queue resume sleep", "after pause or drain")]),
    ("queue purge", &[("nuncius queue purge sleep", "drop what waits")]),
    (
        "queue drain",
        &[
            ("nuncius queue drain sleep", "and wait until it is empty"),
            ("nuncius queue drain sleep --no-wait", "and return at once"),
        ],
    ),
    (
        "queue rm",
        &[("nuncius queue rm sleep", "an empty one"), ("nuncius queue rm sleep --force", "with the jobs in it")],
    ),
    (
        "queue submit",
        &[
            ("nuncius queue submit sleep -- 0.1", "wait for the result"),
            ("nuncius queue submit render --limit 30s --no-wait -- scene-7", "only hand it in"),
        ],
    ),
    ("queue dead", &[("nuncius queue dead ls sleep", "jobs that were given up")]),
    ("queue dead ls", &[("nuncius queue dead ls sleep --limit 20", "the oldest twenty")]),
    (
        "queue dead retry",
        &[
            ("nuncius queue dead retry sleep", "all of them"),
            ("nuncius queue dead retry sleep job-7", "one, under a new id"),
        ],
    ),
    ("queue dead rm", &[("nuncius queue dead rm sleep job-7", "forget one")]),
    (
        "resource",
        &[
            ("nuncius resource set --nodes zone=a --memory 10% --cpu 50% --for 2m", "press the nodes of a zone"),
            ("nuncius resource release", "and let all go"),
        ],
    ),
    (
        "resource set",
        &[
            ("nuncius resource set --nodes zone=a --memory 10% --cpu 50% --for 2m", "for two minutes"),
            ("nuncius resource set --disk 2GiB --write-rate 10MiB/s", "and keep writing"),
            ("nuncius resource set --wait 30s --cpu 1.5", "wait for an emulator to come"),
        ],
    ),
    ("resource release", &[("nuncius resource release --names 'vm-.*'", "nodes by name")]),
    ("resource ls", &[("nuncius resource ls", "a table"), ("nuncius resource ls --json", "for programs")]),
    (
        "client",
        &[
            ("nuncius client --nats nats://10.0.0.1:4222 --label zone=a", "a node for experiments"),
            ("nuncius client --allow-target 10.0.0.0/8 --max-rate 5000", "what it may be used for"),
            ("nuncius client --queue sleep --req-max 8 --req-now 2 -- 0.1", "the test client of a queue"),
        ],
    ),
    (
        "frontend",
        &[
            ("nuncius frontend sleep --qmax 100", "make and keep a queue"),
            ("nuncius frontend --maddr 0.0.0.0:9998", "keep those that are there"),
        ],
    ),
    (
        "worker",
        &[
            ("nuncius worker --queue sleep --slots 4 sleep", "four jobs at once"),
            ("nuncius worker --queue render --limit 30s /usr/bin/render --fast", "a program, with its first arguments"),
            ("nuncius worker --once sleep 1", "try the workload"),
        ],
    ),
    (
        "bridge",
        &[
            (
                "nuncius bridge --from 'amqp://lab:${PASSWORD}@rabbit/%2f/render' --to render --results rendered",
                "messages of a RabbitMQ queue become jobs, and their records come back",
            ),
            ("nuncius bridge --experiments amqp://rabbit/%2f/experiments", "each message is an experiment"),
            ("nuncius bridge --config bridge.yaml", "any number of mappings from a file"),
        ],
    ),
    (
        "experimentd",
        &[
            ("nuncius experimentd --nats nats://10.0.0.1:4222", "the daemon alone"),
            ("nuncius experimentd --database /var/lib/nuncius/nuncius.db", "with its results elsewhere"),
            ("nuncius experimentd --database postgres://nuncius@db/results", "with its results in PostgreSQL"),
            ("nuncius experimentd --database-records 50000000", "with more request records before files take them"),
        ],
    ),
    (
        "gateway",
        &[
            ("nuncius gateway", "pages and the REST interface at http://127.0.0.1:9464/, metrics at /metrics"),
            ("nuncius gateway --otlp-endpoint http://collector:4318", "and hand telemetry on to a collector"),
            (
                "nuncius gateway --otlp-endpoint https://jaeger:4317 --otlp-protocol grpc --otlp-signals traces \
                 --spool-directory spool",
                "traces alone, kept on disk while it is away",
            ),
            ("nuncius gateway --listen 0.0.0.0:9464 --metrics-only", "for a Prometheus on another machine"),
            ("nuncius gateway --listen 0.0.0.0:9464 --token-file tokens", "for people on other machines"),
            ("nuncius gateway --galileo 127.0.0.1:5001", "with Galileo's REST interface"),
        ],
    ),
    (
        "gateway hash-token",
        &[
            ("nuncius gateway hash-token ci --scope control >> tokens", "a token that may submit and cancel"),
            ("nuncius gateway hash-token ada --scope admin --json", "the token and its line as JSON"),
        ],
    ),
    (
        "telemetry",
        &[
            ("nuncius telemetry --nats nats://10.0.0.1:4222", "sample this machine"),
            ("nuncius telemetry --proc /host/proc --sys /host/sys", "its host's, from a container"),
            ("nuncius telemetry show", "the machines that are sampled"),
        ],
    ),
    (
        "telemetry show",
        &[
            ("nuncius telemetry show", "how all machines fare"),
            ("nuncius telemetry show 'edge-*' --all", "every figure of some"),
            ("nuncius telemetry show --json", "everything, for programs"),
        ],
    ),
    ("beside", &[("nuncius beside 4711 sleep 1000", "what nodes start profilers by; no command for people")]),
    ("nvml-sampler", &[("nuncius nvml-sampler", "what samplers start to ask NVML; no command for people")]),
    ("telemetry pause", &[("nuncius telemetry pause 'edge-*'", "nothing is sampled there from now on")]),
    ("telemetry resume", &[("nuncius telemetry resume 'edge-*'", "and again it is")]),
    (
        "telemetry period",
        &[("nuncius telemetry period edge-1 0.5", "twice a second"), ("nuncius telemetry period edge-1", "how often")],
    ),
    (
        "nats-config",
        &[
            (
                "nuncius nats-config --out keys",
                "a user and a key for each role; `nats-server -c keys/nats-server.conf`",
            ),
            ("nuncius nats-config --out keys --roles client,worker --queue render", "for machines at the edge"),
        ],
    ),
    (
        "emulator",
        &[
            ("nuncius emulator stub --service-time 2ms", "an HTTP target"),
            ("nuncius emulator resource --label zone=a", "a consumer of memory, disk and processors"),
        ],
    ),
    (
        "emulator stub",
        &[
            ("nuncius emulator stub --service-time exponential:2ms --concurrency 8 --queue 64", "a queueing system"),
            ("nuncius emulator stub --listen 127.0.0.1:0 --register shop", "under a service name"),
            ("nuncius emulator stub --freeze 10s+2s --error-rate 0.01", "with faults"),
        ],
    ),
    ("emulator device", &[("nuncius emulator device gpu0 --lanes 4 --work exponential:100ms", "four jobs at once")]),
    (
        "emulator oco",
        &[
            ("nuncius emulator oco --apps 5000", "for five thousand servos"),
            (
                "nuncius emulator oco --http 0.0.0.0:8080 --state file:oco.log --register oco",
                "remembered, and found by name",
            ),
        ],
    ),
    (
        "emulator servo",
        &[
            ("nuncius emulator servo --servos 1000 --for 2m", "drive the emulator on this machine"),
            (
                "nuncius emulator servo --url https://oco.example/ --token-env OCO_TOKEN --allow-target oco.example",
                "a real one",
            ),
        ],
    ),
    (
        "emulator resource",
        &[
            ("nuncius emulator resource --label zone=a", "found by its label"),
            ("nuncius emulator resource --compat --http 0.0.0.0:8080", "in the place of Testero"),
        ],
    ),
    (
        "completions",
        &[
            ("nuncius completions bash > ~/.local/share/bash-completion/completions/nuncius", "for bash"),
            ("nuncius completions zsh > ~/.zfunc/_nuncius", "for zsh"),
        ],
    ),
    ("man", &[("nuncius man", "the first page"), ("nuncius man ~/.local/share/man/man1", "the pages of all commands")]),
];

/// Adds to every command what belongs below its options.
pub(super) fn add(command: Command) -> Command {
    below(command, "")
}

fn below(command: Command, path: &str) -> Command {
    let text = text_of(path);
    let command = if text.is_empty() { command } else { command.after_help(text) };
    command.mut_subcommands(|command| {
        let path = format!("{path} {}", command.get_name());
        below(command, path.trim_start())
    })
}

/// The commands that have examples.
#[cfg(test)]
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    EXAMPLES.iter().map(|(path, _)| *path)
}

/// The examples of one command, and its exit codes.
fn text_of(path: &str) -> String {
    let found = EXAMPLES.iter().find(|(known, _)| *known == path);
    let mut text = String::new();
    for (index, (typed, does)) in found.map(|(_, examples)| *examples).unwrap_or_default().iter().enumerate() {
        text.push_str(if index == 0 { "Examples:\n" } else { "\n" });
        text.push_str(&format!("  # {does}\n  {typed}"));
    }
    let codes = match path {
        "run" => RUN,
        "import" => IMPORT,
        "compare" => COMPARE,
        "" | "watch" | "emulator servo" => VERDICTS,
        "queue submit" | "worker" => JOBS,
        _ => OTHERS,
    };
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text + codes
}
