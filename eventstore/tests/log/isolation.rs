//! The limits of each role's privileges, and row level security.

use eventstore::Role;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};

use super::support::*;

/// The SQLSTATE of an error.
async fn refusal(connection: &mut PgConnection, statement: &str) -> String {
    let error = connection.execute(statement).await.expect_err(statement);
    let database = error.as_database_error().unwrap_or_else(|| panic!("{statement}: {error}"));
    database.code().unwrap_or_default().into_owned()
}

const NOT_ALLOWED: &str = "42501";

#[tokio::test]
async fn a_query_without_a_tenant_condition_sees_the_set_tenants_rows_and_none_when_unset() {
    let (database, store) = store().await;
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    store.append(append(ours, vec![stream("l1", 0, 3)])).await.unwrap();
    store.append(append(theirs, vec![stream("l1", 0, 5)])).await.unwrap();

    let mut reader = database.options(Role::Read).connect().await.unwrap();
    let forgetful = "SELECT tenant_id FROM log.events";
    let none: Vec<uuid::Uuid> = sqlx::query_scalar(forgetful).fetch_all(&mut reader).await.unwrap();
    assert!(none.is_empty(), "no tenant set, no rows");

    let mut transaction = reader.begin().await.unwrap();
    sqlx::query("SELECT set_config('app.tenant_id', $1, true)")
        .bind(ours.to_string())
        .execute(&mut *transaction)
        .await
        .unwrap();
    let seen: Vec<uuid::Uuid> = sqlx::query_scalar(forgetful).fetch_all(&mut *transaction).await.unwrap();
    assert_eq!(seen, [ours.uuid(); 3]);
    transaction.commit().await.unwrap();

    let none: Vec<uuid::Uuid> = sqlx::query_scalar(forgetful).fetch_all(&mut reader).await.unwrap();
    assert!(none.is_empty(), "the transaction's tenant ended with it");
    let loaded = "SELECT count(*) FROM log.load('00000000-0000-0000-0000-000000000000', 'crm.lead', 'l1', 0)";
    assert_eq!(sqlx::query_scalar::<_, i64>(loaded).fetch_one(&mut reader).await.unwrap(), 0);
}

#[tokio::test]
async fn attack_126_a_pooled_connection_that_served_one_tenant_is_dropped_midway_and_serves_another() {
    let (database, store) = store().await;
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    store.append(append(ours, vec![stream("l1", 0, 3)])).await.unwrap();
    store.append(append(theirs, vec![stream("l1", 0, 5)])).await.unwrap();
    let pool = database.pool(Role::Read, 1);
    let set = "SELECT set_config('app.tenant_id', $1, true)";
    let (backend, count) = ("SELECT pg_backend_pid()", "SELECT count(*) FROM log.events");
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query(set).bind(ours.to_string()).execute(&mut *transaction).await.unwrap();
    let pid: i32 = sqlx::query_scalar(backend).fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *transaction).await.unwrap(), 3);
    // The caller is dropped in the middle of a statement.
    let mut asked = Box::pin(sqlx::query("SELECT pg_sleep(0.2)").execute(&mut *transaction));
    assert!(futures::poll!(&mut asked).is_pending());
    drop(asked);
    drop(transaction);

    let mut next = pool.acquire().await.unwrap();
    let again: i32 = sqlx::query_scalar(backend).fetch_one(&mut *next).await.unwrap();
    assert_eq!(again, pid, "the pool's one connection is used again");
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *next).await.unwrap(), 0, "nobody's is left");
    let mut transaction = next.begin().await.unwrap();
    sqlx::query(set).bind(theirs.to_string()).execute(&mut *transaction).await.unwrap();
    let seen: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT tenant_id FROM log.events").fetch_all(&mut *transaction).await.unwrap();
    assert_eq!(seen, [theirs.uuid(); 5]);
    drop(transaction);
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *next).await.unwrap(), 0);
}

#[tokio::test]
async fn the_append_role_may_only_call_its_functions() {
    let (database, store) = store().await;
    store.append(append(testbed::tenant(), vec![stream("l1", 0, 3)])).await.unwrap();
    let before = contents(&database).await;
    let mut appender = database.options(Role::Append).connect().await.unwrap();
    for statement in [
        "SELECT FROM log.events",
        "SELECT FROM log.commands",
        "SELECT FROM log.claims",
        "INSERT INTO log.events SELECT * FROM log.events",
        "DELETE FROM log.events",
        "UPDATE log.head SET position = 0",
        "SELECT log.load('00000000-0000-0000-0000-000000000000', '', '', 0)",
        "SET ROLE inopsio_crm_owner",
        "CREATE TABLE log.mine (n int)",
        "CREATE TABLE public.mine (n int)",
    ] {
        assert_eq!(refusal(&mut appender, statement).await, NOT_ALLOWED, "{statement}");
    }
    assert_eq!(contents(&database).await, before);
}

#[tokio::test]
async fn readers_followers_and_projectors_write_nothing_into_the_log() {
    let (database, store) = store().await;
    store.append(append(testbed::tenant(), vec![stream("l1", 0, 3)])).await.unwrap();
    let before = contents(&database).await;
    for role in [Role::Read, Role::Follow, Role::Project] {
        let mut connection = database.options(role).connect().await.unwrap();
        for statement in [
            "INSERT INTO log.events SELECT * FROM log.events",
            "UPDATE log.events SET payload = '{}'",
            "DELETE FROM log.events",
            "TRUNCATE log.events",
            "UPDATE log.head SET position = 0",
            "SELECT FROM log.claims",
            "SELECT FROM log.commands",
            "SELECT log.command('00000000-0000-0000-0000-000000000000', '')",
        ] {
            assert_eq!(refusal(&mut connection, statement).await, NOT_ALLOWED, "{role:?}: {statement}");
        }
    }
    assert_eq!(contents(&database).await, before);
}

#[tokio::test]
async fn every_table_with_a_tenant_is_under_forced_row_level_security() {
    let (database, _store) = store().await;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE a.attname = 'tenant_id' AND c.relkind IN ('r', 'p') AND NOT (c.relrowsecurity AND c.relforcerowsecurity)",
    )
    .fetch_all(&mut superuser(&database).await)
    .await
    .unwrap();
    assert_eq!(open, [""; 0], "enable and force row level security on these");
}

#[tokio::test]
async fn the_append_function_writes_only_for_the_tenants_of_its_batch() {
    let (database, _store) = store().await;
    let mut appender = database.options(Role::Append).connect().await.unwrap();
    let (named, other) = (testbed::tenant(), testbed::tenant());
    let refused = sqlx::query(
        "SELECT * FROM log.append(ARRAY[$1::uuid], now(), ARRAY[$2::uuid], '{c}', '{x}', '{null}', '{0}', '{}', '{}', '{}',
             '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
    )
    .bind(named.uuid())
    .bind(other.uuid())
    .fetch_all(&mut appender)
    .await
    .unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some(NOT_ALLOWED), "{refused}");
    assert_eq!(contents(&database).await, [0, 0, 0]);
}
