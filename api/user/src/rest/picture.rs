//! Pictures that users upload.

use face::operation::{ChangeResult, Target, change, id};
use face::{Changed, Command, Empty, example, form};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::Deserialize;
use user_commands::{RemoveOwnPicture, RemovePicture, SetOwnPicture, SetPicture};
use uuid::Uuid;

use super::{Service, Tag};
use crate::SERVICE;
use crate::own_pictures::fields;

/// Operations on users' pictures.
pub struct Pictures {
    service: Service,
}

impl Pictures {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// A picture to be uploaded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"picture": example::PICTURE}))]
struct NewPicture {
    /// PNG, JPEG or WebP file of up to 64 KiB, base64-encoded; 16 to 1,024 pixels wide and high.
    #[schemars(with = "form::PictureFile")]
    picture: String,
}

#[OpenApi]
impl Pictures {
    /// Set the caller's picture
    ///
    /// Replaces the picture that the caller has. The format is detected from the file. The address of the picture is then the `picture` of
    /// the caller's profile; everybody who knows the address can see the picture. A user can have at most 20 new pictures in 24 hours
    /// (`pictures_set_too_often`). Needs the permission `user:self:write`.
    #[oai(path = "/v1/user/me/set-picture", method = "post", operation_id = "setMyPicture", tag = "Tag::Me")]
    async fn set_own(&self, command: Command<NewPicture>) -> ChangeResult {
        let set = SetOwnPicture { picture: fields(command.body.picture)? };
        let done = self.service.runtime.executor.execute(&command.request, &set).await?;
        Ok(Changed::new(SERVICE, done, |user| Target { id: user.uuid() }))
    }

    /// Remove the caller's picture
    ///
    /// Removes an uploaded picture as well as the address of an external one. Caches may still show an uploaded picture for five minutes.
    /// Needs the permission `user:self:write`.
    #[oai(path = "/v1/user/me/remove-picture", method = "post", operation_id = "removeMyPicture", tag = "Tag::Me")]
    async fn remove_own(&self, command: Command<Empty>) -> ChangeResult {
        let done = self.service.runtime.executor.execute(&command.request, &RemoveOwnPicture).await?;
        Ok(Changed::new(SERVICE, done, |user| Target { id: user.uuid() }))
    }

    /// Set a user's picture
    ///
    /// Replaces the picture that the user has. A user can have at most 20 new pictures in 24 hours (`pictures_set_too_often`). Needs the
    /// permission `user:user:write`.
    #[oai(
        path = "/v1/user/users/:user/set-picture",
        method = "post",
        operation_id = "setUserPicture",
        tag = "Tag::Users"
    )]
    async fn set(&self, command: Command<NewPicture>, user: Path<Uuid>) -> ChangeResult {
        let (picture, catalogue) = (fields(command.body.picture)?, self.service.catalogue.clone());
        let set = SetPicture { user: id(&user), picture, catalogue };
        change(&self.service.runtime, &command.request, user.0, set).await
    }

    /// Remove a user's picture
    ///
    /// Removes an uploaded picture as well as the address of an external one. Needs the permission `user:user:write`.
    #[oai(
        path = "/v1/user/users/:user/remove-picture",
        method = "post",
        operation_id = "removeUserPicture",
        tag = "Tag::Users"
    )]
    async fn remove(&self, command: Command<Empty>, user: Path<Uuid>) -> ChangeResult {
        let remove = RemovePicture { user: id(&user), catalogue: self.service.catalogue.clone() };
        change(&self.service.runtime, &command.request, user.0, remove).await
    }
}
