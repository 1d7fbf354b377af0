//! Scripts that were made, run as a session runs them: hooks get a request or a response and the variables of a user.

use std::collections::VecDeque;

use nuncius_import::artillery::{Imported, SCRIPT_PATH};
use nuncius_script::{Answer, Call, CallState, Compiled, Finished, Limits, RequestView, ResponseView, Runtime, Wanted};
use serde_json::{Map, Value, json};

use crate::support::{import_files, imported, refused};

/// A script on a thread, and the variables of its user.
struct Session {
    compiled: Compiled,
    runtime: Runtime,
    variables: Map<String, Value>,
    /// What is answered to requests of the script, in their order.
    answers: VecDeque<ResponseView>,
    /// What it asked for.
    asked: Vec<Wanted>,
}

impl Session {
    fn new(imported: &Imported) -> Self {
        let file = imported.files.iter().find(|file| file.path == SCRIPT_PATH).unwrap();
        let source = String::from_utf8(file.bytes.clone()).unwrap();
        // Enough for a build without optimisation.
        let limits = Limits { call_ns: 5_000_000_000, load_ns: 20_000_000_000, ..Limits::default() };
        let compiled =
            Compiled::new("processor.js", &source, limits).unwrap_or_else(|error| panic!("{error}\n{source}"));
        let runtime = Runtime::new(&compiled, None).unwrap();
        let variables = imported.specification.groups[0].variables.clone().into_iter().collect();
        Self { compiled, runtime, variables, answers: VecDeque::new(), asked: Vec::new() }
    }

    /// As a node fills variables of its environment in.
    fn with_environment(mut self, pairs: &[(&str, &str)]) -> Self {
        let values: Map<String, Value> = pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.variables.insert("artillery_environment".to_owned(), Value::Object(values));
        self
    }

    fn set(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value);
    }

    fn call(&mut self, name: &str, call: Call) -> Box<Finished> {
        let function = self.compiled.exports().get(name).unwrap_or_else(|| panic!("there is no `{name}`"));
        let call = Call { variables: self.variables.clone(), seed: 7, ..call };
        let mut state = self.runtime.call(function, call);
        loop {
            let waiting = match state {
                CallState::Done(finished) => {
                    self.variables = finished.variables.clone();
                    return finished;
                }
                CallState::Waiting(waiting) => waiting,
            };
            let ask = waiting.asks.first().unwrap_or_else(|| panic!("`{name}` waits for nothing"));
            let answer = match &ask.wanted {
                Wanted::Fetch(_) => Answer::Response(self.answers.pop_front().unwrap()),
                Wanted::Timer { .. } => Answer::Elapsed,
            };
            self.asked.push(ask.wanted.clone());
            state = self.runtime.resume(ask.id, answer).unwrap();
        }
    }

    fn step(&mut self, name: &str) -> Box<Finished> {
        self.call(name, Call::default())
    }

    /// A hook before a request; what became of the request.
    fn before(&mut self, name: &str, method: &str, url: &str) -> RequestView {
        let request = RequestView { method: method.into(), url: url.into(), ..RequestView::default() };
        let finished = self.call(name, Call { request: Some(request), iteration: 3, ..Call::default() });
        finished.result.unwrap_or_else(|error| panic!("{name}: {error}"));
        finished.request.unwrap()
    }

    fn after(&mut self, name: &str, response: ResponseView) -> Box<Finished> {
        self.call(name, Call { response: Some(response), iteration: 3, ..Call::default() })
    }
}

fn response(status: u16, body: &str) -> ResponseView {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    ResponseView { status, headers, body: body.to_owned().into(), url: "http://shop.test/x".into() }
}

fn header<'r>(request: &'r RequestView, name: &str) -> Option<&'r str> {
    request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn body(request: &RequestView) -> &str {
    std::str::from_utf8(request.body.as_ref().unwrap()).unwrap()
}

