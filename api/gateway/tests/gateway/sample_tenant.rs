//! A tenant with data of every kind, for tests that check whether another tenant can see any of it.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use user_commands::Purpose;

use crate::issuers::Machine;
use crate::websocket::Socket;
use crate::world::{Answer, World};

/// The sellers' role.
pub const SELLER: &str = "seller";

/// The name of the role with only this permission.
fn role_of(permission: &str) -> String {
    format!("just_{}", permission.replace(':', "_"))
}

/// The tenant with data of every kind.
pub struct SampleTenant {
    pub world: World,
    /// The ids of its resources, by the names of path parameters; no other tenant may see any of them.
    pub ids: BTreeMap<&'static str, String>,
}

impl SampleTenant {
    /// `permissions`: for each of these, a role with only this permission is created.
    pub async fn build(permissions: impl IntoIterator<Item = &'static str>) -> Self {
        let world = World::start_with(|config| {
            config.rate_limits.tenant_per_second = 0;
            config.rate_limits.token_per_second = 0;
            config.graphql.cost = 1_000_000;
            // Otherwise sending would be retried, which appends events.
            config.mail.catch = true;
            config.webhooks.allow_private = true;
        })
        .await;
        let mut sample = Self { world, ids: BTreeMap::new() };
        sample.sell().await;
        sample.hire(permissions).await;
        sample.connect().await;
        sample
    }

    async fn done(&self, path: &str, body: Value) -> Value {
        let done = self.world.post(path, body).await;
        assert!(done.status.is_success(), "{path}: {done:?}");
        done.body
    }

    /// Creates a resource, and stores its id under a name.
    async fn make(&mut self, name: &'static str, path: &str, body: Value) -> String {
        let made = self.done(path, body).await;
        let id = made["id"].as_str().unwrap().to_owned();
        self.ids.insert(name, id.clone());
        id
    }

    /// Imports a file with one row; returns the id of the import.
    async fn import(&self, path: &str, file: &'static str) -> String {
        let request = self.world.request(Method::POST, path).header("content-type", "text/csv").body(file);
        let done = Answer::of(request).await;
        assert_eq!(done.status, StatusCode::OK, "{done:?}");
        done.body["import_id"].as_str().unwrap().to_owned()
    }

    /// A lead that was converted to an account, a contact and an opportunity.
    async fn sell(&mut self) {
        let stages = json!({ "name": "Sales", "stages": [{ "name": "Open", "probability": 10 }] });
        let pipeline = self.make("pipeline", "/v1/crm/pipelines", stages).await;
        let shown = self.world.get(&format!("/v1/crm/pipelines/{pipeline}")).await;
        self.ids.insert("stage", shown.body["stages"][0]["id"].as_str().unwrap().to_owned());
        let ada = json!({ "name": "Ada", "company": "Acme", "owner": "ada" });
        let lead = self.make("lead", "/v1/crm/leads", ada).await;
        for step in ["start-work", "qualify"] {
            self.done(&format!("/v1/crm/leads/{lead}/{step}"), json!({})).await;
        }
        let deal = json!({ "name": "A deal", "pipeline": pipeline, "amount": { "minor": 1, "currency": "EUR" },
            "close_date": "2030-01-01" });
        let converted = self.done(&format!("/v1/crm/leads/{lead}/convert"), json!({ "opportunity": deal })).await;
        for name in ["account", "contact", "opportunity"] {
            self.ids.insert(name, converted[name].as_str().unwrap().to_owned());
        }
        let import = self.import("/v1/crm/leads/import", "name\nMary\n").await;
        self.ids.insert("import", import);
    }

