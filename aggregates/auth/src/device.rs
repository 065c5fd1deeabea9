//! Device authorization (RFC 8628): a device without a keyboard shows a code, and a user enters it elsewhere to allow or deny access.

use chrono::{DateTime, Utc};
use kernel::{Aggregate, Refusal, UserId};
use serde::{Deserialize, Serialize};

use crate::{ClientId, GrantId, Moment, SessionId};

kernel::events! {
    /// Events of a device that requests access.
    pub enum DeviceEvent of "auth.device" {
        /// The device requested access and shows a code.
        DeviceAsked = "auth.device.asked" @ 1 {
            pub client: ClientId,
            pub scope: Vec<String>,
            /// When the request expires.
            pub expires_at: DateTime<Utc>,
        },
        /// A user entered the code and allowed the access.
        DeviceAllowed = "auth.device.allowed" @ 1 {
            pub user: UserId,
            pub session: SessionId,
            /// When the user allowed it: whatever ends all earlier sessions or grants ends this one. Absent in events from before it was
            /// recorded.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub at: Option<DateTime<Utc>>,
            /// How often the user had withdrawn consent for the client before. Absent in events from before it was counted.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub consent_era: Option<u32>,
        },
        /// A user entered the code and denied the access.
        DeviceDenied = "auth.device.denied" @ 1 {},
        /// The device got its tokens.
        DeviceLetIn = "auth.device.let_in" @ 1 { pub grant: GrantId },
    }
}

/// A device, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// The request; `None`: there was none.
    pub asked: Option<DeviceAsked>,
    /// Which user allowed it, in which session.
    pub allowed: Option<DeviceAllowed>,
    /// Whether a user denied it.
    pub denied: bool,
    /// Whether it got its tokens.
    pub let_in: bool,
}

/// The commands of a device.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceCommand {
    /// Requests access.
    Ask(DeviceAsked),
    /// Allows access. `granted`: the moment, in the account's count of withdrawn consents.
    Allow { user: UserId, session: SessionId, granted: Moment },
    /// Denies access.
    Deny { at: DateTime<Utc> },
    /// Redeems the request for tokens.
    LetIn { client: ClientId, grant: GrantId, at: DateTime<Utc> },
}

/// Why a device gets no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No user has decided yet.
    #[error("the code has not been entered yet")]
    Pending,
    /// A user denied it.
    #[error("the user denied the access")]
    Denied,
    /// The request has expired.
    #[error("the code has expired; start again")]
    Expired,
    /// The request is not of this client, or was redeemed.
    #[error("the code belongs to another client, or was already used")]
    Nothing,
}

impl From<DeviceError> for Refusal {
    fn from(error: DeviceError) -> Self {
        let code = match error {
            DeviceError::Pending => "authorization_pending",
            DeviceError::Denied => "access_denied",
            DeviceError::Expired => "expired_token",
            DeviceError::Nothing => "grant_invalid",
        };
        Self::conflict(code, error.to_string())
    }
}

impl Device {
    /// The request, if a user may still decide on it.
    pub fn open(&self, at: DateTime<Utc>) -> Option<&DeviceAsked> {
        self.asked.as_ref().filter(|asked| at < asked.expires_at && self.allowed.is_none() && !self.denied)
    }

    fn may_be_let_in(&self, client: ClientId, at: DateTime<Utc>) -> Result<(), DeviceError> {
        let asked = self.asked.as_ref().filter(|asked| asked.client == client && !self.let_in);
        let asked = asked.ok_or(DeviceError::Nothing)?;
        match (self.denied, &self.allowed) {
            (true, _) => Err(DeviceError::Denied),
            _ if at >= asked.expires_at => Err(DeviceError::Expired),
            (false, None) => Err(DeviceError::Pending),
            (false, Some(_)) => Ok(()),
        }
    }
}

impl Aggregate for Device {
    const TYPE: &'static str = "auth.device";
    const FORM: u32 = 3;
    type Command = DeviceCommand;
    type Event = DeviceEvent;
    type Error = DeviceError;

