//! Projections get retired events upcast to current ones, from the feed, from the log, and in a rebuild.

use std::collections::BTreeMap;

use kernel::{Aggregate, RecordedEvent};
use projector::{ApplyError, BoxFuture, Projection};
use sqlx::{PgConnection, Row};
use testbed::lanterns::{self, Lantern, LanternEvent};

use crate::road::Road;

/// A projection with the current state of each lantern, stored as JSON.
struct Lanterns;

const DDL: &str = "\
CREATE TABLE lanterns (
    tenant_id uuid   NOT NULL,
    lantern   text   NOT NULL,
    version   bigint NOT NULL,
    state     jsonb  NOT NULL,
    PRIMARY KEY (tenant_id, lantern)
);
";

impl Projection for Lanterns {
    fn name(&self) -> &'static str {
        "lanterns"
    }

    fn version(&self) -> u32 {
        1
    }

    fn ddl(&self) -> &'static str {
        DDL
    }

    fn tables(&self) -> &'static [&'static str] {
        &["lanterns"]
    }

    fn wants(&self, event_type: &str) -> bool {
        event_type.starts_with("demo.lantern.")
    }

    fn apply<'a>(
        &'a self,
        events: &'a [&'a RecordedEvent],
        tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            for event in events {
                let today = event.decode::<LanternEvent>().map_err(|error| ApplyError::poison(event, error))?;
                let key = "WHERE tenant_id = $1 AND lantern = $2";
                let row = sqlx::query(&format!("SELECT state FROM lanterns {key}"))
                    .bind(event.tenant.uuid())
                    .bind(&event.aggregate_id)
                    .fetch_optional(&mut *tables)
                    .await?;
                let state = row.map(|row| row.try_get::<sqlx::types::Json<Lantern>, _>(0)).transpose()?;
                let mut lantern = state.map(|state| state.0).unwrap_or_default();
                today.into_iter().for_each(|event| lantern.evolve(event));
                sqlx::query(
                    "INSERT INTO lanterns VALUES ($1, $2, $3, $4)
                     ON CONFLICT (tenant_id, lantern) DO UPDATE SET version = excluded.version, state = excluded.state",
                )
                .bind(event.tenant.uuid())
                .bind(&event.aggregate_id)
                .bind(event.sequence.cast_signed())
                .bind(sqlx::types::Json(lantern))
                .execute(&mut *tables)
                .await?;
            }
            Ok(())
        })
    }
}

async fn rows(road: &Road) -> BTreeMap<String, (i64, Lantern)> {
    let mut query = road.distant_models().begin(road.tenants[0]).await.unwrap();
    let rows = sqlx::query("SELECT lantern, version, state FROM lanterns").fetch_all(&mut *query).await.unwrap();
    rows.iter()
        .map(|row| {
            let state: sqlx::types::Json<Lantern> = row.get("state");
            (row.get("lantern"), (row.get("version"), state.0))
        })
        .collect()
}

#[tokio::test]
async fn what_an_older_program_wrote_is_the_same_live_and_in_a_rebuild() {
    let road = Road::new(Lanterns).await;
    lanterns::append(&road.store, road.tenants[0]).await;
    let expected: BTreeMap<_, _> = lanterns::today()
        .into_iter()
        .map(|(id, lantern, version)| (id.to_owned(), (version.cast_signed(), lantern)))
        .collect();
    let running = road.start();
    // From the log, while nothing is on the bus.
    road.visible(&running.models).await;
    assert_eq!(rows(&road).await, expected);
    // From the bus: another tenant's history, which this tenant does not see.
    lanterns::append(&road.store, road.tenants[1]).await;
    road.relay().await;
    road.visible(&running.models).await;
    assert_eq!(rows(&road).await, expected);
    assert_eq!(running.models.status().await.unwrap()[0].parked_events, 0);
    running.stop().await;

    let database = &road.database;
    let rebuilt = projector::rebuild(&database.admin(), database, &road.store, &Lanterns, |_| {}).await.unwrap();
    assert_eq!((rebuilt.events, rebuilt.parked_events), (18, 0), "a stored event is one, whatever it stands for");
    assert_eq!(rows(&road).await, expected);
}
