//! What there is: verbs, objects and their methods, with what they do; for help and for completion.

/// Plain verbs, and how they are written.
pub const VERBS: &[(&str, &str)] = &[
    ("spawn", "spawn SERVICE [COUNT] [LABEL=VALUE…] [as NAME]"),
    ("rps", "rps GROUP REQUESTS_PER_SECOND_AND_CLIENT"),
    ("request", "request GROUP COUNT [SECONDS | DISTRIBUTION PARAMETER…]"),
    ("pause", "pause GROUP"),
    ("resume", "resume GROUP"),
    ("add", "add GROUP COUNT"),
    ("close", "close GROUP [COUNT]"),
    ("info", "info [GROUP]"),
    (
        "route",
        "route [ls] | set SERVICE HOST[=WEIGHT]… | append SERVICE HOST[=WEIGHT]… | weights SERVICE WEIGHT… | rm SERVICE",
    ),
    ("exp", "exp start [NAME [CREATOR]] | event NAME [VALUE] | stop"),
    ("telemetry", "telemetry [ls] | start [HOST…] | stop [HOST…]"),
    ("nodes", "nodes"),
    ("apps", "apps"),
    ("sleep", "sleep TIME (2, 0.5, 500ms, 1m)"),
    ("source", "source FILE"),
    ("env", "env"),
    ("pwd", "pwd"),
    ("usage", "usage"),
    ("help", "help [OBJECT]"),
    ("exit", "exit"),
];

/// How something is written, and what it does.
pub type Entry = (&'static str, &'static str);

/// Objects, what they are, and their methods.
pub const OBJECTS: &[(&str, &str, &[Entry])] = &[
    (
        "g",
        "what generates load",
        &[
            (
                "spawn(service, num=1, client=None, parameters=None, worker_labels=None)",
                "a group of num clients; parameters: {'method': 'post', 'path': '/', 'kwargs': {'json': …}}",
            ),
            ("workers()", "names of the nodes that host clients"),
            ("discover()", "the same: whoever is there is known without being asked"),
            ("ping()", "names of those that answer"),
            ("workers_info()", "what they say of themselves"),
            ("clients()", "the groups of this session"),
            ("start_tracing()", "records of each request of what is given work from now on, whatever exp does"),
            ("stop_tracing()", "no records of what is given work from now on"),
        ],
    ),
    (
        "show",
        "tables of what is there",
        &[
            ("workers()", "nodes that host clients"),
            ("clients()", "groups of clients"),
            ("info()", "groups with their requests so far"),
            ("apps()", "applications"),
        ],
    ),
    (
        "exp",
        "what experiments are called, and marks on them",
        &[
            (
                "start(name=None, creator=None, metadata=None)",
                "groups that get work from now on are called so, with records of requests and telemetry of machines",
            ),
            ("event(name, value=None)", "marks every experiment that runs, or those that begin next"),
            ("stop()", "ends what was started meanwhile, and says the verdicts"),
        ],
    ),
    (
        "rtbl",
        "the routing table; by itself it prints itself",
        &[
            ("set(service, hosts, weights=None)", "the addresses of a service; weights may be fractions"),
            ("append(service, host, weight=1)", "one more address"),
            ("update_weights(service, weights)", "other weights, in the order of the addresses"),
            ("remove(service)", "takes a service out"),
            ("clear()", "takes all services out that people have set"),
            ("record(service)", "one service"),
            ("records()", "all of them"),
            ("print()", "the table"),
        ],
    ),
    (
        "telemd",
        "telemetry of machines",
        &[
            ("start_telemd(hosts=None)", "samples on"),
            ("stop_telemd(hosts=None)", "samples off"),
            ("list_telemd_hosts()", "machines that are sampled"),
        ],
    ),
];

/// Methods of a group of clients.
pub const GROUP: &[(&str, &str)] = &[
    ("rps(n)", "n requests a second of each client; 0 pauses"),
    (
        "request(n=None, ia=None)",
        "n requests of each client, ia: seconds or ('expovariate', 5); .wait() awaits the end",
    ),
    ("pause()", "nothing is sent until resume()"),
    ("resume()", "goes on"),
    ("add(n)", "more clients"),
    ("close(n=None)", "fewer clients, or the end: says the verdict"),
    ("info()", "requests so far"),
];

/// Methods of requests that a group was asked for.
pub const WORK: &[(&str, &str)] = &[
    ("wait(timeout=None, abort_after_timeout=True)", "until they are answered; says the verdict"),
    ("abort()", "ends them"),
];

/// Whether a name cannot be given to something else.
pub fn is_taken(name: &str) -> bool {
    VERBS.iter().any(|(verb, _)| *verb == name) || OBJECTS.iter().any(|(object, ..)| *object == name)
}

/// What the shell knows.
pub fn usage() -> String {
    let mut text = "the shell of nuncius takes plain words and Galileo's calls; each group that is given work is an \
                    experiment\n\nWords:\n"
        .to_owned();
    for (_, usage) in VERBS {
        text += &format!("  {usage}\n");
    }
    text += "\nObjects:\n";
    for (object, what, _) in OBJECTS {
        text += &format!("  {object:<12}  {what}\n");
    }
    text + "\nWrite help(g) or `help g` for the methods of an object, `help group` for those of a group of clients.\n"
}

/// The methods of an object, or how a verb is written; `None` of what is neither.
pub fn about(name: &str) -> Option<String> {
    let methods = |of: &[(&str, &str)]| of.iter().map(|(method, what)| format!("  {method}\n      {what}\n")).collect();
    let object = OBJECTS.iter().find(|(object, ..)| *object == name);
    match (name, object) {
        ("group", _) => Some(methods(GROUP)),
        ("work", _) => Some(methods(WORK)),
        (_, Some((object, what, of))) => Some(format!("{object}: {what}\n{}", methods(of) as String)),
        (_, None) => VERBS.iter().find(|(verb, _)| *verb == name).map(|(_, usage)| (*usage).to_owned()),
    }
}

/// Where in what was typed the word begins that is being written, in bytes.
pub fn word_begin(typed: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    typed.char_indices().rev().take_while(|(_, c)| is_part(*c)).last().map_or(typed.len(), |(at, _)| at)
}

/// What could follow what was typed: verbs and objects at the beginning, methods after a point.
pub fn completions(typed: &str, names: &[String]) -> Vec<String> {
    let word = typed.get(word_begin(typed)..).unwrap_or_default();
    let bare = |method: &str| method.split('(').next().unwrap_or_default().to_owned();
    let mut found: Vec<String> = match word.split_once('.') {
        Some((object, begun)) => {
            let methods = OBJECTS.iter().find(|(known, ..)| *known == object).map_or(GROUP, |(_, _, methods)| methods);
            let fitting = methods.iter().map(|(method, _)| bare(method)).filter(|method| method.starts_with(begun));
            fitting.map(|method| format!("{object}.{method}(")).collect()
        }
        None => {
            let verbs = VERBS.iter().map(|(verb, _)| (*verb).to_owned());
            let objects = OBJECTS.iter().map(|(object, ..)| (*object).to_owned());
            verbs.chain(objects).chain(names.iter().cloned()).filter(|name| name.starts_with(word)).collect()
        }
    };
    found.sort();
    found.dedup();
    found
}
