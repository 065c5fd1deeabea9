//! Groups: as people here make them, and as an identity provider keeps them.

use executor::{ClaimKind, Command, Work};
use kernel::{Checks, Refusal, UserId};
use user_aggregates::{Group, GroupCommand, GroupCreated, GroupId};

use crate::access::{Catalogue, existing_role, within_own};
use crate::lengths;
use crate::membership::change_members;
use crate::values::{self, present};

/// Groups of a tenant have different names, in whatever case.
pub(crate) static NAME: ClaimKind = ClaimKind {
    name: "user.group.name",
    code: "group_name_taken",
    detail: "another group (holder) has this name; choose another name",
};

/// Makes a group.
#[derive(Clone, Debug)]
pub struct CreateGroup {
    pub name: String,
    /// The roles that its members have besides their own.
    pub roles: Vec<String>,
    pub catalogue: Catalogue,
}

/// Gives it another name.
#[derive(Clone, Debug)]
pub struct RenameGroup {
    pub group: GroupId,
    pub name: String,
}

/// Makes a group with these members. Its roles are given here, not by the provider.
#[derive(Clone, Debug)]
pub struct ProvisionGroup {
    pub name: String,
    /// By which the provider knows it.
    pub external_id: Option<String>,
    pub members: Vec<UserId>,
    pub catalogue: Catalogue,
}

/// What a provider says of a value that may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Said {
    /// Nothing: it stays as it is.
    #[default]
    Nothing,
    /// It is absent.
    Absent,
    /// It is this.
    Is(String),
}

impl Said {
    /// What a new thing begins with.
    pub fn value(self) -> Option<String> {
        match self {
            Self::Is(value) => Some(value),
            Self::Nothing | Self::Absent => None,
        }
    }
}

/// Makes a group what a provider says: its names, and who comes and goes, all of it or nothing.
#[derive(Clone, Debug)]
pub struct ReviseGroup {
    pub group: GroupId,
    /// None: it keeps its name.
    pub name: Option<String>,
    /// By which the provider knows it.
    pub external_id: Said,
    pub join: Vec<UserId>,
    pub leave: Vec<UserId>,
    pub catalogue: Catalogue,
}

/// Gives its members a role.
#[derive(Clone, Debug)]
pub struct GrantGroupRole {
    pub group: GroupId,
    pub role: String,
    pub catalogue: Catalogue,
}

/// Takes a role from its members.
#[derive(Clone, Debug)]
pub struct RevokeGroupRole {
    pub group: GroupId,
    pub role: String,
    pub catalogue: Catalogue,
}

/// It gives nobody a role any more.
#[derive(Clone, Debug)]
pub struct DissolveGroup {
    pub group: GroupId,
    pub catalogue: Catalogue,
}

impl Command for CreateGroup {
    const PERMISSION: &'static str = "user:group:write";
    type Answer = GroupId;

    async fn run(&self, work: &mut Work<'_>) -> Result<GroupId, Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, lengths::NAME);
        let roles = values::few(&mut checks, "/roles", &self.roles, user_aggregates::MOST_GROUP_ROLES);
        checks.finish()?;
        for (place, role) in roles.iter().enumerate() {
            existing_role(work, role, &format!("/roles/{place}")).await?;
        }
        within_own(work, &self.catalogue, roles.iter().cloned()).await?;
        begin(work, name, roles)
    }
}

impl Command for ProvisionGroup {
    const PERMISSION: &'static str = "user:group:write";
    type Answer = GroupId;

    async fn run(&self, work: &mut Work<'_>) -> Result<GroupId, Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, lengths::NAME);
        let external_id = present(self.external_id.as_ref(), |text| external_id(&mut checks, text));
        checks.finish()?;
        let group = begin(work, name, Vec::new())?;
        work.update::<Group>(group, GroupCommand::ChangeExternalId { external_id }).await?;
        change_members(work, &self.catalogue, group, (&self.members, &[]), lengths::KEPT_MEMBERS).await?;
        Ok(group)
    }
}

impl Command for ReviseGroup {
    const PERMISSION: &'static str = "user:group:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let external_id = match &self.external_id {
            Said::Nothing => None,
            Said::Absent => Some(None),
            Said::Is(text) => Some(Some(external_id(&mut checks, text))),
        };
        checks.finish()?;
        // The group comes first, also where its name stays: it is what `If-Match` is about.
        let name = match &self.name {
            Some(name) => name.clone(),
            None => work.read::<Group>(self.group).await?.name.clone(),
        };
        rename(work, self.group, &name).await?;
        if let Some(external_id) = external_id {
            work.update::<Group>(self.group, GroupCommand::ChangeExternalId { external_id }).await?;
        }
        if self.join.is_empty() && self.leave.is_empty() {
            return Ok(());
        }
        let members = (&*self.join, &*self.leave);
        change_members(work, &self.catalogue, self.group, members, lengths::KEPT_MEMBERS).await
    }
}

fn external_id(checks: &mut Checks, text: &str) -> String {
    checks.identifier("/external_id", text, lengths::EXTERNAL_ID)
}

/// Begins a group: the claim on its name, the first event.
fn begin(work: &mut Work<'_>, name: String, roles: Vec<String>) -> Result<GroupId, Refusal> {
    let group: GroupId = work.new_id();
    work.take(&NAME, &name.to_lowercase(), group);
    work.create::<Group>(group, GroupCommand::Create(GroupCreated { name, roles }))?;
    Ok(group)
}

/// Gives a group another name, or the same.
async fn rename(work: &mut Work<'_>, group: GroupId, name: &str) -> Result<(), Refusal> {
    let mut checks = Checks::default();
    let name = checks.line("/name", name, lengths::NAME);
    checks.finish()?;
    let before = work.read::<Group>(group).await?.name.to_lowercase();
    let after = name.to_lowercase();
    work.update::<Group>(group, GroupCommand::Rename { name }).await?;
    if before != after {
        work.release(&NAME, &before, group);
        work.take(&NAME, &after, group);
    }
    Ok(())
}

impl Command for RenameGroup {
    const PERMISSION: &'static str = "user:group:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        rename(work, self.group, &self.name).await
    }
}

impl Command for GrantGroupRole {
    const PERMISSION: &'static str = "user:role:grant";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.read::<Group>(self.group).await?;
        existing_role(work, &self.role, "/role").await?;
        within_own(work, &self.catalogue, [self.role.clone()]).await?;
        work.update::<Group>(self.group, GroupCommand::GrantRole { role: self.role.clone() }).await
    }
}

impl Command for RevokeGroupRole {
    const PERMISSION: &'static str = "user:role:grant";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        within_own(work, &self.catalogue, [self.role.clone()]).await?;
        work.update::<Group>(self.group, GroupCommand::RevokeRole { role: self.role.clone() }).await
    }
}

impl Command for DissolveGroup {
    const PERMISSION: &'static str = "user:group:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let group = work.read::<Group>(self.group).await?;
        within_own(work, &self.catalogue, group.roles.clone()).await?;
        work.update::<Group>(self.group, GroupCommand::Dissolve).await?;
        if !group.dissolved {
            work.release(&NAME, &group.name.to_lowercase(), self.group);
        }
        Ok(())
    }
}
