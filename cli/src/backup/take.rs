//! `inopsio backup`: takes a backup.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use deadletters::backup::StoredLetter;
use directory::{Directory, Listed};
use eventstore::Database;
use eventstore::admin::is_not_migrated;
use eventstore::backup::{SealReader, Snapshot, freeze};
use futures::TryStreamExt;
use gateway::{Config, SERVICES};
use indicatif::ProgressBar;
use kernel::{Clock, SystemClock, TenantId};
use serde_json::json;

use super::archive::manifest::{CopyPart, LetterPart, PassedOverPart, SagasPart, VERSION};
use super::archive::rows::{ClaimRow, CommandRow, DecisionRow, EventRow, SealRow, TenantRow};
use super::archive::write::PartWriter;
use super::archive::{Draft, Ledger, Manifest, Part, ServicePart};
use super::side_tables::{self, Sealer};
use crate::context::Context;
use crate::output::{self, Format};
use crate::{progress, signals};

/// Takes a backup and prints its content. `sealed`: include the seals.
pub async fn run(context: &Context, to: &Path, sealed: bool) -> Result<()> {
    let began = Instant::now();
    let stop = signals::stop()?;
    let draft = Draft::begin(to)?;
    let (manifest, pause) = tokio::select! {
        written = write(&context.config, &draft, sealed) => written.map_err(hinted)?,
        // Returning removes the draft.
        () = stop => bail!("stopped before the backup was complete; nothing of it is left"),
    };
    let digest = draft.finish(&manifest)?;
    say(context.format, to, &manifest, &digest, pause, began.elapsed())
}

/// Adds a hint if a database lacks migrations of this program.
fn hinted(error: anyhow::Error) -> anyhow::Error {
    if error.chain().any(is_not_migrated) {
        error.context("a database was not migrated for this program: run `inopsio migrate` first")
    } else {
        error
    }
}

/// Writes all parts. Returns the manifest and how long writers were blocked.
async fn write(config: &Config, draft: &Draft, sealed: bool) -> Result<(Manifest, Duration)> {
    let databases: Vec<Database> = SERVICES.iter().map(|service| config.database(*service)).collect();
    let freezing = Instant::now();
    let unread = || format!("the logs at {}:{} can't be read", config.postgres.host, config.postgres.port);
    let mut snapshots = freeze(&databases).await.with_context(unread)?;
    let pause = freezing.elapsed();
    let taken_at = SystemClock.now();
    // After the snapshots of the logs: a tenant enters the directory before any log, so every tenant of the logs is in the list.
    let directory = directory(config, draft).await?;
    let claim_key_mark = claim_key_mark(config, &mut snapshots).await?;
    let (mut services, mut sealer) = (Vec::with_capacity(snapshots.len()), Sealer::new(config));
    for snapshot in snapshots {
        let of = snapshot.service();
        let part = service(snapshot, draft, &mut sealer, sealed).await;
        services.push(part.with_context(|| format!("the database of {of}"))?);
    }
    let manifest = Manifest {
        format: "inopsio-backup".to_owned(),
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at,
        claim_key_mark,
        master_key_mark: None,
        secrets_key: sealer.into_key(),
        directory,
        services,
    };
    Ok((manifest, pause))
}

/// The mark of the key under which the claims are hashed, as the logs keep it: who takes a backup need not have the key, or may have another
/// one. Logs to which nothing was appended since they keep it have that of the configuration.
async fn claim_key_mark(config: &Config, snapshots: &mut [Snapshot]) -> Result<Option<String>> {
    let mut known = None;
    for snapshot in snapshots {
        let of = snapshot.service();
        let mark = snapshot.claim_key_mark().await.with_context(|| format!("the database of {of}"))?;
        let Some(mark) = mark else { continue };
        let (first, named) = known.get_or_insert_with(|| (of, mark.clone()));
        ensure!(
            *named == mark,
            "the logs of {first} and {of} have different claim keys (with the marks {named} and {mark}), but a restore has one: a process \
             was given another INOPSIO_CLAIM_KEY than the others"
        );
    }
    Ok(known.map(|(_, mark)| mark).or_else(|| config.log_settings().claim_key_mark))
}

