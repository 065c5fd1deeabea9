//! Texts a code to a person's telephone number; entering it verifies the number.

use std::time::Duration;

use chrono::TimeDelta;
use coordinator::{Definition, Doing, Fault, Limits, Next, Occasion, Retry, Start, Step};
use kernel::RecordedEvent;
use mailing::{Asked, asked};
use texting::{Text, TextError};
use user_aggregates::{User, UserEvent};

use crate::Ports;

/// Retries until the code has expired.
const RETRY: Retry =
    Retry { attempts: 40, first: Duration::from_secs(2), longest: Duration::from_secs(20), park: false };
/// The minimum time for which a code must still be valid when it is sent.
const TO_ENTER: TimeDelta = TimeDelta::minutes(2);
const LIMITS: Limits = Limits { attempt: Duration::from_secs(40), whole: Duration::from_mins(15) };

pub(crate) fn definition(ports: &Ports) -> Definition {
    let ports = ports.clone();
    let text = move |doing: Doing, asked: Asked| text(ports.clone(), doing, asked);
    let steps = vec![Step::new("text", text).retry(RETRY).limits(LIMITS)];
    Definition::new("verify_phone", 1, &[], &["user.user.phone_verification_requested"], start, steps)
}

async fn start(_: Occasion, event: RecordedEvent) -> Result<Option<Start<Asked>>, Fault> {
    asked(event, |event| match event {
        UserEvent::UserPhoneVerificationRequested(requested) => Some(requested.turn),
        _ => None,
    })
}

async fn text(ports: Ports, doing: Doing, Asked { user, turn }: Asked) -> Result<Next, Fault> {
    let Some((state, _)) = doing.load::<User>(user).await? else { return Ok(Next::End("the user is not there")) };
    let (Some(number), Some(sent)) = (&state.profile.phone, state.phone.code(turn, doing.now())) else {
        return Ok(Next::End("the code is not good any more"));
    };
    let code = ports.codes.code(doing.tenant(), user, turn, number.reveal());
    let text = Text {
        id: doing.saga_id().to_string(),
        tenant: doing.tenant(),
        asker: user.uuid(),
        to: number.clone(),
        text: format!(
            "{code} is your code. Enter it where you asked for it, within ten minutes; nobody else needs it."
        )
        .into(),
        good_for: (sent.expires_at - doing.now()).to_std().unwrap_or_default(),
    };
    match ports.texts.send(&text).await {
        Ok(()) => Ok(Next::done()),
        // The number of messages per person is limited. Wait for the limit, if the code is still valid long enough after that.
        Err(TextError::TooMany(wait)) => {
            let turn = TimeDelta::from_std(wait).ok().and_then(|wait| doing.now().checked_add_signed(wait));
            let in_time = turn.filter(|turn| *turn + TO_ENTER <= sent.expires_at);
            Ok(in_time.map_or(Next::End("too many text messages went out"), Next::WaitUntil))
        }
        Err(TextError::Passing(reason)) => Err(Fault::passing("text_not_taken", reason)),
        Err(TextError::Refused(reason)) => Err(Fault::refused("text_refused", reason)),
    }
}
