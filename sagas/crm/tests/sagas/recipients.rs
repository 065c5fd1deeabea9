//! To whom `follow_up_lead` gives a lead: only to somebody who can sign in.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use coordinator::{Point, Status};
use crm_aggregates::{DisqualifyReason, Lead, LeadId};
use crm_commands::{DisqualifyLead, GRANTS, SetFollowUp};
use kernel::{Clock, UserId};
use sagabed::{Bed, Case, Crash, Failing, Running, Users};

use crate::follow_up::qualify;

/// A log of a tenant with some users who can sign in.
async fn bed<const COUNT: usize>() -> (Bed, Users, [UserId; COUNT]) {
    let users = Users::default();
    let ids = [(); COUNT].map(|()| users.add());
    let mut bed = Bed::new(crm_sagas::sagas(), GRANTS).await;
    bed.executor = bed.executor.clone().with_subjects(users.subjects());
    (bed, users, ids)
}

/// Sets a follow-up that escalates to the first and reassigns to the second.
async fn set(case: &Case<'_>, [escalate_to, reassign_to]: [UserId; 2]) {
    let set = SetFollowUp {
        escalate_after_days: 3,
        escalate_to: escalate_to.to_string(),
        reassign_after_days: 2,
        reassign_to: reassign_to.to_string(),
    };
    case.execute(&set).await;
}

/// A qualified lead whose saga waits.
async fn waiting_lead(case: &Case<'_>) -> LeadId {
    let lead = qualify(case).await;
    case.until("waiting", |one| case.later(one).is_some()).await;
    lead
}

/// Whose the lead is, and to whom it is escalated.
async fn stands(case: &Case<'_>, lead: LeadId) -> [Option<String>; 2] {
    let lead = case.load::<Lead>(lead).await;
    [lead.owner, lead.escalated_to]
}

#[tokio::test]
async fn instead_of_who_cant_sign_in_any_more_those_get_it_whom_todays_policy_names() {
    let (bed, users, [left, chief, here]) = bed::<3>().await;
    let case = bed.case("follow_up_lead");
    let running = bed.start();
    set(&case, [left; 2]).await;
    let lead = waiting_lead(&case).await;
    set(&case, [chief, here]).await;
    users.lock_out(left);
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "today's policy names others");
    assert_eq!(stands(&case, lead).await, [here, chief].map(|user| Some(user.to_string())));
}

/// A lead whose escalation is due, while nobody whom a follow-up names can sign in. Returns when it was due, too.
async fn due_for_nobody(case: &Case<'_>, running: &Running, users: &Users, left: UserId) -> (LeadId, DateTime<Utc>) {
    set(case, [left; 2]).await;
    let lead = waiting_lead(case).await;
    users.lock_out(left);
    case.pass(running).await;
    let due = case.bed.clock.now();
    let state = case.until("looking again", |one| case.later(one) == Some(due + Duration::days(1))).await;
    case.assert_status(&state, Status::Running, "nobody is there");
    assert_eq!(state.why.unwrap().0, "cannot_sign_in");
    (lead, due)
}

#[tokio::test]
async fn a_lead_that_nobody_could_get_goes_within_a_day_to_whom_a_later_policy_names() {
    let (bed, users, [left, here]) = bed::<2>().await;
    let case = bed.case("follow_up_lead");
    let running = bed.start();
    let (lead, due) = due_for_nobody(&case, &running, &users, left).await;
    assert_eq!(stands(&case, lead).await, [Some("ada".to_owned()), None]);

    set(&case, [here; 2]).await;
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "a later policy names somebody");
    assert_eq!(bed.clock.now(), due + Duration::days(1 + 2));
    assert_eq!(stands(&case, lead).await, [here; 2].map(|user| Some(user.to_string())));
}

#[tokio::test]
async fn a_lead_that_nobody_could_get_for_a_month_stays_with_its_owner() {
    let (bed, users, [left]) = bed::<1>().await;
    let case = bed.case("follow_up_lead");
    let running = bed.start();
    let (lead, due) = due_for_nobody(&case, &running, &users, left).await;
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "nobody is there for a month");
    assert_eq!(state.why.unwrap().0, "nobody whom a follow-up names could sign in");
    assert_eq!(bed.clock.now(), due + Duration::days(30));
    assert_eq!(stands(&case, lead).await, [Some("ada".to_owned()), None]);
    assert_eq!((case.count("crm.lead.escalated").await, case.count("crm.lead.assigned").await), (0, 0));
}

#[tokio::test]
async fn a_lead_that_nobody_could_get_ends_its_saga_at_once_when_it_is_not_qualified_any_more() {
    let (bed, users, [left]) = bed::<1>().await;
    let case = bed.case("follow_up_lead");
    let running = bed.start();
    let (lead, _) = due_for_nobody(&case, &running, &users, left).await;
    case.execute(&DisqualifyLead { lead, reason: DisqualifyReason::NoNeed, note: None }).await;
    // Without any time passing.
    let state = case.until("over", |one| !one.status.is_active()).await;
    case.assert_status(&state, Status::Completed, "there is nothing to give");
    assert_eq!(state.why.unwrap().0, "the lead is not qualified any more");
    running.stop().await;
}

#[tokio::test]
async fn a_lead_is_taken_back_from_whom_it_was_given_to() {
    let (bed, users, [left, here]) = bed::<2>().await;
    let case = bed.case("follow_up_lead");
    let reassigned = Point::AfterStep { step: "reassign".to_owned(), undo: false };
    let running = bed.start_with(Arc::new(Failing(reassigned)));
    set(&case, [left; 2]).await;
    let lead = waiting_lead(&case).await;
    set(&case, [here; 2]).await;
    users.lock_out(left);
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Compensated, "the last step fails");
    assert_eq!(case.count("crm.lead.assigned").await, 2, "given, and taken back");
    assert_eq!(stands(&case, lead).await, [Some("ada".to_owned()), None]);
}

#[tokio::test]
async fn a_lead_that_was_given_twice_is_taken_back_for_whose_it_was_at_first() {
    let (bed, users, [left, here]) = bed::<2>().await;
    let case = bed.case("follow_up_lead");
    let reassigned = Point::AfterStep { step: "reassign".to_owned(), undo: false };
    let running = bed.start();
    set(&case, [left; 2]).await;
    let lead = waiting_lead(&case).await;
    case.pass(&running).await;
    case.until("escalated", |one| one.step.as_deref() == Some("reassign") && case.later(one).is_some()).await;
    running.stop().await;
    case.sleep().await;
    let crash = Arc::new(Crash::after(0, reassigned.clone()));
    let running = bed.start_with(crash.clone());
    crash.crashed.notified().await;
    running.kill().await;
    assert_eq!(stands(&case, lead).await, [left; 2].map(|user| Some(user.to_string())));

    // Who got it leaves, before another coordinator runs.
    users.lock_out(left);
    let running = bed.start_with(Arc::new(Failing(reassigned)));
    case.until("looking again", |one| case.later(one).is_some()).await;
    set(&case, [here; 2]).await;
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Compensated, "the last step fails");
    assert_eq!(case.count("crm.lead.assigned").await, 3, "given twice, and taken back");
    assert_eq!(stands(&case, lead).await, [Some("ada".to_owned()), None]);
}
