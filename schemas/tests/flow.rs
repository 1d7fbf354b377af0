//! Scenarios: whatever is written is a step or an error that says what to do, and what is read survives being written.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use nuncius_schemas::codec::CodecError;
use nuncius_schemas::flow::{Bound, CaptureFrom, Condition, Op, Rounds, Subject, Think};
use nuncius_schemas::spec::Group;
use nuncius_schemas::submission::{Submission, from_bytes};
use serde_json::Value;

fn submit(text: &str) -> Result<Group, CodecError> {
    match from_bytes(text.as_bytes())? {
        Submission::Spec(spec) => Ok(spec.groups[0].clone()),
        Submission::Galileo(_) => panic!("a specification is wanted"),
    }
}

/// A group with these further fields, in YAML's flow style.
fn group(rest: &str) -> Result<Group, CodecError> {
    submit(&format!("groups: [{{target: 'http://stub/', rate: 1, duration: 10s, {rest}}}]\n"))
}

fn steps(steps: &str) -> Result<Group, CodecError> {
    group(&format!("script: a.js, steps: {steps}"))
}

fn told(result: Result<Group, CodecError>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
}

#[test]
fn every_verb_is_read_in_its_short_and_its_long_form() {
    let group = steps(
        "[{get: /items}, {post: {url: /login, json: {user: '{{ users.email }}', n: 3}, form: null}}, \
         {request: {url: /x, method: {custom: PURGE}}}, {think: 1s}, {think: {between: [1s, 3s]}}, \
         {think: {time: 2s, jitter: 20%}}, {set: {cart: [], total: '{{ total + 1 }}'}}, \
         {loop: {over: '{{ items }}', as: one, steps: [{get: '/items/{{ one.id }}', if: '{{ one.fresh }}'}]}}, \
         {if: {condition: '{{ status == 200 }}', then: [{get: /a}], else: [{log: 'text {{ x }}'}]}}, \
         {parallel: [{get: /b}, {get: /c}]}, {call: f, name: pay, probability: 0.5}]",
    )
    .unwrap();
    let verbs: Vec<_> = group.steps.iter().map(|step| step.verb().unwrap()).collect();
    assert_eq!(verbs, ["get", "post", "request", "think", "think", "think", "set", "loop", "if", "parallel", "call"]);
    let Some(Op::Loop(one)) = &group.steps[7].op else { panic!("{:?}", group.steps[7]) };
    assert_eq!(one.rounds, Rounds::Over { list: "{{ items }}".into(), item: "one".to_owned() });
    assert_eq!(one.steps[0].condition.as_deref(), Some("{{ one.fresh }}"));
    assert!(matches!(group.steps[4].op, Some(Op::Think(Think::Between(_, _)))));
    assert_eq!(group.steps[10].probability, Some(0.5));
    let names = group.step_names();
    assert_eq!(names, ["get-1", "post-2", "request-3", "get-4", "get-5", "get-6", "get-7", "pay"]);
}

#[test]
fn captures_and_checks_say_one_place_and_one_condition_each() {
    let group = steps(
        "[{get: {url: /, capture: {a: {json: $.token}, b: {regex: 'id=(\\d+)', default: null}, \
         c: {css: a.next, attribute: href}, d: status, e: {body: }, f: {json: '$.items[*]', all: true}}, \
         on_check_failure: fail, \
         checks: [{status: [200, 2xx]}, {header: Content-Type, matches: ^application/json}, \
         {json: $.ok, equals: true}, {body: , matches: x}, {size: , below: 10KiB}, \
         {time: , below: 500ms}, {json: $.n, above: 1e3, name: many}]}}]",
    )
    .unwrap();
    let Some(Op::Http(_, request)) = &group.steps[0].op else { panic!("{:?}", group.steps[0]) };
    assert_eq!(request.capture["b"].default, Some(Value::Null));
    assert_eq!(request.capture["a"].default, None);
    assert_eq!(request.capture["e"].from, CaptureFrom::Body);
    assert!(request.capture["f"].all);
    let labels: Vec<String> = request.checks.iter().map(nuncius_schemas::flow::Check::label).collect();
    assert_eq!(
        labels,
        [
            "status is 200, 200-299",
            "header Content-Type matches ^application/json",
            "json $.ok equals true",
            "body matches x",
            "size below 10KiB",
            "time below 500ms",
            "many"
        ]
    );
    assert_eq!(
        (&request.checks[6].subject, &request.checks[6].condition),
        (&Subject::Json("$.n".to_owned()), &Condition::Above(Bound::Number(1000.0)))
    );
}

