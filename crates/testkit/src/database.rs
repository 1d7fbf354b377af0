//! Real PostgreSQL and MariaDB servers, without root, systemd or a fixed port.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::{TempDir, TestkitError, free_port};

/// A server makes its first tables and answers within this even where many tests share two cores.
const START_DEADLINE: Duration = Duration::from_secs(90);
/// Neither server runs as root: the user `nobody` of Debian.
const NOBODY: u32 = 65_534;
const USER: &str = "nuncius";
/// One that is easily found, wherever it should not be.
const PASSWORD: &str = "s3cret-of-the-test";

/// Ends the server when its input does, and takes its files away: however the test ends, also by a signal, nothing
/// stays behind. Told `stop` it ends the server alone.
const KEEPER: &str = r#"
signal=$1 directory=$2; shift 2
"$@" >>"$directory/console.log" 2>&1 </dev/null & server=$!
while read -r line; do [ "$line" != stop ] || directory=; done
kill -"$signal" "$server" 2>/dev/null
wait "$server"
[ -z "$directory" ] || rm -rf -- "$directory"
"#;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlKind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    MariaDb,
}

impl SqlKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
        }
    }

    /// The signal on which it ends at once, and leaves nothing in shared memory.
    const fn end(self) -> &'static str {
        match self {
            Self::Postgres => "QUIT",
            Self::MariaDb => "KILL",
        }
    }
}

/// A server on a free port of 127.0.0.1 with its files in a temporary directory. User and password of its databases are
/// in their addresses.
#[derive(Debug)]
pub struct SqlServer {
    kind: SqlKind,
    // Declared before the directory: the process must be gone before its files are.
    keeper: Option<Keeper>,
    directory: TempDir,
    port: u16,
    options: Vec<String>,
}

#[derive(Debug)]
struct Keeper(Child);

impl Keeper {
    /// Ends the server; its files go unless it is only to stop.
    fn end(&mut self, only_stop: bool) {
        if let Some(mut input) = self.0.stdin.take()
            && only_stop
        {
            let _ = input.write_all(b"stop\n");
        }
        let _ = self.0.wait();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end(false);
    }
}

impl SqlServer {
    /// Starts a server with options of its own (`--max-allowed-packet=1M`): some seconds.
    pub async fn start(kind: SqlKind, options: &[&str]) -> Result<Self, TestkitError> {
        let directory = TempDir::new(kind.name()).map_err(|error| failed("temporary directory", &error))?;
        let port = free_port().map_err(|error| failed("free port", &error))?;
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { kind, keeper: None, directory, port, options };
        server.prepare()?;
        server.resume().await?;
        if kind == SqlKind::MariaDb {
            let user = format!(
                "CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION"
            );
            server.sql("mysql", &user)?;
        }
        Ok(server)
    }

