//! Copies one tenant's history up to a time to a new tenant.
//!
//! Payloads, metadata, aggregate ids, sequences and `occurred_at` stay as they are, so references hold within the new tenant. Tenant,
//! positions, event ids, `recorded_at` and so the leaf hashes are new, as are aggregate ids that equal the tenant's id. Personal data is
//! encrypted under new keys of the new tenant, as far as the running log still has the old keys: people who were erased since stay erased,
//! even if the history comes from an older backup. Claims are taken again from the events. The following is not copied:
//! - stored commands: their ids are free in the new tenant;
//! - the service [`AUTH`]: credentials that were revoked or rotated since would be valid in the copy;
//! - webhooks, schedules and jobs, so that nobody outside is notified. Copied events start no sagas either (`log.copied`).
//!
//! The tenant is added to the directory last, so that nobody writes to it meanwhile. If the copy is not completed, it is given up: what was
//! copied is destroyed, because nobody could delete a tenant that is not in the directory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use chrono::{DateTime, Utc};
use directory::{
    Directory, DirectoryError, RestoredTenant, Tenant, TenantStanding, admin_options, check_keys, open_log,
};
use eventstore::backup::{Graft, StoredEvent};
use eventstore::sealing::Copying;
use eventstore::{EventStore, PAGE_BYTES, ReplayFilter};
use executor::ClaimHistory;
use futures::StreamExt;
use gateway::{DomainDefinition, SERVICES};
use indicatif::ProgressBar;
use kernel::{Clock, IdSource, Position, RecordedEvent, SystemClock, SystemIds, TenantId};
use serde_json::json;

use super::archive::Archive;
use super::archive::rows::{EventRow, TenantRow};
use super::verify;
use crate::context::{self, Context};
use crate::failure::reasons;
use crate::output::{self, Format};
use crate::{progress, signals};

/// Maximum number of events of one transaction; it also ends at [`PAGE_BYTES`]. Other appends wait for some ten milliseconds at a time.
const CHUNK: usize = 1_000;

/// The service that is not copied.
const AUTH: &str = "auth";

/// How long a copy that is given up is destroyed for as long as read models of a running server are behind, and the pauses meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// Where the history is read from.
enum Source<'a> {
    Backup(&'a Archive),
    Log,
}

/// Copies the history to a new tenant and prints the result.
pub async fn run(
    context: &Context,
    archive: Option<&Archive>,
    tenant: &str,
    as_of: Option<DateTime<Utc>>,
    into: &str,
) -> Result<()> {
    let began = Instant::now();
    let key = config::claim_key(&context.config)
        .context("postgres.claim_key (INOPSIO_CLAIM_KEY) is needed to take the claims")?;
    let directory = Directory::open(&context.config);
    directory.check_free(into).await?;
    let source = archive.map_or(Source::Log, Source::Backup);
    let from = source.tenant(context, tenant).await?;
    if let Source::Backup(archive) = source {
        // Verify the whole backup before the first row is written: appended events can't be removed.
        let bar = progress::bar(archive.manifest.rows(), "rows verified");
        let verified = verify::verify(archive, &bar).await;
        bar.finish_and_clear();
        verified?;
    }
    let sandbox = Tenant {
        tenant_id: new_tenant(),
        slug: into.to_owned(),
        name: from.name.clone(),
        created_at: SystemClock.now(),
    };
    let mut found = Vec::new();
    for service in services() {
        let wanted = source.find(context, service, from.tenant_id, as_of).await?;
        found.push((context::domain(service)?, wanted));
    }
    let total: u64 = found.iter().map(|(_, wanted)| wanted.events).sum();
    if total == 0 {
        let when = as_of.map_or_else(String::new, |at| format!(" recorded by {}", kernel::write_time(at)));
        bail!("the tenant {tenant} has no events{when}; nothing was written");
    }
    // Keys always come from the running log, also when the events come from a backup. Its claims have to be hashed under our key.
    check_keys(&context.config, &found.iter().map(|(domain, _)| domain.service).collect::<Vec<_>>()).await?;
    let mut stop = std::pin::pin!(signals::stop()?);
    let bar = progress::bar(total, "events");
    let copied = tokio::select! {
        copied = Box::pin(source.copy(context, found, &sandbox, &key, &bar)) => copied,
        () = &mut stop => Err(anyhow!("stopped")),
    };
    bar.finish_and_clear();
    // Not stopped any more: whoever gave up a tenant that is just being added to the directory would destroy it.
    let made = match copied {
        Ok(copied) => Box::pin(put_into_use(context, &directory, &sandbox, copied)).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(appended) => say(context.format, &from, &sandbox, as_of, &appended, began.elapsed()),
        Err(error) => {
            give_up(context, &directory, sandbox.tenant_id).await;
            Err(error)
        }
    }
}

