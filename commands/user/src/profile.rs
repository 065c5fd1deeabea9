//! Profiles of users, changed by administrators or by the users themselves. (Uploaded pictures: `picture.rs`.)

use executor::{Command, Work};
use kernel::{Checks, PostalAddress, Refusal, TenantId, UserId, is_picture_address};
use user_aggregates::{Profile, User, UserCommand};

use crate::access::{self, Catalogue};
use crate::recent_sign_in::require_recent_sign_in_for_oneself;
use crate::{lengths, values};

/// A profile as sent; validated when the command runs.
#[derive(Clone, Debug, Default)]
pub struct ProfileFields {
    pub name: String,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub title: Option<String>,
    pub phone: Option<String>,
    pub address: Option<PostalAddress>,
    /// The address of a picture. If it is the address of an uploaded picture, an existing user keeps their current picture, and a
    /// new user has none.
    pub picture: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
}

impl ProfileFields {
    /// The new profile of an existing user, and whether their uploaded picture is kept. A client that sends the address of an upload
    /// repeats what it read, perhaps before a newer upload; that must not undo the newer one.
    fn apply_to(&self, before: &User, tenant: TenantId) -> Result<(Profile, Uploaded), Refusal> {
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
            given_name: self.given_name.as_deref().map(|text| checks.line("/given_name", text, lengths::NAME).into()),
            family_name: self
                .family_name
                .as_deref()
                .map(|text| checks.line("/family_name", text, lengths::NAME).into()),
            title: self.title.as_deref().map(|text| checks.line("/title", text, lengths::NAME)),
            phone: self.phone.as_deref().map(|text| checks.phone("/phone", text).into()),
            address: self.address.as_ref().map(|address| address.check(checks, "/address").into()),
            picture: self.picture.as_deref().map(|text| values::picture(checks, "/picture", text).into()),
            locale: self.locale.as_deref().map(|text| values::locale(checks, "/locale", text)),
            time_zone: self.time_zone.as_deref().map(|text| values::time_zone(checks, "/time_zone", text)),
        }
    }
}

/// Replaces a user's whole profile.
#[derive(Clone, Debug)]
pub struct ChangeProfile {
    pub user: UserId,
    pub profile: ProfileFields,
    pub catalogue: Catalogue,
}

/// Replaces the caller's own whole profile.
#[derive(Clone, Debug)]
pub struct ChangeOwnProfile {
    pub profile: ProfileFields,
}

/// What happens to an uploaded picture when the profile changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uploaded {
    /// It is kept, unless the profile has the address of another picture.
    Kept,
    /// It is removed.
    Removed,
}

/// The caller's user id, as their token has it: a machine's token has an id, too. Tokens from before users existed have none.
pub(crate) fn caller_as_user(work: &Work<'_>) -> Result<UserId, Refusal> {
    work.caller().subject().parse().map_err(|_| not_a_user())
}

/// As [`caller_as_user`]; refused if the caller is a machine, that is, if there is no such user.
pub(crate) async fn existing_caller(work: &mut Work<'_>) -> Result<UserId, Refusal> {
    let user = caller_as_user(work)?;
    if work.find::<User>(user).await?.is_some() { Ok(user) } else { Err(not_a_user()) }
}

/// The refusal of a caller who has no user of their own, at every operation on it: what the path names does not exist.
pub fn not_a_user() -> Refusal {
    Refusal::not_found("not_a_user", "the caller is not a user of this tenant, but a machine or a former user")
}

/// Replaces a user's profile. Whoever has the telephone can verify a new number, and applications are told that it is verified. So users
/// who change their own number must have authenticated recently.
pub(crate) async fn change_profile(
    work: &mut Work<'_>,
    user: UserId,
    before: &User,
    (profile, uploaded): (Profile, Uploaded),
) -> Result<(), Refusal> {
    if before.profile.phone != profile.phone {
        require_recent_sign_in_for_oneself(work, user)?;
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
        let profile = self.profile.apply_to(&user, work.caller().tenant())?;
        access::authorize_over(work, &self.catalogue, &user).await?;
        change_profile(work, self.user, &user, profile).await
    }
}

impl Command for ChangeOwnProfile {
    const PERMISSION: &'static str = "user:self:write";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        let user = existing_caller(work).await?;
        let before = work.read::<User>(user).await?;
        let profile = self.profile.apply_to(&before, work.caller().tenant())?;
        change_profile(work, user, &before, profile).await?;
        Ok(user)
    }
}
