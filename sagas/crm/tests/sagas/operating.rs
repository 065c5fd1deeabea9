//! Operators' commands, and newer programs, with running sagas.

use std::sync::Arc;

use chrono::Duration;
use coordinator::{
    Definition, Fault, Listing, Next, Point, Probe, Sagas, Start, StartContext, Status, Step, StepContext,
};
use crm_commands::{CaptureLead, GRANTS, LeadFields};
use crm_sagas::CrmSagas;
use kernel::{Caller, Kind, RecordedEvent, Role};
use sagabed::{Bed, Case, Failing, Story};

use crate::follow_up::{FollowUp, qualify, set};

/// Whether a saga has finished, or waits for its next timer.
async fn waiting(case: &Case<'_>, step: &str) {
    case.until(&format!("waiting in {step}"), |one| one.step.as_deref() == Some(step) && case.later(one).is_some())
        .await;
}

#[tokio::test]
async fn a_cancelled_saga_takes_back_what_it_did() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let running = bed.start();
    FollowUp.begin(&case).await;
    waiting(&case, "escalate").await;
    case.pass(&running).await;
    waiting(&case, "reassign").await;
    let (listed, _) = case.instance().await;
    bed.instances.cancel(&case.request(), listed.id, "we know them".to_owned()).await.unwrap();
    let state = case.until("taken back", |one| one.status == Status::Compensated).await;
    assert_eq!(state.why, Some(("cancelled".to_owned(), "we know them".to_owned())));
    assert_eq!(case.count("crm.lead.escalation_withdrawn").await, 1);
    FollowUp.undone(&case).await;
}

#[tokio::test]
async fn what_does_not_fit_its_status_is_refused_and_writes_nothing() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let running = bed.start();
    FollowUp.begin(&case).await;
    waiting(&case, "escalate").await;
    let (listed, _) = case.instance().await;
    let before = bed.store.head().await.unwrap();
    let refusal = bed.instances.resume(&case.request(), listed.id).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "saga_not_stuck"));
    let unknown = bed.instances.resume(&case.request(), case.tenant().uuid()).await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound);
    // Another tenant, and a caller without the permission to change.
    let stranger = bed.case("follow_up_lead");
    assert!(stranger.listed().await.is_empty());
    assert_eq!(bed.instances.find(&stranger.caller, listed.id).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(bed.instances.resume(&stranger.request(), listed.id).await.unwrap_err().kind(), Kind::NotFound);
    let auditor = Caller::new(case.tenant(), "eve", &[Role::Auditor], GRANTS);
    let listing = Listing { limit: 10, ..Listing::default() };
    assert_eq!(bed.instances.list(&auditor, &listing).await.unwrap().len(), 1);
    let request = executor::Request { caller: auditor, ..case.request() };
    let refused = bed.instances.cancel(&request, listed.id, "no".to_owned()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Forbidden);
    let viewer = Caller::new(case.tenant(), "eve", &[Role::Viewer], GRANTS);
    assert_eq!(bed.instances.list(&viewer, &listing).await.unwrap_err().kind(), Kind::Forbidden);
    assert_eq!(bed.store.head().await.unwrap(), before, "a refusal writes nothing");
    let state = case.end(&running).await;
    assert_eq!(state.status, Status::Completed);
    let over = bed.instances.cancel(&case.request(), listed.id, "late".to_owned()).await.unwrap_err();
    assert_eq!(over.code(), "saga_not_cancellable");
}

/// A step and its undo both fail.
struct Hopeless;

impl Probe for Hopeless {
    fn fault(&self, point: &Point) -> Option<Fault> {
        match point {
            Point::BeforeStep { step, undo } if step == "reassign" && !undo || step == "escalate" && *undo => {
                Some(Fault::refused("test_refused", "a test wants this to fail"))
            }
            _ => None,
        }
    }
}