async fn directory(config: &Config, draft: &Draft) -> Result<Part> {
    let mut part = draft.part::<TenantRow>("directory")?;
    for Listed { tenant, cell, .. } in Directory::open(config).listed().await? {
        // Those that live here belong to whatever cell they are restored to.
        part.push(&(tenant, cell.filter(|cell| config.directory.cell.as_ref() != Some(cell))))?;
    }
    part.finish()
}

async fn service(mut snapshot: Snapshot, draft: &Draft, sealer: &mut Sealer, sealed: bool) -> Result<ServicePart> {
    let (service, head) = (snapshot.service(), snapshot.head());
    let (commands, claims) = snapshot.counts().await?;
    let copies = copies(&mut snapshot).await?;
    let sagas = sagas(&mut snapshot).await?;
    let decisions = deadletters::backup::count(&mut snapshot).await?;
    let seals = if sealed { Some(snapshot.seals().await?) } else { None };
    let count = seals.as_ref().map_or(0, SealReader::count);
    let bar = progress::bar(head.position.0 + count + commands + claims + decisions, "rows");
    let mut ledger = Ledger::default();
    let written = async {
        let history = history(&mut snapshot, seals, draft, &mut ledger, &bar).await?;
        Ok::<_, anyhow::Error>((history, rows(&mut snapshot, draft, &mut ledger, &bar).await?))
    };
    let written = written.await.with_context(|| format!("the log of {service}"));
    bar.finish_and_clear();
    let ((events, seals), [commands, claims, decisions]) = written?;
    let beside = side_tables::write(&mut snapshot, draft, sealer).await?;
    let letters = side_tables::letters(&mut snapshot, draft).await?;
    let (tenants, master_keys, seal_keys) = (ledger.tenants(), Some(ledger.master_keys()), Some(ledger.seal_keys()));
    let part = ServicePart {
        service: service.name().to_owned(),
        position: head.position,
        recorded_at: head.recorded_at,
        events,
        seals,
        seal_keys,
        commands,
        claims,
        decisions: Some(decisions),
        tenants,
        copies,
        sagas,
        master_keys,
        beside,
        letters,
    };
    ledger.check(&part)?;
    Ok(part)
}

/// The copied tenants of a log, for the manifest.
pub async fn copies(snapshot: &mut Snapshot) -> Result<Vec<CopyPart>> {
    let found = snapshot.copies().await?.into_iter();
    Ok(found.map(|(tenant, position)| CopyPart { tenant_id: tenant.uuid(), position }).collect())
}

/// How far sagas have read a log, for the manifest; none if the service has no sagas.
async fn sagas(snapshot: &mut Snapshot) -> Result<Option<SagasPart>> {
    let Some(progress) = coordinator::backup::progress(snapshot).await? else { return Ok(None) };
    let skipped_part = |(tenant, after, to): (TenantId, _, _)| PassedOverPart { tenant_id: tenant.uuid(), after, to };
    let letter =
        |StoredLetter { tenant, consumer, position }| LetterPart { tenant_id: tenant.uuid(), consumer, position };
    Ok(Some(SagasPart {
        looked_up_to: progress.up_to,
        but: progress.skipped.into_iter().map(skipped_part).collect(),
        waiting: progress.letters.into_iter().map(letter).collect(),
    }))
}

/// Writes the events, and the seals if there are any.
async fn history(
    snapshot: &mut Snapshot,
    seals: Option<SealReader>,
    draft: &Draft,
    ledger: &mut Ledger,
    bar: &ProgressBar,
) -> Result<(Part, Option<Part>)> {
    let service = snapshot.service();
    let mut events = draft.part::<EventRow>(&format!("{service}.events"))?;
    let mut sealed = match &seals {
        Some(seals) if seals.count() > 0 => Some(draft.part::<SealRow>(&format!("{service}.seals"))?),
        _ => None,
    };
    let mut rows = snapshot.sealed_events(seals);
    while let Some((event, seal)) = rows.try_next().await? {
        ledger.event(&event)?;
        events.push(&event)?;
        bar.inc(1);
        if let (Some(seal), Some(sealed)) = (&seal, &mut sealed) {
            ledger.seal(seal)?;
            sealed.push(seal)?;
            bar.inc(1);
        }
    }
    drop(rows);
    Ok((events.finish()?, sealed.map(PartWriter::finish).transpose()?))
}

