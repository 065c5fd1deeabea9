//! Escalates a qualified lead that nobody works on, and reassigns it if still nobody does.
//!
//! Each event of the lead that this saga did not cause counts as activity, and restarts the count of days. The saga ends when the lead is
//! no longer qualified (converted, recycled, disqualified). The tenant's settings (`crm.follow_up`) are read when the lead is qualified,
//! and apply to it from then on. If those whom they name can't sign in any more, the lead goes to those whom today's settings name; if
//! these can't either, the step looks again each day, so that no lead goes to nobody. After a month the saga ends, and the lead stays.

use std::time::Duration;

use chrono::{DateTime, Days, TimeDelta, Utc};
use coordinator::{Definition, Fault, Limits, Next, Start, StartContext, Step, StepContext};
use crm_aggregates::{FollowUp, FollowUpPolicy, Lead, LeadEvent, LeadId, LeadStatus};
use crm_commands::{EscalateLead, HandLeadOver, WithdrawLeadEscalation};
use kernel::{Aggregate, RecordedEvent};
use serde::{Deserialize, Serialize};

const REASSIGN: &str = "reassign";
const NOT_QUALIFIED: &str = "the lead is not qualified any more";
const NOBODY: &str = "nobody whom a follow-up names could sign in";

/// For how many days after a step is due it looks again for somebody who can get the lead.
const DAYS_OF_LOOKING: u32 = 30;

#[derive(Serialize, Deserialize)]
struct Parameters {
    lead: LeadId,
    policy: FollowUpPolicy,
}

pub(crate) fn definition() -> Definition {
    // The step may wait for a long time, because activity restarts the count. A lead that is active for years needs no follow-up.
    let limits = Limits { whole: Duration::from_hours(2 * 365 * 24), ..Limits::default() };
    let steps = vec![
        Step::new("escalate", escalate).undo(withdraw_escalation).limits(limits),
        Step::new(REASSIGN, reassign).undo(undo_reassign).limits(limits),
    ];
    Definition::new("follow_up_lead", 1, &["crm:lead:write"], &["crm.lead.qualified"], start, steps).wakes_on(touched)
}

async fn start(context: StartContext, event: RecordedEvent) -> Result<Option<Start<Parameters>>, Fault> {
    let Some((follow_up, _)) = context.load::<FollowUp>(&context.tenant()).await? else { return Ok(None) };
    let Some(policy) = follow_up.policy.clone() else { return Ok(None) };
    let lead = event.aggregate_id.parse().map_err(|_| Fault::refused("lead_id", "the lead's id is no UUID"))?;
    Ok(Some(Start { key: event.aggregate_id, parameters: Parameters { lead, policy } }))
}

fn touched(event: &RecordedEvent) -> Option<String> {
    let ours = ["crm.lead.escalated", "crm.lead.escalation_withdrawn"];
    let touch = event.aggregate_type == Lead::TYPE && !ours.contains(&event.event_type.as_str());
    touch.then(|| event.aggregate_id.clone())
}

async fn escalate(context: StepContext, Parameters { lead, policy }: Parameters) -> Result<Next, Fault> {
    let Some(unattended) = UnattendedLead::of(&context, lead).await? else { return Ok(Next::End(NOT_QUALIFIED)) };
    let due = after(unattended.since, policy.escalate_after_days);
    if context.now() < due {
        return Ok(Next::WaitUntil(due));
    }
    let to = recipient(&context, &policy, |policy| policy.escalate_to.as_str(), due).await?;
    let Some(to) = to else { return Ok(Next::End(NOBODY)) };
    let escalate = EscalateLead { lead, to, untouched_since: unattended.since };
    unless_touched(&context, context.execute_at(Some(unattended.version), &escalate).await)
}

async fn withdraw_escalation(context: StepContext, Parameters { lead, .. }: Parameters) -> Result<Next, Fault> {
    context.execute(&WithdrawLeadEscalation { lead }).await?;
    Ok(Next::done())
}

async fn reassign(context: StepContext, Parameters { lead, policy }: Parameters) -> Result<Next, Fault> {
    let Some(unattended) = UnattendedLead::of(&context, lead).await? else { return Ok(Next::End(NOT_QUALIFIED)) };
    let due = after(unattended.since.max(unattended.escalated_at), policy.reassign_after_days);
    if context.now() < due {
        return Ok(Next::WaitUntil(due));
    }
    let to = recipient(&context, &policy, |policy| policy.reassign_to.as_str(), due).await?;
    let Some(to) = to else { return Ok(Next::End(NOBODY)) };
    let hand_over = HandLeadOver { lead, from: unattended.owner, to };
    unless_touched(&context, context.execute_at(Some(unattended.version), &hand_over).await)
}