#[tokio::test]
async fn an_undo_that_fails_parks_the_saga_until_a_person_resumes_it() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let running = bed.start_with(Arc::new(Hopeless));
    FollowUp.begin(&case).await;
    let state = case.end(&running).await;
    assert_eq!((state.status, state.unwinding), (Status::Stuck, true));
    running.stop().await;
    let running = bed.start();
    bed.clock.advance(Duration::days(30));
    running.wake();
    bed.followed().await;
    let (listed, state) = case.instance().await;
    assert_eq!((listed.status, state.status), (Status::Stuck, Status::Stuck), "it does not go on by itself");
    let refused = bed.instances.cancel(&case.request(), listed.id, "again".to_owned()).await.unwrap_err();
    assert_eq!(refused.code(), "saga_not_cancellable");
    bed.instances.resume(&case.request(), listed.id).await.unwrap();
    case.until("taken back", |one| one.status == Status::Compensated).await;
    FollowUp.undone(&case).await;
}

/// A step fails temporarily, this many times.
struct Passing(std::sync::atomic::AtomicU32);

impl Probe for Passing {
    fn fault(&self, point: &Point) -> Option<Fault> {
        let here = *point == Point::BeforeStep { step: "escalate".to_owned(), undo: false };
        let left = || self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        (here && left()).then(|| Fault::transient("test_away", "it is away"))
    }
}

use std::sync::atomic::Ordering::SeqCst;

#[tokio::test]
async fn what_may_pass_is_tried_again_and_in_the_end_taken_back() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    for (failures, wanted) in [(9, Status::Completed), (10, Status::Compensated)] {
        let case = bed.case("follow_up_lead");
        let running = bed.start_with(Arc::new(Passing(failures.into())));
        FollowUp.begin(&case).await;
        let state = case.end(&running).await;
        case.assert_status(&state, wanted, &format!("{failures} failures"));
        assert_eq!(case.count("crm.saga.step_failed").await, 9);
        running.stop().await;
    }
}

fn versions(versions: &[u32]) -> Sagas {
    let follow_up = crm_sagas::sagas().definitions()[0].clone();
    let definitions = versions.iter().map(|version| follow_up.clone().at_version(*version)).collect();
    Sagas::of::<CrmSagas>(GRANTS, definitions)
}

#[tokio::test]
async fn instances_finish_on_the_version_with_which_they_began() {
    let mut bed = Bed::new(versions(&[1]), GRANTS).await;
    let (tenants, running) = ([testbed_tenant(), testbed_tenant()], bed.start());
    {
        let case = bed.case_of("follow_up_lead", tenants[0]);
        FollowUp.begin(&case).await;
        waiting(&case, "escalate").await;
    }
    running.stop().await;
    bed.upgraded(versions(&[1, 2]));
    let running = bed.start();
    let (old, new) = (bed.case_of("follow_up_lead", tenants[0]), bed.case_of("follow_up_lead", tenants[1]));
    FollowUp.begin(&new).await;
    waiting(&new, "escalate").await;
    let ended = [old.end(&running).await, new.end(&running).await];
    assert_eq!(ended.map(|state| (state.definition, state.status)), [(1, Status::Completed), (2, Status::Completed)]);
}

#[tokio::test]
async fn instances_of_a_version_that_the_program_lacks_rest_and_go_on_by_themselves_when_it_is_back() {
    let mut bed = Bed::new(versions(&[1]), GRANTS).await;
    let (tenant, running) = (testbed_tenant(), bed.start());
    let before = {
        let case = bed.case_of("follow_up_lead", tenant);
        FollowUp.begin(&case).await;
        waiting(&case, "escalate").await;
        case.sleep().await;
        case.instance().await.1
    };
    running.stop().await;
    // As after a rollback of the program.
    bed.upgraded(versions(&[2]));
    let running = bed.start();
    let mut status = running.status();
    status.wait_for(|status| status.stuck == 1).await.unwrap();
    let (case, other) = (bed.case_of("follow_up_lead", tenant), bed.case("follow_up_lead"));
    // Only the definition tells whether there is a way back.
    let (listed, head) = (case.instance().await.0, bed.store.head().await.unwrap());
    let refused = bed.instances.cancel(&case.request(), listed.id, "no more".to_owned()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (Kind::Conflict, "saga_not_cancellable"));
    assert!(refused.detail().contains("version 1 of follow_up_lead"), "{}", refused.detail());
    assert_eq!(bed.store.head().await.unwrap(), head, "a refusal writes nothing");
    // The instance that is overdue longest comes first. When another one was executed, this one was tried, and nothing was written.
    FollowUp.begin(&other).await;
    waiting(&other, "escalate").await;
    let (listed, state) = case.instance().await;
    assert_eq!((listed.status, state.version), (Status::Running, before.version));
    running.stop().await;
    bed.upgraded(versions(&[1, 2]));
    let running = bed.start();
    let case = bed.case_of("follow_up_lead", tenant);
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "without anybody");
    FollowUp.done(&case).await;
    running.stop().await;
}

