//! The user service's read models on a real Postgres, with the roles and policies of production.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod directory;
mod dry_run;
mod isolation;
mod search;
// The same test helpers as for CRM's read models.
#[allow(dead_code, reason = "nothing here counts rows")]
#[path = "../../../crm/tests/crm/stage.rs"]
mod stage;
#[path = "../../../crm/tests/crm/story.rs"]
mod story;

impl stage::Stage {
    /// All read models of the user service, empty.
    pub async fn fresh() -> Self {
        Self::of("user", user_projections::projections()).await
    }
}
