//! Webhooks in REST. Every change is a POST, as for commands.

use face::operation::UnstoredResult;
use face::{Authenticated, Command, Count, Empty, Parameter, Plain, Problem, Resource, Unstored};
use kernel::{Caller, Position, Refusal};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;
use webhooks::{EndpointCommand, EndpointFields, READ, Request, WRITE};

use super::answer::{Changed, Changes, Created, Deliveries, Ping, Rotated, Webhook, Webhooks};
use crate::{Platform, Tag};

/// The operations on webhooks.
pub struct WebhookSettings {
    platform: Platform,
}

impl WebhookSettings {
    /// Operations on the webhooks of the platform's services.
    pub fn new(platform: Platform) -> Self {
        Self { platform }
    }
}

/// A new webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"service": "crm", "url": "https://hooks.example.com/inopsio", "types": ["crm.lead.*"], "description": "the data warehouse"}))]
struct NewWebhook {
    /// The service whose events are sent, such as `crm`.
    #[schemars(length(max = 40))]
    service: String,
    /// The URL to which events are sent: `https://…`, at a public address.
    #[schemars(length(max = 2048))]
    url: String,
    /// The types of events to send, as names or patterns such as `crm.lead.*`. Empty: all types.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(max = 200)))]
    types: Vec<String>,
    /// Its purpose, as free text.
    #[serde(default)]
    #[schemars(length(max = 200))]
    description: String,
    /// Send only events after this position of the service's log. 0 starts with the first event. Default: only new events.
    #[serde(default)]
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    after: Option<u64>,
}

/// All settings of a webhook. Omitted fields are cleared.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"url": "https://hooks.example.com/inopsio", "types": ["crm.lead.*"], "description": "the data warehouse"}))]
struct WebhookDetails {
    /// The URL to which events are sent: `https://…`, at a public address.
    #[schemars(length(max = 2048))]
    url: String,
    /// The types of events to send, as names or patterns such as `crm.lead.*`. Empty: all types.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(max = 200)))]
    types: Vec<String>,
    /// Its purpose, as free text.
    #[serde(default)]
    #[schemars(length(max = 200))]
    description: String,
}

/// The reason for disabling a webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DisableWebhook")]
#[schemars(example = serde_json::json!({"reason": "the receiver is being moved"}))]
struct Disable {
    /// Free text.
    #[serde(default)]
    #[schemars(length(max = 200))]
    reason: String,
}

/// How long the previous secret stays valid.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RotateWebhookSecret")]
#[schemars(example = serde_json::json!({"overlap_hours": 24}))]
struct Rotate {
    /// Number of hours during which messages are also signed with the previous secret: 0 to 168.
    #[serde(default = "a_day")]
    #[schemars(range(max = 168))]
    overlap_hours: u32,
}

/// The events to deliver again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayWebhook")]
#[schemars(example = serde_json::json!({"after": 1000}))]
struct Replay {
    /// All events after this position are delivered, also those that were delivered before. 0: all events.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    after: u64,
}

const fn a_day() -> u32 {
    24
}

#[OpenApi(tag = "Tag::Webhooks")]
impl WebhookSettings {
    /// List all webhooks
    ///
    /// Needs the permission `events:webhook:read`.
    #[oai(path = "/v1/events/webhooks", method = "get", operation_id = "listWebhooks")]
    async fn list(&self, Authenticated(caller): Authenticated) -> Result<Plain<Webhooks>, Problem> {
        caller.require(READ)?;
        let mut all = Vec::new();
        for webhooks in &self.platform.webhooks {
            let endpoints = webhooks.list(caller.tenant()).await?;
            all.extend(endpoints.into_iter().map(|endpoint| Webhook::new(webhooks.service(), endpoint)));
        }
        Ok(Plain(Webhooks { webhooks: all }))
    }

    /// Create a webhook
    ///
    /// Events are sent as CloudEvents in JSON, signed according to the Standard Webhooks specification (`webhook-id`,
    /// `webhook-timestamp`, `webhook-signature`). They are sent in order; each is retried until the receiver answers 2xx. The
    /// answer contains the secret, which is not shown again.
    ///
    /// Needs the permissions `events:webhook:write` and `<service>:history:read`.
    #[oai(path = "/v1/events/webhooks", method = "post", operation_id = "createWebhook")]
    async fn create(&self, command: Command<NewWebhook>) -> Result<Created, Problem> {
        let NewWebhook { service, url, types, description, after } = command.body;
        let home = self.platform.webhooks.iter().find(|webhooks| webhooks.service().name() == service);
        let Some(home) = home else {
            let names: Vec<_> = self.platform.webhooks.iter().map(|webhooks| webhooks.service().name()).collect();
            let detail = format!("there is no service {service:?} here; allowed: {}", names.join(", "));
            return Err(Refusal::field("/service", "service_unknown", detail).into());
        };
        let fields = EndpointFields { url, types, description };
        let act = EndpointCommand::Create { fields, after: after.map(Position) };
        Ok(Created(home.carry_out(&request(command.request)?, act).await?))
    }

