use cqrs_es::test::TestFramework;

use super::*;
use crate::{AccountId, ContactId};

fn captured(owner: Option<&str>) -> LeadCaptured {
    LeadCaptured {
        details: LeadDetails { name: "Ada Lovelace".to_owned().into(), ..LeadDetails::default() },
        source: LeadSource::Event,
        owner: owner.map(str::to_owned),
        import: None,
    }
}

fn import() -> ImportId {
    ImportId::new(uuid::Uuid::from_u128(3))
}

fn imported(owner: Option<&str>) -> LeadCaptured {
    LeadCaptured { import: Some(import()), ..captured(owner) }
}

fn erased() -> LeadErased {
    LeadErased { reason: ErasureReason::Requested }
}

fn converted() -> LeadConverted {
    LeadConverted {
        account: AccountId::new(uuid::Uuid::from_u128(1)),
        contact: ContactId::new(uuid::Uuid::from_u128(2)),
        opportunity: None,
    }
}

/// A history that ends in `status`.
fn lead_that_is(status: LeadStatus) -> Vec<LeadEvent> {
    let assigned: Vec<LeadEvent> = vec![captured(Some("ada")).into()];
    let and = |mut history: Vec<LeadEvent>, event: LeadEvent| {
        history.push(event);
        history
    };
    match status {
        LeadStatus::New => vec![captured(None).into()],
        LeadStatus::Assigned => assigned,
        LeadStatus::InProcess => and(assigned, LeadWorkStarted {}.into()),
        LeadStatus::Qualified => and(lead_that_is(LeadStatus::InProcess), LeadQualified { note: None }.into()),
        LeadStatus::Converted => and(lead_that_is(LeadStatus::Qualified), converted().into()),
        LeadStatus::Recycled => and(assigned, LeadRecycled { reason: "not now".to_owned().into() }.into()),
        LeadStatus::Disqualified => {
            and(assigned, LeadDisqualified { reason: DisqualifyReason::NoNeed, note: None }.into())
        }
        LeadStatus::Withdrawn => vec![imported(None).into(), LeadWithdrawn { import: import() }.into()],
        LeadStatus::Erased => and(lead_that_is(LeadStatus::Converted), erased().into()),
    }
}

fn every_step() -> Vec<(LeadStep, LeadCommand, LeadEvent)> {
    let details = LeadDetails { name: "Grace Hopper".to_owned().into(), ..LeadDetails::default() };
    let reason = Personal::from("no budget this year".to_owned());
    vec![
        (
            LeadStep::ChangeDetails,
            LeadCommand::ChangeDetails { details: details.clone() },
            LeadDetailsChanged { details }.into(),
        ),
        (
            LeadStep::Assign,
            LeadCommand::Assign { owner: "grace".to_owned() },
            LeadAssigned { owner: "grace".to_owned() }.into(),
        ),
        (LeadStep::StartWork, LeadCommand::StartWork, LeadWorkStarted {}.into()),
        (LeadStep::Qualify, LeadCommand::Qualify { note: None }, LeadQualified { note: None }.into()),
        (LeadStep::Convert, LeadCommand::Convert(converted()), converted().into()),
        (LeadStep::Recycle, LeadCommand::Recycle { reason: reason.clone() }, LeadRecycled { reason }.into()),
        (
            LeadStep::Disqualify,
            LeadCommand::Disqualify { reason: DisqualifyReason::Spam, note: None },
            LeadDisqualified { reason: DisqualifyReason::Spam, note: None }.into(),
        ),
    ]
}

#[test]
fn each_status_allows_exactly_its_steps() {
    use LeadStep::{Assign, ChangeDetails, Convert, Disqualify, Qualify, Recycle, StartWork};
    let expected = |status| match status {
        LeadStatus::New | LeadStatus::Recycled => vec![ChangeDetails, Assign, Disqualify],
        LeadStatus::Assigned => vec![ChangeDetails, Assign, StartWork, Recycle, Disqualify],
        LeadStatus::InProcess => vec![ChangeDetails, Assign, Qualify, Recycle, Disqualify],
        LeadStatus::Qualified => vec![ChangeDetails, Assign, Convert, Recycle, Disqualify],
        LeadStatus::Converted | LeadStatus::Disqualified | LeadStatus::Withdrawn | LeadStatus::Erased => vec![],
    };
    for status in LeadStatus::ALL {
        for (step, command, event) in every_step() {
            let result = TestFramework::<Lead>::with(()).given(lead_that_is(status)).when(command);
            if expected(status).contains(&step) {
                result.then_expect_events(vec![event]);
            } else {
                result.then_expect_error(LeadError::StepNotAllowed { step, status });
            }
        }
    }
}

