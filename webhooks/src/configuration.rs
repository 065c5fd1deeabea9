//! Configuring endpoints. Each command is idempotent, recorded with its actor, and in effect before it is answered.

mod apply;
mod command;
mod endpoint_command;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventstore::{Database, PoolUse, Role};
use kernel::{Clock, EventType, Grant, IdSource, Refusal, Service, TenantId};
use nats::Bus;
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

pub use apply::LONGEST_OVERLAP;
pub use endpoint_command::{Changed, Done, EndpointCommand, EndpointFields, Request};

use crate::attempts;
use crate::positions::Positions;
use crate::status::{EndpointCounts, counts};
use crate::{Delivery, Endpoint, Message, Outcome, RandomSource, Secret, Sender, Settings};

/// The permission to view endpoints and their deliveries.
pub const READ: &str = "events:webhook:read";
/// The permission to change endpoints.
pub const WRITE: &str = "events:webhook:write";

/// The permissions for webhooks. Commands by which an endpoint gets events, or the caller its secret, also need
/// `<service>:history:read`.
pub const GRANTS: &[Grant] = &[
    Grant {
        permission: READ,
        roles: &[kernel::Role::Admin, kernel::Role::Manager, kernel::Role::Auditor],
        meaning: "Read webhooks and their deliveries",
    },
    Grant { permission: WRITE, roles: &[kernel::Role::Admin], meaning: "Manage webhooks, and replay deliveries" },
];

/// A service's webhooks, for their configuration by tenants. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    inner: Arc<Inner>,
}

struct Inner {
    service: Service,
    configure: PgPool,
    deliver: PgPool,
    bus: Bus,
    sender: Sender,
    settings: Settings,
    types: Arc<[EventType]>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    random: Arc<dyn RandomSource>,
    positions: Positions,
}

/// The injected sources of time, ids and randomness.
#[derive(Clone)]
pub struct Sources {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of ids.
    pub ids: Arc<dyn IdSource>,
    /// The source of randomness, for secrets and jitter.
    pub random: Arc<dyn RandomSource>,
}

