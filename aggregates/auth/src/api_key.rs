//! API keys: with one, a machine calls the API without requesting a token first.

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Aggregate, MachineId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Minimum time between two records of use (or of refusal): the displayed time is approximate, and not every request causes a write.
const USE_NOTED_FOR: TimeDelta = TimeDelta::hours(1);

kernel::events! {
    /// Events of an API key.
    pub enum ApiKeyEvent of "auth.api_key" {
        /// An API key was issued for a machine.
        ApiKeyIssued = "auth.api_key.issued" @ 1 {
            pub machine: MachineId,
            /// Display name, such as what the key is used for.
            pub name: String,
            /// SHA-256 hash of the secret part, hexadecimal.
            pub secret_hash: String,
            /// Permissions to which the key is limited, such as `crm:lead:read` or `crm:*`; empty: all permissions of the machine.
            pub scopes: Vec<String>,
            /// When the key expires; absent: never.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub expires_at: Option<DateTime<Utc>>,
        },
        /// The key was used, for the first time in about an hour.
        ApiKeyUsed = "auth.api_key.used" @ 1 { pub at: DateTime<Utc> },
        /// A request with this key was refused, for the first time in about an hour.
        ApiKeyRefused = "auth.api_key.refused" @ 1 { pub reason: ApiKeyRefusal, pub at: DateTime<Utc> },
        /// The key was revoked.
        ApiKeyRevoked = "auth.api_key.revoked" @ 1 {},
    }
}

/// Why a request with an API key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApiKeyRefusal {
    /// The key's id is known, but the secret is wrong.
    SecretWrong,
    /// The key has expired.
    Expired,
    /// The key was revoked.
    Revoked,
    /// The key's machine was deactivated.
    MachineInactive,
}

/// An API key, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    /// `None`: not issued yet.
    pub issued: Option<ApiKeyIssued>,
    /// When it was last used, approximately.
    pub last_used: Option<DateTime<Utc>>,
    /// When a request with it was last refused (approximately), and why.
    pub last_refused: Option<ApiKeyRefused>,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// The commands of an API key.
#[derive(Clone, Debug, PartialEq)]
pub enum ApiKeyCommand {
    /// Issues the key.
    Issue(ApiKeyIssued),
    /// Records its use.
    NoteUse { at: DateTime<Utc> },
    /// Records the refusal of a request with it.
    NoteRefusal(ApiKeyRefused),
    /// Revokes the key.
    Revoke,
}

impl ApiKey {
    /// Whether it is valid at a time.
    pub fn accepted(&self, at: DateTime<Utc>) -> bool {
        !self.revoked && self.issued.as_ref().is_some_and(|key| key.expires_at.is_none_or(|end| at < end))
    }

    /// Whether a use at this time should be recorded.
    pub fn notes_use(&self, at: DateTime<Utc>) -> bool {
        !self.revoked && self.last_used.is_none_or(|last| at - last >= USE_NOTED_FOR)
    }

    /// Whether a refusal at this time should be recorded. The limit applies to all reasons together, so that a caller without the key can't
    /// cause more writes.
    pub fn notes_refusal(&self, at: DateTime<Utc>) -> bool {
        self.last_refused.as_ref().is_none_or(|last| at - last.at >= USE_NOTED_FOR)
    }
}

impl Aggregate for ApiKey {
    const TYPE: &'static str = "auth.api_key";
    const FORM: u32 = 2;
    type Command = ApiKeyCommand;
    type Event = ApiKeyEvent;
    type Error = std::convert::Infallible;

    fn decide(&self, command: ApiKeyCommand) -> Result<Vec<ApiKeyEvent>, Self::Error> {
        Ok(match command {
            ApiKeyCommand::Issue(issued) => vec![issued.into()],
            ApiKeyCommand::NoteUse { at } if self.notes_use(at) => vec![ApiKeyUsed { at }.into()],
            ApiKeyCommand::Revoke if !self.revoked => vec![ApiKeyRevoked {}.into()],
            ApiKeyCommand::NoteRefusal(refused) if self.notes_refusal(refused.at) => vec![refused.into()],
            ApiKeyCommand::NoteUse { .. } | ApiKeyCommand::NoteRefusal(_) | ApiKeyCommand::Revoke => vec![],
        })
    }

    fn evolve(&mut self, event: ApiKeyEvent) {
        match event {
            ApiKeyEvent::ApiKeyIssued(e) => self.issued = Some(e),
            ApiKeyEvent::ApiKeyUsed(e) => self.last_used = Some(e.at),
            ApiKeyEvent::ApiKeyRefused(e) => self.last_refused = Some(e),
            ApiKeyEvent::ApiKeyRevoked(_) => self.revoked = true,
        }
    }
}

kernel::aggregate!(ApiKey);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;
    use uuid::Uuid;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn issued(expires_at: Option<DateTime<Utc>>) -> ApiKeyIssued {
        let (machine, name) = (MachineId::new(Uuid::nil()), "nightly".to_owned());
        ApiKeyIssued { machine, name, secret_hash: String::new(), scopes: vec![], expires_at }
    }

    #[test]
    fn a_key_is_accepted_until_it_ends_or_is_revoked() {
        let mut key = ApiKey::default();
        assert!(!key.accepted(at(0)), "never issued");
        key.evolve(issued(Some(at(10))).into());
        assert!(key.accepted(at(9)) && !key.accepted(at(10)));
        key.evolve(ApiKeyRevoked {}.into());
        assert!(!key.accepted(at(9)));
    }

    #[test]
    fn its_use_is_noted_once_an_hour() {
        let given =
            || TestFramework::<ApiKey>::with(()).given(vec![issued(None).into(), ApiKeyUsed { at: at(0) }.into()]);
        given().when(ApiKeyCommand::NoteUse { at: at(59) }).then_expect_events(vec![]);
        given().when(ApiKeyCommand::NoteUse { at: at(60) }).then_expect_events(vec![ApiKeyUsed { at: at(60) }.into()]);
    }

    #[test]
    fn a_refusal_is_noted_once_an_hour_whatever_the_reason() {
        let refused = |reason, minute| ApiKeyRefused { reason, at: at(minute) };
        let first = refused(ApiKeyRefusal::SecretWrong, 0);
        let given = || TestFramework::<ApiKey>::with(()).given(vec![issued(None).into(), first.clone().into()]);
        for reason in [ApiKeyRefusal::SecretWrong, ApiKeyRefusal::Revoked] {
            given().when(ApiKeyCommand::NoteRefusal(refused(reason, 59))).then_expect_events(vec![]);
            let later = refused(reason, 60);
            given().when(ApiKeyCommand::NoteRefusal(later.clone())).then_expect_events(vec![later.into()]);
        }
    }
}
