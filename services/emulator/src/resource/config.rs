//! How the consumer of resources is set up, and what keeps it from being there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use nuncius_bus::BusError;
use nuncius_schemas::names::{NameError, check_token};
use nuncius_schemas::resource::ResourceKind;
use nuncius_serve::{HttpLimits, ServeError};

/// The number that Testero factors unless told otherwise: a prime, so that it takes long.
pub const DEFAULT_NUMBER_TO_FACTOR: &str = "493440589722494743501";

/// What may be consumed, and where it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceConfig {
    /// Name, a token. The node is registered under it, with a suffix where that is taken.
    pub name: String,
    /// Host name as the host gives it.
    pub host: String,
    /// Labels by which the node is found, besides `emulated=resource`.
    pub labels: BTreeMap<String, String>,
    /// Where HTTP is served, host and port.
    pub http: String,
    /// Where files are written, in a directory of their own.
    pub data_directory: PathBuf,
    /// Whether the addresses of Testero answer exactly as it does: any method, status 200, delays of a second.
    pub compat: bool,
    /// What requests must carry; none: nobody is asked.
    pub token: Option<String>,
    /// Most memory that may be held, in bytes; none or 0: what the host and its groups give.
    pub memory_limit_bytes: Option<u64>,
    /// Most disk that may be held, in bytes; none or 0: what the file system gives.
    pub disk_limit_bytes: Option<u64>,
    /// The number that the load of Testero factors, decimal. One that is not the default ends its load when it is
    /// factored.
    pub number_to_factor: String,
    /// What is always left free of memory and of disk, in bytes; none: 5 %, and 64 MiB at least where that is no more
    /// than a quarter.
    pub floor_bytes: Option<u64>,
    /// What clients may ask for over HTTP.
    pub limits: HttpLimits,
    /// What may be consumed at all.
    pub kinds: BTreeSet<ResourceKind>,
}

impl ResourceConfig {
    /// The defaults for a name: all kinds, on 127.0.0.1:8080, files below the working directory, no token.
    pub fn new(name: &str, host: &str) -> Self {
        Self {
            name: name.to_owned(),
            host: host.to_owned(),
            labels: BTreeMap::new(),
            http: "127.0.0.1:8080".to_owned(),
            data_directory: PathBuf::from("."),
            compat: false,
            token: None,
            memory_limit_bytes: None,
            disk_limit_bytes: None,
            number_to_factor: DEFAULT_NUMBER_TO_FACTOR.to_owned(),
            floor_bytes: None,
            limits: super::http::limits(),
            kinds: ResourceKind::ALL.into_iter().collect(),
        }
    }

    /// Refuses what cannot be meant, and gives the number to factor.
    ///
    /// # Errors
    /// [`ResourceError::Name`] or [`ResourceError::Setting`].
    pub fn check(&self) -> Result<u128, ResourceError> {
        let wrong = |setting, problem: String| Err(ResourceError::Setting { setting, problem });
        check_token("node", &self.name)?;
        if self.kinds.is_empty() {
            return wrong("kinds", "nothing is left to consume; name one of memory, disk and cpu".to_owned());
        }
        if self.token.as_ref().is_some_and(|token| token.trim().is_empty()) {
            return wrong("token", "it is empty; write one, or leave it out".to_owned());
        }
        let number: String = self.number_to_factor.chars().take(80).collect();
        match self.number_to_factor.trim().parse::<u128>() {
            Ok(0) => wrong("number_to_factor", "0 has no factors; write 1 or more (NUMTOFACTOR)".to_owned()),
            Ok(number) => Ok(number),
            Err(error) => wrong(
                "number_to_factor",
                format!("`{number}`: {error}; write a whole number from 1 to {} (NUMTOFACTOR)", u128::MAX),
            ),
        }
    }
}

/// Where it is, once requests are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Where HTTP is served.
    pub address: SocketAddr,
    /// Name in the registry; none without a bus.
    pub node: Option<String>,
}

/// Why nothing is consumed.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// Its name is no token.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A setting that cannot be meant.
    #[error("resource setting {setting}: {problem}")]
    Setting {
        /// Its name in [`ResourceConfig`].
        setting: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The directory of files is not there.
    #[error("the data directory {path} cannot be used: {source}; choose another one (DATADIR)")]
    DataDirectory {
        /// Where it should be.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address of HTTP.
    #[error(transparent)]
    Listen(#[from] ServeError),
    /// The address that was got is not told.
    #[error("the address of HTTP is not known: {0}")]
    Address(std::io::Error),
    /// The bus.
    #[error("emulated resources: {0}")]
    Bus(#[from] BusError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_be_meant_is_refused_by_its_name() {
        let refused = |setting: &str, change: fn(&mut ResourceConfig)| {
            let mut config = ResourceConfig::new("node-1", "lab");
            assert_eq!(config.check().unwrap(), 493_440_589_722_494_743_501);
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(setting), "{setting}: {error}");
        };
        refused("node `a.b`", |config| config.name = "a.b".to_owned());
        refused("kinds", |config| config.kinds.clear());
        refused("token", |config| config.token = Some(" ".to_owned()));
        for number in ["0", "-7", "seven", "", "1e9", "999999999999999999999999999999999999999999"] {
            let config = ResourceConfig { number_to_factor: number.to_owned(), ..ResourceConfig::new("n", "h") };
            assert!(config.check().unwrap_err().to_string().contains("NUMTOFACTOR"), "{number}");
        }
    }
}