    fn decide(&self, command: DeviceCommand) -> Result<Vec<DeviceEvent>, DeviceError> {
        Ok(match command {
            DeviceCommand::Ask(asked) => vec![asked.into()],
            DeviceCommand::Allow { granted: Moment { at, .. }, .. } | DeviceCommand::Deny { at }
                if self.open(at).is_none() =>
            {
                return Err(DeviceError::Expired);
            }
            DeviceCommand::Allow { user, session, granted: Moment { at, era } } => {
                vec![DeviceAllowed { user, session, at: Some(at), consent_era: era }.into()]
            }
            DeviceCommand::Deny { .. } => vec![DeviceDenied {}.into()],
            DeviceCommand::LetIn { client, grant, at } => {
                self.may_be_let_in(client, at)?;
                vec![DeviceLetIn { grant }.into()]
            }
        })
    }

    fn evolve(&mut self, event: DeviceEvent) {
        match event {
            DeviceEvent::DeviceAsked(e) => self.asked = Some(e),
            DeviceEvent::DeviceAllowed(e) => self.allowed = Some(e),
            DeviceEvent::DeviceDenied(_) => self.denied = true,
            DeviceEvent::DeviceLetIn(_) => self.let_in = true,
        }
    }
}

kernel::aggregate!(Device);

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use cqrs_es::test::TestFramework;
    use uuid::Uuid;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn client(number: u128) -> ClientId {
        ClientId::new(Uuid::from_u128(number))
    }

    fn asked() -> DeviceEvent {
        DeviceAsked { client: client(1), scope: vec!["api".to_owned()], expires_at: at(10) }.into()
    }

    fn granted(minute: i64) -> Moment {
        Moment { at: at(minute), era: Some(2) }
    }

    fn allowed() -> DeviceAllowed {
        let (user, session) = (UserId::new(Uuid::from_u128(2)), SessionId::new(Uuid::from_u128(3)));
        DeviceAllowed { user, session, at: Some(at(1)), consent_era: Some(2) }
    }

    fn let_in(by: u128, minute: i64) -> DeviceCommand {
        DeviceCommand::LetIn { client: client(by), grant: GrantId::new(Uuid::from_u128(4)), at: at(minute) }
    }

    #[test]
    fn a_device_is_let_in_once_after_somebody_said_yes_in_time() {
        let given = |more: Vec<DeviceEvent>| TestFramework::<Device>::with(()).given([vec![asked()], more].concat());
        let done: DeviceEvent = DeviceLetIn { grant: GrantId::new(Uuid::from_u128(4)) }.into();
        given(vec![]).when(let_in(1, 1)).then_expect_error(DeviceError::Pending);
        given(vec![allowed().into()]).when(let_in(1, 9)).then_expect_events(vec![done.clone()]);
        given(vec![allowed().into()]).when(let_in(1, 10)).then_expect_error(DeviceError::Expired);
        given(vec![allowed().into()]).when(let_in(9, 1)).then_expect_error(DeviceError::Nothing);
        given(vec![DeviceDenied {}.into()]).when(let_in(1, 1)).then_expect_error(DeviceError::Denied);
        given(vec![allowed().into(), done]).when(let_in(1, 2)).then_expect_error(DeviceError::Nothing);
    }

    #[test]
    fn when_somebody_said_yes_is_kept() {
        let DeviceAllowed { user, session, .. } = allowed();
        TestFramework::<Device>::with(())
            .given(vec![asked()])
            .when(DeviceCommand::Allow { user, session, granted: granted(1) })
            .then_expect_events(vec![allowed().into()]);
    }

    #[test]
    fn nobody_says_yes_too_late_or_after_somebody_else_decided() {
        let DeviceAllowed { user, session, .. } = allowed();
        let allow = |minute| DeviceCommand::Allow { user, session, granted: granted(minute) };
        TestFramework::<Device>::with(()).given(vec![asked()]).when(allow(10)).then_expect_error(DeviceError::Expired);
        TestFramework::<Device>::with(())
            .given(vec![asked(), DeviceDenied {}.into()])
            .when(allow(1))
            .then_expect_error(DeviceError::Expired);
    }
}
