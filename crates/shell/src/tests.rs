use proptest::prelude::*;

use crate::{Arguments, DEPTH_MAX, Expression, LINE_MAX_BYTES, Object, ShellError, Value, help, parse, tables};

fn read(line: &str) -> Expression {
    parse(line).unwrap().unwrap().expression
}

fn refused(line: &str) -> String {
    parse(line).unwrap_err().to_string()
}

#[test]
fn plain_words_mean_the_same_as_galileos_calls() {
    for (words, call) in [
        ("spawn shop 3 zone=A", "g.spawn('shop', 3, worker_labels={'zone': 'A'})"),
        ("spawn shop", "g.spawn('shop', 1)"),
        ("rps c1 0.5  # slowly", "c1.rps(0.5)"),
        ("request c1 100 expovariate 5", "c1.request(100, ('expovariate', 5))"),
        ("request c1 100 0.2", "c1.request(100, 0.2)"),
        ("close c1", "c1.close()"),
        ("close c1 2", "c1.close(2)"),
        ("route set s h1:80=1 h2:80=0.5", "rtbl.set('s', ['h1:80', 'h2:80'], [1, 0.5])"),
        ("route weights s 1 2", "rtbl.update_weights('s', [1, 2])"),
        ("exp event 'a b' 1", "exp.event('a b', '1')"),
        ("telemetry stop a b", "telemd.stop_telemd(['a', 'b'])"),
        ("sleep 500ms", "sleep('500ms')"),
        ("nodes", "show.workers()"),
        ("exit", "exit()"),
    ] {
        assert_eq!(read(words), read(call), "{words}");
    }
    let named = parse("spawn shop 2 as buyers").unwrap().unwrap();
    assert_eq!(named.target.as_deref(), Some("buyers"));
    assert_eq!(parse("c = g.spawn('shop')").unwrap().unwrap().target.as_deref(), Some("c"));
}

#[test]
fn values_are_read_and_shown_as_python_has_them() {
    for text in ["None", "True", "-1", "0.5", "'a\\'b'", "[1, 2.0]", "(1,)", "(1, 'x')", "{'a': [1]}", "[]", "()", "{}"]
    {
        let shown = worth(&read(text)).to_string();
        assert_eq!(shown, text);
    }
    assert_eq!(worth(&read("(1)")), Value::Integer(1));
    assert_eq!(worth(&read("1e3")), Value::Float(1_000.0));
    assert_eq!(worth(&read("[1, 2,]")).to_string(), "[1, 2]");
    assert_eq!(parse("").unwrap(), None);
    assert_eq!(parse("  # nothing").unwrap(), None);
}

