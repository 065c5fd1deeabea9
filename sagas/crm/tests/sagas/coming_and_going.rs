//! Tenants that are deleted, leave, or come back.

use coordinator::Status;
use crm_commands::GRANTS;
use kernel::{Clock, TenantId};
use sagabed::{Bed, Case, Story};
use sqlx::{Connection, Executor};

use crate::follow_up::{FollowUp, qualify, set};

async fn waits(case: &Case<'_>) {
    case.until("it waits", |one| case.later(one).is_some()).await;
}

/// The rows of a tenant's instances.
async fn rows(bed: &Bed, tenant: TenantId) -> i64 {
    let count = "SELECT count(*) FROM saga.instances WHERE tenant_id = $1";
    sqlx::query_scalar(count).bind(tenant.uuid()).fetch_one(&mut bed.superuser().await).await.unwrap()
}

async fn execute(bed: &Bed, sql: &str, tenant: TenantId) {
    let sql = sql.replace("{}", &format!("'{tenant}'"));
    let mut superuser = bed.superuser().await;
    superuser.execute(sql.as_str()).await.unwrap();
    superuser.close().await.unwrap();
}

const LEAVE: &str = "INSERT INTO log.closed (tenant_id, state, cell) VALUES ({}, 'left', 'east')";

#[tokio::test]
async fn rows_of_who_is_deleted_or_left_and_was_purged_do_not_come_back_however_late_the_log_is_followed() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let [deleted, purged, neighbour] = [(); 3].map(|()| bed.case("follow_up_lead"));
    let running = bed.start();
    for case in [&deleted, &purged, &neighbour] {
        FollowUp.begin(case).await;
        waits(case).await;
    }
    running.stop().await;
    eventstore::destroy(&bed.database, deleted.tenant(), &[]).await.unwrap();
    execute(&bed, LEAVE, purged.tenant()).await;
    let service = bed.sagas.service();
    eventstore::transfer::purge(&mut bed.superuser().await, service, purged.tenant()).await.unwrap();
    assert_eq!([rows(&bed, deleted.tenant()).await, rows(&bed, purged.tenant()).await], [0, 0]);

    // As when it was behind, or its checkpoint was lost, or a backup is restored.
    bed.forget().await;
    let running = bed.start();
    bed.followed().await;
    waits(&neighbour).await;
    assert_eq!([rows(&bed, deleted.tenant()).await, rows(&bed, purged.tenant()).await], [0, 0]);
    running.stop().await;
}

#[tokio::test]
async fn who_has_left_is_not_counted_among_the_stuck() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let (left, here) = (bed.case("follow_up_lead"), bed.case("follow_up_lead"));
    let running = bed.start();
    for case in [&left, &here] {
        FollowUp.begin(case).await;
        waits(case).await;
        bed.followed().await;
    }
    running.stop().await;
    for case in [&left, &here] {
        let stuck = "UPDATE saga.instances SET status = 'stuck', wake_at = NULL WHERE tenant_id = {}";
        execute(&bed, stuck, case.tenant()).await;
    }
    execute(&bed, LEAVE, left.tenant()).await;
    let running = bed.start();
    let mut status = running.status();
    let stuck = status.wait_for(|status| status.stuck > 0).await.unwrap().stuck;
    assert_eq!(stuck, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_tenant_that_comes_back_has_its_sagas_again_and_nobody_elses_events_are_asked_about_a_second_time() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let (back, neighbour) = (bed.case("follow_up_lead"), bed.case("follow_up_lead"));
    let running = bed.start();
    FollowUp.begin(&back).await;
    waits(&back).await;
    // Nobody wanted this one followed up when it was qualified.
    qualify(&neighbour).await;
    bed.followed().await;
    set(&neighbour).await;
    running.stop().await;
    execute(&bed, "DELETE FROM saga.instances WHERE tenant_id = {}", back.tenant()).await;
    let book = bed.sagas.book(bed.executor.clone());
    // Once, and again.
    for _ in 0..2 {
        let now = bed.clock.now();
        let recalled = coordinator::recall(&bed.database, &bed.store, &*book, back.tenant(), now).await.unwrap();
        assert_eq!((recalled, rows(&bed, back.tenant()).await), (1, 1));
    }
    let running = bed.start();
    waits(&back).await;
    let state = back.end(&running).await;
    back.assert_status(&state, Status::Completed, "come back");
    FollowUp.done(&back).await;
    bed.followed().await;
    assert!(neighbour.listed().await.is_empty());
    running.stop().await;
}
