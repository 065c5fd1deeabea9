//! Groups, as managed by the tenant's users or by an identity provider (SCIM).

use executor::{ClaimKind, Command, Work};
use kernel::{Checks, Refusal, UserId};
use user_aggregates::{Group, GroupCommand, GroupCreated, GroupId, User};

use crate::access::{Catalogue, existing_role, existing_roles, group_roles, require_within_own};
use crate::lengths;
use crate::membership::change_members;
use crate::values;

/// Claims on the names of groups, which are unique in a tenant regardless of case.
pub(crate) static NAME: ClaimKind = ClaimKind {
    name: "user.group.name",
    code: "group_name_taken",
    detail: "another group (holder) has this name; choose another name",
};

/// Creates a group.
#[derive(Clone, Debug)]
pub struct CreateGroup {
    pub name: String,
    /// The roles that its members have in addition to their own.
    pub roles: Vec<String>,
    pub catalogue: Catalogue,
}

/// Renames a group.
#[derive(Clone, Debug)]
pub struct RenameGroup {
    pub group: GroupId,
    pub name: String,
    pub catalogue: Catalogue,
}

/// Creates a group with these members for an identity provider. Its roles are assigned here, not by the provider.
#[derive(Clone, Debug)]
pub struct ProvisionGroup {
    pub name: String,
    /// The provider's id for the group.
    pub external_id: Option<String>,
    pub members: Vec<UserId>,
    pub catalogue: Catalogue,
}

/// An update of an optional value by a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Said {
    /// Not mentioned: the value does not change.
    #[default]
    Nothing,
    /// The value is removed.
    Absent,
    /// The new value.
    Is(String),
}

impl Said {
    /// The value for a new object.
    pub fn value(self) -> Option<String> {
        match self {
            Self::Is(value) => Some(value),
            Self::Nothing | Self::Absent => None,
        }
    }
}

/// Applies a provider's update to a group: its name, external id and members, all or nothing.
#[derive(Clone, Debug)]
pub struct ReviseGroup {
    pub group: GroupId,
    /// The new name; `None` keeps the name.
    pub name: Option<String>,
    /// The provider's id for the group.
    pub external_id: Said,
    pub join: Vec<UserId>,
    pub leave: Vec<UserId>,
    pub catalogue: Catalogue,
}

/// Gives a role to a group's members.
#[derive(Clone, Debug)]
pub struct GrantGroupRole {
    pub group: GroupId,
    pub role: String,
    pub catalogue: Catalogue,
}

/// Takes a role from a group's members.
#[derive(Clone, Debug)]
pub struct RevokeGroupRole {
    pub group: GroupId,
    pub role: String,
    pub catalogue: Catalogue,
}

/// Dissolves a group: its roles no longer apply to anybody.
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
        let roles = checks.distinct("/roles", &self.roles, user_aggregates::MOST_GROUP_ROLES);
        checks.finish()?;
        existing_roles(work, &self.roles, "/roles").await?;
        require_within_own(work, &self.catalogue, roles.iter().cloned()).await?;
        begin(work, name, roles)
    }
}

impl Command for ProvisionGroup {
    const PERMISSION: &'static str = "user:group:write";
    type Answer = GroupId;

    async fn run(&self, work: &mut Work<'_>) -> Result<GroupId, Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, lengths::NAME);
        let external_id = self.external_id.as_deref().map(|text| external_id(&mut checks, text));
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
        // The group gets its command first, even if its name does not change, because `If-Match` is about the group.
        let name = match &self.name {
            Some(name) => name.clone(),
            None => work.read::<Group>(self.group).await?.name.clone(),
        };
        rename(work, &self.catalogue, self.group, &name).await?;
        if let Some(external_id) = external_id {
            if work.read::<Group>(self.group).await?.external_id != external_id {
                authorize_over_group(work, &self.catalogue, self.group).await?;
            }
            work.update::<Group>(self.group, GroupCommand::ChangeExternalId { external_id }).await?;
        }
        // Providers remove users before they remove them from their groups: whoever is no user any more leaves nothing.
        let mut leave = Vec::with_capacity(self.leave.len());
        for user in &self.leave {
            if work.find::<User>(*user).await?.is_some_and(|user| user.status.is_present()) {
                leave.push(*user);
            }
        }
        if self.join.is_empty() && leave.is_empty() {
            return Ok(());
        }
        let members = (&*self.join, &*leave);
        change_members(work, &self.catalogue, self.group, members, lengths::KEPT_MEMBERS).await
    }
}

fn external_id(checks: &mut Checks, text: &str) -> String {
    checks.identifier("/external_id", text, lengths::EXTERNAL_ID)
}

/// Creates a group: claims its name and appends the first event.
fn begin(work: &mut Work<'_>, name: String, roles: Vec<String>) -> Result<GroupId, Refusal> {
    let group: GroupId = work.new_id();
    work.take(&NAME, &name.to_lowercase(), group);
    work.create::<Group>(group, GroupCommand::Create(GroupCreated { name, roles }))?;
    Ok(group)
}

/// Refuses to change a group that gives permissions that the caller lacks. That includes its name and external id: an identity provider, or
/// a person, finds by them to whom the permissions are given.
async fn authorize_over_group(work: &mut Work<'_>, catalogue: &Catalogue, group: GroupId) -> Result<(), Refusal> {
    let given = group_roles(work, group).await?;
    require_within_own(work, catalogue, given).await
}

/// Renames a group, or keeps its name.
async fn rename(work: &mut Work<'_>, catalogue: &Catalogue, group: GroupId, name: &str) -> Result<(), Refusal> {
    let mut checks = Checks::default();
    let name = checks.line("/name", name, lengths::NAME);
    checks.finish()?;
    let before = work.read::<Group>(group).await?;
    if before.name != name {
        authorize_over_group(work, catalogue, group).await?;
    }
    let (before, after) = (before.name.to_lowercase(), name.to_lowercase());
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
        rename(work, &self.catalogue, self.group, &self.name).await
    }
}

impl Command for GrantGroupRole {
    const PERMISSION: &'static str = "user:role:grant";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.read::<Group>(self.group).await?;
        existing_role(work, &self.role, "/role").await?;
        require_within_own(work, &self.catalogue, [self.role.clone()]).await?;
        work.update::<Group>(self.group, GroupCommand::GrantRole { role: self.role.clone() }).await
    }
}

impl Command for RevokeGroupRole {
    const PERMISSION: &'static str = "user:role:grant";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        values::revoked_role(&self.role)?;
        require_within_own(work, &self.catalogue, [self.role.clone()]).await?;
        authorize_over_group(work, &self.catalogue, self.group).await?;
        work.update::<Group>(self.group, GroupCommand::RevokeRole { role: self.role.clone() }).await
    }
}

impl Command for DissolveGroup {
    const PERMISSION: &'static str = "user:group:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let group = work.read::<Group>(self.group).await?;
        authorize_over_group(work, &self.catalogue, self.group).await?;
        work.update::<Group>(self.group, GroupCommand::Dissolve).await?;
        if !group.dissolved {
            work.release(&NAME, &group.name.to_lowercase(), self.group);
        }
        Ok(())
    }
}
