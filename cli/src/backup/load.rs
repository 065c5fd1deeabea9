//! From a backup into the databases of a configuration: all of it, or nothing.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use coordinator::backup::Looked;
use deadletters::backup::StoredLetter;
use directory::{Directory, Tenant, TenantStanding, admin_options};
use eventstore::backup::{self, Head, Restore};
use eventstore::sealing::wrapped_by;
use gateway::Config;
use indicatif::ProgressBar;
use kernel::{DecodeError, Position, RecordedEvent, Service, TenantId};
use serde::Serialize;
use uuid::Uuid;

use super::archive::manifest::claim_key_mark;
use super::archive::rows::TenantRow;
use super::archive::{Archive, Manifest, ServicePart};
use super::beside;
use super::excluded_tenants::ExcludedTenants;
use super::pour::pour;
use super::seals::Trust;
use crate::context;
use crate::progress;

/// The last event of a tenant, and whose event it is.
const DELETED: &str = "user.tenant.deleted";
const OF_TENANTS: &str = "user";

/// A log that is whole and not committed yet; where it ends, and up to where it was looked at for sagas.
type LoadedLog = (Restore, Head, Position);

/// Fills empty databases. Hashes and seals are checked on the way, and nothing is committed before all of them are. Of who is left out,
/// there is history and nothing else, as of a deleted tenant. `trust`: whose seals are written. `rehearsed`: what people set up beside the
/// logs is read, and left out.
///
/// # Errors
/// A backup of other services, logs that are not empty, a directory with other tenants, anything that
/// is not as the manifest says: nothing was written, but for empty databases that were made.
pub async fn load(
    config: &Config,
    archive: &Archive,
    left: &ExcludedTenants,
    trust: &Trust,
    rehearsed: bool,
    bar: &ProgressBar,
) -> Result<()> {
    let admin = admin_options(config)?;
    let services = services(archive)?;
    // A rehearsal brings nothing in beside the logs: whoever paused queues for it beforehand did well.
    let tables: Vec<_> = beside::tables().filter(|_| !rehearsed).collect();
    for service in &services {
        backup::is_empty(&admin, &config.database(*service), &tables).await?;
    }
    let mut tenants = archive.all::<TenantRow>(&archive.manifest.directory).await?;
    let bare = bare(&archive.manifest, &tenants);
    tenants.retain(|tenant| !left.has(tenant.tenant_id));
    let secrets = if rehearsed { None } else { beside::secrets(config, &archive.manifest).await? };
    gateway::migrate(config, false).await?;
    let mut poured = Vec::with_capacity(services.len());
    for (service, log) in services.iter().zip(&archive.manifest.services) {
        let mut restore = backup::Restore::begin(&admin, &config.database(*service)).await?;
        let poured_log = pour(archive, log, trust, Some((&mut restore, left)), bar).await;
        poured_log.with_context(|| format!("the log of {service}"))?;
        let secrets = secrets.as_ref();
        let target = (!rehearsed).then_some(beside::Target { restore: &mut restore, secrets, left });
        beside::pour(archive, log, target, bar).await?;
        restore.copies(&copies(log)).await?;
        let looked = looked(log, left);
        coordinator::backup::restore(&mut restore, &looked).await?;
        poured.push((restore, Head { position: log.position, recorded_at: log.recorded_at }, looked.up_to));
    }
    let told = told_of_tenants(archive, &mut poured).await?;
    close_deleted(&told, left, bare, &mut poured).await?;
    Directory::open(config).restore(&stand(tenants, &told)?).await?;
    for (restore, head, looked) in poured {
        restore.finish(head, looked).await?;
    }
    Ok(())
}

/// Whose history is a copy, as the log notes it.
#[expect(
    clippy::disallowed_methods,
    reason = "the backup was taken from a log, where only authenticated callers wrote"
)]
fn copies(log: &ServicePart) -> Vec<(TenantId, Position)> {
    log.copies.iter().map(|copy| (TenantId::vouched(copy.tenant_id), copy.position)).collect()
}

/// Up to where a log was looked at for sagas. Before version 4 a backup did not say: all of it was, as it were.
#[expect(
    clippy::disallowed_methods,
    reason = "the backup was taken from a log, where only authenticated callers wrote"
)]
fn looked(log: &ServicePart, left: &ExcludedTenants) -> Looked {
    let Some(sagas) = &log.sagas else { return Looked { up_to: log.position, ..Looked::default() } };
    let but = sagas.but.iter().map(|but| (TenantId::vouched(but.tenant_id), but.after, but.to));
    let but = but.filter(|(tenant, ..)| !left.has(*tenant)).collect();
    let letters = sagas.waiting.iter().map(|letter| StoredLetter {
        tenant: TenantId::vouched(letter.tenant_id),
        consumer: letter.consumer.clone(),
        position: letter.position,
    });
    let letters = letters.filter(|letter| !left.has(letter.tenant)).collect();
    Looked { up_to: sagas.looked_up_to, but, letters }
}

