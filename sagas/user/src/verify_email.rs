//! Mails a link to a person's address; opening it verifies the address.

use coordinator::{Definition, Fault, Next, Start, StartContext, Step, StepContext};
use kernel::RecordedEvent;
use mailing::{LIMITS, PATIENT, SendRequest, on_request, send};
use user_aggregates::{User, UserEvent};
use user_commands::{Link, Purpose};

use crate::Ports;

pub(crate) fn definition(ports: &Ports) -> Definition {
    let ports = ports.clone();
    let mail = move |context: StepContext, request: SendRequest| mail(ports.clone(), context, request);
    let steps = vec![Step::new("mail", mail).retry(PATIENT).limits(LIMITS)];
    Definition::new("verify_email", 1, &[], &["user.user.email_verification_requested"], start, steps)
}

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<SendRequest>>, Fault> {
    on_request(event, |event| match event {
        UserEvent::UserEmailVerificationRequested(requested) => Some(requested.turn),
        _ => None,
    })
}

async fn mail(ports: Ports, context: StepContext, SendRequest { user, turn }: SendRequest) -> Result<Next, Fault> {
    let Some((state, _)) = context.load::<User>(user).await? else { return Ok(Next::End("the user is not there")) };
    if state.link(turn, context.now()).is_err() {
        return Ok(Next::End("the link is not good any more"));
    }
    let link = Link { purpose: Purpose::Email, tenant: context.tenant(), id: user.uuid(), turn };
    let text = format!(
        "Hello {name},\n\nfollow this link to verify that this address is yours. It is valid for two days:\n\n\
         {url}/verify-email?link={link}\n\nIf you did not ask for this, ignore this mail.\n",
        name = state.profile.name.reveal(),
        url = ports.url,
        link = ports.links.write(&link),
    );
    send(&*ports.mailer, &context, &state.login.email, "Verify your address", text).await
}
