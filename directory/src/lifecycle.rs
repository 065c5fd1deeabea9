//! Making tenants, suspending and deleting them, for whoever operates the platform: the command line.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use config::Config;
use coordinator::{Coordinator, Sagas};
use eventstore::EventStore;
use executor::Executor;
use kernel::{Caller, Grant, Refusal, Role, SystemClock, SystemIds, TenantId};
use keys::{Context, DataKey, SystemRandom};
use nats::Bus;
use tokio_util::sync::CancellationToken;
use user_aggregates::{Tenant as State, TenantStatus};
use user_commands::{RequestTenant, RequestTenantDeletion, RestoreTenant, ResumeTenant, SuspendTenant};
use user_sagas::TenantStanding;

use crate::holdings::OF_TENANTS;
use crate::placements::{Placements, PlacementsError};
use crate::tenants::{Directory, DirectoryError, Tenant};
use crate::write_side::{WriteSideError, write_side};

/// How long is waited until a tenant's place is made. The saga goes on after that, where a server runs.
const PATIENCE: Duration = Duration::from_mins(1);

/// What whoever operates the platform may do with tenants. No role of a tenant has it.
const OPERATE: &[Grant] = &[Grant { permission: "user:tenant:operate", roles: &[Role::Admin], meaning: "" }];

