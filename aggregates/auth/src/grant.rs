//! Grants: a client may act for a subject. Codes and refresh tokens belong to a grant and end with it.

use chrono::{DateTime, Utc};
use kernel::{Aggregate, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Account, ClientId, GrantId, Moment, Session, SessionId};

kernel::events! {
    /// Events of a grant.
    pub enum GrantEvent of "auth.grant" {
        /// A client was allowed to act for a subject, within these terms.
        GrantOpened = "auth.grant.opened" @ 1 { pub terms: GrantTerms },
        /// The client authenticated with an assertion, which can't be used again. From before assertions had streams of their own.
        ClientAsserted = "auth.grant.client_asserted" @ 1 {
            /// Id of the client and of the assertion.
            pub assertion: String,
        },
        /// The authorization code was exchanged for tokens.
        CodeRedeemed = "auth.grant.code_redeemed" @ 1 {},
        /// Tokens were refreshed.
        TokensRefreshed = "auth.grant.refreshed" @ 1 {
            /// Number of refreshes, including this one: refresh tokens of other generations are not valid.
            pub generation: u32,
        },
        /// The grant was revoked: its tokens are refused from now on.
        GrantRevoked = "auth.grant.revoked" @ 1 { pub reason: RevokeReason },
    }
}

/// Terms of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantTerms {
    /// The client, or the machine that acts for itself.
    pub client: Uuid,
    /// Subject for whom the client acts: a user, or the machine itself.
    pub subject: Uuid,
    /// How the grant was made.
    pub kind: GrantKind,
    /// Granted scope, as the client requested it.
    pub scope: Vec<String>,
    /// Session in which the user consented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// For a grant by authorization code: what has to match when the code is redeemed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeTerms>,
    /// For an exchanged token: the grant of the original token. If that ends, this one ends too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<GrantId>,
    /// Who acts in the subject's name, if it is not only the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// When the grant was made: whatever ends all earlier grants ends this one.
    pub opened_at: DateTime<Utc>,
    /// How often the user had withdrawn consent for the client before, which does not depend on clocks. Absent: no consent is needed, or it
    /// was not counted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent_era: Option<u32>,
    /// When the user had last authenticated at that time. The client gets this time (`auth_time`), even if the user authenticates again
    /// later. Absent: nobody authenticated, or it was not recorded yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_at: Option<DateTime<Utc>>,
    /// When the grant expires at the latest.
    pub expires_at: DateTime<Utc>,
}

impl GrantTerms {
    /// The terms of a grant to a client for a subject, with start and end. All other terms are empty: no user signed in, and nothing else
    /// ends it.
    pub const fn new(
        kind: GrantKind,
        (client, subject): (Uuid, Uuid),
        scope: Vec<String>,
        opened_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Self {
        Self {
            client,
            subject,
            kind,
            scope,
            session: None,
            code: None,
            parent: None,
            actor: None,
            opened_at,
            consent_era: None,
            shown_at: None,
            expires_at,
        }
    }

    /// Whether the grant is still valid as far as the subject's account and session are concerned.
    pub fn are_valid(&self, account: &Account, session: Option<&Session>) -> bool {
        let granted = Moment { at: self.opened_at, era: self.consent_era };
        if !account.is_consent_valid(ClientId::new(self.client), granted) {
            return false;
        }
        if self.session.is_none() {
            return account.is_still_valid(Moment { at: self.opened_at, era: None });
        }
        let Some((session, started)) = session.and_then(|session| Some((session, session.started.as_ref()?))) else {
            return false;
        };
        // If all sessions of the session's era have ended, so have its grants, whenever they were made.
        let began = started.began();
        let at = began.at.min(self.opened_at);
        // Offline access outlives the user's sign-out.
        account.is_still_valid(Moment { at, ..began })
            && (!session.ended || self.scope.iter().any(|word| word == "offline_access"))
    }
}

/// How a grant was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// A machine acts for itself (client credentials).
    ClientCredentials,
    /// A user signed in and consented (authorization code).
    AuthorizationCode,
    /// A user entered the code that a device showed (device authorization).
    DeviceCode,
    /// A token was exchanged for another (token exchange).
    TokenExchange,
}

/// What has to match when an authorization code is redeemed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CodeTerms {
    /// Redirect URI to which the code was sent; compared exactly.
    pub redirect_uri: String,
    /// PKCE challenge (S256): hash of the verifier, base64url-encoded.
    pub challenge: String,
    /// Nonce for the ID token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// When the code expires.
    pub expires_at: DateTime<Utc>,
}

/// Why a grant was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevokeReason {
    /// The client revoked it.
    Client,
    /// The user, or an authorized caller, withdrew it.
    Withdrawn,
    /// The session ended.
    SessionEnded,
    /// The authorization code was used a second time, so it may have been stolen.
    CodeReplayed,
    /// The authorization code was used with another verifier, redirect URI or client than it was issued for.
    CodeMismatch,
    /// A refresh token was used a second time, so it was stolen.
    RefreshReused,
    /// The account was closed.
    AccountClosed,
}

