//! How the emulated backend is set up: by flags, and by a file that may change while it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nuncius_schemas::codec;
use nuncius_serve::HttpLimits;
use serde::Deserialize;
use serde_json::{Value, json};

use super::OcoError;
use super::keep::StateStore;
use super::machine::Mode;
use super::script::{self, Command};

/// Most applications that are listed.
pub const MOST_LISTED: u32 = 1_000_000;
/// Longest name of an account or an application, in bytes.
pub const NAME_MAX_BYTES: usize = 64;
/// Longest file of settings, in bytes.
pub const FILE_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What the backend is.
#[derive(Debug, Clone, PartialEq)]
pub struct OcoConfig {
    /// Where to listen, host and port.
    pub http: String,
    /// A YAML file of settings, read again when it changes. What it gives goes before what is given here.
    pub config_file: Option<PathBuf>,
    /// Where the state of applications is kept.
    pub state: StateStore,
    /// Name of its node on the bus, a token; with a suffix where that is taken.
    pub name: String,
    /// Host name as the host gives it.
    pub host: String,
    /// How strict it is.
    pub mode: Mode,
    /// How strict it is towards servos of single accounts.
    pub accounts: BTreeMap<String, Mode>,
    /// Whether an unknown application's servo may begin in the middle of its cycle.
    pub resync: bool,
    /// How many applications are listed. Others may register, too.
    pub apps: u32,
    /// Names of those: text with the number's place and width, `app{n:05}`.
    pub name_template: String,
    /// How many applications may register.
    pub apps_max: usize,
    /// Whether the list is wrapped in `{status, message, data}` even if nobody asks for that.
    pub wrapped: bool,
    /// The parameter of ADJUST.
    pub adjust: Value,
    /// The parameter of MEASURE.
    pub measure: Value,
    /// What clients may ask for over HTTP.
    pub limits: HttpLimits,
    /// The commands after DESCRIBE, over and over.
    pub script: Vec<Command>,
    /// The same for single applications.
    pub scripts: BTreeMap<String, Vec<Command>>,
}

impl Default for OcoConfig {
    fn default() -> Self {
        Self {
            http: "127.0.0.1:8080".to_owned(),
            config_file: None,
            state: StateStore::Memory,
            name: "oco".to_owned(),
            host: "localhost".to_owned(),
            mode: Mode::Strict,
            accounts: BTreeMap::new(),
            resync: false,
            apps: 5,
            name_template: "app{n:05}".to_owned(),
            apps_max: 1_000_000,
            wrapped: false,
            adjust: original_adjust(),
            measure: json!({}),
            limits: super::http::servo_limits(),
            script: Command::ORIGINAL.to_vec(),
            scripts: BTreeMap::new(),
        }
    }
}

/// What the original asks for, at every time.
fn original_adjust() -> Value {
    json!({"state": {"application": {"components": {
        "web": {"settings": {"cpu": {"value": 1}, "replicas": {"value": 3}}},
        "java": {"settings": {"mem": {"value": 2}, "GCTimeRatio": {"value": 99}}},
        "db": {"settings": {"cpu": {"value": 1}, "commit_delay": {"value": 0}}},
    }}}})
}

/// The file of settings; whatever it leaves out stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mode: Option<Mode>,
    accounts: Option<BTreeMap<String, Mode>>,
    resync: Option<bool>,
    apps: Option<u32>,
    name_template: Option<String>,
    apps_max: Option<usize>,
    wrapped: Option<bool>,
    adjust: Option<Value>,
    measure: Option<Value>,
    script: Option<Vec<Command>>,
    scripts: Option<BTreeMap<String, Vec<Command>>>,
}

