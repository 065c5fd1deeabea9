//! Live changes in CRM, as GraphQL subscriptions.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use face::graphql::{BigInt, Context, Node, Session, changes, int};
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
        is_lead(&self.event).then(|| LeadEvent { event: self.event.clone() })
    }
}

/// A change of a lead.
#[derive(Clone, Debug)]
pub struct LeadEvent {
    event: Arc<RecordedEvent>,
}

/// A change of a lead.
#[graphql_object(name = "LeadEvent", context = Context)]
impl LeadEvent {
    /// The lead's id.
    fn lead_id(&self) -> Option<Uuid> {
        self.event.aggregate_id.parse().ok()
    }

    /// The lead's version after the change.
    fn version(&self) -> i32 {
        int(self.event.sequence.cast_signed())
    }

    /// The kind of change, such as `qualified`.
    fn change(&self) -> &str {
        self.event.change()
    }

    /// The position of the event in CRM's event log.
    fn position(&self) -> BigInt {
        BigInt(self.event.position.0.into())
    }

    /// When it happened.
    fn occurred_at(&self) -> DateTime<Utc> {
        self.event.occurred_at
    }

    /// When the event log recorded it.
    fn recorded_at(&self) -> DateTime<Utc> {
        self.event.recorded_at
    }

    /// The lead's current state, which includes this change.
    async fn lead(&self, context: &Context) -> FieldResult<Option<Lead>> {
        drop(context.reader_at(SERVICE, self.event.position).await?);
        Lead::of(context, self.lead_id()).await
    }
}

fn is_lead(event: &RecordedEvent) -> bool {
    event.event_type.starts_with("crm.lead.")
}

/// Live changes in the caller's tenant, for the subscription fields named in `wanted`.
pub fn subscribe(session: Arc<Session>, wanted: Vec<String>) -> BoxStream<'static, FieldResult<CrmSubscription>> {
    let asked = wanted.iter().any(|field| field == "leadChanged");
    changes(session, SERVICE, (asked, READ), is_lead).map_ok(|event| CrmSubscription { event }).boxed()
}
