//! Sign-in through a third-party identity provider, end to end: pysaml2 (`tests/outside/saml.py`).

use std::path::{Path, PathBuf};
use std::process::Output;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection as _;
use testbed::eventually;
use tokio::process::Command;

use crate::issuers::issuer;
use crate::sign_in::{self, App};
use crate::world::{Answer, World};

const BACK: &str = "https://app.example.com/back";
const LOGIN: &str = "ada@example.com";

/// The names of the attributes `displayName` and `eduPersonAffiliation` as pysaml2 sends them.
const NAME: &str = "urn:oid:2.16.840.1.113730.3.1.241";
const AFFILIATION: &str = "urn:oid:1.3.6.1.4.1.5923.1.1.1.1";

/// The identity provider, with a folder for its keys.
struct Pysaml2 {
    folder: PathBuf,
    metadata: String,
    /// `redirect` or `post`: the binding for logging out on both sides.
    leaves_by: &'static str,
}

impl Drop for Pysaml2 {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The folder of third-party programs.
fn outside() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/outside")
}

impl Pysaml2 {
    /// None: pysaml2 is not installed, and the test is skipped.
    async fn set_up() -> Option<Self> {
        Self::set_up_with("redirect").await
    }

    async fn set_up_with(leaves_by: &'static str) -> Option<Self> {
        let there = outside().join(".venv-saml").exists()
            && Command::new("xmlsec1").arg("--version").output().await.is_ok_and(|found| found.status.success());
        if !there {
            eprintln!("left out: pysaml2 or xmlsec1 is not here; `scripts/setup test` says why, or puts it there");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("inopsio-saml-{}", testbed::free_port()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut provider = Self { folder, metadata: String::new(), leaves_by };
        provider.metadata = provider.runs("metadata", &[]).await;
        Some(provider)
    }

    async fn runs(&self, mode: &str, env: &[(&str, &str)]) -> String {
        let Output { status, stdout, stderr } = Command::new(outside().join(".venv-saml/bin/python"))
            .arg("-W")
            .arg("ignore")
            .arg(outside().join("saml.py"))
            .arg(mode)
            .arg(&self.folder)
            .env("LEAVES_BY", self.leaves_by)
            .envs(env.iter().copied())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&stdout).trim().to_owned();
        assert!(status.success(), "{mode}: {said}{}", String::from_utf8_lossy(&stderr));
        said
    }

    /// The settings of the connection to it.
    fn connection(&self, unrequested: bool, roles: &Value) -> Value {
        json!({
            "name": "Example Inc.",
            "metadata": self.metadata,
            "domains": ["example.com"],
            "provider_initiated": unrequested,
            "admits": true,
            "attributes": { "name": NAME, "roles": AFFILIATION },
            "roles": roles,
        })
    }

    /// Signs Ada in through it.
    async fn signs_in(&self, world: &World, app: &App, connection: &str, mode: &str, signs: &str) {
        // What it signs, and its encryption.
        let (signs, encrypts) = signs.split_once(", ").unwrap_or((signs, ""));
        let env = [
            ("URL", world.url.as_str()),
            ("ISSUER", &issuer(world)),
            ("CONNECTION", &format!("{}/saml/{connection}", issuer(world))),
            ("APPLICATION", &app.asks(world)),
            ("BACK", BACK),
            ("LOGIN", LOGIN),
            ("NAME", "Ada Lovelace"),
            ("SIGNS", signs),
            ("ENCRYPTS", encrypts),
        ];
        assert_eq!(self.runs(mode, &env).await, "ok");
    }
}

/// Creates a connection to the provider, and waits until the sign-in page shows it.
async fn connected(world: &World, body: Value) -> String {
    let made = world.post("/v1/auth/saml-connections", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.body["id"].as_str().unwrap().to_owned();
    eventually("the connection is listed", || async {
        let listed = asks(world, "auth { samlConnections { nodes { id active domains } } }").await;
        let listed = &listed["auth"]["samlConnections"]["nodes"][0];
        (*listed == json!({ "id": id, "active": true, "domains": ["example.com"] })).then_some(())
    })
    .await;
    id
}

async fn asks(world: &World, question: &str) -> Value {
    let query = json!({ "query": format!("{{ {question} }}") });
    Answer::of(world.request(Method::POST, "/graphql").json(&query)).await.body["data"].clone()
}

/// Ada as a user.
async fn ada(world: &World) -> Value {
    let users = "user { users(first: 5) { nodes { id name email emailVerified roles } } }";
    let mut found = asks(world, users).await["user"]["users"]["nodes"].as_array().unwrap().clone();
    found.retain(|user| user["email"] == LOGIN);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[tokio::test]
async fn who_belongs_to_a_connected_organization_is_found_by_address_signed_in_there_and_becomes_a_user() {
    let Some(pysaml2) = Pysaml2::set_up().await else { return };
    let world = sign_in::world().await;
    let app = App::register(&world).await;
    let viewer = json!([{ "value": "staff", "role": "viewer" }]);
    let connection = connected(&world, pysaml2.connection(false, &viewer)).await;
    pysaml2.signs_in(&world, &app, &connection, "requested", "assertion").await;
    let user = ada(&world).await;
    let expected =
        json!({ "id": user["id"], "name": "Ada Lovelace", "email": LOGIN, "emailVerified": true, "roles": ["viewer"] });
    assert_eq!(user, expected);

    // The provider's groups are mapped to other roles now: the same user gets those.
    let roles = json!([{ "value": "staff", "role": "manager" }, { "value": "guest", "role": "viewer" }]);
    let path = format!("/v1/auth/saml-connections/{connection}/change");
    let changed = world.post(&path, pysaml2.connection(false, &roles)).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    pysaml2.signs_in(&world, &app, &connection, "requested", "both").await;
    let changed = ada(&world).await;
    assert_eq!((&changed["id"], &changed["roles"]), (&user["id"], &json!(["manager"])));

    // An address of a domain without a connection is refused with a message.
    let mut browser = testbed::Browser::default();
    let page = browser.open(&app.asks(&world)).await;
    let fields = [("pending", page.hidden("pending")), ("email", "eve@other.example".to_owned())];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    let page = browser.submit(&format!("{}/saml", issuer(&world)), &fields).await;
    assert!(page.alert().starts_with("No organization"), "{page:?}");
}

#[tokio::test]
async fn who_begins_at_the_provider_is_signed_in_where_the_connection_allows_it_and_out_at_both_sides() {
    signs_in_and_out_at_both_sides("redirect").await;
}

#[tokio::test]
async fn a_provider_that_takes_forms_only_signs_people_out_at_both_sides() {
    signs_in_and_out_at_both_sides("post").await;
}

/// Ada signs in twice; one session is ended at the provider, the other one here.
async fn signs_in_and_out_at_both_sides(leaves_by: &'static str) {
    let Some(pysaml2) = Pysaml2::set_up_with(leaves_by).await else { return };
    let world = sign_in::world().await;
    let app = App::register(&world).await;
    let connection = connected(&world, pysaml2.connection(true, &json!([]))).await;
    pysaml2.signs_in(&world, &app, &connection, "unrequested", "response").await;
    let user = ada(&world).await;
    let sessions = format!("auth {{ sessions(userId: {}) {{ nodes {{ methods endedAt }} }} }}", user["id"]);
    // One session was ended at the provider, the other one here.
    let ended = eventually("both sessions have ended", || async {
        let listed = asks(&world, &sessions).await["auth"]["sessions"]["nodes"].as_array().unwrap().clone();
        (listed.len() == 2 && listed.iter().all(|one| one["endedAt"].is_string())).then_some(listed)
    });
    assert!(ended.await.iter().all(|one| one["methods"] == json!(["fed"])));
}

#[tokio::test]
async fn a_provider_that_encrypts_what_it_says_is_understood() {
    let Some(pysaml2) = Pysaml2::set_up().await else { return };
    let world = sign_in::world().await;
    let app = App::register(&world).await;
    let connection = connected(&world, pysaml2.connection(false, &json!([]))).await;
    for signs in ["assertion, aes256-gcm", "assertion, aes128-gcm", "assertion, aes256-cbc"] {
        pysaml2.signs_in(&world, &app, &connection, "requested", signs).await;
    }
    assert_eq!(ada(&world).await["emailVerified"], true);
    let refused = "SELECT count(*) FROM log.events WHERE event_type = 'auth.sign_in.refused'";
    let mut auth = sqlx::PgConnection::connect_with(&world.auth.superuser()).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(refused).fetch_one(&mut auth).await.unwrap(), 0);
}

#[tokio::test]
async fn a_provider_or_domain_belongs_to_one_connection() {
    let Some(pysaml2) = Pysaml2::set_up().await else { return };
    let world = sign_in::world().await;
    let connection = connected(&world, pysaml2.connection(false, &json!([]))).await;
    let twin = pysaml2.connection(false, &json!([]));
    let before = world.head_of(&world.auth).await;
    let post = |body: Value| world.request(Method::POST, "/v1/auth/saml-connections").json(&body);
    let refused = Answer::of(post(twin.clone())).await;
    assert_eq!(
        (refused.status, refused.body["code"].as_str()),
        (StatusCode::CONFLICT, Some("saml_provider_connected"))
    );
    let other = pysaml2.metadata.replace("https://idp.example.com/metadata", "https://idp2.example.com/metadata");
    let mut body = twin.clone();
    body["metadata"] = other.into();
    let refused = Answer::of(post(body.clone())).await;
    assert_eq!((refused.status, refused.body["code"].as_str()), (StatusCode::CONFLICT, Some("saml_domain_taken")));
    assert_eq!(world.head_of(&world.auth).await, before, "something was written");
    // A domain that one connection has given up can be taken by another.
    let mut moved = twin;
    moved["domains"] = json!(["example.org"]);
    let changed = world.post(&format!("/v1/auth/saml-connections/{connection}/change"), moved).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    assert_eq!(Answer::of(post(body)).await.status, StatusCode::CREATED);
}
