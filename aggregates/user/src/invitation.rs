//! Invitation: a person gets a link by mail, and becomes a user by accepting.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Aggregate, Personal, Refusal, SentLinks, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::GroupId;

kernel::events! {
    /// Events of an invitation.
    pub enum InvitationEvent of "user.invitation" {
        /// The invitation was sent. The link in the e-mail is derived from the invitation's id and `turn` with a secret key; it is not
        /// stored.
        InvitationSent = "user.invitation.sent" @ 1 {
            /// E-mail address of the invited person, in lower case.
            pub email: Personal<String>,
            /// Name of the invited person, if known.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub name: Option<Personal<String>>,
            /// Roles that they get when they accept.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub roles: Vec<String>,
            /// Groups that they join when they accept.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub groups: Vec<GroupId>,
            /// Whether the invitation is based on the tenant's registration policy alone: the person asked for it themselves.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            pub by_policy: bool,
            /// The user or machine who sent it. Absent if neither did (the registration policy, the saga that creates a tenant, a token of
            /// another issuer), and in events from before it was recorded.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub sent_by: Option<Uuid>,
            /// When the link expires.
            pub expires_at: DateTime<Utc>,
        },
        /// The invitation was sent again, with a new link. Earlier links are no longer valid, unless the invitation is based on the
        /// registration policy: then each link stays valid until it expires.
        InvitationResent = "user.invitation.resent" @ 1 {
            /// Number of the link, counted from 1.
            pub turn: u32,
            /// The user or machine who sent it again; from then on the invitation is theirs.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub sent_by: Option<Uuid>,
            pub expires_at: DateTime<Utc>,
        },
        /// The invitation was accepted: the person became a user.
        InvitationAccepted = "user.invitation.accepted" @ 1 { pub user: UserId },
        /// The invitation was revoked.
        InvitationRevoked = "user.invitation.revoked" @ 1 {},
        /// An invalid link was used. Recorded once for each link, no matter how often and by whom it is used.
        InvitationRefused = "user.invitation.refused" @ 1 {
            /// Number of the link, counted from 1; absent in events from before it was recorded.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub turn: Option<u32>,
            pub reason: InvitationFault,
        },
        /// The personal data of the invited person was erased.
        InvitationErased = "user.invitation.erased" @ 1 {},
    }
}

/// Why a link is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitationFault {
    /// It has expired.
    Expired,
    /// A later link was sent.
    Superseded,
    /// It was already used.
    Used,
    /// The invitation was revoked.
    Revoked,
}

/// State of an invitation. (Expiry is not a state: it is not caused by an event.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitationStatus {
    #[default]
    Pending,
    Accepted,
    Revoked,
}

impl InvitationStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Revoked => "revoked",
        }
    }
}

/// How long a link is valid.
pub const INVITATION_GOOD_FOR: TimeDelta = TimeDelta::days(7);

/// An invitation, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Invitation {
    pub status: InvitationStatus,
    pub email: Personal<String>,
    pub name: Option<Personal<String>>,
    pub roles: Vec<String>,
    pub groups: Vec<GroupId>,
    /// Whether the person asked for it themselves.
    #[serde(default)]
    pub by_policy: bool,
    /// The user or machine who sent the last link. `None`: neither did, or it was not recorded.
    #[serde(default)]
    pub sent_by: Option<Uuid>,
    /// Number of the last link that was sent.
    pub turn: u32,
    /// When the last link expires.
    pub expires_at: DateTime<Utc>,
    /// When each valid link expires. An invitation by a person has only the last link; anybody may ask for one by the registration policy,
    /// so its earlier links stay valid.
    pub links: SentLinks,
    pub user: Option<UserId>,
    /// The links for which an invalid use is recorded.
    #[serde(default)]
    pub refused: BTreeSet<u32>,
    /// The personal data of the invited person was erased.
    #[serde(default)]
    pub erased: bool,
}

/// Commands for an invitation. The form of their values has been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum InvitationCommand {
    Send(InvitationSent),
    Resend {
        expires_at: DateTime<Utc>,
        /// The user or machine who sends it again.
        sent_by: Option<Uuid>,
    },
    Accept {
        turn: u32,
        at: DateTime<Utc>,
        user: UserId,
    },
    Revoke,
    /// Record that an invalid link was used, unless it is already recorded.
    Refuse {
        turn: u32,
        reason: InvitationFault,
    },
    /// Erase the personal data of the invited person.
    Erase,
}

/// Why an invitation refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// It is no longer pending.
    #[error("the invitation is {}; this is allowed only while it is pending", .0.as_str())]
    NotPending(InvitationStatus),
    /// The link is not valid.
    #[error("the link is no longer valid: it has expired, was used or revoked, or a later one was sent")]
    Link,
}