/// Writes commands, claims and decisions about dead letters.
async fn rows(snapshot: &mut Snapshot, draft: &Draft, ledger: &mut Ledger, bar: &ProgressBar) -> Result<[Part; 3]> {
    let service = snapshot.service();
    let mut commands = draft.part::<CommandRow>(&format!("{service}.commands"))?;
    let mut rows = snapshot.commands();
    while let Some(command) = rows.try_next().await? {
        ledger.command(&command)?;
        commands.push(&command)?;
        bar.inc(1);
    }
    drop(rows);
    let mut claims = draft.part::<ClaimRow>(&format!("{service}.claims"))?;
    let mut rows = snapshot.claims();
    while let Some(claim) = rows.try_next().await? {
        ledger.claim(&claim);
        claims.push(&claim)?;
        bar.inc(1);
    }
    drop(rows);
    let mut decisions = draft.part::<DecisionRow>(&format!("{service}.decisions"))?;
    let mut rows = deadletters::backup::decisions(snapshot);
    while let Some(decision) = rows.try_next().await? {
        ledger.decision(&decision)?;
        decisions.push(&decision)?;
        bar.inc(1);
    }
    drop(rows);
    Ok([commands.finish()?, claims.finish()?, decisions.finish()?])
}

fn say(format: Format, to: &Path, manifest: &Manifest, digest: &str, pause: Duration, took: Duration) -> Result<()> {
    let rate = manifest.events() as f64 / took.as_secs_f64();
    if format == Format::Json {
        let services = manifest.services.iter().map(|log| {
            json!({
                "service": log.service,
                "position": log.position,
                "events": log.events.rows,
                "seals": log.seals.as_ref().map_or(0, |seals| seals.rows),
                "commands": log.commands.rows,
                "claims": log.claims.rows,
                "decisions": log.decisions.as_ref().map_or(0, |decisions| decisions.rows),
                "webhooks": log.rows_of("webhooks.endpoints"),
                "schedules": log.rows_of("jobs.schedules"),
                "jobs": log.rows_of("jobs.jobs"),
                "tenants": log.tenants.len(),
            })
        });
        return output::print_json(&json!({
            "backup": to,
            "digest": digest,
            "taken_at": manifest.taken_at,
            "services": services.collect::<Vec<_>>(),
            "tenants": manifest.directory.rows,
            "master_keys": manifest.master_keys(),
            "seal_keys": manifest.seal_keys(),
            "bytes": manifest.bytes(),
            "seconds": took.as_secs_f64(),
            "events_per_second": rate,
            "writers_waited_seconds": pause.as_secs_f64(),
        }));
    }
    let mut table = output::table(["service", "position", "events", "commands", "claims", "tenants"]);
    for log in &manifest.services {
        table.add_row([
            log.service.clone(),
            log.position.to_string(),
            log.events.rows.to_string(),
            log.commands.rows.to_string(),
            log.claims.rows.to_string(),
            log.tenants.len().to_string(),
        ]);
    }
    output::print(table)?;
    say_keys(manifest)?;
    output::print(format!(
        "{}: {} tenants, {} events, {:.1} MiB, in {:.1} s ({rate:.0} events/s); writers waited {:.1} ms\ndigest {digest}",
        to.display(),
        manifest.directory.rows,
        manifest.events(),
        manifest.bytes() as f64 / f64::from(1 << 20),
        took.as_secs_f64(),
        pause.as_secs_f64() * 1e3,
    ))
}

/// Prints which keys verify and decrypt the backup; nothing if it needs none or does not record them.
pub fn say_keys(manifest: &Manifest) -> Result<()> {
    let signed_by: Vec<_> = manifest.seal_keys().into_iter().collect();
    if !signed_by.is_empty() {
        output::print(format!(
            "verifying its {} seals needs the public key {}",
            manifest.seals(),
            signed_by.join(" and ")
        ))?;
    }
    let keys: Vec<_> = manifest.master_keys().into_iter().collect();
    match keys.as_slice() {
        [] => Ok(()),
        [one] => output::print(format!("restoring it needs the master key {one}")),
        more => output::print(format!(
            "restoring it needs all of the master keys {}: `inopsio key rewrap` had not finished",
            more.join(" and ")
        )),
    }
}
