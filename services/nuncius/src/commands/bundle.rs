//! Experiments with what they need: a directory, a file that names others, an application that is deployed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nuncius_bundle::{BundleError, Packed, pack_directory, pack_files};
use nuncius_bus::Bus;
use nuncius_bus::apps::{self, Deployed};
use nuncius_client::bundles::{CACHE_BYTES, obtain};
use nuncius_clock::unix_ms;
use nuncius_schemas::bundle::{AppVersion, BundleReference, check_app_name, check_path};
use nuncius_schemas::names::token_from_host;
use nuncius_schemas::spec::{NamedFile, files_of};
use nuncius_schemas::submission::Submission;

use super::written;
use crate::args::{BundleArgs, Global};
use crate::connect;
use crate::exit::Usage;
use crate::local::bundle_settings;
use crate::output::note;

/// What is before the name of an application where a file is named.
const APP_PREFIX: &str = "app:";
/// A file of this name says nothing of what it is: its directory does.
const COMMON_STEM: &str = "experiment";
/// Names of files that one line tells.
const NAMES_SHOWN: usize = 5;

/// What is to be published, and what has to be in the store by then.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) submission: Submission,
    /// Absent where it needs none, or that is there already.
    pub(crate) bundle: Option<Packed>,
}

/// Reads what was named: a file, standard input, a directory, or `app:NAME`.
pub(super) async fn read(global: &Global, file: &Path, args: &BundleArgs) -> Result<Prepared> {
    if let Some(app) = file.to_str().and_then(|text| text.strip_prefix(APP_PREFIX)) {
        let submission = read_deployed(global, app, args).await?;
        return Ok(Prepared { submission, bundle: None });
    }
    if file.is_dir() {
        return read_directory(file, None, args);
    }
    let submission = written::read(file, &file.display().to_string())?;
    with_files_beside(file, submission, None, args)
}

/// Reads a file, and packs those that it names as the application `name`.
pub(super) fn with_files(file: &Path, name: &str, args: &BundleArgs) -> Result<Prepared> {
    let submission = written::read(file, &file.display().to_string())?;
    with_files_beside(file, submission, Some(name), args)
}

/// Packs a directory as the application `name`, or as it is called itself.
pub(super) fn read_directory(directory: &Path, name: Option<&str>, args: &BundleArgs) -> Result<Prepared> {
    let wrong = |error: BundleError| Usage(format!("{}: {error}", directory.display()));
    let name = match name {
        Some(name) => {
            check_app_name(name).map_err(|error| Usage(format!("--name: {error}")))?;
            name.to_owned()
        }
        None => directory_name(directory),
    };
    let packed = pack_directory(directory, &name, &args.limits()).map_err(wrong)?;
    let spec = directory.join(&packed.manifest.spec);
    let shown = spec.display().to_string();
    let mut submission = written::read(&spec, &shown)?;
    attach(&mut submission, packed.manifest.reference()).map_err(|problem| Usage(format!("{shown}: {problem}")))?;
    let there: BTreeSet<&str> = packed.manifest.files.iter().map(|file| file.path.as_str()).collect();
    if let Some(NamedFile { field, path }) = needed(&submission).iter().find(|file| !there.contains(file.path.as_str()))
    {
        let problem = format!("{path} is not in {}, or left out for its dot", directory.display());
        return Err(Usage(format!("{shown}: {field}: {problem}")).into());
    }
    if !packed.left_out.is_empty() {
        note(&format!("left out, for their names begin with a dot: {}", listed(&packed.left_out)));
    }
    Ok(Prepared { submission, bundle: Some(packed) })
}