impl From<InvitationError> for Refusal {
    fn from(error: InvitationError) -> Self {
        match error {
            InvitationError::NotPending(status) => {
                Self::conflict("invitation_not_pending", error.to_string()).with("state", status.as_str())
            }
            InvitationError::Link => Self::conflict("link_not_good", error.to_string()),
        }
    }
}

impl Invitation {
    /// Whether the link with this number is valid at this time.
    pub fn link(&self, turn: u32, at: DateTime<Utc>) -> Result<(), InvitationFault> {
        match self.status {
            InvitationStatus::Accepted => Err(InvitationFault::Used),
            InvitationStatus::Revoked => Err(InvitationFault::Revoked),
            InvitationStatus::Pending => match self.links.until(turn) {
                Some(until) if at < until => Ok(()),
                Some(_) => Err(InvitationFault::Expired),
                // Of invitations by the policy, expired links are no longer in the list.
                None if self.by_policy && (1..self.turn).contains(&turn) => Err(InvitationFault::Expired),
                None => Err(InvitationFault::Superseded),
            },
        }
    }

    /// Adds a further link that was sent.
    fn send(&mut self, turn: u32, until: DateTime<Utc>) {
        if !self.by_policy {
            self.links.clear();
        }
        self.links.send(turn, until, INVITATION_GOOD_FOR);
        (self.turn, self.expires_at) = (turn, until);
    }

    fn pending(&self) -> Result<(), InvitationError> {
        if self.status == InvitationStatus::Pending { Ok(()) } else { Err(InvitationError::NotPending(self.status)) }
    }
}

impl Aggregate for Invitation {
    const TYPE: &'static str = "user.invitation";
    const FORM: u32 = 5;
    const SEALED: bool = true;
    type Command = InvitationCommand;
    type Event = InvitationEvent;
    type Error = InvitationError;

    fn decide(&self, command: InvitationCommand) -> Result<Vec<InvitationEvent>, InvitationError> {
        Ok(match command {
            InvitationCommand::Send(sent) => vec![sent.into()],
            InvitationCommand::Resend { expires_at, sent_by } => {
                self.pending()?;
                vec![InvitationResent { turn: self.turn + 1, sent_by, expires_at }.into()]
            }
            InvitationCommand::Accept { turn, at, user } => {
                self.link(turn, at).map_err(|_| InvitationError::Link)?;
                vec![InvitationAccepted { user }.into()]
            }
            InvitationCommand::Revoke if self.status == InvitationStatus::Revoked => vec![],
            InvitationCommand::Revoke => {
                self.pending()?;
                vec![InvitationRevoked {}.into()]
            }
            InvitationCommand::Refuse { turn, .. } if self.refused.contains(&turn) => vec![],
            InvitationCommand::Refuse { turn, reason } => vec![InvitationRefused { turn: Some(turn), reason }.into()],
            InvitationCommand::Erase if self.erased => vec![],
            InvitationCommand::Erase if self.status == InvitationStatus::Pending => {
                vec![InvitationRevoked {}.into(), InvitationErased {}.into()]
            }
            InvitationCommand::Erase => vec![InvitationErased {}.into()],
        })
    }

    fn evolve(&mut self, event: InvitationEvent) {
        match event {
            InvitationEvent::InvitationSent(e) => {
                (self.email, self.name, self.roles, self.groups) = (e.email, e.name, e.roles, e.groups);
                (self.by_policy, self.sent_by) = (e.by_policy, e.sent_by);
                self.send(1, e.expires_at);
            }
            InvitationEvent::InvitationResent(e) => {
                self.sent_by = e.sent_by;
                self.send(e.turn, e.expires_at);
            }
            InvitationEvent::InvitationAccepted(e) => {
                (self.status, self.user) = (InvitationStatus::Accepted, Some(e.user));
            }
            InvitationEvent::InvitationRevoked(_) => self.status = InvitationStatus::Revoked,
            InvitationEvent::InvitationRefused(e) => self.refused.extend(e.turn),
            InvitationEvent::InvitationErased(_) => {
                (self.email, self.name, self.erased) = (Personal::forgotten(), None, true);
                // A pending invitation is revoked before its erasure. If the event that closed it can't be decoded, this makes sure that
                // nobody can accept it.
                if self.status == InvitationStatus::Pending {
                    self.status = InvitationStatus::Revoked;
                }
            }
        }
    }
}

kernel::aggregate!(Invitation);

#[cfg(test)]
mod tests {
    use cqrs_es::test::{AggregateTestExecutor, TestFramework};

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn given(events: Vec<InvitationEvent>) -> AggregateTestExecutor<Invitation> {
        given_of(false, events)
    }

    fn given_of(by_policy: bool, mut events: Vec<InvitationEvent>) -> AggregateTestExecutor<Invitation> {
        let sent = InvitationSent {
            email: "ada@example.com".to_owned().into(),
            name: None,
            roles: vec![],
            groups: vec![],
            by_policy,
            sent_by: None,
            expires_at: at(100),
        };
        events.insert(0, sent.into());
        TestFramework::<Invitation>::with(()).given(events)
    }

