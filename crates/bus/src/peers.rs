//! The servers that a connection may be made to next, and what each of them says of itself when it greets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

/// How long a server may take to greet.
const GREETING_PATIENCE: Duration = Duration::from_secs(2);
/// Longest greeting that is read, in bytes: it lists the servers of a cluster.
const GREETING_MAX_BYTES: u64 = 256 * 1024;
/// Where a server listens that does not say so.
const USUAL_PORT: u16 = 4222;

/// What a server says before anybody has proved who they are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Greeting {
    /// Its limit of one message, in bytes.
    #[serde(rename = "max_payload")]
    pub max_payload_bytes: usize,
    /// Domain of its JetStream.
    #[serde(default)]
    pub domain: Option<String>,
    /// Its cluster.
    #[serde(default)]
    pub cluster: Option<String>,
}

/// What every server says that these name, by address; or why it says nothing.
pub(crate) async fn greetings(servers: impl Iterator<Item = String>) -> BTreeMap<String, Result<Greeting, String>> {
    let addresses: BTreeSet<String> = servers.filter_map(|server| address_of(&server)).collect();
    let mut asked = tokio::task::JoinSet::new();
    for address in addresses {
        asked.spawn(async move {
            let greeting = greeting(&address).await;
            (address, greeting)
        });
    }
    asked.join_all().await.into_iter().collect()
}

/// Host and port of a server, as `nats://user@host:4222` or `host:4222`; none of those that speak WebSocket.
fn address_of(server: &str) -> Option<String> {
    let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
    if !matches!(scheme, "nats" | "tls") {
        return None;
    }
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit('@').next().filter(|host| !host.is_empty())?;
    // The colons of an address of version 6 stand in brackets.
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok() && !port.contains(']'));
    Some(if has_port { host.to_owned() } else { format!("{host}:{USUAL_PORT}") })
}

async fn greeting(address: &str) -> Result<Greeting, String> {
    let read = async {
        let stream = TcpStream::connect(address).await?;
        let mut line = String::new();
        BufReader::new(stream.take(GREETING_MAX_BYTES)).read_line(&mut line).await?;
        Ok::<_, std::io::Error>(line)
    };
    let line = tokio::time::timeout(GREETING_PATIENCE, read)
        .await
        .map_err(|_| format!("no greeting within {GREETING_PATIENCE:?}: is TLS to come first?"))?
        .map_err(|error| error.to_string())?;
    let text = line.strip_prefix("INFO ").ok_or("it is no nats-server")?;
    serde_json::from_str(text).map_err(|error| format!("its greeting cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_whatever_names_a_server() {
        for (server, wanted) in [
            ("nats://127.0.0.1:4333", Some("127.0.0.1:4333")),
            ("nats://user:pass@host", Some("host:4222")),
            ("tls://token@host:1", Some("host:1")),
            ("10.0.0.1:4222", Some("10.0.0.1:4222")),
            ("[::1]:4222", Some("[::1]:4222")),
            ("nats://[::1]", Some("[::1]:4222")),
            ("ws://host:80", None),
            ("nats://", None),
        ] {
            assert_eq!(address_of(server).as_deref(), wanted, "{server}");
        }
    }

    #[test]
    fn a_greeting_is_read_for_what_matters_of_it() {
        let text = r#"{"server_id":"N","max_payload":20000,"domain":"hub","cluster":"c","new":1}"#;
        let wanted = Greeting { max_payload_bytes: 20_000, domain: Some("hub".into()), cluster: Some("c".into()) };
        assert_eq!(serde_json::from_str::<Greeting>(text).unwrap(), wanted);
    }
}
