//! Making the projector's own tables and the projections' live ones.

use std::sync::Arc;

use eventstore::Database;
use sqlx::postgres::PgConnectOptions;

use crate::{Error, Projection};

/// What [`migrate`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Projections whose tables were made.
    pub created: Vec<&'static str>,
    /// Projections whose stored version is another than the program's: they stand still until they are rebuilt.
    pub needs_rebuild: Vec<&'static str>,
}

/// Makes what is missing: the schema `projector`, and the tables of projections that have no checkpoint yet, in the schema
/// named after the service. Run [`eventstore::admin::migrate`] before it. Safe to run again and at the same time.
pub async fn migrate(
    _admin: &PgConnectOptions,
    _database: &Database,
    _projections: &[Arc<dyn Projection>],
) -> Result<Migrated, Error> {
    todo!()
}
