//! Finding the bus: a server that was named, the one that `up` started, or a private child. Commands need it now, or
//! within `--wait`; services wait for it as long as it takes (`service`).

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nuncius_bus::server::{ChildServer, ServerOptions, URL_FILE, discover};
use nuncius_bus::user_key::UserKey;
use nuncius_bus::{Bus, BusError, ConnectOptions, Credentials, Namespace, Tls, connect};

use nuncius_schemas::names::check_token;
use nuncius_store::Place;

use crate::args::Global;
use crate::exit::Usage;
use crate::{environment, way_out};

mod private;
mod private_directory;
mod service;

pub(crate) use private::{NamedServer, existing_to_look_on, possible_to_look_on};
pub(crate) use private_directory::{PrivateDirectory, sweep};
pub(crate) use service::{Fallback, at_once, close, join, serve};

/// How often a command that waits looks again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Permissions that are its owner's alone.
const OWNER_ONLY: u32 = 0o600;

/// Where the data directory is, if there is a place for it; it may not be there yet. Never a place that is shared:
/// where nobody said where, and there is no home, there is none.
pub(crate) fn data_place(global: &Global) -> Option<PathBuf> {
    if let Some(directory) = &global.data {
        return Some(directory.clone());
    }
    let absolute = |name: &str| environment::given(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        // It goes when its user logs out, but nobody else looks into it.
        .or_else(|| absolute("XDG_RUNTIME_DIR").filter(|path| is_own(path)))
        .map(|place| place.join("nuncius"))
}

/// Whether a directory is this user's and nobody else's.
fn is_own(path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    std::fs::metadata(path).is_ok_and(|found| found.uid() == own && found.permissions().mode() & 0o077 == 0)
}

/// The directory of the database, the reports and the running server's address; made where it is not there.
///
/// # Errors
/// When there is no private place for it, or it cannot be made.
pub(crate) fn data_directory(global: &Global) -> Result<PathBuf> {
    let directory = data_place(global).ok_or_else(|| {
        Usage("no place for data: HOME is not set; name a directory with --data or NUNCIUS_DATA".to_owned())
    })?;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    if global.data.is_none() {
        builder.mode(0o700);
    }
    builder.create(&directory).with_context(|| {
        format!("data directory {} cannot be made; choose another with --data", directory.display())
    })?;
    Ok(directory)
}

/// The file that results are kept in where nobody says otherwise, in the data directory.
const DATABASE_FILE: &str = "nuncius.db";

/// Where results are kept: as it was said, or as Galileo's variables say it, or in the data directory.
///
/// # Errors
/// When what was said names no store, and as [`data_directory`].
pub(crate) fn database(global: &Global) -> Result<Place> {
    if let Some(said) = said_database(global)? {
        return Ok(said);
    }
    Ok(Place::file(data_directory(global)?.join(DATABASE_FILE)))
}

/// As [`database`], of what may be there already: nothing is made.
///
/// # Errors
/// When what was said names no store.
pub(crate) fn existing_database(global: &Global) -> Result<Option<Place>> {
    let place = match said_database(global)? {
        Some(said) => Some(said),
        None => data_place(global).map(|directory| Place::file(directory.join(DATABASE_FILE))),
    };
    Ok(place.filter(Place::may_exist))
}

fn said_database(global: &Global) -> Result<Option<Place>> {
    let said = match &global.database {
        // What is no text is no address.
        Some(said) => match said.to_str() {
            Some(text) => Place::parse(text).map(Some),
            None => Ok(Some(Place::file(said))),
        },
        None => Place::of_galileo(environment::variable),
    };
    said.map_err(|error| Usage(format!("--database: {error}")).into())
}

/// Leaves the address of the running server, which may hold a password, for the commands of this user.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn leave_url(data: &Path, url: &str) -> Result<PathBuf> {
    let path = data.join(URL_FILE);
    let write = || {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&path)?;
        // One that was there may have been open to others.
        file.set_permissions(std::fs::Permissions::from_mode(OWNER_ONLY))?;
        file.write_all(url.as_bytes())
    };
    write().with_context(|| path.display().to_string())?;
    Ok(path)
}

/// The namespace of the command line.
pub(crate) fn namespace(global: &Global) -> Result<Namespace> {
    Namespace::new(&global.namespace).map_err(|error| Usage(format!("--namespace: {error}")).into())
}

/// Connects to servers by URL, now or not at all.
///
/// # Errors
/// [`BusError`] when nobody answers or takes the credentials, [`Usage`] for options that make no sense.
pub(crate) async fn connect_to(global: &Global, url: &str, name: &str) -> Result<Bus> {
    connect_with(global, url, name, true).await
}

/// Connects to a server that this process has started itself: it asks for no credentials.
///
/// # Errors
/// As [`connect_to`].
pub(crate) async fn connect_to_own(global: &Global, url: &str, name: &str) -> Result<Bus> {
    connect_with(global, url, name, false).await
}

async fn connect_with(global: &Global, url: &str, name: &str, proves_itself: bool) -> Result<Bus> {
    let mut options = ConnectOptions {
        urls: vec![url.to_owned()],
        namespace: namespace(global)?,
        name: name.to_owned(),
        election_patience: global.nats_patience.to_std(),
        trace_hops: global.trace_hops,
        ..ConnectOptions::default()
    };
    if proves_itself {
        prove(global, &mut options)?;
    }
    let bus = connect(options).await?;
    way_out::by(&bus);
    Ok(bus)
}

