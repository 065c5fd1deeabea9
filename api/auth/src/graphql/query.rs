//! Questions about signing in.

use face::graphql::Context;
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use super::machine::{self, Machine, MachineConnection, MachineFilter};

/// Machines and their keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthQuery;

#[graphql_object(context = Context)]
impl AuthQuery {
    /// A machine; `null`: unknown.
    async fn machine(context: &Context, id: Uuid) -> FieldResult<Option<Machine>> {
        Machine::of(context, id).await
    }

    /// Machines, by name.
    async fn machines(
        context: &Context,
        filter: Option<MachineFilter>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<MachineConnection> {
        machine::list(context, filter, first, after).await
    }
}