    /// One for all tests of this process that do it no harm; it ends with the process.
    pub async fn shared(kind: SqlKind) -> Result<&'static Self, TestkitError> {
        static POSTGRES: OnceCell<SqlServer> = OnceCell::const_new();
        static MARIADB: OnceCell<SqlServer> = OnceCell::const_new();
        let place = match kind {
            SqlKind::Postgres => &POSTGRES,
            SqlKind::MariaDb => &MARIADB,
        };
        place.get_or_try_init(|| Self::start(kind, &[])).await
    }

    /// Makes an empty database; its name.
    pub fn database(&self) -> Result<String, TestkitError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let system = match self.kind {
            SqlKind::Postgres => "postgres",
            SqlKind::MariaDb => "mysql",
        };
        self.sql(system, &format!("CREATE DATABASE {name}"))?;
        Ok(name)
    }

    /// The address of a database, with user and password.
    pub fn url(&self, database: &str) -> String {
        let scheme = match self.kind {
            SqlKind::Postgres => "postgres",
            SqlKind::MariaDb => "mariadb",
        };
        format!("{scheme}://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// What must not be seen anywhere.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Runs statements as its superuser; what they print, a line a row, columns with tabs between them.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String, TestkitError> {
        let mut command = match self.kind {
            SqlKind::Postgres => {
                let mut command = Command::new(postgres_programs()?.join("psql"));
                command.env("PGPASSWORD", PASSWORD).args(["-h", "127.0.0.1", "-U", USER, "-p", &self.port.to_string()]);
                command.args([
                    "-X",
                    "-q",
                    "-t",
                    "-A",
                    "-F",
                    "\t",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-d",
                    database,
                    "-c",
                    statements,
                ]);
                command
            }
            SqlKind::MariaDb => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "--batch", "--skip-column-names", "-u", "root"]);
                command.arg("--socket").arg(self.socket()).args(["-e", statements, database]);
                command
            }
        };
        printed(&mut command)
    }

    /// Ends the server at once; its files stay.
    pub fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            keeper.end(true);
        }
    }

    /// Starts a server that was stopped, where it was, and waits until it answers.
    pub async fn resume(&mut self) -> Result<(), TestkitError> {
        let (directory, port) = (self.directory.path(), self.port);
        let data = directory.join("data");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper", self.kind.end()]).arg(directory);
        command.args(as_nobody());
        match self.kind {
            SqlKind::Postgres => {
                // A test does not outlive the machine: nothing need be on the disk.
                command.arg(postgres_programs()?.join("postgres")).arg("-D").arg(&data);
                command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
                command.arg("-c").arg(format!("unix_socket_directories={}", directory.display()));
            }
            SqlKind::MariaDb => {
                command.arg(mariadb_server()?).arg("--no-defaults").arg(format!("--datadir={}", data.display()));
                command.arg(format!("--socket={}", self.socket().display())).arg(format!("--port={port}"));
                // It is killed, the machine is not: the log need not be on the disk.
                command.args(["--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=2"]);
                command.arg("--innodb-buffer-pool-size=64M");
            }
        }
        command.args(&self.options);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        self.keeper = Some(Keeper(command.spawn().map_err(|error| failed("sh", &error))?));
        self.wait_until_it_answers().await
    }

    async fn wait_until_it_answers(&mut self) -> Result<(), TestkitError> {
        let until = Instant::now() + START_DEADLINE;
        loop {
            let asked = match self.kind {
                SqlKind::Postgres => self.sql("postgres", "SELECT 1"),
                SqlKind::MariaDb => self.sql("mysql", "SELECT 1"),
            };
            let Err(error) = asked else { return Ok(()) };
            if Instant::now() > until {
                let log = std::fs::read_to_string(self.directory.path().join("console.log")).unwrap_or_default();
                return Err(TestkitError::Start(format!("{} did not start: {error}: {log}", self.kind.name())));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("mariadb.sock")
    }

    /// Makes the files of a new server.
    fn prepare(&self) -> Result<(), TestkitError> {
        let directory = self.directory.path();
        let data = directory.join("data");
        std::fs::create_dir(&data).map_err(|error| failed("data directory", &error))?;
        let password = directory.join("password");
        std::fs::write(&password, PASSWORD).map_err(|error| failed("password", &error))?;
        if !as_nobody().is_empty() {
            for path in [directory, &data, &password] {
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).map_err(|error| failed("owner", &error))?;
            }
        }
        let mut words: Vec<std::ffi::OsString> = as_nobody().into_iter().map(Into::into).collect();
        match self.kind {
            SqlKind::Postgres => {
                words.push(postgres_programs()?.join("initdb").into());
                words.extend(
                    ["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "-U", USER].map(Into::into),
                );
                words.extend(["-D".into(), data.into(), "--pwfile".into(), password.into()]);
            }
            SqlKind::MariaDb => {
                mariadb_server()?;
                words.extend(["mariadb-install-db", "--no-defaults", "--skip-test-db"].map(Into::into));
                words.push("--auth-root-authentication-method=normal".into());
                words.push(format!("--datadir={}", data.display()).into());
            }
        }
        let Some((program, arguments)) = words.split_first() else { return Ok(()) };
        printed(Command::new(program).args(arguments).current_dir(directory)).map(drop)
    }
}

/// Words before a command that root runs as nobody.
fn as_nobody() -> Vec<String> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let words = ["setpriv", "--clear-groups", "--reuid", "65534", "--regid", "65534"];
    words.map(str::to_owned).to_vec()
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> TestkitError {
    TestkitError::Start(format!("{what}: {error}"))
}

fn printed(command: &mut Command) -> Result<String, TestkitError> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().map_err(|error| failed(&format!("{command:?}"), &error))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    Err(failed("statements", &format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))))
}

/// The programs of the newest PostgreSQL. Debian's wrappers on PATH know its own clusters alone.
fn postgres_programs() -> Result<PathBuf, TestkitError> {
    let missing =
        || TestkitError::NoBinary("no PostgreSQL: run scripts/setup --test, which installs postgresql".to_owned());
    let versions = std::fs::read_dir("/usr/lib/postgresql").map_err(|_| missing())?;
    let number = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.flatten().map(|version| version.path()).max_by_key(|path| number(path));
    newest.map(|version| version.join("bin")).filter(|bin| bin.join("initdb").is_file()).ok_or_else(missing)
}

/// MariaDB's server, which is not on everybody's PATH.
fn mariadb_server() -> Result<PathBuf, TestkitError> {
    let path = PathBuf::from("/usr/sbin/mariadbd");
    let missing =
        || TestkitError::NoBinary("no MariaDB: run scripts/setup --test, which installs mariadb-server".to_owned());
    path.is_file().then_some(path).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually;

    #[tokio::test]
    async fn a_server_answers_comes_back_with_what_it_had_and_leaves_nothing_behind() {
        for kind in [SqlKind::Postgres, SqlKind::MariaDb] {
            let mut server = SqlServer::start(kind, &[]).await.unwrap();
            let database = server.database().unwrap();
            server.sql(&database, "CREATE TABLE kept (number BIGINT); INSERT INTO kept VALUES (7)").unwrap();
            server.stop();
            assert!(server.sql(&database, "SELECT number FROM kept").is_err());
            server.resume().await.unwrap();
            assert_eq!(server.sql(&database, "SELECT number FROM kept").unwrap().trim(), "7");
            let (port, directory) = (server.port, server.directory.path().to_owned());
            drop(server);
            let gone = || async { std::net::TcpStream::connect(("127.0.0.1", port)).is_err().then_some(()) };
            assert!(eventually(Duration::from_secs(5), gone).await.is_some() && !directory.exists());
        }
    }
}
