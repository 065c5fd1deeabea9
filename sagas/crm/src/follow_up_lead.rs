//! A qualified lead that nobody touches is escalated, and if still nobody does, reassigned.
//!
//! A touch is whatever happens to the lead and is not done by this saga; each begins the days anew. A lead that is not qualified
//! any more (converted, recycled, disqualified) needs no follow-up. What the tenant wants (`crm.follow_up`) is read when the lead
//! is qualified, and holds for this lead from then on.

use std::time::Duration;

use chrono::{DateTime, Days, Utc};
use coordinator::{Definition, Fault, Limits, Next, Start, StartContext, Step, StepContext};
use crm_aggregates::{FollowUp, FollowUpPolicy, Lead, LeadEvent, LeadId, LeadStatus};
use crm_commands::{EscalateLead, HandLeadOver, WithdrawLeadEscalation};
use kernel::{Aggregate, RecordedEvent};
use serde::{Deserialize, Serialize};

const REASSIGN: &str = "reassign";
const NOT_QUALIFIED: &str = "the lead is not qualified any more";

#[derive(Serialize, Deserialize)]
struct Parameters {
    lead: LeadId,
    policy: FollowUpPolicy,
}

pub(crate) fn definition() -> Definition {
    // Days of waiting, begun anew with each touch: a lead that is touched again and again for a year needs none of this.
    let limits = Limits { whole: Duration::from_hours(2 * 365 * 24), ..Limits::default() };
    let steps = vec![
        Step::new("escalate", escalate).undo(withdraw_escalation).limits(limits),
        Step::new(REASSIGN, reassign).undo(give_back).limits(limits),
    ];
    Definition::new("follow_up_lead", 1, &["crm:lead:write"], &["crm.lead.qualified"], start, steps).hears(touched)
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
    let escalate = EscalateLead { lead, to: policy.escalate_to, untouched_since: unattended.since };
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
    let hand_over = HandLeadOver { lead, from: unattended.owner, to: policy.reassign_to };
    unless_touched(&context, context.execute_at(Some(unattended.version), &hand_over).await)
}

/// To whom it was before, if it is still with whom we gave it to.
async fn give_back(context: StepContext, Parameters { lead, policy }: Parameters) -> Result<Next, Fault> {
    let mut before = Lead::default();
    for event in context.history::<Lead>(lead).await? {
        if context.did(&event, REASSIGN)
            && let Some(to) = before.owner.take()
        {
            context.execute(&HandLeadOver { lead, from: policy.reassign_to, to }).await?;
            break;
        }
        fold(&mut before, &event)?;
    }
    Ok(Next::done())
}

/// Touched between our look and our command: look again.
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

/// A qualified lead that waits for somebody.
struct UnattendedLead {
    version: u64,
    owner: String,
    /// When it was last touched, as the log knows: what was told late counts from when it was told.
    since: DateTime<Utc>,
    /// When this saga escalated it.
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
