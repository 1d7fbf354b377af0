//! Cookies: each user has a jar of its own.

use super::{answer, path};
use crate::support::{Reply, Run, Server};

#[test]
fn what_an_answer_sets_is_sent_back_by_its_user_alone_for_as_long_as_that_is_there() {
    let server = Server::start(|seen, _| match path(seen).as_str() {
        path if path.starts_with("/login") => {
            let cookie = format!("Set-Cookie: user={}; Path=/\r\nSet-Cookie: deep=1; Path=/deep\r\n", &path[7..]);
            answer("200 OK", &cookie, b"")
        }
        _ => Reply::ok(),
    });
    let fields = "users: 3, iterations: 6, steps: [{if: '{{ iteration() < 3 }}', get: '/login/{{ user() }}'}, \
                  {get: '/deep/{{ user() }}'}, {get: '/flat/{{ user() }}'}]";
    Run::sessions(server.address, fields).go();
    for seen in server.seen().iter().filter(|seen| !path(seen).starts_with("/login")) {
        let (path, user) = (path(seen), path(seen).chars().last().unwrap());
        let expected = if path.starts_with("/deep") { format!("deep=1; user={user}") } else { format!("user={user}") };
        assert_eq!(seen.header("cookie"), Some(expected.as_str()), "{path}");
    }
    let server = Server::start(|_, _| answer("200 OK", "Set-Cookie: a=b\r\n", b""));
    Run::sessions(server.address, "rate: 1000/s, iterations: 9, steps: [{get: '/{{ iteration() }}'}]").go();
    assert!(server.seen().iter().all(|seen| seen.header("cookie").is_none()), "each arrival is somebody else");
    let fields = "users: 1, iterations: 3, cookies: false, steps: [{get: '/{{ iteration() }}'}]";
    Run::sessions(server.address, fields).go();
    assert!(server.seen().iter().all(|seen| seen.header("cookie").is_none()));
}

#[test]
fn a_hundred_thousand_cookies_are_neither_kept_nor_sent() {
    let server = Server::start(|_, number| {
        let many: String = (0..100).map(|at| format!("Set-Cookie: c{number}x{at}={}\r\n", "v".repeat(100))).collect();
        answer("200 OK", &many, b"")
    });
    let fields = "users: 1, iterations: 1, steps: [{loop: {count: 1000, at_most: 1000, steps: [{get: /}]}}]";
    let outcome = Run::sessions(server.address, fields).go();
    assert_eq!(outcome.all()[0].succeeded, 1_000, "{:?}", outcome.steps[0].failures);
    let longest = server.seen().iter().filter_map(|seen| seen.header("cookie").map(str::len)).max();
    assert!(longest.unwrap() < 8_000, "{longest:?}");
}
