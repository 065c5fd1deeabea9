//! A service's dead letters, for those who look after them.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{Database, EventStore, PoolUse, Role};
use kernel::{AggregateType, Caller, Grant, RecordedEvent, Refusal, Service, TenantId};
use nats::Bus;
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::decisions::{self, Verdict};
use crate::letter::{attempts, decided};
use crate::{Attempt, Consumer, Decided, Letter, LetterId, Listing, Rehearsal, Rehearse, State, marking, once};

/// Connections of those who look and decide.
const CONNECTIONS: u32 = 4;
/// So many events behind a letter are rehearsed with it.
const REHEARSED: u32 = 200;
/// How long to wait when database or log do not answer for what nobody waits for.
const PAUSE: Duration = Duration::from_secs(10);
/// As for payloads of the log.
const LONGEST_PAYLOAD: usize = 256 << 10;

/// A service's dead letters. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    service: Service,
    pool: PgPool,
    store: EventStore,
    bus: Option<Bus>,
    aggregates: Vec<AggregateType>,
    rehearsers: Vec<Arc<dyn Rehearse>>,
    read: &'static str,
    write: &'static str,
}

/// Who asks, and what makes the request the same request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks; the tenant is theirs.
    pub caller: Caller,
    /// `Idempotency-Key`: the same again gets the first answer.
    pub command_id: Option<String>,
    /// SHA-256 of what makes the request the same request.
    pub request_hash: [u8; 32],
}

/// A request that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// How many letters it is about.
    pub letters: u64,
    /// It was carried out before, under the same id.
    pub repeated: bool,
}

/// A letter with all there is to know.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The letter.
    pub letter: Letter,
    /// Its event as the log has it.
    pub event: RecordedEvent,
    /// The attempts that are kept, the last one first.
    pub attempts: Vec<Attempt>,
    /// What was decided, the last decision first.
    pub decisions: Vec<Decided>,
}

impl Desk {
    /// The dead letters of a service; connects when first used. `None`: the service's `grants` lack
    /// `<service>:dead_letter:read` or `…:write`. Without a bus a decision is heeded up to a second later.
    pub fn open(
        database: &Database,
        store: EventStore,
        bus: Option<Bus>,
        aggregates: Vec<AggregateType>,
        rehearsers: Vec<Arc<dyn Rehearse>>,
        grants: &[Grant],
    ) -> Option<Self> {
        let permission = |action: &str| {
            let wanted = format!("{}:dead_letter:{action}", database.service);
            grants.iter().map(|grant| grant.permission).find(|permission| *permission == wanted)
        };
        let (read, write) = (permission("read")?, permission("write")?);
        let pool = database.pool(Role::Configure, CONNECTIONS);
        let inner = Inner { service: database.service, pool, store, bus, aggregates, rehearsers, read, write };
        Some(Self { inner: Arc::new(inner) })
    }

    /// Whose they are.
    pub fn service(&self) -> Service {
        self.inner.service
    }

    /// How much of its pool is in use.
    pub fn pool(&self) -> PoolUse {
        PoolUse::of("dead_letters", &self.inner.pool)
    }

    /// The letters of the caller's tenant, the last event first.
    ///
    /// # Errors
    /// Without the permission to see them; when the database does not answer.
    pub async fn list(&self, caller: &Caller, listing: &Listing) -> Result<Vec<Letter>, Refusal> {
        caller.require(self.inner.read)?;
        let mut transaction = self.begin(caller.tenant()).await?;
        Letter::list(&mut transaction, caller.tenant(), listing).await.map_err(unavailable)
    }

