//! The pictures that users have of themselves, for the REST operations and for the account page (the port `face::OwnPictures`). On that
//! page people have no token: the auth service says who is signed in, and they may do what a token of theirs would let them do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use executor::{Command, Executor, Permissions, Standing};
use face::OwnPictures;
use kernel::{Caller, Refusal, TenantId, UserId};
use keys::{Random, SystemRandom};
use projector::ReadModels;
use user_commands::{PictureFields, RemoveOwnPicture, SetOwnPicture};

/// How long a page waits until the directory shows the change.
const PATIENCE: Duration = Duration::from_secs(3);

/// Number of random bytes in a picture's id. Whoever knows the id can see the picture.
const CHANCE: usize = 24;

/// The uploaded picture (`file`: in base64), with an id that can't be guessed.
pub(crate) fn fields(file: String) -> Result<PictureFields, Refusal> {
    let mut chance = [0_u8; CHANCE];
    SystemRandom.fill(&mut chance).map_err(|error| eventstore::key_unusable(&error))?;
    Ok(PictureFields { file, id: URL_SAFE_NO_PAD.encode(chance) })
}

/// Implements [`OwnPictures`].
pub struct UserOwnPictures {
    executor: Executor,
    read_models: ReadModels,
    permissions: Arc<dyn Permissions>,
}

impl UserOwnPictures {
    /// Writes to the user service's log, and waits for its directory. `permissions`: what users may do.
    pub fn new(executor: Executor, read_models: ReadModels, permissions: Arc<dyn Permissions>) -> Self {
        Self { executor, read_models, permissions }
    }

    /// Runs a command as this user, and waits a moment until the directory shows what it changed.
    async fn run<C: Command>(&self, tenant: TenantId, user: UserId, command: &C) -> Result<(), Refusal> {
        let Standing::Active(permissions) = self.permissions.standing(tenant, user).await? else {
            let detail = "you can't sign in now: you are locked, deactivated or no longer a user";
            return Err(Refusal::unauthenticated("user_inactive", detail));
        };
        let caller = Caller::holding(tenant, user.to_string(), permissions);
        let done = self.executor.run(&caller, command).await?;
        if self.read_models.wait_for(tenant, done.position, PATIENCE).await.is_err() {
            tracing::debug!("the directory of users is late");
        }
        Ok(())
    }
}

#[async_trait]
impl OwnPictures for UserOwnPictures {
    async fn set(&self, tenant: TenantId, user: UserId, file: &[u8]) -> Result<(), Refusal> {
        self.run(tenant, user, &SetOwnPicture { picture: fields(STANDARD.encode(file))? }).await
    }

    async fn remove(&self, tenant: TenantId, user: UserId) -> Result<(), Refusal> {
        self.run(tenant, user, &RemoveOwnPicture).await
    }
}