/// Returns the lead to its former owner, if it is still with the person to whom the saga gave it.
async fn undo_reassign(context: StepContext, Parameters { lead, .. }: Parameters) -> Result<Next, Fault> {
    let mut state = Lead::default();
    let mut given: Option<(String, String)> = None;
    for event in context.history::<Lead>(lead).await? {
        let before = state.owner.clone();
        fold(&mut state, &event)?;
        // After an interruption it may have been given away twice: from who got it first, or from another owner whom it had in between.
        if context.did(&event, REASSIGN) {
            let whose = match given.take() {
                Some((first, whose)) if before.as_ref() == Some(&first) => Some(whose),
                _ => before,
            };
            given = state.owner.clone().zip(whose);
        }
    }
    if let Some((from, to)) = given {
        context.execute(&HandLeadOver { lead, from, to }).await?;
    }
    Ok(Next::done())
}

/// To whom a step gives the lead: to whom the policy from its qualification names, or else today's, if they can sign in. As long as nobody
/// can, the step is postponed, until it has been due for too long (`None`). It does not get stuck: a person would have to resume the saga
/// of each lead, and the operators would be told of a matter that only the tenant can settle.
async fn recipient(
    context: &StepContext,
    policy: &FollowUpPolicy,
    named_by: fn(&FollowUpPolicy) -> &str,
    due: DateTime<Utc>,
) -> Result<Option<String>, Fault> {
    let named = named_by(policy);
    if context.can_sign_in(named).await? {
        return Ok(Some(named.to_owned()));
    }
    if let Some((today, _)) = context.load::<FollowUp>(context.tenant()).await?
        && let Some(named) = today.policy.as_ref().map(named_by)
        && context.can_sign_in(named).await?
    {
        return Ok(Some(named.to_owned()));
    }
    if context.now() >= after(due, DAYS_OF_LOOKING) {
        return Ok(None);
    }
    let reason = format!("{named}, who should get the lead, can't sign in; set a follow-up that names somebody else");
    Err(Fault::postponed("cannot_sign_in", reason, context.now() + TimeDelta::days(1)))
}

/// If the lead changed since the step read it, the step runs again.
fn unless_touched<T>(context: &StepContext, outcome: Result<T, Fault>) -> Result<Next, Fault> {
    match outcome {
        Ok(_) => Ok(Next::done()),
        Err(fault) if fault.code == "version_differs" => Ok(Next::WaitUntil(context.now())),
        Err(fault) => Err(fault),
    }
}

fn after(since: DateTime<Utc>, days: u32) -> DateTime<Utc> {
    since.checked_add_days(Days::new(days.into())).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// A qualified lead, and since when nobody has worked on it.
struct UnattendedLead {
    version: u64,
    owner: String,
    /// The time of the last activity, by `recorded_at`: an activity that was recorded late counts from when it was recorded.
    since: DateTime<Utc>,
    /// When this saga escalated it; the epoch if it has not.
    escalated_at: DateTime<Utc>,
}

impl UnattendedLead {
    async fn of(context: &StepContext, lead: LeadId) -> Result<Option<Self>, Fault> {
        let (since, escalated_at) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH);
        let mut unattended = Self { version: 0, owner: String::new(), since, escalated_at };
        let mut state = Lead::default();
        for event in context.history::<Lead>(lead).await? {
            unattended.version = event.sequence;
            if context.did(&event, "escalate") {
                unattended.escalated_at = event.recorded_at;
            } else if !context.did(&event, REASSIGN) {
                unattended.since = event.recorded_at;
            }
            fold(&mut state, &event)?;
        }
        unattended.owner = state.owner.unwrap_or_default();
        Ok((state.status == LeadStatus::Qualified).then_some(unattended))
    }
}

fn fold(lead: &mut Lead, event: &RecordedEvent) -> Result<(), Fault> {
    let today = event.decode::<LeadEvent>().map_err(|error| Fault::refused("history_unreadable", error.to_string()))?;
    today.into_iter().for_each(|event| lead.evolve(event));
    Ok(())
}