impl OcoConfig {
    /// These settings with those of a file's text laid over them, checked.
    ///
    /// # Errors
    /// What is wrong with the text, by name and, where the parser tells it, place.
    pub fn with_text(&self, yaml: &str) -> Result<Self, String> {
        let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        let file: File = match yaml.lines().all(is_blank) {
            true => File::default(),
            false => codec::from_text(yaml).map_err(|error| error.to_string())?,
        };
        let over = self.clone();
        let config = Self {
            mode: file.mode.unwrap_or(over.mode),
            accounts: file.accounts.unwrap_or(over.accounts),
            resync: file.resync.unwrap_or(over.resync),
            apps: file.apps.unwrap_or(over.apps),
            name_template: file.name_template.unwrap_or(over.name_template),
            apps_max: file.apps_max.unwrap_or(over.apps_max),
            wrapped: file.wrapped.unwrap_or(over.wrapped),
            adjust: file.adjust.unwrap_or(over.adjust),
            measure: file.measure.unwrap_or(over.measure),
            script: file.script.unwrap_or(over.script),
            scripts: file.scripts.unwrap_or(over.scripts),
            ..over
        };
        config.check()?;
        Ok(config)
    }

    /// These settings with those of [`OcoConfig::config_file`], where there is one, laid over them.
    pub(crate) async fn with_file(&self) -> Result<Self, OcoError> {
        let Some(path) = &self.config_file else {
            self.check().map_err(OcoError::Setting)?;
            return Ok(self.clone());
        };
        let wrong = |problem: String| OcoError::File { path: path.clone(), problem };
        let text = read(path).await.map_err(wrong)?;
        self.with_text(&text).map_err(wrong)
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// The setting's name, what is wrong and what would be right.
    pub fn check(&self) -> Result<(), String> {
        if self.apps > MOST_LISTED {
            return Err(format!("apps: {} is above the limit of {MOST_LISTED}", self.apps));
        }
        if self.apps_max == 0 {
            return Err("apps_max: 0 would let nobody register".to_owned());
        }
        let template = NameTemplate::parse(&self.name_template)?;
        let longest = template.name(self.apps.saturating_sub(1));
        if !is_name(&longest) {
            let shown: String = longest.chars().take(80).collect();
            return Err(format!("name_template: `{shown}` would be no name; {NAME_RULE}"));
        }
        for (setting, value) in [("adjust", &self.adjust), ("measure", &self.measure)] {
            if !value.is_object() {
                return Err(format!("{setting}: not a map"));
            }
        }
        script::check(&self.script).map_err(|problem| format!("script: {problem}"))?;
        for (app, script) in &self.scripts {
            script::check(script).map_err(|problem| format!("scripts.{app}: {problem}"))?;
        }
        Ok(())
    }
}

async fn read(path: &Path) -> Result<String, String> {
    use tokio::io::AsyncReadExt;
    let told = |error: std::io::Error| error.to_string();
    // Opening a pipe would wait for ever, and a device may have no end.
    if !tokio::fs::metadata(path).await.map_err(told)?.is_file() {
        return Err("not a regular file".to_owned());
    }
    let file = tokio::fs::File::open(path).await.map_err(told)?;
    let mut text = String::new();
    file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text).await.map_err(told)?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(format!("longer than {FILE_MAX_BYTES} bytes, and no more are taken"));
    }
    Ok(text)
}

/// What a name of an account or an application is.
pub(crate) const NAME_RULE: &str = "use 1 to 64 of A-Z a-z 0-9 _ . -";

/// Whether an account or an application may be called so.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// A text with one place for a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameTemplate {
    before: String,
    /// Digits at least, filled up with zeros.
    width: usize,
    after: String,
}

