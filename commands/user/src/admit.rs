//! Users for whom an identity provider of the tenant vouches as they sign in.

use executor::{Command, Work};
use kernel::{Checks, Refusal, UserId};
use user_aggregates::{Login, User, UserCommand, UserRegistered};

use crate::access::existing_role;
use crate::user::{begin, named};
use crate::{lengths, owners};

/// A user of whom an identity provider speaks.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub id: UserId,
    /// Whether it is said that they have shown that their address is theirs. If they have not, the caller has seen to it that nobody but
    /// who is vouched for can come in by their account.
    pub email_verified: bool,
}

/// Lets somebody in: makes them a user, or gives a user the roles that the provider gives, and takes those that it does not give
/// any more. Which roles it may give, the tenant's administrators said. Refused (`login_changed`) when the address is not, or not as
/// it is said, that of the user.
#[derive(Clone, Debug)]
pub struct AdmitUser {
    /// Who it is; none: somebody who is no user yet.
    pub user: Option<Known>,
    /// Their address, for which the provider vouches.
    pub email: String,
    /// Their name; none, or none that can be shown: they are called by their address.
    pub name: Option<String>,
    /// The roles that it gives them.
    pub roles: Vec<String>,
    /// All roles that it gives and takes.
    pub managed: Vec<String>,
}

impl AdmitUser {
    /// The roles that it gives, of those that there still are.
    async fn given(&self, work: &mut Work<'_>) -> Result<Vec<String>, Refusal> {
        let mut given = Vec::with_capacity(self.roles.len());
        for role in &self.roles {
            match existing_role(work, role, "").await {
                Ok(()) => given.push(role.clone()),
                // It was retired since it was mapped.
                Err(refusal) if !refusal.errors().is_empty() => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(given)
    }

    async fn register(&self, work: &mut Work<'_>, roles: Vec<String>) -> Result<UserId, Refusal> {
        let mut checks = Checks::default();
        let email = checks.email("/email", &self.email);
        checks.finish()?;
        let mut of_name = Checks::default();
        let name = of_name.line("/name", self.name.as_deref().unwrap_or_default(), lengths::NAME);
        let name = if of_name.ok() { name } else { email.clone() };
        let user: UserId = work.new_id();
        let registered = UserRegistered {
            login: Login { email: email.into(), user_name: None },
            email_verified: true,
            profile: named(name.into()),
            roles,
            groups: Vec::new(),
            invitation: None,
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
        // Who was locked meanwhile is not signed in, and so not changed either.
        if before.may_sign_in() {
            // What the provider says is about an address. Whose that was a moment ago must not get what is said of whose it is.
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