#[test]
fn a_wrong_step_is_told_with_its_place_and_what_was_meant() {
    for (text, expected) in [
        ("[{gte: /}]", "groups[0].steps[0].gte: unknown field `gte`; did you mean `get`? (line 1,"),
        ("[{sleep: 1s}]", "groups[0].steps[0].sleep: unknown field `sleep`; did you mean `think`?"),
        ("[{frobnicate: 1}]", "known here: get, post, put, patch, delete, head, options, request"),
        ("[{get: /, post: /}]", "groups[0].steps[0]: `get` and `post` are two verbs, and a step has one"),
        ("[{get: /, if: {condition: '{{ a }}', then: [{get: /}]}}]", "`get` and `if` are two verbs"),
        ("[{think: 1s, job: {args: []}}]", "`think` and `job` are two verbs"),
        ("[{nats: {}}]", "steps[0].nats: says not what to do: give one of `publish`, `request`"),
        ("[/items]", "groups[0].steps[0]: the text `/items` stands where a step: a map with one verb"),
        (
            "[{get: 5}]",
            "groups[0].steps[0].get: the number 5 stands where a path, a URL, or a map with `url` is wanted",
        ),
        ("[{get: {ulr: /}}]", "groups[0].steps[0].get.ulr: unknown field `ulr`; did you mean `url`?"),
        ("[{get: {url: /, timeout: soon}}]", "groups[0].steps[0].get.timeout: `soon` is not a duration"),
        (
            "[{get: /, headers: {A: b}}]",
            "groups[0].steps[0].headers: belongs into `get`: write get: {url: …, headers: …}",
        ),
        ("[{get: /, path: /a}]", "groups[0].steps[0].path: stands beside `get`"),
        ("[{think: 1s, body: a}]", "groups[0].steps[0].body: means nothing beside `think`"),
        ("[{get: {url: /, method: PUT}}]", "groups[0].steps[0].get.method: `get` says the method: write `request`"),
        ("[{get: items}]", "groups[0].steps[0].get.url: must be a path that starts with /, or a whole URL"),
        ("[{get: 'http://a b/'}]", "must be a path that starts with /"),
        ("[{get: 'http://:80/'}]", "the host is neither a service nor host:port"),
        (
            "[{post: {url: /, json: {}, form: {}}}]",
            "groups[0].steps[0].post.form: a request has one body, and `json` is",
        ),
        ("[{post: {url: /, multipart: []}}]", "groups[0].steps[0].post.multipart: empty"),
        ("[{post: {url: /, multipart: [{name: a}]}}]", "post.multipart[0]: a part has either `value` or `file`"),
        ("[{post: {url: /, file: ../a}}]", "groups[0].steps[0].post.file: `../a` is no path of a file in a bundle"),
        ("[{post: {url: /, file: /etc/passwd}}]", "is no path of a file in a bundle"),
        (
            "[{post: {url: /, file: 'a{{ x }}'}}]",
            "templates are not filled in here: nodes fetch all files before the load",
        ),
        ("[{get: {url: /, timeout: 2h}}]", "get.timeout: 0s would let nothing through, and 1h is the longest"),
        ("[{get: {url: /, redirects: 21}}]", "get.redirects: more than 20"),
        ("[{get: {url: /, expect: {status: 999}}}]", "get.expect.status: 999: a status is within 100 to 599"),
        ("[{get: {url: /, headers: {Host : a, host: b}}}]", "the same header as"),
        (
            "[{get: {url: /, headers: {authorization: a}, auth: {bearer: b}}}]",
            "get.headers.authorization: is made of `auth`",
        ),
        ("[{get: {url: /, auth: {basic: {user: 'a:b', password: c}}}}]", "get.auth.basic.user: holds a colon"),
        (
            "[{get: {url: /, auth: {digest: {}}}}]",
            "get.auth: `digest` is unknown; known here: none, basic, bearer, oauth2",
        ),
        ("[{get: {url: /, capture: {a-b: status}}}]", "get.capture.a-b: `a-b` is no name of a variable"),
        ("[{get: {url: /, capture: {uuid: status}}}]", "get.capture.uuid: `uuid` means something in templates already"),
        ("[{get: {url: /, capture: {a: header}}}]", "get.capture.a: `header` is no place in an answer"),
        ("[{get: {url: /, capture: {a: {}}}}]", "get.capture.a: says nothing of where to look"),
        ("[{get: {url: /, capture: {a: {json: b, header: c}}}}]", "get.capture.a: `json` and `header` are two places"),
        ("[{get: {url: /, capture: {a: {status: , all: true}}}}]", "every answer has one status"),
        ("[{get: {url: /, capture: {a: {json: a, attribute: b}}}}]", "`attribute` belongs to `css`"),
        ("[{get: {url: /, capture: {a: {regex: '('}}}}]", "get.capture.a.regex: not a regular expression"),
        ("[{get: {url: /, capture: {a: {json: '{{ b }}'}}}}]", "get.capture.a.json: templates are not filled in here"),
        (
            "[{get: {url: /, checks: [{equals: 1}]}}]",
            "get.checks[0]: says nothing of what to look at: give one of `status`",
        ),
        (
            "[{get: {url: /, checks: [{json: $.a}]}}]",
            "get.checks[0]: asks nothing of `json`: give equals or matches or",
        ),
        ("[{get: {url: /, checks: [{json: $.a, body: , equals: 1}]}}]", "`json` and `body` are two subjects"),
        ("[{get: {url: /, checks: [{json: $.a, equals: 1, above: 1}]}}]", "`equals` and `above` are two conditions"),
        (
            "[{get: {url: /, checks: [{status: 200, equals: 1}]}}]",
            "`equals` cannot be asked of `status`: write the statuses",
        ),
        (
            "[{get: {url: /, checks: [{time: , matches: a}]}}]",
            "`matches` cannot be asked of `time`: ask above or below",
        ),
        ("[{get: {url: /, checks: [{time: , below: 5}]}}]", "get.checks[0]: `below`: `5` is not a duration"),
        ("[{get: {url: /, checks: [{size: , below: big}]}}]", "`below`: `big` is not a size"),
        ("[{get: {url: /, checks: [{json: a, below: b}]}}]", "`below`: `b` is not a number"),
        ("[{get: {url: /, on_check_failure: fail}}]", "get.on_check_failure: there are no `checks`"),
        ("[{get: {url: /, before_request: a b}}]", "get.before_request: `a b` is no name of a function"),
        ("[{get: /, probability: 0}]", "groups[0].steps[0].probability: not within 0 to 1, or 0"),
        ("[{get: /, if: status == 200}]", "groups[0].steps[0].if: a condition is one template and nothing else"),
        ("[{get: /, if: true}]", "groups[0].steps[0].if: `true` stands where a template such as"),
        ("[{think: 1}]", "groups[0].steps[0].think: the number 1 stands where a duration such as 1s, or"),
        ("[{think: {}}]", "groups[0].steps[0].think: says not how long"),
        ("[{think: {between: [3s, 1s]}}]", "groups[0].steps[0].think: from 3s to 1s: the shorter one comes first"),
        ("[{think: {time: 2s, jitter: 2}}]", "groups[0].steps[0].think.jitter: `2` is not a share"),
        ("[{think: 2h}]", "groups[0].steps[0].think: longer than 1h"),
        ("[{set: {}}]", "groups[0].steps[0].set: empty"),
        ("[{set: {null: 1}}]", "groups[0].steps[0].set.null: `null` means something in templates already"),
        ("[{loop: {steps: [{get: /}]}}]", "groups[0].steps[0].loop: says not how often"),
        ("[{loop: {count: 1, while: '{{ a }}', steps: []}}]", "loop: give one of `count`, `over` and `while`"),
        ("[{loop: {count: 0, steps: [{get: /}]}}]", "loop.count: 0 rounds do nothing"),
        ("[{loop: {count: many, steps: [{get: /}]}}]", "loop.count: neither a number nor a template"),
        ("[{loop: {count: 9, at_most: 5, steps: [{get: /}]}}]", "loop.count: 9 rounds, at most 5 are taken"),
        ("[{loop: {over: 5, steps: [{get: /}]}}]", "loop.over: neither a list nor a template"),
        ("[{loop: {while: yes, steps: [{get: /}]}}]", "loop.while: a condition is one template"),
        ("[{loop: {count: 1, as: a, steps: [{get: /}]}}]", "loop: `as` belongs to `over`"),
        ("[{get: /}, {loop: {count: 1, steps: []}}]", "groups[0].steps[1].loop.steps: empty"),
        ("[{get: /}, {if: {condition: '{{ a }}'}}]", "groups[0].steps[1].if.then: missing"),
        ("[{parallel: [{get: /}]}]", "groups[0].steps[0].parallel: one branch alone"),
        ("[{parallel: {branches: [[{get: /}], []]}}]", "groups[0].steps[0].parallel.branches[1]: empty"),
        (
            "[{loop: {count: 1, steps: [{parallel: [{get: /}, {gte: /}]}]}}]",
            "steps[0].loop.steps[0].parallel[1].gte: unknown",
        ),
        ("[{call: 1f}]", "groups[0].steps[0].call: `1f` is no name of a function"),
        ("[{get: /}, {log: ''}]", "groups[0].steps[1].log: empty"),
        ("[{think: 1s}]", "groups[0].steps: nothing of it is measured"),
        (
            "[{get: /, name: a}, {loop: {count: 1, steps: [{get: /, name: a}]}}]",
            "steps[1].loop.steps[0].name: `a` is taken",
        ),
        ("[{get: /, name: iteration}]", "`iteration` is what reports call all steps together"),
        ("[{get: /}, {think: 1s, name: ' '}]", "groups[0].steps[1].name: empty, or begins or ends with a space"),
    ] {
        let told = told(steps(text));
        assert!(told.contains(expected), "{text}\n-> {told}\nwithout {expected}");
    }
}

