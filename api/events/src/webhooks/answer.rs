//! Responses of the operations on webhooks.

mod examples;

use chrono::{DateTime, Utc};
use face::schema::{self, REPEATED_HEADER};
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::registry::{MetaResponses, Registry};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;
use webhooks::{Change, Delivery, Done, Endpoint, Outcome, State};

/// A webhook.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Webhook")]
pub struct Webhook {
    /// Its id.
    id: Uuid,
    /// Its version, which is also its ETag.
    version: u64,
    /// The service whose events are sent.
    service: &'static str,
    /// The URL to which events are sent.
    url: String,
    /// The types of events that are sent, as names or patterns such as `crm.lead.*`. Empty: all types.
    types: Vec<String>,
    /// Its purpose, as free text.
    description: String,
    /// `enabled`; `failing` (the last delivery attempt failed); or `disabled` (nothing is sent).
    #[schemars(extend("enum" = ["enabled", "failing", "disabled"]))]
    state: &'static str,
    /// Why it is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<String>,
    /// The position in the service's log up to which all events were delivered or did not match `types`.
    position: u64,
    /// Number of positions of the log that were not processed yet.
    lag_events: u64,
    /// Number of events that were delivered.
    delivered: u64,
    /// Number of failed attempts to deliver the next event.
    attempts: u32,
    /// Since when deliveries have been failing.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<DateTime<Utc>>,
    /// When the next attempt is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<DateTime<Utc>>,
    /// Until when messages are also signed with the previous secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    former_secret_until: Option<DateTime<Utc>>,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    changed_at: DateTime<Utc>,
}

impl Webhook {
    pub fn new(service: kernel::Service, endpoint: Endpoint) -> Self {
        let lag_events = endpoint.lag();
        let state = endpoint.state.as_str();
        Self {
            id: endpoint.id,
            version: endpoint.version,
            service: service.name(),
            url: endpoint.url,
            types: endpoint.types.as_slice().to_vec(),
            description: endpoint.description,
            state,
            disabled_reason: match endpoint.state {
                State::Disabled { reason } => Some(reason),
                State::Enabled | State::Failing => None,
            },
            position: endpoint.position.0,
            lag_events,
            delivered: endpoint.delivered,
            attempts: endpoint.attempts,
            failing_since: endpoint.failing_since,
            next_attempt_at: endpoint.next_attempt_at,
            former_secret_until: endpoint.former_secret_until,
            created_at: endpoint.created_at,
            changed_at: endpoint.changed_at,
        }
    }
}

/// All webhooks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Webhooks {
    /// The webhooks of each service, oldest first.
    pub webhooks: Vec<Webhook>,
}

/// One attempt to deliver one event.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookDelivery")]
pub struct DeliveryResource {
    /// Its id.
    id: Uuid,
    /// The header `webhook-id`: the event's id, the same in every attempt.
    webhook_id: Uuid,
    /// The event's type. A test message has the type `inopsio.webhook.ping`.
    event_type: String,
    /// The position of the event in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// The number of the attempt, counted from 1.
    attempt: u32,
    /// The time.
    sent_at: DateTime<Utc>,
    /// The response time in milliseconds.
    duration_ms: u64,
    /// The HTTP status of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The error. Absent if the event was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The beginning of the response's body.
    response: String,
}

impl From<Delivery> for DeliveryResource {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            webhook_id: delivery.message_id,
            event_type: delivery.event_type,
            position: delivery.position.map(|position| position.0),
            attempt: delivery.attempt,
            sent_at: delivery.sent_at,
            duration_ms: delivery.duration_ms,
            status: delivery.status,
            error: delivery.error,
            response: delivery.response,
        }
    }
}

/// A page of delivery attempts.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookDeliveries")]
pub struct Deliveries {
    /// The entries of the page, most recent first.
    pub deliveries: Vec<DeliveryResource>,
    /// The cursor of the next page: send it as `after`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Uuid>,
}

