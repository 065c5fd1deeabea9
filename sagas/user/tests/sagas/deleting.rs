//! `delete_tenant`: a tenant is deleted at the end of its grace period unless it is restored, with every failure injected; nothing is
//! destroyed before.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::Duration;
use coordinator::{Listed, Point, Sagas, Status};
use futures::future::BoxFuture;
use kernel::Kind;
use sagabed::{Bed, Case, FailingOnce, Story};
use user_aggregates::{Tenant, TenantStatus};
use user_commands::{ActivateTenant, RequestTenantDeletion, RestoreTenant, ResumeTenant, SuspendTenant};
use user_sagas::TenantStanding;

use crate::provisioning::{ResourcesDouble, only, operators_grants, ports, request};

#[derive(Default)]
struct Deleting {
    resources: ResourcesDouble,
}

const NAME: &str = "delete_tenant";

async fn ask(case: &Case<'_>, grace_days: u32) {
    case.execute(&RequestTenantDeletion { reason: "contract ended".to_owned(), grace_days }).await;
}

/// An active tenant.
async fn tenant(case: &Case<'_>) {
    request(case, "acme".to_owned()).await;
    case.execute(&ActivateTenant).await;
}

impl Story for Deleting {
    /// Only this saga; the tenant's resources are created by hand.
    fn sagas(&self) -> Sagas {
        only(NAME, &self.resources)
    }

    fn saga(&self) -> &'static str {
        NAME
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            tenant(case).await;
            ask(case, 30).await;
        })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            assert_eq!(case.load::<Tenant>(case.tenant()).await.status, TenantStatus::Deleted);
            assert_eq!(case.count("user.tenant.deleted").await, 1);
            // A step may be repeated after a crash; the order is fixed, with the service of tenants last.
            let mut ends = self.resources.ends(case.tenant());
            ends.sort_by_key(|end| ["crm", "auth", "recorded", "user"].iter().position(|place| place == end));
            ends.dedup();
            assert_eq!(ends, ["crm", "auth", "recorded", "user"]);
            assert_eq!(self.resources.ends(case.tenant()).last(), Some(&"user"));
        })
    }

    /// What is destroyed is not restored, in any case; and nothing is destroyed of tenants that are not deleted.
    fn undone<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let ends = self.resources.ends(case.tenant());
            if ends.last() == Some(&"user") {
                return self.done(case).await;
            }
            assert!(["crm", "auth", "recorded"].starts_with(&ends), "{ends:?}");
            let status = case.load::<Tenant>(case.tenant()).await.status;
            assert!(status == TenantStatus::Deleted || ends.is_empty(), "{ends:?} of one that is {status:?}");
        })
    }
}

#[tokio::test]
async fn a_tenant_is_destroyed_when_its_grace_is_over() {
    sagabed::completes(&Deleting::default(), operators_grants()).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_leaves_no_half_of_a_tenant() {
    sagabed::survives_each_crash(&Deleting::default(), operators_grants()).await;
}

#[tokio::test]
async fn events_delivered_again_delete_nothing_again() {
    sagabed::bears_repetition(&Deleting::default(), operators_grants()).await;
}

#[tokio::test]
async fn a_tenant_whose_time_comes_while_nobody_runs_is_deleted_then() {
    sagabed::catches_up_with_timers(&Deleting::default(), operators_grants()).await;
}

#[tokio::test]
async fn a_failure_at_each_step_destroys_nothing_out_of_its_order() {
    sagabed::unwinds_from_each_step(&Deleting::default(), operators_grants()).await;
}

#[tokio::test]
async fn a_step_that_is_to_be_tried_again_while_nobody_runs_is_tried_then() {
    sagabed::catches_up_with_attempts(&Deleting::default(), operators_grants()).await;
}

#[tokio::test]
async fn nothing_is_destroyed_before_its_time_nor_after_it_was_restored() {
    let story = Deleting::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let case = bed.case(story.saga());
    let running = bed.start();
    story.begin(&case).await;
    case.until("it waits", |one| case.later(one).is_some()).await;
    bed.clock.advance(Duration::days(30) - Duration::seconds(1));
    running.wake();
    case.until("it waits still", |one| case.later(one).is_some()).await;
    assert_eq!(case.load::<Tenant>(case.tenant()).await.status, TenantStatus::Deleting);
    case.execute(&RestoreTenant).await;
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "restored");
    bed.clock.advance(Duration::days(60));
    running.wake();
    bed.followed().await;
    assert_eq!(case.load::<Tenant>(case.tenant()).await.status, TenantStatus::Active);
    assert_eq!(story.resources.ends(case.tenant()), [""; 0]);
    running.stop().await;
}

