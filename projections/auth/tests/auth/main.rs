//! The read models of signing in on a real Postgres, under the roles and policies of production.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sessions;
// The same stage and stories as for CRM's read models.
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
