//! `nuncius nats-config`: the configuration of a nats-server that keeps roles apart.
//!
//! What is secret, one seed for each role, is in a file of its own that only its owner can read; the configuration has
//! public keys alone. Files that name keys which are there already are written anew, keys never: who runs this again
//! with another namespace or another role locks nobody out.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nuncius_bus::roles::{Place, UserRole, grants, in_server_words};
use nuncius_bus::user_key;
use nuncius_schemas::names::check_token;
use nuncius_schemas::queue::check_queue_name;

use crate::Usage;
use crate::args::{Global, NatsConfigArgs};
use crate::connect;

/// What only its owner may read.
const SECRET: u32 = 0o600;
/// What is no secret.
const PUBLIC: u32 = 0o644;
/// File with the accounts, for a server that has a configuration already.
const ACCOUNTS: &str = "accounts.conf";
/// File with a whole configuration.
const SERVER: &str = "nats-server.conf";

/// Writes the files, and says which.
pub(super) fn nats_config(global: &Global, args: &NatsConfigArgs) -> Result<u8> {
    let place = place(global, args)?;
    let roles = if args.roles.is_empty() { UserRole::ALL.to_vec() } else { args.roles.clone() };
    let directory = &args.out;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(|| shown(directory))?;
    let directory = directory.canonicalize().with_context(|| shown(directory))?;
    let mut users = Vec::new();
    for role in roles {
        let key = key_of(&directory.join(format!("{role}.nk")), &format!("role {role} of nuncius"))?;
        write(&directory.join(format!("{role}.env")), SECRET, &environment(&place, role, &directory))?;
        users.push((role, key));
    }
    let system_key = key_of(&directory.join("system.nk"), "the system account of nats-server")?;
    write(&directory.join(ACCOUNTS), PUBLIC, &accounts(&place, &users, &system_key))?;
    write(&directory.join(SERVER), PUBLIC, &server(args, &place)?)?;
    super::print(&format!(
        "{}: start nats-server with it, or include {ACCOUNTS} in yours",
        shown(&directory.join(SERVER))
    ));
    for (role, _) in &users {
        super::print(&format!("{role:<12} {}", shown(&directory.join(format!("{role}.env")))));
    }
    Ok(0)
}

fn place(global: &Global, args: &NatsConfigArgs) -> Result<Place> {
    for queue in &args.queues {
        check_queue_name(queue).map_err(|error| Usage(error.to_string()))?;
    }
    if let Some(domain) = &global.js_domain {
        check_token("domain", domain).map_err(|error| Usage(format!("--js-domain: {error}")))?;
    }
    Ok(Place { namespace: connect::namespace(global)?, domain: global.js_domain.clone(), queues: args.queues.clone() })
}

/// The variables that make a process this role.
fn environment(place: &Place, role: UserRole, directory: &Path) -> String {
    let mut text = format!("# {}.\n", role.purpose());
    let key = shown(&directory.join(format!("{role}.nk")));
    let _ =
        write!(text, "NUNCIUS_ROLE={role}\nNUNCIUS_NATS_NKEY={key}\nNUNCIUS_NAMESPACE={}\n", place.namespace.as_str());
    if let Some(domain) = &place.domain {
        let _ = writeln!(text, "NUNCIUS_JS_DOMAIN={domain}");
    }
    text
}

/// The public key of the seed in a file, which is made where it is not there.
fn key_of(path: &Path, whose: &str) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            // One that was there may have been open to others.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(SECRET)).with_context(|| shown(path))?;
            let key = user_key::public_key(&text);
            key.ok_or_else(|| Usage(format!("{}: there is no nkey seed of a user in it", shown(path))).into())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = user_key::UserKey::new().with_context(|| shown(path))?;
            write(path, SECRET, &format!("# {whose}: a secret, to be kept like a password.\n{}\n", key.seed))?;
            Ok(key.public)
        }
        Err(error) => Err(error).with_context(|| shown(path)),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Written whole or not at all, and never readable for a moment by more than it may be.
fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    let put = || {
        let _ = std::fs::remove_file(&new);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        // Whatever the umask leaves.
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    put().with_context(|| shown(path))
}

/// The accounts: one for the system, where nothing else is, and one for the server's own affairs.
fn accounts(place: &Place, users: &[(UserRole, String)], system_key: &str) -> String {
    let mut text = String::from(
        "# Written by `nuncius nats-config`. Nothing here is secret: the seeds are in the files beside it.\n\
         accounts {\n  NUNCIUS {\n    jetstream: enabled\n    users: [\n",
    );
    for (role, key) in users {
        let permissions = in_server_words(&grants(place, *role));
        let _ =
            writeln!(text, "      # {role}: {}\n      {{ nkey: {key}, permissions: {permissions} }}", role.purpose());
    }
    let _ =
        write!(text, "    ]\n  }}\n  SYS {{\n    users: [ {{ nkey: {system_key} }} ]\n  }}\n}}\nsystem_account: SYS\n");
    text
}

/// A whole configuration.
fn server(args: &NatsConfigArgs, place: &Place) -> Result<String> {
    let quoted = |path: &Path| format!("{:?}", shown(path));
    let mut text = format!(
        "# Written by `nuncius nats-config`.\nlisten: \"{}\"\njetstream {{\n  store_dir: {}\n",
        args.listen,
        quoted(&args.store)
    );
    if let Some(domain) = &place.domain {
        let _ = writeln!(text, "  domain: {domain}");
    }
    text.push_str("}\n");
    if let (Some(certificate), Some(key)) = (&args.server_cert, &args.server_key) {
        let absolute = |path: &PathBuf| path.canonicalize().map_err(|error| Usage(format!("{}: {error}", shown(path))));
        let (certificate, key) = (quoted(&absolute(certificate)?), quoted(&absolute(key)?));
        let _ = write!(text, "tls {{\n  cert_file: {certificate}\n  key_file: {key}\n");
        if let Some(authority) = &args.client_ca {
            let _ = write!(text, "  ca_file: {}\n  verify: true\n", quoted(&absolute(authority)?));
        }
        text.push_str("}\n");
    }
    let _ = writeln!(text, "include ./{ACCOUNTS}");
    Ok(text)
}