impl Webhooks {
    /// The webhooks of a service, whose event types are `types`. Connects when first used. An error says why TLS can't be set up.
    pub fn open(
        database: &Database,
        bus: Bus,
        types: Arc<[EventType]>,
        settings: Settings,
        sources: Sources,
    ) -> Result<Self, String> {
        let inner = Inner {
            service: database.service,
            configure: database.pool(Role::Configure, 4),
            deliver: database.pool(Role::Deliver, 4),
            bus,
            sender: Sender::new(&settings)?,
            settings,
            types,
            clock: sources.clock,
            ids: sources.ids,
            random: sources.random,
            positions: Positions::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The service to which the webhooks belong.
    pub fn service(&self) -> Service {
        self.inner.service
    }

    /// The usage of the two connection pools.
    pub fn pools(&self) -> [PoolUse; 2] {
        [PoolUse::of("webhooks", &self.inner.configure), PoolUse::of("deliver", &self.inner.deliver)]
    }

    /// The numbers of endpoints of all tenants, by state. Those of tenants that are `paused`, because they are suspended, do not count as
    /// late.
    pub async fn counts(&self, paused: impl Fn(TenantId) -> bool) -> Result<EndpointCounts, sqlx::Error> {
        counts(&self.inner.deliver, &self.inner.positions, paused).await
    }

    /// A tenant's endpoints, oldest first.
    pub async fn list(&self, tenant: TenantId) -> Result<Vec<Endpoint>, Refusal> {
        let mut transaction = self.begin(tenant).await?;
        Endpoint::list(&mut transaction, tenant).await.map_err(unavailable)
    }

    /// A tenant's endpoint; `None` if the tenant has none with this id.
    pub async fn find(&self, tenant: TenantId, id: Uuid) -> Result<Option<Endpoint>, Refusal> {
        let mut transaction = self.begin(tenant).await?;
        Endpoint::find(&mut transaction, tenant, id).await.map_err(unavailable)
    }

    /// An endpoint's delivery attempts, newest first.
    pub async fn deliveries(
        &self,
        tenant: TenantId,
        id: Uuid,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Delivery>, Refusal> {
        let mut transaction = self.begin(tenant).await?;
        let found = Delivery::lists(&mut transaction, tenant, &[(id, before, limit)]).await.map_err(unavailable)?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The changes of an endpoint, newest first; also of one that was removed.
    pub async fn changes(
        &self,
        tenant: TenantId,
        id: Uuid,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<crate::Change>, Refusal> {
        let mut transaction = self.begin(tenant).await?;
        crate::Change::list(&mut transaction, tenant, id, before, limit).await.map_err(unavailable)
    }

    /// Sends a test message to an endpoint at once, whatever its state, and returns the result.
    ///
    /// # Errors
    /// `not_found`, `tenant_moving`; the database does not answer.
    pub async fn ping(&self, tenant: TenantId, id: Uuid) -> Result<Outcome, Refusal> {
        let inner = &*self.inner;
        let found = {
            let mut transaction = self.begin(tenant).await?;
            sqlx::query_as::<_, (String, Vec<u8>, Option<Vec<u8>>, Option<DateTime<Utc>>, bool)>(
                "SELECT url, secret, former_secret, former_until,
                        (tenant_id = ANY ((SELECT log.closed_now())::uuid[])) IS TRUE
                 FROM webhooks.endpoints WHERE tenant_id = $1 AND endpoint_id = $2",
            )
            .bind(tenant.uuid())
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(unavailable)?
        };
        let (url, secret, former, until, moving) = found.ok_or_else(|| unknown(id))?;
        if moving {
            return Err(eventstore::tenant_moving());
        }
        let (at, message) = (inner.clock.now(), inner.ids.next());
        let secrets: Vec<Secret> = [Some(secret), former.filter(|_| until.is_some_and(|until| until > at))]
            .into_iter()
            .flatten()
            .map(Secret::from_bytes)
            .collect();
        let body = serde_json::json!({
            "specversion": "1.0",
            "id": message,
            "source": format!("/inopsio/{}", inner.service),
            "type": PING,
            "time": at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            "datacontenttype": "application/json",
            "tenant": tenant,
            "data": { "webhook": id },
        });
        let body = body.to_string();
        let outcome = inner.sender.send(&url, &secrets, Message { id: message, at, body: body.as_bytes() }).await;
        let mut transaction = self.begin(tenant).await?;
        match note(&mut transaction, tenant, id, inner.ids.next(), message, at, &outcome).await {
            Ok(()) => {}
            // The tenant's move began meanwhile. The message was sent all the same.
            Err(error) if eventstore::refused_as_moving(&error).is_some() => return Ok(outcome),
            Err(error) => return Err(unavailable(error)),
        }
        // A disabled endpoint has no worker that would do it.
        attempts::trim(&mut *transaction, tenant, id, inner.settings.kept).await.map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(outcome)
    }

    /// What the service's deliverer and workers need.
    pub(crate) fn parts(&self) -> Parts<'_> {
        let inner = &*self.inner;
        Parts {
            deliver: &inner.deliver,
            bus: &inner.bus,
            sender: &inner.sender,
            settings: &inner.settings,
            clock: &inner.clock,
            ids: &inner.ids,
            random: &inner.random,
            positions: &inner.positions,
        }
    }

    /// Opens a transaction for one tenant.
    async fn begin(&self, tenant: TenantId) -> Result<Transaction<'static, Postgres>, Refusal> {
        eventstore::database::begin_as(&self.inner.configure, tenant).await.map_err(unavailable)
    }
}

/// See [`Webhooks::parts`].
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) deliver: &'a PgPool,
    pub(crate) bus: &'a Bus,
    pub(crate) sender: &'a Sender,
    pub(crate) settings: &'a Settings,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) ids: &'a Arc<dyn IdSource>,
    pub(crate) random: &'a Arc<dyn RandomSource>,
    pub(crate) positions: &'a Positions,
}

/// The type of a test message.
const PING: &str = "inopsio.webhook.ping";

/// Records a test message, unless its endpoint was removed meanwhile, with all its deliveries.
async fn note(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: TenantId,
    endpoint: Uuid,
    delivery: Uuid,
    message: Uuid,
    at: DateTime<Utc>,
    outcome: &Outcome,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO webhooks.deliveries (tenant_id, endpoint_id, delivery_id, message_id, event_type, position, attempt,
             sent_at, duration_ms, status, error, response)
         SELECT $1, $2, $3, $4, $5, NULL::bigint, 1, $6, $7, $8, $9, $10
         FROM webhooks.endpoints WHERE tenant_id = $1 AND endpoint_id = $2 FOR KEY SHARE",
    )
    .bind(tenant.uuid())
    .bind(endpoint)
    .bind(delivery)
    .bind(message)
    .bind(PING)
    .bind(at)
    .bind(i64::try_from(outcome.duration.as_millis()).unwrap_or(i64::MAX))
    .bind(outcome.status.map(i32::from))
    .bind(&outcome.error)
    .bind(&outcome.response)
    .execute(&mut **transaction)
    .await
    .map(drop)
}

fn unknown(id: Uuid) -> Refusal {
    Refusal::absent("webhook", id)
}

fn unavailable(error: sqlx::Error) -> Refusal {
    if let Some(refusal) = eventstore::refused_as_moving(&error) {
        return refusal;
    }
    tracing::warn!(%error, "webhooks can't be read or changed");
    Refusal::unavailable("webhooks_unavailable", "the webhooks' database does not answer; try again")
}
