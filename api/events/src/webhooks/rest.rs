//! Webhooks in REST. Every change is a POST, as for commands.

use face::{Authenticated, Command, Count, Empty, Parameter, Plain, Problem, Resource};
use kernel::{Caller, Position, Refusal};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;
use webhooks::{Act, EndpointFields, READ, Request, WRITE};

use super::answer::{Changed, Changes, Deliveries, Made, Ping, Rotated, Webhook, Webhooks};
use crate::{Platform, Tag};

/// The operations on webhooks.
pub struct WebhookSettings {
    platform: Platform,
}

impl WebhookSettings {
    /// The webhooks of these services.
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
    /// Where: `https://…`, a public address.
    #[schemars(length(max = 2048))]
    url: String,
    /// Names of event types, or `crm.lead.*`; none: every type.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(max = 200)))]
    types: Vec<String>,
    /// What it is for.
    #[serde(default)]
    #[schemars(length(max = 200))]
    description: String,
    /// After this position of the service's log; without it, from now on. 0: from the first event on.
    #[serde(default)]
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    after: Option<u64>,
}

/// What a webhook is: all of it, what is left out is gone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"url": "https://hooks.example.com/inopsio", "types": ["crm.lead.*"], "description": "the data warehouse"}))]
struct WebhookDetails {
    /// Where: `https://…`, a public address.
    #[schemars(length(max = 2048))]
    url: String,
    /// Names of event types, or `crm.lead.*`; none: every type.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(max = 200)))]
    types: Vec<String>,
    /// What it is for.
    #[serde(default)]
    #[schemars(length(max = 200))]
    description: String,
}

/// Why nothing is sent any more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DisableWebhook")]
#[schemars(example = serde_json::json!({"reason": "the receiver is being moved"}))]
struct Disable {
    /// Why, for people.
    #[serde(default)]
    #[schemars(length(max = 200))]
    reason: String,
}

/// How long the former secret is good.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RotateWebhookSecret")]
#[schemars(example = serde_json::json!({"overlap_hours": 24}))]
struct Rotate {
    /// For how many hours the former secret signs, too: 0 to 168.
    #[serde(default = "a_day")]
    #[schemars(range(max = 168))]
    overlap_hours: u32,
}

/// What is delivered again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayWebhook")]
#[schemars(example = serde_json::json!({"after": 1000}))]
struct Replay {
    /// Everything after this position is delivered (again); 0: everything.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    after: u64,
}

const fn a_day() -> u32 {
    24
}

#[OpenApi(tag = "Tag::Webhooks")]
impl WebhookSettings {
    /// All webhooks
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

    /// Set a webhook up
    ///
    /// Its events are sent as CloudEvents in JSON, signed as the Standard Webhooks specification says (`webhook-id`,
    /// `webhook-timestamp`, `webhook-signature`), in order, each until the receiver answers 2xx. The answer has the secret: it
    /// is not shown again.
    ///
    /// Needs `<service>:history:read`, too.
    #[oai(path = "/v1/events/webhooks", method = "post", operation_id = "createWebhook")]
    async fn create(&self, command: Command<NewWebhook>) -> Result<Made, Problem> {
        let NewWebhook { service, url, types, description, after } = command.body;
        let home = self.platform.webhooks.iter().find(|webhooks| webhooks.service().name() == service);
        let Some(home) = home else {
            let names: Vec<_> = self.platform.webhooks.iter().map(|webhooks| webhooks.service().name()).collect();
            let detail = format!("there is no service {service:?} here; allowed: {}", names.join(", "));
            let error = kernel::FieldError { pointer: "/service".to_owned(), code: "service_unknown", detail };
            return Err(Refusal::fields(vec![error]).into());
        };
        let fields = EndpointFields { url, types, description };
        let act = Act::Create { fields, after: after.map(Position) };
        Ok(Made(home.carry_out(&request(command.request)?, act).await?))
    }

