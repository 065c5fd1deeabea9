//! `inopsio job schedule`: schedules, which create jobs at recurring times.

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use jobs::{Changes, NewSchedule, Schedule};
use kernel::Service;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Open, changed};
use crate::context::{Context, Whose};
use crate::output::{self, Format};

/// The commands on schedules.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists a tenant's schedules, oldest first
    #[command(after_help = "Example:\n  inopsio job schedule list --tenant demo")]
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Shows a schedule with its next times
    #[command(after_help = "Example:\n  inopsio job schedule show --tenant demo 0192f0c4-0000-7000-8000-000000000000")]
    Show {
        #[command(flatten)]
        whose: Whose,
        /// The schedule's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
    /// Creates a schedule
    #[command(after_help = "Example:
  inopsio job schedule create --tenant demo --cron '0 6 * * MON' --time-zone Europe/Berlin export_leads '{\"status\": [\"qualified\"]}'")]
    Create {
        #[command(flatten)]
        whose: Whose,
        /// The times, as a cron expression: minute, hour, day of month, month, day of week
        #[arg(long)]
        cron: String,
        /// The IANA time zone of the cron expression
        #[arg(long, default_value = "UTC")]
        time_zone: String,
        /// Creates a job even if the one of an earlier time is still open
        #[arg(long)]
        overlap: bool,
        /// The kind of the jobs
        kind: String,
        /// The arguments of the jobs, as JSON
        #[arg(default_value = "{}")]
        arguments: String,
    },
    /// Changes a schedule; what is not given stays as it is
    #[command(after_help = "Example:
  inopsio job schedule change --tenant demo --cron '30 6 * * MON' 0192f0c4-0000-7000-8000-000000000000")]
    Change {
        #[command(flatten)]
        whose: Whose,
        /// The times, as a cron expression
        #[arg(long)]
        cron: Option<String>,
        /// The IANA time zone of the cron expression
        #[arg(long)]
        time_zone: Option<String>,
        /// Whether to create a job while the one of an earlier time is still open
        #[arg(long)]
        overlap: Option<bool>,
        /// The arguments of the jobs, as JSON
        #[arg(long)]
        arguments: Option<String>,
        /// The schedule's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
    /// Pauses a schedule: it creates no jobs until it is resumed
    #[command(after_help = "Example:\n  inopsio job schedule pause --tenant demo 0192f0c4-0000-7000-8000-000000000000")]
    Pause {
        #[command(flatten)]
        whose: Whose,
        /// The schedule's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
    /// Resumes a paused schedule from its next time on
    #[command(
        after_help = "Example:\n  inopsio job schedule resume --tenant demo 0192f0c4-0000-7000-8000-000000000000"
    )]
    Resume {
        #[command(flatten)]
        whose: Whose,
        /// The schedule's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
    /// Removes a schedule; jobs that it has already created remain
    #[command(
        after_help = "Example:\n  inopsio job schedule remove --tenant demo 0192f0c4-0000-7000-8000-000000000000"
    )]
    Remove {
        #[command(flatten)]
        whose: Whose,
        /// The schedule's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
}

impl Command {
    pub async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List { whose } => {
                let mut found =
                    Open::listed(context, &whose, async |jobs, caller| jobs.schedules(caller).await).await?;
                found.sort_by_key(|(_, schedule)| schedule.id);
                list(context, &found)
            }
            Self::Show { whose, id } => {
                let (open, found) = schedule(context, &whose, id).await?;
                let next = found.next_at.map(|at| found.next_times(at, 4)).unwrap_or_default();
                output::print_json(
                    &json!({ "service": open.jobs.service().name(), "schedule": found, "after_that": next }),
                )
            }
            Self::Create { whose, cron, time_zone, overlap, kind, arguments } => {
                let arguments = json(&arguments)?;
                let open = Open::of_kinds(context, &whose, &[&kind]).await?;
                let new = NewSchedule { kind, arguments, cron, time_zone, overlap };
                let done = open.jobs.schedule(&open.request, &new).await?;
                open.close().await;
                changed(context, done.id, "was created")
            }
            Self::Change { whose, cron, time_zone, overlap, arguments, id } => {
                let arguments = arguments.as_deref().map(json).transpose()?;
                let (open, _) = schedule(context, &whose, id).await?;
                let changes = Changes { arguments, cron, time_zone, overlap };
                open.jobs.change_schedule(&open.request, id, &changes).await?;
                open.close().await;
                changed(context, id, "was changed")
            }
            Self::Pause { whose, id } => {
                let (open, _) = schedule(context, &whose, id).await?;
                open.jobs.pause_schedule(&open.request, id).await?;
                open.close().await;
                changed(context, id, "was paused")
            }
            Self::Resume { whose, id } => {
                let (open, _) = schedule(context, &whose, id).await?;
                open.jobs.resume_schedule(&open.request, id).await?;
                open.close().await;
                changed(context, id, "was resumed")
            }
            Self::Remove { whose, id } => {
                let (open, _) = schedule(context, &whose, id).await?;
                open.jobs.remove_schedule(&open.request, id).await?;
                open.close().await;
                changed(context, id, "was removed")
            }
        }
    }
}

/// Parses JSON from the command line.
pub fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("{text:?} is not JSON"))
}

/// The service that has this schedule, and the schedule.
async fn schedule(context: &Context, whose: &Whose, id: Uuid) -> Result<(Open, Schedule)> {
    let what = format!("schedule {id}");
    Open::having(context, whose, &what, async |jobs, caller| jobs.find_schedule(caller, id).await).await
}

fn list(context: &Context, found: &[(Service, Schedule)]) -> Result<()> {
    if context.format == Format::Json {
        return output::print_json(&output::of_services(found)?);
    }
    let mut table =
        output::table(["service", "id", "kind", "cron", "time zone", "next at", "last at", "skipped", "requester"]);
    let shown = |time: Option<DateTime<Utc>>, none: &str| time.map_or_else(|| none.to_owned(), output::time);
    for (service, one) in found {
        table.add_row([
            service.to_string(),
            one.id.to_string(),
            one.kind.clone(),
            one.cron.clone(),
            one.time_zone.clone(),
            shown(one.next_at, "paused"),
            shown(one.last_at, ""),
            one.skipped.to_string(),
            one.actor.clone(),
        ]);
    }
    output::print(table)
}
