//! How somebody becomes a user, and what they sign in with.

use chrono::Duration;
use executor::{ClaimKind, Command, Work};
use kernel::{Checks, Refusal, UserId};
use user_aggregates::{GroupId, LinkFault, Login, Profile, User, UserCommand, UserRegistered};

use crate::access::{self, Catalogue, existing_role, within_own};
use crate::profile::ProfileFields;
use crate::references::existing_group;
use crate::sure::sure_of_oneself;
use crate::values::{self, present};
use crate::{lengths, owners};

/// Whatever a user may type to sign in, in lower case: addresses and names share one space, so what is typed means one user.
pub(crate) static LOGIN: ClaimKind = ClaimKind {
    name: "user.login",
    code: "login_taken",
    detail: "another user of this tenant (holder) has this e-mail address or user name",
};

/// How long a link that verifies an address is good.
const VERIFICATION: Duration = Duration::hours(48);

/// What a user signs in with, as sent; checked when the command runs.
#[derive(Clone, Debug, Default)]
pub struct LoginFields {
    pub email: String,
    pub user_name: Option<String>,
}

impl LoginFields {
    pub(crate) fn check(&self, checks: &mut Checks) -> Login {
        Login {
            email: checks.email("/email", &self.email).into(),
            user_name: present(self.user_name.as_ref(), |text| values::user_name(checks, "/user_name", text).into()),
        }
    }
}

/// Makes somebody a user without an invitation.
#[derive(Clone, Debug)]
pub struct RegisterUser {
    pub login: LoginFields,
    pub profile: ProfileFields,
    /// The roles that they begin with.
    pub roles: Vec<String>,
    /// The groups that they begin in.
    pub groups: Vec<GroupId>,
    pub catalogue: Catalogue,
}

/// They sign in with something else: this is all of it.
#[derive(Clone, Debug)]
pub struct ChangeLogin {
    pub user: UserId,
    pub login: LoginFields,
    pub catalogue: Catalogue,
}

/// Sends a link to the caller's own address, to show that it is theirs.
#[derive(Clone, Copy, Debug)]
pub struct RequestEmailVerification {
    pub user: UserId,
}

/// A link that verifies an address was followed.
#[derive(Clone, Copy, Debug)]
pub struct VerifyEmail {
    pub user: UserId,
    pub turn: u32,
}

/// A link was followed that was mailed to an address for something else, such as to set a password: the address is theirs.
#[derive(Clone, Debug)]
pub struct ShowEmail {
    pub user: UserId,
    /// Where the link was mailed.
    pub email: String,
}

/// Begins a user: the claims on what they sign in with, the first event, the owners.
pub(crate) async fn begin(work: &mut Work<'_>, user: UserId, registered: UserRegistered) -> Result<(), Refusal> {
    for name in registered.login.names() {
        work.take(&LOGIN, name, user);
    }
    work.create::<User>(user, UserCommand::Register(registered))?;
    owners::settle(work, user, false).await
}

/// Lets a user sign in with something else, and keeps the claims on it true. Whoever reads the new address sets a password by it: for their own,
/// somebody has shown a moment ago who they are.
pub(crate) async fn change_login(
    work: &mut Work<'_>,
    user: UserId,
    before: &User,
    login: Login,
) -> Result<(), Refusal> {
    if before.login.email != login.email {
        sure_of_oneself(work, user)?;
    }
    work.update::<User>(user, UserCommand::ChangeLogin { login: login.clone() }).await?;
    for name in before.login.names().filter(|name| !login.names().any(|kept| kept == *name)) {
        work.release(&LOGIN, name, user);
    }
    for name in login.names().filter(|name| !before.login.names().any(|had| had == *name)) {
        work.take(&LOGIN, name, user);
    }
    Ok(())
}

/// Refuses roles and groups that there are not, or that give more than the caller has.
pub(crate) async fn beginnings(
    work: &mut Work<'_>,
    catalogue: &Catalogue,
    roles: &[String],
    groups: &[GroupId],
) -> Result<(), Refusal> {
    let mut given: Vec<String> = roles.to_vec();
    for (place, role) in roles.iter().enumerate() {
        existing_role(work, role, &format!("/roles/{place}")).await?;
    }
    for (place, group) in groups.iter().enumerate() {
        existing_group(work, *group, &format!("/groups/{place}")).await?;
        given.extend(access::group_roles(work, *group).await?);
    }
    within_own(work, catalogue, given).await
}

impl Command for RegisterUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        let mut checks = Checks::default();
        let login = self.login.check(&mut checks);
        let profile = self.profile.check(&mut checks);
        let roles = values::few(&mut checks, "/roles", &self.roles, lengths::ROLES);
        let groups = values::few(&mut checks, "/groups", &self.groups, lengths::GROUPS);
        checks.finish()?;
        beginnings(work, &self.catalogue, &roles, &groups).await?;
        let user = work.new_id();
        let registered = UserRegistered { login, email_verified: false, profile, roles, groups, invitation: None };
        begin(work, user, registered).await?;
        Ok(user)
    }
}

impl Command for ChangeLogin {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let login = self.login.check(&mut checks);
        checks.finish()?;
        let before = work.read::<User>(self.user).await?;
        access::over(work, &self.catalogue, &before).await?;
        change_login(work, self.user, &before, login).await
    }
}

impl Command for RequestEmailVerification {
    const PERMISSION: &'static str = "user:self:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let expires_at = kernel::to_micros(work.now() + VERIFICATION);
        work.update::<User>(self.user, UserCommand::RequestEmailVerification { expires_at }).await
    }
}

impl Command for VerifyEmail {
    const PERMISSION: &'static str = "user:email:verify";
    /// Why the link is not good, which is on record now (when it was before, the command is refused with `link_not_good`); none: the
    /// address is verified.
    type Answer = Option<LinkFault>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Option<LinkFault>, Refusal> {
        let (user, at) = (work.read::<User>(self.user).await?, work.now());
        let fault = if user.email_verified { None } else { user.link(self.turn, at).err() };
        // On record already, as with an invitation.
        if fault.is_some() && user.refused_links.contains(&self.turn) {
            return Err(Refusal::conflict("link_not_good", "the link is no longer valid; ask for a new one"));
        }
        work.update::<User>(self.user, UserCommand::VerifyEmail { turn: self.turn, at }).await?;
        Ok(fault)
    }
}

impl Command for ShowEmail {
    const PERMISSION: &'static str = "user:email:verify";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<User>(self.user, UserCommand::ShowEmail { email: self.email.clone() }).await
    }
}

/// The empty profile of somebody of whom only the name is known.
pub(crate) fn named(name: kernel::Personal<String>) -> Profile {
    Profile { name, ..Profile::default() }
}
