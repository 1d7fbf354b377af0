//! What is kept and what is sent.

use proptest::prelude::*;

use super::*;

const SHOP: Origin<'_> = Origin { host: "shop.example.org", path: "/a/b", is_secure: true };

fn sent(jar: &mut Jar, to: Origin<'_>, now_unix_s: i64) -> String {
    let mut header = String::new();
    let count = jar.header(&to, now_unix_s, &mut header);
    assert_eq!(count, header.split("; ").filter(|cookie| !cookie.is_empty()).count());
    header
}

fn jar(headers: &[&str], from: Origin<'_>) -> Jar {
    let mut jar = Jar::new();
    for header in headers {
        jar.store(header.as_bytes(), &from, 0).unwrap();
    }
    jar
}

#[test]
fn a_cookie_goes_back_to_where_it_is_for() {
    let mut jar = jar(
        &[
            "host=1; Path=/",
            "domain=2; Domain=.Example.org; Path=/",
            "path=3; Path=/a",
            "deep=4",
            "secure=5; Secure; Path=/",
        ],
        SHOP,
    );
    for (to, expected) in [
        (SHOP, "path=3; deep=4; host=1; domain=2; secure=5"),
        (Origin { host: "SHOP.example.org", ..SHOP }, "path=3; deep=4; host=1; domain=2; secure=5"),
        (Origin { path: "/ab", ..SHOP }, "host=1; domain=2; secure=5"),
        (Origin { path: "", ..SHOP }, "host=1; domain=2; secure=5"),
        (Origin { is_secure: false, path: "/", ..SHOP }, "host=1; domain=2"),
        (Origin { host: "example.org", path: "/", ..SHOP }, "domain=2"),
        (Origin { host: "other.example.org", path: "/a/b", ..SHOP }, "domain=2"),
        (Origin { host: "badexample.org", ..SHOP }, ""),
        (Origin { host: "org", ..SHOP }, ""),
    ] {
        assert_eq!(sent(&mut jar, to, 0), expected, "{to:?}");
    }
}

#[test]
fn a_cookie_that_is_not_for_the_host_is_refused() {
    let plain = Origin { is_secure: false, ..SHOP };
    for (header, from, error) in [
        ("a=1; Domain=other.org", SHOP, CookieError::Domain),
        ("a=1; Domain=org", SHOP, CookieError::Domain),
        ("a=1; Domain=deep.shop.example.org", SHOP, CookieError::Domain),
        ("a=1; Domain=0.0.1", Origin { host: "127.0.0.1", ..SHOP }, CookieError::Domain),
        ("a=1; Secure", plain, CookieError::Insecure),
        ("__Secure-a=1", SHOP, CookieError::Prefix),
        ("__host-a=1; Secure", SHOP, CookieError::Prefix),
        ("__Host-a=1; Secure; Path=/; Domain=shop.example.org", SHOP, CookieError::Prefix),
        ("a", SHOP, CookieError::Syntax),
        ("=1", SHOP, CookieError::Syntax),
        ("a=\x011", SHOP, CookieError::Syntax),
    ] {
        assert_eq!(Jar::new().store(header.as_bytes(), &from, 0), Err(error), "{header}");
    }
    assert_eq!(Jar::new().store(b"a=\xff", &SHOP, 0), Err(CookieError::Syntax));
    let long = format!("a={}", "x".repeat(COOKIE_MAX_BYTES));
    assert_eq!(Jar::new().store(long.as_bytes(), &SHOP, 0), Err(CookieError::TooLong));
    for header in ["__Host-a=1; Secure; Path=/", "__Secure-b=1; Secure", "c=1; Domain=shop.example.org"] {
        assert_eq!(Jar::new().store(header.as_bytes(), &SHOP, 0), Ok(()), "{header}");
    }
    // The host itself may be one label or an address, and is then meant alone.
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let from = Origin { host, ..SHOP };
        let mut jar = jar(&[&format!("a=1; Domain={host}; Path=/")], from);
        assert_eq!(sent(&mut jar, from, 0), "a=1");
        assert_eq!(sent(&mut jar, Origin { host: &format!("x.{host}"), ..SHOP }, 0), "");
    }
}

