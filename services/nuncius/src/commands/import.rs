//! Test files of Artillery: read, told key by key, run as they are.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nuncius_clock::unix_ms;
use nuncius_import::artillery::{self, Imported, Options};
use nuncius_import::{Base, ImportError, KeyReport, Support, Wanted, Warning};
use nuncius_schemas::document::yaml::to_yaml;
use nuncius_schemas::submission::Submission;

use super::bundle::{self, Prepared};
use crate::args::{ArtilleryArgs, BundleArgs, Global, ImportArgs};
use crate::connect::PrivateDirectory;
use crate::environment;
use crate::exit::Usage;
use crate::output::{note, print, print_json, print_table, write_file};

/// Longest test file, in bytes.
const FILE_MAX_BYTES: u64 = 16 << 20;
/// Longest file that it names, in bytes.
const NAMED_MAX_BYTES: u64 = 64 << 20;
/// Name of the experiment beside the files that it needs.
const EXPERIMENT: &str = "experiment.yaml";
/// Exit code where a file has keys without a meaning here.
const REFUSED: u8 = 1;

/// Whether a file is a test of Artillery, by its topmost keys.
pub(crate) fn is_artillery(file: &Path) -> bool {
    let Ok(bytes) = read_file(file, FILE_MAX_BYTES) else { return false };
    let text = String::from_utf8_lossy(&bytes);
    let has = |key: &str| {
        let is_key = |line: &str| {
            let line = line.trim_start_matches(['{', ' ', '\u{feff}']);
            let rest = line.strip_prefix(key).or_else(|| line.strip_prefix('"')?.strip_prefix(key)?.strip_prefix('"'));
            rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
        };
        text.lines().filter(|line| !line.starts_with("  ") || text.trim_start().starts_with('{')).any(is_key)
    };
    has("config") && has("scenarios") && !has("groups")
}

fn read_file(path: &Path, most_bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)?.take(most_bytes + 1).read_to_end(&mut bytes)?;
    match read as u64 > most_bytes {
        true => Err(std::io::Error::other(format!("longer than {most_bytes} bytes"))),
        false => Ok(bytes),
    }
}

/// Reads a test of Artillery, with the files that it names.
fn read(file: &Path, args: &ArtilleryArgs) -> Result<std::result::Result<Imported, ImportError>> {
    let shown = file.display();
    let bytes = read_file(file, FILE_MAX_BYTES).map_err(|error| Usage(format!("{shown}: {error}")))?;
    let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let options = Options {
        config: text(&args.config),
        environment: args.environment.clone(),
        target: args.target.clone(),
        insecure: args.insecure,
        overrides: args.overrides.clone(),
        variables: args.variables.clone(),
        payload: text(&args.payload),
        env_file: text(&args.env_file),
        scenario_name: args.scenario_name.clone(),
        solo: args.solo,
        test_id: format!("t{}-{:08x}", unix_ms(), fastrand::u32(..)),
        process_environment: environment::variables().collect(),
        leave_out_refused: args.leave_out_refused,
        ..Options::default()
    };
    let directory = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
    let mut reader = |wanted: Wanted<'_>| {
        let base = match wanted.base {
            Base::WorkingDirectory => PathBuf::new(),
            Base::TestFile => directory(file),
            Base::Configuration => args.config.as_deref().map(directory).unwrap_or_default(),
        };
        read_file(&base.join(wanted.path), NAMED_MAX_BYTES).map_err(|error| error.to_string())
    };
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(artillery::import(&name, &bytes, &options, &mut reader))
}

