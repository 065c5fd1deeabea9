//! `inopsio job batch`: batches, that is, jobs that are created together.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use jobs::{Batch, NewBatch, Wanted};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Open, changed};
use crate::context::{Context, Whose};
use crate::output;

/// The commands on batches.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Creates a batch of jobs: all of them or none
    #[command(after_help = "Example:
  echo '{\"jobs\": [{\"kind\": \"export_leads\", \"arguments\": {\"status\": [\"new\"]}}]}' > batch.json
  inopsio job batch create --tenant demo batch.json")]
    Create {
        #[command(flatten)]
        whose: Whose,
        /// A JSON file with the jobs, each with kind and arguments, and optionally the follow-up job
        file: PathBuf,
    },
    /// Shows a batch and its progress
    #[command(after_help = "Example:\n  inopsio job batch show --tenant demo 0192f0c4-0000-7000-8000-000000000000")]
    Show {
        #[command(flatten)]
        whose: Whose,
        /// The batch's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
    /// Cancels all unfinished jobs of a batch
    #[command(after_help = "Example:\n  inopsio job batch cancel --tenant demo 0192f0c4-0000-7000-8000-000000000000")]
    Cancel {
        #[command(flatten)]
        whose: Whose,
        /// The batch's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
}

/// The format of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    jobs: Vec<One>,
    then: Option<One>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    kind: String,
    #[serde(default)]
    arguments: Option<Value>,
}

impl From<One> for Wanted {
    fn from(One { kind, arguments }: One) -> Self {
        Self { kind, arguments: arguments.unwrap_or_else(|| json!({})) }
    }
}

impl Command {
    pub async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Create { whose, file } => {
                let text = std::fs::read(&file).with_context(|| format!("can't read {}", file.display()))?;
                let read: File =
                    serde_json::from_slice(&text).with_context(|| format!("{} is not a batch", file.display()))?;
                let new = NewBatch {
                    jobs: read.jobs.into_iter().map(Wanted::from).collect(),
                    then: read.then.map(Wanted::from),
                };
                let kinds: Vec<_> = new.jobs.iter().chain(&new.then).map(|wanted| wanted.kind.as_str()).collect();
                let open = Open::of_kinds(context, &whose, &distinct(kinds)).await?;
                let done = open.jobs.submit_batch(&open.request, &new).await?;
                open.close().await;
                changed(context, done.id, "was created")
            }
            Self::Show { whose, id } => output::print_json(&batch(context, &whose, id).await?.1),
            Self::Cancel { whose, id } => {
                let (open, _) = batch(context, &whose, id).await?;
                open.jobs.cancel_batch(&open.request, id).await?;
                open.close().await;
                changed(context, id, "is cancelled; running jobs stop as soon as they notice")
            }
        }
    }
}

/// The service that has this batch, and the batch.
async fn batch(context: &Context, whose: &Whose, id: Uuid) -> Result<(Open, Batch)> {
    Open::having(context, whose, &format!("batch {id}"), async |jobs, caller| jobs.find_batch(caller, id).await).await
}

/// Removes duplicates.
fn distinct(mut kinds: Vec<&str>) -> Vec<&str> {
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}