#[test]
fn a_lead_captured_with_an_owner_is_assigned() {
    TestFramework::<Lead>::with(())
        .given_no_previous_events()
        .when(LeadCommand::Capture(captured(Some("ada"))))
        .then_expect_events(vec![captured(Some("ada")).into()]);
    let mut lead = Lead::default();
    lead.evolve(captured(Some("ada")).into());
    assert_eq!((lead.status, lead.owner.as_deref()), (LeadStatus::Assigned, Some("ada")));
}

#[test]
fn reassigning_keeps_the_work_that_was_begun() {
    let mut lead = Lead::default();
    for event in lead_that_is(LeadStatus::InProcess) {
        lead.evolve(event);
    }
    lead.evolve(LeadAssigned { owner: "grace".to_owned() }.into());
    assert_eq!((lead.status, lead.owner.as_deref()), (LeadStatus::InProcess, Some("grace")));
}

#[test]
fn a_recycled_lead_can_go_back_to_its_owner() {
    TestFramework::<Lead>::with(())
        .given(lead_that_is(LeadStatus::Recycled))
        .when(LeadCommand::Assign { owner: "ada".to_owned() })
        .then_expect_events(vec![LeadAssigned { owner: "ada".to_owned() }.into()]);
}

#[test]
fn what_changes_nothing_is_no_event() {
    for command in [
        LeadCommand::Assign { owner: "ada".to_owned() },
        LeadCommand::ChangeDetails { details: captured(None).details },
    ] {
        TestFramework::<Lead>::with(())
            .given(lead_that_is(LeadStatus::Qualified))
            .when(command)
            .then_expect_events(vec![]);
    }
}

#[test]
fn only_a_qualified_lead_is_escalated_and_that_once() {
    let escalate = || LeadCommand::Escalate { to: "grace".to_owned(), untouched_since: DateTime::UNIX_EPOCH };
    let escalated = || LeadEvent::from(LeadEscalated { to: "grace".to_owned(), untouched_since: DateTime::UNIX_EPOCH });
    for status in LeadStatus::ALL {
        let result = TestFramework::<Lead>::with(()).given(lead_that_is(status)).when(escalate());
        if status == LeadStatus::Qualified {
            result.then_expect_events(vec![escalated()]);
        } else {
            result.then_expect_error(LeadError::NotEscalated { status });
        }
    }
    let mut history = lead_that_is(LeadStatus::Qualified);
    history.push(escalated());
    TestFramework::<Lead>::with(()).given(history.clone()).when(escalate()).then_expect_events(vec![]);
    TestFramework::<Lead>::with(())
        .given(history)
        .when(LeadCommand::WithdrawEscalation)
        .then_expect_events(vec![LeadEscalationWithdrawn {}.into()]);
}

#[test]
fn a_lead_that_is_qualified_again_is_escalated_again() {
    let escalated = LeadEscalated { to: "grace".to_owned(), untouched_since: DateTime::UNIX_EPOCH };
    let sent_back: Vec<LeadEvent> = vec![
        escalated.clone().into(),
        LeadRecycled { reason: "not now".to_owned().into() }.into(),
        LeadAssigned { owner: "ada".to_owned() }.into(),
    ];
    let history = [lead_that_is(LeadStatus::Qualified), sent_back].concat();
    TestFramework::<Lead>::with(())
        .given(history.clone())
        .when(LeadCommand::WithdrawEscalation)
        .then_expect_events(vec![]);
    let again = vec![LeadWorkStarted {}.into(), LeadQualified { note: None }.into()];
    TestFramework::<Lead>::with(())
        .given([history, again].concat())
        .when(LeadCommand::Escalate { to: "grace".to_owned(), untouched_since: DateTime::UNIX_EPOCH })
        .then_expect_events(vec![escalated.into()]);
}

