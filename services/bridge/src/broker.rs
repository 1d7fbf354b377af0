//! How a broker is reached: by an address that holds its password, which nothing here ever shows.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use nuncius_amqp::{Link, OpenError, Socket, describe};
use nuncius_schemas::variable;
use percent_encoding::percent_decode_str;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::lookup_host;
use tokio_rustls::TlsConnector;
use url::Url;

/// Ports of brokers, without TLS and with it.
const PORTS: (u16, u16) = (5672, 5671);
/// What a broker knows everybody by who connects from its own machine.
const DEFAULT_USER: &str = "guest:guest";
/// A peer that is silent for twice as long is gone, unless the address says otherwise.
const DEFAULT_QUERY: &str = "heartbeat=10";
/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is wrong with an address; never more of it than the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

/// A virtual host of a broker.
#[derive(Clone)]
pub struct Broker {
    host: String,
    port: u16,
    vhost: String,
    uri: AMQPUri,
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("address", &self.shown()).finish_non_exhaustive()
    }
}

/// What an address names beside the broker: the parts of its path as they are written.
struct Parts<'a> {
    authority: &'a str,
    path: Vec<&'a str>,
    query: &'a str,
    secure: bool,
}

fn parts(address: &str) -> Result<Parts<'_>, AddressError> {
    let (secure, rest) = match address.split_once("://") {
        Some(("amqp", rest)) => (false, rest),
        Some(("amqps", rest)) => (true, rest),
        Some(_) | None => {
            return Err(AddressError("the address of a broker begins with amqp:// or amqps://".to_owned()));
        }
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, DEFAULT_QUERY));
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    Ok(Parts { authority, path: path.map(|path| path.split('/').collect()).unwrap_or_default(), query, secure })
}

fn decoded(text: &str, what: &str) -> Result<String, AddressError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| AddressError(format!("{what} is not UTF-8")))
}

