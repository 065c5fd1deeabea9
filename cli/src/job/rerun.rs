//! `inopsio job rerun`: repeats a tenant's jobs in a copy of the tenant, and compares the outcomes.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::EventStore;
use eventstore::backup::grafted_id;
use gateway::{DomainDefinition, SERVICES};
use indicatif::ProgressBar;
use jobs::{Job, Listing, NewBatch, State, Wanted};
use kernel::{Position, Service, TenantId};
use projector::ReadModels;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Open, services};
use crate::context::{Context, Whose};
use crate::output::{self, Format};
use crate::{progress, time};

/// Maximum number of jobs in a batch, and in a page of the list.
const BATCH: u32 = 1_000;
/// Polling interval of a batch.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Number of consecutive polls after which an idle batch is reported; a worker needs a moment to notice new jobs.
const IDLE_POLLS: u32 = 20;
/// Maximum number of checks, one per second, for the copy's read models to catch up.
const MAX_CHECKS: u32 = 120;

/// Repeats a tenant's jobs in a copy of the tenant, and reports those with a different outcome
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio restore --tenant acme --into acme-copy
  inopsio job rerun --tenant acme --from 2026-06-30 --into acme-copy
  inopsio job rerun --tenant acme --from 2026-06-30T08:00:00Z --until 2026-06-30T12:00:00Z --into acme-copy --format json

A server has to be running. Jobs are left out, and named, if they work on a file that is not kept, if they affect all tenants, or if
they never finished. The exit code is 0 only if all jobs had the same outcome: the same result and the same file.")]
pub struct Rerun {
    #[command(flatten)]
    whose: Whose,
    /// Jobs that were created at this time or later
    #[arg(long, value_name = "TIME", value_parser = time::past)]
    from: DateTime<Utc>,
    /// Jobs that were created before this time; one day after --from unless given
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    until: Option<DateTime<Utc>>,
    /// The copy in which the jobs are repeated: a tenant created by `inopsio restore --tenant … --into …`
    #[arg(long, value_name = "TENANT")]
    into: String,
}

/// A job that was repeated.
struct Pair {
    service: Service,
    was: Job,
    again: Job,
    /// The difference between the two, if any.
    difference: Option<String>,
}

/// A job that was not repeated.
struct SkippedJob {
    service: Service,
    job: Job,
    why: String,
}

impl Rerun {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let until = self.until.unwrap_or(self.from + TimeDelta::days(1));
        ensure!(self.from < until, "--until has to be later than --from");
        let (tenant, copy) = (context.tenant(&self.whose.tenant).await?, context.tenant(&self.into).await?);
        ensure!(tenant != copy, "--into has to name another tenant: a copy of {}", self.whose.tenant);
        ensure!(
            is_copy(context, copy, tenant).await?,
            "{} is not a copy of {of}: `inopsio restore --tenant {of} --into <name>` creates one; nothing was done",
            self.into,
            of = self.whose.tenant
        );
        let (mut pairs, mut left_out) = (Vec::new(), Vec::new());
        for domain in services(&self.whose)? {
            let here = Open::new(context, &self.whose.tenant, &domain).await?;
            let there = Open::new(context, &self.into, &domain).await?;
            let mut wanted = Vec::new();
            for job in asked(&here, self.from, until).await? {
                match obstacle(&there, &job) {
                    None => wanted.push(job),
                    Some(why) => left_out.push(SkippedJob { service: domain.service, job, why }),
                }
            }
            if !wanted.is_empty() {
                wait_for_read_models(context, &domain).await?;
                pairs.extend(again(domain.service, &here, &there, &wanted).await?);
            }
            there.close().await;
        }
        say(context.format, &self.into, &pairs, &left_out)?;
        match pairs.iter().filter(|pair| pair.difference.is_some()).count() {
            0 => Ok(()),
            some => bail!("{some} of {} jobs had a different outcome", pairs.len()),
        }
    }
}

