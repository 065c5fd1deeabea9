//! Live changes in CRM, as GraphQL subscriptions.

use std::sync::Arc;

use face::event_object;
use face::graphql::{Context, LiveField, Node, Session, changes};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use juniper::{FieldResult, graphql_object};
use kernel::RecordedEvent;
use uuid::Uuid;

use super::lead::{Lead, READ};
use crate::SERVICE;

/// Changes in CRM, as they happen.
#[derive(Clone, Debug)]
pub struct CrmSubscription {
    event: Arc<RecordedEvent>,
}

/// Changes in CRM, as they happen.
#[graphql_object(context = Context)]
impl CrmSubscription {
    /// A lead changed.
    fn lead_changed(&self) -> Option<LeadEvent> {
        is_lead(&self.event).then(|| LeadEvent(self.event.clone()))
    }
}

event_object! {
    /// A change of a lead.
    pub struct LeadEvent {
        /// The lead's id.
        fn lead_id(&self) -> Option<Uuid> {
            self.0.aggregate_id.parse().ok()
        }

        /// The lead's current state, which includes this change.
        async fn lead(&self, context: &Context) -> FieldResult<Option<Lead>> {
            drop(context.reader_at(SERVICE, self.0.position).await?);
            Lead::of(context, self.lead_id()).await
        }
    }
}

fn is_lead(event: &RecordedEvent) -> bool {
    event.event_type.starts_with("crm.lead.")
}

/// Live changes in the caller's tenant, for the subscription fields named in `wanted`.
pub fn subscribe(session: Arc<Session>, wanted: Vec<String>) -> BoxStream<'static, FieldResult<CrmSubscription>> {
    let field = LiveField { name: "leadChanged", read: READ, shows: is_lead };
    changes(session, SERVICE, field, &wanted).map_ok(|event| CrmSubscription { event }).boxed()
}
