//! Dead letters of sagas: events are parked in order, other events continue, parked events are retried, and people decide about them.

use coordinator::Status;
use crm_aggregates::LeadId;
use crm_commands::{AssignLead, GRANTS, QualifyLead, RecycleLead, StartLeadWork};
use deadletters::{LetterId, Listing, Request, State};
use sagabed::{Bed, Case, Story};
use testbed::{eventually, insert_raw_event};

use crate::follow_up::{FollowUp, qualify, set};

fn request(case: &Case<'_>) -> Request {
    Request { caller: case.caller.clone(), command_id: None, request_hash: [0; 32] }
}

/// A tenant's dead letters: positions, and the number of events behind each.
pub async fn parked(bed: &Bed, case: &Case<'_>) -> Vec<(LetterId, u64)> {
    let listing = Listing { consumer: None, state: State::Parked, after: None, limit: 10 };
    let found = bed.dead_letters().list(&case.caller, &listing).await.unwrap();
    found.into_iter().map(|letter| (letter.id, letter.waiting)).collect()
}

/// Makes the tenant's policy unreadable; returns the position of the invalid event.
pub async fn broken(bed: &Bed, case: &Case<'_>) -> i64 {
    set(case).await;
    let policy = case.tenant().to_string();
    insert_raw_event(
        &mut bed.superuser().await,
        &policy,
        "crm.follow_up.set",
        r#"{"event":"crm.follow_up.set","policy":7}"#,
    )
    .await
}

pub async fn mended(bed: &Bed, position: i64) {
    // In reality: a program that can read it.
    sqlx::query(
        "UPDATE log.events e SET event_type = f.event_type, event_version = f.event_version, payload = f.payload
         FROM log.events f WHERE e.position = $1 AND f.aggregate_id = e.aggregate_id AND f.sequence = e.sequence - 1",
    )
    .bind(position)
    .execute(&mut bed.superuser().await)
    .await
    .unwrap();
}

#[tokio::test]
async fn an_event_that_cannot_be_judged_waits_with_the_later_ones_of_its_aggregate_while_others_start() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let (case, other) = (bed.case("follow_up_lead"), bed.case("follow_up_lead"));
    let position = broken(&bed, &case).await;
    let running = bed.start();
    let lead = qualify(&case).await;
    again(&case, lead).await;
    eventually("both events of the lead wait", async || {
        matches!(&parked(&bed, &case).await[..], [(_, 1)]).then_some(())
    })
    .await;
    let second = qualify(&case).await;
    eventually("the other lead waits by itself", async || {
        let waiting: Vec<_> = parked(&bed, &case).await.into_iter().map(|(_, waiting)| waiting).collect();
        (waiting == [0, 1]).then_some(())
    })
    .await;
    // Other tenants' sagas start.
    FollowUp.begin(&other).await;
    other.until("it waits", |one| one.status == Status::Running && one.step.as_deref() == Some("escalate")).await;
    assert!(case.listed().await.is_empty());

    // A killed coordinator and its successor lose no dead letter. When the event is readable again, each saga starts once, in order.
    running.kill().await;
    mended(&bed, position).await;
    let running = bed.start();
    eventually("nothing is parked any more", async || parked(&bed, &case).await.is_empty().then_some(())).await;
    let mut expected = [lead, lead, second].map(|lead| lead.to_string());
    expected.sort();
    eventually("each is listed", async || {
        let mut keys: Vec<_> = case.listed().await.into_iter().map(|one| one.key).collect();
        keys.sort();
        (keys == expected).then_some(())
    })
    .await;
    assert_eq!(case.count("crm.saga.started").await, 3);
    assert_eq!(other.count("crm.saga.started").await, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_letter_whose_event_the_log_has_no_more_stays_and_says_so() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    broken(&bed, &case).await;
    let running = bed.start();
    qualify(&case).await;
    eventually("it is parked", async || (parked(&bed, &case).await.len() == 1).then_some(())).await;
    running.stop().await;
    // As if the log had been set back to a point before the event.
    let set_back = "UPDATE dead.letters SET position = position + 1000";
    sqlx::query(set_back).execute(&mut bed.superuser().await).await.unwrap();
    let running = bed.start();
    eventually("it was tried", async || {
        let errors = "SELECT errors FROM dead.letters WHERE state = 'parked'";
        let errors: Vec<String> = sqlx::query_scalar(errors).fetch_one(&mut bed.superuser().await).await.unwrap();
        (errors == ["the log has no event there"]).then_some(())
    })
    .await;
    assert!(case.listed().await.is_empty());
    running.stop().await;
}

/// The lead is recycled, and qualified a second time.
async fn again(case: &Case<'_>, lead: LeadId) {
    case.execute(&RecycleLead { lead, reason: "later".to_owned() }).await;
    case.execute(&AssignLead { lead, owner: "ada".to_owned() }).await;
    case.execute(&StartLeadWork { lead }).await;
    case.execute(&QualifyLead { lead, note: None }).await;
}

#[tokio::test]
async fn a_discarded_event_starts_nothing_and_what_waited_behind_it_is_asked_about() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case("follow_up_lead");
    let position = broken(&bed, &case).await;
    let running = bed.start();
    let lead = qualify(&case).await;
    again(&case, lead).await;
    let id = eventually("both events of the lead wait", async || match &parked(&bed, &case).await[..] {
        [(id, 1)] => Some(id.clone()),
        _ => None,
    })
    .await;
    let (dead_letters, ours) = (bed.dead_letters(), request(&case));
    let preview = dead_letters.preview(&ours.caller, &id, None).await.unwrap();
    assert!(preview.why_not().is_some_and(|errors| errors[0].contains("history_unreadable")), "{preview:?}");
    let stranger = bed.case("follow_up_lead");
    assert_eq!(dead_letters.discard(&request(&stranger), &id, "no").await.unwrap_err().code(), "not_found");
    dead_letters.discard(&ours, &id, "it was qualified by mistake").await.unwrap();
    eventually("the one behind it is parked", async || {
        matches!(&parked(&bed, &case).await[..], [(next, 0)] if *next != id).then_some(())
    })
    .await;
    assert_eq!(dead_letters.find(&ours.caller, &id).await.unwrap().letter.state, State::Discarded);
    assert_eq!(dead_letters.discard(&ours, &id, "again").await.unwrap_err().code(), "dead_letter_over");
    mended(&bed, position).await;
    eventually("nothing is parked any more", async || parked(&bed, &case).await.is_empty().then_some(())).await;
    assert_eq!(case.count("crm.saga.started").await, 1);
    running.stop().await;
}