    /// Users, groups, roles and invitations.
    async fn hire(&mut self, permissions: impl IntoIterator<Item = &'static str>) {
        for permission in permissions {
            let role = json!({ "name": role_of(permission), "title": permission, "permissions": [permission] });
            self.done("/v1/user/roles", role).await;
        }
        let seller = json!({ "name": SELLER, "title": "Seller", "permissions": ["crm:lead:write"] });
        self.done("/v1/user/roles", seller).await;
        let bob = json!({ "name": "Bob", "email": "bob@example.com", "roles": [SELLER] });
        let user = self.make("user", "/v1/user/users", bob).await;
        let sold = self.world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(self.world.token_of_user(&user));
        assert_eq!(Answer::of(sold.json(&json!({ "name": "Eve" }))).await.status, StatusCode::CREATED);
        let group = self.make("group", "/v1/user/groups", json!({ "name": "Sales" })).await;
        let north = self.make("parent", "/v1/user/organizations", json!({ "name": "North" })).await;
        let west = json!({ "name": "North-west", "parent": north });
        let west = self.make("organization", "/v1/user/organizations", west).await;
        self.done(&format!("/v1/user/groups/{group}/change-members"), json!({ "join": [user] })).await;
        self.done(&format!("/v1/user/organizations/{west}/change-members"), json!({ "join": [user] })).await;
        let grace = json!({ "email": "grace@example.com" });
        let invitation = self.make("invitation", "/v1/user/invitations", grace).await;
        let link = crate::users::link(&self.world, Purpose::Invitation, &invitation, 1);
        let accept = self.world.anonymous(Method::POST, "/v1/user/invitations/accept");
        let accepted = Answer::of(accept.json(&json!({ "link": link, "name": "Grace" }))).await;
        assert_eq!(accepted.status, StatusCode::CREATED, "{accepted:?}");
        self.make("domain", "/v1/user/domains", json!({ "domain": "acme.example" })).await;
        let import = self.import("/v1/user/users/import", "email,name\nmary@example.com,Mary\n").await;
        self.ids.insert("user_import", import);
        // The saga that mails the invitation.
        let sagas = testbed::eventually("a saga", async || {
            let sagas = self.world.get("/v1/sagas/user").await.body["sagas"].take();
            sagas[0]["id"].as_str().map(str::to_owned)
        });
        let saga = sagas.await;
        self.ids.insert("saga", saga);
    }

    /// Machines, API keys, signing keys, applications, webhooks and jobs.
    async fn connect(&mut self) {
        let machine = Machine::register(&self.world, "importer", &["viewer"]).await;
        let (key, _) = machine.api_key(&self.world, json!({})).await;
        self.ids.extend([("machine", machine.id), ("api_key", key)]);
        let rotated = self.done("/v1/auth/signing-keys/rotate", json!({})).await;
        self.ids.insert("kid", rotated["kid"].as_str().unwrap().to_owned());
        let app = json!({ "name": "app", "confidential": true, "redirect_uris": ["https://app.example.com/back"] });
        self.make("client", "/v1/auth/clients", app).await;
        let hook = json!({ "service": "crm", "url": "http://127.0.0.1:9/nobody" });
        self.make("webhook", "/v1/events/webhooks", hook).await;
        let export = json!({ "kind": "export_leads" });
        self.make("job", "/v1/jobs/crm", export.clone()).await;
        self.make("batch", "/v1/jobs/crm/batches", json!({ "jobs": [export] })).await;
        let yearly = json!({ "kind": "export_leads", "cron": "0 6 1 1 *" });
        self.make("schedule", "/v1/jobs/crm/schedules", yearly).await;
    }

    /// Sends a query, once the read models have reached the ends of all logs, with a token.
    pub async fn ask(&self, token: &str, text: &str) -> Value {
        let mut positions = Vec::new();
        for service in gateway::SERVICES.iter().map(|service| service.name()) {
            positions.push(format!("{service}={}", self.world.head_of_all(self.world.of(service)).await));
        }
        let request = self.world.anonymous(Method::POST, "/graphql").bearer_auth(token);
        let request = request.header("x-min-position", positions.join(",")).json(&json!({ "query": text }));
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{text}: {answer:?}");
        answer.body
    }

    /// The messages of a connection while all services append events. It does so repeatedly, because a subscription starts some time after
    /// the request for it.
    pub async fn happens(&self, socket: &mut Socket) -> Value {
        let seen = async {
            loop {
                self.world.lead("Ada").await;
                let user = json!({ "name": "Eve", "email": format!("{}@example.com", testbed::tenant()) });
                assert_eq!(self.world.post("/v1/user/users", user).await.status, StatusCode::CREATED);
                Machine::register(&self.world, &testbed::tenant().to_string(), &[]).await;
                if let Ok(message) = tokio::time::timeout(Duration::from_millis(200), socket.hear()).await {
                    return message;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), seen).await.expect("something within 30 s")
    }

    /// A token with only this permission.
    pub fn may<'p>(&self, permissions: impl IntoIterator<Item = &'p str>) -> String {
        let roles: Vec<_> = permissions.into_iter().filter(|one| !one.is_empty()).map(role_of).collect();
        self.world.token_with(&roles.iter().map(String::as_str).collect::<Vec<_>>())
    }
}