/// A file with one request, in which `step` is written; its processor is `p.js`.
fn with_request(step: &str, processor: &str) -> Imported {
    let text = format!(
        "config: {{target: 'http://shop.test', phases: [{{duration: 1, arrivalRate: 1}}], processor: p.js}}\n\
         scenarios: [{{name: s, flow: [{step}]}}]"
    );
    import_files(&text, &[("p.js", processor)]).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_hook_that_fetches_a_token_once_reaches_its_request_though_it_gave_its_parameter_another_value() {
    let imported = imported(&std::fs::read_to_string(crate::support::directory().join("desk-http.yaml")).unwrap());
    assert!(imported.environment.contains("DESK_USER"), "{:?}", imported.environment);
    let environment = [("DESK_USER", "ada"), ("DESK_PASSWORD", "s3cret")];
    let mut session = Session::new(&imported).with_environment(&environment);
    session.answers.push_back(response(200, r#"{"access_token": "t0ken"}"#));
    for _ in 0..2 {
        let request = session.before("addToken", "GET", "/v1/people/");
        assert_eq!(header(&request, "authorization"), Some("Bearer t0ken"));
        assert_eq!((request.method.as_str(), request.url.as_str()), ("GET", "/v1/people/"));
        assert_eq!(request.body, None);
    }
    let [Wanted::Fetch(asked)] = session.asked.as_slice() else { panic!("{:?}", session.asked) };
    assert_eq!((asked.method.as_str(), asked.url.as_str()), ("POST", "http://login.test/token"));
    assert_eq!(body(asked), "grant_type=password&username=ada&password=s3cret");
}

#[test]
fn hooks_with_callbacks_change_every_part_of_a_request_and_its_templates_are_filled_in_after_them() {
    let step =
        "{post: {url: '/a/{{ user-id }}?x=1', headers: {X-A: '{{ made }}'}, json: {n: '{{ n }}', t: '<{{ n }}>'},
                beforeRequest: [one, two]}}";
    let imported = with_request(
        step,
        "exports.one = (req, ctx, ee, next) => {
           ctx.vars['user-id'] = 7; ctx.vars.n = 5; ctx.vars.made = 'm';
           req.url = req.url.replace('/a/', '/b/');
           ee.emit('counter', 'one.calls'); ee.emit('histogram', 'one.ms', 2.5);
           setTimeout(next, 3);
         };
         exports.two = function (req, ctx, ee, next) {
           req.method = 'PUT'; req.json.more = [ctx.vars['user-id'], '{{ made }}'];
           req.headers['X-B'] = `${Object.keys(ctx.vars).includes('user-id')}`;
           return next();
         };",
    );
    let mut session = Session::new(&imported);
    let hook = &imported.specification.groups[0].scenarios[0].steps;
    let name = serde_json::to_value(hook).unwrap()[1]["post"]["before_request"].as_str().unwrap().to_owned();
    let request = session.before(&name, "POST", "/a/?x=1");
    assert_eq!((request.method.as_str(), request.url.as_str()), ("PUT", "/b/7?x=1"));
    let sent: Value = serde_json::from_str(body(&request)).unwrap();
    assert_eq!(sent, json!({"n": 5, "t": "<5>", "more": [7, "m"]}));
    assert_eq!(header(&request, "x-a"), Some("m"));
    assert_eq!(header(&request, "x-b"), Some("true"));
    assert_eq!(header(&request, "content-type"), Some("application/json"));
    // Under a name that a specification takes.
    assert_eq!(session.variables["user_id"], 7);
    let meters: Vec<&str> = imported.specification.groups[0].meters.keys().map(String::as_str).collect();
    assert_eq!(meters, ["one_calls", "one_ms"]);
}

#[test]
fn what_hooks_count_goes_to_meters_that_are_declared_and_nothing_else_does() {
    let imported = with_request(
        "{function: f}, {get: {url: /}}",
        "module.exports.f = async (ctx, ee) => {
           ee.emit('counter', 'a.b', 2); ee.emit('rate', 'a.b'); ee.emit('customStat', { stat: 's', value: 4 });
           ee.emit('error', 'EX'); ee.emit('counter', 'made' + 1, 1); ee.emit('histogram', 's', 'no number');
         };",
    );
    assert!(imported.warnings.iter().any(|warning| warning.text.contains("names that are not written")));
    let mut session = Session::new(&imported);
    let finished = session.step("f");
    finished.result.unwrap();
    let meters: Vec<(String, f64)> = finished.meters.iter().map(|meter| (meter.name.clone(), meter.value)).collect();
    let expected = [("a_b", 2.0), ("a_b_2", 1.0), ("s", 4.0), ("error_EX", 1.0)];
    assert_eq!(meters, expected.map(|(name, value)| (name.to_owned(), value)));
    for (name, _) in expected {
        assert!(imported.specification.groups[0].meters.contains_key(name), "{name}");
    }
    assert!(finished.lines.iter().any(|line| line.text.contains("`made1` is left out")), "{:?}", finished.lines);
}

#[test]
fn a_hook_that_fails_fails_its_request_in_both_forms() {
    for source in [
        "exports.f = (req, ctx, ee, next) => next(new Error('no luck'));",
        "exports.f = async () => { throw new Error('no luck'); };",
        "exports.f = (req, ctx, ee, next) => { throw new Error('no luck'); };",
        "exports.f = (req, ctx, ee, next) => next('no luck');",
    ] {
        let mut session = Session::new(&with_request("{get: {url: /, beforeRequest: f}}", source));
        let request = RequestView { method: "GET".into(), url: "/".into(), ..RequestView::default() };
        let finished = session.call("f", Call { request: Some(request), ..Call::default() });
        let error = finished.result.unwrap_err().to_string();
        assert!(error.contains("no luck"), "{source}: {error}");
    }
}

