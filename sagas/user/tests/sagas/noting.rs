//! `note_tenant_status`: the directory gets the status of the log, with every failure injected.

use std::sync::Arc;

use chrono::Duration;
use coordinator::{Sagas, Status};
use futures::future::BoxFuture;
use kernel::Clock;
use sagabed::{Bed, Case, Story};
use testbed::eventually;
use tokio::sync::Notify;
use user_commands::{ActivateTenant, ResumeTenant, SuspendTenant};
use user_sagas::{TenantResources, TenantStanding};

use crate::provisioning::{ResourcesDouble, only, operators_grants, request};

#[derive(Default)]
struct Suspended {
    resources: ResourcesDouble,
}

const NAME: &str = "note_tenant_status";

impl Story for Suspended {
    /// Only this saga; the tenant's resources are created by hand.
    fn sagas(&self) -> Sagas {
        only(NAME, &self.resources)
    }

    fn saga(&self) -> &'static str {
        NAME
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            request(case, "acme".to_owned()).await;
            case.execute(&ActivateTenant).await;
            case.execute(&SuspendTenant { reason: "not paid".to_owned() }).await;
        })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move { assert_eq!(self.resources.standing(case.tenant()), Some(TenantStanding::Suspended)) })
    }

    /// The recorded status is that of the log, so there is nothing to undo.
    fn undone<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let noted = self.resources.standing(case.tenant());
            assert!(noted.is_none_or(|noted| noted == TenantStanding::Suspended), "{noted:?}");
        })
    }
}

#[tokio::test]
async fn a_suspension_is_noted() {
    sagabed::completes(&Suspended::default(), operators_grants()).await;
}

#[tokio::test]
async fn a_directory_that_refuses_it_for_good_is_told_nothing_else() {
    sagabed::unwinds_from_each_step(&Suspended::default(), operators_grants()).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_no_note() {
    sagabed::survives_each_crash(&Suspended::default(), operators_grants()).await;
}

#[tokio::test]
async fn events_delivered_again_note_nothing_else() {
    sagabed::bears_repetition(&Suspended::default(), operators_grants()).await;
}

#[tokio::test]
async fn what_is_to_be_noted_again_while_nobody_runs_is_noted_then() {
    sagabed::catches_up_with_attempts(&Suspended::default(), operators_grants()).await;
}

#[tokio::test]
async fn a_suspension_is_noted_however_long_the_directory_could_not_be_told() {
    let story = Suspended::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let (case, running) = (bed.case(NAME), bed.start());
    // Its place is reserved, so nothing can be recorded until it is open.
    story.resources.reserve(case.tenant(), "acme", "Acme Inc.", bed.clock.now()).await.unwrap();
    story.begin(&case).await;
    let back_at = bed.clock.now() + Duration::hours(2);
    while bed.clock.now() < back_at {
        let state = case.until("at rest", |one| !one.status.is_active() || case.later(one).is_some()).await;
        case.assert_status(&state, Status::Running, "the directory can't be told");
        case.pass(&running).await;
    }
    story.resources.open(case.tenant()).await.unwrap();
    case.assert_status(&case.end(&running).await, Status::Completed, "it can");
    story.done(&case).await;
    running.stop().await;
}

#[tokio::test]
async fn of_two_that_note_at_the_same_time_the_later_status_stays() {
    let story = Suspended::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let (case, running) = (bed.case(NAME), bed.start());
    let told = Arc::new(Notify::new());
    story.resources.hold(&told);
    story.begin(&case).await;
    eventually("the suspension is on its way", async || story.resources.has_held().then_some(())).await;
    case.execute(&ResumeTenant).await;
    let standing = || story.resources.standing(case.tenant());
    eventually("it is overtaken", async || (standing() == Some(TenantStanding::Active)).then_some(())).await;
    told.notify_one();
    eventually("both have ended", async || {
        let listed = case.listed().await;
        (listed.len() == 2 && listed.iter().all(|one| one.status == Status::Completed)).then_some(())
    })
    .await;
    assert_eq!(standing(), Some(TenantStanding::Active), "what was overtaken stays for good");
    running.stop().await;
}