#[test]
fn what_came_over_tls_is_not_replaced_by_what_did_not() {
    let mut jar = jar(&["sid=good; Secure; Path=/"], SHOP);
    let plain = Origin { is_secure: false, ..SHOP };
    assert_eq!(jar.store(b"sid=bad; Path=/", &plain, 0), Err(CookieError::Insecure));
    assert_eq!(jar.store(b"sid=bad; Path=/; Domain=example.org", &plain, 0), Err(CookieError::Insecure));
    assert_eq!(jar.store(b"other=1; Path=/", &plain, 0), Ok(()));
    assert_eq!(sent(&mut jar, SHOP, 0), "sid=good; other=1");
}

#[test]
fn time_ends_cookies_and_max_age_comes_before_expires() {
    let now = 1_700_000_000;
    let mut jar = Jar::new();
    for header in [
        "age=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "date=2; Expires=Tue, 14 Nov 2023 22:14:20 GMT",
        "far=3; Max-Age=99999999999999999999",
        "session=4; Expires=nonsense",
        "never=5; Max-Age=0",
        "past=6; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    ] {
        jar.store(header.as_bytes(), &SHOP, now).unwrap();
    }
    assert_eq!(sent(&mut jar, SHOP, now), "age=1; date=2; far=3; session=4");
    assert_eq!(sent(&mut jar, SHOP, now + 59), "age=1; date=2; far=3; session=4");
    assert_eq!(sent(&mut jar, SHOP, now + 60), "far=3; session=4");
    assert_eq!(sent(&mut jar, SHOP, now + LIFE_MAX_S), "session=4");
    jar.store(b"session=; Max-Age=-1", &SHOP, now).unwrap();
    assert_eq!((sent(&mut jar, SHOP, now), jar.value_of("session")), ("age=1; date=2; far=3".to_owned(), None));
}

#[test]
fn one_that_is_set_anew_replaces_the_old_one_and_keeps_its_place() {
    let mut jar = jar(&["a=1", "b=2", "a=3", "a=4; Path=/"], SHOP);
    assert_eq!(sent(&mut jar, SHOP, 0), "a=3; b=2; a=4");
    assert_eq!((jar.value_of("a"), jar.value_of("b"), jar.value_of("c")), (Some("4"), Some("2"), None));
    jar.clear();
    assert!(jar.is_empty());
}

#[test]
fn there_are_at_most_so_many_and_those_in_use_stay() {
    let mut jar = Jar::new();
    jar.store(b"first=1; Path=/used", &SHOP, 0).unwrap();
    for number in 0..COOKIES_PER_DOMAIN_MAX + 20 {
        jar.store(format!("c{number}=1; Path=/other").as_bytes(), &SHOP, 0).unwrap();
        sent(&mut jar, Origin { path: "/used", ..SHOP }, 0);
    }
    assert_eq!(jar.len(), COOKIES_PER_DOMAIN_MAX);
    assert!(jar.value_of("first").is_some());
    for number in 0..COOKIES_MAX + 20 {
        let host = format!("h{number}.example.com");
        jar.store(b"a=1", &Origin { host: &host, ..SHOP }, 0).unwrap();
    }
    assert_eq!(jar.len(), COOKIES_MAX);
}

#[test]
fn a_pair_is_read_as_it_stands() {
    assert_eq!(pair(b" sid = a=b ; Path=/"), Some(("sid", "a=b")));
    assert_eq!((pair(b"sid"), pair(b""), pair(b"\xff=1")), (None, None, None));
}

proptest! {
    #[test]
    fn whatever_is_sent_nothing_panics_and_bounds_hold(
        headers in proptest::collection::vec(
            "(a|b|=|;| |Path|Domain|Max-Age|Expires|Secure|/|\\.|-|[0-9]|org|example|,|:|GMT|ü){0,20}", 0..80
        ),
        now in any::<i64>(),
    ) {
        let mut jar = Jar::new();
        for header in &headers {
            _ = jar.store(header.as_bytes(), &SHOP, now);
            prop_assert!(jar.len() <= COOKIES_PER_DOMAIN_MAX * 2);
        }
        let header = sent(&mut jar, SHOP, now);
        prop_assert!(!header.contains(['\r', '\n']));
    }

    #[test]
    fn a_path_of_a_cookie_covers_what_is_below_it_alone(first in "[a-z]{1,4}", second in "[a-z]{1,4}") {
        let mut jar = jar(&[&format!("a=1; Path=/{first}")], SHOP);
        let path = format!("/{first}/{second}");
        prop_assert_eq!(sent(&mut jar, Origin { path: &path, ..SHOP }, 0), "a=1");
        let path = format!("/{first}{second}");
        prop_assert_eq!(sent(&mut jar, Origin { path: &path, ..SHOP }, 0), "");
    }
}