/// A grant, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// `None`: not opened yet.
    pub terms: Option<GrantTerms>,
    /// Whether its code was redeemed.
    pub redeemed: bool,
    /// How often tokens were refreshed.
    pub generation: u32,
    /// Why it was revoked; `None`: it was not.
    pub revoked: Option<RevokeReason>,
}

/// The commands of a grant.
#[derive(Clone, Debug, PartialEq)]
pub enum GrantCommand {
    /// Opens the grant.
    Open(GrantTerms),
    /// Redeems the authorization code.
    Redeem { client: Uuid, redirect_uri: String, challenge: String, at: DateTime<Utc> },
    /// Redeems a refresh token of this generation.
    Refresh { client: Uuid, generation: u32, at: DateTime<Utc> },
    /// Revokes the grant.
    Revoke(RevokeReason),
}

/// A refusal that is not recorded as an event: the code or token expired long ago, or belongs to another client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the grant does not exist, has ended, or belongs to another client")]
pub struct GrantError;

impl From<GrantError> for Refusal {
    fn from(error: GrantError) -> Self {
        Self::invalid("grant_invalid", error.to_string())
    }
}

impl Grant {
    /// Whether its tokens are valid at a time.
    pub fn is_valid(&self, at: DateTime<Utc>) -> bool {
        self.revoked.is_none() && self.terms.as_ref().is_some_and(|terms| at < terms.expires_at)
    }

    fn open_to(&self, client: Uuid, at: DateTime<Utc>) -> Result<&GrantTerms, GrantError> {
        let terms = self.terms.as_ref().filter(|terms| terms.client == client);
        terms.filter(|_| self.is_valid(at)).ok_or(GrantError)
    }
}

impl Aggregate for Grant {
    const TYPE: &'static str = "auth.grant";
    const FORM: u32 = 4;
    type Command = GrantCommand;
    type Event = GrantEvent;
    type Error = GrantError;

    fn decide(&self, command: GrantCommand) -> Result<Vec<GrantEvent>, GrantError> {
        let revoked = |reason| Ok(vec![GrantRevoked { reason }.into()]);
        match command {
            GrantCommand::Open(terms) => Ok(vec![GrantOpened { terms }.into()]),
            GrantCommand::Redeem { client, redirect_uri, challenge, at } => {
                let code = self.terms.as_ref().filter(|_| self.is_valid(at)).and_then(|terms| terms.code.as_ref());
                let code = code.ok_or(GrantError)?;
                if self.redeemed {
                    return revoked(RevokeReason::CodeReplayed);
                }
                if at >= code.expires_at {
                    return Err(GrantError);
                }
                let of_client = self.terms.as_ref().is_some_and(|terms| terms.client == client);
                if !of_client || code.redirect_uri != redirect_uri || code.challenge != challenge {
                    return revoked(RevokeReason::CodeMismatch);
                }
                Ok(vec![CodeRedeemed {}.into()])
            }
            GrantCommand::Refresh { client, generation, at } => {
                self.open_to(client, at)?;
                match generation.cmp(&self.generation) {
                    std::cmp::Ordering::Less => revoked(RevokeReason::RefreshReused),
                    std::cmp::Ordering::Equal => {
                        Ok(vec![TokensRefreshed { generation: self.generation.saturating_add(1) }.into()])
                    }
                    std::cmp::Ordering::Greater => Err(GrantError),
                }
            }
            GrantCommand::Revoke(_) if self.revoked.is_some() => Ok(vec![]),
            GrantCommand::Revoke(reason) => revoked(reason),
        }
    }

    fn evolve(&mut self, event: GrantEvent) {
        match event {
            GrantEvent::GrantOpened(e) => self.terms = Some(e.terms),
            // The reuse of assertions is prevented by a claim, which works across grants.
            GrantEvent::ClientAsserted(_) => {}
            GrantEvent::CodeRedeemed(_) => self.redeemed = true,
            GrantEvent::TokensRefreshed(e) => self.generation = e.generation,
            GrantEvent::GrantRevoked(e) => self.revoked = Some(e.reason),
        }
    }
}

