//! Live changes of users, as GraphQL subscriptions.

use std::sync::Arc;

use face::event_object;
use face::graphql::{Context, LiveField, Node, Session, changes};
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
        is_user(&self.event).then(|| UserEvent(self.event.clone()))
    }
}

event_object! {
    /// A change of a user.
    pub struct UserEvent {
        /// Id of the user.
        fn user_id(&self) -> Option<Uuid> {
            self.0.aggregate_id.parse().ok()
        }

        /// The current user, with this change applied.
        async fn user(&self, context: &Context) -> FieldResult<Option<User>> {
            drop(context.reader_at(SERVICE, self.0.position).await?);
            User::of(context, self.user_id()).await
        }
    }
}

fn is_user(event: &RecordedEvent) -> bool {
    event.event_type.starts_with("user.user.")
}

/// Live changes in the caller's tenant, for the subscription fields named in `wanted`.
pub fn subscribe(session: Arc<Session>, wanted: Vec<String>) -> BoxStream<'static, FieldResult<UserSubscription>> {
    let field = LiveField { name: "userChanged", read: READ, shows: is_user };
    changes(session, SERVICE, field, &wanted).map_ok(|event| UserSubscription { event }).boxed()
}