/// A change of a webhook's settings.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookChange")]
pub struct ChangeResource {
    /// The webhook's version after the change.
    version: u64,
    /// Who made the change: the subject of a token, or `inopsio` if the webhook was disabled because its deliveries failed.
    actor: String,
    /// The time.
    changed_at: DateTime<Utc>,
    /// The kind of change: `created`, `changed`, `enabled`, `disabled`, `secret_rotated`, `replayed` or `removed`.
    #[schemars(extend("enum" = ["created", "changed", "enabled", "disabled", "secret_rotated", "replayed", "removed"]))]
    change: String,
    /// Details of the change.
    detail: serde_json::Value,
}

impl From<Change> for ChangeResource {
    fn from(change: Change) -> Self {
        let Change { version, actor, changed_at, change, detail } = change;
        Self { version, actor, changed_at, change, detail }
    }
}

/// A page of a webhook's change history.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookChanges")]
pub struct Changes {
    /// The entries of the page, most recent first.
    pub changes: Vec<ChangeResource>,
    /// The cursor of the next page: send it as `after`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// The result of a test message.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookPing")]
pub struct Ping {
    /// Whether the receiver accepted it.
    delivered: bool,
    /// The HTTP status of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The error.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The response time in milliseconds.
    duration_ms: u64,
    /// The beginning of the response's body.
    response: String,
}

impl From<Outcome> for Ping {
    fn from(outcome: Outcome) -> Self {
        Self {
            delivered: outcome.delivered(),
            status: outcome.status,
            error: outcome.error,
            duration_ms: u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX),
            response: outcome.response,
        }
    }
}

/// The webhook that was changed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookChanged")]
struct Summary {
    /// The webhook's id.
    id: Uuid,
    /// Its version, which is also its ETag.
    version: u64,
}

/// A webhook and its new secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookSecretMade")]
struct WithSecret {
    /// The webhook's id.
    id: Uuid,
    /// Its version, which is also its ETag.
    version: u64,
    /// The new secret, `whsec_…`. It is shown only in this answer. Absent in the answer to a repeated request if the secret was
    /// rotated or the webhook removed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A response with status 200: the webhook was changed.
#[derive(Debug)]
pub struct Changed(pub Done);

/// A response with status 200: the webhook has a new secret.
#[derive(Debug)]
pub struct Rotated(pub Done);

/// A response with status 201: the webhook was created.
#[derive(Debug)]
pub struct Created(pub Done);

impl IntoResponse for Changed {
    fn into_response(self) -> Response {
        let Done { changed, repeated } = self.0;
        respond(&Summary { id: changed.id, version: changed.version }, changed.version, repeated)
    }
}

impl IntoResponse for Rotated {
    fn into_response(self) -> Response {
        let Done { changed, repeated } = self.0;
        let body = WithSecret { id: changed.id, version: changed.version, secret: changed.secret };
        let mut response = respond(&body, changed.version, repeated);
        // The response contains a secret, so it must not be cached.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl IntoResponse for Created {
    fn into_response(self) -> Response {
        let location = HeaderValue::from_str(&format!("/v1/events/webhooks/{}", self.0.changed.id));
        let mut response = Rotated(self.0).into_response();
        response.set_status(StatusCode::CREATED);
        if let Ok(location) = location {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

fn respond(body: &impl Serialize, version: u64, repeated: bool) -> Response {
    let mut response = Response::builder()
        .content_type("application/json")
        .body(Body::from_vec(serde_json::to_vec(body).unwrap_or_default()));
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        headers.insert(header::ETAG, tag);
    }
    if repeated {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

const ETAG: (&str, &str) = ("ETag", "The version of the webhook");

impl poem_openapi::ApiResponse for Changed {
    fn meta() -> MetaResponses {
        schema::answer::<Summary>(200, "Done", &[ETAG, REPEATED_HEADER])
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<Summary>(registry);
    }
}

impl poem_openapi::ApiResponse for Rotated {
    fn meta() -> MetaResponses {
        schema::answer::<WithSecret>(200, "Done", &[ETAG, REPEATED_HEADER])
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<WithSecret>(registry);
    }
}

impl poem_openapi::ApiResponse for Created {
    fn meta() -> MetaResponses {
        schema::answer::<WithSecret>(
            201,
            "Created",
            &[("Location", "The path of the new webhook"), ETAG, REPEATED_HEADER],
        )
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<WithSecret>(registry);
    }
}
