//! Creating, suspending and deleting tenants, for operators of the platform (the command line).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use config::Config;
use coordinator::{Coordinator, Instances, Listing, Sagas};
use eventstore::EventStore;
use executor::Executor;
use kernel::{Caller, Grant, Refusal, Role, SystemClock, SystemIds, TenantId};
use keys::{Context, DataKey, SystemRandom};
use nats::Bus;
use tokio_util::sync::CancellationToken;
use user_aggregates::{Tenant as State, TenantStatus};
use user_commands::{RequestTenant, RequestTenantDeletion, RestoreTenant, ResumeTenant, SuspendTenant};
use user_sagas::TenantStanding;

use crate::error::DirectoryError;
use crate::holdings::OF_TENANTS;
use crate::placements::{Placements, PlacementsError};
use crate::tenants::{Directory, Tenant};
use crate::write_side::{WriteSideError, write_side};

/// How long to wait until a new tenant is ready. After that the saga continues if a server runs.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// The permissions of operators: the one that no role of a tenant has, and to see what became of the sagas that they start.
const OPERATE: &[Grant] = &[
    Grant { permission: "user:tenant:operate", roles: &[Role::Admin], meaning: "" },
    Grant { permission: "user:saga:read", roles: &[Role::Admin], meaning: "" },
];

