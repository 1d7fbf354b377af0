//! Whether a browser sends a request on behalf of another site.

use hyper::header::{HOST, HeaderMap, ORIGIN, REFERER};

/// Why a request is refused as another site's; `None` where it is not. Scripts send none of these headers.
///
/// A link from elsewhere may be followed to read, but not to change anything.
pub(super) fn foreign(headers: &HeaderMap, changes: bool) -> Option<&'static str> {
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
    None
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
        foreign(&headers.collect(), changes).is_some()
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
}