impl NameTemplate {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let shown: String = text.chars().take(80).collect();
            format!("name_template: `{shown}` has no one place for the number; write it as in app{{n:05}}")
        };
        let (before, rest) = text.split_once('{').ok_or_else(wrong)?;
        let (place, after) = rest.split_once('}').ok_or_else(wrong)?;
        let width = match place.strip_prefix('n').unwrap_or(place) {
            "" => 0,
            format => format.strip_prefix(":0").and_then(|width| width.parse().ok()).ok_or_else(wrong)?,
        };
        if width > NAME_MAX_BYTES {
            return Err(format!(
                "name_template: a number {width} digits wide; app{{n:05}} has 5, {NAME_MAX_BYTES} may be"
            ));
        }
        if after.contains(['{', '}']) {
            return Err(wrong());
        }
        Ok(Self { before: before.to_owned(), width, after: after.to_owned() })
    }

    pub(crate) fn name(&self, number: u32) -> String {
        format!("{}{number:0width$}{}", self.before, self.after, width = self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_as_the_original_makes_them_and_as_the_template_says() {
        let name = |template: &str, number| NameTemplate::parse(template).unwrap().name(number);
        assert_eq!(name(&OcoConfig::default().name_template, 0), "app00000");
        assert_eq!(name("app{n:05}", 123_456), "app123456");
        assert_eq!(name("a-{n}.x", 7), "a-7.x");
        assert_eq!(name("a{:03}", 7), "a007");
        for wrong in ["app", "app{n", "app{m}", "app{n:5}", "a{n}b{n}", "a{n:099}", "a{n:0-1}"] {
            assert!(NameTemplate::parse(wrong).unwrap_err().contains("app{n:05}"), "{wrong}");
        }
    }

    #[test]
    fn the_example_of_all_settings_is_taken() {
        let text = include_str!("../../../../deploy/emulators/oco.yaml");
        let config = OcoConfig::default().with_text(text).unwrap();
        assert_eq!((config.apps, config.scripts.len(), config.accounts.len()), (5000, 1, 1));
        let fields = [
            "mode",
            "accounts",
            "resync",
            "apps",
            "name_template",
            "apps_max",
            "wrapped",
            "adjust",
            "measure",
            "script",
            "scripts",
        ];
        for field in fields {
            assert!(text.contains(&format!("\n{field}:")), "{field} is not in the example");
        }
    }

    #[test]
    fn a_setting_of_a_wrong_type_is_named() {
        for (text, named) in
            [("apps: -1", "apps"), ("scripts: {a: [FLY]}", "scripts.a"), ("name_template: 'a{n:099}'", "99")]
        {
            let error = OcoConfig::default().with_text(text).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let config = OcoConfig { resync: true, ..OcoConfig::default() };
        let yaml = "apps: 7\nmode: service\naccounts: {dev.example.com: strict}\n\
            script:\n- MEASURE\n- ADJUST: {cancel_at: 50}\n- SLEEP: {duration: 30}\nscripts: {app00001: [DESCRIBE]}\n";
        let read = config.with_text(yaml).unwrap();
        let script = vec![
            Command::Measure { cancel_at: None },
            Command::Adjust { cancel_at: Some(50) },
            Command::Sleep { seconds: 30.0 },
        ];
        assert_eq!(read.script, script);
        assert_eq!(read.scripts["app00001"], [Command::Describe]);
        assert_eq!((read.apps, read.mode, read.accounts["dev.example.com"]), (7, Mode::Service, Mode::Strict));
        let left = OcoConfig { script, apps: 7, mode: Mode::Service, ..config.clone() };
        assert_eq!(OcoConfig { accounts: BTreeMap::new(), scripts: BTreeMap::new(), ..read }, left);
        assert_eq!(config.with_text("# nothing\n"), Ok(config));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_name() {
        for (yaml, named) in [
            ("app: 5", "app"),
            ("apps: -1", "apps: the number -1 stands where a whole number"),
            ("apps: 1000001", "1000000"),
            ("apps_max: 0", "apps_max"),
            ("name_template: x", "name_template"),
            ("name_template: 'a b{n}'", "name_template"),
            ("mode: lax", "lax"),
            ("adjust: 3", "adjust"),
            ("script: [SLEEP]", "script"),
            ("script: []", "script"),
            ("scripts: {a: [SLEEP]}", "scripts.a"),
            ("script: [DANCE]", "DANCE"),
            ("script: [{MEASURE: {duration: 1}}]", "duration"),
            ("script: [MEASURE, {SLEEP: {duration: -1}}]", "duration"),
            ("script: [MEASURE, {SLEEP: {duration: .nan}}]", "line 1, column 19"),
            ("[", ""),
        ] {
            let error = OcoConfig::default().with_text(yaml).unwrap_err();
            assert!(error.contains(named), "{yaml}: {error}");
        }
    }
}
