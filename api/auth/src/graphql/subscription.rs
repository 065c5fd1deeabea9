//! The subscription to changes of access.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use face::graphql::{BigInt, Context, LiveField, Session, changes};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use juniper::{FieldResult, graphql_object};
use kernel::RecordedEvent;

use crate::SERVICE;

/// The permission to see the changes.
const READ: &str = "auth:history:read";

/// A change in the auth service.
#[derive(Clone, Debug)]
pub struct AuthSubscription {
    event: Arc<RecordedEvent>,
}

/// A change in the auth service.
#[graphql_object(context = Context)]
impl AuthSubscription {
    /// A sign-in or request was accepted or refused, or access was granted or revoked.
    fn access_changed(&self) -> AccessEvent {
        AccessEvent { event: self.event.clone() }
    }
}

/// A change of access.
#[derive(Clone, Debug)]
pub struct AccessEvent {
    event: Arc<RecordedEvent>,
}

/// A change of access.
#[graphql_object(name = "AccessEvent", context = Context)]
impl AccessEvent {
    /// Event type, such as `auth.machine.refused`.
    fn event_type(&self) -> &str {
        &self.event.event_type
    }

    /// Id of the machine, grant, key or user that it concerns.
    fn about(&self) -> &str {
        &self.event.aggregate_id
    }

    /// Position in the service's log.
    fn position(&self) -> BigInt {
        BigInt(self.event.position.0.into())
    }

    /// When the change happened.
    fn occurred_at(&self) -> DateTime<Utc> {
        self.event.occurred_at
    }

    /// When the log recorded the change.
    fn recorded_at(&self) -> DateTime<Utc> {
        self.event.recorded_at
    }
}

/// Subscribes to changes of access in the caller's tenant.
pub fn subscribe(session: Arc<Session>, wanted: Vec<String>) -> BoxStream<'static, FieldResult<AuthSubscription>> {
    let field = LiveField { name: "accessChanged", read: READ, shows: |_| true };
    changes(session, SERVICE, field, &wanted).map_ok(|event| AuthSubscription { event }).boxed()
}
