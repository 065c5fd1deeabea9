//! Attacks on sign-in through an identity provider that concern users. The numbers are those of docs/src/threat-model.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use kernel::{Clock, Role, SystemClock};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testbed::{Browser, Shown, eventually};

use crate::first_password::{forgets, link, sets, user, with_mail};
use crate::identity_provider::{Idp, Sp, Timed, Words};
use crate::issuers::issuer;
use crate::sign_in::{self, PASSWORD};
use crate::world::{Answer, World};

const CEO: &str = "ceo@example.com";

impl Timed for World {
    fn time(&self) -> DateTime<Utc> {
        SystemClock.now()
    }
}

/// Creates a connection to a provider whose group `staff` is mapped to administrators, and which may start a sign-in by itself.
pub async fn connected(world: &World) -> (Idp, Sp) {
    let idp = Idp::new(world);
    let body = json!({
        "name": "Example",
        "metadata": idp.metadata(),
        "domains": ["example.com"],
        "provider_initiated": true,
        "admits": true,
        "attributes": { "roles": "groups" },
        "roles": [{ "value": "staff", "role": "admin" }],
    });
    let made = world.post("/v1/auth/saml-connections", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.body["id"].as_str().unwrap().to_owned();
    let at = |endpoint: &str| format!("{}/saml/{id}/{endpoint}", issuer(world));
    let sp = Sp { entity_id: at("metadata"), acs: at("acs"), id };
    assert_eq!(world.get(&format!("/v1/auth/saml-connections/{}", sp.id)).await.status, StatusCode::OK);
    (idp, sp)
}

/// A provider's assertion about a person in these groups.
pub fn says(world: &World, (idp, sp): &(Idp, Sp), email: &str, groups: &[&str]) -> String {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    idp.says(&Words { name_id: email.to_owned(), groups, ..Words::new(world, sp, None) })
}

/// Posts the assertion to our endpoint; returns where the browser is redirected.
async fn brings(world: &World, (_, sp): &(Idp, Sp), said: &str) -> String {
    let shown = Browser::default().submit(&sp.acs, &[("SAMLResponse", &STANDARD.encode(said))]).await;
    assert_eq!(shown.status, StatusCode::SEE_OTHER, "{shown:?}");
    format!("{}{}", world.url, shown.leads_to().0)
}

/// Signs a person in by the provider, in this browser.
pub async fn comes(world: &World, provider: &(Idp, Sp), browser: &mut Browser, email: &str, groups: &[&str]) -> Shown {
    let said = says(world, provider, email, groups);
    browser.open(&brings(world, provider, &said).await).await
}

async fn roles(world: &World, email: &str) -> Value {
    let query =
        json!({ "query": format!("{{ user {{ users(filter: {{ email: {email:?} }}) {{ nodes {{ roles }} }} }} }}") });
    let answer = Answer::of(world.request(Method::POST, "/graphql").json(&query)).await;
    answer.body["data"]["user"]["users"]["nodes"][0]["roles"].clone()
}

/// Executes a command as a manager.
async fn manages(world: &World, path: &str, body: Value) -> Answer {
    let request = world.anonymous(Method::POST, path).bearer_auth(world.token(&[Role::Manager])).json(&body);
    Answer::of(request).await
}

/// A manager changes the address of a user.
async fn readdresses(world: &World, id: &str, email: &str) {
    let changed = manages(world, &format!("/v1/user/users/{id}/change-login"), json!({ "email": email })).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    eventually("the directory knows the address", async || user(world, email).await).await;
}

async fn heads(world: &World) -> (i64, i64) {
    (world.head_of(world.of("user")).await, world.head_of(&world.auth).await)
}

#[tokio::test]
async fn attack_107_an_account_that_somebody_prepared_for_whom_a_provider_vouches() {
    let (world, mails) = with_mail().await;
    let provider = connected(&world).await;
    let mule = manages(&world, "/v1/user/users", json!({ "email": "mule@evil.example", "name": "Mule" })).await;
    assert_eq!(mule.status, StatusCode::CREATED, "{mule:?}");
    let mule = mule.body["id"].as_str().unwrap().to_owned();
    eventually("the directory knows them", async || user(&world, "mule@evil.example").await).await;
    forgets(&world, "mule@evil.example").await;
    let mailed = link(&mails, "mule@evil.example").await;
    assert!(sets(&world, &mailed, PASSWORD).await.body.contains("Your password is set"));
    readdresses(&world, &mule, CEO).await;

    let before = heads(&world).await;
    let mut ceo = Browser::default();
    let shown = comes(&world, &provider, &mut ceo, CEO, &["staff"]).await;
    assert!(shown.status == StatusCode::FORBIDDEN && shown.body.contains("(email_not_verified)"), "{shown:?}");
    assert!(ceo.cookies.is_empty(), "{shown:?}");
    assert_eq!(heads(&world).await, (before.0, before.1 + 1), "more was written than the record");
    // The account that somebody else prepared, and whose password they know, gets no roles.
    assert_eq!(roles(&world, CEO).await, json!([]));
}

#[tokio::test]
async fn attack_107_an_account_without_a_password_is_theirs_for_whom_a_provider_vouches_and_nobody_elses_any_more() {
    let world = sign_in::world().await;
    let provider = connected(&world).await;
    // A person signs in through the provider, and then their account is given another person's address.
    let mut grace = Browser::default();
    let shown = comes(&world, &provider, &mut grace, "grace@example.com", &[]).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account", "{shown:?}");
    let account = format!("{}/account", issuer(&world));
    assert_eq!(grace.open(&account).await.status, StatusCode::OK);
    let id = user(&world, "grace@example.com").await.unwrap()["id"].as_str().unwrap().to_owned();
    readdresses(&world, &id, CEO).await;
    assert_eq!(user(&world, CEO).await.unwrap()["emailVerified"], false);
    let mut ceo = Browser::default();
    let shown = comes(&world, &provider, &mut ceo, CEO, &["staff"]).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account", "{shown:?}");
    assert_eq!(ceo.open(&account).await.status, StatusCode::OK);
    assert_eq!(grace.open(&account).await.leads_to().0, "/t/acme/login", "they are an administrator now");
    let known = user(&world, CEO).await.unwrap();
    assert_eq!((known["id"].as_str(), &known["emailVerified"]), (Some(id.as_str()), &json!(true)));
    assert_eq!(roles(&world, CEO).await, json!(["admin"]));
    // The next sign-in ends no sessions, because the address is verified now.
    let shown = comes(&world, &provider, &mut Browser::default(), CEO, &["staff"]).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account", "{shown:?}");
    assert_eq!(ceo.open(&account).await.status, StatusCode::OK);
}

#[tokio::test]
async fn attack_112_an_answer_that_is_kept_gives_the_roles_that_it_said_once() {
    let world = sign_in::world().await;
    let provider = connected(&world).await;
    // With a second administrator the role can be revoked; the last administrator keeps it, whatever a provider asserts.
    let other = comes(&world, &provider, &mut Browser::default(), CEO, &["staff"]).await;
    assert_eq!(other.leads_to().0, "/t/acme/account", "{other:?}");
    let email = "grace@example.com";
    let kept = brings(&world, &provider, &says(&world, &provider, email, &["staff"])).await;
    let shown = Browser::default().open(&kept).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account", "{shown:?}");
    assert_eq!(roles(&world, email).await, json!(["admin"]));
    let shown = comes(&world, &provider, &mut Browser::default(), email, &[]).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account", "{shown:?}");
    assert_eq!(roles(&world, email).await, json!([]));
    let before = heads(&world).await;
    let mut browser = Browser::default();
    let shown = browser.open(&kept).await;
    assert!(shown.status == StatusCode::FORBIDDEN && shown.body.contains("(saml_replayed)"), "{shown:?}");
    assert!(browser.cookies.is_empty(), "{shown:?}");
    assert_eq!(heads(&world).await, (before.0, before.1 + 1), "more was written than the record");
    assert_eq!(roles(&world, email).await, json!([]));
}
