//! The cookies of a user, as browsers keep them: RFC 6265bis (draft 20), without a list of public suffixes.
//!
//! Instead of the list, a cookie for a domain without a dot is refused, unless it is the host itself. `HttpOnly` and
//! `SameSite` say what scripts of a page may do; there is no page here, so they change nothing.

use std::net::IpAddr;

use cookie::Cookie;

/// Most cookies of one domain.
pub const COOKIES_PER_DOMAIN_MAX: usize = 50;
/// Most cookies of a user.
pub const COOKIES_MAX: usize = 3_000;
/// Longest name and value of a cookie, together, in bytes.
pub const COOKIE_MAX_BYTES: usize = 4_096;
/// Longest attribute that counts, in bytes.
const ATTRIBUTE_MAX_BYTES: usize = 1_024;
/// Longest life of a cookie: 400 days, in seconds.
const LIFE_MAX_S: i64 = 400 * 86_400;

/// Why a cookie was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CookieError {
    /// No name and value, or not UTF-8.
    #[error("not a cookie: a name, = and a value are wanted, as UTF-8 without control characters")]
    Syntax,
    /// Too long.
    #[error("a cookie of more than {COOKIE_MAX_BYTES} bytes")]
    TooLong,
    /// For a domain that the host is none of.
    #[error("a cookie for a domain that the host does not belong to, or for all hosts of a top-level domain")]
    Domain,
    /// Secure, from a place that is not, or over one that is.
    #[error("a secure cookie is set over TLS alone, and only there set anew")]
    Insecure,
    /// A name that promises what the cookie does not keep.
    #[error("a cookie whose name begins with __Secure- or __Host- is not what that says")]
    Prefix,
}

/// Where a request goes to, or an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The host, without a port.
    pub host: &'a str,
    /// The path, without a query.
    pub path: &'a str,
    /// Over TLS.
    pub is_secure: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    name: String,
    value: String,
    /// In small letters.
    domain: String,
    path: String,
    /// For this host alone.
    is_host_only: bool,
    is_secure: bool,
    /// Seconds since 1970; none where it lives as long as the user.
    expires_unix_s: Option<i64>,
    /// When it was made, as a number that rises.
    made: u64,
    /// When it was last sent or set, likewise.
    used: u64,
}

/// The cookies of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jar {
    kept: Vec<Kept>,
    clock: u64,
}

impl Jar {
    /// No cookies.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are, those included whose time is over.
    pub const fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// The value of the cookie of a name that was set last, for whatever host.
    pub fn value_of(&self, name: &str) -> Option<&str> {
        let named = self.kept.iter().filter(|cookie| cookie.name == name);
        named.max_by_key(|cookie| cookie.made).map(|cookie| cookie.value.as_str())
    }

    /// Keeps the cookie of a `Set-Cookie` header (6265bis, section 5.7), or forgets one whose time is over.
    ///
    /// # Errors
    /// It is none, or not to be kept. A browser says nothing then and goes on.
    pub fn store(&mut self, header: &[u8], from: &Origin<'_>, now_unix_s: i64) -> Result<(), CookieError> {
        let text = std::str::from_utf8(header).map_err(|_| CookieError::Syntax)?;
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(CookieError::Syntax);
        }
        let parsed = Cookie::parse(text).map_err(|_| CookieError::Syntax)?;
        if parsed.name().len() + parsed.value().len() > COOKIE_MAX_BYTES {
            return Err(CookieError::TooLong);
        }
        let host = from.host.to_ascii_lowercase();
        let (domain, is_host_only) = domain_of(&parsed, host)?;
        let is_secure = parsed.secure() == Some(true);
        if is_secure && !from.is_secure {
            return Err(CookieError::Insecure);
        }
        let given_path = parsed.path().filter(|path| path.starts_with('/') && path.len() <= ATTRIBUTE_MAX_BYTES);
        let path = given_path.unwrap_or_else(|| default_path(from.path)).to_owned();
        check_prefix(&parsed, is_secure, is_host_only && given_path == Some("/"))?;
        let cookie = Kept {
            name: parsed.name().to_owned(),
            value: parsed.value().to_owned(),
            domain,
            path,
            is_host_only,
            is_secure,
            expires_unix_s: expiry(&parsed, now_unix_s),
            made: 0,
            used: 0,
        };
        self.keep(cookie, from, now_unix_s)
    }

    fn keep(&mut self, mut cookie: Kept, from: &Origin<'_>, now_unix_s: i64) -> Result<(), CookieError> {
        // What came over TLS is not replaced by what did not.
        let hides = |other: &Kept| {
            other.is_secure
                && other.name == cookie.name
                && (is_within(&other.domain, &cookie.domain) || is_within(&cookie.domain, &other.domain))
                && is_path_within(&cookie.path, &other.path)
        };
        if !from.is_secure && self.kept.iter().any(hides) {
            return Err(CookieError::Insecure);
        }
        self.clock += 1;
        (cookie.made, cookie.used) = (self.clock, self.clock);
        let is_same = |other: &Kept| {
            other.name == cookie.name
                && other.domain == cookie.domain
                && other.path == cookie.path
                && other.is_host_only == cookie.is_host_only
        };
        if let Some(at) = self.kept.iter().position(is_same) {
            // One that is set anew keeps its place among those that are sent.
            cookie.made = self.kept.remove(at).made;
        }
        if cookie.expires_unix_s.is_some_and(|expires| expires <= now_unix_s) {
            return Ok(());
        }
        let domain = cookie.domain.clone();
        self.kept.push(cookie);
        self.bound(COOKIES_PER_DOMAIN_MAX, |other| other.domain == domain, now_unix_s);
        self.bound(COOKIES_MAX, |_| true, now_unix_s);
        Ok(())
    }

    /// Makes room: those whose time is over go first, then those that were not used for longest.
    fn bound(&mut self, most: usize, counts: impl Fn(&Kept) -> bool, now_unix_s: i64) {
        if self.kept.iter().filter(|cookie| counts(cookie)).count() <= most {
            return;
        }
        self.kept.retain(|cookie| !counts(cookie) || !is_over(cookie, now_unix_s));
        while self.kept.iter().filter(|cookie| counts(cookie)).count() > most {
            let counted = self.kept.iter().enumerate().filter(|(_, cookie)| counts(cookie));
            let Some((oldest, _)) = counted.min_by_key(|(_, cookie)| cookie.used) else { return };
            self.kept.remove(oldest);
        }
    }

    /// Adds the value of the `Cookie` header of a request (6265bis, section 5.8.3): longer paths first, then older
    /// cookies. Gives how many there are; nothing was added where there are none.
    pub fn header(&mut self, to: &Origin<'_>, now_unix_s: i64, out: &mut String) -> usize {
        if self.kept.is_empty() {
            return 0;
        }
        self.clock += 1;
        let clock = self.clock;
        let mut sent: Vec<&mut Kept> =
            self.kept.iter_mut().filter(|cookie| is_for(cookie, to) && !is_over(cookie, now_unix_s)).collect();
        sent.sort_by(|left, right| right.path.len().cmp(&left.path.len()).then(left.made.cmp(&right.made)));
        for (number, cookie) in sent.iter_mut().enumerate() {
            cookie.used = clock;
            if number > 0 {
                out.push_str("; ");
            }
            out.push_str(&cookie.name);
            out.push('=');
            out.push_str(&cookie.value);
        }
        sent.len()
    }
}

