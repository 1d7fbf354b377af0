//! Where a store is: a file, or a database of a server.

use std::fmt::{self, Debug, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use url::Url;

/// Where a store is.
///
/// Shown, it has neither user nor password: it goes into logs, messages and run records.
#[derive(Clone)]
pub struct Place(Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    /// A file of SQLite.
    File(PathBuf),
    Postgres(Box<PgConnectOptions>),
    MySql(Box<MySqlConnectOptions>),
}

/// Why a text names no store. It never holds the text: there may be a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It has a scheme that is not known.
    #[error(
        "there is no store of scheme `{scheme}`: a path is a file of SQLite, postgres://user@host/database is \
         PostgreSQL, mysql:// or mariadb://user@host/database is MySQL or MariaDB"
    )]
    Scheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// The address cannot be read.
    #[error("the address of the store cannot be read: {reason}; write it as {scheme}://user@host:port/database")]
    Address {
        /// What stands before `://`.
        scheme: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No database is named.
    #[error("the address of the store names no database; write it as {scheme}://user@host:port/database")]
    NoDatabase {
        /// What stands before `://`.
        scheme: String,
    },
    /// Galileo's variables name a store that there is not.
    #[error(
        "galileo_expdb_driver is `{driver}`: there are sqlite and mysql; --database names any store of Nuncius instead"
    )]
    Driver {
        /// What it is.
        driver: String,
    },
    /// A variable of Galileo's cannot be read.
    #[error("{variable} is no port: give a number from 1 to 65535")]
    Port {
        /// The variable.
        variable: &'static str,
    },
}

impl Place {
    /// A file of SQLite.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::File(path.into()))
    }

    /// What a person wrote: a path, or `sqlite:PATH`, `postgres://…`, `mysql://…`, `mariadb://…`.
    ///
    /// # Errors
    /// When it has another scheme, cannot be read, or names no database.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Ok(Self::file(path.strip_prefix("//").unwrap_or(path)));
        }
        let Some((scheme, _)) = text.split_once("://") else { return Ok(Self::file(text)) };
        let scheme = scheme.to_ascii_lowercase();
        let address = |reason: String| PlaceError::Address { scheme: scheme.clone(), reason };
        let no_database = || PlaceError::NoDatabase { scheme: scheme.clone() };
        match scheme.as_str() {
            "postgres" | "postgresql" => {
                check_parameters(text, &POSTGRES_PARAMETERS).map_err(address)?;
                let options = PgConnectOptions::from_str(text).map_err(|error| address(reason(&error)))?;
                options.get_database().ok_or_else(no_database)?;
                Ok(Self(Kind::Postgres(Box::new(options.application_name("nuncius")))))
            }
            "mysql" | "mariadb" => {
                check_parameters(text, &MYSQL_PARAMETERS).map_err(address)?;
                let options = MySqlConnectOptions::from_str(text).map_err(|error| address(reason(&error)))?;
                options.get_database().ok_or_else(no_database)?;
                Ok(Self(Kind::MySql(Box::new(options))))
            }
            _ => Err(PlaceError::Scheme { scheme }),
        }
    }

    /// What the variables of Galileo say, if they say anything: `galileo_expdb_driver` (`sqlite`, `mysql`, or `mixed`,
    /// whose experiments are in MySQL), `galileo_expdb_sqlite_path`, `galileo_expdb_mysql_host`, `_port`, `_user`,
    /// `_password` and `_db`.
    ///
    /// # Errors
    /// When they name a store that there is not.
    pub fn of_galileo(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, PlaceError> {
        let Some(driver) = variable("galileo_expdb_driver") else { return Ok(None) };
        match driver.as_str() {
            "sqlite" => Ok(variable("galileo_expdb_sqlite_path").map(Self::file)),
            "mysql" | "mixed" => {
                let name = "galileo_expdb_mysql_port";
                let port = match variable(name) {
                    Some(port) => port.parse().map_err(|_| PlaceError::Port { variable: name })?,
                    None => 3307,
                };
                let host = variable("galileo_expdb_mysql_host").unwrap_or_else(|| "localhost".to_owned());
                let database = variable("galileo_expdb_mysql_db")
                    .ok_or_else(|| PlaceError::NoDatabase { scheme: "mysql".to_owned() })?;
                let mut options = MySqlConnectOptions::new().host(&host).port(port).database(&database);
                if let Some(user) = variable("galileo_expdb_mysql_user") {
                    options = options.username(&user);
                }
                if let Some(password) = variable("galileo_expdb_mysql_password") {
                    options = options.password(&password);
                }
                Ok(Some(Self(Kind::MySql(Box::new(options)))))
            }
            _ => Err(PlaceError::Driver { driver }),
        }
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::File(path) => Some(path),
            Kind::Postgres(_) | Kind::MySql(_) => None,
        }
    }

    /// Whether there may be something: not where a file is named that is not there.
    pub fn may_exist(&self) -> bool {
        self.path().is_none_or(Path::is_file)
    }

    /// What it is called in run records: the same for all who mean the same. A file is that of a host.
    pub fn name_on(&self, host: &str) -> String {
        match &self.0 {
            Kind::File(path) => {
                let full = path.canonicalize().unwrap_or_else(|_| path.clone());
                format!("{host}:{}", full.display())
            }
            Kind::Postgres(_) | Kind::MySql(_) => self.to_string(),
        }
    }

    pub(crate) const fn kind(&self) -> &Kind {
        &self.0
    }
}

