//! `inopsio settings`: every setting there is, as `.env.example` lists them; and what is set and is none.

use anyhow::Result;
use config::{SETTINGS, Unknown};
use serde_json::{Value, json};

use crate::output::{self, Format};

/// Prints every setting as a commented line of an environment file
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  inopsio settings > .env.example\n  inopsio settings --format json")]
pub struct Settings;

/// Settings of this program's own: where things are on a developer's machine.
const OURS: &[(&str, &str)] = &[
    ("INOPSIO_CONFIG", "Configuration file (TOML, by section); ./inopsio.toml or that of `inopsio dev` unless given"),
    ("INOPSIO_HOME", "Folder of `inopsio dev`: its data, secrets and logs (.inopsio)"),
    ("INOPSIO_DEV_POSTGRES_PORT", "Port of the private Postgres of `inopsio dev` (15432)"),
    ("INOPSIO_DEV_NATS_PORT", "Port of the private nats-server of `inopsio dev` (14222)"),
    ("INOPSIO_POSTGRES_BIN", "Folder with the programs of a Postgres server (initdb, postgres), 15 or newer"),
    ("INOPSIO_NATS_SERVER", "The program nats-server, 2.12 or newer"),
    ("INOPSIO_TEST_POSTGRES", "URL of a superuser: tests make their databases there (set by `make test`)"),
];

/// What only tests and their scripts read: known, so that who sets it for these is told nothing.
const OF_TESTS: &[&str] = &[
    "INOPSIO_CHROMIUM",
    "INOPSIO_FAIRNESS_ROWS",
    "INOPSIO_FAULT_SECONDS",
    "INOPSIO_FAULT_SEED",
    "INOPSIO_SCHEMATHESIS_EXAMPLES",
    "INOPSIO_TEST_APART",
    "INOPSIO_TEST_CLUSTERS",
    "INOPSIO_TEST_SMTP_URL",
];

/// The variables of the environment that are called as settings are, and that nothing reads.
pub fn unknown() -> Vec<Unknown> {
    let set: Vec<_> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let besides: Vec<_> = OURS.iter().map(|(variable, _)| *variable).chain(OF_TESTS.iter().copied()).collect();
    config::unknown(set.iter().map(String::as_str), &besides)
}

/// Names them in the log. They are no reason not to start: an orchestrator may set variables of its own that begin as ours do.
pub fn warn_of_unknown() {
    for unknown in unknown() {
        tracing::warn!(variable = unknown.variable, "{unknown}");
    }
}

impl Settings {
    /// Prints them.
    #[expect(clippy::unused_self, reason = "a command without arguments is still a command")]
    pub fn run(self, format: Format) -> Result<()> {
        if format == Format::Json {
            return output::print_json(&documents());
        }
        output::print(HEAD)?;
        let mut section = "";
        for setting in SETTINGS {
            let this = setting.key.split('.').next().unwrap_or_default();
            if this != section {
                output::print(format!("\n# --- {this} ---"))?;
                section = this;
            }
            let file = if setting.secret {
                format!("; or in the file that {}_FILE names", setting.variable)
            } else {
                String::new()
            };
            let (variable, default) = (setting.variable, setting.default());
            output::print(format!("\n# {}{file} ({})\n# {variable}={default}", setting.meaning, setting.key))?;
        }
        output::print("\n# --- this machine ---")?;
        for (variable, meaning) in OURS {
            output::print(format!("\n# {meaning}\n# {variable}="))?;
        }
        Ok(())
    }
}

/// Every setting, for programs. Those of this machine stand in no file, and what they are by default is in their meaning.
fn documents() -> Vec<Value> {
    let all = SETTINGS.iter().map(|setting| {
        json!({
            "variable": setting.variable, "key": setting.key, "meaning": setting.meaning,
            "default": setting.default(), "secret": setting.secret,
        })
    });
    let ours = OURS.iter().map(|(variable, meaning)| json!({ "variable": variable, "meaning": meaning }));
    all.chain(ours).collect()
}

const HEAD: &str = "\
# Every setting, made by `make schemas`. The environment wins over the file (inopsio.toml, whose keys stand in brackets), flags win
# over both; what is not set has the default that stands here. A value that can't be used stops the start and is named with what is allowed.
# `inopsio dev` needs none of these.";
