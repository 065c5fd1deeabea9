//! People end to end: invited by mail, signed in on our pages, with an application that acts for them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::{Config, Server, Services};
use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testbed::{Browser, Shown, form};

use crate::branding::png;
use crate::issuers::{claims, issuer, reads, refused_within_a_second, token_endpoint};
use crate::needs::grants;
use crate::world::{Answer, Form, World};

/// The codes with which the token of a locked user is refused: from the user service's log, or because the grant has ended, whichever is
/// noticed first.
const LOCKED: &[&str] = &["user_inactive", "token_revoked"];

pub const PASSWORD: &str = "tin-roof-ocelot-parable";
pub const BACK: &str = "https://app.example.com/back";
/// The scopes that the applications here request.
const SCOPE: &str = "openid email api offline_access";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mBVQwJDwJrJ8T2xSx9Q0Gm1o3JcBzU";

/// The subjects of mails.
const INVITED: &str = "You are invited";
const RESET: &str = "Set a new password";

/// A gateway that captures mail, on a port that is known before the start, because mailed links contain it.
pub async fn world() -> World {
    world_at("127.0.0.1").await
}

/// The same with a host name, which passkeys need.
pub async fn world_at(host: &str) -> World {
    world_with(host, |_| {}).await
}

/// The same, with a changed configuration.
pub async fn world_with(host: &str, change: impl FnOnce(&mut Config)) -> World {
    let port = testbed::free_port();
    Box::pin(World::start_with(|config| {
        config.mail.catch = true;
        config.http.port = port;
        config.http.public_url = format!("http://{host}:{port}");
        change(config);
    }))
    .await
}

/// The link in the latest mail with this subject to an address, once it was sent.
pub async fn mailed_link(world: &World, to: &str, subject: &str) -> String {
    testbed::eventually("a mail with a link", || async {
        let answer = Answer::of(world.anonymous(Method::GET, "/dev/mail.json")).await;
        let mails = answer.body["mails"].as_array().unwrap().clone();
        let mail = mails.into_iter().find(|mail| mail["to"] == to && mail["subject"] == subject)?;
        let text = mail["text"].as_str().unwrap().to_owned();
        text.lines().find(|line| line.contains("://")).map(str::to_owned)
    })
    .await
}

/// Invites a person with these roles, who follows the mailed link and signs in. Returns their browser and their id.
pub async fn invited(world: &World, email: &str, roles: &[&str]) -> Browser {
    let (browser, accepted) = accepts(world, email, roles).await;
    assert_eq!(accepted.leads_to().0, "/t/acme/account");
    browser
}

