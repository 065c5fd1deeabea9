//! Users that an identity provider manages (SCIM): it sends all attributes of a user at once.

use executor::{Command, Work};
use kernel::{Checks, Personal, Refusal, UserId};
use user_aggregates::{Label, Labels, User, UserCommand, UserRegistered, UserStatus};

use crate::access::{self, Catalogue};
use crate::profile::{ProfileFields, Uploaded, change_profile};
use crate::user::{LoginFields, begin, change_login};
use crate::{lengths, owners};

/// All attributes that a provider sends for a user; validated when the command runs.
#[derive(Clone, Debug, Default)]
pub struct Provisioned {
    pub login: LoginFields,
    pub profile: ProfileFields,
    /// The provider's id for the user.
    pub external_id: Option<String>,
    pub labels: LabelFields,
    /// Whether the user may sign in.
    pub active: bool,
}

/// Further attributes, stored only to be returned to the provider.
#[derive(Clone, Debug, Default)]
pub struct LabelFields {
    /// The full formatted name.
    pub formatted_name: Option<String>,
    /// The formatted postal address.
    pub formatted_address: Option<String>,
    /// The label of the e-mail address.
    pub email: LabelField,
    /// The label of the telephone number.
    pub phone: LabelField,
    /// The label of the postal address.
    pub address: LabelField,
}

/// The label of an address or number, as sent.
#[derive(Clone, Debug, Default)]
pub struct LabelField {
    /// Its type, such as `work` (SCIM `type`).
    pub purpose: Option<String>,
    /// Whether it is the primary one.
    pub primary: Option<bool>,
}

/// Registers a user for a provider. The user has no roles of their own; groups give them roles.
#[derive(Clone, Debug)]
pub struct ProvisionUser {
    pub user: Provisioned,
    pub catalogue: Catalogue,
}

/// Replaces all attributes of a user, except roles, groups and organizations.
#[derive(Clone, Debug)]
pub struct ReplaceUser {
    pub id: UserId,
    pub user: Provisioned,
    pub catalogue: Catalogue,
}

impl Provisioned {
    fn external_id(&self, checks: &mut Checks) -> Option<Personal<String>> {
        self.external_id.as_deref().map(|text| checks.identifier("/external_id", text, lengths::EXTERNAL_ID).into())
    }
}

impl LabelFields {
    fn check(&self, checks: &mut Checks) -> Labels {
        Labels {
            formatted_name: self
                .formatted_name
                .as_deref()
                .map(|text| checks.line("/formatted_name", text, lengths::NAME).into()),
            formatted_address: self
                .formatted_address
                .as_deref()
                .map(|text| checks.paragraph("/formatted_address", text, lengths::FORMATTED_ADDRESS).into()),
            email: self.email.check(checks, "/email_type"),
            phone: self.phone.check(checks, "/phone_type"),
            address: self.address.check(checks, "/address_type"),
        }
    }
}

impl LabelField {
    fn check(&self, checks: &mut Checks, pointer: &str) -> Label {
        let purpose = self.purpose.as_deref().map(|text| checks.line(pointer, text, lengths::LABEL).into());
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
        access::authorize_over(work, &self.catalogue, &before).await?;
        // Providers do not manage uploaded pictures.
        change_profile(work, self.id, &before, (profile, Uploaded::Kept)).await?;
        change_login(work, self.id, &before, login).await?;
        work.update::<User>(self.id, UserCommand::ChangeExternalId { external_id }).await?;
        work.update::<User>(self.id, UserCommand::ChangeLabels { labels }).await?;
        match (self.user.active, before.status) {
            (false, UserStatus::Active | UserStatus::Locked) => {
                owners::change(work, self.id, UserCommand::Deactivate { reason: None }).await
            }
            // A lock was set by an administrator here, so a provider can't remove it.
            (true, UserStatus::Deactivated) => owners::change(work, self.id, UserCommand::Reactivate).await,
            _ => Ok(()),
        }
    }
}