    /// A webhook as it is now
    ///
    /// Needs the permission `events:webhook:read`.
    #[oai(path = "/v1/events/webhooks/:webhook", method = "get", operation_id = "getWebhook")]
    async fn get(
        &self,
        Authenticated(caller): Authenticated,
        webhook: Path<Uuid>,
    ) -> Result<Resource<Webhook>, Problem> {
        caller.require(READ)?;
        let (home, endpoint) = self.find(&caller, webhook.0).await?;
        let version = endpoint.version;
        Ok(Resource { body: Webhook::new(home.service(), endpoint), version })
    }

    /// Replace what a webhook is
    ///
    /// What is left out is gone. Needs the permission `events:webhook:write`.
    #[oai(path = "/v1/events/webhooks/:webhook/change", method = "post", operation_id = "changeWebhook")]
    async fn change(&self, command: Command<WebhookDetails>, webhook: Path<Uuid>) -> Result<Changed, Problem> {
        let WebhookDetails { url, types, description } = command.body;
        let fields = EndpointFields { url, types, description };
        self.act(command.request, webhook.0, Act::Change { id: webhook.0, fields }).await
    }

    /// Send again to a webhook that was disabled, or failing, from where it was
    ///
    /// Needs the permission `events:webhook:write`.
    #[oai(path = "/v1/events/webhooks/:webhook/enable", method = "post", operation_id = "enableWebhook")]
    async fn enable(&self, command: Command<Empty>, webhook: Path<Uuid>) -> Result<Changed, Problem> {
        self.act(command.request, webhook.0, Act::Enable { id: webhook.0 }).await
    }

    /// Send nothing to a webhook any more; where it is, is kept
    ///
    /// Needs the permission `events:webhook:write`.
    #[oai(path = "/v1/events/webhooks/:webhook/disable", method = "post", operation_id = "disableWebhook")]
    async fn disable(&self, command: Command<Disable>, webhook: Path<Uuid>) -> Result<Changed, Problem> {
        let act = Act::Disable { id: webhook.0, reason: command.body.reason };
        self.act(command.request, webhook.0, act).await
    }

    /// Give a webhook a new secret; the former one signs beside it for a while
    ///
    /// The answer has the new secret: it is not shown again. Needs the permission `events:webhook:write`.
    #[oai(path = "/v1/events/webhooks/:webhook/rotate-secret", method = "post", operation_id = "rotateWebhookSecret")]
    async fn rotate(&self, command: Command<Rotate>, webhook: Path<Uuid>) -> Result<Rotated, Problem> {
        let act = Act::RotateSecret { id: webhook.0, overlap_hours: command.body.overlap_hours };
        let Changed(done) = self.act(command.request, webhook.0, act).await?;
        Ok(Rotated(done))
    }

    /// Deliver again what comes after a position
    ///
    /// Also what was delivered before. Needs the permission `events:webhook:write`.
    #[oai(path = "/v1/events/webhooks/:webhook/replay", method = "post", operation_id = "replayWebhook")]
    async fn replay(&self, command: Command<Replay>, webhook: Path<Uuid>) -> Result<Changed, Problem> {
        let act = Act::Replay { id: webhook.0, after: Position(command.body.after) };
        self.act(command.request, webhook.0, act).await
    }

    /// Take a webhook away
    ///
    /// Needs the permission `events:webhook:write`.
    #[oai(path = "/v1/events/webhooks/:webhook/remove", method = "post", operation_id = "removeWebhook")]
    async fn remove(&self, command: Command<Empty>, webhook: Path<Uuid>) -> Result<Changed, Problem> {
        self.act(command.request, webhook.0, Act::Remove { id: webhook.0 }).await
    }

    /// Send a test message to a webhook now, and say what became of it
    ///
    /// It is signed as events are; its type is `inopsio.webhook.ping`. Needs the permission `events:webhook:write`.
    #[oai(path = "/v1/events/webhooks/:webhook/ping", method = "post", operation_id = "pingWebhook")]
    async fn ping(&self, command: Command<Empty>, webhook: Path<Uuid>) -> Result<Plain<Ping>, Problem> {
        let caller = &command.request.caller;
        caller.require(WRITE)?;
        let (home, _) = self.find(caller, webhook.0).await?;
        Ok(Plain(home.ping(caller.tenant(), webhook.0).await?.into()))
    }