/// Invites a person with these roles, who follows the mailed link and sets a password. Returns their browser and the page that follows.
async fn accepts(world: &World, email: &str, roles: &[&str]) -> (Browser, Shown) {
    let made = world.post("/v1/user/invitations", json!({ "email": email, "roles": roles })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let mut browser = Browser::default();
    let (location, _) = browser.open(&mailed_link(world, email, INVITED).await).await.leads_to();
    let page = browser.open(&format!("{}{location}", world.url)).await;
    assert!(page.status == StatusCode::OK && page.body.contains(email) && page.body.contains("Acme"), "{page:?}");
    let link = page.hidden("link");
    let fields = [("link", link.as_str()), ("name", "Ada Lovelace"), ("password", PASSWORD)];
    let accepted = browser.submit(&format!("{}/invitation", issuer(world)), &fields).await;
    (browser, accepted)
}

/// Signs a person in for an application.
pub async fn signs_in(world: &World, browser: &mut Browser, app: &App, login: &str, password: &str) -> Shown {
    let page = browser.open(&app.asks(world)).await;
    let pending = page.hidden("pending");
    let fields = [("pending", pending.as_str()), ("login", login), ("password", password)];
    browser.submit(&format!("{}/login", issuer(world)), &fields).await
}

/// An application that belongs to the tenant.
pub struct App {
    pub id: String,
    pub secret: String,
}

impl App {
    pub async fn register(world: &World) -> Self {
        Self::with(world, json!({})).await
    }

    /// One with additional members.
    pub async fn with(world: &World, more: Value) -> Self {
        let mut body = json!({ "name": "The App", "confidential": true, "redirect_uris": [BACK], "trusted": true });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = world.post("/v1/auth/clients", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let id = made.body["id"].as_str().unwrap().to_owned();
        let set = world.post(&format!("/v1/auth/clients/{id}/secret"), json!({})).await;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
        Self { id, secret: set.body["secret"].as_str().unwrap().to_owned() }
    }

    /// The URL to which it sends people to sign in.
    pub fn asks(&self, world: &World) -> String {
        self.asks_for(world, SCOPE)
    }

    fn asks_for(&self, world: &World, scope: &str) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let parameters = [
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", BACK),
            ("scope", scope),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        format!("{}/authorize?{query}", issuer(world))
    }

    /// The tokens of a signed-in person.
    pub async fn tokens(&self, world: &World, browser: &mut Browser) -> Value {
        self.tokens_for(world, browser, SCOPE).await
    }

    /// The same, for these scopes.
    pub async fn tokens_for(&self, world: &World, browser: &mut Browser, scope: &str) -> Value {
        let code = browser.open(&self.asks_for(world, scope)).await.code();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ];
        let answer = Answer::of(token_endpoint(world).basic_auth(&self.id, Some(&self.secret)).form(&fields)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body
    }

    /// Refreshes tokens.
    pub async fn refreshes(&self, world: &World, tokens: &Value) -> Answer {
        let refresh = tokens["refresh_token"].as_str().unwrap();
        let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        Answer::of(token_endpoint(world).basic_auth(&self.id, Some(&self.secret)).form(&fields)).await
    }
}

#[tokio::test]
async fn who_is_invited_sets_a_password_is_signed_in_and_may_through_an_application_what_their_roles_say() {
    let world = world().await;
    let mut browser = invited(&world, "ada@example.com", &["viewer"]).await;
    let account = browser.open(&format!("{}/account", issuer(&world))).await;
    assert!(account.body.contains("Ada Lovelace"), "not signed in: {account:?}");
    let app = App::register(&world).await;
    let tokens = app.tokens(&world, &mut browser).await;
    let access = tokens["access_token"].as_str().unwrap();
    let said = claims(access);
    assert_eq!((&said["roles"], &said["iss"]), (&json!(["viewer"]), &json!(issuer(&world))), "{said}");
    assert_eq!(claims(tokens["id_token"].as_str().unwrap())["email"], "ada@example.com");
    assert_eq!(Answer::of(reads(&world, access)).await.status, StatusCode::NOT_FOUND, "a viewer may look");
    let write = world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(access).json(&json!({ "name": "Eve" }));
    world.refuses(vec![(write, StatusCode::FORBIDDEN, "permission_missing")]).await;
    let me = Answer::of(world.anonymous(Method::GET, "/v1/user/me").bearer_auth(access)).await;
    assert_eq!(
        (me.body["profile"]["name"].as_str(), me.body["email_verified"].as_bool()),
        (Some("Ada Lovelace"), Some(true)),
        "{me:?}"
    );
    assert_eq!(app.refreshes(&world, &tokens).await.status, StatusCode::OK);

    // Another browser, with the password; the login is case-insensitive.
    let signed_in = signs_in(&world, &mut Browser::default(), &app, "ADA@example.com", PASSWORD).await;
    assert!(signed_in.leads_to().0.starts_with(BACK), "{signed_in:?}");
}

#[tokio::test]
async fn who_is_invited_where_a_second_factor_is_required_adds_one_before_they_are_in() {
    let world = world().await;
    let policy = "/v1/auth/sign-in-policy";
    let shown = || async { Answer::of(world.request(Method::GET, policy)).await.body };
    assert_eq!(shown().await, json!({ "second_factor": "off", "session_idle_minutes": 4320 }));
    let before = world.head_of(&world.auth).await;
    let unknown = json!({ "second_factor": "off", "of": "all" });
    for wrong in [json!({ "second_factor": "some" }), json!({}), json!({ "session_idle_minutes": 29 }), unknown] {
        let refused = world.post(&format!("{policy}/set"), wrong).await;
        assert!(refused.status.is_client_error(), "{refused:?}");
    }
    assert_eq!(world.head_of(&world.auth).await, before, "something was written");
    for wanted in [json!({ "session_idle_minutes": 60 }), json!({ "second_factor": "admins" })] {
        let set = world.post(&format!("{policy}/set"), wanted).await;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
    }
    assert_eq!(shown().await, json!({ "second_factor": "admins", "session_idle_minutes": 60 }), "each by itself");
    invited(&world, "ada@example.com", &["viewer"]).await;
    let (mut browser, accepted) = accepts(&world, "eve@example.com", &["admin"]).await;
    assert!(accepted.status == StatusCode::OK && accepted.body.contains("more than a password"), "{accepted:?}");
    let account = browser.open(&format!("{}/account", issuer(&world))).await;
    assert_eq!(account.leads_to().0, "/t/acme/login", "in with a password alone");
}

#[tokio::test]
async fn attack_162_a_role_of_the_tenants_own_is_no_way_around_what_is_required_of_administrators() {
    let world = world().await;
    let set = world.post("/v1/auth/sign-in-policy/set", json!({ "second_factor": "admins" })).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    // Which includes the administrators' role by another one.
    for (name, includes) in [("chief", "admin"), ("lead", "chief"), ("helper", "viewer")] {
        let role = json!({ "name": name, "title": name, "permissions": [], "includes": [includes] });
        assert_eq!(world.post("/v1/user/roles", role).await.status, StatusCode::CREATED);
    }
    invited(&world, "ada@example.com", &["helper"]).await;
    let (mut browser, accepted) = accepts(&world, "eve@example.com", &["lead"]).await;
    assert!(accepted.status == StatusCode::OK && accepted.body.contains("more than a password"), "{accepted:?}");
    let account = browser.open(&format!("{}/account", issuer(&world))).await;
    assert_eq!(account.leads_to().0, "/t/acme/login", "in with a password alone");
}

#[tokio::test]
async fn attack_174_roles_that_list_what_administrators_may_are_no_way_around_what_is_required_of_them() {
    let world = world().await;
    let set = world.post("/v1/auth/sign-in-policy/set", json!({ "second_factor": "admins" })).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    // Two roles that list it all together, without what every user may, whatever their roles.
    let grants = grants();
    let all: Vec<_> = Role::Admin.permissions(&grants).filter(|permission| *permission != "user:self:write").collect();
    let (some, others) = all.split_at(all.len() / 2);
    for (name, permissions) in [("deputy", some), ("vice", others)] {
        let role = json!({ "name": name, "title": name, "permissions": permissions });
        assert_eq!(world.post("/v1/user/roles", role).await.status, StatusCode::CREATED);
    }
    let (mut browser, accepted) = accepts(&world, "eve@example.com", &["deputy", "vice"]).await;
    assert!(accepted.status == StatusCode::OK && accepted.body.contains("more than a password"), "{accepted:?}");
    let account = format!("{}/account", issuer(&world));
    assert_eq!(browser.open(&account).await.leads_to().0, "/t/acme/login", "in with a password alone");

    // Somebody who is signed in with one of them, and gets the other one by a group.
    let mut browser = invited(&world, "ada@example.com", &["deputy"]).await;
    let app = App::register(&world).await;
    let tokens = app.tokens(&world, &mut browser).await;
    let ada = claims(tokens["access_token"].as_str().unwrap())["sub"].clone();
    let group = world.post("/v1/user/groups", json!({ "name": "Chiefs", "roles": ["vice"] })).await;
    let members = format!("/v1/user/groups/{}/change-members", group.body["id"].as_str().unwrap());
    let joined = world.post(&members, json!({ "join": [ada] })).await;
    assert_eq!(joined.status, StatusCode::OK, "{joined:?}");
    let before = world.head_of(&world.auth).await;
    let refreshed = app.refreshes(&world, &tokens).await;
    assert_eq!((refreshed.status, refreshed.body["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_grant")));
    assert_eq!(browser.open(&account).await.leads_to().0, "/t/acme/login", "in with a password alone");
    assert_eq!(world.head_of(&world.auth).await, before, "something was written");
}

#[tokio::test]
async fn an_invitations_link_works_once_and_a_weak_password_does_not_use_it_up() {
    let world = world().await;
    let made = world.post("/v1/user/invitations", json!({ "email": "ada@example.com", "roles": ["viewer"] })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let mut browser = Browser::default();
    let mailed = mailed_link(&world, "ada@example.com", INVITED).await;
    let link = mailed.split_once("link=").unwrap().1.to_owned();
    let action = format!("{}/invitation", issuer(&world));
    let before = world.head().await;
    let weak = browser.submit(&action, &[("link", &link), ("name", "Ada"), ("password", "ada@example.com")]).await;
    assert_eq!((weak.status, weak.hidden("link")), (StatusCode::BAD_REQUEST, link.clone()), "{weak:?}");
    assert!(weak.alert().contains("easily guessed"), "{}", weak.alert());
    let nameless = browser.submit(&action, &[("link", &link), ("name", ""), ("password", PASSWORD)]).await;
    assert_eq!(nameless.status, StatusCode::BAD_REQUEST, "{nameless:?}");
    assert_eq!(world.head().await, before, "something was written");
    let fields = [("link", link.as_str()), ("name", "Ada"), ("password", PASSWORD)];
    assert_eq!(browser.submit(&action, &fields).await.leads_to().0, "/t/acme/account");
    for spent in [browser.open(&mailed).await.leads_to().0, format!("/t/acme/invitation?link={link}A")] {
        let page = browser.open(&format!("{}{spent}", world.url)).await;
        assert_eq!(page.status, StatusCode::GONE, "{page:?}");
        assert!(page.body.contains(r#"<a href="/t/acme/login">"#), "who used it already wants to sign in: {page:?}");
    }
    assert_eq!(browser.submit(&action, &fields).await.status, StatusCode::GONE);
    let nobodys = browser.open(&format!("{}/invitation?link=x", world.url)).await;
    assert_eq!(nobodys.status, StatusCode::GONE, "{nobodys:?}");
}

#[tokio::test]
async fn who_is_locked_is_out_within_a_second_and_unlocked_signs_in_anew() {
    let world = world().await;
    let mut browser = invited(&world, "ada@example.com", &["viewer"]).await;
    let app = App::register(&world).await;
    let tokens = app.tokens(&world, &mut browser).await;
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(Answer::of(reads(&world, access)).await.status, StatusCode::NOT_FOUND, "not accepted before");
    let user = claims(access)["sub"].as_str().unwrap().to_owned();
    let locked = world.post(&format!("/v1/user/users/{user}/lock"), json!({ "reason": "lost a laptop" })).await;
    assert_eq!(locked.status, StatusCode::OK, "{locked:?}");
    refused_within_a_second(&world, access, LOCKED).await;
    let query = format!(
        "{{ auth {{ sessions(userId: \"{user}\") {{ nodes {{ methods endReason endedAt lastUsedAt agent }} }} }} }}"
    );
    let listed = testbed::eventually("the history says why", || async {
        let answer = Answer::of(world.request(Method::POST, "/graphql").json(&json!({ "query": query }))).await;
        let session = answer.body["data"]["auth"]["sessions"]["nodes"][0].clone();
        (session["endReason"] == "locked").then_some(session)
    });
    let listed = listed.await;
    assert_eq!(listed["methods"], json!(["pwd"]));
    assert!(listed["lastUsedAt"].is_string(), "{listed}");
    let refreshed = app.refreshes(&world, &tokens).await;
    assert_eq!((refreshed.status, refreshed.body["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_grant")));
    let page = browser.open(&format!("{}/account", issuer(&world))).await;
    assert_eq!(page.leads_to().0, "/t/acme/login", "the browser is signed in still");
    let refused = signs_in(&world, &mut browser, &app, "ada@example.com", PASSWORD).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{refused:?}");

    let unlocked = world.post(&format!("/v1/user/users/{user}/unlock"), json!({})).await;
    assert_eq!(unlocked.status, StatusCode::OK, "{unlocked:?}");
    let back = testbed::eventually("they sign in again", || async {
        let shown = signs_in(&world, &mut Browser::default(), &app, "ada@example.com", PASSWORD).await;
        (shown.status == StatusCode::SEE_OTHER).then_some(shown)
    });
    back.await.code();
    refused_within_a_second(&world, access, &["token_revoked"]).await;
}

#[tokio::test]
async fn who_forgot_their_password_is_mailed_a_link_that_sets_another_one_once() {
    let world = world().await;
    let mut browser = invited(&world, "ada@example.com", &["viewer"]).await;
    let app = App::register(&world).await;
    let forgot = format!("{}/forgot", issuer(&world));
    let asked = browser.submit(&forgot, &[("login", "Ada@Example.com")]).await;
    let nobody = browser.submit(&forgot, &[("login", "nobody@example.com")]).await;
    assert_eq!((asked.status, &asked.body), (StatusCode::OK, &nobody.body), "who there is can be told from the answer");
    let link = mailed_link(&world, "ada@example.com", RESET).await;
    let page = Browser::default().open(&link).await;
    assert!(page.status == StatusCode::OK && page.body.contains("Ada Lovelace"), "{page:?}");
    let (token, action) = (page.hidden("token"), format!("{}/password", issuer(&world)));
    let other = "umbrella-cactus-violin";
    let set = Browser::default().submit(&action, &[("token", &token), ("password", other)]).await;
    assert!(set.body.contains("Your password is set"), "{set:?}");
    assert_eq!(browser.open(&format!("{}/account", issuer(&world))).await.leads_to().0, "/t/acme/login");
    let old = signs_in(&world, &mut Browser::default(), &app, "ada@example.com", PASSWORD).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED, "{old:?}");
    signs_in(&world, &mut Browser::default(), &app, "ada@example.com", other).await.code();
    let again =
        Browser::default().submit(&action, &[("token", &token), ("password", "another-good-violin-walk")]).await;
    assert_eq!(again.status, StatusCode::GONE, "{again:?}");
}

#[tokio::test]
async fn somebody_sees_where_they_are_signed_in_and_ends_it() {
    let world = world().await;
    let mut here = invited(&world, "ada@example.com", &["viewer"]).await;
    let app = App::register(&world).await;
    let mut there = Browser::default();
    signs_in(&world, &mut there, &app, "ada@example.com", PASSWORD).await.code();
    let account = format!("{}/account", issuer(&world));
    let page = testbed::eventually("both are listed", || async {
        let page = here.window().open(&account).await;
        page.body.contains("name=\"session\"").then_some(page)
    });
    let page = page.await;
    assert!(page.body.contains("This browser"), "{page:?}");
    assert!(page.body.contains("last used") && page.body.contains(" UTC</time>"), "{page:?}");
    assert_eq!(here.open(&issuer(&world)).await.leads_to().0, "/t/acme/account");
    let session = page.hidden("session");
    let end = format!("{account}/sessions");
    let mut stranger = invited(&world, "eve@example.com", &["viewer"]).await;
    let before = world.head_of(&world.auth).await;
    let refused = stranger.submit(&end, &[("session", &session)]).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "somebody else's session: {refused:?}");
    assert_eq!(world.head_of(&world.auth).await, before, "something was written");
    assert_eq!(here.submit(&end, &[("session", &session)]).await.leads_to().0, "/t/acme/account");
    assert_eq!(there.open(&account).await.leads_to().0, "/t/acme/login");
    let page = here.open(&account).await;
    assert!(!page.body.contains("name=\"session\""), "it is still listed: {page:?}");
    // A new password ends all other sessions; this browser stays signed in.
    signs_in(&world, &mut there, &app, "ada@example.com", PASSWORD).await.code();
    let change = format!("{account}/password");
    let new = "umbrella-cactus-violin";
    let wrong = here.submit(&change, &[("old", "wrong"), ("password", new), ("elsewhere", "end")]).await;
    assert!(wrong.status == StatusCode::BAD_REQUEST && wrong.alert().contains("current password"), "{wrong:?}");
    let changed = here.submit(&change, &[("old", PASSWORD), ("password", new), ("elsewhere", "end")]).await;
    assert_eq!(changed.leads_to().0, "/t/acme/account");
    assert_eq!(there.open(&account).await.leads_to().0, "/t/acme/login");
    assert_eq!(here.open(&account).await.status, StatusCode::OK, "this browser was signed out, too");
}

#[tokio::test]
async fn people_sign_in_through_a_gateway_when_the_auth_service_runs_elsewhere() {
    let (front, behind) = (testbed::free_port(), testbed::free_port());
    let world = Box::pin(World::start_with(|config| {
        config.mail.catch = true;
        config.http.port = front;
        config.http.public_url = format!("http://127.0.0.1:{front}");
        config.remotes.insert("auth".to_owned(), format!("http://127.0.0.1:{behind}"));
    }))
    .await;
    let mut config = world.config.clone();
    config.http.port = behind;
    config.remotes.clear();
    let service = Server::start(config, Services::One(auth_api::SERVICE)).await.unwrap();
    testbed::eventually("the issuer is reached", || async {
        let found = Answer::of(world.anonymous(Method::GET, "/t/acme/.well-known/openid-configuration")).await;
        (found.status == StatusCode::OK).then_some(())
    })
    .await;
    let mut browser = invited(&world, "ada@example.com", &["viewer"]).await;
    let app = App::register(&world).await;
    let tokens = app.tokens(&world, &mut browser).await;
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(Answer::of(reads(&world, access)).await.status, StatusCode::NOT_FOUND, "a viewer may look");
    // The gateway forwards `Origin`, so that forms of other sites are refused in the service, too.
    let account = format!("{}/account/sessions", issuer(&world));
    let foreign = form(world.client.post(&account), &[]).header("origin", "https://evil.example.com");
    let refused = browser.send(foreign).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    // The picture belongs to the user service, which runs in the gateway's process; the page to the auth service.
    let account = format!("{}/account", issuer(&world));
    let uploaded = browser.upload(&format!("{account}/picture"), "picture", &png(16, 16, [1, 2, 3])).await;
    assert_eq!(uploaded.leads_to().0, "/t/acme/account", "{uploaded:?}");
    testbed::eventually("the page shows the picture", async || {
        let page = browser.window().open(&account).await;
        page.body.contains("src=\"/t/acme/pictures/").then_some(())
    })
    .await;
    let too_large = browser.upload(&format!("{account}/picture"), "picture", &vec![0; 3 << 20]).await;
    assert_eq!(too_large.status, StatusCode::PAYLOAD_TOO_LARGE, "{too_large:?}");
    let user = claims(access)["sub"].as_str().unwrap().to_owned();
    let locked = world.post(&format!("/v1/user/users/{user}/lock"), json!({ "reason": "lost a laptop" })).await;
    assert_eq!(locked.status, StatusCode::OK, "{locked:?}");
    refused_within_a_second(&world, access, LOCKED).await;
    service.shutdown().await;
}
