//! Secrets from Vault. A stub of the KV version 2 API stands in for Vault: it answers as Vault's documentation says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use config::{Config, ConfigError, Known};
use poem::endpoint::make;
use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::{EndpointExt, Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const TOKEN: &str = "hvs.the-token";

/// A stub of Vault's KV version 2: maps paths to status and body, for requests with the token.
struct VaultStub {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl VaultStub {
    async fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let endpoint = make(move |request: Request| {
            let log = log.clone();
            async move {
                log.lock().unwrap().push(request.uri().path().to_owned());
                let (status, body) = answer(&request);
                Ok::<_, poem::Error>(
                    Response::builder().status(status).content_type("application/json").body(body.to_string()),
                )
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let acceptor = TcpAcceptor::from_tokio(listener).unwrap();
        tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(endpoint.boxed()));
        Self { address, asked }
    }

    /// Loads a configuration with these secrets.
    async fn load(&self, secrets: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
        let mut flags = vec![("vault.address", self.address.clone()), ("vault.token", TOKEN.to_owned())];
        flags.extend(secrets.iter().map(|(key, value)| (*key, (*value).to_owned())));
        tokio::task::spawn_blocking(|| Config::load(None, flags, &Known::default())).await.unwrap()
    }
}

fn answer(request: &Request) -> (StatusCode, Value) {
    if request.header("x-vault-token") != Some(TOKEN) {
        return (StatusCode::FORBIDDEN, json!({ "errors": ["permission denied"] }));
    }
    let versioned = |data: Value| json!({ "data": { "data": data, "metadata": { "version": 3, "destroyed": false } } });
    match (request.uri().path(), request.header("x-vault-namespace")) {
        ("/v1/secret/data/inopsio/crm", None) => {
            (StatusCode::OK, versioned(json!({ "password": "12345", "claim": "5e".repeat(32), "number": 7 })))
        }
        ("/v1/secret/data/inopsio/crm", Some("eu")) => (StatusCode::OK, versioned(json!({ "password": "of the eu" }))),
        ("/v1/secret/data/deleted", _) => (StatusCode::OK, versioned(Value::Null)),
        ("/v1/kv1/data/old", _) => (StatusCode::OK, json!({ "data": "s3cret of version 1" })),
        ("/v1/secret/data/sealed", _) => (StatusCode::SERVICE_UNAVAILABLE, json!({ "errors": [] })),
        _ => (StatusCode::NOT_FOUND, json!({ "errors": [] })),
    }
}

#[tokio::test]
async fn a_secret_is_read_where_the_setting_says_each_place_once() {
    let vault = VaultStub::start().await;
    let config = vault
        .load(&[
            ("postgres.password", "vault:secret/inopsio/crm#password"),
            ("postgres.claim_key", "vault:secret/inopsio/crm#claim"),
            ("nats.token", "given here"),
        ])
        .await
        .unwrap();
    assert_eq!(config.postgres.password.reveal(), "12345");
    assert_eq!(config.postgres.claim_key.reveal(), "5e".repeat(32));
    assert_eq!(config.nats.token.reveal(), "given here");
    assert_eq!(*vault.asked.lock().unwrap(), ["/v1/secret/data/inopsio/crm"]);
    assert!(!format!("{config:?}").contains("12345"));

    let password = ("postgres.password", "vault:secret/inopsio/crm#password");
    let config = vault.load(&[password, ("vault.namespace", "eu")]).await.unwrap();
    assert_eq!(config.postgres.password.reveal(), "of the eu");
}

#[tokio::test]
async fn what_is_not_to_be_had_stops_the_start_with_the_setting_and_the_reason() {
    let vault = VaultStub::start().await;
    for (reference, reason) in [
        ("vault:secret/inopsio/crm#pasword", "there is no key pasword"),
        ("vault:secret/inopsio/crm#number", "no text"),
        ("vault:secret/nothing#password", "404"),
        ("vault:secret/deleted#password", "deleted"),
        ("vault:secret/sealed#password", "sealed"),
        ("vault:kv1/old#password", "KV version 2"),
        ("vault:secret#password", "vault:<mount>/<path>#<key>"),
    ] {
        let refused = vault.load(&[("postgres.password", reference)]).await.unwrap_err().to_string();
        for part in ["postgres.password", "INOPSIO_POSTGRES_PASSWORD", reference, reason] {
            assert!(refused.contains(part), "{refused:?} does not say {part:?}");
        }
        assert!(!refused.contains("s3cret") && !refused.contains("12345"), "{refused}");
    }
    // Secrets from Vault are validated like others.
    let weak =
        vault.load(&[("postgres.claim_key", "vault:secret/inopsio/crm#password")]).await.unwrap_err().to_string();
    assert!(weak.contains("64 hexadecimal digits") && !weak.contains("12345"), "{weak}");

    let password = ("postgres.password", "vault:secret/inopsio/crm#password");
    let stranger = vault.load(&[password, ("vault.token", "hvs.other")]).await.unwrap_err().to_string();
    assert!(stranger.contains("403") && !stranger.contains("hvs."), "{stranger}");
    let tokenless = vault.load(&[password, ("vault.token", "")]).await.unwrap_err().to_string();
    assert!(tokenless.contains("INOPSIO_VAULT_TOKEN"), "{tokenless}");
    let nowhere = vault.load(&[password, ("vault.address", "vault.internal")]).await.unwrap_err().to_string();
    assert!(nowhere.contains("INOPSIO_VAULT_ADDRESS"), "{nowhere}");
    // A port that was free a moment ago: nothing listens there.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let away = vault.load(&[password, ("vault.address", &format!("http://{free}"))]).await.unwrap_err().to_string();
    assert!(away.contains("does not answer"), "{away}");
}

#[tokio::test]
async fn nobody_asks_vault_where_no_secret_is_there() {
    let vault = VaultStub::start().await;
    vault.load(&[("postgres.password", "12345"), ("vault.token", "")]).await.unwrap();
    assert!(vault.asked.lock().unwrap().is_empty());
}