#[test]
fn what_a_hook_keeps_beside_the_variables_is_there_for_the_next_one_and_the_answer_is_seen_with_its_request() {
    let imported =
        imported(&std::fs::read_to_string(crate::support::directory().join("rank8-processor.yaml")).unwrap());
    let mut session = Session::new(&imported);
    session.set("artillery_scenario", json!("modern"));
    let request = session.before("make", "POST", "/items/?made=");
    assert_eq!(request.url, "/items/hi-36?made=hi-36");
    assert_eq!(header(&request, "x-hook"), Some("POST"));
    assert_eq!(header(&request, "x-made"), Some("hi-36"));
    assert_eq!(serde_json::from_str::<Value>(body(&request)).unwrap(), json!({"name": "hi-36", "count": 3}));
    let finished = session.after("remember", response(201, "12345"));
    finished.result.unwrap();
    assert_eq!(session.variables["seen"], json!(["/items/hi-36?made=hi-36", 201, 1]));
    assert_eq!((finished.meters[0].name.as_str(), finished.meters[0].value), ("answer_length", 5.0));
}

#[test]
fn conditions_loops_and_pauses_are_those_of_the_processor() {
    let imported = imported(&std::fs::read_to_string(crate::support::directory().join("rank6-flow.yaml")).unwrap());
    let mut session = Session::new(&imported).with_environment(&[("STAMP", "fine")]);
    session.set("artillery_scenario", json!("all"));
    let finished = session.step("prepare");
    finished.result.unwrap();
    assert_eq!(session.variables["started"], "all-fine");
    for (kind, holds) in [("a", true), ("b", false)] {
        session.set("kind", json!(kind));
        session.step("isOpen").result.unwrap();
        assert_eq!(session.variables["artillery_holds_2"], holds, "{kind}");
        session.step("condition").result.unwrap();
        assert_eq!(session.variables["artillery_holds"], holds, "{kind}");
    }
    for (last, goes_on) in [(json!(200), true), (json!(500), false)] {
        session.set("last", last);
        session.step("more").result.unwrap();
        assert_eq!(session.variables["artillery_goes_on"], goes_on);
    }
    session.set("n", json!("1.5s"));
    session.step("think").result.unwrap();
    assert_eq!(session.asked, [Wanted::Timer { after_ns: 1_500_000_000 }]);
    session.step("tidyUp").result.unwrap();
    assert_eq!(session.variables.get("started"), None);
}

#[test]
fn a_function_that_the_processor_does_not_have_is_passed_over_with_a_warning() {
    let imported =
        with_request("{get: {url: '/{{ n }}', beforeRequest: [gone, there]}}", "exports.there = (r, c, e, n) => n();");
    assert!(imported.warnings.iter().any(|warning| warning.text.contains("`gone` is not found")));
    let mut session = Session::new(&imported);
    session.set("n", json!(4));
    let request = RequestView { method: "GET".into(), url: "/".into(), ..RequestView::default() };
    let finished = session.call("gone", Call { request: Some(request), ..Call::default() });
    finished.result.unwrap();
    assert_eq!(finished.request.unwrap().url, "/4");
    assert!(finished.lines.iter().any(|line| line.text.contains("`gone` is no function of the processor")));
}

