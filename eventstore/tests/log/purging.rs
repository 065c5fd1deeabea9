//! Purging the copies of tenants in cells where they do not live.

use eventstore::transfer::{self, Transfer, TransferError};
use eventstore::{ClaimAct, EventStore};
use kernel::TenantId;
use sqlx::Executor;
use testbed::Database;

use super::moving::{CRM, between, rows};
use super::support::*;

/// A tenant whose two events and one claim are in one cell, and are copied to another one.
struct Copied {
    from: Database,
    here: EventStore,
    to: Database,
    tenant: TenantId,
    transfer: Transfer,
}

async fn copied() -> Copied {
    let (from, here) = store().await;
    let to = Database::fresh("crm").await;
    let tenant = testbed::tenant();
    let mut first = append(tenant, vec![stream("a", 0, 2)]);
    first.claims = vec![claim(ClaimAct::Take, 1, "a")];
    here.append(first).await.unwrap();
    let mut transfer = between(tenant, &from, &to).await;
    transfer.expect("west").await.unwrap();
    transfer.round().await.unwrap();
    Copied { from, here, to, tenant, transfer }
}

#[tokio::test]
async fn the_copy_of_a_move_that_was_taken_back_is_purged_and_made_again_by_a_later_one() {
    let Copied { from, here, to, tenant, mut transfer } = copied().await;
    let mut there = superuser(&to).await;
    transfer::purge(&mut there, CRM, tenant).await.unwrap();
    assert_eq!(rows(&to, tenant).await.len(), 2, "the events are left");
    // A tenant is not purged in the cell where it lives.
    let before = rows(&from, tenant).await;
    assert!(transfer::purge(transfer.old(), CRM, tenant).await.is_err());
    assert_eq!(rows(&from, tenant).await, before);
    drop(transfer);
    let mut transfer = between(tenant, &from, &to).await;
    transfer.expect("west").await.unwrap();
    assert!(transfer.needs_rebuild().await.unwrap());
    transfer.round().await.unwrap();
    transfer.compare().await.unwrap();
    assert_eq!(rows(&from, tenant).await, rows(&to, tenant).await);
    transfer.record_rebuilt().await.unwrap();
    assert!(!transfer.needs_rebuild().await.unwrap());
    here.close().await;
}

#[tokio::test]
async fn nothing_is_purged_while_a_read_model_is_built_that_may_have_read_it() {
    let Copied { here, to, tenant, mut transfer, .. } = copied().await;
    let (mut there, mut builds) = (superuser(&to).await, superuser(&to).await);
    there
        .execute(
            "CREATE SCHEMA projector;
             GRANT USAGE ON SCHEMA projector TO PUBLIC;
             CREATE TABLE projector.checkpoints (projection text);
             INSERT INTO projector.checkpoints VALUES ('lamps'), ('lanterns')",
        )
        .await
        .unwrap();
    builds.execute("SELECT pg_advisory_lock(71648, hashtext('lanterns'))").await.unwrap();
    let refused = transfer::purge(&mut there, CRM, tenant).await.unwrap_err();
    assert!(matches!(&refused, TransferError::Building(CRM, built) if built == "lanterns"), "{refused}");
    assert!(!transfer.needs_rebuild().await.unwrap(), "it is as it was");
    builds.execute("SELECT pg_advisory_unlock(71648, hashtext('lanterns'))").await.unwrap();
    transfer::purge(&mut there, CRM, tenant).await.unwrap();
    assert!(transfer.needs_rebuild().await.unwrap());
    here.close().await;
}

#[tokio::test]
async fn nothing_is_purged_or_noted_in_a_cell_with_tables_of_an_earlier_program() {
    let Copied { here, to, tenant, mut transfer, .. } = copied().await;
    let mut there = superuser(&to).await;
    there.execute("DROP FUNCTION log.writers()").await.unwrap();
    let before = rows(&to, tenant).await;
    let refused = transfer::purge(&mut there, CRM, tenant).await.unwrap_err();
    assert!(matches!(refused, TransferError::NotMigrated(_)), "{refused}");
    assert_eq!(rows(&to, tenant).await, before);
    assert!(!transfer.needs_rebuild().await.unwrap(), "it is as it was");
    here.close().await;
}