#[test]
fn a_lead_is_withdrawn_only_with_its_own_import_and_untouched() {
    let withdraw = || LeadCommand::Withdraw { import: import() };
    let untouched = || TestFramework::<Lead>::with(()).given(vec![imported(Some("ada")).into()]);
    untouched().when(withdraw()).then_expect_events(vec![LeadWithdrawn { import: import() }.into()]);
    let other = ImportId::new(uuid::Uuid::from_u128(4));
    untouched().when(LeadCommand::Withdraw { import: other }).then_expect_error(LeadError::NotWithdrawn);
    TestFramework::<Lead>::with(())
        .given(vec![imported(Some("ada")).into(), LeadWorkStarted {}.into()])
        .when(withdraw())
        .then_expect_error(LeadError::NotWithdrawn);
}

#[test]
fn a_restored_lead_is_as_it_came_in() {
    for owner in [None, Some("ada")] {
        let mut lead = Lead::default();
        lead.evolve(imported(owner).into());
        let before = lead.clone();
        lead.evolve(LeadWithdrawn { import: import() }.into());
        assert_eq!(lead.status, LeadStatus::Withdrawn);
        lead.evolve(LeadRestored {}.into());
        assert_eq!(lead, before);
    }
}

#[test]
fn a_lead_is_erased_wherever_it_stands_and_that_once() {
    let erase = || LeadCommand::Erase { reason: ErasureReason::Requested };
    for status in LeadStatus::ALL {
        let events = if status == LeadStatus::Erased { vec![] } else { vec![erased().into()] };
        TestFramework::<Lead>::with(()).given(lead_that_is(status)).when(erase()).then_expect_events(events);
    }
}

#[test]
fn why_a_lead_was_given_up_or_sent_back_is_known_as_long_as_it_is() {
    let after = |events: Vec<LeadEvent>| {
        let mut lead = Lead::default();
        for event in events {
            lead.evolve(event);
        }
        (lead.reason().map(str::to_owned), lead.note().map(str::to_owned))
    };
    let and = |status, event: LeadEvent| [lead_that_is(status), vec![event]].concat();
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(after(lead_that_is(LeadStatus::Recycled)), (said("not now"), None));
    assert_eq!(after(and(LeadStatus::Recycled, LeadAssigned { owner: "ada".to_owned() }.into())), (None, None));
    let details = LeadDetails { name: "Grace Hopper".to_owned().into(), ..LeadDetails::default() };
    assert_eq!(after(and(LeadStatus::Recycled, LeadDetailsChanged { details }.into())), (said("not now"), None));
    let note = Some(Personal::from("has one".to_owned()));
    let given_up = LeadDisqualified { reason: DisqualifyReason::NoNeed, note };
    assert_eq!(after(and(LeadStatus::Recycled, given_up.into())), (said("no_need"), said("has one")));
    for status in [LeadStatus::Recycled, LeadStatus::Disqualified] {
        assert_eq!(after(and(status, erased().into())), (None, None), "{status:?}: it would tell who they were");
    }
}

#[test]
fn who_is_erased_is_known_by_what_became_of_them_only() {
    let mut lead = Lead::default();
    for event in lead_that_is(LeadStatus::Erased) {
        lead.evolve(event);
    }
    assert_eq!((&lead.details, lead.status), (&LeadDetails::default(), LeadStatus::Erased));
    assert_eq!(lead.conversion, Some(converted()), "the contact that is the same person");
    assert_eq!(lead.owner.as_deref(), Some("ada"));
}

#[test]
fn a_lead_that_is_erased_goes_neither_with_its_import_nor_comes_back_with_it() {
    let given = || TestFramework::<Lead>::with(()).given(vec![imported(None).into(), erased().into()]);
    given().when(LeadCommand::Withdraw { import: import() }).then_expect_error(LeadError::NotWithdrawn);
    given().when(LeadCommand::Restore).then_expect_events(vec![]);
}

#[test]
fn a_refusal_names_what_is_allowed() {
    let refusal = Refusal::from(LeadError::StepNotAllowed { step: LeadStep::Convert, status: LeadStatus::New });
    assert_eq!((refusal.kind(), refusal.code()), (kernel::Kind::Conflict, "lead_step_not_allowed"));
    assert_eq!(refusal.extra()["allowed"], serde_json::json!(["change_details", "assign", "disqualify"]));
    assert_eq!(refusal.extra()["state"], "new");
}

#[test]
fn names_on_the_wire_are_those_of_serde() {
    for status in LeadStatus::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
    for source in LeadSource::ALL {
        assert_eq!(serde_json::to_value(source).unwrap(), source.as_str());
    }
    for reason in DisqualifyReason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
}
