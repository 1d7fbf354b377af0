//! How to connect: what a person may say, and what it means.

use std::path::PathBuf;
use std::time::Duration;

use nuncius_schemas::subjects::Namespace;
use nuncius_schemas::target::{split_scheme, split_userinfo};

use crate::BusError;
use crate::roles::UserRole;

/// How one proves who one is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all, or by user information in the URL.
    #[default]
    None,
    /// User and password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
    /// A `.creds` file with JWT and seed.
    File(PathBuf),
    /// An nkey seed.
    Nkey(String),
    /// A file with an nkey seed: the line that begins with `SU`, as NATS tools write it.
    NkeyFile(PathBuf),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password(redacted)",
            Self::Token(_) => "Token(redacted)",
            Self::File(_) => "File",
            Self::NkeyFile(_) => "NkeyFile",
            Self::Nkey(_) => "Nkey(redacted)",
        })
    }
}

/// TLS towards the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Refuse to talk without it.
    pub require: bool,
    /// Begin with it, before the server has said anything: for servers with `handshake_first`.
    pub first: bool,
    /// A PEM file with the authority that signed the server's certificate.
    pub ca_file: Option<PathBuf>,
    /// PEM files with the client's certificate and key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

/// How to connect.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// Servers, `nats://[user:password@|token@]host:port`; a value may list several with commas.
    pub urls: Vec<String>,
    /// What everything on the bus starts with.
    pub namespace: Namespace,
    /// How this connection is called in the server's `/connz`.
    pub name: String,
    /// Beats user information in a URL.
    pub credentials: Credentials,
    /// TLS.
    pub tls: Tls,
    /// The role whose credentials these are: it has a prefix of reply subjects of its own, and only some make streams.
    /// Without one everything is permitted, as far as this process knows.
    pub role: Option<UserRole>,
    /// The domain of the JetStream that is meant, where there are several (leaf nodes).
    pub domain: Option<String>,
    /// On how many servers of a cluster streams and buckets are kept; 0 means 1, and what there is stays as it is.
    pub replicas: usize,
    /// How long a cluster may take to elect a leader before what waits for it fails; zero means 30 s: a round of
    /// nats-server takes from 4 to 9 s, and a busy machine takes several.
    pub election_patience: Duration,
    /// Whether the server is asked to tell how sampled messages go through it.
    pub trace_hops: bool,
    /// Whether the first connection is tried for ever too, instead of failing.
    pub retry_initial_connect: bool,
}

/// URLs without user information, and the credentials that were in the first that had some.
pub(super) fn servers(urls: &[String]) -> Result<(Vec<String>, Credentials), BusError> {
    let mut servers = Vec::new();
    let mut credentials = Credentials::None;
    for url in urls.iter().flat_map(|urls| urls.split(',')).map(str::trim).filter(|url| !url.is_empty()) {
        let (scheme, rest) = split_scheme(url).unwrap_or(("nats", url));
        // Passwords may hold what would end the authority of another URL.
        let (info, host) = split_userinfo(rest);
        if let (Some(info), Credentials::None) = (info, &credentials) {
            credentials = match info.split_once(':') {
                Some((user, password)) => {
                    Credentials::Password { user: percent_decoded(user)?, password: percent_decoded(password)? }
                }
                None => Credentials::Token(percent_decoded(info)?),
            };
        }
        servers.push(format!("{scheme}://{host}"));
    }
    if servers.is_empty() {
        return Err(BusError::Options("no server: give a URL such as nats://127.0.0.1:4222".to_owned()));
    }
    Ok((servers, credentials))
}

fn percent_decoded(text: &str) -> Result<String, BusError> {
    let bad = || BusError::Options("user information in a NATS URL is not percent-encoded UTF-8".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            let (high, low) = (digit(rest.next()).ok_or_else(bad)?, digit(rest.next()).ok_or_else(bad)?);
            bytes.push(u8::try_from(high * 16 + low).map_err(|_| bad())?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

/// Adds what proves who one is.
pub(super) async fn prove(
    nats: async_nats::ConnectOptions,
    credentials: Credentials,
) -> Result<async_nats::ConnectOptions, BusError> {
    Ok(match credentials {
        Credentials::None => nats,
        Credentials::Password { user, password } => nats.user_and_password(user, password),
        Credentials::Token(token) => nats.token(token),
        Credentials::Nkey(seed) => nats.nkey(seed),
        Credentials::NkeyFile(path) => {
            let bad = |reason: &str| BusError::Options(format!("nkey file {}: {reason}", path.display()));
            let text = tokio::fs::read_to_string(&path).await.map_err(|e| bad(&e.to_string()))?;
            let seed = crate::user_key::seed_in(&text)
                .ok_or_else(|| bad("no line in it begins with SU, as the seed of a user does"))?;
            // Read here, where it can be said which file is wrong.
            nkeys::KeyPair::from_seed(seed).map_err(|_| bad("the seed in it is damaged"))?;
            nats.nkey(seed.to_owned())
        }
        Credentials::File(path) => nats
            .credentials_file(&path)
            .await
            .map_err(|e| BusError::Options(format!("credentials file {}: {e}", path.display())))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_taken_out_of_urls() {
        let (urls, credentials) = servers(&["nats://u%40x:p%3aw@h:1,tls://h:2".to_owned()]).unwrap();
        assert_eq!(urls, ["nats://h:1", "tls://h:2"]);
        assert_eq!(credentials, Credentials::Password { user: "u@x".into(), password: "p:w".into() });
        assert!(!format!("{credentials:?}").contains("p:w"));
        assert_eq!(servers(&["secret@h".to_owned()]).unwrap().1, Credentials::Token("secret".into()));
        assert!(servers(&[]).is_err());
    }
}
