//! Just-in-time provisioning: creates or updates a user who signs in through an identity provider of the tenant.

use executor::{Command, Work};
use kernel::{Checks, Refusal, UserId};
use user_aggregates::{Login, User, UserCommand, UserRegistered};

use crate::access::{SubjectsInLog, existing_role};
use crate::invitation::{self, Redeemed};
use crate::user::{begin, named};
use crate::{lengths, owners};

/// An existing user whom the identity provider names.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub id: UserId,
    /// Whether the caller claims that the user's e-mail address is verified. If not, the caller must have made sure that only the person
    /// for whom the provider vouches can sign in to this account.
    pub email_verified: bool,
}

/// Registers a user who signs in through an identity provider, or updates an existing user's roles: gives the roles that the provider
/// gives, and takes the other managed ones. A new user who has an invitation accepts it, because the provider vouches for the address to
/// which it was mailed: they get its groups, and those of its roles that the provider does not manage. The tenant's administrators decide
/// which roles a provider may manage. Refused (`login_changed`) if the user's e-mail address, or whether it is verified, differs from the
/// input.
#[derive(Clone, Debug)]
pub struct AdmitUser {
    /// The existing user; `None` registers a new one.
    pub user: Option<Known>,
    /// The e-mail address, for which the provider vouches.
    pub email: String,
    /// The user's name. If it is missing or not valid, the address is used.
    pub name: Option<String>,
    /// The roles that the provider gives the user.
    pub roles: Vec<String>,
    /// All roles that the provider manages, so that roles missing in `roles` are taken.
    pub managed: Vec<String>,
    /// Looks up who invited a new user.
    pub senders: SubjectsInLog,
}

impl AdmitUser {
    /// The roles that the provider gives and that still exist.
    async fn given(&self, work: &mut Work<'_>) -> Result<Vec<String>, Refusal> {
        let mut given = Vec::with_capacity(self.roles.len());
        for role in &self.roles {
            match existing_role(work, role, "").await {
                Ok(()) => given.push(role.clone()),
                // The role was retired after it was mapped.
                Err(refusal) if !refusal.errors().is_empty() => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(given)
    }

    async fn register(&self, work: &mut Work<'_>, mut roles: Vec<String>) -> Result<UserId, Refusal> {
        let mut checks = Checks::default();
        let email = checks.email("/email", &self.email);
        checks.finish()?;
        let mut of_name = Checks::default();
        let name = of_name.line("/name", self.name.as_deref().unwrap_or_default(), lengths::NAME);
        let name = if of_name.ok() { name } else { email.clone() };
        let user: UserId = work.new_id();
        let (mut invitation, mut groups) = (None, Vec::new());
        if let Some(redeemed) = invitation::redeem_for(work, &self.senders, &email, user).await? {
            let Redeemed { invitation: accepted, roles: further, groups: joined } = redeemed;
            (invitation, groups) = (Some(accepted), joined);
            let stated = |role: &String| self.managed.contains(role) || self.roles.contains(role);
            roles.extend(further.into_iter().filter(|role| !stated(role)));
        }
        let registered = UserRegistered {
            login: Login { email: email.into(), user_name: None },
            email_verified: true,
            profile: named(name.into()),
            roles,
            groups,
            invitation,
        };
        begin(work, user, registered).await?;
        Ok(user)
    }
}

impl Command for AdmitUser {
    const PERMISSION: &'static str = "user:user:admit";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        let given = self.given(work).await?;
        let Some(Known { id: user, email_verified }) = self.user else { return self.register(work, given).await };
        let before = work.read::<User>(user).await?;
        // A user who was locked in the meantime can't sign in, so they are not changed.
        if before.may_sign_in() {
            // The provider vouches for an address. A user who had that address until a moment ago must not get what the new owner should
            // get.
            let email = before.login.email.reveal().clone();
            if kernel::folded(&email) != kernel::folded(&self.email) || (email_verified && !before.email_verified) {
                return Err(Refusal::conflict(
                    "login_changed",
                    "the user's e-mail address is not the one that the identity provider sent",
                ));
            }
            work.update::<User>(user, UserCommand::ShowEmail { email }).await?;
            for role in &self.managed {
                let role = role.clone();
                match (given.contains(&role), before.roles.contains(&role)) {
                    (true, false) => owners::change(work, user, UserCommand::GrantRole { role }).await?,
                    (false, true) => owners::change(work, user, UserCommand::RevokeRole { role }).await?,
                    _ => {}
                }
            }
        }
        Ok(user)
    }
}