/// An address with its variables, `${NAME}` and `${NAME:-default}`, filled in.
///
/// # Errors
/// A variable that is not set.
pub fn filled(address: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, AddressError> {
    variable::expand(address, &mut |name| environment(name)).map_err(|error| AddressError(error.to_string()))
}

impl Broker {
    /// A broker by `amqp://USER:PASSWORD@HOST:PORT/VHOST`, percent-encoded; without a virtual host it is `/`. `amqps`
    /// trusts the authorities in the file `ca`, else those of the system.
    ///
    /// # Errors
    /// What of it makes no sense.
    pub fn parse(address: &str, ca: Option<&Path>) -> Result<Self, AddressError> {
        let parts = parts(address)?;
        match parts.path.as_slice() {
            [] => Self::of(&parts, "%2f", ca),
            [vhost] => Self::of(&parts, if vhost.is_empty() { "%2f" } else { vhost }, ca),
            _ => Err(AddressError("the address of a broker has one name in its path, the virtual host".to_owned())),
        }
    }

    /// A broker and a queue by `amqp://USER:PASSWORD@HOST:PORT/VHOST/QUEUE`, where `%2f` is the virtual host `/`.
    ///
    /// # Errors
    /// What of it makes no sense.
    pub fn parse_with_queue(address: &str, ca: Option<&Path>) -> Result<(Self, String), AddressError> {
        let parts = parts(address)?;
        match parts.path.as_slice() {
            [vhost, queue] if !vhost.is_empty() && !queue.is_empty() => {
                Ok((Self::of(&parts, vhost, ca)?, decoded(queue, "the name of the queue")?))
            }
            _ => Err(AddressError(
                "write amqp://USER:PASSWORD@HOST/VHOST/QUEUE, where %2f is the virtual host / and a / in a name is %2f"
                    .to_owned(),
            )),
        }
    }

    fn of(parts: &Parts<'_>, vhost: &str, ca: Option<&Path>) -> Result<Self, AddressError> {
        // Nothing of the address: it may be the password that is wrong.
        let wrong = || AddressError("what stands between amqp:// and / is not USER:PASSWORD@HOST:PORT".to_owned());
        let url = Url::parse(&format!("amqp://{}/", parts.authority)).map_err(|_| wrong())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
        let port = url.port().unwrap_or(if parts.secure { PORTS.1 } else { PORTS.0 });
        let user = match (url.username(), url.password()) {
            ("", None) => DEFAULT_USER.to_owned(),
            (user, password) => format!("{user}:{}", password.unwrap_or_default()),
        };
        let uri = format!("amqp://{user}@localhost/{vhost}?{}", parts.query).parse();
        let uri: AMQPUri = uri.map_err(|_| {
            AddressError(format!("the address of the broker at {host}:{port}: its user, path or options are not right"))
        })?;
        let vhost = decoded(vhost, "the name of the virtual host")?;
        let tls = if parts.secure { Some(tls(&host, ca)?) } else { None };
        Ok(Self { host, port, vhost, uri, tls })
    }

    /// Its address without what is secret.
    pub fn shown(&self) -> String {
        let scheme = if self.tls.is_some() { "amqps" } else { "amqp" };
        format!("{scheme}://{}:{}/{}", self.host, self.port, self.vhost.escape_debug())
    }

    /// The virtual host.
    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// Opens a connection, which the broker shows under `name`.
    ///
    /// # Errors
    /// Why not, in words.
    pub(crate) async fn open(&self, name: &str) -> Result<Link, String> {
        let problem = Arc::new(std::sync::Mutex::new(None));
        let (broker, its_problem) = (self.clone(), Arc::clone(&problem));
        let connector = async move |socket: &Socket| {
            let note = |error: &std::io::Error| {
                let mut problem = its_problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                *problem = Some(error.to_string());
            };
            let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
            for address in lookup_host((broker.bare_host(), broker.port)).await.inspect_err(note)? {
                match nuncius_amqp::connect(address).await {
                    Ok(stream) => {
                        socket.keep(&stream)?;
                        let Some((server_name, config)) = &broker.tls else { return Ok(stream.into()) };
                        let connector = TlsConnector::from(Arc::clone(config));
                        return Ok(connector.connect(server_name.clone(), stream).await.inspect_err(note)?.into());
                    }
                    Err(error) => last = error,
                }
            }
            note(&last);
            Err(last.into())
        };
        match nuncius_amqp::open(self.uri.clone(), name, PATIENCE, connector).await {
            Ok(link) => Ok(link),
            Err(OpenError::Timeout) => Err(format!("no answer within {PATIENCE:?}")),
            Err(OpenError::Failed(error)) => {
                let problem = problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                Err(problem.unwrap_or_else(|| describe(&error)))
            }
        }
    }

    /// The host without the brackets of an IPv6 address.
    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

fn tls(host: &str, ca: Option<&Path>) -> Result<(ServerName<'static>, Arc<ClientConfig>), AddressError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let wrong = |problem: String| AddressError(format!("{}: {problem}", path.display()));
            let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|_| wrong("is not PEM that can be read".to_owned()))?;
                roots.add(certificate).map_err(|_| wrong("holds what is no authority".to_owned()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(AddressError("no authority is trusted: name a PEM file with --amqp-ca".to_owned()));
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare)
        .map_err(|_| AddressError(format!("`{host}` is neither a host name nor an address")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| AddressError(format!("TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((name, Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_broker_a_virtual_host_and_a_queue() {
        let of = |address: &str| Broker::parse_with_queue(address, None).map(|(broker, queue)| (broker.shown(), queue));
        let fine = |shown: &str, queue: &str| Ok((shown.to_owned(), queue.to_owned()));
        assert_eq!(of("amqp://u:p@rabbit/%2f/jobs"), fine("amqp://rabbit:5672//", "jobs"));
        assert_eq!(of("amqp://rabbit:7/v/a.b*%20%3E%2fc?heartbeat=5"), fine("amqp://rabbit:7/v", "a.b*\u{20}>/c"));
        assert_eq!(of("amqp://[::1]:7/v/q"), fine("amqp://[::1]:7/v", "q"));
        for wrong in ["amqp://rabbit/jobs", "amqp://rabbit/", "amqp://rabbit//jobs", "amqp://rabbit/a/b/c", "amqp://"] {
            assert!(of(wrong).unwrap_err().to_string().contains("VHOST/QUEUE"), "{wrong}");
        }
        assert!(of("http://rabbit/v/q").unwrap_err().to_string().contains("amqp://"));
        assert!(of("amqp://rabbit/v/%ff").unwrap_err().to_string().contains("UTF-8"));
        assert_eq!(Broker::parse("amqp://rabbit", None).unwrap().vhost(), "/");
        assert_eq!(Broker::parse("amqp://rabbit/lab", None).unwrap().vhost(), "lab");
    }

    #[test]
    fn a_password_is_in_no_text_of_a_broker_nor_of_what_is_wrong_with_its_address() {
        let (broker, _) = Broker::parse_with_queue("amqp://user:hunter2@rabbit/%2f/jobs", None).unwrap();
        assert!(!format!("{broker:?}{}", broker.shown()).contains("hunter2"));
        for wrong in
            ["amqp://user:hunter2@rabbit:x/v/q", "amqp://user:hunter2@/v/q", "amqp://user:hunter2@rabbit/v/q?a"]
        {
            if let Err(error) = Broker::parse_with_queue(wrong, None) {
                assert!(!error.to_string().contains("hunter2"), "{error}");
            }
        }
    }

    #[test]
    fn variables_of_an_address_are_filled_in_or_named() {
        let environment = |name: &str| (name == "PASSWORD").then(|| "p".to_owned());
        assert_eq!(filled("amqp://u:${PASSWORD}@h", &environment).unwrap(), "amqp://u:p@h");
        assert!(filled("amqp://u:${OTHER}@h", &environment).unwrap_err().to_string().contains("OTHER"));
    }
}