/// The reason why a tenant can't be created or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The write side of the user service can't be opened.
    #[error(transparent)]
    WriteSide(#[from] WriteSideError),
    /// The bus is not configured correctly.
    #[error(transparent)]
    Bus(#[from] nats::Error),
    /// A setting that the sagas need is missing or invalid.
    #[error("{0}")]
    Sagas(String),
    /// An error of the directory.
    #[error("{0}")]
    Directory(#[from] DirectoryError),
    /// The command was refused.
    #[error("{0}")]
    Refused(#[source] Refusal),
    /// The master key can't wrap the tenant's keys at the moment.
    #[error("no tenant can be made now, and nothing was written: {0}")]
    Keyless(keys::Error),
    /// An error of the placements.
    #[error(transparent)]
    Placements(#[from] PlacementsError),
    /// Another process moves or deletes the tenant.
    #[error("the tenant {0} is being moved, or deleted, by another process at this moment; look again")]
    Busy(String),
    /// The tenant could not be created, and the steps that were done are compensated.
    #[error("the tenant {slug} could not be made: {reason}")]
    Abandoned {
        /// Its short name.
        slug: String,
        /// Why, as its saga says.
        reason: String,
    },
    /// The tenant is not ready within a minute.
    #[error(
        "the tenant {slug} is not ready yet: {reason}. A running server makes it as soon as what it needs answers, and gives it up after \
         an hour"
    )]
    NotYet {
        /// Its short name.
        slug: String,
        /// What it waits for, as its saga says.
        reason: String,
    },
}

/// The user service's write side, opened for one command of an operator.
struct UserWriteSide {
    config: Config,
    directory: Directory,
    store: EventStore,
    executor: Executor,
}

impl UserWriteSide {
    async fn open(config: &Config) -> Result<Self, ProvisionError> {
        let (store, executor) = write_side(config, OF_TENANTS).await?;
        Ok(Self { config: config.clone(), directory: Directory::open(config), store, executor })
    }

    async fn execute<C: executor::Command>(&self, tenant: TenantId, command: &C) -> Result<C::Answer, ProvisionError> {
        Ok(self.executor.run(&operator(tenant), command).await.map_err(ProvisionError::Refused)?.answer)
    }

    async fn status(&self, tenant: TenantId) -> Result<TenantStatus, ProvisionError> {
        let loaded = self.executor.load::<State>(&operator(tenant), &tenant.to_string()).await;
        let found = loaded.map_err(ProvisionError::Refused)?;
        Ok(found.map(|(state, _)| state.status).unwrap_or_default())
    }

    /// Executes a command that brings a tenant to the status `to`. Returns whether it had another status before.
    async fn transition<C: executor::Command>(
        &self,
        tenant: TenantId,
        command: &C,
        to: TenantStatus,
    ) -> Result<bool, ProvisionError> {
        let before = self.status(tenant).await?;
        self.execute(tenant, command).await?;
        Ok(before != to)
    }

    /// Runs the sagas in this process, unless a server runs them, until the tenant is ready or its creation has failed.
    async fn run_sagas_until_ready(
        &self,
        tenant: TenantId,
        slug: &str,
        sagas: impl FnOnce(&Bus) -> Result<Option<Sagas>, ProvisionError>,
    ) -> Result<(), ProvisionError> {
        let bus = Bus::connect(&self.config.bus_settings()).await?;
        let Some(sagas) = sagas(&bus)? else { return Ok(()) };
        let (database, clock) = (self.config.database(OF_TENANTS), Arc::new(SystemClock));
        let repository = sagas.repository(self.executor.clone());
        let instances = Instances::new(&database, sagas.clone(), repository.clone());
        let settings = coordinator::Settings::default();
        let coordinator = Coordinator::new(&database, self.store.clone(), None, sagas, repository, clock, settings);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(coordinator.run(shutdown.clone()));
        let ended = self.wait_until_ready(tenant, slug, &instances).await;
        shutdown.cancel();
        // The task ends after the cancellation; its result does not matter.
        let _ = running.await;
        let _ = bus.close().await;
        ended
    }

    /// Polls until the tenant is ready, or its creation has failed.
    async fn wait_until_ready(
        &self,
        tenant: TenantId,
        slug: &str,
        instances: &Instances,
    ) -> Result<(), ProvisionError> {
        let deadline = tokio::time::Instant::now() + READY_TIMEOUT;
        loop {
            match self.status(tenant).await? {
                TenantStatus::Deleted => return Ok(()),
                TenantStatus::Abandoned => {
                    let reason = reason(tenant, instances).await?;
                    return Err(ProvisionError::Abandoned { slug: slug.to_owned(), reason });
                }
                // The saga opens the entry in the directory a moment after the log has the status.
                TenantStatus::Active | TenantStatus::Suspended | TenantStatus::Deleting
                    if self.is_open(tenant).await? =>
                {
                    return Ok(());
                }
                _ if tokio::time::Instant::now() > deadline => {
                    let reason = reason(tenant, instances).await?;
                    return Err(ProvisionError::NotYet { slug: slug.to_owned(), reason });
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn is_open(&self, tenant: TenantId) -> Result<bool, ProvisionError> {
        match self.directory.find(&tenant.to_string()).await {
            Ok(_) => Ok(true),
            Err(DirectoryError::Unknown(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn operator(tenant: TenantId) -> Caller {
    Caller::new(tenant, "operator", &[Role::Admin], OPERATE)
}

/// What the saga that creates a tenant says of why it was given up, or what it waits for. The tenant is not in the directory, so no other
/// command shows it.
async fn reason(tenant: TenantId, instances: &Instances) -> Result<String, ProvisionError> {
    let listing = Listing { saga: Some("provision_tenant".to_owned()), limit: 1, ..Listing::default() };
    // Lists are some milliseconds behind the log.
    for _ in 0..50 {
        let found = instances.list(&operator(tenant), &listing).await.map_err(ProvisionError::Refused)?;
        let reason = found.into_iter().find_map(|saga| saga.reason.filter(|reason| !reason.is_empty()));
        if let Some(reason) = reason {
            return Ok(reason);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok("its saga was not attempted yet".to_owned())
}

/// Creates a tenant by the saga `provision_tenant`, which runs in this process unless a server runs it. `sagas` returns the sagas of the
/// user service.
///
/// # Errors
/// When the short name is taken or invalid, or something that the saga needs does not answer.
pub async fn provision(
    config: &Config,
    slug: &str,
    name: &str,
    owner: Option<String>,
    sagas: impl FnOnce(&Bus) -> Result<Option<Sagas>, ProvisionError>,
) -> Result<Tenant, ProvisionError> {
    let directory = Directory::open(config);
    // An early check for a better error. The saga reserves the short name, which decides.
    directory.check_free(slug).await?;
    let users = UserWriteSide::open(config).await?;
    let tenant = directory.new_id(&SystemIds);
    if let Err(error) = check_master_key(config, tenant).await {
        users.store.close().await;
        return Err(error);
    }
    let made = async {
        users.execute(tenant, &RequestTenant { slug: slug.to_owned(), name: name.to_owned(), owner }).await?;
        users.run_sagas_until_ready(tenant, slug, sagas).await
    };
    let made = made.await;
    users.store.close().await;
    made?;
    Ok(directory.find(slug).await?)
}

/// Checks that the master key can wrap a tenant's keys now. Otherwise the tenant would be requested and remain unfinished for an unknown
/// time.
async fn check_master_key(config: &Config, tenant: TenantId) -> Result<(), ProvisionError> {
    let master = config.master_key().ok_or(WriteSideError::MasterKey)?;
    let context = Context { tenant, purpose: "provision", subject: "" };
    let key = DataKey::generate(&SystemRandom).map_err(ProvisionError::Keyless)?;
    master.wrap(context, &key).await.map(drop).map_err(ProvisionError::Keyless)
}

/// Activates a copy of another tenant. After its history was imported, the copy has the other tenant's status, such as suspended or being
/// deleted.
///
/// # Errors
/// As [`suspend`].
pub async fn activate_copy(config: &Config, copy: TenantId) -> Result<(), ProvisionError> {
    let users = UserWriteSide::open(config).await?;
    let stood = async {
        if users.status(copy).await? == TenantStatus::Deleting {
            users.execute(copy, &RestoreTenant).await?;
        }
        // A restored tenant is suspended again if it was before its deletion was requested.
        if users.status(copy).await? == TenantStatus::Suspended {
            users.execute(copy, &ResumeTenant).await?;
        }
        Ok::<_, ProvisionError>(())
    };
    let stood = stood.await;
    users.store.close().await;
    stood
}

/// Suspends a tenant: all requests of its users and machines are refused until it is resumed. False if it was suspended already.
///
/// # Errors
/// When there is no such tenant, or the log can't be written.
pub async fn suspend(config: &Config, tenant: &Tenant, reason: &str) -> Result<bool, ProvisionError> {
    let users = UserWriteSide::open(config).await?;
    let done =
        users.transition(tenant.tenant_id, &SuspendTenant { reason: reason.to_owned() }, TenantStatus::Suspended).await;
    users.store.close().await;
    done
}

/// Resumes a suspended tenant. False if it was active already.
///
/// # Errors
/// As [`suspend`].
pub async fn resume(config: &Config, tenant: &Tenant) -> Result<bool, ProvisionError> {
    let users = UserWriteSide::open(config).await?;
    let done = users.transition(tenant.tenant_id, &ResumeTenant, TenantStatus::Active).await;
    users.store.close().await;
    done
}

/// A requested deletion of a tenant.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// The tenant.
    pub tenant: Tenant,
    /// When the tenant will be deleted.
    pub due_at: DateTime<Utc>,
    /// Whether the deletion had been requested before, and nothing was changed.
    pub before: bool,
}

/// Requests the deletion of a tenant. It is closed at once, and deleted after `grace_days` days by the saga `delete_tenant` of the server.
/// Until then it can be [restored](restore). If the deletion was requested before, its time and reason do not change.
///
/// # Errors
/// When the tenant is not in this cell, is being moved, or has an old copy in another cell; otherwise as [`suspend`].
pub async fn delete(config: &Config, slug: &str, reason: &str, grace_days: u32) -> Result<Deletion, ProvisionError> {
    let directory = Directory::open(config);
    let tenant = directory.find_here(slug).await?;
    // A move takes the same lock, so no move is in progress or begins while the deletion is requested.
    let lock = directory.lock_place(tenant.tenant_id).await?;
    let _lock = lock.ok_or_else(|| ProvisionError::Busy(tenant.slug.clone()))?;
    Placements::of(&directory).place(tenant.tenant_id).await?.delete().map_err(PlacementsError::from)?;
    let before = directory.is_being_deleted(tenant.tenant_id).await?;
    let users = UserWriteSide::open(config).await?;
    // Recorded in the directory before the command: if this process is killed in between, the tenant can't be moved away from its deletion.
    // Requesting the deletion again, or restoring the tenant, makes both agree.
    let asked = async {
        directory.note_standing(tenant.tenant_id, TenantStanding::Deleting).await?;
        let asked = RequestTenantDeletion { reason: reason.to_owned(), grace_days };
        match users.execute(tenant.tenant_id, &asked).await {
            Ok(due_at) => Ok(due_at),
            Err(refused) => {
                // Records the status of the log, because a command without an answer may have been executed. If the log can't be read, the
                // directory keeps the status "deleting".
                if let Some(standing) = users.status(tenant.tenant_id).await.ok().and_then(standing_if_kept) {
                    directory.note_standing(tenant.tenant_id, standing).await?;
                }
                Err(refused)
            }
        }
    };
    let asked: Result<_, ProvisionError> = asked.await;
    users.store.close().await;
    let due_at = asked?;
    // Recorded again, because the saga that records earlier status changes may have overwritten it meanwhile.
    directory.note_standing(tenant.tenant_id, TenantStanding::Deleting).await?;
    Ok(Deletion { tenant, due_at, before })
}

/// The directory's status for a tenant that is not being deleted by the log; `None` if it is, or never became active.
const fn standing_if_kept(status: TenantStatus) -> Option<TenantStanding> {
    match status {
        TenantStatus::Requested | TenantStatus::Active => Some(TenantStanding::Active),
        TenantStatus::Suspended => Some(TenantStanding::Suspended),
        TenantStatus::Abandoned | TenantStatus::Deleting | TenantStatus::Deleted => None,
    }
}

/// A restored tenant.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The tenant.
    pub tenant: Tenant,
    /// Whether it is suspended, as before the deletion was requested.
    pub suspended: bool,
    /// Whether its deletion had been requested; otherwise nothing was changed.
    pub changed: bool,
}

/// Cancels a requested deletion. The tenant gets the status that it had before.
///
/// # Errors
/// When it is deleted already; otherwise as [`suspend`].
pub async fn restore(config: &Config, slug: &str) -> Result<Restored, ProvisionError> {
    let directory = Directory::open(config);
    let tenant = directory.find_here(slug).await?;
    // The lock keeps the order of status changes in the directory the same as in the log.
    let lock = directory.lock_place(tenant.tenant_id).await?;
    let _lock = lock.ok_or_else(|| ProvisionError::Busy(tenant.slug.clone()))?;
    let users = UserWriteSide::open(config).await?;
    let restored = async {
        let before = users.status(tenant.tenant_id).await?;
        users.execute(tenant.tenant_id, &RestoreTenant).await?;
        Ok::<_, ProvisionError>((before, users.status(tenant.tenant_id).await?))
    };
    let restored = restored.await;
    users.store.close().await;
    let (before, now) = restored?;
    let (suspended, changed) = (now == TenantStatus::Suspended, before == TenantStatus::Deleting);
    let standing = if suspended { TenantStanding::Suspended } else { TenantStanding::Active };
    directory.note_standing(tenant.tenant_id, standing).await?;
    Ok(Restored { tenant, suspended, changed })
}