/// Name and value of a `Set-Cookie` header, whoever may keep it.
pub(crate) fn pair(header: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(header).ok()?;
    let (name, value) = text.split(';').next()?.split_once('=')?;
    Some((name.trim(), value.trim()))
}

fn is_over(cookie: &Kept, now_unix_s: i64) -> bool {
    cookie.expires_unix_s.is_some_and(|expires| expires <= now_unix_s)
}

fn is_for(cookie: &Kept, to: &Origin<'_>) -> bool {
    let is_host = cookie.domain.eq_ignore_ascii_case(to.host);
    let is_domain = !cookie.is_host_only && is_within(&to.host.to_ascii_lowercase(), &cookie.domain);
    (is_host || is_domain) && (to.is_secure || !cookie.is_secure) && is_path_within(to.path, &cookie.path)
}

/// Whether a host belongs to a domain, both in small letters (6265bis, section 5.1.3).
fn is_within(host: &str, domain: &str) -> bool {
    host == domain || (!is_address(host) && host.strip_suffix(domain).is_some_and(|before| before.ends_with('.')))
}

fn is_address(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// 6265bis, section 5.1.4.
fn is_path_within(path: &str, cookie_path: &str) -> bool {
    path.strip_prefix(cookie_path)
        .is_some_and(|after| after.is_empty() || cookie_path.ends_with('/') || after.starts_with('/'))
        // A request without a path asks for the root.
        || (path.is_empty() && cookie_path == "/")
}

fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(last) if last > 0 && path.starts_with('/') => path.get(..last).unwrap_or("/"),
        _ => "/",
    }
}

/// The domain of a cookie, and whether it is for this host alone.
fn domain_of(cookie: &Cookie<'_>, host: String) -> Result<(String, bool), CookieError> {
    let given = cookie.domain().filter(|domain| domain.len() <= ATTRIBUTE_MAX_BYTES);
    let domain = given.map(|domain| domain.trim_start_matches('.').to_ascii_lowercase());
    let Some(domain) = domain.filter(|domain| !domain.is_empty()) else { return Ok((host, true)) };
    if domain == host {
        // One label, or an address: there is nothing below it.
        let is_alone = !domain.contains('.') || is_address(&domain);
        return Ok((host, is_alone));
    }
    if domain.contains('.') && is_within(&host, &domain) { Ok((domain, false)) } else { Err(CookieError::Domain) }
}

/// 6265bis, section 4.1.3.
fn check_prefix(cookie: &Cookie<'_>, is_secure: bool, is_of_host: bool) -> Result<(), CookieError> {
    let has = |prefix: &str| cookie.name().get(..prefix.len()).is_some_and(|name| name.eq_ignore_ascii_case(prefix));
    let is_wrong = (has("__Secure-") && !is_secure) || (has("__Host-") && !(is_secure && is_of_host));
    if is_wrong { Err(CookieError::Prefix) } else { Ok(()) }
}

/// When it ends: `Max-Age` before `Expires`, 400 days at most.
fn expiry(cookie: &Cookie<'_>, now_unix_s: i64) -> Option<i64> {
    let latest = now_unix_s.saturating_add(LIFE_MAX_S);
    if let Some(age) = cookie.max_age() {
        return Some(now_unix_s.saturating_add(age.whole_seconds()).min(latest));
    }
    cookie.expires_datetime().map(|at| at.unix_timestamp().min(latest))
}

#[cfg(test)]
mod tests;
