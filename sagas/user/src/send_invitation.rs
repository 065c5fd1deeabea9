//! Mails an invitation with its link, when it is sent or sent again.

use coordinator::{Definition, Fault, Next, Start, StartContext, Step, StepContext};
use kernel::RecordedEvent;
use mailing::{LIMITS, PATIENT, decoded, send};
use serde::{Deserialize, Serialize};
use user_aggregates::{Invitation, InvitationEvent, InvitationId, Tenant};
use user_commands::{Link, Purpose};

use crate::Ports;

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Parameters {
    invitation: InvitationId,
    turn: u32,
}

pub(crate) fn definition(ports: &Ports) -> Definition {
    let ports = ports.clone();
    let mail = move |context: StepContext, parameters: Parameters| mail(ports.clone(), context, parameters);
    let steps = vec![Step::new("mail", mail).retry(PATIENT).limits(LIMITS)];
    let starts_on = &["user.invitation.sent", "user.invitation.resent"];
    Definition::new("send_invitation", 1, &[], starts_on, start, steps)
}

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<Parameters>>, Fault> {
    let turn = decoded::<InvitationEvent>(&event)?.into_iter().find_map(|event| match event {
        InvitationEvent::InvitationSent(_) => Some(1),
        InvitationEvent::InvitationResent(resent) => Some(resent.turn),
        _ => None,
    });
    let Some(turn) = turn else { return Ok(None) };
    let invitation = event.aggregate_id.parse().map_err(|_| Fault::refused("invitation_id", "the id is no UUID"))?;
    Ok(Some(Start { key: event.aggregate_id, parameters: Parameters { invitation, turn } }))
}

async fn mail(ports: Ports, context: StepContext, Parameters { invitation, turn }: Parameters) -> Result<Next, Fault> {
    let Some((state, _)) = context.load::<Invitation>(invitation).await? else {
        return Ok(Next::End("the invitation is not there"));
    };
    // If the invitation was sent again before this mail went out, only the later mail is sent. Links of self-registration stay valid beside
    // later ones, so without this check, a person who asked repeatedly during an outage of the mail server would get all mails at once.
    if turn != state.turn || state.link(turn, context.now()).is_err() {
        return Ok(Next::End("the link is not good any more"));
    }
    let link = Link { purpose: Purpose::Invitation, tenant: context.tenant(), id: invitation.uuid(), turn };
    let tenant = context.load::<Tenant>(context.tenant()).await?.map(|(tenant, _)| tenant.name.clone());
    let (subject, why) = reason(state.by_policy, tenant.as_deref());
    let text = format!(
        "Hello{name},\n\n{why}. It can be used once and is valid until {until} UTC:\n\n\
         {url}/invitation?link={link}\n\nIf you did not expect this mail, ignore it.\n",
        name = state.name.as_ref().map(|name| format!(" {}", name.reveal())).unwrap_or_default(),
        until = state.expires_at.format("%Y-%m-%d %H:%M"),
        url = ports.url,
        link = ports.links.write(&link),
    );
    send(&*ports.mailer, &context, &state.email, subject, text).await
}

/// The subject of the mail, and why the person gets it: by the policy for registrations, or because somebody invited them to the tenant of
/// this name.
fn reason(by_policy: bool, tenant: Option<&str>) -> (&'static str, String) {
    if by_policy {
        let at = tenant.map(|name| format!(" at {name}")).unwrap_or_default();
        let asked = format!("somebody, hopefully you, asked for an account{at} with this address");
        ("Create your account", format!("{asked}. Follow this link to create the account"))
    } else {
        let to = tenant.map(|name| format!("join {name} on ")).unwrap_or_default();
        ("You are invited", format!("you are invited to {to}Inopsio. Follow this link to accept the invitation"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_names_the_tenant() {
        let text = |by_policy, tenant| reason(by_policy, tenant).1;
        assert!(text(false, Some("Acme Inc.")).starts_with("you are invited to join Acme Inc. on Inopsio. Follow"));
        assert!(text(true, Some("Acme Inc.")).contains("an account at Acme Inc. with this address. Follow"));
        assert!(text(false, None).starts_with("you are invited to Inopsio. Follow"));
    }
}
