//! Tenants that are deleted, move to another cell, or come back.

use coordinator::{Status, skipped};
use crm_commands::GRANTS;
use eventstore::admin::Mode;
use kernel::{Clock, Position, TenantId};
use sagabed::{Bed, Case, Story};
use sqlx::{Connection, Executor};
use testbed::eventually;

use crate::follow_up::{FollowUp, qualify, set};

pub async fn waits(case: &Case<'_>) {
    case.until("it waits", |one| case.later(one).is_some()).await;
}

/// The rows of a tenant's instances.
pub async fn rows(bed: &Bed, tenant: TenantId) -> i64 {
    let count = "SELECT count(*) FROM saga.instances WHERE tenant_id = $1";
    sqlx::query_scalar(count).bind(tenant.uuid()).fetch_one(&mut bed.superuser().await).await.unwrap()
}

pub async fn execute(bed: &Bed, sql: &str, tenant: TenantId) {
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

    // As if the follower had been behind, or had lost its checkpoint, or a backup had been restored.
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
    // When this lead was qualified, there was no follow-up policy.
    qualify(&neighbour).await;
    bed.followed().await;
    set(&neighbour).await;
    running.stop().await;
    execute(&bed, "DELETE FROM saga.instances WHERE tenant_id = {}", back.tenant()).await;
    let repository = bed.sagas.repository(bed.executor.clone());
    // Once, and again.
    for _ in 0..2 {
        let now = bed.clock.now();
        let rebuilt =
            coordinator::rebuild_instances(&bed.database, &bed.store, &*repository, back.tenant(), now).await.unwrap();
        assert_eq!((rebuilt, rows(&bed, back.tenant()).await), (1, 1));
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

const PAUSE: &str = "INSERT INTO log.closed (tenant_id, state, cell) VALUES ({}, 'paused', 'east')";
const LET_IN: &str = "DELETE FROM log.closed WHERE tenant_id = {}";

/// Makes a tenant look as after its import from another cell, before it is opened.
const ARRIVING: &str = "INSERT INTO log.closed (tenant_id, state, cell) VALUES ({}, 'arriving', 'west');
                        INSERT INTO log.copied (tenant_id, position, moved) SELECT {}, position, true FROM log.head";

/// A tenant whose policy was set after its lead was qualified.
async fn never_followed_up(bed: &Bed) -> Case<'_> {
    let neighbour = bed.case("follow_up_lead");
    qualify(&neighbour).await;
    bed.followed().await;
    set(&neighbour).await;
    neighbour
}

/// The follower starts no sagas of a tenant, although it has reached the log's end.
async fn has_no_saga(bed: &Bed, case: &Case<'_>) {
    bed.followed().await;
    assert!(case.listed().await.is_empty());
    assert_eq!(case.count("crm.saga.started").await, 0);
}

#[tokio::test]
async fn what_was_passed_over_in_a_pause_is_looked_at_when_that_is_over_and_nobody_elses_events_are() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let running = bed.start();
    let neighbour = never_followed_up(&bed).await;
    let paused = bed.case("follow_up_lead");
    running.stop().await;
    FollowUp.begin(&paused).await;
    execute(&bed, PAUSE, paused.tenant()).await;
    let running = bed.start();
    has_no_saga(&bed, &paused).await;
    qualify(&neighbour).await;
    neighbour.until("that one is followed up", |one| neighbour.later(one).is_some()).await;

    execute(&bed, LET_IN, paused.tenant()).await;
    waits(&paused).await;
    bed.followed().await;
    assert_eq!((paused.listed().await.len(), neighbour.listed().await.len()), (1, 1));
    // Once: the skipped range is deleted soon after its sagas have started.
    eventually("nothing is noted", async || {
        let left = sqlx::query_scalar("SELECT count(*) FROM saga.passed_over");
        let left: i64 = left.fetch_one(&mut bed.superuser().await).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn what_an_earlier_coordinator_passed_over_is_looked_at_by_this_one() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let paused = bed.case("follow_up_lead");
    FollowUp.begin(&paused).await;
    execute(&bed, PAUSE, paused.tenant()).await;
    // What coordinators before 2026-12 left: the checkpoint at the end, and the position up to which the tenant's events were processed.
    execute(&bed, "UPDATE saga.checkpoint SET position = (SELECT position FROM log.head)", paused.tenant()).await;
    execute(&bed, "UPDATE log.closed SET looked = 0 WHERE tenant_id = {}", paused.tenant()).await;
    let mut superuser = bed.superuser().await;
    assert_eq!(skipped::processed_up_to(&mut superuser, paused.tenant()).await.unwrap(), Position::START);
    // As when a move is cancelled.
    skipped::adopt(&mut superuser, Some(paused.tenant())).await.unwrap();
    assert_eq!(skipped::processed_up_to(&mut superuser, paused.tenant()).await.unwrap(), Position::START);
    execute(&bed, LET_IN, paused.tenant()).await;
    let running = bed.start();
    waits(&paused).await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_handed_over_begins_its_sagas_however_far_it_was_followed_and_nobody_elses_does() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let running = bed.start();
    let neighbour = never_followed_up(&bed).await;
    let (moved, idle) = (bed.case("follow_up_lead"), bed.case("follow_up_lead"));
    running.stop().await;
    FollowUp.begin(&moved).await;
    execute(&bed, ARRIVING, moved.tenant()).await;
    execute(&bed, ARRIVING, idle.tenant()).await;
    // The follower reads past the imported events without starting anything, because their sagas exist. The stored checkpoint may lag
    // behind.
    let running = bed.start();
    bed.followed().await;
    assert!(moved.listed().await.is_empty());

    let (head, mut superuser) = (bed.store.head().await.unwrap(), bed.superuser().await);
    let before: i64 =
        sqlx::query_scalar("SELECT position FROM saga.checkpoint").fetch_one(&mut superuser).await.unwrap();
    let mut transaction = superuser.begin().await.unwrap();
    // For one tenant all events have to be processed; the other one has none.
    skipped::hand_over(&mut transaction, moved.tenant(), Position::START, head).await.unwrap();
    skipped::hand_over(&mut transaction, idle.tenant(), Position::START, Position::START).await.unwrap();
    for case in [&moved, &idle] {
        let let_in = LET_IN.replace("{}", &format!("'{}'", case.tenant()));
        transaction.execute(let_in.as_str()).await.unwrap();
    }
    transaction.commit().await.unwrap();
    waits(&moved).await;
    bed.followed().await;
    assert_eq!(moved.listed().await.len(), 1);
    has_no_saga(&bed, &neighbour).await;
    let after: i64 =
        sqlx::query_scalar("SELECT position FROM saga.checkpoint").fetch_one(&mut superuser).await.unwrap();
    assert!(after >= before, "the checkpoint went from {before} to {after}");
    running.stop().await;
}

#[tokio::test]
async fn tables_of_an_earlier_program_get_what_is_missing_and_keep_what_they_have() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let running = bed.start();
    FollowUp.begin(&case).await;
    waits(&case).await;
    bed.followed().await;
    running.stop().await;
    let mut superuser = bed.superuser().await;
    superuser.execute("DROP TABLE saga.passed_over").await.unwrap();
    let stopped = bed.start();
    let mut status = stopped.status();
    let waiting = |status: &coordinator::CoordinatorStatus| matches!(&status.state, coordinator::CoordinatorState::Waiting { reason } if reason.contains("inopsio migrate"));
    status.wait_for(waiting).await.unwrap();
    stopped.stop().await;

    let checkpoint = "SELECT position FROM saga.checkpoint";
    let before: i64 = sqlx::query_scalar(checkpoint).fetch_one(&mut superuser).await.unwrap();
    for (mode, missing) in [(Mode::DryRun, true), (Mode::Apply, true), (Mode::Apply, false)] {
        assert_eq!(coordinator::migrate(&bed.database.admin(), &bed.database, mode).await.unwrap(), missing);
    }
    let after: i64 = sqlx::query_scalar(checkpoint).fetch_one(&mut superuser).await.unwrap();
    assert_eq!((after, rows(&bed, case.tenant()).await), (before, 1));
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "after the migration");
    running.stop().await;
}
