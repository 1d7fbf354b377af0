//! URLs of targets in their parts, as written.
//!
//! A subset of RFC 3986 that is read the same everywhere: `scheme://user:password@host:port/path?query#fragment`, the
//! authority always there, nothing decoded. Which schemes and parts somebody takes is for that one to say.

use std::net::Ipv6Addr;

/// A URL in its parts. Together they are the text again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Without `://`.
    pub scheme: &'a str,
    /// `user:password` before the `@`, if there is one.
    pub userinfo: Option<&'a str>,
    /// Host and port: what a request names in its `Host`. [`Target::host`] reads it.
    pub authority: &'a str,
    /// From its slash on; empty when there is none.
    pub path: &'a str,
    /// With its question mark; empty when there is none.
    pub query: &'a str,
    /// With its `#`; empty when there is none.
    pub fragment: &'a str,
}

impl<'a> Target<'a> {
    /// The parts of a URL; `None` for what has no scheme.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = split_scheme(text)?;
        Some(Self::with_scheme(scheme, rest))
    }

    /// The parts of a URL whose scheme is known and not in the text.
    pub fn with_scheme(scheme: &'a str, rest: &'a str) -> Self {
        let (authority, rest) = split_before(rest, &['/', '?', '#']);
        let (path, rest) = split_before(rest, &['?', '#']);
        let (query, fragment) = split_before(rest, &['#']);
        let (userinfo, authority) = split_userinfo(authority);
        Self { scheme, userinfo, authority, path, query, fragment }
    }

    /// Its host and port.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn host(&self) -> Result<Host<'a>, HostError> {
        Host::read(self.authority)
    }

    /// Whether its scheme means TLS.
    pub fn is_secure(&self) -> bool {
        matches!(self.scheme, "https" | "wss" | "amqps" | "tls")
    }

    /// The port that its scheme means; `None` for a scheme without one.
    pub fn default_port(&self) -> Option<u16> {
        match self.scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            "amqp" => Some(5_672),
            "amqps" => Some(5_671),
            "nats" | "tls" => Some(4_222),
            _ => None,
        }
    }
}

/// A host with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a> {
    /// Name or address, an address of version 6 without its brackets.
    pub name: &'a str,
    /// Not 0.
    pub port: Option<u16>,
    /// Whether it stood in brackets.
    pub is_bracketed: bool,
}

/// Why a host cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing is there.
    #[error("there is no host")]
    Missing,
    /// What stands in brackets is no address.
    #[error("the host in brackets is no IPv6 address")]
    Address,
    /// What stands after the colon is no port.
    #[error("the port is no number from 1 to 65535")]
    Port,
}

impl<'a> Host<'a> {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn read(authority: &'a str) -> Result<Self, HostError> {
        let (name, port, is_bracketed) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (name, rest) = rest.split_once(']').ok_or(HostError::Address)?;
                name.parse::<Ipv6Addr>().map_err(|_| HostError::Address)?;
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(HostError::Port)?) };
                (name, port, true)
            }
            None => match authority.split_once(':') {
                Some((name, port)) => (name, Some(port), false),
                None => (authority, None, false),
            },
        };
        if name.is_empty() {
            return Err(HostError::Missing);
        }
        let port = match port {
            Some(port) => {
                let digits = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
                let number = digits.and_then(|digits| digits.parse::<u16>().ok()).filter(|number| *number > 0);
                Some(number.ok_or(HostError::Port)?)
            }
            None => None,
        };
        Ok(Self { name, port, is_bracketed })
    }

    /// The name that `services` and the table of routes may know it by: whoever gives a port means the host itself.
    pub fn service(&self) -> Option<&'a str> {
        (self.port.is_none() && !self.is_bracketed).then_some(self.name)
    }

    /// The name of a service that it must be, as no host is called so: no port, no dot, not `localhost`.
    pub fn only_service(&self) -> Option<&'a str> {
        self.service().filter(|name| !name.contains('.') && *name != "localhost")
    }
}

