//! The commands of machines (service accounts).

use auth_aggregates::{
    Jwk, Machine, MachineChanged, MachineCommand, MachineKeysSet, MachineRegistered, MachineSecretSet,
};
use executor::{ClaimKind, Command, Work};
use kernel::{Checks, MachineId, Refusal};

use crate::grants::PROTOCOL;
use crate::reach::Reach;
use crate::{lengths, values};

/// Claims on the names of machines, in lower case.
pub(crate) const NAME: ClaimKind = ClaimKind {
    name: "auth.machine.name",
    code: "machine_name_taken",
    detail: "another machine has this name; names are unique in a tenant, ignoring case",
};

/// Registers a machine.
#[derive(Clone, Debug)]
pub struct RegisterMachine {
    /// Unique in the tenant.
    pub name: String,
    /// Its roles in the tenant.
    pub roles: Vec<String>,
    pub reach: Reach,
}

/// Replaces a machine's name and roles.
#[derive(Clone, Debug)]
pub struct ChangeMachine {
    pub machine: MachineId,
    pub name: String,
    pub roles: Vec<String>,
    pub reach: Reach,
}

/// Replaces a machine's secret. Only the hash of the new one is passed in.
#[derive(Clone, Debug)]
pub struct SetMachineSecret {
    pub machine: MachineId,
    /// SHA-256, hexadecimal.
    pub secret_hash: String,
    pub reach: Reach,
}

/// Replaces the public keys with which a machine authenticates.
#[derive(Clone, Debug)]
pub struct SetMachineKeys {
    pub machine: MachineId,
    pub keys: Vec<Jwk>,
    pub reach: Reach,
}

/// Deactivates a machine: its tokens and API keys are refused from now on.
#[derive(Clone, Debug)]
pub struct DeactivateMachine {
    pub machine: MachineId,
    pub reach: Reach,
}

/// Reactivates a machine.
#[derive(Clone, Debug)]
pub struct ReactivateMachine {
    pub machine: MachineId,
    pub reach: Reach,
}

/// Records a failed authentication as this machine.
#[derive(Clone, Debug)]
pub struct NoteRefusedMachine {
    pub machine: MachineId,
    /// The reason code.
    pub reason: &'static str,
}

impl Command for NoteRefusedMachine {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Machine>(self.machine, MachineCommand::Refuse { reason: self.reason.to_owned() }).await
    }
}

impl Command for RegisterMachine {
    const PERMISSION: &'static str = "auth:machine:write";
    type Answer = MachineId;

    async fn run(&self, work: &mut Work<'_>) -> Result<MachineId, Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, lengths::NAME);
        let roles = values::roles(&mut checks, "/roles", &self.roles);
        checks.finish()?;
        self.reach.to_give(work.caller(), &self.roles, |index| format!("/roles/{index}")).await?;
        let machine: MachineId = work.new_id();
        work.take(&NAME, &name.to_lowercase(), machine);
        work.create::<Machine>(machine, MachineCommand::Register(MachineRegistered { name, roles }))?;
        Ok(machine)
    }
}

impl Command for ChangeMachine {
    const PERMISSION: &'static str = "auth:machine:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, lengths::NAME);
        let roles = values::roles(&mut checks, "/roles", &self.roles);
        checks.finish()?;
        self.reach.over_machine(work, self.machine, &[]).await?;
        let before = work.read::<Machine>(self.machine).await?.name.to_lowercase();
        self.reach.to_give(work.caller(), &self.roles, |index| format!("/roles/{index}")).await?;
        if before != name.to_lowercase() {
            work.release(&NAME, &before, self.machine);
            work.take(&NAME, &name.to_lowercase(), self.machine);
        }
        work.update::<Machine>(self.machine, MachineCommand::Change(MachineChanged { name, roles })).await
    }
}

impl Command for SetMachineSecret {
    const PERMISSION: &'static str = "auth:machine:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        self.reach.over_machine(work, self.machine, &[]).await?;
        let set = MachineSecretSet { secret_hash: self.secret_hash.clone() };
        work.update::<Machine>(self.machine, MachineCommand::SetSecret(set)).await
    }
}

impl Command for SetMachineKeys {
    const PERMISSION: &'static str = "auth:machine:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        values::keys(&mut checks, "/keys", &self.keys);
        checks.finish()?;
        self.reach.over_machine(work, self.machine, &[]).await?;
        work.update::<Machine>(self.machine, MachineCommand::SetKeys(MachineKeysSet { keys: self.keys.clone() })).await
    }
}

impl Command for DeactivateMachine {
    const PERMISSION: &'static str = "auth:machine:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        self.reach.over_machine(work, self.machine, &[]).await?;
        let at = work.now();
        work.update::<Machine>(self.machine, MachineCommand::Deactivate { at }).await
    }
}

impl Command for ReactivateMachine {
    const PERMISSION: &'static str = "auth:machine:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        self.reach.over_machine(work, self.machine, &[]).await?;
        work.update::<Machine>(self.machine, MachineCommand::Reactivate).await
    }
}