/// Adds the new tenant, whose copy is complete, to the directory. Returns what was appended.
async fn put_into_use(
    context: &Context,
    directory: &Directory,
    sandbox: &Tenant,
    copied: Copied,
) -> Result<Vec<(kernel::Service, u64, usize)>> {
    // The source may be suspended at its end; the copy is put into use all the same, as that is what it is made for.
    if copied.shut {
        gateway::activate_copy(&context.config, sandbox.tenant_id).await.context("the copy can't be put into use")?;
    }
    directory.restore(&[RestoredTenant::here(sandbox.clone(), TenantStanding::Active)]).await?;
    Ok(copied.appended)
}

/// The services that are copied.
fn services() -> impl Iterator<Item = kernel::Service> {
    SERVICES.iter().copied().filter(|service| service.name() != AUTH)
}

/// Destroys what was copied for a tenant, unless the tenant is in the directory. Says what could not be destroyed.
async fn give_up(context: &Context, directory: &Directory, tenant: TenantId) {
    match directory.find(&tenant.to_string()).await {
        Err(DirectoryError::Unknown(_)) => {}
        // Only the answer got lost.
        Ok(tenant) => {
            output::tell(format!("inopsio: the copy is complete all the same, as the tenant {}", tenant.slug));
            return;
        }
        Err(error) => {
            let unknown = format!("whether the tenant {tenant} is in the directory is not known, so its copy stays");
            output::tell(format!("inopsio: {unknown}: {error}"));
            return;
        }
    }
    let until = Instant::now() + PATIENCE;
    for service in services() {
        if let Err(error) = give_up_in(context, service, tenant, until).await {
            output::tell(format!("inopsio: the log of {service}: {}", reasons(&error)));
        }
    }
}

