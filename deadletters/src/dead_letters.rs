//! Viewing a service's dead letters, and deciding about them.

mod editing;
mod texts;

use std::sync::Arc;

use eventstore::{Database, EventStore, PoolUse, Role, log_unreadable};
pub use kernel::IdempotentRequest as Request;
use kernel::{AggregateType, Caller, Grant, RecordedEvent, Refusal, Service, TenantId, personal};
use nats::Bus;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

pub use self::editing::Preview;
use crate::{
    Attempt, Consumer, Decided, DecisionKind, DryRun, Letter, LetterId, Listing, State, decisions, idempotency,
};

/// Database connections for lists and decisions.
const CONNECTIONS: u32 = 4;

/// A service's dead letters. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetters {
    inner: Arc<Inner>,
    /// The permissions that a restricted edit or discard needs besides the one to decide.
    changes_need: Arc<[&'static str]>,
    restricted: Restricted,
}

/// The edits and discards that need [more than the permission to decide](DeadLetters::restrict_changes_to).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restricted {
    /// Those of every event: for a service whose consumers decide who may do what, because whoever chooses what these see could give
    /// themselves, or leave others, more than they may themselves.
    All,
    /// Those of events that [erase personal data](personal::erases): without such an event, a consumer would keep what was erased.
    Erasures,
}

struct Inner {
    service: Service,
    pool: PgPool,
    store: EventStore,
    bus: Option<Bus>,
    aggregates: Vec<AggregateType>,
    dry_runners: Vec<Arc<dyn DryRun>>,
    read: &'static str,
    write: &'static str,
}

/// The result of an accepted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The number of letters that it affected.
    pub letters: u64,
    /// Whether the same request (by its id) was accepted before; then nothing was changed now.
    pub repeated: bool,
}

/// A letter with its details.
#[derive(Clone, Debug)]
pub struct LetterDetails {
    /// The letter.
    pub letter: Letter,
    /// Its event as the log has it.
    pub event: RecordedEvent,
    /// The stored attempts, newest first.
    pub attempts: Vec<Attempt>,
    /// The decisions, newest first.
    pub decisions: Vec<Decided>,
}

impl DeadLetters {
    /// The dead letters of a service. Connects when first used. Returns `None` if the service's `grants` lack `<service>:dead_letter:read`
    /// or `…:write`. Without a bus, consumers notice a decision only by polling: after up to a second, webhooks after up to five.
    pub fn open(
        database: &Database,
        store: EventStore,
        bus: Option<Bus>,
        aggregates: Vec<AggregateType>,
        dry_runners: Vec<Arc<dyn DryRun>>,
        grants: &[Grant],
    ) -> Option<Self> {
        let permission = |action: &str| {
            let wanted = format!("{}:dead_letter:{action}", database.service);
            grants.iter().map(|grant| grant.permission).find(|permission| *permission == wanted)
        };
        let (read, write) = (permission("read")?, permission("write")?);
        let pool = database.pool(Role::Configure, CONNECTIONS);
        let inner = Inner { service: database.service, pool, store, bus, aggregates, dry_runners, read, write };
        Some(Self { inner: Arc::new(inner), changes_need: Arc::default(), restricted: Restricted::Erasures })
    }

