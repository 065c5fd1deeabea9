//! Who a user is: their profile, changed by those who look after users, or by themselves. (The picture that they upload: `picture.rs`.)

use executor::{Command, Work};
use kernel::{Checks, PostalAddress, Refusal, TenantId, UserId, is_picture_address};
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
    /// Where a picture of them is. The address of one that was uploaded here says of who has a profile already: they keep whichever they have.
    pub picture: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
}

impl ProfileFields {
    /// The profile that this makes of a user who has one already; and whether they keep the picture that they uploaded. Whoever sends the
    /// address of an upload sends what they were shown, perhaps before another one took its place: it is not for them to undo that.
    fn over(&self, before: &User, tenant: TenantId) -> Result<(Profile, Uploaded), Refusal> {
        let mut checks = Checks::default();
        let kept = self.picture.as_ref().is_some_and(|address| is_picture_address(tenant, address));
        let (profile, uploaded) = if kept {
            let shown = Self { picture: None, ..self.clone() }.check(&mut checks);
            (Profile { picture: before.profile.picture.clone(), ..shown }, Uploaded::Kept)
        } else {
            (self.check(&mut checks), Uploaded::Removed)
        };
        checks.finish()?;
        Ok((profile, uploaded))
    }

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

/// What becomes of a picture that a user uploaded when their profile is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uploaded {
    /// It stays, unless the profile has the address of another.
    Kept,
    /// It goes.
    Removed,
}

/// The user that the caller is; machines, and tokens of before there were users, are none.
pub(crate) fn oneself(work: &Work<'_>) -> Result<UserId, Refusal> {
    work.caller().subject().parse().map_err(|_| {
        Refusal::conflict("not_a_user", "the caller is not a user of this tenant; only users have a profile")
    })
}

/// Replaces a user's profile. It is shown by whoever has the telephone that a number is theirs, and applications are told so: for another one of
/// their own, somebody has shown a moment ago who they are.
pub(crate) async fn change_profile(
    work: &mut Work<'_>,
    user: UserId,
    before: &User,
    (profile, uploaded): (Profile, Uploaded),
) -> Result<(), Refusal> {
    if before.profile.phone != profile.phone {
        sure_of_oneself(work, user)?;
    }
    let elsewhere = profile.picture.is_some();
    work.update::<User>(user, UserCommand::ChangeProfile { profile }).await?;
    if uploaded == Uploaded::Removed && !elsewhere {
        work.update::<User>(user, UserCommand::RemovePicture).await?;
    }
    Ok(())
}

impl Command for ChangeProfile {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let user = work.read::<User>(self.user).await?;
        let profile = self.profile.over(&user, work.caller().tenant())?;
        access::over(work, &self.catalogue, &user).await?;
        change_profile(work, self.user, &user, profile).await
    }
}

impl Command for ChangeOwnProfile {
    const PERMISSION: &'static str = "user:self:write";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        let user = oneself(work)?;
        let before = work.read::<User>(user).await?;
        let profile = self.profile.over(&before, work.caller().tenant())?;
        change_profile(work, user, &before, profile).await?;
        Ok(user)
    }
}
