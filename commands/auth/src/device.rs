//! The commands of the device authorization flow (RFC 8628).

use auth_aggregates::{
    Account, AccountCommand, ClientId, Device, DeviceAsked, DeviceCommand, DeviceError, DeviceId, Grant, GrantCommand,
    GrantId, GrantKind, GrantTerms, Session, SessionId,
};
use chrono::{DateTime, TimeDelta, Utc};
use executor::{Command, Work};
use kernel::{Refusal, UserId};

use crate::account::account_of;
use crate::grant::record_participation;
use crate::grants::PROTOCOL;
use crate::session::in_session;

/// Records a device authorization request.
#[derive(Clone, Debug)]
pub struct AskForDevice {
    /// The id that is in the device code.
    pub device: DeviceId,
    pub client: ClientId,
    pub scope: Vec<String>,
    pub expires_at: DateTime<Utc>,
}

/// Records that a user entered a device's code and approved or denied the request. An approval also counts as consent to the client.
#[derive(Clone, Copy, Debug)]
pub struct DecideDevice {
    pub device: DeviceId,
    pub user: UserId,
    pub session: SessionId,
    pub allow: bool,
}

/// Redeems an approved device code for a grant.
#[derive(Clone, Debug)]
pub struct LetDeviceIn {
    pub device: DeviceId,
    pub client: ClientId,
    /// Lifetime of the grant.
    pub lifetime: TimeDelta,
}

impl Command for AskForDevice {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let asked = DeviceAsked {
            client: self.client,
            scope: self.scope.clone(),
            expires_at: kernel::to_micros(self.expires_at),
        };
        work.create::<Device>(self.device, DeviceCommand::Ask(asked))
    }
}

impl Command for DecideDevice {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let at = work.now();
        if !self.allow {
            return work.update::<Device>(self.device, DeviceCommand::Deny { at }).await;
        }
        let account = in_session(work, self.user, self.session).await?;
        let Some(DeviceAsked { client, scope, .. }) = work.read::<Device>(self.device).await?.asked.clone() else {
            return Err(DeviceError::Nothing.into());
        };
        let granted = account.consent_moment(client, at);
        let allow = DeviceCommand::Allow { user: self.user, session: self.session, granted };
        work.update::<Device>(self.device, allow).await?;
        work.upsert::<Account>(self.user, AccountCommand::Consent { client, scope }).await
    }
}

impl Command for LetDeviceIn {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = GrantId;

    async fn run(&self, work: &mut Work<'_>) -> Result<GrantId, Refusal> {
        let (grant, at): (GrantId, _) = (work.new_id(), work.now());
        let device = work.read::<Device>(self.device).await?;
        work.update::<Device>(self.device, DeviceCommand::LetIn { client: self.client, grant, at }).await?;
        // The aggregate's decision above made sure that the request is approved.
        let (Some(asked), Some(allowed)) = (&device.asked, &device.allowed) else {
            return Err(Refusal::internal("device_undecided", "a device was let in that nobody allowed"));
        };
        // The grant counts from the approval, not from its redemption, so that sessions and consents that ended in between also end it.
        let Some(opened_at) = allowed.at else { return Err(DeviceError::Expired.into()) };
        let account = account_of(work, allowed.user).await?;
        let session = work.rely::<Session>(allowed.session).await?;
        let terms = GrantTerms {
            session: Some(allowed.session),
            consent_era: allowed.consent_era,
            // A later authentication of the user does not make the approval more recent.
            shown_at: session.as_ref().and_then(|session| session.confirmed_at).map(|at| at.min(opened_at)),
            ..GrantTerms::new(
                GrantKind::DeviceCode,
                (self.client.uuid(), allowed.user.uuid()),
                asked.scope.clone(),
                opened_at,
                opened_at + self.lifetime,
            )
        };
        if !terms.are_valid(&account, session.as_deref()) {
            return Err(DeviceError::Nothing.into());
        }
        work.create::<Grant>(grant, GrantCommand::Open(terms.clone()))?;
        record_participation(work, &terms).await?;
        Ok(grant)
    }
}
