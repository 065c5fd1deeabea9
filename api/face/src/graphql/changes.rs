//! Live events as fields of GraphQL subscriptions.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use juniper::FieldResult;
use kernel::{RecordedEvent, Service};

use super::Session;
use super::error::missed;

/// A field of a service's subscription.
#[derive(Clone, Copy, Debug)]
pub struct LiveField {
    /// The field's name.
    pub name: &'static str,
    /// The permission that a client needs to select it.
    pub read: &'static str,
    /// Which of the service's events it shows.
    pub shows: fn(&RecordedEvent) -> bool,
}

/// The live events of the caller's tenant that a field of a service's subscription shows. `wanted`: the fields that the client selected; if
/// the field is not among them, the stream has no items.
pub fn changes(
    session: Arc<Session>,
    service: Service,
    field: LiveField,
    wanted: &[String],
) -> BoxStream<'static, FieldResult<Arc<RecordedEvent>>> {
    let asked = wanted.iter().any(|name| name == field.name);
    let events = async move {
        if asked {
            session.require(field.read)?;
        }
        let events = session.subscribe(service).await?;
        FieldResult::Ok(events.map(|event| event.map_err(missed)))
    };
    let shown = move |event: &Arc<RecordedEvent>| futures::future::ready(asked && (field.shows)(event));
    stream::once(events).try_flatten().try_filter(shown).boxed()
}

/// Declares the object that shows an event of an aggregate: the version that it made, the kind of its change, the fields that are given here,
/// and its place and times in the event log. It wraps the event.
#[macro_export]
macro_rules! event_object {
    (
        $(#[$meta:meta])*
        pub struct $event:ident {
            $($field:tt)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $event(std::sync::Arc<kernel::RecordedEvent>);

        $(#[$meta])*
        #[juniper::graphql_object(context = $crate::graphql::Context)]
        impl $event {
            /// The version after the change.
            fn version(&self) -> i32 {
                $crate::graphql::int(self.0.sequence.cast_signed())
            }

            /// The kind of change: the last part of its event's type, such as `reassigned`.
            fn change(&self) -> &str {
                self.0.change()
            }

            $($field)*

            /// The position of the event in its service's event log.
            fn position(&self) -> $crate::graphql::BigInt {
                $crate::graphql::BigInt(self.0.position.0.into())
            }

            /// When the change happened.
            fn occurred_at(&self) -> chrono::DateTime<chrono::Utc> {
                self.0.occurred_at
            }

            /// When the event log recorded the change.
            fn recorded_at(&self) -> chrono::DateTime<chrono::Utc> {
                self.0.recorded_at
            }
        }
    };
}
