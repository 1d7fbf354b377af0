//! Programs compiled and run in a pretend machine: what they do, in which order, without anybody to do it to.

use nuncius_schemas::spec::ExperimentSpec;
use proptest::prelude::*;
use serde_json::json;

use super::action::Action;
use super::machine::{Cursor, Event, Facts, Fault, Memory, advance};
use super::request::Address;
use super::*;

fn group(fields: &str) -> Group {
    let text = format!("groups:\n- {{target: 'http://127.0.0.1:1/base', rate: 1/s, duration: 1s, {fields}}}\n");
    let spec: ExperimentSpec = nuncius_schemas::codec::from_text(&text).unwrap();
    spec.groups.into_iter().next().unwrap()
}

fn compiled(fields: &str) -> Result<Program, PlanError> {
    compile(
        &group(fields),
        &ProgramInput {
            path: "groups[0]",
            number: 0,
            seed: 1,
            routes: &[],
            services: &std::collections::BTreeMap::new(),
            policy: &TargetPolicy::default(),
            bundle: None,
            given: None,
            environment: &|name| (name == "SET").then(|| "yes".to_owned()),
            part: Part::Load,
        },
    )
}

/// What an iteration did, one word for each event.
struct Pretend<'p> {
    program: &'p Program,
    memory: Memory,
    iteration: u64,
    done: Vec<String>,
}

impl<'p> Pretend<'p> {
    fn new(program: &'p Program, iteration: u64) -> Self {
        let mut memory = Memory::default();
        memory.reset(program);
        Self { program, memory, iteration, done: Vec::new() }
    }

    /// Runs to the end; `act` is told of each action, and may change what is remembered.
    fn run(&mut self, cursor: &mut Cursor, act: &mut dyn FnMut(&Program, &mut Memory, u16)) -> Result<(), Fault> {
        loop {
            let facts = Facts {
                key: self.program.key,
                iteration: self.iteration,
                user: 0,
                now_unix_ms: || 0,
                environment: &|name| self.program.environment(name),
            };
            match advance(self.program, cursor, &mut self.memory, &facts)? {
                Event::Do(number, _) => {
                    let Action::Http(action) = &self.program.actions[usize::from(number)] else { panic!("a request") };
                    self.done.push(format!("do {}", action.step));
                    act(self.program, &mut self.memory, action.step);
                }
                Event::Call(number, _) => self.done.push(format!("call {number}")),
                Event::Think(pause_ns) => self.done.push(format!("think {pause_ns}")),
                Event::Skipped(steps) => self.done.push(format!("skip {steps:?}")),
                Event::Log(text) => self.done.push(format!("log {text}")),
                Event::Fork(branches, at_most) => {
                    assert!(at_most >= 1);
                    for branch in branches {
                        self.run(&mut cursor.branch(*branch), act)?;
                    }
                }
                Event::Breath => {}
                Event::Joined | Event::Ended => return Ok(()),
            }
        }
    }
}

fn done_by(program: &Program, iteration: u64) -> Result<Vec<String>, Fault> {
    let mut pretend = Pretend::new(program, iteration);
    let mut cursor = Cursor::at(program.entry(iteration, None));
    pretend.run(&mut cursor, &mut |_, _, _| {}).map(|()| pretend.done)
}

fn done(fields: &str) -> Vec<String> {
    done_by(&compiled(fields).unwrap(), 0).unwrap()
}

fn fault(fields: &str) -> (String, Fault) {
    let program = compiled(fields).unwrap();
    let fault = done_by(&program, 0).unwrap_err();
    (program.place(fault.pc).unwrap().path.to_string(), fault)
}

#[test]
fn a_line_of_steps_is_done_in_order_with_its_pauses_and_lines() {
    let steps = "steps: [{get: /a}, {think: 2s}, {set: {n: '{{ 1 + 2 }}'}}, {log: 'n is {{ n }}'}, {post: /b}]";
    assert_eq!(done(steps), ["do 0", "think 2000000000", "log n is 3", "do 1"]);
}

