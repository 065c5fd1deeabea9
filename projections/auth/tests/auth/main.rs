//! The auth service's read models on a real Postgres, with the roles and policies of production.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sessions;
// The same test helpers as for CRM's read models.
#[allow(dead_code, reason = "nothing here counts rows")]
#[path = "../../../crm/tests/crm/stage.rs"]
mod stage;
#[path = "../../../crm/tests/crm/story.rs"]
mod story;

impl stage::Stage {
    /// All read models of the auth service, empty.
    pub async fn fresh() -> Self {
        Self::of("auth", auth_projections::projections()).await
    }
}
