//! The port by which the auth service's account page changes the picture that people have of themselves. Pictures belong to the user
//! service, which implements it with the commands of its own operations; the gateway connects the two.

use async_trait::async_trait;
use kernel::{Refusal, TenantId, UserId};

/// Sets and removes the pictures that users have of themselves.
#[async_trait]
pub trait OwnPictures: Send + Sync {
    /// Sets or replaces the picture of a user who is signed in, with all checks and limits of the operation `setMyPicture`. When it returns,
    /// [`People`](crate::People) knows the result, or will know it a moment later.
    ///
    /// # Errors
    /// When the file is not an allowed picture, when the user uploaded too many, or when it is not possible at the moment.
    async fn set(&self, tenant: TenantId, user: UserId, file: &[u8]) -> Result<(), Refusal>;

    /// Removes the picture of a user who is signed in, as the operation `removeMyPicture` does: an uploaded one as well as the address of
    /// an external one.
    ///
    /// # Errors
    /// When it is not possible at the moment.
    async fn remove(&self, tenant: TenantId, user: UserId) -> Result<(), Refusal>;
}
