//! The event stream behind a field of a GraphQL subscription.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use juniper::FieldResult;
use kernel::{RecordedEvent, Service};

use super::Session;
use super::error::missed;

/// The live events of the caller's tenant that match the filter `tells`, for a field of a service's subscription.
///
/// `asked`: whether the client selected the field. If so, it needs the permission `read`; if not, the stream has no items.
pub fn changes(
    session: Arc<Session>,
    service: Service,
    (asked, read): (bool, &'static str),
    tells: fn(&RecordedEvent) -> bool,
) -> BoxStream<'static, FieldResult<Arc<RecordedEvent>>> {
    let events = async move {
        if asked {
            session.require(read)?;
        }
        let events = session.subscribe(service).await?;
        FieldResult::Ok(events.map(|event| event.map_err(missed)))
    };
    let wanted = move |event: &Arc<RecordedEvent>| futures::future::ready(asked && tells(event));
    stream::once(events).try_flatten().try_filter(wanted).boxed()
}