/// Scheme and rest of a URL; `None` for what has no scheme.
pub fn split_scheme(text: &str) -> Option<(&str, &str)> {
    text.split_once("://")
}

/// User information and host: what stands before the last `@`, if there is one, and what stands after it.
pub fn split_userinfo(authority: &str) -> (Option<&str>, &str) {
    match authority.rsplit_once('@') {
        Some((userinfo, host)) => (Some(userinfo), host),
        None => (None, authority),
    }
}

fn split_before<'a>(text: &'a str, signs: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(signs).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> Result<(&str, Option<u16>), HostError> {
        Host::read(text).map(|host| (host.name, host.port))
    }

    #[test]
    fn a_url_is_told_apart_by_its_signs() {
        let all = Target::parse("amqps://user:pass@word@broker:5671/%2f/a?x=/y?z#top?").unwrap();
        let parts = Target {
            scheme: "amqps",
            userinfo: Some("user:pass@word"),
            authority: "broker:5671",
            path: "/%2f/a",
            query: "?x=/y?z",
            fragment: "#top?",
        };
        assert_eq!(all, parts);
        assert_eq!((all.is_secure(), all.default_port()), (true, Some(5_671)));
        let short = Target::parse("http://shop").unwrap();
        assert_eq!((short.authority, short.path, short.query, short.fragment), ("shop", "", "", ""));
        let query = Target::parse("http://shop?a@b").unwrap();
        assert_eq!((query.userinfo, query.authority, query.path, query.query), (None, "shop", "", "?a@b"));
        assert_eq!(Target::parse("shop:80"), None);
        assert_eq!(Target::with_scheme("nats", "me@bus:4222").userinfo, Some("me"));
    }

    #[test]
    fn hosts_have_ports_from_1_and_addresses_of_version_6_brackets() {
        assert_eq!(host("shop"), Ok(("shop", None)));
        assert_eq!(host("shop:80"), Ok(("shop", Some(80))));
        assert_eq!(host("[::1]"), Ok(("::1", None)));
        assert_eq!(host("[::1]:65535"), Ok(("::1", Some(65_535))));
        for missing in ["", ":80"] {
            assert_eq!(host(missing), Err(HostError::Missing), "{missing}");
        }
        for address in ["[", "[::1", "[]", "[shop]", "[127.0.0.1]:80"] {
            assert_eq!(host(address), Err(HostError::Address), "{address}");
        }
        for port in ["shop:", "shop:0", "shop:65536", "shop:+80", "shop:x", "a:b:c", "::1", "[::1]80", "[::1]:"] {
            assert!(matches!(host(port), Err(HostError::Port | HostError::Missing)), "{port}");
        }
    }

    #[test]
    fn a_name_without_dot_and_port_can_be_a_service_alone() {
        let only = |text| Host::read(text).unwrap().only_service();
        assert_eq!(only("shop"), Some("shop"));
        for direct in ["127.0.0.1", "shop:80", "shop.example", "localhost", "[::1]"] {
            assert_eq!(only(direct), None, "{direct}");
        }
        assert_eq!(Host::read("shop.example").unwrap().service(), Some("shop.example"));
    }

    proptest! {
        #[test]
        fn the_parts_of_any_text_are_the_text(text in "[a-z]{1,5}://[a-z0-9@:/?#\\[\\].$ {}ü%]{0,40}") {
            let target = Target::parse(&text).unwrap();
            let userinfo = target.userinfo.map(|userinfo| format!("{userinfo}@")).unwrap_or_default();
            let Target { scheme, authority, path, query, fragment, .. } = target;
            prop_assert_eq!(format!("{scheme}://{userinfo}{authority}{path}{query}{fragment}"), text.clone());
            prop_assert!(path.is_empty() || path.starts_with('/'));
            // Whatever it is, it is read or refused.
            if let Ok(host) = target.host() {
                prop_assert!(!host.name.is_empty() && host.port != Some(0));
            }
        }
    }
}
