//! Subscriptions: what happens in a service, as it happens.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use juniper::FieldResult;
use kernel::{RecordedEvent, Service};

use super::Session;
use super::error::missed;

/// The events of the caller's tenant from now on that a field of a service's subscription shows: those of which it `tells`.
///
/// `asked`: whether anybody asks for the field; then it needs the permission `read`, and otherwise nothing comes.
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
