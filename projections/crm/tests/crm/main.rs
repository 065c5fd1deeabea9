//! CRM's read models on a real Postgres, under the roles and policies of production.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod board;
mod deals;
mod directories;
mod erasing;
mod indexes;
mod isolation;
mod leads;
mod movement;
mod refusals;
mod stage;
mod story;

impl stage::Stage {
    /// All read models of CRM, empty.
    pub async fn fresh() -> Self {
        Self::of("crm", crm_projections::projections()).await
    }
}
