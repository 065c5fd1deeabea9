//! Queries see only their tenant's rows, whatever their conditions are.

use sqlx::{ConnectOptions, Executor};

use crate::lamps::Lamps;
use crate::road::Road;

async fn count(connection: &mut sqlx::PgConnection, query: &str) -> i64 {
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn a_query_that_forgets_its_condition_sees_its_own_tenant_only() {
    let road = Road::new(Lamps::new()).await;
    for tenant in 0..3 {
        for _ in 0..=tenant {
            road.append(tenant, "hall", "demo.lamp.lit", "{}").await;
        }
    }
    let running = road.start();
    road.visible(&running.models).await;
    for (tenant, own) in road.tenants.iter().zip(1_i64..) {
        let mut query = running.models.begin(*tenant).await.unwrap();
        assert_eq!(count(&mut query, "SELECT count(*) FROM switches").await, own);
        assert_eq!(count(&mut query, "SELECT count(DISTINCT tenant_id) FROM lamps").await, 1);
        // Dropped within a transaction, the connection returns to the pool without any session state.
    }
    let options = road.database.options(eventstore::Role::Read);
    let mut raw = options.connect().await.unwrap();
    assert_eq!(count(&mut raw, "SELECT count(*) FROM demo.switches").await, 0);
    for forbidden in
        ["DELETE FROM demo.switches", "UPDATE projector.checkpoints SET position = 0", "SELECT * FROM log.commands"]
    {
        assert!(raw.execute(forbidden).await.is_err(), "{forbidden}");
    }
    let mut query = running.models.begin(road.tenants[0]).await.unwrap();
    assert!(query.execute("CREATE TEMP TABLE x (y int)").await.is_err(), "it is read-only");
    running.stop().await;
}

#[tokio::test]
async fn the_projector_writes_no_rows_of_tenants_that_have_no_event_in_the_batch() {
    let road = Road::new(Lamps::new()).await;
    let mut project = road.database.options(eventstore::Role::Project).connect().await.unwrap();
    let (ours, other) = (road.tenants[0], road.tenants[1]);
    project.execute(format!("SET app.tenant_ids = '{{{ours}}}'").as_str()).await.unwrap();
    let insert = |tenant| format!("INSERT INTO demo.switches VALUES ('{tenant}', 1, 'hall')");
    assert!(project.execute(insert(other).as_str()).await.is_err());
    project.execute(insert(ours).as_str()).await.unwrap();
    assert_eq!(road.rows().await.switches.len(), 1);
}

#[tokio::test]
async fn a_forgotten_transaction_is_ended_by_the_server() {
    let road = Road::new(Lamps::new()).await;
    let models = road.distant_models();
    let mut query = models.begin(road.tenants[0]).await.unwrap();
    let limit: String = sqlx::query_scalar("SELECT current_setting('idle_in_transaction_session_timeout')")
        .fetch_one(&mut *query)
        .await
        .unwrap();
    assert_eq!(limit, "1min");
    // With a shorter timeout: the server closes the connection, and the pool does not hand it out again.
    query.execute("SET LOCAL idle_in_transaction_session_timeout = '20ms'").await.unwrap();
    testbed::eventually("the server has ended it", async || {
        let open = "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND usename = 'inopsio_demo_read'";
        (count(&mut road.superuser().await, open).await == 0).then_some(())
    })
    .await;
    assert!(query.execute("SELECT 1").await.is_err());
    drop(query);
    let mut query = models.begin(road.tenants[0]).await.unwrap();
    assert_eq!(count(&mut query, "SELECT count(*) FROM lamps").await, 0);
}

#[tokio::test]
async fn connections_that_broke_while_they_waited_are_replaced() {
    let road = Road::new(Lamps::new()).await;
    let models = road.distant_models();
    let open = [models.begin(road.tenants[0]).await.unwrap(), models.begin(road.tenants[0]).await.unwrap()];
    for transaction in open {
        transaction.rollback().await.unwrap();
    }
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND usename = 'inopsio_demo_read'";
    let cut = sqlx::query(cut).fetch_all(&mut road.superuser().await).await.unwrap();
    assert!(cut.len() >= 2);
    let mut query = models.begin(road.tenants[0]).await.unwrap();
    assert_eq!(count(&mut query, "SELECT count(*) FROM lamps").await, 0);
}