#[test]
fn a_wrong_option_of_a_group_is_told_with_its_place_and_what_to_do() {
    for (text, expected) in [
        ("http: 3", "groups[0].http: the number 3 stands where 1 (HTTP/1.1) or 2 (HTTP/2) is wanted"),
        ("max_connections: 0", "groups[0].max_connections: give 1 to 1000000"),
        ("redirects: 21", "groups[0].redirects: more than 20"),
        ("body_limit: 1TiB", "groups[0].body_limit: give 1B to 64MiB"),
        ("body_limit: 10%", "groups[0].body_limit: `10%` is not a size"),
        ("auth: {bearer: a}, headers: {Authorization: b}", "groups[0].headers.Authorization: is made of `auth`"),
        (
            "auth: {oauth2: {grant: client_credentials, token_url: /t, client_id: a}}",
            "groups[0].auth.oauth2.client_secret: missing: this grant needs it",
        ),
        (
            "auth: {oauth2: {grant: client_credentials, token_url: /t, client_id: a, client_secret: b, user: c}}",
            "groups[0].auth.oauth2.user: belongs to `grant: password`",
        ),
        (
            "auth: {oauth2: {grant: password, token_url: t, client_id: a, user: b, password: c}}",
            "auth.oauth2.token_url: must be",
        ),
        ("warm_up: 10s", "groups[0].warm_up: as long as the load"),
        ("variables: {a b: 1}", "groups[0].variables.a b: `a b` is no name of a variable"),
        ("variables: {a: '{{ b }}'}", "groups[0].variables.a: templates are not filled in here"),
        ("feeders: [{name: users}]", "groups[0].feeders[0].file: missing"),
        (
            "feeders: [{name: users, file: a.csv, rows: [{a: 1}]}]",
            "groups[0].feeders[0].rows: give either file or rows",
        ),
        ("feeders: [{name: my-users, file: a.csv}]", "groups[0].feeders[0].name: `my-users` is no name of a variable"),
        ("feeders: [{name: a, file: a.csv}, {name: a, file: a.csv}]", "groups[0].feeders[1].name: `a` is taken"),
        ("variables: {a: 1}, feeders: [{name: a, file: a.csv}]", "groups[0].feeders[0].name: `a` is taken"),
        ("feeders: [{name: a, file: a.txt}]", "groups[0].feeders[0].format: missing"),
        (
            "feeders: [{name: a, file: a/../b.csv}]",
            "groups[0].feeders[0].file: `a/../b.csv` is no path of a file in a bundle",
        ),
        ("feeders: [{name: a, file: a.csv, delimiter: ab}]", "groups[0].feeders[0].delimiter: one ASCII character"),
        (
            "feeders: [{name: a, file: a.jsonl, delimiter: ;}]",
            "groups[0].feeders[0].delimiter: belongs to `format: csv`",
        ),
        ("feeders: [{name: a, rows: [], order: random}]", "groups[0].feeders[0].rows: empty"),
        (
            "feeders: [{name: a, rows: [{b: '{{ c }}'}]}]",
            "groups[0].feeders[0].rows[0].b: templates are not filled in here",
        ),
        ("feeders: [{name: a, file: a.csv, at_end: stop}]", "groups[0].feeders[0].at_end: belongs to `order: unique`"),
        ("feeders: [{name: a, file: a.csv, order: any}]", "groups[0].feeders[0].order: `any` is unknown"),
        ("script: {source: ' '}", "groups[0].script.source: empty"),
        ("script: {file: a, source: b}", "groups[0].script: give either `file` or `source`"),
        ("script: '../a.js'", "groups[0].script: `../a.js` is no path of a file in a bundle"),
        ("steps: [{call: f}]", "groups[0].steps[0].call: names a function, but the group has no `script`"),
        ("steps: [{get: {url: /, after_response: f}}]", "groups[0].steps[0].get.after_response: names a function"),
        (
            "steps: [{get: /}], scenarios: [{name: a, steps: [{get: /}]}]",
            "groups[0].scenarios: give either steps or scenarios",
        ),
        ("scenarios: [{name: a, steps: []}]", "groups[0].scenarios[0].steps: empty"),
        ("scenarios: [{name: a, weight: 0, steps: [{get: /}]}]", "groups[0].scenarios[0].weight: give 1 to 1000000"),
        (
            "scenarios: [{name: a, steps: [{get: /}]}, {name: a, steps: [{get: /}]}]",
            "groups[0].scenarios[1].name: `a` is taken by another scenario",
        ),
        (
            "scenarios: [{name: a, steps: [{get: /}]}, {name: b, steps: [{think: 1s}, {gte: /}]}]",
            "groups[0].scenarios[1].steps[1].gte: unknown field",
        ),
        ("before: [{get: items}]", "groups[0].before[0].get.url: must be a path"),
        ("after: [{job: {}}]", "groups[0].after[0].job.queue: name the queue"),
    ] {
        let told = told(group(text));
        assert!(told.contains(expected), "{text}\n-> {told}\nwithout {expected}");
    }
    for (text, expected) in [
        (
            "engine: queue, target: 'queue://q', feeders: [{name: a, file: a.csv}]",
            "groups[0].feeders: belongs to `engine: http`",
        ),
        (
            "engine: queue, target: 'queue://q', steps: [{think: 1s}]",
            "groups[0].steps[0].think: belongs to `engine: http`",
        ),
        (
            "engine: queue, target: 'queue://q', steps: [{job: {}, probability: 1}]",
            "probability: belongs to `engine: http`",
        ),
        ("target: 'http://stub/?a=b', steps: [{get: /}]", "its query would not be sent: steps[0] has a path"),
    ] {
        let told = told(submit(&format!("groups: [{{rate: 1, duration: 10s, {text}}}]\n")));
        assert!(told.contains(expected), "{text}\n-> {told}\nwithout {expected}");
    }
}

