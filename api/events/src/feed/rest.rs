//! The feed in REST.

use std::collections::BTreeSet;

use face::{Authenticated, Identity, Incoming, Problem, Runtime, log_unreadable};
use futures::StreamExt;
use kernel::{Caller, Refusal, Service, TypePatterns};
use poem::http::{HeaderValue, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Query};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use serde_json::json;
use uuid::Uuid;

use super::cursor::Cursor;
use super::source::Source;
use super::stream::{self, Filter};
use crate::{Platform, Tag};

/// The operation that opens feeds.
pub struct Feeds {
    platform: Platform,
}

impl Feeds {
    /// Feeds of the platform's services.
    pub fn new(platform: Platform) -> Self {
        Self { platform }
    }
}

#[OpenApi(tag = "Tag::Events")]
impl Feeds {
    /// Follow the tenant's events
    ///
    /// A stream of server-sent events, in the order of the log and each exactly once: first the events that were recorded after
    /// the given position, then new events as they happen. The data of each event is a CloudEvent in JSON with the payload as
    /// stored. The id of each event is the position of the feed. To continue after an interruption, send it as Last-Event-ID
    /// (browsers do so automatically) or as `after`. Without either, the feed starts with new events.
    ///
    /// Needs the permission `<service>:history:read` of each service that is followed.
    #[oai(path = "/v1/events", method = "get", operation_id = "followEvents")]
    #[expect(clippy::too_many_arguments, reason = "an argument is a parameter of the query string")]
    async fn follow(
        &self,
        request: &poem::Request,
        Authenticated(caller): Authenticated,
        /// Only events of this service, such as `crm`. Default: all services that the caller may read.
        service: Query<Option<String>>,
        /// Only events of these types, separated by commas: `crm.lead.qualified,crm.account.*`.
        types: Query<Option<String>>,
        /// Only events of aggregates of this type, such as `crm.lead`.
        aggregate: Query<Option<String>>,
        /// Only events of the aggregate with this id.
        id: Query<Option<Uuid>>,
        /// Only events after this position: `crm=1234`, or a plain number if one service is followed. 0 starts with the first
        /// event.
        after: Query<Option<String>>,
        /// The id of the last event that the client received. It takes precedence over `after`.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
    ) -> Result<EventStream, Problem> {
        let services = self.services(&caller, service.0.as_deref())?;
        let aggregate = aggregate.0.map(|name| self.aggregate(name)).transpose()?;
        let id = id.0.map(|id| id.to_string());
        let filter = Filter { types: self.patterns(types.0.as_deref())?, aggregate, id };
        let names: Vec<Service> = services.iter().map(|runtime| runtime.service).collect();
        let cell = self.platform.cell.clone();
        // A client that has not received an event yet may send an empty id.
        let requested = match (last_event_id.0.filter(|id| !id.is_empty()), after.0) {
            (Some(id), _) => Cursor::parse("Last-Event-ID", &id, &names, cell.as_deref())?,
            (None, Some(after)) => Cursor::parse("after", &after, &names, cell.as_deref())?,
            (None, None) => vec![None; names.len()],
        };
        let running = self.platform.running_feeds.begin(caller.tenant(), self.platform.feeds.per_tenant, &names)?;
        let (mut sources, mut positions) = (Vec::new(), Vec::new());
        for (runtime, requested) in services.into_iter().zip(requested) {
            let head = runtime.store.head().await.map_err(|error| log_unreadable(&error))?;
            let after = requested.unwrap_or(head);
            if after > head {
                let detail =
                    format!("the position {after} is after the end of the log of {}, which is {head}", runtime.service);
                return Err(Refusal::invalid("position_ahead", detail).with("head", head.0).into());
            }
            running.at(runtime.service, after);
            positions.push((runtime.service, after));
            sources.push(Source::new(runtime, caller.tenant(), after, self.platform.feeds.heartbeat));
        }
        let Identity::Known { valid_for, .. } = &Incoming::of(request)?.identity else {
            return Err(Refusal::unauthenticated("token_missing", "this needs a token").into());
        };
        // The feed ends when the token expires or the server shuts down.
        let end = tokio::time::sleep(*valid_for);
        let stop = self.platform.stop.clone();
        let ended = async move {
            tokio::select! {
                () = end => {}
                () = stop.cancelled() => {}
            }
        };
        let cursor = Cursor::new(positions, cell);
        let bytes = stream::bytes(sources, cursor, filter, running, self.platform.feeds.heartbeat);
        Ok(EventStream(Body::from_bytes_stream(bytes.take_until(Box::pin(ended)))))
    }