#[test]
fn loops_count_go_over_lists_and_go_on_while_a_condition_holds() {
    assert_eq!(
        done("steps: [{loop: {count: 3, steps: [{get: /}, {log: '{{ loop.index }}'}]}}, {get: /end}]"),
        ["do 0", "log 0", "do 0", "log 1", "do 0", "log 2", "do 1"]
    );
    let over = "steps: [{set: {items: [a, b]}}, {loop: {over: '{{ items }}', as: x, steps: [{log: '{{ x }}{{ loop.index }}'}]}}, {get: /}]";
    assert_eq!(done(over), ["log a0", "log b1", "do 0"]);
    let whiles = "steps: [{set: {n: 0}}, {loop: {while: '{{ n < 3 }}', steps: [{get: /}, {set: {n: '{{ n + 1 }}'}}]}}]";
    assert_eq!(done(whiles), ["do 0", "do 0", "do 0"]);
    assert_eq!(
        done("steps: [{loop: {over: '{{ default(none, json_) }}', steps: [{get: /}]}}], variables: {json_: []}"),
        [] as [&str; 0]
    );
}

#[test]
fn the_index_of_an_outer_loop_comes_back_after_an_inner_one() {
    let steps = "steps: [{loop: {count: 2, steps: [{loop: {count: 2, steps: [{log: 'in {{ loop.index }}'}]}}, \
                 {log: 'out {{ loop.index }}'}, {get: /}]}}]";
    let once =
        |out: &str| vec!["log in 0".to_owned(), "log in 1".to_owned(), format!("log out {out}"), "do 0".to_owned()];
    assert_eq!(done(steps), [once("0"), once("1")].concat());
    let (path, fault) = fault("steps: [{loop: {count: 1, steps: [{get: /}]}}, {log: '{{ loop.index }}'}, {get: /}]");
    assert_eq!(path, "steps[1]");
    assert!(fault.text.contains("`loop` is not there"), "{}", fault.text);
}

#[test]
fn branches_each_have_their_own_loop() {
    let steps = "steps: [{loop: {count: 2, steps: [{parallel: {branches: [\
                 [{log: 'a{{ loop.index }}'}, {loop: {count: 2, steps: [{log: 'b{{ loop.index }}'}]}}, {get: /x}], \
                 [{log: 'c{{ loop.index }}'}, {get: /y}]]}}]}}]";
    let once = |n: u8| {
        let words =
            [format!("log a{n}"), "log b0".into(), "log b1".into(), "do 0".into(), format!("log c{n}"), "do 1".into()];
        words.to_vec()
    };
    assert_eq!(done(steps), [once(0), once(1)].concat());
}

#[test]
fn what_is_passed_over_is_told_step_by_step() {
    let steps = "variables: {yes: true}, steps: [{if: {condition: '{{ yes }}', then: [{get: /a}], else: [{get: /b}, {loop: {count: 2, steps: [{get: /c}]}}]}}, \
                 {if: '{{ !yes }}', get: /d}, {probability: 0.0000000001, get: /e}, {if: '{{ !yes }}', think: 1s}]";
    assert_eq!(done(steps), ["skip [1, 2]", "do 0", "skip [3]", "skip [4]"]);
}

#[test]
fn chance_takes_a_step_in_its_share_of_the_iterations_and_the_same_ones_each_time() {
    let program = compiled("steps: [{get: /}, {probability: 0.25, get: /sometimes}]").unwrap();
    let taken = |iteration| done_by(&program, iteration).unwrap().contains(&"do 1".to_owned());
    let count = (0..4_000).filter(|iteration| taken(*iteration)).count();
    // Six standard deviations are 164.
    assert!(count.abs_diff(1_000) < 164, "{count}");
    assert!((0..100).all(|iteration| taken(iteration) == taken(iteration)));
}

#[test]
fn scenarios_are_entered_by_their_weights() {
    let program =
        compiled("scenarios: [{name: a, weight: 3, steps: [{get: /a}]}, {name: b, steps: [{get: /b}, {think: 1s}]}]")
            .unwrap();
    let counts = (0..4_000).fold([0, 0], |mut counts, iteration| {
        match done_by(&program, iteration).unwrap()[0].as_str() {
            "do 0" => counts[0] += 1,
            _ => counts[1] += 1,
        }
        counts
    });
    assert!(i32::abs(counts[0] - 3_000) < 170 && counts[0] + counts[1] == 4_000, "{counts:?}");
}

