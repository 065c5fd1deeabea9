//! Texts a code to a person's telephone number; entering it verifies the number.

use std::time::Duration;

use chrono::TimeDelta;
use coordinator::{Definition, Fault, Limits, Next, Retry, Start, StartContext, Step, StepContext};
use kernel::{Backoff, RecordedEvent};
use mailing::{SendRequest, on_request};
use texting::{Text, TextError};
use user_aggregates::{User, UserEvent};

use crate::Ports;

/// Retries until the code has expired.
const RETRY: Retry = Retry {
    attempts: 40,
    backoff: Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(20) },
    park: false,
};
/// The minimum time for which a code must still be valid when it is sent.
const TO_ENTER: TimeDelta = TimeDelta::minutes(2);
const LIMITS: Limits = Limits { attempt: Duration::from_secs(40), whole: Duration::from_mins(15) };

pub(crate) fn definition(ports: &Ports) -> Definition {
    let ports = ports.clone();
    let text = move |context: StepContext, request: SendRequest| text(ports.clone(), context, request);
    let steps = vec![Step::new("text", text).retry(RETRY).limits(LIMITS)];
    Definition::new("verify_phone", 1, &[], &["user.user.phone_verification_requested"], start, steps)
}

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<SendRequest>>, Fault> {
    on_request(event, |event| match event {
        UserEvent::UserPhoneVerificationRequested(requested) => Some(requested.turn),
        _ => None,
    })
}

async fn text(ports: Ports, context: StepContext, SendRequest { user, turn }: SendRequest) -> Result<Next, Fault> {
    let Some((state, _)) = context.load::<User>(user).await? else { return Ok(Next::End("the user is not there")) };
    let (Some(number), Some(sent)) = (&state.profile.phone, state.phone.code(turn, context.now())) else {
        return Ok(Next::End("the code is not good any more"));
    };
    let code = ports.codes.code(context.tenant(), user, turn, number.reveal());
    let text = Text {
        id: context.saga_id().to_string(),
        tenant: context.tenant(),
        asker: user.uuid(),
        to: number.clone(),
        text: format!(
            "{code} is your code. Enter it where you asked for it, within ten minutes; nobody else needs it."
        )
        .into(),
        good_for: (sent.expires_at - context.now()).to_std().unwrap_or_default(),
    };
    match ports.texts.send(&text).await {
        Ok(()) => Ok(Next::done()),
        // The number of messages per person is limited. Wait for the limit, if the code is still valid long enough after that.
        Err(TextError::TooMany(wait)) => {
            let turn = TimeDelta::from_std(wait).ok().and_then(|wait| context.now().checked_add_signed(wait));
            let in_time = turn.filter(|turn| *turn + TO_ENTER <= sent.expires_at);
            Ok(in_time.map_or(Next::End("too many text messages went out"), Next::WaitUntil))
        }
        Err(TextError::Transient(reason)) => Err(Fault::transient("text_not_taken", reason)),
        Err(TextError::Refused(reason)) => Err(Fault::refused("text_refused", reason)),
    }
}