/// What was told last of each tenant: whether it may be used, is to be deleted, or is deleted.
async fn told_of_tenants(archive: &Archive, poured: &mut [LoadedLog]) -> Result<Vec<RecordedEvent>> {
    let types: Vec<_> = TenantStanding::TOLD_BY.iter().copied().chain([DELETED]).collect();
    let mut told = Vec::new();
    for ((restore, ..), log) in poured.iter_mut().zip(&archive.manifest.services) {
        if restore.service().name() == OF_TENANTS {
            let tenants: Vec<_> = log.tenants.iter().map(|tenant| tenant.tenant_id).collect();
            told = restore.last_told(&types, &tenants).await?;
        }
    }
    Ok(told)
}

/// Tenants of whom a backup has history and nothing else, neither beside it nor in the directory: they were deleted, or an earlier restore
/// left them out, which no event tells.
fn bare(manifest: &Manifest, listed: &[Tenant]) -> BTreeSet<Uuid> {
    let of_logs = || manifest.services.iter().flat_map(|log| &log.tenants);
    let having = of_logs().filter(|tenant| [tenant.commands, tenant.claims, tenant.decisions] != [0; 3]);
    let listed = listed.iter().map(|tenant| tenant.tenant_id.uuid());
    let others: BTreeSet<Uuid> = having.map(|tenant| tenant.tenant_id).chain(listed).collect();
    of_logs().map(|tenant| tenant.tenant_id).filter(|id| !others.contains(id)).collect()
}

/// Tenants that were deleted stay so, and those that are or were left out are as if they were: nothing is written for them, and no read
/// model shows them.
async fn close_deleted(
    told: &[RecordedEvent],
    left: &ExcludedTenants,
    bare: BTreeSet<Uuid>,
    poured: &mut [LoadedLog],
) -> Result<()> {
    let deleted = told.iter().filter(|event| event.event_type == DELETED).map(|event| event.tenant);
    let deleted: Vec<_> = deleted.chain(left.ids()).map(TenantId::uuid).chain(bare).collect();
    if deleted.is_empty() {
        return Ok(());
    }
    for (restore, ..) in poured {
        restore.close_deleted(&deleted).await?;
    }
    Ok(())
}

/// Tenants with how they stood: who was shut out stays so.
fn stand(tenants: Vec<Tenant>, told: &[RecordedEvent]) -> Result<Vec<(Tenant, TenantStanding)>> {
    let stands = |tenant: &Tenant| {
        let event = told.iter().find(|event| event.tenant == tenant.tenant_id);
        Ok::<_, DecodeError>(match event {
            // It is being destroyed: that goes on, and ends its row.
            Some(event) if event.event_type == DELETED => TenantStanding::Deleting,
            Some(event) => TenantStanding::after(event)?.unwrap_or(TenantStanding::Active),
            None => TenantStanding::Active,
        })
    };
    let stood = tenants.into_iter().map(|tenant| stands(&tenant).map(|standing| (tenant, standing)));
    stood.collect::<Result<_, _>>().context("how a tenant stood")
}

/// The services of a backup; all of them are this program's.
fn services(archive: &Archive) -> Result<Vec<Service>> {
    let names = archive.manifest.services.iter().map(|log| context::service(&log.service));
    names.collect::<Result<_>>().context("the backup is of another program")
}

/// That the claims of a backup mean here what they meant there, and that what is sealed in it can be opened, but for what lost keys
/// wrapped. `rehearsed`: as for [`load`].
pub fn fits(config: &Config, archive: &Archive, lost: &[String], rehearsed: bool) -> Result<()> {
    let here = config::claim_key(config).map(|key| claim_key_mark(&key));
    ensure!(
        here == archive.manifest.claim_key_mark,
        "the backup is of another cluster: its claims were hashed under another key than postgres.claim_key \
         (INOPSIO_CLAIM_KEY) here, so what is unique there would not be unique here; set the key of the cluster that it was \
         taken from"
    );
    opens(Some(config), &archive.manifest, lost, rehearsed)
}

