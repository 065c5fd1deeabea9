//! Self-registration, where the tenant allows it: from the page to being signed in, through a real mail server.

use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;
use testbed::{Browser, MailServer, Shown};

use crate::first_password::{link_in, user, with_mail};
use crate::issuers::issuer;
use crate::sign_in::{App, PASSWORD, signs_in};
use crate::world::{Answer, World};

const POLICY: &str = "/v1/user/registration-policy";

async fn set(world: &World, policy: serde_json::Value) {
    let set = world.post(&format!("{POLICY}/set"), policy).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
}

async fn asks(world: &World, email: &str) -> Shown {
    Browser::default().submit(&format!("{}/register", issuer(world)), &[("email", email)]).await
}

/// The texts of the mails with this subject to an address.
fn mailed(mails: &MailServer, to: &str, subject: &str) -> Vec<String> {
    let about = format!("Subject: {subject}\r\n");
    mails.mails().into_iter().filter(|mail| mail.to == to && mail.data.contains(&about)).map(|mail| mail.data).collect()
}

#[tokio::test]
async fn who_the_policy_lets_registers_with_name_and_password_and_is_in() {
    let (world, mails) = with_mail().await;
    let login = format!("{}/login", issuer(&world));
    assert_eq!(world.get(POLICY).await.body, json!({ "open_to": "nobody", "domains": [], "roles": [] }));
    assert!(!Browser::default().open(&login).await.body.contains("/register"), "the page leads where nobody is let in");
    set(&world, json!({ "open_to": "domains", "domains": ["example.com"], "roles": ["viewer"] })).await;
    let page = Browser::default().open(&login).await;
    assert!(page.body.contains("href=\"/t/acme/register\""), "{page:?}");
    let page = Browser::default().open(&format!("{}/register", issuer(&world))).await;
    assert!(page.status == StatusCode::OK && page.body.contains("Create an account"), "{page:?}");
    assert!(!page.body.contains("<script") && page.header("content-security-policy").contains("default-src 'none'"));

    assert_eq!(asks(&world, "ada@example.com").await.status, StatusCode::OK);
    let subject = "Create your account";
    let mail = async || mailed(&mails, "ada@example.com", subject).pop();
    let link = link_in(&testbed::eventually("a link to register", mail).await, "/invitation?link=");
    let mut browser = Browser::default();
    let (location, _) = browser.open(&link).await.leads_to();
    let page = browser.open(&format!("{}{location}", world.url)).await;
    assert!(page.body.contains("Your account is that of") && page.body.contains("ada@example.com"), "{page:?}");
    let link = page.hidden("link");
    let fields = [("link", link.as_str()), ("name", "Ada Lovelace"), ("password", PASSWORD)];
    let entered = browser.submit(&format!("{}/invitation", issuer(&world)), &fields).await;
    assert_eq!(entered.leads_to().0, "/t/acme/account");
    assert!(browser.open(&format!("{}/account", issuer(&world))).await.body.contains("Ada Lovelace"));
    let known = user(&world, "ada@example.com").await.unwrap();
    assert_eq!(known["emailVerified"], true);
    let app = App::register(&world).await;
    signs_in(&world, &mut Browser::default(), &app, "ada@example.com", PASSWORD).await.code();
    let spent = browser.submit(&format!("{}/invitation", issuer(&world)), &fields).await;
    assert_eq!(spent.status, StatusCode::GONE, "{spent:?}");
}

#[tokio::test]
async fn attack_98_finding_out_who_has_an_account_or_may_have_one_by_registering() {
    let (world, mails) = with_mail().await;
    let registered = world.post("/v1/user/users", json!({ "name": "Ada", "email": "ada@example.com" })).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{registered:?}");
    set(&world, json!({ "open_to": "domains", "domains": ["example.com"] })).await;
    // Creates the tenant's keys, which are made on first use.
    Browser::default().open(&format!("{}/login", issuer(&world))).await;
    let before = world.head_of(&world.auth).await;
    let answers = [
        asks(&world, "ada@example.com").await,
        asks(&world, "eve@example.com").await,
        asks(&world, "eve@example.org").await,
    ];
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (StatusCode::OK, &answers[0].body));
    }
    let mail = async |to, subject| mailed(&mails, to, subject).pop();
    testbed::eventually("who has an account is told so", async || {
        mail("ada@example.com", "You have an account already").await
    })
    .await;
    testbed::eventually("who has none is sent a link", async || mail("eve@example.com", "Create your account").await)
        .await;
    let recorded = async || (world.head_of(&world.auth).await > before).then_some(());
    testbed::eventually("one record of who is not let", recorded).await;
    assert_eq!(world.head_of(&world.auth).await, before + 1);
    assert!(mails.mails().iter().all(|mail| mail.to != "eve@example.org"));
    let wrong = asks(&world, "no address").await;
    assert!(wrong.status == StatusCode::BAD_REQUEST && wrong.alert().contains("not an e-mail address"), "{wrong:?}");
}

#[tokio::test]
async fn nobody_registers_where_the_tenant_lets_nobody_and_who_asks_too_often_waits() {
    let (world, mails) = with_mail().await;
    let page = Browser::default().open(&format!("{}/register", issuer(&world))).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND, "{page:?}");
    // Creates the tenant's keys, which are made on first use.
    Browser::default().open(&format!("{}/login", issuer(&world))).await;
    let before = world.head_of(&world.auth).await;
    assert_eq!(asks(&world, "ada@example.com").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.head_of(&world.auth).await, before + 1, "one record");
    let mut slowed = 0;
    for number in 0..15 {
        let asked = asks(&world, &format!("somebody{number}@example.com")).await;
        slowed += usize::from(asked.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(slowed >= 3, "{slowed} of 15 were slowed down");
    assert_eq!(mails.mails(), []);
}

#[tokio::test]
async fn a_policy_gives_no_more_than_whoever_sets_it_has_and_is_refused_with_what_is_wrong() {
    let (world, _) = with_mail().await;
    let path = format!("{POLICY}/set");
    let as_admin = |body| world.request(Method::POST, &path).json(&body);
    let manager = world.anonymous(Method::POST, &path).bearer_auth(world.token(&[Role::Manager]));
    let made =
        json!({ "name": "gatekeeper", "title": "Gatekeeper", "permissions": ["user:registration_policy:write"] });
    assert_eq!(world.post("/v1/user/roles", made).await.status, StatusCode::CREATED);
    let registered = json!({ "name": "Ada", "email": "ada@example.com", "roles": ["gatekeeper"] });
    let registered = world.post("/v1/user/users", registered).await;
    let id = registered.body["id"].as_str().unwrap();
    let token =
        gateway::auth::mint::<Role>(&world.config.auth, world.tenant, id, &[], std::time::Duration::from_mins(5));
    let gatekeeper = world.anonymous(Method::POST, &path).bearer_auth(token.unwrap());
    world
        .refuses(vec![
            (manager.json(&json!({ "open_to": "everybody" })), StatusCode::FORBIDDEN, "permission_missing"),
            (
                gatekeeper.json(&json!({ "open_to": "everybody", "roles": ["viewer"] })),
                StatusCode::FORBIDDEN,
                "exceeds_own_permissions",
            ),
            (as_admin(json!({ "open_to": "domains" })), StatusCode::BAD_REQUEST, "validation_failed"),
            (as_admin(json!({ "open_to": "some" })), StatusCode::BAD_REQUEST, "validation_failed"),
        ])
        .await;
    let shown = Answer::of(world.request(Method::GET, POLICY)).await;
    assert_eq!(shown.body["open_to"], "nobody", "{shown:?}");
}