/// A tenant that can't be made, or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The user service can't be used.
    #[error(transparent)]
    WriteSide(#[from] WriteSideError),
    /// The bus is not configured well.
    #[error(transparent)]
    Bus(#[from] nats::Error),
    /// What the sagas need is not configured well.
    #[error("{0}")]
    Sagas(String),
    /// The directory of tenants.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// It was refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The tenant's keys can't be wrapped now.
    #[error("no tenant can be made now, and nothing was written: {0}")]
    Keyless(keys::Error),
    /// Where it is.
    #[error(transparent)]
    Placements(#[from] PlacementsError),
    /// It is being moved.
    #[error("the tenant {0} is being moved, or deleted, by another process at this moment; look again")]
    Busy(String),
    /// Its place could not be made, and what was made of it is taken back.
    #[error("the tenant {0} could not be made; `inopsio saga list` of its tenant says why")]
    Abandoned(String),
    /// It takes longer than is waited for.
    #[error("the tenant {slug} is not ready yet; it is made as soon as what it needs answers: {reason}")]
    NotYet {
        /// Its short name.
        slug: String,
        /// What it waits for.
        reason: String,
    },
}

/// The user service's write side, for as long as an operator's command takes.
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
        let caller = Caller::new(tenant, "operator", &[Role::Admin], OPERATE);
        Ok(self.executor.run(&caller, command).await.map_err(ProvisionError::Refused)?.answer)
    }

    async fn status(&self, tenant: TenantId) -> Result<TenantStatus, ProvisionError> {
        let caller = Caller::new(tenant, "operator", &[Role::Admin], OPERATE);
        let found = self.executor.load::<State>(&caller, &tenant.to_string()).await.map_err(ProvisionError::Refused)?;
        Ok(found.map(|(state, _)| state.status).unwrap_or_default())
    }

    /// Executes what brings a tenant to where it shall stand; whether it did not stand there before.
    async fn turn<C: executor::Command>(
        &self,
        tenant: TenantId,
        command: &C,
        to: TenantStatus,
    ) -> Result<bool, ProvisionError> {
        let before = self.status(tenant).await?;
        self.execute(tenant, command).await?;
        Ok(before != to)
    }

    /// Runs the sagas here, unless a server does, until the tenant's place is made or taken back.
    async fn carry_through(
        &self,
        tenant: TenantId,
        slug: &str,
        sagas: impl FnOnce(&Bus) -> Result<Option<Sagas>, ProvisionError>,
    ) -> Result<(), ProvisionError> {
        let bus = Bus::connect(&self.config.bus_settings()).await?;
        let Some(sagas) = sagas(&bus)? else { return Ok(()) };
        let (database, clock) = (self.config.database(OF_TENANTS), Arc::new(SystemClock));
        let repository = sagas.repository(self.executor.clone());
        let settings = coordinator::Settings::default();
        let coordinator = Coordinator::new(&database, self.store.clone(), None, sagas, repository, clock, settings);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(coordinator.run(shutdown.clone()));
        let ended = self.until_made(tenant, slug).await;
        shutdown.cancel();
        // It ends in any case; that it was cut off is no news.
        let _ = running.await;
        let _ = bus.close().await;
        ended
    }

    async fn until_made(&self, tenant: TenantId, slug: &str) -> Result<(), ProvisionError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.status(tenant).await? {
                TenantStatus::Deleted => return Ok(()),
                TenantStatus::Abandoned => return Err(ProvisionError::Abandoned(slug.to_owned())),
                // Its place is opened a moment after it is said to be active.
                TenantStatus::Active | TenantStatus::Suspended | TenantStatus::Deleting
                    if self.is_open(tenant).await? =>
                {
                    return Ok(());
                }
                _ if tokio::time::Instant::now() > deadline => {
                    let reason = "see `inopsio saga list --service user`".to_owned();
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

/// Makes a tenant: by the saga `provision_tenant`, which is run here unless a server runs it. `sagas` gives those of the user service.
///
/// # Errors
/// When its short name is taken, something is wrong with it, or what it needs does not answer.
pub async fn provision(
    config: &Config,
    slug: &str,
    name: &str,
    owner: Option<String>,
    sagas: impl FnOnce(&Bus) -> Result<Option<Sagas>, ProvisionError>,
) -> Result<Tenant, ProvisionError> {
    let directory = Directory::open(config);
    // Said at once; the saga reserves it, and has the last word.
    directory.check_free(slug).await?;
    let users = UserWriteSide::open(config).await?;
    let tenant = directory.new_id(&SystemIds);
    if let Err(error) = may_wrap(config, tenant).await {
        users.store.close().await;
        return Err(error);
    }
    let made = async {
        users.execute(tenant, &RequestTenant { slug: slug.to_owned(), name: name.to_owned(), owner }).await?;
        users.carry_through(tenant, slug, sagas).await
    };
    let made = made.await;
    users.store.close().await;
    made?;
    Ok(directory.find(slug).await?)
}

/// That the master key can wrap a tenant's keys now: else the tenant would be asked for, and nobody could say when it is made.
async fn may_wrap(config: &Config, tenant: TenantId) -> Result<(), ProvisionError> {
    let master = config.master_key().ok_or(WriteSideError::MasterKey)?;
    let context = Context { tenant, purpose: "provision", subject: "" };
    let key = DataKey::generate(&SystemRandom).map_err(ProvisionError::Keyless)?;
    master.wrap(context, &key).await.map(drop).map_err(ProvisionError::Keyless)
}

/// A copy of another tenant stands as that one did when its history was brought in: suspended, or to be deleted. From now on it stands by
/// itself, and is active.
///
/// # Errors
/// As [`suspend`].
pub async fn stand_alone(config: &Config, copy: TenantId) -> Result<(), ProvisionError> {
    let users = UserWriteSide::open(config).await?;
    let stood = async {
        if users.status(copy).await? == TenantStatus::Deleting {
            users.execute(copy, &RestoreTenant).await?;
        }
        // As the first one was before it was to be deleted.
        if users.status(copy).await? == TenantStatus::Suspended {
            users.execute(copy, &ResumeTenant).await?;
        }
        Ok::<_, ProvisionError>(())
    };
    let stood = stood.await;
    users.store.close().await;
    stood
}

/// Nobody of the tenant may do anything until it is resumed. False: so it was before this was asked, and nothing was changed.
///
/// # Errors
/// When there is no such tenant, or the log can't be written.
pub async fn suspend(config: &Config, tenant: &Tenant, reason: &str) -> Result<bool, ProvisionError> {
    let users = UserWriteSide::open(config).await?;
    let done =
        users.turn(tenant.tenant_id, &SuspendTenant { reason: reason.to_owned() }, TenantStatus::Suspended).await;
    users.store.close().await;
    done
}

/// The tenant can be used again. False: so it could before this was asked, and nothing was changed.
///
/// # Errors
/// As [`suspend`].
pub async fn resume(config: &Config, tenant: &Tenant) -> Result<bool, ProvisionError> {
    let users = UserWriteSide::open(config).await?;
    let done = users.turn(tenant.tenant_id, &ResumeTenant, TenantStatus::Active).await;
    users.store.close().await;
    done
}

/// That a tenant is to be deleted.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// Which.
    pub tenant: Tenant,
    /// When.
    pub due_at: DateTime<Utc>,
    /// It was to be deleted before this was asked, and nothing was changed.
    pub before: bool,
}

/// The tenant is shut out at once, and deleted in so many days, by the saga `delete_tenant` of the server; until then it can be
/// [restored](restore). Asked for again, its time and its reason stay as they were.
///
/// # Errors
/// When it is not here, is on its way to another cell, or there is an old copy of it in one; as [`suspend`].
pub async fn delete(config: &Config, slug: &str, reason: &str, grace_days: u32) -> Result<Deletion, ProvisionError> {
    let directory = Directory::open(config);
    let tenant = directory.find_here(slug).await?;
    // Whoever moves it takes the same turn, so it is not on its way when its deletion is asked for, nor sets out afterwards.
    let turn = directory.turn(tenant.tenant_id).await?;
    let _turn = turn.ok_or_else(|| ProvisionError::Busy(tenant.slug.clone()))?;
    Placements::of(&directory).place(tenant.tenant_id).await?.delete().map_err(PlacementsError::from)?;
    let before = directory.is_being_deleted(tenant.tenant_id).await?;
    let users = UserWriteSide::open(config).await?;
    // Before it is: were this killed in between, nobody moves a tenant away from its deletion. Asked for again, or restored, it is settled.
    let asked = async {
        directory.note_standing(tenant.tenant_id, TenantStanding::Deleting).await?;
        let asked = RequestTenantDeletion { reason: reason.to_owned(), grace_days };
        match users.execute(tenant.tenant_id, &asked).await {
            Ok(due_at) => Ok(due_at),
            Err(refused) => {
                // As the log has it: what was not answered may have been done. Where that can't be told, it stays as noted.
                if let Some(standing) = users.status(tenant.tenant_id).await.ok().and_then(undeleted) {
                    directory.note_standing(tenant.tenant_id, standing).await?;
                }
                Err(refused)
            }
        }
    };
    let asked: Result<_, ProvisionError> = asked.await;
    users.store.close().await;
    let due_at = asked?;
    // The saga that notes what was before may have come in between.
    directory.note_standing(tenant.tenant_id, TenantStanding::Deleting).await?;
    Ok(Deletion { tenant, due_at, before })
}

/// How a tenant stands of which the log does not say that it is to be deleted.
const fn undeleted(status: TenantStatus) -> Option<TenantStanding> {
    match status {
        TenantStatus::Requested | TenantStatus::Active => Some(TenantStanding::Active),
        TenantStatus::Suspended => Some(TenantStanding::Suspended),
        TenantStatus::Abandoned | TenantStatus::Deleting | TenantStatus::Deleted => None,
    }
}

/// That a tenant is not to be deleted any more.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Which.
    pub tenant: Tenant,
    /// It is suspended, as it was before.
    pub suspended: bool,
    /// It was to be deleted; else nothing was changed.
    pub changed: bool,
}

/// The tenant is not deleted after all, and is what it was before.
///
/// # Errors
/// When it is deleted already; as [`suspend`].
pub async fn restore(config: &Config, slug: &str) -> Result<Restored, ProvisionError> {
    let directory = Directory::open(config);
    let tenant = directory.find_here(slug).await?;
    // So that how it stands is noted in the order in which it came about.
    let turn = directory.turn(tenant.tenant_id).await?;
    let _turn = turn.ok_or_else(|| ProvisionError::Busy(tenant.slug.clone()))?;
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
