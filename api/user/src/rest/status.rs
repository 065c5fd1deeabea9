//! Whether users may sign in: lock and unlock, deactivate and reactivate, remove, erase.

use face::operation::{self, ChangeResult, change, id};
use face::{Command, Empty};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::Deserialize;
use user_commands::{DeactivateUser, EraseUser, LockUser, ReactivateUser, RemoveUser, UnlockUser};
use user_jobs::FORGET_IMPORTS;
use uuid::Uuid;

use super::{Service, Tag, form};

/// Operations on the state of users.
pub struct Statuses {
    service: Service,
}

impl Statuses {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// Why the user is locked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"reason": "a lost laptop"}))]
struct LockReason {
    /// Reason, for those who look into it later.
    #[schemars(with = "form::Reason")]
    reason: String,
}

/// Why the user is deactivated, optionally.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"reason": "on leave until May"}))]
struct DeactivateReason {
    /// Reason, for those who look into it later.
    #[serde(default)]
    #[schemars(with = "Option<form::Reason>")]
    reason: Option<String>,
}

#[OpenApi(tag = "Tag::Users")]
impl Statuses {
    /// Lock a user
    ///
    /// Something is wrong, so the user can't sign in until they are unlocked.
    ///
    /// If the state of the user does not allow it, the answer is 409 `user_step_not_allowed` with the steps that are allowed. Needs the
    /// permission `user:user:write`.
    #[oai(path = "/v1/user/users/:user/lock", method = "post", operation_id = "lockUser")]
    async fn lock(&self, command: Command<LockReason>, user: Path<Uuid>) -> ChangeResult {
        let catalogue = self.service.catalogue.clone();
        let lock = LockUser { user: id(&user), reason: command.body.reason, catalogue };
        change(&self.service.runtime, &command.request, user.0, lock).await
    }

    /// Unlock a user
    ///
    /// If the state of the user does not allow it, the answer is 409 `user_step_not_allowed` with the steps that are allowed. Needs the
    /// permission `user:user:write`.
    #[oai(path = "/v1/user/users/:user/unlock", method = "post", operation_id = "unlockUser")]
    async fn unlock(&self, command: Command<Empty>, user: Path<Uuid>) -> ChangeResult {
        let unlock = UnlockUser { user: id(&user), catalogue: self.service.catalogue.clone() };
        change(&self.service.runtime, &command.request, user.0, unlock).await
    }

    /// Deactivate a user
    ///
    /// A deactivated user does not work for the tenant for now, and can't sign in until they are reactivated.
    ///
    /// If the state of the user does not allow it, the answer is 409 `user_step_not_allowed` with the steps that are allowed. Needs the
    /// permission `user:user:write`.
    #[oai(path = "/v1/user/users/:user/deactivate", method = "post", operation_id = "deactivateUser")]
    async fn deactivate(&self, command: Command<DeactivateReason>, user: Path<Uuid>) -> ChangeResult {
        let catalogue = self.service.catalogue.clone();
        let deactivate = DeactivateUser { user: id(&user), reason: command.body.reason, catalogue };
        change(&self.service.runtime, &command.request, user.0, deactivate).await
    }

    /// Reactivate a user
    ///
    /// If the state of the user does not allow it, the answer is 409 `user_step_not_allowed` with the steps that are allowed. Needs the
    /// permission `user:user:write`.
    #[oai(path = "/v1/user/users/:user/reactivate", method = "post", operation_id = "reactivateUser")]
    async fn reactivate(&self, command: Command<Empty>, user: Path<Uuid>) -> ChangeResult {
        let reactivate = ReactivateUser { user: id(&user), catalogue: self.service.catalogue.clone() };
        change(&self.service.runtime, &command.request, user.0, reactivate).await
    }

    /// Remove a user
    ///
    /// They are no longer a user, and their e-mail address and user name can be used again. Their name stays in what they did. The tenant's
    /// last owner can't be removed.
    #[oai(path = "/v1/user/users/:user/remove", method = "post", operation_id = "removeUser")]
    async fn remove(&self, command: Command<Empty>, user: Path<Uuid>) -> ChangeResult {
        let remove = RemoveUser { user: id(&user), catalogue: self.service.catalogue.clone() };
        change(&self.service.runtime, &command.request, user.0, remove).await
    }

    /// Erase a user's personal data
    ///
    /// What they did stays in the history under an id that does not reveal who it was. Files of users that were uploaded for imports before
    /// are deleted. This can't be undone.
    #[oai(path = "/v1/user/users/:user/erase", method = "post", operation_id = "eraseUser")]
    async fn erase(&self, command: Command<Empty>, user: Path<Uuid>) -> ChangeResult {
        let (user_id, catalogue) = (id(&user), self.service.catalogue.clone());
        let erase = |forget| EraseUser { user: user_id, catalogue, forget };
        Ok(operation::erase(&self.service.runtime, &command.request, user.0, FORGET_IMPORTS, erase).await?)
    }
}