#[test]
fn what_node_has_and_processors_use_is_there() {
    let imported = with_request(
        "{function: f}, {get: {url: /}}",
        "const assert = (holds, what) => { if (!holds) throw new Error(what); };
         const { promisify } = require('util'); const crypto = require('crypto');
         const { URL: U } = require('node:url');
         const other = require('./lib/other'); const data = require('./data.json');
         module.exports = { f };
         async function f(context, events) {
           assert(Buffer.from('ä:b').toString('base64') === 'w6Q6Yg==', 'base64');
           assert(Buffer.from('w6Q6Yg==', 'base64').toString() === 'ä:b', 'from base64');
           assert(Buffer.from('ab').toString('hex') === '6162', 'hex');
           assert(btoa('a:b') === 'YTpi' && atob('YTpi') === 'a:b', 'btoa');
           const url = new U('https://x.test:8443/a/b?q=1&r=%20#h');
           assert(url.hostname === 'x.test' && url.port === '8443' && url.searchParams.get('r') === ' ', 'url');
           url.searchParams.set('q', 'ü'); assert(url.href.includes('q=%C3%BC'), url.href);
           assert(new URLSearchParams({ a: 1, b: 'c d' }).toString() === 'a=1&b=c%20d', 'params');
           assert(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/.test(crypto.randomUUID()), 'uuid');
           assert(process.env.HOME_OF_NOBODY === undefined && !('X' in process.env), 'env');
           assert(process.env.STAGE === 'test' && Object.keys(process.env).join() === 'STAGE', 'stage');
           assert(other.twice(data.n) === 42 && other.name === 'lib/other.js', 'files');
           assert(context.scenario.name === 's' && context.vars.target === 'http://shop.test', 'context');
           assert(context.funcs.$randomString(4).length === 4, 'funcs');
           assert(context.vars.$processEnvironment.STAGE === 'test', 'processEnvironment');
           assert(await promisify((a, next) => next(null, a + 1))(1) === 2, 'promisify');
           await new Promise((resolve) => setTimeout(resolve, 5));
           await new Promise((resolve) => setImmediate(resolve));
           const options = { body: new URLSearchParams('a=b'), method: 'POST', agent: 1 };
           const answer = await fetch(new U('http://x.test/a'), options);
           assert((await answer.json()).ok === true && answer.status === 200, 'fetch');
           return 'ignored';
         }
         if (require.main === module) throw new Error('it is no program');",
    );
    let mut session = Session::new(&imported).with_environment(&[("STAGE", "test"), ("EMPTY", "")]);
    session.set("artillery_scenario", json!("s"));
    session.answers.push_back(response(200, r#"{"ok": true}"#));
    session.step("f").result.unwrap();
    let asked = session.asked.last().unwrap();
    let Wanted::Fetch(request) = asked else { panic!("{asked:?}") };
    assert_eq!((request.url.as_str(), body(request)), ("http://x.test/a", "a=b"));
}

#[test]
fn the_environment_is_there_when_the_top_level_of_the_processor_looks_at_it() {
    let imported = with_request(
        "{function: f}, {get: {url: /}}",
        "const base = process.env.BASE.toUpperCase();
         exports.f = (ctx, ee, next) => { ctx.vars.base = base; next(); };",
    );
    assert_eq!(imported.environment.iter().collect::<Vec<_>>(), ["BASE"]);
    let declared = serde_json::to_value(&imported.specification.groups[0].variables).unwrap();
    assert_eq!(declared["artillery_environment"], json!({"BASE": "${BASE:-}"}));
    let mut session = Session::new(&imported).with_environment(&[("BASE", "x")]);
    session.step("f").result.unwrap();
    assert_eq!(session.variables["base"], "X");
}

#[test]
fn packages_are_refused_by_name_with_what_there_is_instead() {
    for (source, name) in [
        ("const faker = require('@faker-js/faker'); exports.f = () => {};", "`@faker-js/faker`"),
        ("import axios from 'axios'; export const f = () => {};", "`axios`"),
        ("const fs = require('fs'); exports.f = () => {};", "`fs`"),
    ] {
        let error = refused("{get: {url: /, beforeRequest: f}}", source);
        assert!(error.contains(name) && error.contains("node-fetch") && error.contains("esbuild"), "{error}");
    }
    let error = refused("{get: {url: /, beforeRequest: f}}", "require('./gone'); exports.f = () => {};");
    assert!(error.contains("gone"), "{error}");
}

#[test]
fn an_asynchronous_hook_may_call_a_next_that_artillery_does_not_give_it() {
    let source = "exports.f = async (req, ctx, ee, next) => { req.headers = { A: '1' }; next(); };";
    let imported = with_request("{get: {url: /, beforeRequest: f}}", source);
    assert!(imported.warnings.iter().any(|warning| warning.text.contains("asynchronous")));
    let request = Session::new(&imported).before("f", "GET", "/");
    assert_eq!(header(&request, "a"), Some("1"));
}

#[test]
fn cookies_credentials_forms_and_queries_of_a_request_with_hooks_are_sent_as_written() {
    let step = "{post: {url: /form, form: {a: '{{ n }}', b: [1, 2]}, cookie: {sid: '{{ n }}'},
                auth: {user: ada, pass: 'p{{ n }}'}, qs: {q: 'x y', n: '{{ n }}'}, beforeRequest: f}}";
    let mut session = Session::new(&with_request(step, "exports.f = async (req, ctx) => { ctx.vars.n = 9; };"));
    let request = session.before("f", "POST", "/form");
    assert_eq!(request.url, "/form?n=9&q=x%20y");
    assert_eq!(body(&request), "a=9&b=1&b=2");
    assert_eq!(header(&request, "cookie"), Some("sid=9"));
    assert_eq!(header(&request, "content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(header(&request, "authorization"), Some("Basic YWRhOnA5"));
}
