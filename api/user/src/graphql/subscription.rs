//! Live changes of users, as GraphQL subscriptions.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use face::graphql::{BigInt, Context, Node, Session, changes, int};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use juniper::{FieldResult, graphql_object};
use kernel::RecordedEvent;
use uuid::Uuid;

use super::user::{READ, User};
use crate::SERVICE;

/// A change in the user service.
#[derive(Clone, Debug)]
pub struct UserSubscription {
    event: Arc<RecordedEvent>,
}

/// A change in the user service.
#[graphql_object(context = Context)]
impl UserSubscription {
    /// A change of a user.
    fn user_changed(&self) -> Option<UserEvent> {
        is_user(&self.event).then(|| UserEvent { event: self.event.clone() })
    }
}

/// A change of a user.
#[derive(Clone, Debug)]
pub struct UserEvent {
    event: Arc<RecordedEvent>,
}

/// A change of a user.
#[graphql_object(name = "UserEvent", context = Context)]
impl UserEvent {
    /// Id of the user.
    fn user_id(&self) -> Option<Uuid> {
        self.event.aggregate_id.parse().ok()
    }

    /// Version of the user after the change.
    fn version(&self) -> i32 {
        int(self.event.sequence.cast_signed())
    }

    /// Type of change, such as `role_granted`.
    fn change(&self) -> &str {
        self.event.change()
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

    /// The current user, with this change applied.
    async fn user(&self, context: &Context) -> FieldResult<Option<User>> {
        drop(context.reader_at(SERVICE, self.event.position).await?);
        User::of(context, self.user_id()).await
    }
}

fn is_user(event: &RecordedEvent) -> bool {
    event.event_type.starts_with("user.user.")
}

/// Live changes in the caller's tenant, for the subscription fields named in `wanted`.
pub fn subscribe(session: Arc<Session>, wanted: Vec<String>) -> BoxStream<'static, FieldResult<UserSubscription>> {
    let asked = wanted.iter().any(|field| field == "userChanged");
    changes(session, SERVICE, (asked, READ), is_user).map_ok(|event| UserSubscription { event }).boxed()
}
