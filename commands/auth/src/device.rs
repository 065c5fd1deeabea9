//! What can be asked of a device that asks to be let in.

use auth_aggregates::{
    Account, AccountCommand, ClientId, Device, DeviceAsked, DeviceCommand, DeviceError, DeviceId, Grant, GrantCommand,
    GrantId, GrantKind, GrantTerms, Session, SessionId,
};
use chrono::{DateTime, TimeDelta, Utc};
use executor::{Command, Work};
use kernel::{Refusal, UserId};

use crate::account::account_of;
use crate::grant::joins;
use crate::grants::PROTOCOL;
use crate::session::in_session;

/// A device asks to be let in.
#[derive(Clone, Debug)]
pub struct AskForDevice {
    /// Which its code names.
    pub device: DeviceId,
    pub client: ClientId,
    pub scope: Vec<String>,
    pub expires_at: DateTime<Utc>,
}

/// Somebody typed a device's code, and says yes or no. What they let it do stands with what else they let applications do.
#[derive(Clone, Copy, Debug)]
pub struct DecideDevice {
    pub device: DeviceId,
    pub user: UserId,
    pub session: SessionId,
    pub allow: bool,
}

/// A device comes for its tokens.
#[derive(Clone, Debug)]
pub struct LetDeviceIn {
    pub device: DeviceId,
    pub client: ClientId,
    /// How long what is granted holds.
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
        // Whether somebody said yes, the device itself has just said.
        let (Some(asked), Some(allowed)) = (&device.asked, &device.allowed) else {
            return Err(Refusal::internal("device_undecided", "a device was let in that nobody allowed"));
        };
        // When somebody said yes counts, not when it comes for its tokens: what has ended since ended that, too.
        let Some(opened_at) = allowed.at else { return Err(DeviceError::Expired.into()) };
        let account = account_of(work, allowed.user).await?;
        let session = work.rely::<Session>(allowed.session).await?;
        let terms = GrantTerms {
            session: Some(allowed.session),
            consent_era: allowed.consent_era,
            // What they showed only after that counts no later than their yes.
            shown_at: session.as_ref().and_then(|session| session.confirmed_at).map(|at| at.min(opened_at)),
            ..GrantTerms::new(
                GrantKind::DeviceCode,
                (self.client.uuid(), allowed.user.uuid()),
                asked.scope.clone(),
                opened_at,
                opened_at + self.lifetime,
            )
        };
        if !terms.hold(&account, session.as_deref()) {
            return Err(DeviceError::Nothing.into());
        }
        work.create::<Grant>(grant, GrantCommand::Open(terms.clone()))?;
        joins(work, &terms).await?;
        Ok(grant)
    }
}
