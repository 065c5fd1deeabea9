//! Restores a backup into the databases of a configuration, each service completely or not at all.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use coordinator::backup::SagaProgress;
use deadletters::backup::StoredLetter;
use directory::{Directory, RestoredTenant, Tenant, TenantStanding, admin_options};
use eventstore::admin::Mode;
use eventstore::backup::{self, Head, Restore, Secrets, freeze};
use eventstore::sealing::wrapped_by;
use gateway::Config;
use indicatif::ProgressBar;
use kernel::{DecodeError, Position, RecordedEvent, Service, TenantId};
use serde::Serialize;
use uuid::Uuid;

use super::archive::rows::TenantRow;
use super::archive::{Archive, Manifest, ServicePart};
use super::compare::compare;
use super::excluded_tenants::ExcludedTenants;
use super::read_log::read_log;
use super::selection::Selection;
use super::side_tables;
use crate::context;
use crate::progress;

/// The event that ends a tenant's life, and the service whose log has it.
const DELETED: &str = "user.tenant.deleted";
const OF_TENANTS: &str = "user";

/// A log that is filled but not committed yet, its end, and the position up to which sagas have read it.
type LoadedLog = (Restore, Head, Position);

/// Restores into empty databases. Hashes and seals are checked while rows are written, and nothing is committed before all checks pass.
///
/// The services are committed one after the other, the directory before them. If that was interrupted, the next run continues: it compares
/// what the first one has committed with the backup, and restores the rest. Returns the services that were restored before.
///
/// # Errors
/// If the backup has other services, if the logs are neither empty nor restored from it, if the directory has other tenants, or if anything
/// differs from the manifest. Nothing was written then, except that empty databases were created.
pub async fn load(
    config: &Config,
    archive: &Archive,
    selected: Selection<'_>,
    bar: &ProgressBar,
) -> Result<Vec<Service>> {
    let Selection { excluded, rehearsed, .. } = selected;
    let admin = admin_options(config)?;
    let services = services(archive)?;
    let before = restored_before(config, archive, selected).await?;
    let mut tenants = archive.all::<TenantRow>(&archive.manifest.directory).await?;
    let with_events_only = tenants_with_events_only(&archive.manifest, &tenants);
    tenants.retain(|(tenant, _)| !excluded.has(tenant.tenant_id));
    let secrets = if rehearsed { None } else { side_tables::secrets(config, &archive.manifest).await? };
    gateway::migrate(config, Mode::Apply).await?;
    let mut restored = Vec::with_capacity(services.len());
    for (service, log) in services.iter().zip(&archive.manifest.services) {
        let (database, (head, sagas_read_to)) = (config.database(*service), end(log));
        let restore = if before.contains(service) {
            Restore::reopen(&admin, &database, head, sagas_read_to).await?
        } else {
            let mut restore = Restore::begin(&admin, &database).await?;
            fill(&mut restore, archive, log, selected, secrets.as_ref(), bar).await?;
            restore
        };
        restored.push((restore, head, sagas_read_to));
    }
    let status_events = last_status_events(archive, &mut restored).await?;
    close_deleted(&status_events, excluded, with_events_only, &mut restored).await?;
    Directory::open(config).restore(&with_standing(tenants, &status_events)?).await?;
    for (restore, head, sagas_read_to) in restored {
        let service = restore.service();
        restore.finish(head, sagas_read_to).await.with_context(|| {
            format!("{service} may not be committed; run the same command again, which continues with what is missing")
        })?;
    }
    Ok(before)
}

/// The services that an earlier run has restored, after their databases were compared with the backup. All others have to be empty.
async fn restored_before(config: &Config, archive: &Archive, selected: Selection<'_>) -> Result<Vec<Service>> {
    let admin = admin_options(config)?;
    // A rehearsal restores no tables beside the logs, so these need not be empty: the operator may have paused queues there beforehand.
    let tables: Vec<_> = side_tables::tables().filter(|_| !selected.rehearsed).collect();
    let (mut services, mut logs, mut databases) = (Vec::new(), Vec::new(), Vec::new());
    for (service, log) in self::services(archive)?.into_iter().zip(&archive.manifest.services) {
        let (database, (head, sagas_read_to)) = (config.database(service), end(log));
        if backup::is_filled(&admin, &database, head, sagas_read_to).await? {
            services.push(service);
            logs.push(log);
            databases.push(database);
        } else {
            backup::is_empty(&admin, &database, &tables).await?;
        }
    }
    let snapshots = freeze(&databases).await.context("what was restored before can't be read")?;
    for (log, mut snapshot) in logs.into_iter().zip(snapshots) {
        compare(&mut snapshot, archive, log, selected).await.with_context(|| {
            format!(
                "an earlier run restored {}, and that is not confirmed to be what this one would restore there. If it differs, because of \
                 other options or because something was changed since, drop the databases, and restore again",
                log.service
            )
        })?;
    }
    Ok(services)
}

