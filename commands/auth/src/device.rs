//! What can be asked of a device that asks to be let in.

use auth_aggregates::{
    ClientId, Device, DeviceAsked, DeviceCommand, DeviceId, Grant, GrantCommand, GrantId, GrantKind, GrantTerms,
    SessionId,
};
use chrono::{DateTime, TimeDelta, Utc};
use executor::{Command, Work};
use kernel::{Refusal, UserId};

use crate::grant::joins;
use crate::grants::PROTOCOL;

/// A device asks to be let in.
#[derive(Clone, Debug)]
pub struct AskForDevice {
    /// Which its code names.
    pub device: DeviceId,
    pub client: ClientId,
    pub scope: Vec<String>,
    pub expires_at: DateTime<Utc>,
}

/// Somebody typed a device's code, and says yes or no.
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
        let decide = if self.allow {
            DeviceCommand::Allow { user: self.user, session: self.session, at }
        } else {
            DeviceCommand::Deny { at }
        };
        work.update::<Device>(self.device, decide).await
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
        let terms = GrantTerms {
            client: self.client.uuid(),
            subject: allowed.user.uuid(),
            kind: GrantKind::DeviceCode,
            scope: asked.scope.clone(),
            session: Some(allowed.session),
            code: None,
            parent: None,
            actor: None,
            opened_at: at,
            expires_at: at + self.lifetime,
        };
        work.create::<Grant>(grant, GrantCommand::Open(terms.clone()))?;
        joins(work, &terms).await?;
        Ok(grant)
    }
}