    fn accept(turn: u32, second: i64) -> InvitationCommand {
        InvitationCommand::Accept { turn, at: at(second), user: UserId::new(Uuid::nil()) }
    }

    #[test]
    fn a_link_is_good_once_in_its_time_and_only_the_last_one() {
        let accepted = || InvitationAccepted { user: UserId::new(Uuid::nil()) }.into();
        let resent = || InvitationResent { turn: 2, sent_by: None, expires_at: at(200) }.into();
        given(vec![]).when(accept(1, 99)).then_expect_events(vec![accepted()]);
        given(vec![resent()]).when(accept(2, 199)).then_expect_events(vec![accepted()]);
        for (events, command) in [
            (vec![], accept(1, 100)),
            (vec![], accept(2, 50)),
            (vec![resent()], accept(1, 50)),
            (vec![accepted()], accept(1, 50)),
            (vec![InvitationRevoked {}.into()], accept(1, 50)),
            // The events before an erasure can't be read any more, so the erasure is the only one.
            (vec![InvitationErased {}.into()], accept(1, 50)),
        ] {
            given(events).when(command).then_expect_error(InvitationError::Link);
        }
    }

    #[test]
    fn each_link_of_the_policys_is_good_for_its_time_until_one_of_them_is_used() {
        let accepted = || InvitationAccepted { user: UserId::new(Uuid::nil()) }.into();
        let resent = |turn, second| InvitationResent { turn, sent_by: None, expires_at: at(second) }.into();
        let given = |events: Vec<_>| given_of(true, [vec![resent(2, 200), resent(3, 300)], events].concat());
        for (turn, second) in [(1, 99), (2, 199), (3, 299)] {
            given(vec![]).when(accept(turn, second)).then_expect_events(vec![accepted()]);
            given(vec![accepted()]).when(accept(turn, second)).then_expect_error(InvitationError::Link);
        }
        for (turn, second) in [(0, 50), (1, 100), (2, 200), (3, 300), (4, 50)] {
            given(vec![]).when(accept(turn, second)).then_expect_error(InvitationError::Link);
        }
        // An expired link is dropped from the list when another one is sent, and stays invalid.
        let week = INVITATION_GOOD_FOR.num_seconds();
        let mut invitation = Invitation { by_policy: true, ..Invitation::default() };
        invitation.evolve(resent(1, 100));
        invitation.evolve(resent(2, week + 100));
        assert_eq!([1, 2].map(|turn| invitation.links.until(turn)), [None, Some(at(week + 100))]);
        assert_eq!(invitation.link(1, at(150)), Err(InvitationFault::Expired));
        assert_eq!(invitation.link(3, at(150)), Err(InvitationFault::Superseded));
    }

    #[test]
    fn a_link_of_the_policys_by_a_clock_that_was_ahead_is_good_until_the_next_one_is_sent() {
        let resent = |turn, second| InvitationResent { turn, sent_by: None, expires_at: at(second) }.into();
        let accepted = || InvitationAccepted { user: UserId::new(Uuid::nil()) }.into();
        given_of(true, vec![resent(2, 900)]).when(accept(2, 250)).then_expect_events(vec![accepted()]);
        let given = || given_of(true, vec![resent(2, 900), resent(3, 300)]);
        given().when(accept(2, 250)).then_expect_error(InvitationError::Link);
        given().when(accept(3, 250)).then_expect_events(vec![accepted()]);
    }

    #[test]
    fn that_a_link_was_followed_in_vain_is_on_record_once() {
        let refused = |turn| InvitationRefused { turn, reason: InvitationFault::Superseded };
        let refuse = |turn| InvitationCommand::Refuse { turn, reason: InvitationFault::Superseded };
        given(vec![refused(Some(1)).into()]).when(refuse(1)).then_expect_events(vec![]);
        given(vec![refused(Some(1)).into()]).when(refuse(2)).then_expect_events(vec![refused(Some(2)).into()]);
        // An event from before the link's number was recorded.
        given(vec![refused(None).into()]).when(refuse(1)).then_expect_events(vec![refused(Some(1)).into()]);
    }

    #[test]
    fn what_is_decided_is_not_sent_again_nor_taken_back() {
        let accepted = || vec![InvitationAccepted { user: UserId::new(Uuid::nil()) }.into()];
        let resend = InvitationCommand::Resend { expires_at: at(300), sent_by: None };
        for command in [resend.clone(), InvitationCommand::Revoke] {
            given(accepted()).when(command).then_expect_error(InvitationError::NotPending(InvitationStatus::Accepted));
        }
        let revoked = || vec![InvitationRevoked {}.into()];
        given(revoked()).when(InvitationCommand::Revoke).then_expect_events(vec![]);
        given(revoked()).when(resend).then_expect_error(InvitationError::NotPending(InvitationStatus::Revoked));
    }
}
