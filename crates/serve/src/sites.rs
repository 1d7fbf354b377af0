//! Whether a request comes from another site: the one check of every HTTP face.
//!
//! Two things are looked at. What a browser says of where a request comes from (Origin, Sec-Fetch-Site, Referer) must
//! name the host it was sent to. And that host must be one that is meant: a page of a stranger whose name was made to
//! lead here (DNS rebinding) is of one site with us by all that a browser says, but calls us by the stranger's name.

use std::net::IpAddr;

use hyper::header::{HOST, HeaderMap, ORIGIN, REFERER};

/// Endings that nobody can register for a page of his own (RFC 6761, 6762, 8375, ICANN's `internal`, Kubernetes).
const PRIVATE_ENDINGS: [&str; 7] = ["localhost", "local", "internal", "svc", "test", "lan", "home.arpa"];

/// Why a request is refused as another site's; `None` where it is not. Scripts send none of the headers but Host.
///
/// A link from elsewhere may be followed to read, but not to change anything. `allowed_hosts` are names that are meant
/// besides addresses, names without a dot and names of private networks; `*` allows every name.
pub fn foreign(headers: &HeaderMap, changes: bool, allowed_hosts: &[String]) -> Option<&'static str> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_own = |text: Option<&str>| match (text.and_then(authority), host) {
        (Some(authority), Some(host)) => authority.eq_ignore_ascii_case(host),
        _ => false,
    };
    if headers.get_all(ORIGIN).iter().any(|origin| !is_own(origin.to_str().ok())) {
        return Some("the header origin names another site");
    }
    let is_navigation = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    for site in headers.get_all("sec-fetch-site") {
        if site == "cross-site" && (changes || !is_navigation) {
            return Some("the header sec-fetch-site says cross-site");
        }
        if site == "same-site" && changes {
            return Some("the header sec-fetch-site says same-site, which is another port or host");
        }
    }
    if changes && headers.get_all(REFERER).iter().any(|referer| !is_own(referer.to_str().ok())) {
        return Some("the header referer names another site");
    }
    let is_of_a_page = [&ORIGIN, &REFERER].into_iter().any(|name| headers.contains_key(name))
        || headers.contains_key("sec-fetch-site");
    let is_meant = host.is_none_or(|host| is_meant(host, allowed_hosts));
    if (changes || is_of_a_page) && !is_meant {
        return Some("the header host is a name that is not meant here: use an address, or allow it with --allow-host");
    }
    None
}

/// Whether the value of a Host header is an address or a name by which this machine is meant.
fn is_meant(host: &str, allowed_hosts: &[String]) -> bool {
    // The port: what follows the last colon, unless that is within the brackets of an address.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let ends_with = |ending: &str| name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !name.contains('.')
        || PRIVATE_ENDINGS.into_iter().any(ends_with)
        || name.ends_with(".cluster.local")
        || allowed_hosts.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(&name))
}

/// Host and port of a URL; `None` where there is none, as in `null`.
fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (!authority.is_empty()).then_some(authority)
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn is_foreign(changes: bool, headers: &[(&'static str, &'static str)]) -> bool {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        foreign(&headers.collect(), changes, &["meant.example.com".to_owned()]).is_some()
    }

    const OWN: (&str, &str) = ("host", "client:9996");

    #[test]
    fn scripts_and_the_page_itself_may_change() {
        assert!(!is_foreign(true, &[OWN]));
        assert!(!is_foreign(true, &[]));
        assert!(!is_foreign(true, &[OWN, ("sec-fetch-site", "none")]));
        let page =
            [("origin", "http://Client:9996"), ("sec-fetch-site", "same-origin"), ("referer", "http://client:9996/x")];
        assert!(!is_foreign(true, &[&[OWN][..], &page].concat()));
    }

    #[test]
    fn another_origin_is_foreign_whatever_is_asked() {
        for origin in ["http://evil", "null", "http://client", "http://client:9996.evil", "", "http://client:9996@evil"]
        {
            assert!(is_foreign(false, &[OWN, ("origin", origin)]), "{origin}");
        }
        assert!(is_foreign(false, &[("origin", "http://client:9996")]));
        assert!(is_foreign(false, &[OWN, ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn a_link_from_elsewhere_may_read_but_not_change() {
        let link =
            [OWN, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("referer", "https://wiki/")];
        assert!(!is_foreign(false, &link));
        assert!(is_foreign(true, &link));
        assert!(is_foreign(true, &[OWN, ("sec-fetch-site", "same-site")]));
        assert!(is_foreign(true, &[OWN, ("referer", "http://client:80/")]));
    }

    #[test]
    fn a_rebound_name_is_refused_though_host_and_origin_agree() {
        for host in ["evil.example", "evil.example:9996", "localhost.evil.example", "127.0.0.1.evil.example", "a.b."] {
            assert!(is_foreign(true, &[("host", host)]), "{host}");
            let origin: &'static str = Box::leak(format!("http://{host}").into_boxed_str());
            assert!(is_foreign(false, &[("host", host), ("origin", origin)]), "{host}");
            // Prometheus and curl may read by whatever name.
            assert!(!is_foreign(false, &[("host", host)]), "{host}");
        }
        for host in [
            "127.0.0.1:80",
            "[::1]:80",
            "::1",
            "localhost",
            "a.localhost:1",
            "client",
            "client.queues.svc:9996",
            "x.svc.cluster.local",
            "box.local",
            "meant.example.com:8080",
            "MEANT.example.com.",
        ] {
            assert!(!is_foreign(true, &[("host", host)]), "{host}");
        }
    }
}
