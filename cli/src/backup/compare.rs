//! Compares a restored log with its backup.

use anyhow::{Result, ensure};
use eventstore::backup::Snapshot;
use futures::TryStreamExt;

use super::archive::{Archive, Ledger, ServicePart};
use super::selection::Selection;
use super::{side_tables, take};

/// Reads everything of a service from Postgres again, and compares it with what was to be restored. Returns the number of seals.
///
/// # Errors
/// With the first difference.
pub async fn compare(
    snapshot: &mut Snapshot,
    archive: &Archive,
    log: &ServicePart,
    selected: Selection<'_>,
) -> Result<u64> {
    let (mut ledger, mut seals) = (Ledger::default(), 0);
    let sealed = snapshot.seals().await?;
    let mut events = snapshot.sealed_events(Some(sealed));
    while let Some((event, seal)) = events.try_next().await? {
        ledger.event(&event)?;
        if let Some(seal) = seal {
            selected.trust.check(&seal)?;
            ledger.seal(&seal)?;
            seals += 1;
        }
    }
    drop(events);
    let mut commands = snapshot.commands();
    while let Some(command) = commands.try_next().await? {
        ledger.command(&command)?;
    }
    drop(commands);
    let mut claims = snapshot.claims();
    while let Some(claim) = claims.try_next().await? {
        ledger.claim(&claim);
    }
    drop(claims);
    let mut decisions = deadletters::backup::decisions(snapshot);
    while let Some(decision) = decisions.try_next().await? {
        ledger.decision(&decision)?;
    }
    drop(decisions);
    ledger.check(&selected.of(log))?;
    let copies = take::copies(snapshot).await?;
    ensure!(copies == log.copies, "{}: {copies:?} are copies, the manifest says {:?}", log.service, log.copies);
    side_tables::compare(snapshot, archive, log, selected).await?;
    Ok(seals)
}
