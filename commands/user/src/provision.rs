//! Users as an identity provider keeps them: all that it says of somebody, at once.

use executor::{Command, Work};
use kernel::{Checks, Personal, Refusal, UserId};
use user_aggregates::{Label, Labels, User, UserCommand, UserRegistered, UserStatus};

use crate::access::{self, Catalogue};
use crate::profile::{ProfileFields, Uploaded, change_profile};
use crate::user::{LoginFields, begin, change_login};
use crate::values::present;
use crate::{lengths, owners};

/// All that a provider says of a user, as sent; checked when the command runs.
#[derive(Clone, Debug, Default)]
pub struct Provisioned {
    pub login: LoginFields,
    pub profile: ProfileFields,
    /// By which the provider knows them.
    pub external_id: Option<String>,
    pub labels: LabelFields,
    /// Whether they may sign in.
    pub active: bool,
}

/// What else a provider says of a user, kept for it as it says it; as sent.
#[derive(Clone, Debug, Default)]
pub struct LabelFields {
    /// The full name with all that belongs to it.
    pub formatted_name: Option<String>,
    /// Their postal address as it is written out.
    pub formatted_address: Option<String>,
    /// Of their e-mail address.
    pub email: LabelField,
    /// Of their telephone number.
    pub phone: LabelField,
    /// Of their postal address.
    pub address: LabelField,
}

/// What an address or a number is to somebody, as sent.
#[derive(Clone, Debug, Default)]
pub struct LabelField {
    /// What it is for.
    pub purpose: Option<String>,
    /// Whether it is the primary one.
    pub primary: Option<bool>,
}

/// Makes somebody a user whom a provider keeps. Roles they have none; their groups give them some.
#[derive(Clone, Debug)]
pub struct ProvisionUser {
    pub user: Provisioned,
    pub catalogue: Catalogue,
}

/// Makes a user what a provider says: this is all of it, but for roles, groups and organizations.
#[derive(Clone, Debug)]
pub struct ReplaceUser {
    pub id: UserId,
    pub user: Provisioned,
    pub catalogue: Catalogue,
}

impl Provisioned {
    fn external_id(&self, checks: &mut Checks) -> Option<Personal<String>> {
        present(self.external_id.as_ref(), |text| checks.identifier("/external_id", text, lengths::EXTERNAL_ID).into())
    }
}

impl LabelFields {
    fn check(&self, checks: &mut Checks) -> Labels {
        Labels {
            formatted_name: present(self.formatted_name.as_ref(), |text| {
                checks.line("/formatted_name", text, lengths::NAME).into()
            }),
            formatted_address: present(self.formatted_address.as_ref(), |text| {
                checks.paragraph("/formatted_address", text, lengths::FORMATTED_ADDRESS).into()
            }),
            email: self.email.check(checks, "/email_type"),
            phone: self.phone.check(checks, "/phone_type"),
            address: self.address.check(checks, "/address_type"),
        }
    }
}

impl LabelField {
    fn check(&self, checks: &mut Checks, pointer: &str) -> Label {
        let purpose = present(self.purpose.as_ref(), |text| checks.line(pointer, text, lengths::LABEL).into());
        Label { purpose, primary: self.primary }
    }
}

impl Command for ProvisionUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        let mut checks = Checks::default();
        let login = self.user.login.check(&mut checks);
        let profile = self.user.profile.check(&mut checks);
        let external_id = self.user.external_id(&mut checks);
        let labels = self.user.labels.check(&mut checks);
        checks.finish()?;
        let user = work.new_id();
        let registered = UserRegistered {
            login,
            email_verified: false,
            profile,
            roles: Vec::new(),
            groups: Vec::new(),
            invitation: None,
        };
        begin(work, user, registered).await?;
        work.update::<User>(user, UserCommand::ChangeExternalId { external_id }).await?;
        work.update::<User>(user, UserCommand::ChangeLabels { labels }).await?;
        if !self.user.active {
            work.update::<User>(user, UserCommand::Deactivate { reason: None }).await?;
        }
        Ok(user)
    }
}

impl Command for ReplaceUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let login = self.user.login.check(&mut checks);
        let profile = self.user.profile.check(&mut checks);
        let external_id = self.user.external_id(&mut checks);
        let labels = self.user.labels.check(&mut checks);
        checks.finish()?;
        let before = work.read::<User>(self.id).await?;
        access::over(work, &self.catalogue, &before).await?;
        // No provider keeps it.
        change_profile(work, self.id, &before, (profile, Uploaded::Kept)).await?;
        change_login(work, self.id, &before, login).await?;
        work.update::<User>(self.id, UserCommand::ChangeExternalId { external_id }).await?;
        work.update::<User>(self.id, UserCommand::ChangeLabels { labels }).await?;
        match (self.user.active, before.status) {
            (false, UserStatus::Active | UserStatus::Locked) => {
                owners::change(work, self.id, UserCommand::Deactivate { reason: None }).await
            }
            // A lock is somebody's here: no provider opens it.
            (true, UserStatus::Deactivated) => owners::change(work, self.id, UserCommand::Reactivate).await,
            _ => Ok(()),
        }
    }
}