/// Packs the files that a specification names, which are beside it, together with itself.
fn with_files_beside(
    file: &Path,
    mut submission: Submission,
    name: Option<&str>,
    args: &BundleArgs,
) -> Result<Prepared> {
    let named = needed(&submission);
    let has_bundle = matches!(&submission, Submission::Spec(spec) if spec.bundle.is_some());
    if named.is_empty() || has_bundle {
        return Ok(Prepared { submission, bundle: None });
    }
    let shown = file.display();
    if written::is_standard_input(file) {
        let problem = "files are looked for beside the experiment: name it as a file";
        let field = named.first().map(|named| named.field.as_str()).unwrap_or_default();
        return Err(Usage(format!("standard input: {field}: {problem}")).into());
    }
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for NamedFile { field, path } in &named {
        check_path(path).map_err(|error| Usage(format!("{shown}: {field}: {error}")))?;
        let there = std::fs::metadata(directory.join(path));
        there.map_err(|error| Usage(format!("{shown}: {field}: {path}: {error}; it is looked for beside {shown}")))?;
    }
    let own = file.file_name().and_then(|name| name.to_str());
    let own = own.ok_or_else(|| Usage(format!("{shown}: its name is not UTF-8")))?;
    let name = match (name, file.file_stem().and_then(|stem| stem.to_str())) {
        (Some(name), _) => name.to_owned(),
        (None, Some(stem)) if stem != COMMON_STEM => token_from_host(stem),
        (None, Some(_) | None) => directory_name(directory),
    };
    let paths: Vec<String> = named.into_iter().map(|file| file.path).collect();
    let packed = pack_files(directory, &name, own, &paths, &args.limits());
    let packed = packed.map_err(|error| Usage(format!("{shown}: {error}")))?;
    attach(&mut submission, packed.manifest.reference()).map_err(|problem| Usage(format!("{shown}: {problem}")))?;
    Ok(Prepared { submission, bundle: Some(packed) })
}

/// Reads the experiment of an application, from the bundle as nodes see it.
async fn read_deployed(global: &Global, app: &str, args: &BundleArgs) -> Result<Submission> {
    check_app_name(app).map_err(|error| Usage(error.to_string()))?;
    let data = connect::data_directory(global)?;
    let bus = connect::existing(global, "nuncius-app").await?;
    let read = async {
        let record = apps::find(&bus, app).await?;
        let current = record.as_ref().and_then(|record| record.current());
        let current =
            current.ok_or_else(|| anyhow!("there is no app {app}; `nuncius app ls` lists those there are"))?;
        read_version(&bus, app, current, &data, args).await
    };
    let outcome = read.await;
    let _ = connect::leave(&bus).await;
    outcome
}

async fn read_version(
    bus: &Bus,
    app: &str,
    version: &AppVersion,
    data: &Path,
    args: &BundleArgs,
) -> Result<Submission> {
    let reference = version.reference(app);
    let held = obtain(bus, &reference, &bundle_settings(data, args, CACHE_BYTES)).await;
    let held = held.with_context(|| format!("bundle {}", reference.shown()))?;
    // Somebody else wrote it.
    check_path(&version.spec)?;
    let shown = format!("{APP_PREFIX}{app}: {}", version.spec);
    let mut submission = written::read(&held.path().join(&version.spec), &shown)?;
    attach(&mut submission, reference).map_err(|problem| anyhow!("{shown}: {problem}"))?;
    Ok(submission)
}

/// Stores a bundle and makes it the current version of its application.
pub(super) async fn deploy(bus: &Bus, packed: &Packed) -> Result<Deployed> {
    let version = packed.manifest.version(unix_ms());
    Ok(apps::deploy(bus, &packed.manifest.name, &version, &packed.bytes).await?)
}

/// The files that a submission names.
fn needed(submission: &Submission) -> Vec<NamedFile> {
    match submission {
        Submission::Spec(spec) => files_of(spec),
        Submission::Galileo(_) => Vec::new(),
    }
}

fn attach(submission: &mut Submission, bundle: BundleReference) -> Result<(), &'static str> {
    match submission {
        Submission::Spec(spec) if spec.bundle.is_some() => {
            Err("bundle: leave it out: what is packed here is the bundle")
        }
        Submission::Spec(spec) => {
            spec.bundle = Some(bundle);
            Ok(())
        }
        Submission::Galileo(_) => Err("an experiment in a form of Galileo needs no files: name the file itself"),
    }
}

/// The name of a directory, wherever it is named from, as a token.
fn directory_name(directory: &Path) -> String {
    let path = directory.canonicalize().unwrap_or_else(|_| PathBuf::from(directory));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    name.map_or_else(|| "app".to_owned(), |name| token_from_host(&name))
}

/// The first of some names, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
