//! What the daemons' databases have, over the bus: exports, reports, removal, from any machine.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nuncius_bus::{Bus, BusError, TypedError};
use nuncius_schemas::archive::{ArchiveFile, ArchiveFormat, ArchiveRefusal, ArchiveReply, ArchiveRequest};
use nuncius_schemas::codec;
use nuncius_schemas::report::Report;

use crate::args::REQUEST_TIMEOUT;

/// How often an export that is being written is asked for.
const POLL: Duration = Duration::from_millis(100);
/// How long an export may take to be written.
const EXPORT_PATIENCE: Duration = Duration::from_secs(600);

/// What the daemons said of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// One of them had it.
    Yes,
    /// None of those that answered has it.
    No,
    /// No daemon runs.
    NobodyAsked,
}

/// Asks the daemons; `None` when none is there.
async fn ask(bus: &Bus, id: &str, request: &ArchiveRequest) -> Result<Option<ArchiveReply>> {
    let subject = bus.namespace().experiment_archive(id);
    match bus.request_message(&subject, "archive-request.v1", request, REQUEST_TIMEOUT).await {
        Ok(reply) => Ok(Some(reply)),
        Err(TypedError::Bus(BusError::NoResponders { .. })) => Ok(None),
        Err(error) => Err(error).context("the daemon that has the experiment does not answer"),
    }
}

/// Removes an experiment from the database of the daemon that has it.
///
/// # Errors
/// The daemon has it and cannot remove it, or does not answer.
pub(crate) async fn remove(bus: &Bus, id: &str) -> Result<Found> {
    match ask(bus, id, &ArchiveRequest::Remove).await? {
        Some(ArchiveReply::Done) => Ok(Found::Yes),
        Some(ArchiveReply::Refused { code: ArchiveRefusal::Unknown, .. }) => Ok(Found::No),
        Some(ArchiveReply::Refused { reason, .. }) => bail!("{reason}"),
        Some(other) => bail!("{}", unexpected(&other)),
        None => Ok(Found::NobodyAsked),
    }
}

/// The report of an experiment from the database of the daemon that has it; `None` when none has it.
///
/// # Errors
/// The daemon has it and cannot give it, or does not answer.
pub(crate) async fn report(bus: &Bus, id: &str) -> Result<Option<Report>> {
    let mut bytes = Vec::new();
    let mut put = |_: &ArchiveFile, _: u64, piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let found = export(bus, id, ArchiveFormat::Report, &mut put).await?;
    match found {
        Found::Yes => codec::decode(&bytes).map(Some).context("the report cannot be read"),
        Found::No | Found::NobodyAsked => Ok(None),
    }
}

/// Writes an experiment's tables into a directory.
///
/// # Errors
/// As [`export`], and what cannot be written.
pub(crate) async fn export_csv(bus: &Bus, id: &str, directory: &Path) -> Result<Found> {
    let mut writer: Option<std::fs::File> = None;
    let mut put = |file: &ArchiveFile, offset_bytes: u64, piece: &[u8]| {
        // Only a name: a daemon does not choose where on this machine something is written.
        let name = Path::new(&file.name).file_name().context("a file of the export has no name")?;
        let path = directory.join(name);
        if offset_bytes == 0 {
            std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
            writer = Some(std::fs::File::create(&path).with_context(|| path.display().to_string())?);
        }
        match &mut writer {
            Some(writer) => writer.write_all(piece).with_context(|| path.display().to_string()),
            None => Ok(()),
        }
    };
    export(bus, id, ArchiveFormat::Csv, &mut put).await
}

/// Writes an experiment as one JSON document.
///
/// # Errors
/// As [`export`], and what cannot be written.
pub(crate) async fn export_json(
    bus: &Bus,
    id: &str,
    open: impl Fn() -> Result<Box<dyn Write + Send>>,
) -> Result<Found> {
    let mut writer: Option<Box<dyn Write + Send>> = None;
    let mut put = |_: &ArchiveFile, offset_bytes: u64, piece: &[u8]| {
        if offset_bytes == 0 {
            writer = Some(open()?);
        }
        match &mut writer {
            Some(writer) => writer.write_all(piece).context("the document cannot be written"),
            None => Ok(()),
        }
    };
    let found = export(bus, id, ArchiveFormat::Json, &mut put).await?;
    if let Some(writer) = &mut writer {
        writer.flush().context("the document cannot be written")?;
    }
    Ok(found)
}

/// Fetches an export piece by piece; `put` is given each piece with its file and its place there, at least one a file.
///
/// # Errors
/// The daemon has the experiment and cannot export it, or does not answer any more; what cannot be written.
async fn export(
    bus: &Bus,
    id: &str,
    format: ArchiveFormat,
    put: &mut impl FnMut(&ArchiveFile, u64, &[u8]) -> Result<()>,
) -> Result<Found> {
    let export = match ask(bus, id, &ArchiveRequest::Open { format }).await? {
        Some(ArchiveReply::Opened { export }) => export,
        Some(ArchiveReply::Refused { code: ArchiveRefusal::Unknown, .. }) => return Ok(Found::No),
        Some(ArchiveReply::Refused { reason, .. }) => bail!("{reason}"),
        Some(other) => bail!("{}", unexpected(&other)),
        None => return Ok(Found::NobodyAsked),
    };
    let outcome = fetch(bus, id, export, put).await;
    // One that is not closed goes by itself after a while.
    let _ = ask(bus, id, &ArchiveRequest::Close { export }).await;
    outcome.map(|()| Found::Yes)
}

async fn fetch(
    bus: &Bus,
    id: &str,
    export: u64,
    put: &mut impl FnMut(&ArchiveFile, u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + EXPORT_PATIENCE;
    let files = loop {
        match ask(bus, id, &ArchiveRequest::List { export }).await? {
            Some(ArchiveReply::Files { files }) => break files,
            Some(ArchiveReply::Writing) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            Some(ArchiveReply::Writing) => bail!("the export was not written within {EXPORT_PATIENCE:?}"),
            Some(ArchiveReply::Refused { reason, .. }) => bail!("{reason}"),
            Some(other) => bail!("{}", unexpected(&other)),
            None => bail!("the daemon that had the experiment is gone: try again when it is back"),
        }
    };
    for (file, index) in files.iter().zip(0u32..) {
        let mut offset_bytes = 0u64;
        if file.size_bytes == 0 {
            put(file, 0, &[])?;
        }
        while offset_bytes < file.size_bytes {
            let bytes = match ask(bus, id, &ArchiveRequest::Read { export, file: index, offset_bytes }).await? {
                Some(ArchiveReply::Piece { bytes }) if !bytes.is_empty() => bytes,
                Some(ArchiveReply::Piece { .. }) => bail!("{} ends too early, after {offset_bytes} bytes", file.name),
                Some(ArchiveReply::Refused { reason, .. }) => bail!("{reason}"),
                Some(other) => bail!("{}", unexpected(&other)),
                None => bail!("the daemon that had the experiment is gone: try again when it is back"),
            };
            put(file, offset_bytes, &bytes)?;
            offset_bytes += bytes.len() as u64;
        }
    }
    Ok(())
}

fn unexpected(reply: &ArchiveReply) -> &'static str {
    match reply {
        ArchiveReply::Opened { .. }
        | ArchiveReply::Writing
        | ArchiveReply::Files { .. }
        | ArchiveReply::Piece { .. }
        | ArchiveReply::Done
        | ArchiveReply::Refused { .. } => {
            "the daemon answered something else than was asked: use one of the same version"
        }
    }
}