async fn give_up_in(context: &Context, service: kernel::Service, tenant: TenantId, until: Instant) -> Result<()> {
    let (admin, database) = (admin_options(&context.config)?, context.config.database(service));
    let given_up = Graft::give_up(&admin, &database, tenant).await;
    let appended = given_up.with_context(|| format!("the keys of the tenant {tenant} could not be deleted"))?;
    if !appended {
        return Ok(());
    }
    output::tell(format!("inopsio: the copy is given up, and what is in the log of {service} is destroyed"));
    let domain = context::domain(service)?;
    let read_models: Vec<_> = domain.projections.iter().map(|projection| projection.name()).collect();
    loop {
        match eventstore::destroy(&database, tenant, &read_models).await {
            Ok(()) => return Ok(()),
            // A server that runs has yet to apply some of it.
            Err(_) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                return Err(error).context(
                    "nobody can decrypt what was copied, but read models may have some of it: rebuild them with `inopsio projection rebuild`",
                );
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a new tenant, of whom nobody has anything yet")]
fn new_tenant() -> TenantId {
    TenantId::vouched(SystemIds.next())
}

/// The events of one log that are copied.
struct Wanted {
    service: kernel::Service,
    tenant: TenantId,
    as_of: Option<DateTime<Utc>>,
    /// The end of the source's log. Later events are not copied, such as those of the new tenant itself.
    to: Position,
    /// Number of selected events.
    events: u64,
}

impl Wanted {
    fn filter(&self) -> ReplayFilter {
        // `recorded_until` is exclusive, `as_of` is inclusive, and the log's times have microseconds.
        let recorded_until = self.as_of.map(|at| at + chrono::TimeDelta::microseconds(1));
        ReplayFilter { recorded_until, to: Some(self.to), ..ReplayFilter::default() }
    }

    fn takes(&self, event: &RecordedEvent) -> bool {
        event.tenant == self.tenant && self.as_of.is_none_or(|at| event.recorded_at <= at)
    }
}

impl Source<'_> {
    async fn tenant(&self, context: &Context, name: &str) -> Result<Tenant> {
        match self {
            Self::Log => Ok(Directory::open(&context.config).find_here(name).await?),
            Self::Backup(archive) => {
                let tenants = archive.all::<TenantRow>(&archive.manifest.directory).await?;
                let named = |tenant: &Tenant| tenant.slug == name || tenant.tenant_id.to_string() == name;
                tenants
                    .into_iter()
                    .map(|(tenant, _)| tenant)
                    .find(named)
                    .with_context(|| format!("the backup has no tenant {name}"))
            }
        }
    }

    async fn find(
        &self,
        context: &Context,
        service: kernel::Service,
        tenant: TenantId,
        as_of: Option<DateTime<Utc>>,
    ) -> Result<Wanted> {
        let mut wanted = Wanted { service, tenant, as_of, to: Position::START, events: 0 };
        match self {
            Self::Log => {
                let store = context.store(service).await?;
                wanted.to = store.head().await?;
                wanted.events = store.count(tenant, &wanted.filter()).await?;
                store.close().await;
            }
            Self::Backup(archive) => {
                let log = archive.service(service.name())?;
                wanted.to = log.position;
                let mut batches = archive.rows::<EventRow>(&log.events);
                while let Some(batch) = batches.recv().await {
                    wanted.events += batch?.iter().filter(|stored| wanted.takes(&stored.event)).count() as u64;
                }
            }
        }
        Ok(wanted)
    }

    /// Copies everything that was found.
    async fn copy(
        &self,
        context: &Context,
        found: Vec<(DomainDefinition, Wanted)>,
        sandbox: &Tenant,
        key: &[u8; 32],
        bar: &ProgressBar,
    ) -> Result<Copied> {
        let mut copied = Copied { appended: Vec::new(), shut: false };
        for (domain, wanted) in found {
            let played = self.play(context, &domain, &wanted, sandbox, key, bar).await;
            let played = played.with_context(|| format!("the log of {}", domain.service))?;
            copied.shut |= played.shut;
            copied.appended.push((domain.service, wanted.events, played.claims));
        }
        Ok(copied)
    }

    /// Appends the selected events for the new tenant and takes their claims.
    async fn play(
        &self,
        context: &Context,
        domain: &DomainDefinition,
        wanted: &Wanted,
        sandbox: &Tenant,
        key: &[u8; 32],
        bar: &ProgressBar,
    ) -> Result<Played> {
        let admin = admin_options(&context.config)?;
        let database = context.config.database(domain.service);
        let store = open_log(&context.config, wanted.service, Arc::new(SystemClock)).await?;
        let mut target = Target {
            copying: store.copying_for(sandbox.tenant_id).await.context("the new tenant can't have a key")?,
            store: store.clone(),
            graft: Graft::begin(&admin, &database, sandbox.tenant_id).await?,
            claims: (domain.claims)(),
            of: wanted.tenant,
            tenant: sandbox.tenant_id,
            chunk: Vec::with_capacity(CHUNK),
            bytes: 0,
            events: 0,
            shut: false,
            bar,
        };
        match self {
            Self::Log => {
                let mut events = std::pin::pin!(store.replay(wanted.tenant, wanted.filter()));
                while let Some(event) = events.next().await {
                    target.take(event?).await?;
                }
            }
            Self::Backup(archive) => {
                let mut batches = archive.rows::<EventRow>(&archive.service(wanted.service.name())?.events);
                while let Some(batch) = batches.recv().await {
                    for StoredEvent { event, .. } in batch?.into_iter().filter(|stored| wanted.takes(&stored.event)) {
                        target.take(event).await?;
                    }
                }
            }
        }
        target.flush().await?;
        ensure!(target.events == wanted.events, "{} events of {} came", target.events, wanted.events);
        let claims = target.claims.held().stored(key, sandbox.tenant_id);
        let erased = target.graft.finish(&claims, target.copying.as_ref()).await?;
        if erased > 0 {
            output::tell(format!(
                "inopsio: {erased} people of {} were erased while they were copied. Nobody can decrypt what is in the log of them, but \
                 read models may have it: rebuild them with `inopsio projection rebuild`",
                wanted.service
            ));
        }
        store.close().await;
        Ok(Played { claims: claims.len(), shut: target.shut })
    }
}

/// The result for all logs.
struct Copied {
    /// The numbers of events and claims of each service.
    appended: Vec<(kernel::Service, u64, usize)>,
    /// Whether the source tenant was suspended or to be deleted after the last copied event of a log.
    shut: bool,
}

/// The result for one log.
struct Played {
    /// Number of claims taken.
    claims: usize,
    /// Whether the source tenant was suspended or to be deleted after the last copied event.
    shut: bool,
}

/// The log that the events are appended to.
struct Target<'a> {
    graft: Graft,
    /// The running log.
    store: EventStore,
    /// Encrypts for the new tenant; none if nothing is encrypted.
    copying: Option<Copying>,
    claims: Box<dyn ClaimHistory>,
    /// The source tenant.
    of: TenantId,
    /// The new tenant.
    tenant: TenantId,
    chunk: Vec<RecordedEvent>,
    /// Total size of the events in the chunk.
    bytes: usize,
    events: u64,
    /// Whether the source tenant is suspended or to be deleted, as of the last event.
    shut: bool,
    bar: &'a ProgressBar,
}

impl Target<'_> {
    async fn take(&mut self, event: RecordedEvent) -> Result<()> {
        self.bytes += event.bytes();
        self.chunk.push(event);
        if self.chunk.len() == CHUNK || self.bytes >= PAGE_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let mut chunk = std::mem::take(&mut self.chunk);
        self.bytes = 0;
        if chunk.is_empty() {
            return Ok(());
        }
        // Claims are computed from decrypted events, because claimed values are personal data too.
        for mut event in self.store.opened(chunk.clone()).await? {
            self.rename(&mut event);
            self.claims.observe(&event)?;
            if let Some(standing) = TenantStanding::after(&event)? {
                self.shut = standing != TenantStanding::Active;
            }
        }
        if let Some(copying) = &mut self.copying {
            copying.seal(&self.store, &mut chunk).await?;
        }
        for event in &mut chunk {
            self.rename(event);
        }
        let count = chunk.len() as u64;
        self.graft.append(chunk, self.copying.as_mut(), &SystemClock).await?;
        self.events += count;
        self.bar.inc(count);
        Ok(())
    }

    /// Replaces the source tenant's id by the new one's where it is the aggregate id.
    fn rename(&self, event: &mut RecordedEvent) {
        if event.aggregate_id == self.of.to_string() {
            event.aggregate_id = self.tenant.to_string();
        }
    }
}

fn say(
    format: Format,
    from: &Tenant,
    sandbox: &Tenant,
    as_of: Option<DateTime<Utc>>,
    appended: &[(kernel::Service, u64, usize)],
    took: Duration,
) -> Result<()> {
    if format == Format::Json {
        let services = appended
            .iter()
            .map(|(service, events, claims)| json!({ "service": service.name(), "events": events, "claims": claims }));
        return output::print_json(&json!({
            "from": from.slug,
            "as_of": as_of,
            "tenant": sandbox,
            "services": services.collect::<Vec<_>>(),
            "seconds": took.as_secs_f64(),
        }));
    }
    let events: u64 = appended.iter().map(|(_, events, _)| events).sum();
    let claims: usize = appended.iter().map(|(_, _, claims)| claims).sum();
    let when = as_of.map_or_else(|| "as it is".to_owned(), |at| format!("as of {}", kernel::write_time(at)));
    output::print(format!(
        "{} ({}) is {} {when}: {events} events, {claims} claims, in {:.1} s",
        sandbox.slug,
        sandbox.tenant_id,
        from.slug,
        took.as_secs_f64()
    ))
}
