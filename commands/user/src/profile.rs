//! Who a user is: their profile, changed by those who look after users, or by themselves.

use executor::{Command, Work};
use kernel::{Checks, PostalAddress, Refusal, UserId};
use user_aggregates::{Profile, User, UserCommand};

use crate::access::{self, Catalogue};
use crate::lengths;
use crate::sure::sure_of_oneself;
use crate::values::{self, present};

/// A profile, as sent; checked when the command runs.
#[derive(Clone, Debug, Default)]
pub struct ProfileFields {
    pub name: String,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub title: Option<String>,
    pub phone: Option<String>,
    pub address: Option<PostalAddress>,
    pub picture: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
}

impl ProfileFields {
    pub(crate) fn check(&self, checks: &mut Checks) -> Profile {
        Profile {
            name: checks.line("/name", &self.name, lengths::NAME).into(),
            given_name: present(self.given_name.as_ref(), |text| {
                checks.line("/given_name", text, lengths::NAME).into()
            }),
            family_name: present(self.family_name.as_ref(), |text| {
                checks.line("/family_name", text, lengths::NAME).into()
            }),
            title: present(self.title.as_ref(), |text| checks.line("/title", text, lengths::NAME)),
            phone: present(self.phone.as_ref(), |text| checks.phone("/phone", text).into()),
            address: self.address.as_ref().map(|address| address.check(checks, "/address").into()),
            picture: present(self.picture.as_ref(), |text| values::picture(checks, "/picture", text).into()),
            locale: present(self.locale.as_ref(), |text| values::locale(checks, "/locale", text)),
            time_zone: present(self.time_zone.as_ref(), |text| values::time_zone(checks, "/time_zone", text)),
        }
    }
}

/// Replaces a user's profile: this is all of it.
#[derive(Clone, Debug)]
pub struct ChangeProfile {
    pub user: UserId,
    pub profile: ProfileFields,
    pub catalogue: Catalogue,
}

/// Replaces the caller's own profile: this is all of it.
#[derive(Clone, Debug)]
pub struct ChangeOwnProfile {
    pub profile: ProfileFields,
}

/// The user that the caller is; machines, and tokens of before there were users, are none.
pub(crate) fn oneself(work: &Work<'_>) -> Result<UserId, Refusal> {
    work.caller().subject().parse().map_err(|_| {
        Refusal::conflict("not_a_user", "the caller is no user of this tenant; only a user has a profile of their own")
    })
}

/// Replaces a user's profile. It is shown by whoever has the telephone that a number is theirs, and applications are told so: for another one of
/// their own, somebody has shown a moment ago who they are.
pub(crate) async fn change_profile(
    work: &mut Work<'_>,
    user: UserId,
    before: &User,
    profile: Profile,
) -> Result<(), Refusal> {
    if before.profile.phone != profile.phone {
        sure_of_oneself(work, user)?;
    }
    work.update::<User>(user, UserCommand::ChangeProfile { profile }).await
}

impl Command for ChangeProfile {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let profile = self.profile.check(&mut checks);
        checks.finish()?;
        let user = work.read::<User>(self.user).await?;
        access::over(work, &self.catalogue, &user).await?;
        change_profile(work, self.user, &user, profile).await
    }
}

impl Command for ChangeOwnProfile {
    const PERMISSION: &'static str = "user:self:write";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        let mut checks = Checks::default();
        let profile = self.profile.check(&mut checks);
        checks.finish()?;
        let user = oneself(work)?;
        let before = work.read::<User>(user).await?;
        change_profile(work, user, &before, profile).await?;
        Ok(user)
    }
}