#[tokio::test]
async fn nobody_cancels_the_destruction_of_a_tenant_that_is_deleted() {
    let story = Deleting::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let case = bed.case(story.saga());
    let at = Point::BeforeStep { step: "destroy_services".to_owned(), undo: false };
    let running = bed.start_with(Arc::new(FailingOnce { at, failed: AtomicBool::new(false) }));
    story.begin(&case).await;
    case.until("it waits", |one| case.later(one).is_some()).await;
    case.pass(&running).await;
    let waits = |one: &Listed| one.step.as_deref() == Some("destroy_services") && case.later(one).is_some();
    case.until("what it destroys first is away", waits).await;
    assert_eq!(case.load::<Tenant>(case.tenant()).await.status, TenantStatus::Deleted);
    let (listed, before) = (case.instance().await.0, bed.store.head().await.unwrap());
    let refused = bed.instances.cancel(&case.request(), listed.id, "a mistake".to_owned()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (Kind::Conflict, "saga_not_cancellable"));
    assert!(refused.detail().contains("has begun delete, from which there is no way back"), "{refused:?}");
    assert_eq!(bed.store.head().await.unwrap(), before, "a refusal writes nothing");
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "all the same");
    story.done(&case).await;
    running.stop().await;
}

#[tokio::test]
async fn a_deletion_that_still_waits_can_be_cancelled() {
    let story = Deleting::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let case = bed.case(story.saga());
    let running = bed.start();
    story.begin(&case).await;
    case.until("it waits", |one| case.later(one).is_some()).await;
    let (listed, _) = case.instance().await;
    bed.instances.cancel(&case.request(), listed.id, "a mistake".to_owned()).await.unwrap();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Compensated, "cancelled");
    assert_eq!(story.resources.ends(case.tenant()), [""; 0]);
    running.stop().await;
}

#[tokio::test]
async fn one_that_is_restored_and_deleted_again_is_deleted_at_the_later_time_only() {
    let story = Deleting::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let case = bed.case(story.saga());
    // No coordinator runs meanwhile, so the first one gets all events at once.
    tenant(&case).await;
    ask(&case, 1).await;
    case.execute(&RestoreTenant).await;
    ask(&case, 10).await;
    bed.clock.advance(Duration::days(5));
    let running = bed.start();
    bed.followed().await;
    testbed::eventually("the first is over and the second waits", || async {
        let listed = case.listed().await;
        let waits = listed.iter().filter(|one| case.later(one).is_some()).count();
        let over = listed.iter().filter(|one| !one.status.is_active()).count();
        ((waits, over) == (1, 1)).then_some(())
    })
    .await;
    assert_eq!(case.load::<Tenant>(case.tenant()).await.status, TenantStatus::Deleting);
    assert_eq!(story.resources.ends(case.tenant()), [""; 0]);
    running.stop().await;
}

#[tokio::test]
async fn a_deletion_and_what_becomes_of_it_are_noted_in_the_directory() {
    let resources = ResourcesDouble::default();
    let bed = Bed::new(user_sagas::sagas(&ports(&resources)), operators_grants()).await;
    let case = bed.case("provision_tenant");
    let running = bed.start();
    request(&case, "acme".to_owned()).await;
    case.assert_status(&case.end(&running).await, Status::Completed, "made");
    let noted = async |standing| {
        let is = || async { (resources.standing(case.tenant()) == Some(standing)).then_some(()) };
        testbed::eventually("it is noted", is).await;
    };
    ask(&case, 30).await;
    noted(TenantStanding::Deleting).await;
    case.execute(&RestoreTenant).await;
    noted(TenantStanding::Active).await;
    case.execute(&SuspendTenant { reason: "not paid".to_owned() }).await;
    noted(TenantStanding::Suspended).await;
    ask(&case, 30).await;
    noted(TenantStanding::Deleting).await;
    case.execute(&RestoreTenant).await;
    noted(TenantStanding::Suspended).await;
    case.execute(&ResumeTenant).await;
    noted(TenantStanding::Active).await;
    running.stop().await;
}