    /// A letter with its event, its attempts and what was decided.
    ///
    /// # Errors
    /// Without the permission to see them; `not_found`; when the database does not answer.
    pub async fn find(&self, caller: &Caller, id: &LetterId) -> Result<Shown, Refusal> {
        caller.require(self.inner.read)?;
        let tenant = caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        let letter = self.letter(&mut transaction, tenant, id).await?;
        let attempts = attempts(&mut transaction, tenant, id).await.map_err(unavailable)?;
        let mut decisions = decided(&mut transaction, tenant, id).await.map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)?;
        let event = self.events(tenant, &[id.position]).await?.pop().ok_or_else(|| unknown(id))?;
        self.open_texts(&event, &mut decisions).await?;
        Ok(Shown { letter, event, attempts, decisions })
    }

    /// Tries a parked letter at once.
    ///
    /// # Errors
    /// Without the permission; `not_found`; `dead_letter_waiting`, `dead_letter_over`. Nothing was written then.
    pub async fn redrive(&self, request: &Request, id: &LetterId, reason: &str) -> Result<Done, Refusal> {
        self.decide(request, id, &Decision { kind: "redrive", reason, payloads: None }).await
    }

    /// Tries all parked letters of the caller's tenant at once, or those of a consumer.
    ///
    /// # Errors
    /// Without the permission; when the database does not answer.
    pub async fn redrive_all(
        &self,
        request: &Request,
        consumer: Option<&Consumer>,
        reason: &str,
    ) -> Result<Done, Refusal> {
        request.caller.require(self.inner.write)?;
        let tenant = request.caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        if let Some(letters) = once::before(&mut transaction, request).await? {
            return Ok(Done { letters, repeated: true });
        }
        // Locked by a statement of its own, so that the next one sees what was decided until then.
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
        write(&mut transaction, request, &consumers, &positions, &Decision { kind: "redrive", reason, payloads: None })
            .await
            .map_err(unavailable)?;
        once::keep(&mut transaction, request, letters).await?;
        transaction.commit().await.map_err(unavailable)?;
        self.wake().await;
        Ok(Done { letters, repeated: false })
    }

    /// Decides that a parked letter's consumer never sees its event; what waits behind it goes on without it.
    ///
    /// # Errors
    /// Without the permission; `not_found`; `dead_letter_waiting`, `dead_letter_over`, `dead_letter_discarded`. Nothing was written
    /// then.
    pub async fn discard(&self, request: &Request, id: &LetterId, reason: &str) -> Result<Done, Refusal> {
        self.decide(request, id, &Decision { kind: "discard", reason, payloads: None }).await
    }

    /// What would come of a letter with this payload, or with the one that its consumer sees now.
    ///
    /// # Errors
    /// As for [`edit`](Self::edit), but for a payload that would not be taken: that is the answer.
    pub async fn preview(&self, caller: &Caller, id: &LetterId, payload: Option<&Value>) -> Result<Preview, Refusal> {
        caller.require(self.inner.write)?;
        let mut transaction = self.begin(caller.tenant()).await?;
        let letter = self.parked(&mut transaction, caller.tenant(), id, false).await?;
        self.rehearse(&mut transaction, caller.tenant(), &letter, payload).await
    }

    /// Decides that a parked letter's consumer sees this payload instead of the log's, and tries it at once.
    ///
    /// # Errors
    /// Without the permission; `not_found`; `validation_failed`; `dead_letter_waiting`, `dead_letter_over`,
    /// `dead_letter_discarded`; `dead_letter_edit_fails`: with this payload it could not be taken either. Nothing was written then.
    pub async fn edit(
        &self,
        request: &Request,
        id: &LetterId,
        payload: &Value,
        reason: &str,
    ) -> Result<(Done, Preview), Refusal> {
        request.caller.require(self.inner.write)?;
        let tenant = request.caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        let letter = self.parked(&mut transaction, tenant, id, false).await;
        let before = once::before(&mut transaction, request).await?;
        let letter = match (letter, before) {
            (_, Some(letters)) => return Ok((Done { letters, repeated: true }, Preview::default())),
            (letter, None) => letter?,
        };
        let preview = self.rehearse(&mut transaction, tenant, &letter, Some(payload)).await?;
        transaction.rollback().await.map_err(unavailable)?;
        if let Some(errors) = preview.why_not() {
            let detail = format!("with this payload the event could not be taken either: {}", errors.join(": "));
            return Err(Refusal::unprocessable("dead_letter_edit_fails", detail).with("reasons", errors));
        }
        let (before, after) = self.kept(tenant, id, payload).await?;
        let decision = Decision { kind: "edit", reason, payloads: Some((&before, &after)) };
        Ok((self.decide(request, id, &decision).await?, preview))
    }

    async fn decide(&self, request: &Request, id: &LetterId, decision: &Decision<'_>) -> Result<Done, Refusal> {
        request.caller.require(self.inner.write)?;
        let tenant = request.caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        if let Some(letters) = once::before(&mut transaction, request).await? {
            return Ok(Done { letters, repeated: true });
        }
        self.parked(&mut transaction, tenant, id, true).await?;
        if decision.kind != "redrive" {
            let known = decisions::of(&mut transaction, tenant, &id.consumer, &[id.position.as_i64()]).await;
            if known.map_err(unavailable)?.discards(id.position) {
                let detail = "it was decided already that the event is discarded; its consumer has not come to it yet";
                return Err(Refusal::conflict("dead_letter_discarded", detail));
            }
        }
        let (consumers, positions) = ([id.consumer.to_string()], [id.position.as_i64()]);
        write(&mut transaction, request, &consumers, &positions, decision).await.map_err(unavailable)?;
        once::keep(&mut transaction, request, 1).await?;
        transaction.commit().await.map_err(unavailable)?;
        self.wake().await;
        Ok(Done { letters: 1, repeated: false })
    }

    async fn rehearse(
        &self,
        tables: &mut PgConnection,
        tenant: TenantId,
        letter: &Letter,
        payload: Option<&Value>,
    ) -> Result<Preview, Refusal> {
        let id = &letter.id;
        let mut positions = vec![id.position];
        positions.extend(letter.behind(tables, tenant, REHEARSED).await.map_err(unavailable)?);
        let numbers: Vec<i64> = positions.iter().map(|at| at.as_i64()).collect();
        let decisions = decisions::of(tables, tenant, &id.consumer, &numbers).await.map_err(unavailable)?;
        let events = self.events(tenant, &positions).await?;
        let decisions = decisions.opened(&self.inner.store, &events).await.map_err(|error| silent(&error))?;
        let event = events.first().filter(|event| event.position == id.position).ok_or_else(|| unknown(id))?;
        let before = match decisions.on(id.position) {
            Some(Verdict::Edited(payload)) => payload.clone(),
            _ => event.payload.clone(),
        };
        let (after, decisions) = match payload {
            None => (before.clone(), decisions),
            Some(payload) => {
                let after = check(payload, &before)?;
                (after.clone(), decisions.with(id.position, Verdict::Edited(after)))
            }
        };
        let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
        let mut preview = Preview { before: text(&before), after: text(&after), ..Preview::default() };
        let known = self.inner.aggregates.iter().find(|known| known.name == event.aggregate_type);
        preview.today = match known.map(|known| (known.today)(&event.event_type, event.event_version, &after)) {
            Some(Ok(today)) => Ok(today),
            Some(Err(error)) => Err(vec![error.to_string()]),
            None => Err(vec![format!("this program knows no aggregate {}", event.aggregate_type)]),
        };
        if let Some(rehearser) = self.inner.rehearsers.iter().find(|one| one.kind() == id.consumer.kind()) {
            let rehearsed = rehearser.rehearse(&id.consumer, tenant, events, decisions).await;
            let rehearsal =
                rehearsed.map_err(|reason| Refusal::unavailable("dead_letter_preview_unavailable", reason))?;
            preview.rehearsal = Some(rehearsal);
        }
        Ok(preview)
    }

    async fn letter(&self, tables: &mut PgConnection, tenant: TenantId, id: &LetterId) -> Result<Letter, Refusal> {
        Letter::find(tables, tenant, id).await.map_err(unavailable)?.ok_or_else(|| unknown(id))
    }

    /// A letter that is parked; `lock`: and stays so until the transaction ends.
    async fn parked(
        &self,
        tables: &mut PgConnection,
        tenant: TenantId,
        id: &LetterId,
        lock: bool,
    ) -> Result<Letter, Refusal> {
        if lock {
            // By itself, so that what is read next is as it is when nobody else can change it.
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
                "nothing is wrong with the event: it waits behind another one of its aggregate, which is to be decided first",
            )),
            State::Applied | State::Discarded => {
                let state = letter.state.as_str();
                let detail = format!("the event is not parked any more: it is {state}");
                Err(Refusal::conflict("dead_letter_over", detail).with("state", state))
            }
        }
    }

    async fn events(&self, tenant: TenantId, positions: &[kernel::Position]) -> Result<Vec<RecordedEvent>, Refusal> {
        let found = self.inner.store.events_at(positions).await;
        let found = found.map_err(|error| silent(&error))?;
        Ok(found.into_iter().filter(|event| event.tenant == tenant).collect())
    }

    /// The texts of an edit as they are kept: before and after, with what is personal in them sealed.
    async fn kept(&self, tenant: TenantId, id: &LetterId, payload: &Value) -> Result<(String, String), Refusal> {
        let stored = self.inner.store.stored_at(&[id.position]).await.map_err(|error| silent(&error))?.pop();
        let stored = stored.filter(|event| event.tenant == tenant).ok_or_else(|| unknown(id))?;
        let mut transaction = self.begin(tenant).await?;
        let known = decisions::of(&mut transaction, tenant, &id.consumer, &[id.position.as_i64()]).await;
        let known = known.map_err(unavailable)?;
        transaction.rollback().await.map_err(unavailable)?;
        let before = match known.on(id.position) {
            Some(Verdict::Edited(payload)) => payload.clone(),
            _ => stored.payload.clone(),
        };
        let before = self.sealed(&stored, &String::from_utf8_lossy(&before)).await?;
        let after = match self.aggregate(&stored) {
            Some(aggregate) => self.seal(&stored, &marking::marked(aggregate, &stored, payload)).await?,
            None => payload.to_string(),
        };
        Ok((before, after))
    }

    /// A payload as it stands in the log or in an edit, with what is personal in it sealed, if it is not already.
    async fn sealed(&self, stored: &RecordedEvent, text: &str) -> Result<String, Refusal> {
        match (self.aggregate(stored), serde_json::from_str::<Value>(text)) {
            (Some(aggregate), Ok(payload)) if !eventstore::is_sealed(text.as_bytes()) => {
                self.seal(stored, &marking::marked(aggregate, stored, &payload)).await
            }
            _ => Ok(text.to_owned()),
        }
    }

    async fn seal(&self, stored: &RecordedEvent, marked: &str) -> Result<String, Refusal> {
        self.inner.store.sealed_beside(stored, marked).await.map_err(|error| unsealed(&error))
    }

    fn aggregate(&self, event: &RecordedEvent) -> Option<&AggregateType> {
        self.inner.aggregates.iter().find(|known| known.name == event.aggregate_type)
    }

    /// Seals what is personal in edits that a program of before 2026-12 wrote, or a backup of then had. Whoever serves does it when it
    /// begins; it ends when it is done, and then there is nothing more to do.
    pub async fn seal_former(self, database: Database, shutdown: CancellationToken) {
        let pool = database.pool(Role::Project, 1);
        let sealing = async {
            while let Err(refusal) = self.seal_former_in(&pool).await {
                tracing::warn!(service = %self.inner.service, %refusal, "edits of dead letters are sealed later");
                tokio::time::sleep(PAUSE).await;
            }
        };
        let _ = shutdown.run_until_cancelled(sealing).await;
        pool.close().await;
    }

    async fn seal_former_in(&self, pool: &PgPool) -> Result<(), Refusal> {
        // As many as people ever made, and asked once by each process: no index.
        let clear: Vec<(Uuid, String, i64, i32, String, String)> = sqlx::query_as(
            r#"SELECT tenant_id, consumer, position, nth, before, after FROM dead.decisions
               WHERE kind = 'edit' AND (before NOT LIKE '%{"sealed":"%' OR after NOT LIKE '%{"sealed":"%')
               ORDER BY position"#,
        )
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
        for (tenant, consumer, position, nth, before, after) in clear {
            let found = self.inner.store.stored_at(&[kernel::Position::from_i64(position)]).await;
            let stored = found.map_err(|error| silent(&error))?.pop();
            let Some(stored) = stored.filter(|event| event.tenant.uuid() == tenant) else { continue };
            let sealed = (self.sealed(&stored, &before).await?, self.sealed(&stored, &after).await?);
            if sealed == (before, after) {
                continue;
            }
            sqlx::query(
                "UPDATE dead.decisions SET before = $5, after = $6
                 WHERE tenant_id = $1 AND consumer = $2 AND position = $3 AND nth = $4",
            )
            .bind(tenant)
            .bind(consumer)
            .bind(position)
            .bind(nth)
            .bind(sealed.0)
            .bind(sealed.1)
            .execute(pool)
            .await
            .map_err(unavailable)?;
        }
        Ok(())
    }

    /// Opens the texts of edits of an event, as far as their keys are there.
    async fn open_texts(&self, event: &RecordedEvent, decisions: &mut [Decided]) -> Result<(), Refusal> {
        let texts = decisions.iter_mut().flat_map(|one| one.before.iter_mut().chain(&mut one.after));
        let texts: Vec<&mut String> = texts.collect();
        let copy = |text: &&mut String| RecordedEvent { payload: (**text).clone().into(), ..event.clone() };
        let opened = self.inner.store.opened(texts.iter().map(copy).collect()).await.map_err(|error| silent(&error))?;
        for (text, copy) in texts.into_iter().zip(opened) {
            *text = String::from_utf8_lossy(&copy.payload).into_owned();
        }
        Ok(())
    }

    /// Tells consumers that something may be due.
    async fn wake(&self) {
        if let Some(bus) = &self.inner.bus {
            bus.wake_dead_letters(self.inner.service).await;
        }
    }

    async fn begin(&self, tenant: TenantId) -> Result<Transaction<'static, Postgres>, Refusal> {
        eventstore::database::begin_as(&self.inner.pool, tenant).await.map_err(unavailable)
    }
}

