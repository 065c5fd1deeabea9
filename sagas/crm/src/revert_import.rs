//! Reverts an import in batches: withdraws the imported leads that nobody has changed since; the others stay.
//!
//! The leads are searched in the log, backwards from the request to revert, one window of positions at a time, until as many are found as
//! were imported; of an import that was not completed, nobody knows how many, and all is searched that was recorded since it began. A batch
//! is one window with leads. The step's progress has the counts and the position of the search, so an interrupted revert continues with the
//! next window.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use coordinator::{Definition, Fault, Limits, Next, Retry, Start, StartContext, Step, StepContext};
use crm_aggregates::{ImportBatch, ImportId, LeadEvent, LeadId};
use crm_commands::{CompleteImportRevert, RequestImportRevert, RestoreLeads, WithdrawImportRevert, WithdrawLeads};
use executor::Command;
use kernel::{Position, RecordedEvent};
use serde::{Deserialize, Serialize};

const WITHDRAW: &str = "withdraw_leads";

/// The number of positions in a window, and so the maximum number of leads that one append changes.
const WINDOW: u64 = 500;
/// The maximum number of windows without leads that are searched in one turn.
const EMPTY_WINDOWS: u32 = 40;

#[derive(Serialize, Deserialize)]
struct Parameters {
    import: ImportId,
    /// How many leads were imported; the greatest number if the import was not completed.
    taken: u64,
    /// The search begins here: the position of the request to revert, when the saga started. All imported leads are before it.
    until: Position,
}

pub(crate) fn definition() -> Definition {
    // An outage of the database may last long; after that a person decides whether the saga continues or unwinds.
    let patient = Retry { park: true, ..Retry::default() };
    let long = Limits { whole: Duration::from_hours(7 * 24), attempt: Duration::from_mins(2) };
    let steps = vec![
        Step::new("accept", accept).undo(decline).retry(patient),
        Step::new(WITHDRAW, withdraw).undo(restore).retry(patient).limits(long),
        Step::new("record", record).retry(patient),
    ];
    let permissions = &[RequestImportRevert::PERMISSION];
    Definition::new("revert_import", 1, permissions, &["crm.import_batch.revert_requested"], start, steps)
}

async fn start(context: StartContext, event: RecordedEvent) -> Result<Option<Start<Parameters>>, Fault> {
    let Some((batch, _)) = context.load::<ImportBatch>(&event.aggregate_id).await? else { return Ok(None) };
    let import = event.aggregate_id.parse().map_err(|_| Fault::refused("import_id", "the import's id is no UUID"))?;
    let taken = if batch.is_complete() { batch.taken } else { u64::MAX };
    let parameters = Parameters { import, taken, until: event.position };
    Ok(Some(Start { key: event.aggregate_id, parameters }))
}

/// The request is in the log already. This step only has an undo, which withdraws the request.
async fn accept(_: StepContext, _: Parameters) -> Result<Next, Fault> {
    Ok(Next::done())
}

async fn decline(context: StepContext, Parameters { import, .. }: Parameters) -> Result<Next, Fault> {
    context.execute(&WithdrawImportRevert { import }).await?;
    Ok(Next::done())
}

async fn withdraw(context: StepContext, parameters: Parameters) -> Result<Next, Fault> {
    let mut progress = match Progress::of(&context, &parameters).await? {
        Ok(progress) => progress,
        Err(anew) => return Next::continue_from(&anew),
    };
    let leads = progress.search(&context, &parameters).await?;
    if !leads.is_empty() {
        let batch = context.execute(&WithdrawLeads { import: parameters.import, leads }).await?;
        progress.withdrawn += batch.withdrawn;
        progress.kept += batch.kept;
    }
    progress.next(&parameters)
}

async fn restore(context: StepContext, parameters: Parameters) -> Result<Next, Fault> {
    let mut progress = match Progress::of(&context, &parameters).await? {
        Ok(progress) => progress,
        Err(anew) => return Next::continue_from(&anew),
    };
    let leads = progress.search(&context, &parameters).await?;
    if !leads.is_empty() {
        context.execute(&RestoreLeads { import: parameters.import, leads }).await?;
    }
    progress.next(&parameters)
}