    /// Get a webhook's current state
    ///
    /// Needs the permission `events:webhook:read`.
    #[oai(path = "/v1/events/webhooks/:webhook", method = "get", operation_id = "getWebhook")]
    async fn get(&self, Authenticated(caller): Authenticated, webhook: Path<Uuid>) -> UnstoredResult<Webhook> {
        caller.require(READ)?;
        let (home, endpoint) = self.find(&caller, webhook.0).await?;
        let version = endpoint.version;
        Ok(Unstored(Resource { body: Webhook::new(home.service(), endpoint), version }))
    }

    /// Replace a webhook's settings
    ///
    /// Omitted fields are cleared. Needs the permissions `events:webhook:write` and `<service>:history:read`.
    #[oai(path = "/v1/events/webhooks/:webhook/change", method = "post", operation_id = "changeWebhook")]
    async fn change(&self, command: Command<WebhookDetails>, webhook: Path<Uuid>) -> Result<Changed, Problem> {
        let WebhookDetails { url, types, description } = command.body;
        let fields = EndpointFields { url, types, description };
        self.act(command.request, webhook.0, EndpointCommand::Change { id: webhook.0, fields }).await
    }

    /// Enable a webhook that is disabled or failing
    ///
    /// Delivery continues with the event where it stopped. Needs the permissions `events:webhook:write` and `<service>:history:read`.
    #[oai(path = "/v1/events/webhooks/:webhook/enable", method = "post", operation_id = "enableWebhook")]
    async fn enable(&self, command: Command<Empty>, webhook: Path<Uuid>) -> Result<Changed, Problem> {
        self.act(command.request, webhook.0, EndpointCommand::Enable { id: webhook.0 }).await
    }

    /// Disable a webhook
    ///
    /// Nothing is sent until the webhook is enabled again. Its position is kept. Needs the permission `events:webhook:write`.
    #[oai(path = "/v1/events/webhooks/:webhook/disable", method = "post", operation_id = "disableWebhook")]
    async fn disable(&self, command: Command<Disable>, webhook: Path<Uuid>) -> Result<Changed, Problem> {
        let act = EndpointCommand::Disable { id: webhook.0, reason: command.body.reason };
        self.act(command.request, webhook.0, act).await
    }

    /// Rotate a webhook's secret
    ///
    /// The answer contains the new secret, which is not shown again. For `overlap_hours`, messages are also signed with the
    /// previous secret. Needs the permissions `events:webhook:write` and `<service>:history:read`.
    #[oai(path = "/v1/events/webhooks/:webhook/rotate-secret", method = "post", operation_id = "rotateWebhookSecret")]
    async fn rotate(&self, command: Command<Rotate>, webhook: Path<Uuid>) -> Result<Rotated, Problem> {
        let act = EndpointCommand::RotateSecret { id: webhook.0, overlap_hours: command.body.overlap_hours };
        let Changed(done) = self.act(command.request, webhook.0, act).await?;
        Ok(Rotated(done))
    }

    /// Deliver the events after a position again
    ///
    /// This includes events that were delivered before. Needs the permissions `events:webhook:write` and `<service>:history:read`.
    #[oai(path = "/v1/events/webhooks/:webhook/replay", method = "post", operation_id = "replayWebhook")]
    async fn replay(&self, command: Command<Replay>, webhook: Path<Uuid>) -> Result<Changed, Problem> {
        let act = EndpointCommand::Replay { id: webhook.0, after: Position(command.body.after) };
        self.act(command.request, webhook.0, act).await
    }

    /// Remove a webhook
    ///
    /// Needs the permission `events:webhook:write`.
    #[oai(path = "/v1/events/webhooks/:webhook/remove", method = "post", operation_id = "removeWebhook")]
    async fn remove(&self, command: Command<Empty>, webhook: Path<Uuid>) -> Result<Changed, Problem> {
        self.act(command.request, webhook.0, EndpointCommand::Remove { id: webhook.0 }).await
    }