/// That all master keys are configured by which something in a backup is wrapped, but for those that are lost.
pub fn opens(config: Option<&Config>, manifest: &Manifest, lost: &[String], rehearsed: bool) -> Result<()> {
    let (none, all) = (Config::default(), manifest.master_keys());
    let mut lacking = manifest.lacks(config.unwrap_or(&none));
    for key in lost {
        ensure!(
            all.contains(key),
            "--without-key {key}: the backup does not name this master key; those that it names: {}",
            if all.is_empty() { "none".to_owned() } else { all.iter().cloned().collect::<Vec<_>>().join(", ") }
        );
        ensure!(
            lacking.contains(key),
            "--without-key {key}: this key is configured here, so no tenant has to be left out"
        );
        ensure!(
            rehearsed || manifest.secrets_key.as_deref().map(wrapped_by).as_ref() != Some(key),
            "--without-key {key}: this key also wraps the key of the webhooks' secrets; only `inopsio restore` with --rehearsal, which \
             brings no webhooks, no schedules and no jobs along, can do without it"
        );
    }
    lacking.retain(|key| !lost.contains(key));
    if lacking.is_empty() {
        return Ok(());
    }
    let both = if all.len() > 1 {
        "; it was taken while `inopsio key rewrap` was under way, and needs all of them"
    } else {
        ""
    };
    bail!(
        "the backup is wrapped by master keys that are not configured here: {}{both}. It is of another cluster, or of before another \
         master key followed: set the key that wraps last as auth.master_key (INOPSIO_MASTER_KEY), and the one that it follows as \
         auth.former_master_key (INOPSIO_FORMER_MASTER_KEY). Where one is lost for good, --without-key leaves out the tenants whose \
         keys it wraps",
        lacking.join(" and ")
    )
}

/// A read model that was built.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// Whose.
    pub service: &'static str,
    /// Its name.
    pub projection: String,
    /// Events that were read for it.
    pub events: u64,
    /// Events that it could not apply.
    pub parked_events: u64,
    /// How long that took.
    pub seconds: f64,
}

/// Builds all read models from the logs.
pub async fn build(context: &context::Context) -> Result<Vec<Built>> {
    let admin = admin_options(&context.config)?;
    let mut built = Vec::new();
    for domain in gateway::domains() {
        let database = context.config.database(domain.service);
        let store = context.store(domain.service).await?;
        for projection in &domain.projections {
            let bar = progress::bar(0, "positions");
            let done = projector::rebuild(&admin, &database, &store, projection.as_ref(), |so_far| {
                bar.set_length(so_far.head.0);
                bar.set_position(so_far.position.0);
            })
            .await;
            bar.finish_and_clear();
            let done = done.with_context(|| format!("the read model {}", projection.name()))?;
            built.push(Built {
                service: domain.service.name(),
                projection: projection.name().to_owned(),
                events: done.events,
                parked_events: done.parked_events,
                seconds: done.took.as_secs_f64(),
            });
        }
        store.close().await;
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use directory::TenantStanding::{Active, Deleting, Suspended};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a tenant of a test")]
    fn told(tenant: u128, event_type: &str, payload: &'static str) -> (Tenant, RecordedEvent) {
        let tenant_id = TenantId::vouched(Uuid::from_u128(tenant));
        let at = DateTime::UNIX_EPOCH;
        let event = RecordedEvent {
            tenant: tenant_id,
            position: Position(1),
            event_id: Uuid::nil(),
            aggregate_type: "user.tenant".to_owned(),
            aggregate_id: tenant_id.to_string(),
            sequence: 1,
            event_type: event_type.to_owned(),
            event_version: 1,
            payload: payload.into(),
            metadata: "{}".into(),
            occurred_at: at,
            recorded_at: at,
        };
        (Tenant { tenant_id, slug: format!("t{tenant}"), name: "T".to_owned(), created_at: at }, event)
    }

    #[test]
    fn a_tenant_stands_as_was_told_of_it_last_and_one_that_is_being_destroyed_stays_shut_out() {
        let (tenants, events): (Vec<_>, Vec<_>) = [
            told(1, "user.tenant.suspended", r#"{"reason":"not paid"}"#),
            told(2, "user.tenant.resumed", "{}"),
            told(3, "user.tenant.deletion_requested", r#"{"reason":"left","due_at":"2026-01-01T00:00:00Z"}"#),
            told(4, "user.tenant.restored", "{}"),
            told(5, "user.tenant.restored", r#"{"suspended":true}"#),
            told(6, "user.tenant.deleted", "{}"),
        ]
        .into_iter()
        .unzip();
        let stood: Vec<_> = stand(tenants.clone(), &events).unwrap().into_iter().map(|(_, stands)| stands).collect();
        assert_eq!(stood, [Suspended, Active, Deleting, Active, Suspended, Deleting]);
        assert!(
            stand(tenants, &[]).unwrap().iter().all(|(_, stands)| *stands == Active),
            "nothing was ever told of them"
        );
        let (tenant, unreadable) = told(1, "user.tenant.suspended", "{}");
        assert!(stand(vec![tenant], &[unreadable]).is_err(), "nobody is let in by what can't be read");
    }
}
