//! Deletion of a tenant in a log: it is closed permanently, and only its events are left.

use eventstore::append::Error;
use eventstore::{ClaimAct, Closure, History, Role, destroy, history};
use kernel::{Position, TenantId, Tree};
use sqlx::{ConnectOptions, Executor};

use super::support::*;

/// The rows that the log has of a tenant besides its events.
async fn beside(database: &testbed::Database, tenant: TenantId) -> i64 {
    let count = "SELECT (SELECT count(*) FROM log.commands WHERE tenant_id = $1)
                      + (SELECT count(*) FROM log.claims WHERE tenant_id = $1)
                      + (SELECT count(*) FROM log.snapshots WHERE tenant_id = $1)";
    sqlx::query_scalar(count).bind(tenant.uuid()).fetch_one(&mut superuser(database).await).await.unwrap()
}

#[tokio::test]
async fn a_destroyed_tenant_is_closed_for_good_and_keeps_its_history_and_nothing_else() {
    let (database, store) = store().await;
    let (tenant, neighbour) = (testbed::tenant(), testbed::tenant());
    for (tenant, events) in [(tenant, 3), (neighbour, 2)] {
        let mut append = append(tenant, vec![stream("a", 0, events)]);
        append.claims = vec![claim(ClaimAct::Take, 1, "a contact")];
        store.append(append).await.unwrap();
    }
    let before = whole_log(&database, &store).await;
    let mut tree = Tree::new();
    before.iter().filter(|event| event.tenant == tenant).for_each(|event| tree.push(kernel::Leaf::from(event).hash()));
    let told = History { events: 3, root: tree.root() };
    assert_eq!(history(&database, tenant).await.unwrap(), told);
    assert!(beside(&database, tenant).await > 0);
    let neighbours = beside(&database, neighbour).await;

    // The deletion, and a repetition of it.
    for _ in 0..2 {
        destroy(&database, tenant, &["lamps"]).await.unwrap();
        assert_eq!(store.closed().await.unwrap(), [(tenant, Closure::Deleted)]);
        assert_eq!((beside(&database, tenant).await, beside(&database, neighbour).await), (0, neighbours));
    }
    assert_eq!(whole_log(&database, &store).await, before, "the bytes of history stay");
    assert_eq!(history(&database, tenant).await.unwrap(), told);
    let refused = store.append(append(tenant, vec![stream("b", 0, 1)])).await.unwrap_err();
    assert!(matches!(refused, Error::Closed { tenant: closed } if closed == tenant), "{refused}");
    store.append(append(neighbour, vec![stream("b", 0, 1)])).await.unwrap();
    assert_eq!(store.head().await.unwrap(), Position(6));
}

#[tokio::test]
async fn who_works_for_all_tenants_looks_at_those_that_are_closed_and_not_at_all_that_were_ever_deleted() {
    let (database, store) = store().await;
    let (deleted, left) = (testbed::tenant(), testbed::tenant());
    store.append(append(deleted, vec![stream("a", 0, 1)])).await.unwrap();
    destroy(&database, deleted, &[]).await.unwrap();
    let leaves = "INSERT INTO log.closed (tenant_id, state, cell) VALUES ($1, 'left', 'north')";
    sqlx::query(leaves).bind(left.uuid()).execute(&mut superuser(&database).await).await.unwrap();
    let mut works = database.options(Role::Work).connect().await.unwrap();
    let closed = "SELECT log.closed_now()";
    let all: Vec<uuid::Uuid> = sqlx::query_scalar(closed).fetch_one(&mut works).await.unwrap();
    assert_eq!(all, [left.uuid()]);
    for tenant in [deleted, left] {
        works.execute(format!("SET app.tenant_id = '{tenant}'").as_str()).await.unwrap();
        let asked: Vec<uuid::Uuid> = sqlx::query_scalar(closed).fetch_one(&mut works).await.unwrap();
        assert_eq!(asked, [tenant.uuid()], "an append of it is refused");
    }
}

