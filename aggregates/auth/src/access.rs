//! Denied access: requests of authenticated callers that lacked a permission.

use chrono::{DateTime, Utc};
use kernel::{Aggregate, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Account, Place};

kernel::events! {
    /// Events of denied access. (Granted access is recorded by the events that it caused.)
    pub enum AccessEvent of "auth.access" {
        /// A request of a known caller was denied.
        AccessDenied = "auth.access.denied" @ 1 {
            /// Subject of the caller's token: a user or a machine. Absent: several callers, whose denials are counted together because
            /// there were too many kinds to list each.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub subject: Option<String>,
            /// The caller, if it is a user who has an account.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub user: Option<UserId>,
            /// Reason: the code of the answer, such as `permission_missing`.
            pub reason: String,
            /// Missing permission. Several are separated by spaces: either one of them would have sufficed, or all were required.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub permission: Option<String>,
            /// Denied operation: method and path as in the OpenAPI document, or `graphql` and the field.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub operation: Option<String>,
            /// Id of the request.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub request: Option<Uuid>,
            /// When the request was denied.
            pub at: DateTime<Utc>,
            /// Where the request came from, if the caller is a user who has an account; otherwise empty, because nobody could have it
            /// erased.
            pub place: Place,
            /// For callers that are not users: a keyed hash of the IP address, hexadecimal. It is the same for requests from the same
            /// address.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub origin: Option<String>,
        },
        /// The same caller was denied the same again, within an hour of the first time.
        AccessDeniedAgain = "auth.access.denied_again" @ 1 {
            /// Number of denials, including the first.
            pub times: u64,
            /// When the last denial happened.
            pub at: DateTime<Utc>,
        },
    }
}

/// A series of equal denials within an hour, with their count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// The caller, if it is a user.
    pub user: Option<UserId>,
    /// The number of denials; 0: none yet.
    pub times: u64,
}

/// Records a denial, with the count so far.
#[derive(Clone, Debug, PartialEq)]
pub struct NoteDenial {
    /// The first denial.
    pub denied: AccessDenied,
    /// The number of denials, including the first.
    pub times: u64,
    /// When the last denial happened.
    pub last_at: DateTime<Utc>,
}

impl Aggregate for Access {
    const TYPE: &'static str = "auth.access";
    const SEALED: bool = true;
    type Command = NoteDenial;
    type Event = AccessEvent;
    type Error = std::convert::Infallible;

    fn person(&self, _: &str) -> Option<String> {
        self.user.map(Account::key_of)
    }

    fn decide(&self, NoteDenial { denied, times, last_at }: NoteDenial) -> Result<Vec<AccessEvent>, Self::Error> {
        let first = (self.times == 0).then(|| denied.into());
        let again = (times > self.times.max(1)).then(|| AccessDeniedAgain { times, at: last_at }.into());
        Ok(first.into_iter().chain(again).collect())
    }

    fn evolve(&mut self, event: AccessEvent) {
        match event {
            AccessEvent::AccessDenied(e) => {
                self.user = e.user;
                self.times = self.times.max(1);
            }
            AccessEvent::AccessDeniedAgain(e) => self.times = self.times.max(e.times),
        }
    }
}

kernel::aggregate!(Access);

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use cqrs_es::test::TestFramework;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn denied() -> AccessDenied {
        AccessDenied {
            subject: Some("ada".to_owned()),
            user: None,
            reason: "permission_missing".to_owned(),
            permission: Some("crm:lead:write".to_owned()),
            operation: Some("POST /v1/crm/leads".to_owned()),
            request: Some(Uuid::nil()),
            at: at(0),
            place: Place::default(),
            origin: None,
        }
    }

    fn noted(times: u64) -> NoteDenial {
        NoteDenial { denied: denied(), times, last_at: at(times as i64 - 1) }
    }

    fn again(times: u64) -> AccessEvent {
        AccessDeniedAgain { times, at: at(times as i64 - 1) }.into()
    }

    #[test]
    fn the_first_denial_is_told_whole_and_later_ones_are_counted() {
        let given = |events: Vec<AccessEvent>| TestFramework::<Access>::with(()).given(events);
        let first = AccessEvent::from(denied());
        given(vec![]).when(noted(1)).then_expect_events(vec![first.clone()]);
        given(vec![]).when(noted(3)).then_expect_events(vec![first.clone(), again(3)]);
        given(vec![first.clone()]).when(noted(7)).then_expect_events(vec![again(7)]);
        // A repeated or late report changes nothing.
        given(vec![first.clone()]).when(noted(1)).then_expect_events(vec![]);
        given(vec![first, again(7)]).when(noted(7)).then_expect_events(vec![]);
    }
}
