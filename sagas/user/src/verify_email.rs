//! Mails a link to a person's address; opening it verifies the address.

use coordinator::{Definition, Doing, Fault, Next, Occasion, Start, Step};
use kernel::RecordedEvent;
use mailing::{Asked, LIMITS, PATIENT, asked, send};
use user_aggregates::{User, UserEvent};
use user_commands::{Link, Purpose};

use crate::Ports;

pub(crate) fn definition(ports: &Ports) -> Definition {
    let ports = ports.clone();
    let mail = move |doing: Doing, asked: Asked| mail(ports.clone(), doing, asked);
    let steps = vec![Step::new("mail", mail).retry(PATIENT).limits(LIMITS)];
    Definition::new("verify_email", 1, &[], &["user.user.email_verification_requested"], start, steps)
}

async fn start(_: Occasion, event: RecordedEvent) -> Result<Option<Start<Asked>>, Fault> {
    asked(event, |event| match event {
        UserEvent::UserEmailVerificationRequested(requested) => Some(requested.turn),
        _ => None,
    })
}

async fn mail(ports: Ports, doing: Doing, Asked { user, turn }: Asked) -> Result<Next, Fault> {
    let Some((state, _)) = doing.load::<User>(user).await? else { return Ok(Next::End("the user is not there")) };
    if state.link(turn, doing.now()).is_err() {
        return Ok(Next::End("the link is not good any more"));
    }
    let link = Link { purpose: Purpose::Email, tenant: doing.tenant(), id: user.uuid(), turn };
    let text = format!(
        "Hello {name},\n\nfollow this link to verify that this address is yours. It is valid for two days:\n\n\
         {url}/verify-email?link={link}\n\nIf you did not ask for this, ignore this mail.\n",
        name = state.profile.name.reveal(),
        url = ports.url,
        link = ports.links.write(&link),
    );
    send(&*ports.mailer, &doing, &state.login.email, "Verify your address", text).await
}