    /// Lets only callers with all of these permissions edit or discard what is restricted. (As opened, nothing is.)
    #[must_use]
    pub fn restrict_changes_to(self, permissions: impl Into<Arc<[&'static str]>>, restricted: Restricted) -> Self {
        Self { changes_need: permissions.into(), restricted, ..self }
    }

    /// The service to which the letters belong.
    pub fn service(&self) -> Service {
        self.inner.service
    }

    /// The usage of the connection pool.
    pub fn pool(&self) -> PoolUse {
        PoolUse::of("dead_letters", &self.inner.pool)
    }

    /// The letters of the caller's tenant, newest event first.
    ///
    /// # Errors
    /// The permission to view them is missing; the database does not answer.
    pub async fn list(&self, caller: &Caller, listing: &Listing) -> Result<Vec<Letter>, Refusal> {
        caller.require(self.inner.read)?;
        let mut transaction = self.begin(caller.tenant()).await?;
        Letter::list(&mut transaction, caller.tenant(), listing).await.map_err(unavailable)
    }

    /// A letter with its event, its attempts and the decisions.
    ///
    /// # Errors
    /// The permission to view them is missing; `not_found`; the database does not answer.
    pub async fn find(&self, caller: &Caller, id: &LetterId) -> Result<LetterDetails, Refusal> {
        caller.require(self.inner.read)?;
        let tenant = caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        let letter = self.letter(&mut transaction, tenant, id).await?;
        let this = std::slice::from_ref(id);
        let attempts = Attempt::of(&mut transaction, tenant, this).await.map_err(unavailable)?.pop();
        let decisions = Decided::of(&mut transaction, tenant, this).await.map_err(unavailable)?.pop();
        transaction.commit().await.map_err(unavailable)?;
        let event = self.events(tenant, &[id.position]).await?.pop().ok_or_else(|| unknown(id))?;
        let mut decisions = decisions.unwrap_or_default();
        self.open_texts(&event, &mut decisions).await?;
        Ok(LetterDetails { letter, event, attempts: attempts.unwrap_or_default(), decisions })
    }

    /// Redrives a parked letter: it is tried again at once.
    ///
    /// # Errors
    /// The permission is missing; `not_found`; `dead_letter_waiting`, `dead_letter_over`. Nothing was written then.
    pub async fn redrive(&self, request: &Request, id: &LetterId, reason: &str) -> Result<Done, Refusal> {
        self.decide(request, id, &Decision { kind: DecisionKind::Redrive, reason, payloads: None }).await
    }

    /// Redrives all parked letters of the caller's tenant, or those of one consumer.
    ///
    /// # Errors
    /// The permission is missing; the database does not answer.
    pub async fn redrive_all(
        &self,
        request: &Request,
        consumer: Option<&Consumer>,
        reason: &str,
    ) -> Result<Done, Refusal> {
        request.caller.require(self.inner.write)?;
        let tenant = request.caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        if let Some(letters) = idempotency::first_answer(&mut transaction, request).await? {
            return Ok(Done { letters, repeated: true });
        }
        // Locked by a statement of its own, so that the next one sees decisions that were committed until then.
        let found: Vec<(String, i64)> = sqlx::query_as(
            "SELECT consumer, position FROM dead.letters
             WHERE tenant_id = $1 AND state = 'parked' AND ($2::text IS NULL OR consumer = $2)
             ORDER BY consumer, position FOR UPDATE",
        )
        .bind(tenant.uuid())
        .bind(consumer.map(Consumer::as_str))
        .fetch_all(&mut *transaction)
        .await
        .map_err(unavailable)?;
        let letters = found.len() as u64;
        let (consumers, positions): (Vec<String>, Vec<i64>) = found.into_iter().unzip();
        let decision = Decision { kind: DecisionKind::Redrive, reason, payloads: None };
        write(&mut transaction, request, &consumers, &positions, &decision).await.map_err(unavailable)?;
        idempotency::record(&mut transaction, request, letters).await?;
        transaction.commit().await.map_err(unavailable)?;
        self.wake().await;
        Ok(Done { letters, repeated: false })
    }

    /// Discards a parked letter: its consumer never processes the event. The events that wait behind it continue without it.
    ///
    /// # Errors
    /// The permission is missing; `exceeds_own_permissions`; `not_found`; `dead_letter_waiting`, `dead_letter_over`,
    /// `dead_letter_discarded`. Nothing was written then.
    pub async fn discard(&self, request: &Request, id: &LetterId, reason: &str) -> Result<Done, Refusal> {
        self.authorize_changes(&request.caller)?;
        self.decide(request, id, &Decision { kind: DecisionKind::Discard, reason, payloads: None }).await
    }

    /// Checks that the caller may change what consumers see, before it is known which event it is.
    fn authorize_changes(&self, caller: &Caller) -> Result<(), Refusal> {
        caller.require(self.inner.write)?;
        match self.restricted {
            Restricted::All => caller.require_all(self.changes_need.iter().copied()),
            Restricted::Erasures => Ok(()),
        }
    }

    /// Checks that the caller may change what the letter's consumer sees of its event.
    fn authorize_change_of(&self, caller: &Caller, letter: &Letter) -> Result<(), Refusal> {
        self.authorize_changes(caller)?;
        if personal::erases(&letter.event_type) {
            caller.require_all(self.changes_need.iter().copied())?;
        }
        Ok(())
    }

    async fn decide(&self, request: &Request, id: &LetterId, decision: &Decision<'_>) -> Result<Done, Refusal> {
        request.caller.require(self.inner.write)?;
        let tenant = request.caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        if let Some(letters) = idempotency::first_answer(&mut transaction, request).await? {
            return Ok(Done { letters, repeated: true });
        }
        let letter = self.parked(&mut transaction, tenant, id, true).await?;
        if decision.kind != DecisionKind::Redrive {
            self.authorize_change_of(&request.caller, &letter)?;
            let known = decisions::of(&mut transaction, tenant, &id.consumer, &[id.position.as_i64()]).await;
            if known.map_err(unavailable)?.discards(id.position) {
                let detail = "the event was already discarded; its consumer has not skipped it yet";
                return Err(Refusal::conflict("dead_letter_discarded", detail));
            }
        }
        let (consumers, positions) = ([id.consumer.to_string()], [id.position.as_i64()]);
        write(&mut transaction, request, &consumers, &positions, decision).await.map_err(unavailable)?;
        idempotency::record(&mut transaction, request, 1).await?;
        transaction.commit().await.map_err(unavailable)?;
        self.wake().await;
        Ok(Done { letters: 1, repeated: false })
    }

    async fn letter(&self, tables: &mut PgConnection, tenant: TenantId, id: &LetterId) -> Result<Letter, Refusal> {
        Letter::find(tables, tenant, id).await.map_err(unavailable)?.ok_or_else(|| unknown(id))
    }

    /// Loads a letter that must be parked. With `lock` it stays parked until the transaction ends.
    async fn parked(
        &self,
        tables: &mut PgConnection,
        tenant: TenantId,
        id: &LetterId,
        lock: bool,
    ) -> Result<Letter, Refusal> {
        if lock {
            // A statement of its own, so that the next one reads the state under the lock.
            sqlx::query("SELECT FROM dead.letters WHERE tenant_id = $1 AND consumer = $2 AND position = $3 FOR UPDATE")
                .bind(tenant.uuid())
                .bind(id.consumer.as_str())
                .bind(id.position.as_i64())
                .execute(&mut *tables)
                .await
                .map_err(unavailable)?;
        }
        let letter = self.letter(tables, tenant, id).await?;
        match letter.state {
            State::Parked => Ok(letter),
            State::Waiting => Err(Refusal::conflict(
                "dead_letter_waiting",
                "the event itself has no error: it waits behind another event of its aggregate, which has to be decided first",
            )),
            State::Applied | State::Discarded => {
                let state = letter.state.as_str();
                let detail = format!("the event is no longer parked: it is {state}");
                Err(Refusal::conflict("dead_letter_over", detail).with("state", state))
            }
        }
    }

    async fn events(&self, tenant: TenantId, positions: &[kernel::Position]) -> Result<Vec<RecordedEvent>, Refusal> {
        let found = self.inner.store.events_at(positions).await;
        let found = found.map_err(|error| log_unreadable(&error))?;
        Ok(found.into_iter().filter(|event| event.tenant == tenant).collect())
    }

    fn aggregate(&self, event: &RecordedEvent) -> Option<&AggregateType> {
        self.inner.aggregates.iter().find(|known| known.name == event.aggregate_type)
    }

    /// Notifies consumers that a letter may be due.
    async fn wake(&self) {
        if let Some(bus) = &self.inner.bus {
            bus.wake_dead_letters(self.inner.service).await;
        }
    }

    async fn begin(&self, tenant: TenantId) -> Result<Transaction<'static, Postgres>, Refusal> {
        eventstore::database::begin_as(&self.inner.pool, tenant).await.map_err(unavailable)
    }
}