/// Whether a tenant was created as a copy of another one.
async fn is_copy(context: &Context, copy: TenantId, of: TenantId) -> Result<bool> {
    for service in SERVICES {
        let store = context.store(*service).await?;
        let begins = begins_as(&store, copy, of).await;
        store.close().await;
        if begins? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the first event of `copy` is a copy of the first event of `of`. The id of a copied event is derived from the original's id.
async fn begins_as(store: &EventStore, copy: TenantId, of: TenantId) -> Result<bool> {
    let head = store.head().await?;
    let copied = store.tenant_after(copy, Position::START, head, 1).await?.events;
    let first = store.tenant_after(of, Position::START, head, 1).await?.events;
    Ok(copied.iter().zip(&first).any(|(copied, first)| copied.event_id == grafted_id(copy, first.event_id)))
}

/// The jobs that were created in this time span, oldest first.
async fn asked(open: &Open, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<Job>> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page =
            open.jobs.list(&open.request.caller, &Listing { before, limit: BATCH, ..Listing::default() }).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        // The list is ordered by id, which has the requesting process's time; `created_at` is the database's time. They may differ a little.
        let over = last.created_at < from - TimeDelta::hours(1);
        found.extend(page.into_iter().filter(|job| (from..until).contains(&job.created_at)));
        if over {
            break;
        }
    }
    found.reverse();
    Ok(found)
}

/// Why a job can't be repeated; none if it can.
fn obstacle(there: &Open, job: &Job) -> Option<String> {
    match job.state {
        State::Completed | State::Discarded => {}
        State::Cancelled => return Some("it was cancelled".to_owned()),
        _ => return Some("it is not over yet".to_owned()),
    }
    let asked = there.jobs.kinds().resolve(&there.request.caller, &job.kind, &job.arguments, "/arguments");
    asked.err().map(|refusal| refusal.to_string())
}

/// Waits until the copy's read models have caught up with its log. An earlier job would see only a part of the data.
async fn wait_for_read_models(context: &Context, domain: &DomainDefinition) -> Result<()> {
    let store = context.store(domain.service).await?;
    let head = store.head().await;
    store.close().await;
    let head = head?;
    let read_models = ReadModels::new(&context.config.database(domain.service), &domain.projections, None);
    for _ in 0..MAX_CHECKS {
        if read_models.status().await?.iter().all(|status| status.position >= head) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    bail!(
        "the read models of {} do not reach position {head}: see `inopsio projection status`; nothing was done",
        domain.service
    )
}

/// Repeats jobs in batches, and compares their outcomes.
async fn again(service: Service, here: &Open, there: &Open, jobs: &[Job]) -> Result<Vec<Pair>> {
    let bar = progress::bar(jobs.len() as u64, "jobs");
    let mut pairs = Vec::with_capacity(jobs.len());
    for some in jobs.chunks(BATCH as usize) {
        let wanted = some.iter().map(|job| Wanted { kind: job.kind.clone(), arguments: job.arguments.clone() });
        let new = NewBatch { jobs: wanted.collect(), then: None };
        let batch = there.jobs.submit_batch(&there.request, &new).await?.id;
        wait_for_batch(there, batch, &bar).await?;
        let listing = Listing { batch: Some(batch), limit: BATCH, ..Listing::default() };
        let mut again = there.jobs.list(&there.request.caller, &listing).await?;
        again.reverse();
        ensure!(again.len() == some.len(), "the batch {batch} has {} jobs of {}", again.len(), some.len());
        for (was, again) in some.iter().cloned().zip(again) {
            let difference = difference((here, &was), (there, &again)).await?;
            pairs.push(Pair { service, was, again, difference });
        }
    }
    bar.finish_and_clear();
    Ok(pairs)
}

/// Waits without a limit until a batch has finished. Prints a hint if no worker takes its jobs.
async fn wait_for_batch(open: &Open, batch: Uuid, bar: &ProgressBar) -> Result<()> {
    let before = bar.position();
    let (mut ended_before, mut idle) = (0, 0);
    loop {
        let found = open.jobs.find_batch(&open.request.caller, batch).await?;
        let ended = found.completed + found.cancelled + found.discarded;
        bar.set_position(before + u64::try_from(ended).unwrap_or_default());
        if ended >= found.total {
            return Ok(());
        }
        idle = if ended == ended_before && is_idle(open, batch).await? { idle + 1 } else { 0 };
        if idle == IDLE_POLLS {
            bar.suspend(|| {
                output::tell(format!(
                    "no worker takes the jobs of {} ({} are left): `inopsio serve` starts one, and `inopsio job queue list` shows whether their queue is paused; still waiting",
                    open.jobs.service(),
                    found.total - ended
                ));
            });
        }
        ended_before = ended;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Whether a batch has jobs that could start, but none is running.
async fn is_idle(open: &Open, batch: Uuid) -> Result<bool> {
    Ok(has(open, batch, State::Available).await? && !has(open, batch, State::Running).await?)
}

/// Whether a batch has a job in this state.
async fn has(open: &Open, batch: Uuid, state: State) -> Result<bool> {
    let listing = Listing { batch: Some(batch), state: Some(state), limit: 1, ..Listing::default() };
    Ok(!open.jobs.list(&open.request.caller, &listing).await?.is_empty())
}

/// How the outcomes of two jobs with the same arguments differ; none if they do not.
async fn difference((here, was): (&Open, &Job), (there, again): (&Open, &Job)) -> Result<Option<String>> {
    let end = |job: &Job| match &job.code {
        Some(code) if job.state != State::Completed => format!("{} ({code})", job.state.as_str()),
        _ => job.state.as_str().to_owned(),
    };
    if end(was) != end(again) {
        return Ok(Some(format!("{} instead of {}", end(again), end(was))));
    }
    if was.result != again.result {
        let shown = |job: &Job| job.result.as_ref().map_or_else(|| "no result".to_owned(), Value::to_string);
        return Ok(Some(format!("{} instead of {}", shown(again), shown(was))));
    }
    Ok(match (file(here, was).await?, file(there, again).await?) {
        (Some(was), Some(again)) if was != again => Some("another file".to_owned()),
        _ => None,
    })
}

/// SHA-256 of a job's output file; none if it has none or if the file is no longer stored.
async fn file(open: &Open, job: &Job) -> Result<Option<[u8; 32]>> {
    let caller = &open.request.caller;
    let parts = match open.jobs.output(caller, job.id).await {
        Ok((_, parts)) => parts,
        Err(refusal)
            if matches!(refusal.code(), "job_without_output" | "job_not_completed" | "job_output_forgotten") =>
        {
            return Ok(None);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let mut hasher = Sha256::new();
    for part in 1..=parts {
        hasher.update(open.jobs.part(caller.tenant(), job.id, part).await?);
    }
    Ok(Some(hasher.finalize().into()))
}

fn say(format: Format, into: &str, pairs: &[Pair], left_out: &[SkippedJob]) -> Result<()> {
    if format == Format::Json {
        let jobs = pairs.iter().map(|pair| {
            json!({
                "service": pair.service.name(), "kind": pair.was.kind, "was": pair.was.id, "again": pair.again.id,
                "state": pair.again.state, "difference": pair.difference,
            })
        });
        let left_out = left_out.iter().map(
            |one| json!({ "service": one.service.name(), "kind": one.job.kind, "id": one.job.id, "why": one.why }),
        );
        return output::print_json(&json!({
            "into": into, "jobs": jobs.collect::<Vec<_>>(), "left_out": left_out.collect::<Vec<_>>(),
        }));
    }
    let mut table = output::table(["service", "kind", "was", "again", "state", "difference"]);
    for pair in pairs {
        table.add_row([
            pair.service.to_string(),
            pair.was.kind.clone(),
            pair.was.id.to_string(),
            pair.again.id.to_string(),
            pair.again.state.as_str().to_owned(),
            pair.difference.clone().unwrap_or_default(),
        ]);
    }
    output::print(table)?;
    for one in left_out {
        output::print(format!("left out: {} {} of {}: {}", one.job.kind, one.job.id, one.service, one.why))?;
    }
    output::print(format!("{} jobs were repeated in {into}, {} were left out", pairs.len(), left_out.len()))
}
