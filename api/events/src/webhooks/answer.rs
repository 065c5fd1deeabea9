//! What the operations answer.

mod examples;

use chrono::{DateTime, Utc};
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
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
    /// Its version: the ETag.
    version: u64,
    /// The service whose events are sent.
    service: &'static str,
    /// Where.
    url: String,
    /// Names of event types, or `crm.lead.*`; none: every type.
    types: Vec<String>,
    /// What it is for.
    description: String,
    /// `enabled`; `failing`: the last attempt was not taken; `disabled`: nothing is sent.
    #[schemars(extend("enum" = ["enabled", "failing", "disabled"]))]
    state: &'static str,
    /// Why it is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<String>,
    /// Everything up to here was delivered, or is not wanted.
    position: u64,
    /// Positions of the log that were not looked at yet.
    lag_events: u64,
    /// How many events were delivered.
    delivered: u64,
    /// How often the event that comes next was not taken.
    attempts: u32,
    /// Since when nothing is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<DateTime<Utc>>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<DateTime<Utc>>,
    /// Until when the former secret signs, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    former_secret_until: Option<DateTime<Utc>>,
    /// When it was set up.
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
    /// The oldest of each service first.
    pub webhooks: Vec<Webhook>,
}

/// One attempt to deliver one event.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookDelivery")]
pub struct DeliveryResource {
    /// Its id.
    id: Uuid,
    /// The `webhook-id`: the event's id, the same in each attempt.
    webhook_id: Uuid,
    /// The event's type; `inopsio.webhook.ping`: a test.
    event_type: String,
    /// Where the event stands in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// Which attempt it was, from 1.
    attempt: u32,
    /// When.
    sent_at: DateTime<Utc>,
    /// How long the answer took.
    duration_ms: u64,
    /// The HTTP status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// What went wrong; absent: it was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The beginning of the answer.
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

/// What was delivered, or tried.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookDeliveries")]
pub struct Deliveries {
    /// The last first.
    pub deliveries: Vec<DeliveryResource>,
    /// Where the next page begins: send it as `after`. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Uuid>,
}

/// What somebody did with a webhook.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookChange")]
pub struct ChangeResource {
    /// The webhook's version after it.
    version: u64,
    /// Who: the subject of a token, or `inopsio`, when it was disabled because it failed.
    actor: String,
    /// When.
    changed_at: DateTime<Utc>,
    /// `created`, `changed`, `enabled`, `disabled`, `secret_rotated`, `replayed` or `removed`.
    #[schemars(extend("enum" = ["created", "changed", "enabled", "disabled", "secret_rotated", "replayed", "removed"]))]
    change: String,
    /// More of it.
    detail: serde_json::Value,
}

impl From<Change> for ChangeResource {
    fn from(change: Change) -> Self {
        let Change { version, actor, changed_at, change, detail } = change;
        Self { version, actor, changed_at, change, detail }
    }
}

/// Who did what, and when.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookChanges")]
pub struct Changes {
    /// The last first.
    pub changes: Vec<ChangeResource>,
    /// Where the next page begins: send it as `after`. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What became of a test message.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookPing")]
pub struct Ping {
    /// Whether the receiver took it.
    delivered: bool,
    /// The HTTP status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// How long the answer took.
    duration_ms: u64,
    /// The beginning of the answer.
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

/// What was changed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookChanged")]
struct Summary {
    /// The webhook's id.
    id: Uuid,
    /// Its version: its ETag.
    version: u64,
}

/// What was made, with a secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookSecretMade")]
struct WithSecret {
    /// The webhook's id.
    id: Uuid,
    /// Its version: its ETag.
    version: u64,
    /// The new secret, `whsec_…`: no other answer has it. Absent in the answer to a repeated request, when it was rotated since, or the
    /// webhook removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// 200: what was changed.
#[derive(Debug)]
pub struct Changed(pub Done);

/// 200: the webhook that has a new secret.
#[derive(Debug)]
pub struct Rotated(pub Done);

/// 201: the webhook that was made.
#[derive(Debug)]
pub struct Made(pub Done);

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
        // Secrets are for no cache.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl IntoResponse for Made {
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

fn meta<T: JsonSchema>(status: u16, description: &'static str, headers: &[(&str, &str)]) -> MetaResponses {
    let header = |(name, description): &(&str, &str)| MetaHeader {
        name: (*name).to_owned(),
        description: Some((*description).to_owned()),
        required: false,
        deprecated: false,
        schema: String::schema_ref(),
    };
    MetaResponses {
        responses: vec![MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: MetaSchemaRef::Reference(face::schema::name::<T>()),
            }],
            headers: headers.iter().map(header).collect(),
        }],
    }
}

const ETAG: (&str, &str) = ("ETag", "The webhook's version");
const REPLAYED: (&str, &str) =
    ("Idempotency-Replayed", "true: this is the first answer to the same key, and nothing was done again");

impl poem_openapi::ApiResponse for Changed {
    fn meta() -> MetaResponses {
        meta::<Summary>(200, "Done", &[ETAG, REPLAYED])
    }

    fn register(registry: &mut Registry) {
        face::schema::register_answer::<Summary>(registry);
    }
}

impl poem_openapi::ApiResponse for Rotated {
    fn meta() -> MetaResponses {
        meta::<WithSecret>(200, "Done", &[ETAG, REPLAYED])
    }

    fn register(registry: &mut Registry) {
        face::schema::register_answer::<WithSecret>(registry);
    }
}

impl poem_openapi::ApiResponse for Made {
    fn meta() -> MetaResponses {
        meta::<WithSecret>(201, "Made", &[("Location", "Where it is"), ETAG, REPLAYED])
    }

    fn register(registry: &mut Registry) {
        face::schema::register_answer::<WithSecret>(registry);
    }
}