#[test]
fn limits_are_told_by_their_numbers() {
    let nested = |depth: usize| {
        let mut steps = "[{get: /}]".to_owned();
        for _ in 0..depth {
            steps = format!("[{{loop: {{count: 1, steps: {steps}}}}}]");
        }
        told(group(&format!("steps: {steps}")))
    };
    assert_eq!(nested(8), "accepted");
    assert!(nested(9).contains("within 9 blocks, at most 8 are taken"), "{}", nested(9));
    let many = |count: usize, step: &str| told(group(&format!("steps: [{}]", vec![step; count].join(", "))));
    assert_eq!(many(64, "{get: /}"), "accepted");
    assert!(many(65, "{get: /}").contains("groups[0].steps: 65 entries, at most 64 are taken"));
    assert!(many(513, "{think: 1s}").contains("groups[0].steps: 513 entries, at most 512 are taken"));
    let long =
        format!("scenarios: [{{name: {0}, steps: [{{get: /}}]}}, {{name: b, steps: [{{get: /}}]}}]", "a".repeat(60));
    assert!(told(group(&long)).contains("is longer than 64 characters"), "{}", told(group(&long)));
}

#[test]
fn templates_are_taken_wherever_a_request_has_texts() {
    let accepted = steps(
        "[{path: '{{ next }}', headers: {X-A: '{{ a }}'}, body: '{{ b }}'}, {get: '{{ next }}'}, \
         {get: 'http://{{ host }}/{{ path }}?a={{ b c }}'}, {post: {url: '/a b/{{ c }}', form: {a: '{{ d }}'}, \
         auth: {basic: {user: '{{ users.name }}', password: '{{ users.password }}'}}}}]",
    );
    assert_eq!(told(accepted), "accepted");
}