kernel::aggregate!(Grant);

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use cqrs_es::test::{AggregateTestExecutor, TestFramework};

    use super::*;
    use crate::{Place, SessionStarted, SessionsEnded};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn client() -> Uuid {
        Uuid::from_u128(1)
    }

    fn opened() -> GrantEvent {
        let code = CodeTerms {
            redirect_uri: "https://app.example.com/back".to_owned(),
            challenge: "hash".to_owned(),
            nonce: None,
            expires_at: at(60),
        };
        let terms = GrantTerms {
            code: Some(code),
            ..GrantTerms::new(
                GrantKind::AuthorizationCode,
                (client(), Uuid::from_u128(2)),
                vec!["openid".to_owned()],
                at(0),
                at(1_000),
            )
        };
        GrantOpened { terms }.into()
    }

    fn after(events: Vec<GrantEvent>) -> AggregateTestExecutor<Grant> {
        TestFramework::<Grant>::with(()).given([vec![opened()], events].concat())
    }

    fn redeem(second: i64) -> GrantCommand {
        let (redirect_uri, challenge) = ("https://app.example.com/back".to_owned(), "hash".to_owned());
        GrantCommand::Redeem { client: client(), redirect_uri, challenge, at: at(second) }
    }

    fn refresh(generation: u32) -> GrantCommand {
        GrantCommand::Refresh { client: client(), generation, at: at(100) }
    }

    fn revoked(reason: RevokeReason) -> GrantEvent {
        GrantRevoked { reason }.into()
    }

    #[test]
    fn a_code_is_redeemed_once_and_its_replay_ends_the_grant() {
        after(vec![]).when(redeem(59)).then_expect_events(vec![CodeRedeemed {}.into()]);
        let replay = vec![revoked(RevokeReason::CodeReplayed)];
        after(vec![CodeRedeemed {}.into()]).when(redeem(59)).then_expect_events(replay.clone());
        after([vec![CodeRedeemed {}.into()], replay].concat()).when(redeem(59)).then_expect_error(GrantError);
    }

    #[test]
    fn a_code_is_good_for_a_minute() {
        after(vec![]).when(redeem(60)).then_expect_error(GrantError);
    }

    #[test]
    fn a_code_with_another_verifier_address_or_client_ends_the_grant() {
        let GrantCommand::Redeem { client, redirect_uri, challenge, at } = redeem(1) else { unreachable!() };
        let others = [
            (Uuid::from_u128(9), redirect_uri.clone(), challenge.clone()),
            (client, format!("{redirect_uri}/"), challenge),
            (client, redirect_uri, "other".to_owned()),
        ];
        for (client, redirect_uri, challenge) in others {
            after(vec![])
                .when(GrantCommand::Redeem { client, redirect_uri, challenge, at })
                .then_expect_events(vec![revoked(RevokeReason::CodeMismatch)]);
        }
    }

    #[test]
    fn a_refresh_token_works_once_and_its_reuse_ends_the_family() {
        after(vec![]).when(refresh(0)).then_expect_events(vec![TokensRefreshed { generation: 1 }.into()]);
        let first: GrantEvent = TokensRefreshed { generation: 1 }.into();
        after(vec![first.clone()]).when(refresh(0)).then_expect_events(vec![revoked(RevokeReason::RefreshReused)]);
        after(vec![first.clone()]).when(refresh(2)).then_expect_error(GrantError);
        after(vec![first, revoked(RevokeReason::RefreshReused)]).when(refresh(1)).then_expect_error(GrantError);
    }

    #[test]
    fn what_was_granted_is_of_the_era_of_its_session_whatever_the_clock_said() {
        let GrantEvent::GrantOpened(GrantOpened { terms }) = opened() else { unreachable!() };
        let terms = GrantTerms { session: Some(SessionId::new(Uuid::from_u128(3))), opened_at: at(100), ..terms };
        let session = |era: Option<u32>| {
            let (user, methods) = (kernel::UserId::new(terms.subject), vec!["pwd".to_owned()]);
            let (at, expires_at, place) = (at(90), at(1_000), Place::default());
            let mut session = Session::default();
            session.evolve(
                SessionStarted { user, methods, at, expires_at, place, saml: None, era, replaces: None }.into(),
            );
            session
        };
        let holds = |account: &Account, era| terms.are_valid(account, Some(&session(era)));
        let ended = |second| SessionsEnded { at: at(second), reason: "locked".to_owned(), era: Some(0) };
        let (mut behind, mut ahead) = (Account::default(), Account::default());
        assert!(holds(&behind, Some(0)) && holds(&behind, None) && !terms.are_valid(&behind, None));
        behind.evolve(ended(10).into());
        assert!(!holds(&behind, Some(0)), "granted by a clock that was ahead");
        assert!(holds(&behind, Some(1)) && holds(&behind, None));
        ahead.evolve(ended(500).into());
        assert!(holds(&ahead, Some(1)), "all ended by a clock that was ahead");
        assert!(!holds(&ahead, Some(0)) && !holds(&ahead, None));
    }

    #[test]
    fn another_clients_refresh_token_is_nothing() {
        let other = GrantCommand::Refresh { client: Uuid::from_u128(9), generation: 0, at: at(100) };
        after(vec![]).when(other).then_expect_error(GrantError);
    }
}
