//! What templates, captures and rows cost: nanoseconds each, the best of several rounds, on one thread.
//!
//! `cost [MILLISECONDS]`: how long each round takes, 20 by default.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::hint::black_box;
use std::io::Cursor;
use std::time::{Duration, Instant};

use http::HeaderMap;
use nuncius_scenario::{
    Answer, Body, Capture, Check, DrawKey, Draws, Format, Jar, JsonTemplate, Names, Order, Origin, RowBuffer, RowIndex,
    Scope, Template, Test, pick, row_of,
};
use serde_json::{Value, json};

const ROUNDS: u32 = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let round_ms = std::env::args_os().nth(1).map(|word| word.to_string_lossy().parse::<u64>()).transpose()?;
    let round = Duration::from_millis(round_ms.unwrap_or(20));
    templates(round)?;
    answers(round)?;
    rows(round)?;
    Ok(())
}

/// The best of several rounds: what the thing itself takes, without what else the machine did.
fn cost(name: &str, round: Duration, mut once: impl FnMut()) {
    let mut best_ns = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let mut done = 0u32;
        while begun.elapsed() < round {
            for _ in 0..16 {
                once();
            }
            done += 16;
        }
        best_ns = best_ns.min(begun.elapsed().as_nanos() as f64 / f64::from(done));
    }
    println!("{name}={best_ns:.1}ns");
}

fn templates(round: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let mut names = Names::new();
    let read = |text: &str, names: &mut Names| Template::parse(text, names);
    let path = read("/items/{{ id }}", &mut names)?;
    let header = read("Bearer {{ token }}", &mut names)?;
    let four = read("/shops/{{ shop }}/items/{{ id }}?user={{ users.email }}&page={{ n }}", &mut names)?;
    let condition = Template::parse_condition("{{ n > 3 && shop == 'blue' }}", &mut names)?;
    let random = read("{{ uuid() }}", &mut names)?;
    let body =
        json!({"user": "{{ users.email }}", "items": [{"id": "{{ id }}", "count": "{{ n + 1 }}"}], "fixed": [1, 2]});
    let body = JsonTemplate::parse(&body, &mut names)?;
    let value = |name: &str| match name {
        "id" => json!("a-17"),
        "token" => json!("0123456789abcdef0123456789abcdef"),
        "shop" => json!("blue"),
        "users" => json!({"email": "ada@example.org", "name": "Ada"}),
        _ => json!(4),
    };
    let values: Vec<Option<Value>> = names.iter().map(|name| Some(value(name))).collect();
    let scope = Scope::new(&names, &values);
    let key = DrawKey::new(1, 0);
    let mut draws = Draws::new(key, 0, 0, 0);
    let mut out = Vec::with_capacity(4_096);
    for (name, template) in [("path", &path), ("header", &header), ("four_slots", &four), ("uuid", &random)] {
        cost(&format!("render_{name}"), round, || {
            out.clear();
            black_box(template).render_into(&scope, &mut draws, &mut out).unwrap_or_default();
            black_box(&out);
        });
    }
    cost("render_json_body", round, || {
        out.clear();
        black_box(&body).write_json(&scope, &mut draws, &mut out).unwrap_or_default();
        black_box(&out);
    });
    cost("condition", round, || drop(black_box(condition.is_true(&scope, &mut draws))));
    let mut iteration = 0;
    cost("pick", round, || {
        iteration += 1;
        black_box(pick(&[3.0, 1.0], 1, 0, iteration));
    });
    cost("draws", round, || {
        iteration += 1;
        black_box(Draws::new(key, iteration, 1, 0).below(100));
    });
    Ok(())
}

fn answers(round: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let items: Vec<Value> = (0..12)
        .map(|id| json!({"id": id, "name": format!("item number {id}"), "price": 9.5, "tags": ["a", "b"]}))
        .collect();
    let text = json!({"ok": true, "items": items, "token": "0123456789abcdef0123456789abcdef", "page": {"next": 2}})
        .to_string();
    println!("json_bytes={}", text.len());
    let page = format!(
        "<!doctype html><title>x</title>{}<a class=next href=/2>next</a>",
        "<p>text <b>bold</b></p>".repeat(40)
    );
    println!("html_bytes={}", page.len());
    let headers = HeaderMap::new();
    let names = Names::new();
    let scope = Scope::new(&names, &[]);
    let mut draws = Draws::new(DrawKey::new(1, 0), 0, 0, 0);
    for (name, capture, text) in [
        ("json_first", Capture::json("$.token")?, &text),
        ("json_nested", Capture::json("$.page.next")?, &text),
        ("json_all", Capture::json("$.items[*].id")?.all(), &text),
        ("json_filter", Capture::json("$.items[?@.id == 7].name")?, &text),
        ("regex", Capture::regex(r#""token":"([^"]+)""#)?, &text),
        ("css", Capture::css("a.next", Some("href"))?, &page),
    ] {
        cost(&format!("capture_{name}"), round, || {
            let body = Body::new(text.as_bytes());
            let answer = Answer { status: 200, headers: &headers, body: &body, service_ns: 0, jar: None };
            drop(black_box(capture.take(&answer)));
        });
    }
    let check = Check::json("$.ok", Test::Equals(JsonTemplate::parse(&json!(true), &mut Names::new())?))?;
    let body = Body::new(text.as_bytes());
    body.json()?;
    let answer = Answer { status: 200, headers: &headers, body: &body, service_ns: 0, jar: None };
    cost("check_json_read_before", round, || drop(black_box(check.run(&answer, &scope, &mut draws))));
    let mut jar = Jar::new();
    let origin = Origin { host: "shop.example.org", path: "/a", is_secure: true };
    for cookie in [&b"sid=0123456789abcdef; Path=/; HttpOnly"[..], b"lang=en; Path=/", b"cart=7; Path=/"] {
        jar.store(cookie, &origin, 0)?;
    }
    let mut out = String::new();
    cost("cookie_header", round, || {
        out.clear();
        black_box(jar.header(&origin, 1, &mut out));
    });
    Ok(())
}

fn rows(round: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let count = 100_000;
    let mut csv = "email,password,name\n".to_owned();
    for row in 0..count {
        csv.push_str(&format!("user{row}@example.org,secret{row},\"Name {row}\"\n"));
    }
    let begun = Instant::now();
    let index = RowIndex::build(&mut csv.as_bytes(), Format::csv(',')?)?;
    println!(
        "row_index={:.1}ns per row, {:.0} MB/s",
        begun.elapsed().as_nanos() as f64 / f64::from(count),
        csv.len() as f64 / begun.elapsed().as_secs_f64() / 1e6
    );
    let mut source = Cursor::new(csv.as_bytes());
    for (name, order) in [("sequential", Order::Sequential), ("random", Order::Random)] {
        let mut buffer = RowBuffer::new();
        let mut iteration = 0;
        cost(&format!("row_{name}"), round, || {
            iteration += 1;
            if let nuncius_scenario::Row::At(row) = row_of(order, index.rows(), 1, 0, 0, iteration) {
                drop(black_box(index.read_row(&mut source, &mut buffer, row)));
            }
        });
    }
    Ok(())
}
