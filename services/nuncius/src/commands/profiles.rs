//! Where the outputs of profiles are: on the bus, and for runs of `nuncius run` below the data directory, too, since a
//! private server goes with its run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nuncius_bus::{Bus, BusError};
use nuncius_report::flame::{self, Folded};
use nuncius_report::html::{PICTURE_MAX_BYTES, PICTURES_MAX, Picture};
use nuncius_schemas::names::check_token;
use nuncius_schemas::profile::{ProfileFormat, ProfileReport};
use nuncius_schemas::report::Report;

use crate::output::{note, plain};

/// Below the data directory: outputs of profiles.
const PROFILES: &str = "profiles";
/// Most bytes of one run that are kept below the data directory.
const KEPT_MAX_BYTES: u64 = 256 << 20;

/// Where to look.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    /// The bus, when there is one.
    pub(super) bus: Option<&'a Bus>,
    /// The data directory, when there is a place for one.
    pub(super) data: Option<&'a Path>,
}

/// The file that an output is kept in. A report may be anybody's: what is no token leads nowhere.
fn kept_in(data: &Path, id: &str, profile: &ProfileReport) -> Option<PathBuf> {
    let tokens = [("experiment", id), ("profile", &profile.name), ("node", &profile.node)];
    let are_tokens = tokens.iter().all(|(kind, name)| check_token(kind, name).is_ok());
    are_tokens.then(|| data.join(PROFILES).join(id).join(&profile.name).join(&profile.node))
}

/// What a profile wrote; none where nobody has it any more.
///
/// # Errors
/// When the bus or the file cannot be read.
pub(super) async fn output(places: Places<'_>, id: &str, profile: &ProfileReport) -> Result<Option<Vec<u8>>> {
    if let Some(bus) = places.bus {
        let (names, bucket) = (bus.namespace(), bus.namespace().bucket_profile());
        match bus.objects(&bucket).await {
            Ok(objects) => {
                if let Some(bytes) = objects.get(&names.profile_output(id, &profile.name, &profile.node)).await? {
                    return Ok(Some(bytes));
                }
            }
            Err(BusError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let Some(path) = places.data.and_then(|data| kept_in(data, id, profile)) else { return Ok(None) };
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Keeps what the profiles of a run wrote below the data directory.
pub(super) async fn keep(bus: &Bus, data: &Path, report: &Report) {
    let mut left_bytes = KEPT_MAX_BYTES;
    for profile in report.profiles.iter().filter(|profile| profile.is_collected()) {
        let Some(path) = kept_in(data, &report.id, profile) else { continue };
        let kept = async {
            let places = Places { bus: Some(bus), data: None };
            let output = output(places, &report.id, profile).await?.context("it is not on the bus any more")?;
            left_bytes = left_bytes
                .checked_sub(output.len() as u64)
                .with_context(|| format!("more than {KEPT_MAX_BYTES} bytes of a run are not kept"))?;
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&path, &output)?;
            anyhow::Ok(())
        };
        if let Err(error) = kept.await {
            note(&format!("profile {} of node {} is not kept here: {}", profile.name, profile.node, plain(&error)));
        }
    }
}

/// Removes what is kept of a run below the data directory.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn remove_kept(data: Option<&Path>, id: &str) -> Result<()> {
    let Some(data) = data.filter(|_| check_token("experiment", id).is_ok()) else { return Ok(()) };
    let directory = data.join(PROFILES).join(id);
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| directory.display().to_string())
        }
        Err(_) | Ok(()) => Ok(()),
    }
}

/// The pictures of a run's profiles for its page; what cannot be drawn is told, and left out.
pub(super) async fn pictures(places: Places<'_>, report: &Report) -> Vec<Picture> {
    let mut pictures = Vec::new();
    for profile in &report.profiles {
        let Some(object) = profile.object.as_ref().filter(|_| pictures.len() < PICTURES_MAX) else { continue };
        let drawn = async {
            let Some(output) = output(places, &report.id, profile).await? else { return Ok(None) };
            match profile.format {
                ProfileFormat::Raw => Ok(None),
                ProfileFormat::Svg if output.len() > PICTURE_MAX_BYTES => {
                    anyhow::bail!("it has more than {PICTURE_MAX_BYTES} bytes")
                }
                ProfileFormat::Svg => Ok(Some(output)),
                ProfileFormat::Folded => {
                    let title = format!("{} on {}", profile.name, profile.node);
                    Ok(Some(flame::graph(&Folded::parse(&output)?, &title, PICTURE_MAX_BYTES)?.into_bytes()))
                }
            }
        };
        match drawn.await {
            Ok(Some(svg)) => pictures.push(Picture { object: object.clone(), svg }),
            Ok(None) => {}
            Err(error) => {
                let (name, node) = (&profile.name, &profile.node);
                note(&format!("profile {name} of node {node} is not in the page: {}", plain(&error)));
            }
        }
    }
    pictures
}