#[test]
fn a_group_of_plain_requests_is_static_however_it_is_written() {
    for text in [
        "http: 1",
        "steps: [{get: /x}]",
        "steps: [{get: /x}, {path: /y}, {post: {url: /z, json: {a: 1}}}]",
        "cookies: false, variables: {a: 1}, warm_up: 1s, connections: shared, steps: [{get: /x}]",
        "scenarios: [{name: only, steps: [{get: /x}]}]",
    ] {
        let group = group(text).unwrap();
        assert!(group.is_static() && !group.keeps_cookies(), "{text}");
        let static_steps = group.static_steps().unwrap();
        assert!(static_steps.iter().all(|step| step.op.is_none()));
        assert!(group.measured_steps().len() == static_steps.len(), "{text}");
    }
    for text in [
        "http: 2",
        "cookies: true",
        "compression: true",
        "redirects: 1",
        "max_connections: 5",
        "connections: user",
        "auth: {bearer: '${TOKEN}'}",
        "script: a.js",
        "headers: {X-A: '{{ a }}'}",
        "before: [{get: /}]",
        "after: [{get: /}]",
        "feeders: [{name: a, file: a.csv}]",
        "steps: [{get: /x}, {think: 1s}]",
        "steps: [{get: '/{{ x }}'}]",
        "scenarios: [{name: a, steps: [{get: /x}]}, {name: b, steps: [{get: /x}]}]",
    ] {
        assert!(!group(text).unwrap().is_static(), "{text}");
    }
    let group = group("steps: [{get: '/{{ x }}'}]").unwrap();
    assert!(group.keeps_cookies());
}

#[test]
fn hosts_of_whole_urls_are_targets_too() {
    let text = "groups: [{target: 'http://shop/', rate: 1, duration: 1s, before: [{get: 'http://setup:81/a'}], \
                auth: {oauth2: {grant: client_credentials, token_url: 'http://tokens/t', client_id: a, \
                client_secret: b}}, steps: [{loop: {count: 1, steps: [{get: 'http://{{ x }}/'}, \
                {get: 'http://other/{{ x }}'}]}}]}]\n";
    let submission = from_bytes(text.as_bytes()).unwrap();
    // Whoever gives a port means the host itself.
    assert_eq!(submission.hosts(), ["shop", "tokens", "other"]);
}