/// Fills an empty log, and the tables beside it.
async fn fill(
    restore: &mut Restore,
    archive: &Archive,
    log: &ServicePart,
    Selection { excluded, trust, rehearsed }: Selection<'_>,
    secrets: Option<&Secrets>,
    bar: &ProgressBar,
) -> Result<()> {
    let restored_log = read_log(archive, log, trust, Some((&mut *restore, excluded)), bar).await;
    restored_log.with_context(|| format!("the log of {}", log.service))?;
    let target = (!rehearsed).then_some(side_tables::Target { restore: &mut *restore, secrets, excluded });
    side_tables::read(archive, log, target, bar).await?;
    restore.copies(&copies(log)).await?;
    if let Some(mark) = &archive.manifest.claim_key_mark {
        restore.claim_key_mark(mark).await?;
    }
    coordinator::backup::restore(restore, &saga_progress(log, excluded)).await?;
    Ok(())
}

/// The end of a restored log, and the position up to which sagas have read it. Backups before version 4 do not record the latter; then all
/// of the log counts as read.
fn end(log: &ServicePart) -> (Head, Position) {
    let sagas_read_to = log.sagas.as_ref().map_or(log.position, |sagas| sagas.looked_up_to);
    (Head { position: log.position, recorded_at: log.recorded_at }, sagas_read_to)
}

/// The copied tenants of a log, as the log stores them.
#[expect(
    clippy::disallowed_methods,
    reason = "the backup was taken from a log, where only authenticated callers wrote"
)]
fn copies(log: &ServicePart) -> Vec<(TenantId, Position)> {
    log.copies.iter().map(|copy| (TenantId::vouched(copy.tenant_id), copy.position)).collect()
}

/// How far sagas have read a log.
#[expect(
    clippy::disallowed_methods,
    reason = "the backup was taken from a log, where only authenticated callers wrote"
)]
fn saga_progress(log: &ServicePart, excluded: &ExcludedTenants) -> SagaProgress {
    let (_, up_to) = end(log);
    let Some(sagas) = &log.sagas else { return SagaProgress { up_to, ..SagaProgress::default() } };
    let skipped = sagas.but.iter().map(|part| (TenantId::vouched(part.tenant_id), part.after, part.to));
    let skipped = skipped.filter(|(tenant, ..)| !excluded.has(*tenant)).collect();
    let letters = sagas.waiting.iter().map(|letter| StoredLetter {
        tenant: TenantId::vouched(letter.tenant_id),
        consumer: letter.consumer.clone(),
        position: letter.position,
    });
    let letters = letters.filter(|letter| !excluded.has(letter.tenant)).collect();
    SagaProgress { up_to, skipped, letters }
}

/// The last event of each tenant that changed its status: suspended, resumed, to be deleted, or deleted.
async fn last_status_events(archive: &Archive, restored: &mut [LoadedLog]) -> Result<Vec<RecordedEvent>> {
    let types: Vec<_> = TenantStanding::TOLD_BY.iter().copied().chain([DELETED]).collect();
    let mut status_events = Vec::new();
    for ((restore, ..), log) in restored.iter_mut().zip(&archive.manifest.services) {
        if restore.service().name() == OF_TENANTS {
            let tenants: Vec<_> = log.tenants.iter().map(|tenant| tenant.tenant_id).collect();
            status_events = restore.last_events(&types, &tenants).await?;
        }
    }
    Ok(status_events)
}

/// Tenants that have events in the backup but no other rows, and are not in its directory. They were deleted, or an earlier restore excluded
/// them, which no event records.
fn tenants_with_events_only(manifest: &Manifest, listed: &[(Tenant, Option<String>)]) -> BTreeSet<Uuid> {
    let of_logs = || manifest.services.iter().flat_map(|log| &log.tenants);
    let having = of_logs().filter(|tenant| [tenant.commands, tenant.claims, tenant.decisions] != [0; 3]);
    let listed = listed.iter().map(|(tenant, _)| tenant.tenant_id.uuid());
    let others: BTreeSet<Uuid> = having.map(|tenant| tenant.tenant_id).chain(listed).collect();
    of_logs().map(|tenant| tenant.tenant_id).filter(|id| !others.contains(id)).collect()
}

/// Marks deleted tenants as closed in every log, and excluded ones too (of this restore or an earlier one): nothing can be written for them,
/// and no read model shows them.
async fn close_deleted(
    status_events: &[RecordedEvent],
    excluded: &ExcludedTenants,
    with_events_only: BTreeSet<Uuid>,
    restored: &mut [LoadedLog],
) -> Result<()> {
    let deleted = status_events.iter().filter(|event| event.event_type == DELETED).map(|event| event.tenant);
    let deleted: Vec<_> = deleted.chain(excluded.ids()).map(TenantId::uuid).chain(with_events_only).collect();
    if deleted.is_empty() {
        return Ok(());
    }
    for (restore, ..) in restored {
        restore.close_deleted(&deleted).await?;
    }
    Ok(())
}

