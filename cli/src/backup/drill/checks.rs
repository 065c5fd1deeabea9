//! The checks of a drill on a restored backup.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use directory::Directory;
use eventstore::backup::{Snapshot, StoredClaim, freeze};
use eventstore::sealing::KINDS;
use eventstore::{Closure, ReplayFilter};
use futures::{StreamExt, TryStreamExt};
use kernel::{Service, TenantId};

use crate::backup::archive::{Archive, ServicePart};
use crate::backup::compare::compare;
use crate::backup::load;
use crate::backup::selection::Selection;
use crate::context::{self, Context};
use crate::progress;

/// Number of events whose personal data is decrypted at a time.
const OPENED: usize = 1_000;

/// Restores the backup into the private Postgres.
pub async fn load(context: &Context, archive: &Archive, selected: Selection<'_>) -> Result<((), String)> {
    let bar = progress::bar(archive.manifest.rows(), "rows");
    let loaded = load::load(&context.config, archive, selected, &bar).await;
    bar.finish_and_clear();
    loaded?;
    Ok(((), format!("{} events, {} rows in all", archive.manifest.events(), archive.manifest.rows())))
}

/// Reads everything from Postgres again and compares it with the manifest, without excluded tenants.
pub async fn compare_all(context: &Context, archive: &Archive, selected: Selection<'_>) -> Result<((), String)> {
    let tenants = Directory::open(&context.config).list().await?.len() as u64;
    let said = archive.manifest.directory.rows - selected.excluded.listed();
    ensure!(tenants == said, "the directory has {tenants} tenants, the manifest says {said}");
    let (mut roots, mut seals) = (0, 0);
    for (log, mut snapshot) in snapshots(context, archive).await? {
        seals += compare(&mut snapshot, archive, log, selected).await?;
        roots += log.tenants.len();
    }
    Ok(((), format!("{roots} roots, {seals} seals, {tenants} tenants in the directory")))
}

/// Replays every tenant's history, and compares the claims that follow from it with the stored ones. Without the claim key only tenant,
/// kind and holder are compared, not the values.
pub async fn claims(context: &Context, archive: &Archive, key: Option<[u8; 32]>) -> Result<((), String)> {
    let mut compared = 0;
    for (log, mut snapshot) in snapshots(context, archive).await? {
        let domain = context::domain(snapshot.service())?;
        let mut stored: BTreeMap<TenantId, Vec<StoredClaim>> = BTreeMap::new();
        let mut claims = snapshot.claims();
        while let Some(claim) = claims.try_next().await? {
            // Wrapped tenants' keys are stored as claims too, but do not follow from the events.
            if !KINDS.contains(&claim.kind.as_str()) {
                stored.entry(claim.tenant).or_default().push(claim);
            }
        }
        drop(claims);
        let store = context.store(domain.service).await?;
        // A deleted tenant keeps its history but has no claims: its unique values need not be reserved any more.
        let closed = store.closed().await?;
        let deleted = |tenant: &TenantId| closed.contains(&(*tenant, Closure::Deleted));
        for tenant in tenants(log).filter(|tenant| !deleted(tenant)) {
            let mut history = (domain.claims)();
            let events = store.replay(tenant, ReplayFilter::default());
            let mut events = std::pin::pin!(events.ready_chunks(OPENED));
            while let Some(events) = events.next().await {
                let events = events.into_iter().collect::<Result<Vec<_>, _>>()?;
                for event in store.opened(events).await? {
                    history.observe(&event)?;
                }
            }
            let mut told = history.held().stored(&key.unwrap_or_default(), tenant);
            let mut found = stored.remove(&tenant).unwrap_or_default();
            if key.is_none() {
                for claims in [&mut told, &mut found] {
                    for claim in claims.iter_mut() {
                        claim.key = [0; 32];
                    }
                }
            }
            told.sort_unstable();
            found.sort_unstable();
            let stored: BTreeSet<_> = found.iter().collect();
            // The claimed values of an erased person can't be read any more. They may have kept others from values that the history seems
            // to give.
            let doubtful = |claim: &StoredClaim| history.held().has_forgotten(&claim.kind) && !stored.contains(claim);
            let told: Vec<_> = told.into_iter().filter(|claim| !doubtful(claim)).collect();
            ensure!(
                told == found,
                "the events of tenant {tenant} in {} come down to {} claims, stored are {}; they are not the same",
                domain.service,
                told.len(),
                found.len()
            );
            compared += found.len();
        }
        store.close().await;
    }
    let how = if key.is_some() { "by value" } else { "by kind and holder; configure the claim key to compare values" };
    Ok(((), format!("{compared} claims, {how}")))
}

/// Builds all read models.
pub async fn build(context: &Context) -> Result<((), String)> {
    let built = load::build(context).await?;
    let parked: u64 = built.iter().map(|one| one.parked_events).sum();
    let read: u64 = built.iter().map(|one| one.events).sum();
    // Events that are parked in the running system are parked here too, so this is no fault of the backup.
    let parked = if parked == 0 { String::new() } else { format!(", {parked} events parked") };
    Ok(((), format!("{} read models from {read} events{parked}", built.len())))
}

async fn snapshots<'a>(context: &Context, archive: &'a Archive) -> Result<Vec<(&'a ServicePart, Snapshot)>> {
    let logs = &archive.manifest.services;
    let services = logs.iter().map(|log| context::service(&log.service)).collect::<Result<Vec<Service>>>()?;
    let databases: Vec<_> = services.iter().map(|service| context.config.database(*service)).collect();
    let snapshots = freeze(&databases).await.context("the restored logs can't be read")?;
    Ok(logs.iter().zip(snapshots).collect())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the manifest's tenants are those of the log that was just compared with it"
)]
fn tenants(log: &ServicePart) -> impl Iterator<Item = TenantId> {
    log.tenants.iter().map(|tenant| TenantId::vouched(tenant.tenant_id))
}
