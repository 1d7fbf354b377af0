//! How requests are named in metrics by endpoint.

use super::plugins::ByEndpoint;

/// The name of a request; `None` where it has none and those are left out. `url` is as it is written in the file.
pub(crate) fn name_of(options: &ByEndpoint, target: &str, url: &str, name: Option<&str>) -> Option<String> {
    let name = name.filter(|name| !name.is_empty());
    if name.is_none() && options.ignores_unnamed {
        return None;
    }
    if let Some(name) = name.filter(|_| options.names_only) {
        return Some(name.to_owned());
    }
    let base = base_of(options, target, url);
    Some(match name {
        Some(name) => format!("{base} ({name})"),
        None => base,
    })
}

/// Host and port where they are not the target's, and the path.
fn base_of(options: &ByEndpoint, target: &str, url: &str) -> String {
    let whole = if url.starts_with('/') { format!("{target}{url}") } else { url.to_owned() };
    let (host, port, path) = parts(&whole);
    let (target_host, target_port, _) = parts(target);
    let mut base = String::new();
    if !host.is_empty() && host != target_host {
        base.push_str(host);
    }
    if !port.is_empty() && port != target_port {
        base.push(':');
        base.push_str(port);
    }
    let path = path.split('#').next().unwrap_or_default();
    let path = if options.strips_query { path.split('?').next().unwrap_or_default() } else { path };
    base.push_str(if path.is_empty() && !host.is_empty() { "/" } else { path });
    decoded(&base).unwrap_or(base)
}

/// Host, port and the rest of a URL.
fn parts(url: &str) -> (&str, &str, &str) {
    let Some((_, rest)) = url.split_once("://") else { return ("", "", url) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port, path),
        Some(_) | None => (authority, "", path),
    }
}

/// Without percent-encoding; `None` where that is none.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_by_their_path_and_name() {
        let plain = ByEndpoint::default();
        let target = "http://shop.test:8080/base";
        for (url, name, expected) in [
            ("/a/b?x=1", None, "/base/a/b"),
            ("/a", Some("first"), "/base/a (first)"),
            ("/a/{{ id }}/", None, "/base/a/{{ id }}/"),
            ("http://shop.test:8080/c", None, "/c"),
            ("http://shop.test:9090/c", None, ":9090/c"),
            ("https://other.test/c%20d#e", None, "other.test/c d"),
            ("https://other.test", None, "other.test/"),
            ("/100%", None, "/base/100%"),
            ("{{ next }}", None, "{{ next }}"),
        ] {
            assert_eq!(name_of(&plain, target, url, name).as_deref(), Some(expected), "{url}");
        }
        let names = ByEndpoint { names_only: true, ignores_unnamed: true, strips_query: false, ..plain };
        assert_eq!(name_of(&names, target, "/a", Some("first")).as_deref(), Some("first"));
        assert_eq!(name_of(&names, target, "/a", None), None);
        let queries = ByEndpoint { strips_query: false, ..ByEndpoint::default() };
        assert_eq!(name_of(&queries, target, "/a?x=1", None).as_deref(), Some("/base/a?x=1"));
    }

    proptest::proptest! {
        #[test]
        fn every_url_has_a_name(url in "\\PC{0,30}", target in "\\PC{0,30}") {
            proptest::prop_assert!(name_of(&ByEndpoint::default(), &target, &url, None).is_some());
        }
    }
}
