//! Somebody asked for an account with the address of an existing user: mails this user that they have an account already.

use coordinator::{Definition, Fault, Next, Start, StartContext, Step, StepContext};
use kernel::{RecordedEvent, UserId};
use mailing::{LIMITS, PATIENT, decoded, send};
use serde::{Deserialize, Serialize};
use user_aggregates::{Tenant, User, UserEvent};

use crate::Ports;

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Parameters {
    user: UserId,
}

pub(crate) fn definition(ports: &Ports) -> Definition {
    let ports = ports.clone();
    let mail = move |context: StepContext, parameters: Parameters| mail(ports.clone(), context, parameters);
    let steps = vec![Step::new("mail", mail).retry(PATIENT).limits(LIMITS)];
    Definition::new("note_registration", 1, &[], &["user.user.registration_noted"], start, steps)
}

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<Parameters>>, Fault> {
    let noted =
        decoded::<UserEvent>(&event)?.into_iter().any(|event| matches!(event, UserEvent::UserRegistrationNoted(_)));
    let user = event.aggregate_id.parse().map_err(|_| Fault::refused("user_id", "the id is no UUID"))?;
    Ok(noted.then_some(Start { key: event.aggregate_id, parameters: Parameters { user } }))
}

async fn mail(ports: Ports, context: StepContext, Parameters { user }: Parameters) -> Result<Next, Fault> {
    let state = context.load::<User>(user).await?.map(|(state, _)| state).filter(|state| state.status.is_present());
    let Some(state) = state else { return Ok(Next::End("the user is not there any more")) };
    let tenant = context.load::<Tenant>(context.tenant()).await?;
    let text = format!(
        "Hello {name},\n\nsomebody, hopefully you, asked for an account{at} with this address. You have one already: sign in as \
         usual. If you do not know your password, or have none yet, follow \"Forgot your password?\" on the sign-in page.\n\n\
         If it was not you, ignore this mail: nothing has changed.\n",
        name = state.profile.name.reveal(),
        at = tenant.map(|(tenant, _)| format!(" at {}", tenant.name)).unwrap_or_default(),
    );
    send(&*ports.mailer, &context, &state.login.email, "You have an account already", text).await
}
