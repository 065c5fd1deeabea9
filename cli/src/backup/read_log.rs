//! Reads one service's log from a backup, to check it or to restore it.

use anyhow::Result;
use eventstore::backup::Restore;
use indicatif::ProgressBar;

use super::archive::rows::{ClaimRow, CommandRow, DecisionRow, EventRow};
use super::archive::{Archive, Ledger, ServicePart};
use super::excluded_tenants::ExcludedTenants;
use super::seals::{ArchivedSeals, Trust};

/// Reads a log and checks its invariants. If a target is given, writes the rows to it; of excluded tenants only the events.
pub async fn read_log(
    archive: &Archive,
    log: &ServicePart,
    trust: &Trust,
    mut into: Option<(&mut Restore, &ExcludedTenants)>,
    bar: &ProgressBar,
) -> Result<()> {
    let mut ledger = Ledger::default();
    history(archive, log, trust, &mut ledger, &mut into, bar).await?;
    let mut commands = archive.rows::<CommandRow>(&log.commands);
    while let Some(batch) = commands.recv().await {
        let mut batch = batch?;
        batch.iter().try_for_each(|command| ledger.command(command))?;
        bar.inc(batch.len() as u64);
        if let Some((log, excluded)) = &mut into {
            batch.retain(|command| !excluded.has(command.tenant));
            log.commands(&batch).await?;
        }
    }
    let mut claims = archive.rows::<ClaimRow>(&log.claims);
    while let Some(batch) = claims.recv().await {
        let mut batch = batch?;
        for claim in &batch {
            ledger.claim(claim);
        }
        bar.inc(batch.len() as u64);
        if let Some((log, excluded)) = &mut into {
            batch.retain(|claim| !excluded.has(claim.tenant));
            log.claims(&batch).await?;
        }
    }
    if let Some(part) = &log.decisions {
        let mut decisions = archive.rows::<DecisionRow>(part);
        while let Some(batch) = decisions.recv().await {
            let mut batch = batch?;
            batch.iter().try_for_each(|decision| ledger.decision(decision))?;
            bar.inc(batch.len() as u64);
            if let Some((log, excluded)) = &mut into {
                batch.retain(|decision| !excluded.has(decision.tenant));
                deadletters::backup::restore(log, &batch).await?;
            }
        }
    }
    ledger.check(&trust.rest_of(log))
}

/// Reads the events and their seals.
async fn history(
    archive: &Archive,
    log: &ServicePart,
    trust: &Trust,
    ledger: &mut Ledger,
    into: &mut Option<(&mut Restore, &ExcludedTenants)>,
    bar: &ProgressBar,
) -> Result<()> {
    let mut archived = ArchivedSeals::begin(archive, log, trust);
    let mut events = archive.rows::<EventRow>(&log.events);
    while let Some(batch) = events.recv().await {
        let (batch, mut seals) = (batch?, Vec::new());
        for event in &batch {
            let tenant = event.event.tenant;
            let count = ledger.event(event)?;
            if let Some(seal) = archived.after(tenant, count).await? {
                ledger.seal(&seal)?;
                bar.inc(1);
                if into.as_ref().is_some_and(|(_, excluded)| !excluded.has(tenant)) {
                    seals.push(seal);
                }
            }
        }
        if let Some((log, _)) = into {
            log.events(&batch).await?;
            log.seals(&seals).await?;
        }
        bar.inc(batch.len() as u64);
    }
    archived.finish(ledger).await
}
