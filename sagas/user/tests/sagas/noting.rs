//! `note_tenant_status`: the directory gets the status of the log, with every failure injected.

use coordinator::Sagas;
use futures::future::BoxFuture;
use sagabed::{Case, Story};
use user_commands::{ActivateTenant, SuspendTenant};
use user_sagas::TenantStanding;

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