/// What an expression without names and calls is worth.
fn worth(expression: &Expression) -> Value {
    let all = |entries: &[Expression]| entries.iter().map(worth).collect();
    match expression {
        Expression::Value(value) => value.clone(),
        Expression::List(entries) => Value::List(all(entries)),
        Expression::Tuple(entries) => Value::Tuple(all(entries)),
        Expression::Dict(entries) => {
            Value::Dict(entries.iter().map(|(key, value)| (worth(key), worth(value))).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_line_is_refused_with_its_column() {
    for (line, words) in [
        ("g.spawn(", "column 9: a value is missing: the line ends here"),
        ("g.spawn('shop", "column 9: the text has no end"),
        ("g.spawn('shop' 3)", "column 16: `,` or `)` is missing: `3` is there"),
        ("g.spawn(num=1, 2)", "column 16: arguments without a name"),
        ("f(a=1, a=2)", "column 8: an argument of that name"),
        ("1 2", "column 3: the end of the line is missing"),
        ("x = ", "a value is missing"),
        ("g = 1", "`g` is a word of the shell"),
        ("import os", "`import` is Python's"),
        ("a ; b", "column 3: `;` means nothing here"),
        ("both = c + d", "column 10: `+` means nothing here: groups are not merged"),
        ("12abc", "`12abc` is no number"),
        ("{'a' 1}", "`:` is missing"),
        ("rps c1", "write: rps GROUP"),
        ("route set shop", "write: route"),
        ("spawn shop 3 zone", "write: spawn SERVICE"),
        ("exp event 'a", "the text has no end"),
    ] {
        let said = refused(line);
        assert!(said.contains(words), "{line}: {said}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    assert_eq!(parse(&"x".repeat(1 << 20)), Err(ShellError::Long { bytes: 1 << 20 }));
    for line in ["[".repeat(LINE_MAX_BYTES), "f(".repeat(20_000), "{1:".repeat(20_000)] {
        assert!(matches!(parse(&line), Err(ShellError::Deep { .. })), "{}", &line[..3]);
    }
    for line in [format!("a{}", ".a".repeat(30_000)), format!("a{}", "()".repeat(30_000))] {
        assert!(matches!(parse(&line), Err(ShellError::Deep { .. })));
    }
    let within = DEPTH_MAX - 1;
    assert!(parse(&format!("{}1{}", "[".repeat(within), "]".repeat(within))).is_ok());
}

#[test]
fn arguments_find_their_parameters_or_are_refused_by_name() {
    let arguments = |line: &str| {
        let Expression::Call { positional, keyword, .. } = read(line) else { panic!("{line}") };
        Arguments {
            positional: positional.iter().map(worth).collect(),
            keyword: keyword.iter().map(|(name, value)| (name.clone(), worth(value))).collect(),
        }
    };
    let bind = |line: &str| arguments(line).bind("spawn", &["service", "num"], 1);
    let bound = bind("f('a', num=3)").unwrap();
    assert_eq!((bound.text("service"), bound.count("num")), (Ok("a".to_owned()), Ok(Some(3))));
    for (line, words) in [
        ("f()", "spawn: `service` is missing"),
        ("f('a', 1, 2)", "takes at most 2: service, num"),
        ("f('a', service='b')", "`service` is given twice"),
        ("f('a', size=1)", "there is no `size`; there are service, num"),
    ] {
        assert!(bind(line).unwrap_err().to_string().contains(words), "{line}");
    }
    let wrong = bind("f(1, -2)").unwrap();
    assert!(wrong.text("service").unwrap_err().to_string().contains("spawn: service: a text in quotes"));
    assert!(wrong.flag("num").unwrap_err().to_string().contains("spawn: num: True or False"));
    assert!(wrong.count("num").is_err() && wrong.number("num").is_err() && wrong.texts("service").is_err());
}

#[test]
fn tables_look_as_galileos() {
    let table = tables::routes(&[("myservice", vec![("host1:8080", 1.0), ("host2:8080", 2.0)])]);
    let rule = "+---------------------------+----------------------+-----------+\n";
    let rows = "| myservice                 |           host1:8080 |       1.0 |\n\
                |                           |           host2:8080 |       2.0 |\n";
    let heading = "| Service                   |                Hosts |   Weights |\n";
    assert_eq!(table, format!("{rule}{heading}{rule}{rows}{rule}"));
    let plain = tables::table(&["name", "n"], &[vec!["a".into(), "12".into()]]);
    assert_eq!(plain, "+------+----+\n| name | n  |\n+------+----+\n| a    | 12 |\n+------+----+\n");
    assert_eq!(tables::cut(&"x".repeat(81)), format!("{} ...}}", "x".repeat(75)));
}

#[test]
fn everything_has_help_and_is_completed() {
    for (verb, usage) in help::VERBS {
        assert!(usage.starts_with(verb) && help::usage().contains(usage));
    }
    assert!(help::about("g").unwrap().contains("spawn(service, num=1"));
    assert_eq!(help::about("nothing"), None);
    assert_eq!(help::completions("rtbl.up", &[]), ["rtbl.update_weights("]);
    assert_eq!(help::completions("c1.req", &[]), ["c1.request("]);
    assert_eq!(help::completions("close bu", &["buyers".to_owned()]), ["buyers"]);
    assert_eq!(Value::Object(Object::Routes).to_string(), "rtbl");
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(line in any::<String>()) {
        let _ = parse(&line);
        let _ = help::completions(&line, &[]);
    }

    #[test]
    fn no_line_of_its_own_signs_makes_it_panic(
        line in r#"([a-c]|spawn|rps|route|exp|g|rtbl|None|'|"|\\|[0-9eE._+-]|[()\[\]{},.:=# -]){0,60}"#
    ) {
        let _ = parse(&line);
        let _ = help::completions(&line, &["a".to_owned()]);
    }
}
