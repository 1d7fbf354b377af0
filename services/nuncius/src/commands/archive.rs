//! Exports of what daemons have stored, into files of this machine.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use nuncius_bus::Bus;
use nuncius_control::archive::{self, Found};
use nuncius_schemas::archive::{ArchiveFile, ArchiveFormat};

/// Writes an experiment's tables into a directory.
///
/// # Errors
/// As [`archive::export`], and what cannot be written.
pub(crate) async fn export_tables(bus: &Bus, id: &str, format: ArchiveFormat, directory: &Path) -> Result<Found> {
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
    archive::export::<anyhow::Error>(bus, id, format, &mut put).await
}

/// Writes an experiment as one JSON document.
///
/// # Errors
/// As [`archive::export`], and what cannot be written.
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
    let found = archive::export::<anyhow::Error>(bus, id, ArchiveFormat::Json, &mut put).await?;
    if let Some(writer) = &mut writer {
        writer.flush().context("the document cannot be written")?;
    }
    Ok(found)
}