#[tokio::test]
async fn nobody_but_the_function_purges_and_nothing_is_purged_of_who_lives_here() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("a", 0, 1)])).await.unwrap();
    let before = beside(&database, tenant).await;
    let refused = async |role: Role, statement: &str| {
        let mut connection = database.options(role).connect().await.unwrap();
        let error = connection.execute(statement).await.unwrap_err();
        error.as_database_error().unwrap().code().unwrap().into_owned()
    };
    let [purge, empty, destroy] = ["purge", "empty", "destroy"].map(|act| format!("SELECT log.{act}('{tenant}')"));
    for role in [Role::Read, Role::Follow, Role::Project] {
        for statement in [&purge, &empty, &destroy] {
            assert_eq!(refused(role, statement).await, "42501", "{role:?}: {statement}");
        }
    }
    assert_eq!(refused(Role::Append, &purge).await, "42501");
    let error = superuser(&database).await.execute(purge.as_str()).await.unwrap_err();
    assert!(error.to_string().contains("lives here"), "{error}");
    assert_eq!((beside(&database, tenant).await, store.closed().await.unwrap()), (before, vec![]));
}

#[tokio::test]
async fn a_tenant_is_not_destroyed_before_read_models_have_all_of_it_nor_while_one_is_built() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("a", 0, 2)])).await.unwrap();
    let mut superuser = lamps(&database, 1).await;
    let behind = destroy(&database, tenant, &["lamps"]).await.unwrap_err().to_string();
    assert!(behind.contains("lamps") && behind.contains("not taken in"), "{behind}");
    superuser.execute("UPDATE projector.checkpoints SET position = 2").await.unwrap();
    superuser.execute("SELECT pg_advisory_lock(71648, hashtext('lamps'))").await.unwrap();
    let building = destroy(&database, tenant, &["lamps"]).await.unwrap_err().to_string();
    assert!(building.contains("lamps") && building.contains("built anew"), "{building}");
    assert!(store.closed().await.unwrap().is_empty() && beside(&database, tenant).await > 0, "nothing was done");
    superuser.execute("SELECT pg_advisory_unlock(71648, hashtext('lamps'))").await.unwrap();
    destroy(&database, tenant, &["lamps"]).await.unwrap();
    assert_eq!(beside(&database, tenant).await, 0);
}

/// A read model at this position, as the projector stores it.
async fn lamps(database: &testbed::Database, position: i64) -> sqlx::PgConnection {
    let mut superuser = superuser(database).await;
    superuser
        .execute(
            "CREATE SCHEMA projector;
             CREATE TABLE projector.checkpoints (projection text, position bigint, partition int, partitions int,
                                                 parked_events bigint, parked_aggregates bigint);
             GRANT USAGE ON SCHEMA projector TO inopsio_crm_owner;
             ALTER TABLE projector.checkpoints OWNER TO inopsio_crm_owner",
        )
        .await
        .unwrap();
    let at = format!("INSERT INTO projector.checkpoints VALUES ('lamps', {position}, 0, 1, 0, 0)");
    superuser.execute(at.as_str()).await.unwrap();
    superuser
}

#[tokio::test]
async fn a_read_model_that_the_program_dropped_holds_nobody_up_unless_another_program_applies_it() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("a", 0, 2)])).await.unwrap();
    let mut superuser = lamps(&database, 1).await;
    // Read models with one partition and with several.
    for (partitions, lock) in [(1, "lamps"), (4, "lamps/0/4")] {
        let divided = format!("UPDATE projector.checkpoints SET partitions = {partitions}");
        superuser.execute(divided.as_str()).await.unwrap();
        superuser.execute(format!("SELECT pg_advisory_lock(71647, hashtext('{lock}'))").as_str()).await.unwrap();
        let behind = destroy(&database, tenant, &["lanterns"]).await.unwrap_err().to_string();
        assert!(behind.contains("lamps") && behind.contains("not taken in"), "{behind}");
        superuser.execute(format!("SELECT pg_advisory_unlock(71647, hashtext('{lock}'))").as_str()).await.unwrap();
    }
    assert!(store.closed().await.unwrap().is_empty() && beside(&database, tenant).await > 0, "nothing was done");
    // As an older program calls it, without names: every read model counts.
    let before = superuser.execute(format!("SELECT log.empty('{tenant}')").as_str()).await.unwrap_err().to_string();
    assert!(before.contains("not taken in"), "{before}");
    destroy(&database, tenant, &["lanterns"]).await.unwrap();
    assert_eq!(beside(&database, tenant).await, 0);
}