    /// The services to follow: the named one, or all that the caller may read.
    fn services(&self, caller: &Caller, name: Option<&str>) -> Result<Vec<Runtime>, Refusal> {
        let here = &self.platform.services;
        let may = |runtime: &&Runtime| caller.may(&permission(runtime.service));
        let chosen: Vec<Runtime> = match name {
            Some(name) => here.iter().filter(|runtime| runtime.service.name() == name).cloned().collect(),
            None => here.iter().filter(may).cloned().collect(),
        };
        if let Some(name) = name
            && chosen.is_empty()
        {
            let names: Vec<&str> = here.iter().map(|runtime| runtime.service.name()).collect();
            let detail = format!("service: there is no service {name:?} here; allowed: {}", names.join(", "));
            return Err(Refusal::invalid("parameter_invalid", detail).with("parameter", "service"));
        }
        if chosen.is_empty() || !chosen.iter().all(|runtime| may(&runtime)) {
            let wanted = name.unwrap_or("<service>");
            let permission = format!("{wanted}:history:read");
            let detail = format!("this needs the permission {permission}, which none of the caller's roles gives");
            return Err(Refusal::forbidden("permission_missing", detail).with("permission", permission));
        }
        Ok(chosen)
    }

    fn patterns(&self, types: Option<&str>) -> Result<TypePatterns, Refusal> {
        let Some(types) = types else { return Ok(TypePatterns::default()) };
        TypePatterns::new(types.split(','), &self.platform.types).map_err(|error| {
            let detail = format!("types: {error}; GET /v1/events/types lists them");
            Refusal::invalid("event_type_unknown", detail).with("parameter", "types")
        })
    }

    /// Validates an aggregate type: there must be event types of it.
    fn aggregate(&self, name: String) -> Result<String, Refusal> {
        let known: BTreeSet<_> =
            self.platform.types.iter().filter_map(|event| event.name.rsplit_once('.')).map(|(of, _)| of).collect();
        if known.contains(&*name) {
            return Ok(name);
        }
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        let detail = format!("aggregate: there is no aggregate type {name:?}; allowed: {known}");
        Err(Refusal::invalid("parameter_invalid", detail).with("parameter", "aggregate"))
    }
}

/// The permission to read the events of a service.
fn permission(service: Service) -> String {
    format!("{service}:history:read")
}

/// A response with status 200: an endless stream of server-sent events.
pub struct EventStream(Body);

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        let mut response = Response::builder().content_type("text/event-stream").body(self.0);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Tells reverse proxies not to buffer the response, which would delay events.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

/// The schema of one event, as [`stream`] writes it: before OpenAPI 3.2, that of a stream of server-sent events is of each event.
fn schema() -> MetaSchema {
    let text = |description| {
        MetaSchemaRef::Inline(Box::new(MetaSchema { description: Some(description), ..MetaSchema::new("string") }))
    };
    let example = json!({
        "id": "crm=1042",
        "event": "crm.lead.qualified",
        "data": r#"{"specversion":"1.0","type":"crm.lead.qualified",…}"#,
    });
    MetaSchema {
        properties: vec![
            ("id", text("The position of the feed, to continue after this event")),
            ("event", text("The type of the event")),
            ("data", text("A CloudEvent as JSON, with the payload as stored")),
        ],
        required: vec!["id", "event", "data"],
        example: Some(example),
        ..MetaSchema::new("object")
    }
}

impl poem_openapi::ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The events, until the client disconnects, the token expires or the server stops",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: "text/event-stream",
                    schema: MetaSchemaRef::Inline(Box::new(schema())),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_: &mut Registry) {}
}
