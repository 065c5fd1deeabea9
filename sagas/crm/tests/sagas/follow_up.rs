//! `follow_up_lead`: a qualified lead on which nobody works.

use std::sync::Arc;

use chrono::Duration;
use coordinator::{Point, Sagas, Status};
use crm_aggregates::{DisqualifyReason, Lead, LeadId, LeadStatus};
use crm_commands::{
    AssignLead, CaptureLead, DisqualifyLead, GRANTS, LeadFields, QualifyLead, SetFollowUp, StartLeadWork, StopFollowUp,
};
use futures::future::BoxFuture;
use kernel::{Clock, Position};
use sagabed::{Bed, Case, Crash, Story};

pub struct FollowUp;

impl Story for FollowUp {
    fn sagas(&self) -> Sagas {
        crm_sagas::sagas()
    }

    fn saga(&self) -> &'static str {
        "follow_up_lead"
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            set(case).await;
            qualify(case).await;
        })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let lead = the_lead(case).await;
            assert_eq!((lead.owner.as_deref(), lead.escalated_to.as_deref()), (Some("hedy"), Some("grace")));
            assert_eq!((case.count("crm.lead.escalated").await, case.count("crm.lead.assigned").await), (1, 1));
        })
    }

    fn undone<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let lead = the_lead(case).await;
            assert_eq!((lead.owner.as_deref(), lead.escalated_to), (Some("ada"), None));
            assert_eq!(lead.status, LeadStatus::Qualified);
        })
    }
}

/// A follow-up policy: escalate to grace after 3 days, reassign to hedy 2 days later. (They have no ids, so nobody looks them up.)
pub async fn set(case: &Case<'_>) {
    let (escalate_to, reassign_to) = ("grace".to_owned(), "hedy".to_owned());
    case.execute(&SetFollowUp { escalate_after_days: 3, escalate_to, reassign_after_days: 2, reassign_to }).await;
}

/// A qualified lead of ada.
pub async fn qualify(case: &Case<'_>) -> LeadId {
    let details = LeadFields { name: "Katherine Johnson".to_owned(), ..LeadFields::default() };
    let lead = case.execute(&CaptureLead { details, owner: Some("ada".to_owned()), ..CaptureLead::default() }).await;
    case.execute(&StartLeadWork { lead }).await;
    case.execute(&QualifyLead { lead, note: None }).await;
    lead
}

async fn the_lead(case: &Case<'_>) -> Lead {
    let events = case.events().await;
    let captured = events.iter().find(|event| event.event_type == "crm.lead.captured").unwrap();
    case.load::<Lead>(&captured.aggregate_id).await
}

#[tokio::test]
async fn an_untouched_lead_is_escalated_then_reassigned() {
    sagabed::completes(&FollowUp, GRANTS).await;
}

#[tokio::test]
async fn a_failure_at_each_step_is_unwound() {
    sagabed::unwinds_from_each_step(&FollowUp, GRANTS).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_and_doubles_nothing() {
    sagabed::survives_each_crash(&FollowUp, GRANTS).await;
}

#[tokio::test]
async fn what_is_delivered_twice_happens_once() {
    sagabed::bears_repetition(&FollowUp, GRANTS).await;
}

#[tokio::test]
async fn timers_that_fall_due_while_down_are_caught_up_with() {
    sagabed::catches_up_with_timers(&FollowUp, GRANTS).await;
}

#[tokio::test]
async fn a_step_that_is_to_be_tried_again_while_nobody_runs_is_tried_then() {
    sagabed::catches_up_with_attempts(&FollowUp, GRANTS).await;
}

#[tokio::test]
async fn it_happens_neither_early_nor_late() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let running = bed.start();
    FollowUp.begin(&case).await;
    let qualified_at = bed.clock.now();
    case.until("waiting", |one| case.later(one) == Some(qualified_at + Duration::days(3))).await;
    bed.clock.advance(Duration::days(3) - Duration::microseconds(1));
    running.wake();
    case.until("still waiting", |one| one.step.as_deref() == Some("escalate")).await;
    assert_eq!(case.count("crm.lead.escalated").await, 0);
    bed.clock.advance(Duration::microseconds(1));
    running.wake();
    case.until("escalated", |one| case.later(one) == Some(qualified_at + Duration::days(5))).await;
    assert_eq!(case.count("crm.lead.escalated").await, 1);
}