/// The tenants with their status at the time of the backup, so that suspended ones stay suspended.
fn with_standing(
    tenants: Vec<(Tenant, Option<String>)>,
    status_events: &[RecordedEvent],
) -> Result<Vec<RestoredTenant>> {
    let stands = |tenant: &Tenant| {
        let event = status_events.iter().find(|event| event.tenant == tenant.tenant_id);
        Ok::<_, DecodeError>(match event {
            // Its deletion was under way. It continues after the restore and removes the directory's row at its end.
            Some(event) if event.event_type == DELETED => TenantStanding::Deleting,
            Some(event) => TenantStanding::after(event)?.unwrap_or(TenantStanding::Active),
            None => TenantStanding::Active,
        })
    };
    let stood = tenants.into_iter().map(|(tenant, elsewhere)| {
        let standing = stands(&tenant)?;
        Ok::<_, DecodeError>(RestoredTenant { tenant, standing, elsewhere })
    });
    stood.collect::<Result<_, _>>().context("how a tenant stood")
}

/// The services of a backup. Fails if this program does not know one of them.
fn services(archive: &Archive) -> Result<Vec<Service>> {
    let names = archive.manifest.services.iter().map(|log| context::service(&log.service));
    names.collect::<Result<_>>().context("the backup is of another program")
}

/// Checks that the claim key here is the one of the backup, and that all needed master keys are configured, except the lost ones.
/// `rehearsed`: without the tables beside the logs.
pub fn fits(config: &Config, archive: &Archive, lost: &[String], rehearsed: bool) -> Result<()> {
    hashes_alike(config, archive.manifest.claim_key_mark.as_deref())?;
    opens(Some(config), &archive.manifest, lost, rehearsed)
}

/// Checks that the claim key here has the mark that a backup names. Without one there is nothing to compare: whoever took a backup with an
/// earlier program did not need the key.
pub fn hashes_alike(config: &Config, named: Option<&str>) -> Result<()> {
    ensure!(
        named.is_none() || config.log_settings().claim_key_mark.as_deref() == named,
        "the backup is of another cluster: its claims were hashed under another key than postgres.claim_key \
         (INOPSIO_CLAIM_KEY) here, so what is unique there would not be unique here; set the key of the cluster that it was \
         taken from"
    );
    Ok(())
}

/// Checks that all master keys that the backup needs are configured, except the lost ones.
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

/// The result of building one read model.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// The service that it belongs to.
    pub service: &'static str,
    /// The projection's name.
    pub projection: String,
    /// Number of events that were read.
    pub events: u64,
    /// Number of events that could not be applied and were parked.
    pub parked_events: u64,
    /// Duration in seconds.
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
    fn told(tenant: u128, event_type: &str, payload: &'static str) -> ((Tenant, Option<String>), RecordedEvent) {
        let tenant_id = TenantId::vouched(Uuid::from_u128(tenant));
        let created_at = DateTime::UNIX_EPOCH;
        let event = RecordedEvent {
            tenant: tenant_id,
            aggregate_type: "user.tenant".to_owned(),
            aggregate_id: tenant_id.to_string(),
            event_type: event_type.to_owned(),
            payload: payload.into(),
            ..testbed::event(1)
        };
        ((Tenant { tenant_id, slug: format!("t{tenant}"), name: "T".to_owned(), created_at }, None), event)
    }

    #[test]
    fn a_backup_is_of_the_claim_key_that_it_names_or_of_any_if_it_names_none() {
        let (mark, mut config) = (eventstore::claim_key_mark(&[7; 32]), Config::default());
        assert!(hashes_alike(&config, Some(&mark)).is_err(), "no key is configured");
        config.postgres.claim_key = config::SecretText::new("08".repeat(32));
        let refused = hashes_alike(&config, Some(&mark)).unwrap_err().to_string();
        assert!(refused.contains("INOPSIO_CLAIM_KEY"), "{refused}");
        assert!(hashes_alike(&config, None).is_ok());
        config.postgres.claim_key = config::SecretText::new("07".repeat(32));
        assert!(hashes_alike(&config, Some(&mark)).is_ok());
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
        let stood: Vec<_> =
            with_standing(tenants.clone(), &events).unwrap().iter().map(|restored| restored.standing).collect();
        assert_eq!(stood, [Suspended, Active, Deleting, Active, Suspended, Deleting]);
        assert!(
            with_standing(tenants, &[]).unwrap().iter().all(|restored| restored.standing == Active),
            "nothing was ever told of them"
        );
        let (tenant, unreadable) = told(1, "user.tenant.suspended", "{}");
        assert!(with_standing(vec![tenant], &[unreadable]).is_err(), "nobody is let in by what can't be read");
    }
}