    /// What was delivered to a webhook, or tried, the last first
    ///
    /// Needs the permission `events:webhook:read`.
    #[oai(path = "/v1/events/webhooks/:webhook/deliveries", method = "get", operation_id = "listWebhookDeliveries")]
    async fn deliveries(
        &self,
        Authenticated(caller): Authenticated,
        webhook: Path<Uuid>,
        /// How many: 1 to 200; 50 unless given.
        limit: Query<Option<Parameter<Count>>>,
        /// `next` of the page before.
        after: Query<Option<Uuid>>,
    ) -> Result<Plain<Deliveries>, Problem> {
        caller.require(READ)?;
        let Parameter(Count(limit)) = limit.0.unwrap_or_default();
        let (home, _) = self.find(&caller, webhook.0).await?;
        let mut found = home.deliveries(caller.tenant(), webhook.0, after.0, limit + 1).await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more).map(|last| last.id);
        Ok(Plain(Deliveries { deliveries: found.into_iter().map(Into::into).collect(), next }))
    }

    /// Who did what with a webhook, the last first; also with one that was removed
    ///
    /// Needs the permission `events:webhook:read`.
    #[oai(path = "/v1/events/webhooks/:webhook/changes", method = "get", operation_id = "listWebhookChanges")]
    async fn changes(
        &self,
        Authenticated(caller): Authenticated,
        webhook: Path<Uuid>,
        /// How many: 1 to 200; 50 unless given.
        limit: Query<Option<Parameter<Count>>>,
        /// `next` of the page before.
        after: Query<Option<u64>>,
    ) -> Result<Plain<Changes>, Problem> {
        caller.require(READ)?;
        let Parameter(Count(limit)) = limit.0.unwrap_or_default();
        for webhooks in &self.platform.webhooks {
            let mut found = webhooks.changes(caller.tenant(), webhook.0, after.0, limit + 1).await?;
            if !found.is_empty() {
                let more = found.len() > limit as usize;
                found.truncate(limit as usize);
                let next = found.last().filter(|_| more).map(|last| last.version);
                return Ok(Plain(Changes { changes: found.into_iter().map(Into::into).collect(), next }));
            }
        }
        // No more of them after that one; of an unknown webhook there are none at all.
        if after.0.is_some() {
            for webhooks in &self.platform.webhooks {
                if !webhooks.changes(caller.tenant(), webhook.0, None, 1).await?.is_empty() {
                    return Ok(Plain(Changes { changes: Vec::new(), next: None }));
                }
            }
        }
        Err(Refusal::not_found("not_found", format!("there is no webhook {}", webhook.0))
            .with("resource", "webhook")
            .into())
    }

    async fn act(&self, asked: executor::Request, id: Uuid, act: Act) -> Result<Changed, Problem> {
        let request = request(asked)?;
        request.caller.require(WRITE)?;
        // What was removed under this very request is not there any more, and may be asked for again.
        let home = match self.find(&request.caller, id).await {
            Ok((home, _)) => home,
            Err(refusal) if request.command_id.is_some() => self.platform.webhooks.first().ok_or(refusal)?,
            Err(refusal) => return Err(refusal.into()),
        };
        Ok(Changed(home.carry_out(&request, act).await?))
    }

    /// The service that has a webhook of the caller's tenant, and the webhook.
    async fn find(&self, caller: &Caller, id: Uuid) -> Result<(&webhooks::Webhooks, webhooks::Endpoint), Refusal> {
        for webhooks in &self.platform.webhooks {
            if let Some(endpoint) = webhooks.find(caller.tenant(), id).await? {
                return Ok((webhooks, endpoint));
            }
        }
        Err(Refusal::not_found("not_found", format!("there is no webhook {id}")).with("resource", "webhook"))
    }
}

/// The same circumstances, for what is no event: it can't be said to have happened at another time.
fn request(asked: executor::Request) -> Result<Request, Refusal> {
    face::only_now(&asked, "webhooks")?;
    let executor::Request { caller, command_id, request_hash, if_match, .. } = asked;
    Ok(Request { caller, command_id, request_hash, if_match })
}
