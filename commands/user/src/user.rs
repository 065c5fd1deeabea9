//! Registration of users, and their login names.

use chrono::Duration;
use executor::{ClaimKind, Command, Work};
use kernel::{Checks, Refusal, UserId, is_picture_address};
use user_aggregates::{GroupId, LinkFault, Login, Profile, User, UserCommand, UserRegistered};

use crate::access::{self, Catalogue, existing_roles, require_within_own};
use crate::profile::ProfileFields;
use crate::recent_sign_in::require_recent_sign_in_for_oneself;
use crate::references::existing_group;
use crate::{lengths, owners, values};

/// Claims on login names in lower case. E-mail addresses and user names share one namespace, so that a login name identifies one user.
pub(crate) static LOGIN: ClaimKind = ClaimKind {
    name: "user.login",
    code: "login_taken",
    detail: "another user of this tenant (holder) has this e-mail address or user name",
};

/// Validity of a link that verifies an address.
const VERIFICATION: Duration = Duration::hours(48);

/// A user's login names as sent; validated when the command runs.
#[derive(Clone, Debug, Default)]
pub struct LoginFields {
    pub email: String,
    pub user_name: Option<String>,
}

impl LoginFields {
    pub(crate) fn check(&self, checks: &mut Checks) -> Login {
        Login {
            email: checks.email("/email", &self.email).into(),
            user_name: self.user_name.as_deref().map(|text| values::user_name(checks, "/user_name", text).into()),
        }
    }
}

/// Registers a user without an invitation.
#[derive(Clone, Debug)]
pub struct RegisterUser {
    pub login: LoginFields,
    pub profile: ProfileFields,
    /// The user's initial roles.
    pub roles: Vec<String>,
    /// The user's initial groups.
    pub groups: Vec<GroupId>,
    pub catalogue: Catalogue,
}

/// Replaces all login names of a user.
#[derive(Clone, Debug)]
pub struct ChangeLogin {
    pub user: UserId,
    pub login: LoginFields,
    pub catalogue: Catalogue,
}

/// Sends a link to the caller's own address, to verify it.
#[derive(Clone, Copy, Debug)]
pub struct RequestEmailVerification {
    pub user: UserId,
}

/// Verifies an address through its link.
#[derive(Clone, Copy, Debug)]
pub struct VerifyEmail {
    pub user: UserId,
    pub turn: u32,
}

/// Marks an address as verified because a link that was mailed to it for another purpose, such as a password reset, was followed.
#[derive(Clone, Debug)]
pub struct ShowEmail {
    pub user: UserId,
    /// The address to which the link was mailed.
    pub email: String,
}

/// Registers a user: claims the login names, appends the first event, updates the owners. The address of an uploaded picture is left out:
/// in a profile it stands for the picture that the user has, and a new user has none.
pub(crate) async fn begin(work: &mut Work<'_>, user: UserId, mut registered: UserRegistered) -> Result<(), Refusal> {
    let tenant = work.caller().tenant();
    registered.profile.picture = registered.profile.picture.filter(|url| !is_picture_address(tenant, url.reveal()));
    for name in registered.login.names() {
        work.take(&LOGIN, name, user);
    }
    work.create::<User>(user, UserCommand::Register(registered))?;
    owners::update_owners(work, user, false).await
}

/// Changes a user's login names and their claims. Whoever reads the mailbox of the new address can set a password, so users who change
/// their own address must have authenticated recently.
pub(crate) async fn change_login(
    work: &mut Work<'_>,
    user: UserId,
    before: &User,
    login: Login,
) -> Result<(), Refusal> {
    if before.login.email != login.email {
        require_recent_sign_in_for_oneself(work, user)?;
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

/// Refuses roles and groups that do not exist or that give permissions that the caller lacks. They are those that were sent, in their order.
pub(crate) async fn check_initial_access(
    work: &mut Work<'_>,
    catalogue: &Catalogue,
    roles: &[String],
    groups: &[GroupId],
) -> Result<(), Refusal> {
    let mut given: Vec<String> = roles.to_vec();
    existing_roles(work, roles, "/roles").await?;
    for (place, group) in groups.iter().enumerate() {
        existing_group(work, *group, &format!("/groups/{place}")).await?;
        given.extend(access::group_roles(work, *group).await?);
    }
    require_within_own(work, catalogue, given).await
}

impl Command for RegisterUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        let mut checks = Checks::default();
        let login = self.login.check(&mut checks);
        let profile = self.profile.check(&mut checks);
        let roles = checks.distinct("/roles", &self.roles, lengths::ROLES);
        let groups = checks.distinct("/groups", &self.groups, lengths::GROUPS);
        checks.finish()?;
        check_initial_access(work, &self.catalogue, &self.roles, &self.groups).await?;
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
        access::authorize_over(work, &self.catalogue, &before).await?;
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
    /// Why the link is not valid, which was now recorded (if it was recorded before, the command is refused with `link_not_good`); `None`
    /// if the address is verified.
    type Answer = Option<LinkFault>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Option<LinkFault>, Refusal> {
        let (user, at) = (work.read::<User>(self.user).await?, work.now());
        let fault = if user.email_verified { None } else { user.link(self.turn, at).err() };
        // Recorded before; as with invitations, repeated attempts write nothing.
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

/// A profile with only a name.
pub(crate) fn named(name: kernel::Personal<String>) -> Profile {
    Profile { name, ..Profile::default() }
}