#[tokio::test]
async fn a_touch_begins_the_days_anew() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let running = bed.start();
    set(&case).await;
    let lead = qualify(&case).await;
    case.until("waiting", |one| case.later(one).is_some()).await;
    bed.clock.advance(Duration::days(2));
    case.execute(&AssignLead { lead, owner: "joan".to_owned() }).await;
    let due = bed.clock.now() + Duration::days(3);
    case.until("waiting anew", |one| case.later(one) == Some(due)).await;
    let state = case.end(&running).await;
    assert_eq!(state.status, Status::Completed);
    assert_eq!(bed.clock.now(), due + Duration::days(2));
}

/// Waits until the saga waits in this step, and lets its time come. The coordinator is killed when the step has executed its command,
/// before its outcome is written. Then somebody else gets the lead, before another coordinator runs.
async fn touched_after_a_crash_in(case: &Case<'_>, step: &str) -> LeadId {
    set(case).await;
    let lead = qualify(case).await;
    let running = case.bed.start();
    loop {
        let state = case.until("waiting", |one| case.later(one).is_some()).await;
        if state.current.is_some_and(|current| current.step == step) {
            break;
        }
        case.pass(&running).await;
    }
    running.stop().await;
    case.sleep().await;
    let crash = Arc::new(Crash::after(0, Point::AfterStep { step: step.to_owned(), undo: false }));
    let running = case.bed.start_with(crash.clone());
    crash.crashed.notified().await;
    running.kill().await;
    case.execute(&AssignLead { lead, owner: "joan".to_owned() }).await;
    lead
}

#[tokio::test]
async fn a_touch_after_a_crash_begins_the_days_anew_and_what_was_done_before_it_is_done_again() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let lead = touched_after_a_crash_in(&case, "reassign").await;
    let touched_at = bed.clock.now();
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "touched after a crash");
    assert_eq!(bed.clock.now(), touched_at + Duration::days(2));
    // From ada to hedy, by somebody to joan, and to hedy again.
    assert_eq!(case.load::<Lead>(lead).await.owner.as_deref(), Some("hedy"));
    assert_eq!(case.count("crm.lead.assigned").await, 3);
}

#[tokio::test]
async fn what_was_done_before_a_crash_is_taken_back_though_the_saga_waits_again() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let lead = touched_after_a_crash_in(&case, "escalate").await;
    assert_eq!(case.load::<Lead>(lead).await.escalated_to.as_deref(), Some("grace"));
    let _running = bed.start();
    let until = bed.clock.now() + Duration::days(3);
    case.until("waiting again", |one| case.later(one) == Some(until)).await;
    let (listed, _) = case.instance().await;
    bed.instances.cancel(&case.request(), listed.id, "we know them".to_owned()).await.unwrap();
    case.until("taken back", |one| one.status == Status::Compensated).await;
    let lead = case.load::<Lead>(lead).await;
    assert_eq!((lead.owner.as_deref(), lead.escalated_to), (Some("joan"), None));
}

#[tokio::test]
async fn a_lead_that_is_not_qualified_any_more_needs_no_follow_up() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let _running = bed.start();
    set(&case).await;
    let lead = qualify(&case).await;
    case.until("waiting", |one| case.later(one).is_some()).await;
    case.execute(&DisqualifyLead { lead, reason: DisqualifyReason::NoNeed, note: None }).await;
    // The event wakes the saga at once, without any time passing.
    let state = case.until("over", |one| !one.status.is_active()).await;
    assert_eq!(state.status, Status::Completed);
    assert_eq!(state.why.unwrap().0, "the lead is not qualified any more");
    assert_eq!(case.count("crm.lead.escalated").await, 0);
}

#[tokio::test]
async fn without_a_policy_nothing_begins_and_a_changed_one_holds_for_later_leads() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let _running = bed.start();
    qualify(&case).await;
    set(&case).await;
    case.execute(&StopFollowUp).await;
    qualify(&case).await;
    bed.followed().await;
    assert!(case.listed().await.is_empty());
    set(&case).await;
    qualify(&case).await;
    case.until("waiting", |one| case.later(one).is_some()).await;
    assert!(bed.store.head().await.unwrap() > Position::START);
}
