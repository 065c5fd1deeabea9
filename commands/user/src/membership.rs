//! What a user has and belongs to: roles, groups, organizations.

use executor::{Command, Work};
use kernel::{Checks, Refusal, UserId};
use user_aggregates::{GroupId, OrganizationId, User, UserCommand};

use crate::access::{Catalogue, existing_role, group_roles, over, within_own};
use crate::references::{existing_group, existing_organization};
use crate::{lengths, owners, values};

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

/// Takes users into a group and out of it, all of them or none.
#[derive(Clone, Debug)]
pub struct ChangeGroupMembers {
    pub group: GroupId,
    pub join: Vec<UserId>,
    pub leave: Vec<UserId>,
    pub catalogue: Catalogue,
}

/// Takes users into an organization and out of it, all of them or none.
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
        within_own(work, &self.catalogue, [self.role.clone()]).await?;
        owners::change(work, self.user, UserCommand::GrantRole { role: self.role.clone() }).await
    }
}

impl Command for RevokeRole {
    const PERMISSION: &'static str = "user:role:grant";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        within_own(work, &self.catalogue, [self.role.clone()]).await?;
        // Who loses something is signed out by it.
        let user = work.read::<User>(self.user).await?;
        over(work, &self.catalogue, &user).await?;
        owners::change(work, self.user, UserCommand::RevokeRole { role: self.role.clone() }).await
    }
}

/// Those who come and those who go: of each at most so many, and nobody on both lists.
fn lists(join: &[UserId], leave: &[UserId], most: usize) -> Result<(Vec<UserId>, Vec<UserId>), Refusal> {
    let mut checks = Checks::default();
    let join = values::few(&mut checks, "/join", join, most);
    let leave = values::few(&mut checks, "/leave", leave, most);
    if let Some(both) = join.iter().find(|user| leave.binary_search(user).is_ok()) {
        checks.refuse("/leave", "both", format!("{both} can't be added and removed at the same time"));
    }
    checks.finish()?;
    Ok((join, leave))
}

/// Asks users for something; one that there is not is refused with its place.
async fn each(
    work: &mut Work<'_>,
    users: &[UserId],
    pointer: &str,
    command: impl Fn() -> UserCommand,
) -> Result<(), Refusal> {
    for (place, user) in users.iter().enumerate() {
        if work.find::<User>(*user).await?.is_none() {
            let detail = format!("there is no user {user}");
            return Err(crate::references::unknown(&format!("{pointer}/{place}"), "not_found", detail));
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

/// Takes users into a group that there is and out of it: of each list at most so many.
pub(crate) async fn change_members(
    work: &mut Work<'_>,
    catalogue: &Catalogue,
    group: GroupId,
    (join, leave): (&[UserId], &[UserId]),
    most: usize,
) -> Result<(), Refusal> {
    let (join, leave) = lists(join, leave, most)?;
    work.read::<user_aggregates::Group>(group).await?;
    if !join.is_empty() {
        existing_group(work, group, "").await?;
    }
    let given = group_roles(work, group).await?;
    within_own(work, catalogue, given).await?;
    each(work, &join, "/join", || UserCommand::JoinGroup { group }).await?;
    // Who leaves is signed out by it.
    for user in &leave {
        if let Some(user) = work.find::<User>(*user).await? {
            over(work, catalogue, &user).await?;
        }
    }
    each(work, &leave, "/leave", || UserCommand::LeaveGroup { group }).await
}

impl Command for ChangeOrganizationMembers {
    const PERMISSION: &'static str = "user:organization:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let (join, leave) = lists(&self.join, &self.leave, lengths::BATCH)?;
        let organization = self.organization;
        work.read::<user_aggregates::Organization>(organization).await?;
        if !join.is_empty() {
            existing_organization(work, organization, "").await?;
        }
        each(work, &join, "/join", || UserCommand::JoinOrganization { organization }).await?;
        each(work, &leave, "/leave", || UserCommand::LeaveOrganization { organization }).await
    }
}
