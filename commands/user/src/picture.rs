//! Uploaded pictures of users: set and removed by administrators or by the users themselves.

use executor::{Command, Work};
use kernel::{Checks, Picture, Refusal, UserId};
use user_aggregates::{UploadedPicture, User, UserCommand};

use crate::access::{self, Catalogue};
use crate::profile::existing_caller;

/// A picture as sent; validated when the command runs.
#[derive(Clone, Debug)]
pub struct PictureFields {
    /// A PNG, JPEG or WebP file, in base64.
    pub file: String,
    /// The last part of the picture's address: at least 128 random bits, base64url. Not used if the user already has the same picture.
    pub id: String,
}

impl PictureFields {
    /// The aggregate command that sets it as a user's picture.
    fn check(&self, work: &Work<'_>) -> Result<UserCommand, Refusal> {
        let mut checks = Checks::default();
        let picture = Picture::check(&mut checks, "/picture", &self.file);
        checks.finish()?;
        let uploaded = UploadedPicture { id: self.id.clone(), picture };
        Ok(UserCommand::SetPicture { uploaded, at: kernel::to_micros(work.now()) })
    }
}

/// Sets or replaces a user's picture.
#[derive(Clone, Debug)]
pub struct SetPicture {
    pub user: UserId,
    pub picture: PictureFields,
    pub catalogue: Catalogue,
}

/// Removes a user's picture, whether uploaded or linked.
#[derive(Clone, Debug)]
pub struct RemovePicture {
    pub user: UserId,
    pub catalogue: Catalogue,
}

/// Sets the caller's picture.
#[derive(Clone, Debug)]
pub struct SetOwnPicture {
    pub picture: PictureFields,
}

/// Removes the caller's picture.
#[derive(Clone, Copy, Debug)]
pub struct RemoveOwnPicture;

impl Command for SetPicture {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let user = work.read::<User>(self.user).await?;
        access::authorize_over(work, &self.catalogue, &user).await?;
        let set = self.picture.check(work)?;
        work.update::<User>(self.user, set).await
    }
}

impl Command for RemovePicture {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let user = work.read::<User>(self.user).await?;
        access::authorize_over(work, &self.catalogue, &user).await?;
        work.update::<User>(self.user, UserCommand::RemovePicture).await
    }
}

impl Command for SetOwnPicture {
    const PERMISSION: &'static str = "user:self:write";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        let set = self.picture.check(work)?;
        let user = existing_caller(work).await?;
        work.update::<User>(user, set).await?;
        Ok(user)
    }
}

impl Command for RemoveOwnPicture {
    const PERMISSION: &'static str = "user:self:write";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        let user = existing_caller(work).await?;
        work.update::<User>(user, UserCommand::RemovePicture).await?;
        Ok(user)
    }
}
