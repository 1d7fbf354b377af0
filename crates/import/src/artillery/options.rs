//! What is given beside the file: the options of Artillery's own command, under their meanings there.

use std::collections::BTreeMap;

/// Most bytes of one file with data.
pub const PAYLOAD_MAX_BYTES: usize = 64 << 20;
/// Most rows of one file with data.
pub const PAYLOAD_ROWS_MAX: usize = 1_000_000;

/// What is given beside the file.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--config FILE`: laid over the file before anything else.
    pub config: Option<String>,
    /// `--environment NAME`: one of `config.environments`, laid over `config`.
    pub environment: Option<String>,
    /// `--target URL`.
    pub target: Option<String>,
    /// `--insecure`: certificates are not checked.
    pub insecure: bool,
    /// `--overrides JSON`: laid over all of it; lists take the place of lists.
    pub overrides: Option<String>,
    /// `--variables JSON`: added to `config.variables`; they alone are known in `config`, too.
    pub variables: Option<String>,
    /// `--payload FILE`: the file of rows, where the file with the test names none or another one.
    pub payload: Option<String>,
    /// `--dotenv FILE` (`--env-file`): variables of the environment, for those that are not set.
    pub env_file: Option<String>,
    /// `--scenario-name`: the one scenario that is taken, by its name or a regular expression.
    pub scenario_name: Option<String>,
    /// `--solo`: one user.
    pub solo: bool,
    /// What `{{ $testId }}` stands for.
    pub test_id: String,
    /// The environment of the process. It is looked at only for what must be known now; see
    /// [`environment`](super::environment).
    pub process_environment: BTreeMap<String, String>,
    /// Keys without a meaning here are left out, each with the smallest thing that it is part of, instead of refusing
    /// the file.
    pub leave_out_refused: bool,
    /// See [`PAYLOAD_MAX_BYTES`].
    pub payload_max_bytes: usize,
    /// See [`PAYLOAD_ROWS_MAX`].
    pub payload_rows_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: None,
            environment: None,
            target: None,
            insecure: false,
            overrides: None,
            variables: None,
            payload: None,
            env_file: None,
            scenario_name: None,
            solo: false,
            test_id: "test".to_owned(),
            process_environment: BTreeMap::new(),
            leave_out_refused: false,
            payload_max_bytes: PAYLOAD_MAX_BYTES,
            payload_rows_max: PAYLOAD_ROWS_MAX,
        }
    }
}
