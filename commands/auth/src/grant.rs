//! The commands of grants.

use auth_aggregates::{
    Account, AccountCommand, Client, ClientId, Grant, GrantCommand, GrantId, GrantKind, GrantTerms, RevokeReason,
};
use executor::{Command, Work};
use kernel::{Refusal, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::grants::PROTOCOL;
use crate::reach::Reach;
use crate::session::in_session;

/// Opens a grant: a client may act for a user. Refused if the user's session has ended: `session_ended`.
#[derive(Clone, Debug)]
pub struct OpenGrant {
    pub terms: GrantTerms,
}

/// As `OpenGrant`, for a pushed authorization request (RFC 9126), which can be used once: refused with `already_exists` if the request
/// already led to a grant.
#[derive(Clone, Debug)]
pub struct OpenPushedGrant {
    /// The id of the pushed request, which becomes the grant's id.
    pub request: GrantId,
    pub terms: GrantTerms,
}

/// Redeems an authorization code.
#[derive(Clone, Debug)]
pub struct RedeemCode {
    pub grant: GrantId,
    pub client: Uuid,
    pub redirect_uri: String,
    /// SHA-256 of the PKCE code verifier, base64url.
    pub challenge: String,
}

/// Redeems a refresh token.
#[derive(Clone, Debug)]
pub struct RefreshTokens {
    pub grant: GrantId,
    pub client: Uuid,
    /// The token's generation.
    pub generation: u32,
}

/// Revokes a grant for a reason of the protocol.
#[derive(Clone, Debug)]
pub struct EndGrant {
    pub grant: GrantId,
    pub reason: RevokeReason,
}

/// Revokes a grant, by an administrator.
#[derive(Clone, Debug)]
pub struct WithdrawGrant {
    pub grant: GrantId,
    pub reach: Reach,
}

/// The outcome of redeeming a code or a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redeemed {
    /// Tokens may be issued. `generation` is that of the next refresh token.
    Granted { generation: u32 },
    /// The grant is revoked.
    Revoked { reason: RevokeReason },
}

impl Command for OpenGrant {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = GrantId;

    async fn run(&self, work: &mut Work<'_>) -> Result<GrantId, Refusal> {
        let grant = work.new_id();
        open(work, grant, &self.terms).await
    }
}

impl Command for OpenPushedGrant {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = GrantId;

    async fn run(&self, work: &mut Work<'_>) -> Result<GrantId, Refusal> {
        // The grant has the request's id, so that of two simultaneous requests only one succeeds.
        open(work, self.request, &self.terms).await
    }
}

impl Command for RedeemCode {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = Redeemed;

    async fn run(&self, work: &mut Work<'_>) -> Result<Redeemed, Refusal> {
        let (redirect_uri, challenge) = (self.redirect_uri.clone(), self.challenge.clone());
        let redeem = GrantCommand::Redeem { client: self.client, redirect_uri, challenge, at: work.now() };
        work.update::<Grant>(self.grant, redeem).await?;
        outcome(work, self.grant).await
    }
}

impl Command for RefreshTokens {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = Redeemed;

    async fn run(&self, work: &mut Work<'_>) -> Result<Redeemed, Refusal> {
        let refresh = GrantCommand::Refresh { client: self.client, generation: self.generation, at: work.now() };
        work.update::<Grant>(self.grant, refresh).await?;
        outcome(work, self.grant).await
    }
}

impl Command for EndGrant {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Grant>(self.grant, GrantCommand::Revoke(self.reason)).await
    }
}

impl Command for WithdrawGrant {
    const PERMISSION: &'static str = "auth:grant:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let grant = work.read::<Grant>(self.grant).await?;
        if let Some(terms) = &grant.terms {
            self.reach.over_subject(work, terms.subject).await?;
        }
        work.update::<Grant>(self.grant, GrantCommand::Revoke(RevokeReason::Withdrawn)).await
    }
}

async fn open(work: &mut Work<'_>, grant: GrantId, terms: &GrantTerms) -> Result<GrantId, Refusal> {
    if let (GrantKind::AuthorizationCode, Some(session)) = (terms.kind, terms.session) {
        in_session(work, UserId::new(terms.subject), session).await?;
    }
    work.create::<Grant>(grant, GrantCommand::Open(terms.clone()))?;
    record_participation(work, terms).await?;
    Ok(grant)
}

/// Records that the client takes part in the session, so that it gets a back-channel logout when the session ends. Only for clients with a
/// back-channel logout URI.
pub(crate) async fn record_participation(work: &mut Work<'_>, terms: &GrantTerms) -> Result<(), Refusal> {
    let Some(session) = terms.session else { return Ok(()) };
    let client = work.find::<Client>(terms.client).await?;
    if client.is_none_or(|client| client.details.backchannel_logout_uri.is_none()) {
        return Ok(());
    }
    let join = AccountCommand::Join { client: ClientId::new(terms.client), session, at: work.now() };
    work.upsert::<Account>(terms.subject, join).await
}

async fn outcome(work: &mut Work<'_>, grant: GrantId) -> Result<Redeemed, Refusal> {
    let state = work.read::<Grant>(grant).await?;
    Ok(match state.revoked {
        Some(reason) => Redeemed::Revoked { reason },
        None => Redeemed::Granted { generation: state.generation },
    })
}
