//! Mails a person a link with which they set a new password.

use auth_aggregates::{Account, AccountEvent};
use coordinator::{Definition, Fault, Next, Start, StartContext, Step, StepContext};
use kernel::RecordedEvent;
use mailing::{LIMITS, PATIENT, SendRequest, on_request, send};

use crate::Ports;

pub(crate) fn definition(ports: &Ports) -> Definition {
    let ports = ports.clone();
    let mail = move |context: StepContext, request: SendRequest| mail(ports.clone(), context, request);
    let steps = vec![Step::new("mail", mail).retry(PATIENT).limits(LIMITS)];
    let starts_on = &["auth.account.password_reset_requested"];
    Definition::new("send_password_link", 1, &[], starts_on, start, steps)
}

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<SendRequest>>, Fault> {
    on_request(event, |event| match event {
        AccountEvent::PasswordResetRequested(requested) => Some(requested.turn),
        _ => None,
    })
}

async fn mail(ports: Ports, context: StepContext, SendRequest { user, turn }: SendRequest) -> Result<Next, Fault> {
    let found = context.load::<Account>(user).await?;
    if !found.is_some_and(|(account, _)| account.link(turn, context.now())) {
        return Ok(Next::End("the link is not good any more"));
    }
    let mail = ports.password_link_mails.password_link(context.tenant(), user, turn).await;
    let mail = mail.map_err(|reason| Fault::transient("letter_not_made", reason))?;
    let Some(mail) = mail else { return Ok(Next::End("there is nobody to whom it could be mailed")) };
    let text = format!(
        "Hello {name},\n\nsomebody, hopefully you, asked for a new password for {tenant}. Follow this link to set one. It can be \
         used once and is valid for an hour:\n\n{link}\n\nIf it was not you, ignore this mail: your password stays as it is.\n",
        name = mail.name.reveal(),
        tenant = mail.tenant,
        link = mail.link.reveal(),
    );
    send(&*ports.mailer, &context, &mail.to, "Set a new password", text).await
}