/// How to reach the system account of the server that is in use: the same server and trust, with other credentials.
///
/// # Errors
/// [`Usage`] for options that make no sense.
pub(crate) async fn to_system(global: &Global, credentials: Credentials) -> Result<Option<ConnectOptions>> {
    let Some(url) = find(global).await else { return Ok(None) };
    let mut options = ConnectOptions { urls: vec![url], name: "system".to_owned(), ..ConnectOptions::default() };
    prove(global, &mut options)?;
    Ok(Some(ConnectOptions { credentials, role: None, domain: None, ..options }))
}

/// Closes a connection, when what this process has to tell of itself has left by it.
///
/// # Errors
/// As [`Bus::drain_and_close`].
pub(crate) async fn leave(bus: &Bus) -> Result<(), BusError> {
    way_out::flush().await;
    bus.drain_and_close().await
}

/// The files of the bus that were named, with their flags.
pub(crate) fn files(global: &Global) -> [(&'static str, &Option<PathBuf>); 5] {
    [
        ("--nats-credentials", &global.nats_credentials),
        ("--nats-nkey", &global.nats_nkey),
        ("--nats-ca", &global.nats_ca),
        ("--nats-cert", &global.nats_cert),
        ("--nats-key", &global.nats_key),
    ]
}

/// Who this process is, and whom it trusts.
fn prove(global: &Global, options: &mut ConnectOptions) -> Result<()> {
    for (flag, file) in files(global) {
        if let Some(file) = file
            && let Err(error) = std::fs::File::open(file)
        {
            return Err(Usage(format!("{flag} {}: {}", file.display(), crate::output::plain(&error))).into());
        }
    }
    options.credentials = match (&global.nats_credentials, &global.nats_nkey) {
        (None, None) => Credentials::None,
        (Some(file), None) => Credentials::File(file.clone()),
        (None, Some(file)) => Credentials::NkeyFile(file.clone()),
        (Some(_), Some(_)) => {
            return Err(Usage("--nats-credentials and --nats-nkey: one of them is enough".to_owned()).into());
        }
    };
    let client_certificate = match (&global.nats_cert, &global.nats_key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
        (Some(_), None) => return Err(Usage("--nats-cert: its key is missing, --nats-key".to_owned()).into()),
        (None, Some(_)) => return Err(Usage("--nats-key: its certificate is missing, --nats-cert".to_owned()).into()),
    };
    if let Some(domain) = &global.js_domain {
        check_token("domain", domain).map_err(|error| Usage(format!("--js-domain: {error}")))?;
    }
    let ca_file = global.nats_ca.clone();
    options.tls = Tls { require: false, first: global.nats_tls_first, ca_file, client_certificate };
    options.role = global.role;
    options.domain.clone_from(&global.js_domain);
    options.replicas = global.replicas.map_or(0, usize::from);
    Ok(())
}

/// The server that was named, or that `up` runs; `None` when there is neither.
pub(crate) async fn find(global: &Global) -> Option<String> {
    match (data_place(global), &global.nats) {
        (Some(directory), named) => discover(named.as_deref(), &directory).await.map(|found| found.url),
        // No data directory, none to look into.
        (None, named) => named.clone(),
    }
}

/// Connects to the server that was named or that `up` runs, if there is one.
///
/// # Errors
/// When one is named and does not answer.
pub(crate) async fn possible(global: &Global, name: &str) -> Result<Option<Bus>> {
    match find(global).await {
        Some(url) => connect_to(global, &url, name).await.map(Some),
        None => Ok(None),
    }
}

/// Connects to a server that must be there, or come within `--wait`.
///
/// # Errors
/// When there is none in that time.
pub(crate) async fn existing(global: &Global, name: &str) -> Result<Bus> {
    let deadline = Instant::now() + global.wait.to_std();
    loop {
        let problem = match possible(global, name).await {
            Ok(Some(bus)) => return Ok(bus),
            Ok(None) => anyhow!("no NATS server found: start one with `nuncius up`, or name one with --nats"),
            Err(error) if is_transient(&error) => error,
            Err(error) => return Err(error),
        };
        if Instant::now() >= deadline {
            return Err(problem);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Whether it may go well when it is tried again later.
pub(crate) fn is_transient(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<BusError>().is_some_and(BusError::is_transient))
}

/// A child server with its store in `directory`.
pub(crate) async fn child(directory: &Path, listen: std::net::SocketAddr) -> Result<ChildServer> {
    let options = ServerOptions { host: listen.ip(), port: listen.port(), ..ServerOptions::new(directory) };
    Ok(ChildServer::start(options).await?)
}

/// The same, and how its system account is spoken to: by a key that is made anew at every start, of which the server
/// knows the public half. Everybody else comes in as before.
///
/// # Errors
/// As [`child`].
pub(crate) async fn child_with_system(
    directory: &Path,
    listen: std::net::SocketAddr,
) -> Result<(ChildServer, ConnectOptions)> {
    let key = UserKey::new()?;
    let options = ServerOptions {
        host: listen.ip(),
        port: listen.port(),
        config_extra: format!(
            "authorization {{ users: [{{user: anybody, password: anybody}}] }}\n\
             accounts {{ $SYS {{ users: [{{nkey: {}}}] }} }}\nno_auth_user: anybody\n",
            key.public
        ),
        ..ServerOptions::new(directory)
    };
    let server = ChildServer::start(options).await?;
    let system = ConnectOptions {
        urls: vec![server.url().to_owned()],
        name: "system".to_owned(),
        credentials: Credentials::Nkey(key.seed),
        ..ConnectOptions::default()
    };
    Ok((server, system))
}
