//! Where an answer sends its client on to (RFC 9110, 15.4), as a client that is no browser takes it.

use url::Url;

/// Longest `Location`, in bytes.
const LOCATION_MAX_BYTES: usize = 8 * 1024;

/// How the next request differs from the one that was redirected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The same method and body.
    Same,
    /// A GET without a body; of a HEAD, a HEAD.
    ToGet,
}

/// Why a redirection cannot be followed. Holds nothing that the target sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RedirectError {
    #[error("the answer redirects without a location")]
    Missing,
    #[error("the location of the redirect has more than {LOCATION_MAX_BYTES} bytes")]
    TooLong,
    #[error("the location of the redirect is no URL")]
    NoUrl,
    #[error("the location of the redirect is neither http:// nor https://")]
    Scheme,
    #[error("the location of the redirect holds credentials")]
    Credentials,
}

/// Whether an answer of this status redirects, and how.
///
/// A POST becomes a GET for 301 and 302, too, as all user agents have it (RFC 9110, 15.4.2).
pub(crate) fn change(status: u16, method: &str) -> Option<Change> {
    match status {
        301 | 302 if method == "POST" => Some(Change::ToGet),
        301 | 302 | 307 | 308 => Some(Change::Same),
        303 => Some(Change::ToGet),
        _ => None,
    }
}

/// The URL that the answer to a request for `from` sends its client to.
///
/// # Errors
/// It is none that may be followed.
pub(crate) fn location(from: &Url, location: Option<&[u8]>) -> Result<Url, RedirectError> {
    let location = location.ok_or(RedirectError::Missing)?;
    if location.len() > LOCATION_MAX_BYTES {
        return Err(RedirectError::TooLong);
    }
    let text = std::str::from_utf8(location).map_err(|_| RedirectError::NoUrl)?;
    let mut url = from.join(text.trim()).map_err(|_| RedirectError::NoUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(RedirectError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(RedirectError::Credentials);
    }
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Result<String, RedirectError> {
        let from = Url::parse("http://shop:8080/a/b?c=d").unwrap();
        location(&from, Some(text.as_bytes())).map(String::from)
    }

    #[test]
    fn a_location_is_taken_relative_to_the_request_and_loses_its_fragment() {
        for (text, expected) in [
            ("/next", "http://shop:8080/next"),
            ("next?x=1#y", "http://shop:8080/a/next?x=1"),
            ("../up", "http://shop:8080/up"),
            ("?q", "http://shop:8080/a/b?q"),
            ("//other/x", "http://other/x"),
            ("https://other:444/x y", "https://other:444/x%20y"),
        ] {
            assert_eq!(from(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_web_page_or_brings_credentials_is_not_followed() {
        assert_eq!(from("file:///etc/passwd"), Err(RedirectError::Scheme));
        assert_eq!(from("javascript:alert(1)"), Err(RedirectError::Scheme));
        assert_eq!(from("http://user:secret@shop/"), Err(RedirectError::Credentials));
        assert_eq!(from("http://[::1"), Err(RedirectError::NoUrl));
        assert_eq!(from(&"x".repeat(LOCATION_MAX_BYTES + 1)), Err(RedirectError::TooLong));
        let base = Url::parse("http://shop/").unwrap();
        assert_eq!(location(&base, None), Err(RedirectError::Missing));
        assert_eq!(location(&base, Some(b"\xff")), Err(RedirectError::NoUrl));
    }

    #[test]
    fn methods_change_as_user_agents_have_it() {
        assert_eq!(change(302, "POST"), Some(Change::ToGet));
        assert_eq!(change(302, "PUT"), Some(Change::Same));
        assert_eq!(change(303, "PUT"), Some(Change::ToGet));
        assert_eq!(change(307, "POST"), Some(Change::Same));
        assert_eq!(change(200, "GET"), None);
        assert_eq!(change(304, "GET"), None);
    }
}