#[test]
fn what_an_action_remembers_is_seen_by_what_comes_after_it() {
    let program = compiled(
        "steps: [{get: {url: /, capture: {token: {json: $.t}}}}, {if: '{{ token == 7 }}', get: '/{{ token }}'}]",
    )
    .unwrap();
    let mut pretend = Pretend::new(&program, 0);
    let slot = program.names.get("token").unwrap();
    let mut act = |_: &Program, memory: &mut Memory, step: u16| {
        if step == 0 {
            memory.set(slot, Some(json!(7)));
        }
    };
    pretend.run(&mut Cursor::at(program.entry(0, None)), &mut act).unwrap();
    assert_eq!(pretend.done, ["do 0", "do 1"]);
}

#[test]
fn a_loop_that_goes_round_for_ever_is_ended_by_its_bound_or_by_that_of_instructions() {
    let (path, fault_of_loop) = fault("steps: [{loop: {while: '{{ true }}', at_most: 5, steps: [{get: /}]}}]");
    assert_eq!((path.as_str(), fault_of_loop.kind), ("steps[0]", nuncius_schemas::metric::FailureKind::Template));
    assert!(fault_of_loop.text.contains("more than 5 times"), "{}", fault_of_loop.text);
    let idle = "{set: {x: 1}}";
    let twice = format!(
        "steps: [{{get: /}}, {{loop: {{count: 1000000, steps: [{{loop: {{count: 1000000, steps: [{idle}]}}}}]}}}}]"
    );
    let (_, idle) = fault(&twice);
    assert!(idle.text.contains("without a request"), "{}", idle.text);
}

#[test]
fn what_goes_wrong_between_two_steps_counts_at_the_one_that_comes_next() {
    let program = compiled("steps: [{get: /a}, {set: {x: '{{ nope }}'}}, {get: /b}, {log: '{{ nope }}'}]").unwrap();
    let fault = done_by(&program, 0).unwrap_err();
    let place = program.place(fault.pc).unwrap();
    assert_eq!((place.step, place.path.as_ref()), (1, "steps[1]"));
    assert_eq!(program.places.last().unwrap().step, 1, "after the last it is that");
}

#[test]
fn every_refusal_names_its_field() {
    for (fields, field, words) in [
        ("steps: [{get: '/{{ 1 + }}'}]", "groups[0].steps[0].get.url", "column"),
        ("steps: [{get: {url: /, headers: {X-A: '{{ ( }}'}}}]", "groups[0].steps[0].get.headers.X-A", "column"),
        (
            "scenarios: [{name: a, steps: [{get: /}, {loop: {count: 2, steps: [{post: {url: /, json: {a: ['{{ }}']}}}]}}]}]",
            "groups[0].scenarios[0].steps[1].loop.steps[0].post.json",
            "column",
        ),
        ("steps: [{get: {url: /, capture: {t: {json: '$.['}}}}]", "groups[0].steps[0].get.capture.t", "JSONPath"),
        (
            "steps: [{get: {url: /, checks: [{body: , matches: '('}]}}]",
            "groups[0].steps[0].get.checks[0]",
            "regular expression",
        ),
        ("steps: [{get: 'http://8.8.8.8/'}]", "groups[0].steps[0].get.url", "not allowed"),
        ("steps: [{get: 'http://shop/{{ x }}'}]", "groups[0].steps[0].get.url", "no service is named `shop`"),
        ("steps: [{post: {url: /, file: a.bin}}]", "groups[0].steps[0].post.file", "without its files"),
        ("steps: [{set: {x: '{{ y( }}'}}, {get: /}]", "groups[0].steps[0].set.x", "column"),
        ("steps: [{loop: {while: '{{ < }}', steps: [{get: /}]}}]", "groups[0].steps[0].loop.while", "column"),
        ("script: {source: 'exports.f = ('}, steps: [{call: f}]", "groups[0].script.source", "script:1"),
        (
            "script: {source: 'exports.f = () => 1'}, steps: [{call: g}]",
            "groups[0].steps[0].call",
            "exports no function `g`",
        ),
        (
            "feeders: [{name: u, file: users.csv}], steps: [{get: '/{{ u.x }}'}]",
            "groups[0].feeders[0].file",
            "without its files",
        ),
        (
            "auth: {oauth2: {grant: client_credentials, token_url: 'http://8.8.8.8/t', client_id: a, client_secret: b}}, steps: [{get: /}]",
            "groups[0].auth.oauth2.token_url",
            "not allowed",
        ),
    ] {
        let error = compiled(fields).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{field}:")) && error.contains(words), "{fields}\n{error}");
    }
}