/// A saga that starts for each lead, with a step that does nothing.
fn idle() -> Sagas {
    let start = |_: StartContext, event: RecordedEvent| async move {
        Ok::<_, Fault>(Some(Start { key: event.aggregate_id, parameters: () }))
    };
    let steps = vec![Step::new("rest", |_: StepContext, (): ()| async { Ok(Next::done()) })];
    Sagas::of::<CrmSagas>(GRANTS, vec![Definition::new("do_nothing", 1, &[], &["crm.lead.captured"], start, steps)])
}

#[tokio::test]
async fn many_that_are_due_at_once_leave_each_other_what_they_need() {
    // Far more instances than slots, and more slots than connections. If the running instances were not polled while the driver selects the
    // next ones, each round would wait for a connection until that times out, and the test would take minutes.
    const MANY: i64 = 400;
    let bed = Bed::new(idle(), GRANTS).await;
    let case = bed.case("do_nothing");
    for _ in 0..MANY {
        let details = LeadFields { name: "Katherine Johnson".to_owned(), ..LeadFields::default() };
        case.execute(&CaptureLead { details, ..CaptureLead::default() }).await;
    }
    let running = bed.start();
    let completed = "SELECT count(*) FROM saga.instances WHERE status = 'completed'";
    testbed::eventually("all are through", async || {
        let count: i64 = sqlx::query_scalar(completed).fetch_one(&mut bed.superuser().await).await.unwrap();
        (count == MANY).then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn another_coordinator_takes_over_from_one_that_dies() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let first = bed.start();
    set(&case).await;
    qualify(&case).await;
    waiting(&case, "escalate").await;
    let second = bed.start();
    first.kill().await;
    let state = case.end(&second).await;
    case.assert_status(&state, Status::Completed, "taken over");
    FollowUp.done(&case).await;
}

#[tokio::test]
async fn the_list_is_filtered_and_paged() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let running = bed.start_with(Arc::new(Failing(Point::BeforeStep { step: "none".to_owned(), undo: false })));
    set(&case).await;
    let mut leads = Vec::new();
    for _ in 0..3 {
        leads.push(qualify(&case).await.to_string());
        bed.followed().await;
        bed.clock.advance(Duration::seconds(1));
    }
    let list = async |listing: Listing| {
        let found = bed.instances.list(&case.caller, &listing).await.unwrap();
        (found.iter().map(|one| one.key.clone()).collect::<Vec<_>>(), found.last().map(|one| (one.started_at, one.id)))
    };
    let (first, after) = list(Listing { limit: 2, ..Listing::default() }).await;
    assert_eq!(first, [leads[2].clone(), leads[1].clone()]);
    let (rest, _) = list(Listing { limit: 2, after, ..Listing::default() }).await;
    assert_eq!(rest, [leads[0].clone()]);
    let (about, _) = list(Listing { limit: 9, key: Some(leads[1].clone()), ..Listing::default() }).await;
    assert_eq!(about, [leads[1].clone()]);
    let (stuck, _) = list(Listing { limit: 9, status: Some(Status::Stuck), ..Listing::default() }).await;
    assert!(stuck.is_empty());
    let (other, _) = list(Listing { limit: 9, saga: Some("revert_import".to_owned()), ..Listing::default() }).await;
    assert!(other.is_empty());
    running.stop().await;
}

fn testbed_tenant() -> kernel::TenantId {
    sagabed::tenant()
}