/// A decision to store.
struct Decision<'a> {
    kind: DecisionKind,
    reason: &'a str,
    /// For an edit: the payloads before and after.
    payloads: Option<(&'a str, &'a str)>,
}

/// Stores a decision about locked letters, and makes them due.
async fn write(
    tables: &mut PgConnection,
    request: &Request,
    consumers: &[String],
    positions: &[i64],
    decision: &Decision<'_>,
) -> Result<(), sqlx::Error> {
    let (before, after) = decision.payloads.unzip();
    sqlx::query(
        "WITH l AS (
             UPDATE dead.letters l SET next_attempt_at = now(), changed_at = now()
             FROM unnest($2::text[], $3::bigint[]) AS k (consumer, position)
             WHERE l.tenant_id = $1 AND l.consumer = k.consumer AND l.position = k.position
             RETURNING l.consumer, l.position)
         INSERT INTO dead.decisions (tenant_id, consumer, position, nth, kind, actor, reason, before, after)
         SELECT $1, consumer, position, 1 + coalesce((
                 SELECT max(nth) FROM dead.decisions d
                 WHERE d.tenant_id = $1 AND d.consumer = l.consumer AND d.position = l.position), 0),
             $4, $5, $6, $7, $8
         FROM l",
    )
    .bind(request.caller.tenant().uuid())
    .bind(consumers)
    .bind(positions)
    .bind(decision.kind.as_str())
    .bind(request.caller.subject())
    .bind(decision.reason)
    .bind(before)
    .bind(after)
    .execute(tables)
    .await
    .map(drop)
}

fn unknown(id: &LetterId) -> Refusal {
    Refusal::absent("dead_letter", id)
}

pub(crate) fn unavailable(error: sqlx::Error) -> Refusal {
    if let Some(refusal) = eventstore::refused_as_moving(&error) {
        return refusal;
    }
    tracing::warn!(%error, "dead letters can't be read or changed");
    Refusal::unavailable("dead_letters_unavailable", "the dead letters' database does not answer; try again")
}
