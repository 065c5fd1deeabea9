//! A small projection for tests: how often each lamp was switched, and a row for each switch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::RecordedEvent;
use projector::{ApplyError, BoxFuture, Projection};
use sqlx::PgConnection;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// The projection, with properties that tests can change.
#[derive(Clone)]
pub(crate) struct Lamps {
    pub(crate) version: u32,
    /// Whether broken events can be applied.
    pub(crate) lenient: bool,
    /// Whether events with `once` fail, too.
    pub(crate) strict: bool,
    /// Each batch has to pass this gate after it has written its rows.
    pub(crate) gate: Arc<Semaphore>,
    /// How many batches wait at the gate.
    pub(crate) waiting: Arc<AtomicUsize>,
}

impl Lamps {
    /// A projection whose gate is closed.
    pub(crate) fn gated() -> Self {
        Self { version: 1, lenient: false, strict: false, gate: Arc::new(Semaphore::new(0)), waiting: Arc::default() }
    }

    /// A projection whose gate is open.
    pub(crate) fn new() -> Self {
        let lamps = Self::gated();
        lamps.open();
        lamps
    }

    /// Opens the gate permanently.
    pub(crate) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

const DDL: &str = "\
CREATE TABLE lamps (
    tenant_id uuid   NOT NULL,
    lamp      text   NOT NULL,
    switches  bigint NOT NULL CHECK (switches < 1000000),
    lit       boolean NOT NULL,
    PRIMARY KEY (tenant_id, lamp)
);
-- The most used first.
CREATE INDEX lamps_by_switches ON lamps (tenant_id, switches DESC);
CREATE TABLE switches (
    tenant_id uuid   NOT NULL,
    position  bigint NOT NULL,
    lamp      text   NOT NULL,
    PRIMARY KEY (tenant_id, position)
);
CREATE INDEX switches_by_lamp ON switches (tenant_id, lamp, position);
";

impl Projection for Lamps {
    fn name(&self) -> &'static str {
        "lamps"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn ddl(&self) -> &'static str {
        DDL
    }

    fn tables(&self) -> &'static [&'static str] {
        &["lamps", "switches"]
    }

    fn wants(&self, event_type: &str) -> bool {
        matches!(event_type, "demo.lamp.lit" | "demo.lamp.dimmed" | "demo.lamp.erased")
    }

    fn apply<'a>(
        &'a self,
        events: &'a [&'a RecordedEvent],
        tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(self.apply_all(events, tables))
    }

    /// In this projection the number of switches counts as personal data.
    fn forget<'a>(
        &'a self,
        event: &'a RecordedEvent,
        tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            sqlx::query("UPDATE lamps SET switches = 0 WHERE tenant_id = $1 AND lamp = $2")
                .bind(event.tenant.uuid())
                .bind(&event.aggregate_id)
                .execute(tables)
                .await?;
            Ok(())
        })
    }
}

impl Lamps {
    async fn apply_all(&self, events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
        let column = |of: fn(&RecordedEvent) -> String| events.iter().map(|event| of(event)).collect::<Vec<_>>();
        let tenants: Vec<Uuid> = events.iter().map(|event| event.tenant.uuid()).collect();
        let positions: Vec<i64> = events.iter().map(|event| event.position.as_i64()).collect();
        let lamps = column(|event| event.aggregate_id.clone());
        let lit: Vec<bool> = events.iter().map(|event| event.event_type == "demo.lamp.lit").collect();
        let mut steps = Vec::with_capacity(events.len());
        for event in events {
            let payload = std::str::from_utf8(&event.payload).unwrap();
            steps.push(match payload.split('"').nth(3) {
                Some("once") if self.strict => return Err(ApplyError::poison(event, "it is odd")),
                Some("poison") if !self.lenient => return Err(ApplyError::poison(event, "it is poison")),
                Some("panic") if !self.lenient => panic!("what a lamp"),
                // Violates the table's CHECK constraint.
                Some("sql") if !self.lenient => 1_000_000_i64,
                _ => 1,
            });
        }
        sqlx::query(
            "INSERT INTO lamps AS l (tenant_id, lamp, switches, lit)
             SELECT tenant_id, lamp, sum(step), (array_agg(lit ORDER BY position DESC))[1]
             FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::boolean[], $5::bigint[])
                 AS e (tenant_id, lamp, step, lit, position)
             GROUP BY tenant_id, lamp
             ON CONFLICT (tenant_id, lamp) DO UPDATE SET switches = l.switches + excluded.switches, lit = excluded.lit",
        )
        .bind(&tenants)
        .bind(&lamps)
        .bind(&steps)
        .bind(&lit)
        .bind(&positions)
        .execute(&mut *tables)
        .await?;
        // A plain insert, which fails if an event is applied twice.
        sqlx::query(
            "INSERT INTO switches (tenant_id, position, lamp)
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[])",
        )
        .bind(&tenants)
        .bind(&positions)
        .bind(&lamps)
        .execute(&mut *tables)
        .await?;
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}