/// What would come of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The payload as its consumer sees it now.
    pub before: String,
    /// The payload that was tried.
    pub after: String,
    /// The events that it stands for today; or why it can't be read.
    pub today: Result<Vec<Value>, Vec<String>>,
    /// What its consumer would do; `None`: that can't be tried without doing it.
    pub rehearsal: Option<Rehearsal>,
}

impl Default for Preview {
    fn default() -> Self {
        Self { before: String::new(), after: String::new(), today: Ok(Vec::new()), rehearsal: None }
    }
}

impl Preview {
    /// Why the letter's own event would not be taken, if so.
    pub fn why_not(&self) -> Option<Vec<String>> {
        match &self.rehearsal {
            Some(Rehearsal { taken: 0, failed: Some((_, errors)) }) => Some(errors.clone()),
            Some(_) => None,
            None => self.today.as_ref().err().cloned(),
        }
    }
}

/// What is written down of a decision.
struct Decision<'a> {
    kind: &'static str,
    reason: &'a str,
    /// Of an edit: before and after.
    payloads: Option<(&'a str, &'a str)>,
}

/// Writes a decision about letters that are locked, and makes them due.
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
    .bind(decision.kind)
    .bind(request.caller.subject())
    .bind(decision.reason)
    .bind(before)
    .bind(after)
    .execute(tables)
    .await
    .map(drop)
}