    /// Send a test message to a webhook
    ///
    /// The message is sent at once, and the answer shows the result. It is signed like an event and has the type
    /// `inopsio.webhook.ping`. Needs the permission `events:webhook:write`.
    #[oai(path = "/v1/events/webhooks/:webhook/ping", method = "post", operation_id = "pingWebhook")]
    async fn ping(&self, command: Command<Empty>, webhook: Path<Uuid>) -> Result<Plain<Ping>, Problem> {
        let caller = &command.request.caller;
        caller.require(WRITE)?;
        face::refuse_event_headers(&command.request, "test messages")?;
        let (home, _) = self.find(caller, webhook.0).await?;
        Ok(Plain(home.ping(caller.tenant(), webhook.0).await?.into()))
    }

    /// List a webhook's delivery attempts, most recent first
    ///
    /// Needs the permission `events:webhook:read`.
    #[oai(path = "/v1/events/webhooks/:webhook/deliveries", method = "get", operation_id = "listWebhookDeliveries")]
    async fn deliveries(
        &self,
        Authenticated(caller): Authenticated,
        webhook: Path<Uuid>,
        /// Page size: 1 to 200. Default: 50.
        limit: Query<Option<Parameter<Count>>>,
        /// The cursor of the page: `next` of the previous page.
        after: Query<Option<Uuid>>,
    ) -> Result<Plain<Deliveries>, Problem> {
        caller.require(READ)?;
        let Parameter(limit) = limit.0.unwrap_or_default();
        let (home, _) = self.find(&caller, webhook.0).await?;
        let found = home.deliveries(caller.tenant(), webhook.0, after.0, limit.selected()).await?;
        let (found, next) = limit.page(found, |last| last.id);
        Ok(Plain(Deliveries { deliveries: found.into_iter().map(Into::into).collect(), next }))
    }

    /// List a webhook's changes, most recent first
    ///
    /// This also works for a webhook that was removed. Needs the permission `events:webhook:read`.
    #[oai(path = "/v1/events/webhooks/:webhook/changes", method = "get", operation_id = "listWebhookChanges")]
    async fn changes(
        &self,
        Authenticated(caller): Authenticated,
        webhook: Path<Uuid>,
        /// Page size: 1 to 200. Default: 50.
        limit: Query<Option<Parameter<Count>>>,
        /// The cursor of the page: `next` of the previous page.
        after: Query<Option<u64>>,
    ) -> Result<Plain<Changes>, Problem> {
        caller.require(READ)?;
        let Parameter(limit) = limit.0.unwrap_or_default();
        for webhooks in &self.platform.webhooks {
            let found = webhooks.changes(caller.tenant(), webhook.0, after.0, limit.selected()).await?;
            if !found.is_empty() {
                let (found, next) = limit.page(found, |last| last.version);
                return Ok(Plain(Changes { changes: found.into_iter().map(Into::into).collect(), next }));
            }
        }
        // The page is empty. If the webhook has changes, the cursor is the last of them; if it has none at all, it does not exist.
        if after.0.is_some() {
            for webhooks in &self.platform.webhooks {
                if !webhooks.changes(caller.tenant(), webhook.0, None, 1).await?.is_empty() {
                    return Ok(Plain(Changes { changes: Vec::new(), next: None }));
                }
            }
        }
        Err(Refusal::absent("webhook", webhook.0).into())
    }

    async fn act(&self, asked: executor::Request, id: Uuid, act: EndpointCommand) -> Result<Changed, Problem> {
        let request = request(asked)?;
        request.caller.require(WRITE)?;
        match self.find(&request.caller, id).await {
            Ok((home, _)) => Ok(Changed(home.carry_out(&request, act).await?)),
            // A repeated request to remove a webhook does not find it any more. The service that had it knows the first answer.
            Err(refusal) => {
                for webhooks in &self.platform.webhooks {
                    if let Some(done) = webhooks.repeated(&request).await? {
                        return Ok(Changed(done));
                    }
                }
                Err(refusal.into())
            }
        }
    }

    /// The service that has a webhook of the caller's tenant, and the webhook.
    async fn find(&self, caller: &Caller, id: Uuid) -> Result<(&webhooks::Webhooks, webhooks::Endpoint), Refusal> {
        for webhooks in &self.platform.webhooks {
            if let Some(endpoint) = webhooks.find(caller.tenant(), id).await? {
                return Ok((webhooks, endpoint));
            }
        }
        Err(Refusal::absent("webhook", id))
    }
}

/// The request in the form that the webhooks need.
///
/// # Errors
/// `header_invalid` if it has the header `Occurred-At`: a change of a webhook is not an event, and can't be backdated.
fn request(asked: executor::Request) -> Result<Request, Refusal> {
    face::refuse_backdating(&asked, "webhooks")?;
    let executor::Request { caller, command_id, request_hash, if_match, .. } = asked;
    Ok(Request { caller, command_id, request_hash, if_match })
}
