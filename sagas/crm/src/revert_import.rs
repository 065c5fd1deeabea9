//! An import is taken back, in batches: each of its leads that nobody touched is withdrawn, the others stay.
//!
//! The leads are found in the log, backwards from the request, a window of positions at a time, until there are as many as the
//! import took. A batch is one window with leads in it; what was found and how far the search came is the step's progress, so
//! a revert that was cut off goes on with the next window.

use std::time::Duration;

use coordinator::{Definition, Fault, Limits, Next, Retry, Start, StartContext, Step, StepContext};
use crm_aggregates::{ImportBatch, ImportId, LeadEvent, LeadId};
use crm_commands::{CompleteImportRevert, RequestImportRevert, RestoreLeads, WithdrawImportRevert, WithdrawLeads};
use executor::Command;
use kernel::{Position, RecordedEvent};
use serde::{Deserialize, Serialize};

const WITHDRAW: &str = "withdraw_leads";

/// Positions of a window; at most as many leads are changed in one append.
const WINDOW: u64 = 500;
/// Windows without a lead that are passed over in one turn.
const EMPTY_WINDOWS: u32 = 40;

#[derive(Serialize, Deserialize)]
struct Parameters {
    import: ImportId,
    /// How many leads it took.
    taken: u64,
    /// All of them are before this: the request to revert it, where it was when the saga began.
    until: Position,
}

pub(crate) fn definition() -> Definition {
    // Much may have to wait until a database is back; and then a person says whether it goes on or back.
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
    let parameters = Parameters { import, taken: batch.taken, until: event.position };
    Ok(Some(Start { key: event.aggregate_id, parameters }))
}

/// The request is on record since before the saga began; what is left is to know that it has to be taken back.
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

/// How far the search came, and what came of it.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Progress {
    /// Where the search began. (0: by a program that did not note it.)
    #[serde(default)]
    until: u64,
    /// Everything from here on was looked at.
    at: u64,
    found: u64,
    withdrawn: u64,
    kept: u64,
}

impl Progress {
    /// How far it is; the error: the tenant's events have other positions by now, so all of it is to be looked at once more. (What was
    /// withdrawn is found withdrawn, and counted. In a turn of its own: what this one did, it has done.)
    async fn of(context: &StepContext, parameters: &Parameters) -> Result<Result<Self, Self>, Fault> {
        let until = context.began_at::<ImportBatch>(parameters.import).await?.unwrap_or(parameters.until).0;
        let anew = Self { until, at: until, ..Self::default() };
        Ok(match context.progress::<Self>()? {
            None if until == parameters.until.0 => Ok(anew),
            Some(progress) if progress.until == until => Ok(progress),
            // Of a program that did not note it.
            Some(progress) if progress.until == 0 && until == parameters.until.0 => Ok(Self { until, ..progress }),
            None | Some(_) => Err(anew),
        })
    }

    /// The leads of the import in the next window that has any.
    async fn search(&mut self, context: &StepContext, parameters: &Parameters) -> Result<Vec<LeadId>, Fault> {
        let mut leads = Vec::new();
        for _ in 0..EMPTY_WINDOWS {
            if self.at == 0 || !leads.is_empty() {
                break;
            }
            let from = self.at.saturating_sub(WINDOW);
            let (mut after, end) = (Position(from), Position(self.at));
            while after < end {
                let slice = context.events(after, end, WINDOW as u32).await?;
                for event in &slice.events {
                    leads.extend(lead_of(event, parameters.import)?);
                }
                after = slice.last;
            }
            self.at = from;
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

/// The lead, if this is how the import brought it.
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