#[test]
fn a_whole_url_is_a_target_of_its_own_and_each_origin_is_one_target() {
    let program = compiled(
        "steps: [{get: '/{{ x }}'}, {get: 'http://127.0.0.1:2/a?b'}, {get: 'http://127.0.0.1:2/{{ x }}'}, \
         {get: '{{ next }}'}, {get: ''}, {get: {url: 'http://127.0.0.1:3', query: {'a b': [c, '{{ x }}']}}}], variables: {x: 1}",
    )
    .unwrap();
    let origins: Vec<&str> = program.targets.iter().map(|target| target.origin.as_str()).collect();
    assert_eq!(origins, ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]);
    let told = |number: usize| {
        let Action::Http(action) = &program.actions[number] else { panic!("a request") };
        match &action.address {
            Address::Constant(target, path) => format!("{target} {path}"),
            Address::Path(target, before, _) => format!("{target} {before}…"),
            Address::Made(_) => "made".to_owned(),
        }
    };
    assert_eq!((0..6).map(told).collect::<Vec<_>>(), ["0 /base…", "1 /a?b", "1 …", "made", "0 /base", "2 /"]);
}

/// Steps as a tree, and what they come to.
#[derive(Debug, Clone)]
enum Tree {
    Get,
    Loop(u8, Vec<Tree>),
    If(bool, Vec<Tree>, Vec<Tree>),
    AtOnce(Vec<Vec<Tree>>),
}

fn trees() -> impl Strategy<Value = Vec<Tree>> {
    let leaf = Just(Tree::Get);
    let tree = leaf.prop_recursive(4, 24, 3, |inner| {
        let list = proptest::collection::vec(inner, 1..3);
        prop_oneof![
            Just(Tree::Get),
            (1u8..4, list.clone()).prop_map(|(count, list)| Tree::Loop(count, list)),
            (any::<bool>(), list.clone(), list.clone()).prop_map(|(holds, then, other)| Tree::If(holds, then, other)),
            proptest::collection::vec(list, 2..4).prop_map(Tree::AtOnce),
        ]
    });
    proptest::collection::vec(tree, 1..4)
}

/// The steps as they are written; numbers are given in the order of writing.
fn written(trees: &[Tree], next: &mut u16) -> serde_json::Value {
    let one = |tree: &Tree, next: &mut u16| match tree {
        Tree::Get => {
            *next += 1;
            json!({"get": "/{{ yes }}"})
        }
        Tree::Loop(count, list) => json!({"loop": {"count": count, "steps": written(list, next)}}),
        Tree::If(holds, then, other) => {
            let (then, other) = (written(then, next), written(other, next));
            json!({"if": {"condition": if *holds { "{{ yes }}" } else { "{{ !yes }}" }, "then": then, "else": other}})
        }
        Tree::AtOnce(branches) => {
            json!({"parallel": {"branches": branches.iter().map(|list| written(list, next)).collect::<Vec<_>>()}})
        }
    };
    trees.iter().map(|tree| one(tree, next)).collect()
}

/// What they do, by the plainest of interpreters.
fn expected(trees: &[Tree], next: &mut u16, does: bool, done: &mut Vec<u16>) {
    for tree in trees {
        match tree {
            Tree::Get => {
                if does {
                    done.push(*next);
                }
                *next += 1;
            }
            Tree::Loop(count, list) => {
                let first = *next;
                for _ in 0..*count {
                    *next = first;
                    expected(list, next, does, done);
                }
            }
            Tree::If(holds, then, other) => {
                expected(then, next, does && *holds, done);
                expected(other, next, does && !*holds, done);
            }
            Tree::AtOnce(branches) => branches.iter().for_each(|list| expected(list, next, does, done)),
        }
    }
}

fn is_in_bounds(trees: &[Tree]) -> bool {
    let mut count = 0;
    written(trees, &mut count);
    count <= 60
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_in_blocks_do_what_the_plainest_interpreter_does(trees in trees().prop_filter("few steps", |t| is_in_bounds(t))) {
        let steps = written(&trees, &mut 0);
        let program = compiled(&format!("variables: {{yes: true}}, steps: {steps}")).unwrap();
        let mut wanted = Vec::new();
        expected(&trees, &mut 0, true, &mut wanted);
        let done = done_by(&program, 0).unwrap();
        let done: Vec<u16> = done.iter().filter_map(|word| word.strip_prefix("do ")?.parse().ok()).collect();
        prop_assert_eq!(done, wanted);
    }
}
