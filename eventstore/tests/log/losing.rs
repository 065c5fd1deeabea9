//! A log that has lost its end, with the keys that were in it: what was encrypted with them is not written.

use eventstore::sealing::{PERSON_KEY, TENANT_KEY};
use eventstore::{EventStore, append};
use kernel::{Position, TenantId};
use testbed::Database;

use super::sealing::{ADA, OPENED, add, claims, fresh, loaded, saying, sealing};
use super::support::*;

/// As if a server had taken over that has nothing of the log: all connections end, and what was written is gone.
async fn lose_the_log(database: &Database) {
    sqlx::raw_sql(
        "SET session_replication_role = replica;
         DELETE FROM log.events;
         DELETE FROM log.commands;
         DELETE FROM log.claims;
         UPDATE log.head SET position = 0;
         SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid();",
    )
    .execute(&mut superuser(database).await)
    .await
    .unwrap();
}

/// What a store encrypts that has not noticed it is refused, and nothing is written.
async fn is_refused(database: &Database, store: &EventStore, tenant: TenantId, id: &str) {
    let before = contents(database).await;
    let refused = store.append(append(tenant, vec![saying(id, 0, "crm.lead.captured", ADA)])).await.unwrap_err();
    assert!(matches!(refused, append::Error::Outdated), "{refused}");
    assert_eq!(contents(database).await, before, "nothing was written");
}

#[tokio::test]
async fn a_tenants_key_that_the_log_has_lost_encrypts_nothing_any_more() {
    let (database, store, tenant) = fresh().await;
    add(&store, tenant, "ada", 0, ADA).await;
    lose_the_log(&database).await;
    // It was encrypted before anybody noticed.
    is_refused(&database, &store, tenant, "ada").await;
    add(&store, tenant, "ada", 0, ADA).await;
    assert_eq!([claims(&database, PERSON_KEY).await, claims(&database, TENANT_KEY).await], [1, 1]);
    assert_eq!(loaded(&sealing(&database, "a").await, tenant, "ada").await, [OPENED]);
}

#[tokio::test]
async fn a_tenants_key_that_the_log_has_lost_encrypts_nothing_although_another_process_made_a_new_one() {
    let (database, store, tenant) = fresh().await;
    add(&store, tenant, "ada", 0, ADA).await;
    lose_the_log(&database).await;
    let other = sealing(&database, "a").await;
    add(&other, tenant, "grace", 0, ADA).await;
    is_refused(&database, &store, tenant, "eve").await;
    add(&store, tenant, "eve", 0, ADA).await;
    for id in ["eve", "grace"] {
        assert_eq!(loaded(&sealing(&database, "a").await, tenant, id).await, [OPENED]);
    }
}

#[tokio::test]
async fn a_tenants_key_that_the_log_has_lost_encrypts_nothing_in_a_process_that_had_only_read_either() {
    let mut postgres = testbed::Postgres::private();
    let database = Database::fresh_on(&postgres, "crm").await;
    let tenant = testbed::tenant();
    add(&sealing(&database, "a").await, tenant, "ada", 0, ADA).await;
    let store = sealing(&database, "a").await;
    assert_eq!(loaded(&store, tenant, "ada").await, [OPENED]);
    postgres.kill();
    postgres.restart();
    lose_the_log(&database).await;
    // It has no connection of its own that was lost: this opens its first one for appends.
    is_refused(&database, &store, tenant, "eve").await;
    add(&store, tenant, "eve", 0, ADA).await;
    assert_eq!(loaded(&sealing(&database, "a").await, tenant, "eve").await, [OPENED]);
}

#[tokio::test]
async fn a_tenants_key_that_the_log_has_lost_costs_no_other_tenant_an_append() {
    let (database, store, tenant) = fresh().await;
    add(&store, tenant, "ada", 0, ADA).await;
    lose_the_log(&database).await;
    // Both are queued before either is sent, so they are in one batch.
    let encrypted = store.append(append(tenant, vec![saying("eve", 0, "crm.lead.captured", ADA)]));
    let (refused, done) = tokio::join!(encrypted, store.append(append(testbed::tenant(), vec![stream("lamp", 0, 2)])));
    assert!(matches!(refused, Err(append::Error::Outdated)), "{refused:?}");
    assert_eq!(done.unwrap().last, Position(2));
    assert_eq!(count(&database, "log.events").await, 2);
}

#[tokio::test]
async fn a_tenants_key_that_is_still_in_the_log_stays_in_use_when_connections_were_lost() {
    let (database, store, tenant) = fresh().await;
    add(&store, tenant, "ada", 0, ADA).await;
    let lost = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(lost).execute(&mut superuser(&database).await).await.unwrap();
    add(&store, tenant, "grace", 0, ADA).await;
    assert_eq!([claims(&database, PERSON_KEY).await, claims(&database, TENANT_KEY).await], [2, 1]);
    assert_eq!(loaded(&sealing(&database, "a").await, tenant, "grace").await, [OPENED]);
}