impl Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let socket = |socket: Option<&PathBuf>| socket.map(|path| path.display().to_string());
        let (scheme, socket, host, port, database) = match &self.0 {
            Kind::File(path) => return Display::fmt(&path.display(), out),
            Kind::Postgres(at) => {
                ("postgres", socket(at.get_socket()), at.get_host(), at.get_port(), at.get_database())
            }
            Kind::MySql(at) => ("mysql", socket(at.get_socket()), at.get_host(), at.get_port(), at.get_database()),
        };
        let database = database.unwrap_or_default();
        match socket {
            Some(socket) => write!(out, "{scheme}://{socket}/{database}"),
            None => write!(out, "{scheme}://{host}:{port}/{database}"),
        }
    }
}

impl Debug for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, out)
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Self {
        Self::file(path)
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<&Self> for Place {
    fn from(place: &Self) -> Self {
        place.clone()
    }
}

/// Parameters that an address may have. Others would be told in a log, with what they are.
const POSTGRES_PARAMETERS: [&str; 10] =
    ["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "port", "dbname", "user", "password", "options"];
const MYSQL_PARAMETERS: [&str; 5] = ["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket"];

/// The reason why an address has a parameter that there is not, or is none.
fn check_parameters(text: &str, known: &[&str]) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    match url.query_pairs().find(|(name, _)| !known.contains(&name.as_ref())) {
        Some((name, _)) => Err(format!("`{name}` is no parameter of it; there are {}", known.join(", "))),
        None => Ok(()),
    }
}

/// What is wrong with an option, without the words that stand around it.
fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(source) => source.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_a_path_or_an_address_and_shown_without_its_password() {
        for (text, shown) in [
            ("data/nuncius.db", "data/nuncius.db"),
            ("sqlite:data/nuncius.db", "data/nuncius.db"),
            ("sqlite:///data/nuncius.db", "/data/nuncius.db"),
            ("postgres://u:secret@db.example/results", "postgres://db.example:5432/results"),
            ("postgresql://u:secret@db.example:7/results?sslmode=require", "postgres://db.example:7/results"),
            ("postgres://u:secret@localhost/results?host=/run/pg", "postgres:///run/pg/results"),
            ("mysql://u:secret@db.example/results", "mysql://db.example:3306/results"),
            ("MariaDB://u:secret@db.example:7/results", "mysql://db.example:7/results"),
            ("mysql://u:secret@localhost/results?socket=/run/m.sock", "mysql:///run/m.sock/results"),
        ] {
            let place = Place::parse(text).unwrap();
            assert_eq!(place.to_string(), shown, "{text}");
            assert!(!format!("{place:?}").contains("secret"), "{place:?}");
        }
    }

    #[test]
    fn an_address_that_makes_no_sense_is_refused_without_its_password() {
        for (text, words) in [
            ("oracle://u:secret@h/d", "postgres://user@host/database"),
            ("postgres://u:secret@h:port/d", "port"),
            ("mysql://u:secret@h", "names no database"),
            ("postgres://u:secret@h/d?sslmode=maybe", "maybe"),
            ("postgres://h/d?pasword=secret", "`pasword` is no parameter"),
            ("mysql://h/d?sslmode=secret", "`sslmode` is no parameter of it; there are ssl-mode"),
        ] {
            let error = Place::parse(text).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn galileos_variables_name_a_store() {
        let place = |variables: &[(&str, &str)]| {
            let find =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            Place::of_galileo(find).map(|place| place.map(|place| place.to_string()))
        };
        assert_eq!(place(&[]), Ok(None));
        let sqlite = [("galileo_expdb_driver", "sqlite"), ("galileo_expdb_sqlite_path", "/tmp/g.db")];
        assert_eq!(place(&sqlite), Ok(Some("/tmp/g.db".to_owned())));
        let mysql = [
            ("galileo_expdb_driver", "mixed"),
            ("galileo_expdb_mysql_host", "db"),
            ("galileo_expdb_mysql_user", "u"),
            ("galileo_expdb_mysql_password", "secret"),
            ("galileo_expdb_mysql_db", "galileo"),
        ];
        assert_eq!(place(&mysql), Ok(Some("mysql://db:3307/galileo".to_owned())));
        assert!(place(&[("galileo_expdb_driver", "influxdb")]).unwrap_err().to_string().contains("influxdb"));
    }
}
