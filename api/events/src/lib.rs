//! The API by which other systems get events, under `/v1/events`: the catalogue of event types ([`catalogue`]), a tenant's feed
//! ([`feed`]) and its webhooks ([`webhooks`](mod@webhooks)).
//!
//! This is not a domain: it has no aggregates and no log of its own, and works on each service in the process through its
//! [`Runtime`]. To read a service's events, callers need that service's own permission `<service>:history:read`.
//!
//! To add an operation: add a file with its `OpenApi`, and its lines in [`Rest`] and in [`rest`].

pub mod catalogue;
pub mod feed;
pub mod webhooks;

use std::sync::Arc;

use face::Runtime;
use kernel::EventType;
use poem_openapi::Tags;
use tokio_util::sync::CancellationToken;

/// All operations.
pub type Rest = (catalogue::Catalogue, feed::Feeds, webhooks::WebhookSettings);

/// The dependencies of the operations.
#[derive(Clone)]
pub struct Platform {
    /// The services of this process.
    pub services: Vec<Runtime>,
    /// The event types of all services, whether they run here or elsewhere.
    pub types: Arc<[EventType]>,
    /// The webhooks of each service.
    pub webhooks: Vec<::webhooks::Webhooks>,
    /// Limits and intervals of feeds.
    pub feeds: feed::Settings,
    /// The name of this process's cell, if it has one.
    pub cell: Option<Arc<str>>,
    /// The open feeds of this process.
    pub running_feeds: feed::RunningFeeds,
    /// Cancelled when the server shuts down; open feeds end then.
    pub stop: CancellationToken,
}

/// All operations over running services.
pub fn rest(platform: &Platform) -> Rest {
    (
        catalogue::Catalogue::new(&platform.types),
        feed::Feeds::new(platform.clone()),
        webhooks::WebhookSettings::new(platform.clone()),
    )
}

/// How the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Events: their types, and a live feed.
    Events,
    /// Webhooks: the delivery of events to servers of the tenant.
    Webhooks,
}
