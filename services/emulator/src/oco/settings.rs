//! The settings in force, with what is answered from them written out beforehand.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::OcoError;
use super::answer;
use super::config::{NameTemplate, OcoConfig};
use super::machine::{Mode, Rules};

/// How often the file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Settings, and what is made from them.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: OcoConfig,
    /// The parameter of MEASURE, as JSON.
    pub(crate) measure: String,
    /// The parameter of ADJUST, as JSON.
    pub(crate) adjust: String,
    /// The whole of MEASURE in strict mode.
    pub(crate) measure_body: Bytes,
    /// The whole of ADJUST in strict mode.
    pub(crate) adjust_body: Bytes,
    /// The list of applications, bare.
    pub(crate) list: Bytes,
    /// The list of applications, wrapped.
    pub(crate) list_wrapped: Bytes,
}

impl Settings {
    /// Of a configuration that was checked.
    pub(crate) fn new(config: OcoConfig) -> Result<Self, String> {
        let template = NameTemplate::parse(&config.name_template)?;
        let apps = (0..config.apps).map(|number| {
            let name = template.name(number);
            format!(r#""{name}":{{"mode":null,"mode_limit":null,"state":"active"}}"#)
        });
        let list = format!("{{{}}}", apps.collect::<Vec<_>>().join(","));
        let list_wrapped = format!(r#"{{"status":"ok","message":null,"data":{list}}}"#);
        let (measure, adjust) = (config.measure.to_string(), config.adjust.to_string());
        Ok(Self {
            measure_body: answer::command("MEASURE", &measure, None),
            adjust_body: answer::command("ADJUST", &adjust, None),
            measure,
            adjust,
            list: list.into(),
            list_wrapped: list_wrapped.into(),
            config,
        })
    }

    /// How strict to be towards an account's servos.
    pub(crate) fn mode(&self, account: &str) -> Mode {
        self.config.accounts.get(account).copied().unwrap_or(self.config.mode)
    }

    /// What an application's machine goes by.
    pub(crate) fn rules(&self, app: &str, mode: Mode) -> Rules<'_> {
        Rules { mode, script: self.config.scripts.get(app).unwrap_or(&self.config.script) }
    }
}

/// The settings in force.
#[derive(Debug)]
pub(crate) struct Live(RwLock<Arc<Settings>>);

impl Live {
    pub(crate) fn new(settings: Settings) -> Self {
        Self(RwLock::new(Arc::new(settings)))
    }

    pub(crate) fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}

/// When a file was written and how long it is; nothing where that cannot be told.
pub(crate) type Stamp = Option<(SystemTime, u64)>;

/// The stamp of the file of settings, where there is one.
pub(crate) async fn stamp(config: &OcoConfig) -> Stamp {
    let metadata = tokio::fs::metadata(config.config_file.as_ref()?).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Reads the file again whenever it has changed, for ever. A broken one leaves the settings as they are.
pub(crate) async fn follow(flags: OcoConfig, mut seen: Stamp, live: &Live) {
    if flags.config_file.is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let stamp = stamp(&flags).await;
        if stamp == seen {
            continue;
        }
        seen = stamp;
        let read = flags.with_file().await.and_then(|config| Settings::new(config).map_err(OcoError::Setting));
        match read {
            Ok(settings) => {
                tracing::info!(apps = settings.config.apps, "settings read again");
                live.set(settings);
            }
            Err(error) => tracing::warn!(%error, "the settings stay as they were"),
        }
    }
}