/// A payload that may stand in the place of another one.
fn check(payload: &Value, before: &[u8]) -> Result<bytes::Bytes, Refusal> {
    let refused = |pointer: &str, code: &'static str, detail: String| {
        Err(Refusal::fields(vec![kernel::FieldError { pointer: pointer.to_owned(), code, detail }]))
    };
    let Some(object) = payload.as_object() else {
        return refused("/payload", "wrong_type", "it has to be an object, as the log's payloads are".to_owned());
    };
    // A payload names its event.
    let before: Value = serde_json::from_slice(before).unwrap_or_default();
    if object.get("event") != before.get("event") {
        let allowed = before.get("event").map_or_else(|| "absent".to_owned(), Value::to_string);
        return refused("/payload/event", "not_allowed", format!("it has to stay {allowed}"));
    }
    let text = payload.to_string();
    if text.len() > LONGEST_PAYLOAD {
        let detail = format!("{} bytes are too many; at most {LONGEST_PAYLOAD} are allowed", text.len());
        return refused("/payload", "too_long", detail);
    }
    if text.contains("\\u0000") {
        return refused("/payload", "not_allowed", "the character NUL can't be stored".to_owned());
    }
    Ok(text.into())
}

fn unknown(id: &LetterId) -> Refusal {
    Refusal::not_found("not_found", format!("there is no dead letter {id}")).with("resource", "dead_letter")
}

/// The log does not give events.
fn silent(error: &eventstore::Error) -> Refusal {
    tracing::warn!(%error, "the events of dead letters can't be read");
    Refusal::unavailable("log_unavailable", "the log does not answer; try again")
}

/// What was typed can't be sealed, so it is not kept.
fn unsealed(error: &eventstore::append::Error) -> Refusal {
    tracing::warn!(%error, "an edit of a dead letter can't be sealed");
    Refusal::unavailable("log_unavailable", "what is personal in the payload can't be sealed now; try again")
}

pub(crate) fn unavailable(error: sqlx::Error) -> Refusal {
    tracing::warn!(%error, "dead letters can't be read or changed");
    Refusal::unavailable("dead_letters_unavailable", "the dead letters' database does not answer; try again")
}
