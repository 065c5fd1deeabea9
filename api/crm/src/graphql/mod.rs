//! CRM in GraphQL.

use std::sync::Arc;

use face::graphql::{Context, Session};
use futures::stream::BoxStream;
use juniper::{FieldResult, graphql_object};

/// CRM's queries.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrmQuery;

#[graphql_object(context = Context)]
impl CrmQuery {
    /// The caller's tenant.
    fn tenant(context: &Context) -> String {
        context.caller().tenant().to_string()
    }
}

/// What changed in CRM.
#[derive(Clone, Debug)]
pub struct CrmSubscription {
    lead: String,
}

#[graphql_object(context = Context)]
impl CrmSubscription {
    /// The lead that changed.
    fn lead_changed(&self) -> &str {
        &self.lead
    }
}

/// Changes of the wanted things, as they happen.
pub fn subscribe(_: Arc<Session>, _: Vec<String>) -> BoxStream<'static, FieldResult<CrmSubscription>> {
    Box::pin(futures::stream::pending())
}
