//! A user's roles, groups and organizations.

use executor::{Command, Work};
use kernel::{Checks, Refusal, UserId};
use user_aggregates::{GroupId, OrganizationId, User, UserCommand};

use crate::access::{Catalogue, authorize_over, existing_role, group_roles, require_within_own};
use crate::references::{existing_group, existing_organization};
use crate::values;
use crate::{lengths, owners};

/// Gives a user a role.
#[derive(Clone, Debug)]
pub struct GrantRole {
    pub user: UserId,
    pub role: String,
    pub catalogue: Catalogue,
}

/// Takes a role from a user.
#[derive(Clone, Debug)]
pub struct RevokeRole {
    pub user: UserId,
    pub role: String,
    pub catalogue: Catalogue,
}

/// Adds users to a group and removes others from it, all or none.
#[derive(Clone, Debug)]
pub struct ChangeGroupMembers {
    pub group: GroupId,
    pub join: Vec<UserId>,
    pub leave: Vec<UserId>,
    pub catalogue: Catalogue,
}

/// Adds users to an organization and removes others from it, all or none.
#[derive(Clone, Debug)]
pub struct ChangeOrganizationMembers {
    pub organization: OrganizationId,
    pub join: Vec<UserId>,
    pub leave: Vec<UserId>,
}

impl Command for GrantRole {
    const PERMISSION: &'static str = "user:role:grant";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.read::<User>(self.user).await?;
        existing_role(work, &self.role, "/role").await?;
        require_within_own(work, &self.catalogue, [self.role.clone()]).await?;
        owners::change(work, self.user, UserCommand::GrantRole { role: self.role.clone() }).await
    }
}

impl Command for RevokeRole {
    const PERMISSION: &'static str = "user:role:grant";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        values::revoked_role(&self.role)?;
        require_within_own(work, &self.catalogue, [self.role.clone()]).await?;
        // Revoking a role also ends the user's sessions, so the caller must be allowed to act on the user.
        let user = work.read::<User>(self.user).await?;
        authorize_over(work, &self.catalogue, &user).await?;
        owners::change(work, self.user, UserCommand::RevokeRole { role: self.role.clone() }).await
    }
}

/// Validates the users to add and to remove: the length of each list, and that nobody is on both.
fn check_lists(join: &[UserId], leave: &[UserId], most: usize) -> Result<(Vec<UserId>, Vec<UserId>), Refusal> {
    let mut checks = Checks::default();
    let join = checks.distinct("/join", join, most);
    let leave = checks.distinct("/leave", leave, most);
    if let Some(both) = join.iter().find(|user| leave.binary_search(user).is_ok()) {
        checks.refuse("/leave", "both", format!("{both} can't be added and removed at the same time"));
    }
    checks.finish()?;
    Ok((join, leave))
}

/// Sends a command to users. A user who does not exist is refused with a pointer to their place in the list as it was sent.
async fn update_each(
    work: &mut Work<'_>,
    users: &[UserId],
    (pointer, sent): (&str, &[UserId]),
    command: impl Fn() -> UserCommand,
) -> Result<(), Refusal> {
    for user in users {
        if work.find::<User>(*user).await?.is_none() {
            let place = sent.iter().position(|one| one == user).unwrap_or_default();
            let detail = format!("there is no user {user}");
            return Err(Refusal::reference(format!("{pointer}/{place}"), "not_found", detail));
        }
        work.update::<User>(*user, command()).await?;
    }
    Ok(())
}

impl Command for ChangeGroupMembers {
    const PERMISSION: &'static str = "user:group:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let Self { group, join, leave, catalogue } = self;
        change_members(work, catalogue, *group, (join, leave), lengths::BATCH).await
    }
}

/// Adds users to an existing group and removes others. `most` limits each list.
pub(crate) async fn change_members(
    work: &mut Work<'_>,
    catalogue: &Catalogue,
    group: GroupId,
    (join, leave): (&[UserId], &[UserId]),
    most: usize,
) -> Result<(), Refusal> {
    let (joining, leaving) = check_lists(join, leave, most)?;
    work.read::<user_aggregates::Group>(group).await?;
    if !joining.is_empty() {
        existing_group(work, group, "").await?;
    }
    let given = group_roles(work, group).await?;
    require_within_own(work, catalogue, given).await?;
    update_each(work, &joining, ("/join", join), || UserCommand::JoinGroup { group }).await?;
    // Leaving a group also ends the user's sessions, so the caller must be allowed to act on the user.
    for user in &leaving {
        if let Some(user) = work.find::<User>(*user).await? {
            authorize_over(work, catalogue, &user).await?;
        }
    }
    update_each(work, &leaving, ("/leave", leave), || UserCommand::LeaveGroup { group }).await
}

impl Command for ChangeOrganizationMembers {
    const PERMISSION: &'static str = "user:organization:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let Self { organization, join, leave } = self;
        let organization = *organization;
        let (joining, leaving) = check_lists(join, leave, lengths::BATCH)?;
        work.read::<user_aggregates::Organization>(organization).await?;
        if !joining.is_empty() {
            existing_organization(work, organization, "").await?;
        }
        update_each(work, &joining, ("/join", join), || UserCommand::JoinOrganization { organization }).await?;
        update_each(work, &leaving, ("/leave", leave), || UserCommand::LeaveOrganization { organization }).await
    }
}