async fn record(context: StepContext, Parameters { import, .. }: Parameters) -> Result<Next, Fault> {
    let Progress { withdrawn, kept, .. } = context.result_of(WITHDRAW)?.unwrap_or_default();
    context.execute(&CompleteImportRevert { import, withdrawn, kept }).await?;
    Ok(Next::done())
}

/// The position of the search, and the counts.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Progress {
    /// Where the search began; 0 in progress that an earlier program stored.
    #[serde(default)]
    until: u64,
    /// Everything from this position on has been searched.
    at: u64,
    found: u64,
    withdrawn: u64,
    kept: u64,
}

impl Progress {
    /// The stored progress. The inner error is a fresh progress: the tenant's events have other positions now (it moved to another cell),
    /// so everything has to be searched again. Leads that are already withdrawn are found as such, and counted. The fresh search takes a
    /// turn of its own, because this turn's command ids may have been used.
    async fn of(context: &StepContext, parameters: &Parameters) -> Result<Result<Self, Self>, Fault> {
        let until = context.began_at::<ImportBatch>(parameters.import).await?.unwrap_or(parameters.until).0;
        let anew = Self { until, at: until, ..Self::default() };
        Ok(match context.progress::<Self>()? {
            None if until == parameters.until.0 => Ok(anew),
            Some(progress) if progress.until == until => Ok(progress),
            // Progress that an earlier program stored.
            Some(progress) if progress.until == 0 && until == parameters.until.0 => Ok(Self { until, ..progress }),
            None | Some(_) => Err(anew),
        })
    }

    /// The imported leads in the next window that has any.
    async fn search(&mut self, context: &StepContext, parameters: &Parameters) -> Result<Vec<LeadId>, Fault> {
        let (mut leads, began_at) = (Vec::new(), not_before(parameters.import));
        for _ in 0..EMPTY_WINDOWS {
            if self.at == 0 || !leads.is_empty() {
                break;
            }
            let from = self.at.saturating_sub(WINDOW);
            let (mut after, end) = (Position(from), Position(self.at));
            self.at = from;
            while after < end {
                let slice = context.events(after, end, WINDOW as u32).await?;
                for event in &slice.events {
                    leads.extend(lead_of(event, parameters.import)?);
                    // The log's times never go back, so everything before this event is older.
                    if event.recorded_at < began_at {
                        self.at = 0;
                    }
                }
                after = slice.last;
            }
        }
        self.found += leads.len() as u64;
        Ok(leads)
    }

    fn next(&self, parameters: &Parameters) -> Result<Next, Fault> {
        if self.at == 0 || self.found >= parameters.taken {
            return Next::done_with(self);
        }
        Next::continue_from(self)
    }
}

/// No lead of the import was recorded before this time. The import's id was made with its first leads, and says when; there is a day to
/// spare, because another process with another clock may have recorded them. An id that does not say it sets no limit.
fn not_before(import: ImportId) -> DateTime<Utc> {
    let made_at = import.uuid().get_timestamp().map(|at| at.to_unix());
    let made_at = made_at.and_then(|(seconds, nanos)| DateTime::from_timestamp(seconds.cast_signed(), nanos));
    made_at.map_or(DateTime::<Utc>::MIN_UTC, |made_at| made_at - TimeDelta::days(1))
}

/// The id of the lead, if this event created it and belongs to this import.
fn lead_of(event: &RecordedEvent, import: ImportId) -> Result<Option<LeadId>, Fault> {
    if event.event_type != "crm.lead.captured" {
        return Ok(None);
    }
    let unreadable = |error: &dyn std::fmt::Display| Fault::refused("history_unreadable", error.to_string());
    for event_of_today in event.decode::<LeadEvent>().map_err(|error| unreadable(&error))? {
        if let LeadEvent::LeadCaptured(captured) = event_of_today
            && captured.import == Some(import)
        {
            return event.aggregate_id.parse().map(Some).map_err(|error| unreadable(&error));
        }
    }
    Ok(None)
}