/// A test of Artillery as an experiment that is ready to be published, and what its report needs to know.
pub(super) fn prepare(file: &Path, args: &ArtilleryArgs, bundle: &BundleArgs) -> Result<(Prepared, Imported)> {
    let imported = match read(file, args)? {
        Ok(imported) => imported,
        Err(error) => return Err(Usage(format!("{}: {error}", file.display())).into()),
    };
    tell(&imported.warnings, &imported.keys, &imported.differences);
    let directory = PrivateDirectory::new()?;
    write(&imported, directory.path())?;
    let prepared = match imported.files.is_empty() {
        true => {
            let submission = Submission::Spec(Box::new(imported.specification.clone()));
            Prepared { submission, bundle: None }
        }
        false => bundle::with_files(&directory.path().join(EXPERIMENT), &name_of(file), bundle)?,
    };
    Ok((prepared, imported))
}

/// What the experiment is called: its file without what says what that is.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    nuncius_schemas::names::token_from_host(&stem.unwrap_or_else(|| "artillery".to_owned()))
}

/// Writes the experiment and the files that it needs.
fn write(imported: &Imported, directory: &Path) -> Result<()> {
    write_file(&directory.join(EXPERIMENT), &to_yaml(&imported.document))?;
    for file in &imported.files {
        let path = directory.join(&file.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        std::fs::write(&path, &file.bytes).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// What whoever runs the file should know.
fn tell(warnings: &[Warning], keys: &[KeyReport], differences: &[String]) {
    for Warning { path, position, text } in warnings {
        let place = position.map(|position| format!(" ({position})")).unwrap_or_default();
        note(&format!("{path}{place}: {text}"));
    }
    let approximated = keys.iter().filter(|key| key.support == Support::Approximated).count();
    if approximated > 0 || !differences.is_empty() {
        let all = approximated + differences.len();
        note(&format!("{all} things differ a little from Artillery: `nuncius import --check` lists them"));
    }
}

/// `nuncius import`.
pub(super) fn import(global: &Global, args: &ImportArgs) -> Result<u8> {
    let imported = match read(&args.file, &args.artillery)? {
        Ok(imported) => imported,
        Err(ImportError::Refused { keys, warnings }) => {
            check(global, &keys, &warnings, &[])?;
            return Ok(REFUSED);
        }
        Err(error) => return Err(Usage(format!("{}: {error}", args.file.display())).into()),
    };
    if args.check {
        check(global, &imported.keys, &imported.warnings, &imported.differences)?;
        return Ok(0);
    }
    tell(&imported.warnings, &imported.keys, &imported.differences);
    let Some(directory) = &args.out else {
        if let Some(file) = imported.files.first() {
            let problem = format!("it needs files beside it, such as {}: say where to with --out DIRECTORY", file.path);
            return Err(Usage(format!("{}: {problem}", args.file.display())).into());
        }
        match global.json {
            true => print_json(&imported.document)?,
            false => print(&to_yaml(&imported.document)),
        }
        return Ok(0);
    };
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    write(&imported, directory)?;
    let expose: String = imported.environment.iter().map(|name| format!(" --expose-env {name}")).collect();
    note(&format!("written to {}: run it with `nuncius run {0}{expose}`", directory.display()));
    Ok(0)
}

/// Lists what becomes of each key.
fn check(global: &Global, keys: &[KeyReport], warnings: &[Warning], differences: &[String]) -> Result<()> {
    if global.json {
        return print_json(&serde_json::json!({ "keys": keys, "warnings": warnings, "differences": differences }));
    }
    let groups = nuncius_import::keys::grouped(keys);
    let row = |group: &nuncius_import::keys::KeyGroup| {
        let place = group.first.position.map(|position| position.to_string()).unwrap_or_default();
        vec![
            group.first.support.to_string(),
            group.pattern.clone(),
            group.count.to_string(),
            place,
            group.first.note.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = groups.iter().map(row).collect();
    print_table(&["", "key", "times", "first at", "what differs"], &rows, &[0, 1, 3, 4], "the file has no keys");
    for Warning { path, position, text } in warnings {
        let place = position.map(|position| format!(" ({position})")).unwrap_or_default();
        print(&format!("warning: {path}{place}: {text}\n"));
    }
    for difference in differences {
        print(&format!("difference: {difference}\n"));
    }
    Ok(())
}
