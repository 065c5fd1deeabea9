//! Users who were created without an invitation set their first password by mail, through a real mail server, and sign in.

use config::SecretText;
use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testbed::{Browser, MailServer, Shown};

use crate::issuers::issuer;
use crate::sign_in::{App, PASSWORD, invited, signs_in, world, world_with};
use crate::world::{Answer, World};

const SUBJECT: &str = "Subject: Set a new password";

/// A gateway that sends mail through a mail server, and that server.
pub async fn with_mail() -> (World, MailServer) {
    let mails = MailServer::start().await;
    let url = mails.url();
    let world = world_with("127.0.0.1", |config| {
        config.mail.catch = false;
        config.mail.smtp_url = SecretText::new(url);
    })
    .await;
    (world, mails)
}

/// The links to set a password that were mailed to an address.
fn links(mails: &MailServer, to: &str) -> Vec<String> {
    let mails = mails.mails().into_iter().filter(|mail| mail.to == to && mail.data.contains(SUBJECT));
    mails.map(|mail| link_in(&mail.data, "/password?token=")).collect()
}

/// The link to a page in a mail, after decoding folded lines (quoted-printable, RFC 2045).
pub fn link_in(data: &str, page: &str) -> String {
    let text = data.replace("=\r\n", "").replace("=3D", "=");
    let link = text.lines().find(|line| line.contains(page));
    link.unwrap_or_else(|| panic!("no link in {text}")).to_owned()
}

pub async fn link(mails: &MailServer, to: &str) -> String {
    testbed::eventually("a link to set a password", async || links(mails, to).pop()).await
}

pub async fn forgets(world: &World, login: &str) -> Shown {
    Browser::default().submit(&format!("{}/forgot", issuer(world)), &[("login", login)]).await
}

/// Follows a link and sets a password.
pub async fn sets(world: &World, link: &str, password: &str) -> Shown {
    let mut browser = Browser::default();
    let page = browser.open(link).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    let token = page.hidden("token");
    browser.submit(&format!("{}/password", issuer(world)), &[("token", &token), ("password", password)]).await
}

pub async fn user(world: &World, email: &str) -> Option<Value> {
    let query = json!({ "query": format!("{{ user {{ users(filter: {{ email: {email:?} }}) {{ nodes {{ id email emailVerified }} }} }} }}") });
    let answer = Answer::of(world.request(Method::POST, "/graphql").json(&query)).await;
    let nodes =
        answer.body["data"]["user"]["users"]["nodes"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone();
    nodes.into_iter().find(|node| node["email"] == email)
}

#[tokio::test]
async fn who_is_registered_imported_or_made_by_scim_sets_a_password_by_mail_and_signs_in() {
    let (world, mails) = with_mail().await;
    let app = App::register(&world).await;
    let registered = world.post("/v1/user/users", json!({ "name": "Ada", "email": "ada@example.com" })).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{registered:?}");
    let import = world.request(Method::POST, "/v1/user/users/import").header("content-type", "text/csv");
    let imported = Answer::of(import.body("email,name,roles\ngrace@example.com,Grace,viewer\n")).await;
    assert_eq!(imported.body["taken"], 1, "{imported:?}");
    let made = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "barbara",
        "emails": [{ "value": "barbara@example.com", "primary": true }],
    });
    let scim = world.request(Method::POST, "/scim/v2/Users").header("content-type", "application/scim+json");
    let made = Answer::of(scim.body(made.to_string())).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");

    let nobody = forgets(&world, "nobody@example.com").await;
    for email in ["ada@example.com", "grace@example.com", "barbara@example.com"] {
        let known = testbed::eventually("the directory knows them", async || user(&world, email).await).await;
        assert_eq!(known["emailVerified"], false, "{known}");
        let asked = forgets(&world, email).await;
        assert_eq!(
            (asked.status, &asked.body),
            (StatusCode::OK, &nobody.body),
            "who there is can be told from the answer"
        );
        let link = link(&mails, email).await;
        let set = sets(&world, &link, PASSWORD).await;
        assert!(set.body.contains("Your password is set"), "{set:?}");
        signs_in(&world, &mut Browser::default(), &app, email, PASSWORD).await.code();
        let verified = async || user(&world, email).await.filter(|known| known["emailVerified"] == true);
        let verified = testbed::eventually("the address is theirs", verified).await;
        let query = format!("{{ user {{ userHistory(id: {}) {{ change actor }} }} }}", verified["id"]);
        let history = Answer::of(world.request(Method::POST, "/graphql").json(&json!({ "query": query }))).await;
        let history = history.body["data"]["user"]["userHistory"].as_array().unwrap().clone();
        let theirs = json!({ "change": "email_verified", "actor": verified["id"] });
        assert!(history.contains(&theirs), "{history:?}");
        assert_eq!(sets_again(&world, &link).await, StatusCode::GONE);
    }
    assert!(mails.mails().iter().all(|mail| mail.to != "nobody@example.com"));
}

async fn sets_again(world: &World, link: &str) -> StatusCode {
    let token = link.split_once("token=").unwrap().1;
    let form = [("token", token), ("password", PASSWORD)];
    Browser::default().submit(&format!("{}/password", issuer(world)), &form).await.status
}

#[tokio::test]
async fn who_never_signed_in_is_sent_a_link_by_an_administrator_and_nobody_of_whom_there_is_no_such_user() {
    let (world, mails) = with_mail().await;
    let registered = world.post("/v1/user/users", json!({ "name": "Ada", "email": "ada@example.com" })).await;
    let id = registered.body["id"].as_str().unwrap();
    // Works at once, because the log is read, not the read models.
    let sent = world.post(&format!("/v1/auth/users/{id}/send-password-link"), json!({})).await;
    assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
    let link = link(&mails, "ada@example.com").await;
    let before = world.head_of(&world.auth).await;
    let nobody = "/v1/auth/users/0197a8a0-0000-7000-8000-000000000001/send-password-link";
    let refused = world.post(nobody, json!({})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::NOT_FOUND, "not_found"), "{refused:?}");
    let manager = world.anonymous(Method::POST, nobody).bearer_auth(world.token(&[Role::Manager])).json(&json!({}));
    let refused = Answer::of(manager).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "permission_missing"), "{refused:?}");
    let registered = world.post("/v1/user/users", json!({ "name": "Eve", "email": "eve@example.com" })).await;
    let eve = registered.body["id"].as_str().unwrap();
    assert_eq!(world.post(&format!("/v1/user/users/{eve}/deactivate"), json!({})).await.status, StatusCode::OK);
    let refused = world.post(&format!("/v1/auth/users/{eve}/send-password-link"), json!({})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "user_may_not_sign_in"), "{refused:?}");
    assert_eq!(world.head_of(&world.auth).await, before, "something was written");
    assert!(sets(&world, &link, PASSWORD).await.body.contains("Your password is set"));
}

#[tokio::test]
async fn attack_95_an_address_that_nobody_has_shown_to_be_theirs_does_not_open_an_account_that_is_in_use() {
    let (world, mails) = with_mail().await;
    let registered = world.post("/v1/user/users", json!({ "name": "Ada", "email": "ada@example.com" })).await;
    let id = registered.body["id"].as_str().unwrap().to_owned();
    let send = format!("/v1/auth/users/{id}/send-password-link");
    assert_eq!(world.post(&send, json!({})).await.status, StatusCode::OK);
    let first = link(&mails, "ada@example.com").await;
    assert!(sets(&world, &first, PASSWORD).await.body.contains("Your password is set"));
    // The address was mistyped, and belongs to another person.
    let changed =
        world.post(&format!("/v1/user/users/{id}/change-login"), json!({ "email": "adam@example.com" })).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    testbed::eventually("the directory knows the address", async || user(&world, "adam@example.com").await).await;
    let before = world.head_of(&world.auth).await;
    assert_eq!(forgets(&world, "adam@example.com").await.status, StatusCode::OK);
    let refused = world.post(&send, json!({})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "email_not_verified"), "{refused:?}");
    assert_eq!(world.head_of(&world.auth).await, before, "something was written");
    assert_eq!(links(&mails, "adam@example.com"), Vec::<String>::new());
}

#[tokio::test]
async fn attack_96_a_link_that_was_mailed_to_an_address_is_worth_nothing_once_it_is_not_theirs_any_more() {
    let (world, mails) = with_mail().await;
    let registered = world.post("/v1/user/users", json!({ "name": "Ada", "email": "adam@example.com" })).await;
    let id = registered.body["id"].as_str().unwrap().to_owned();
    let sent = world.post(&format!("/v1/auth/users/{id}/send-password-link"), json!({})).await;
    assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
    let strangers = link(&mails, "adam@example.com").await;
    let changed = world.post(&format!("/v1/user/users/{id}/change-login"), json!({ "email": "ada@example.com" })).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    testbed::eventually("the directory knows the address", async || user(&world, "ada@example.com").await).await;
    let before = (world.head_of(&world.auth).await, user(&world, "ada@example.com").await.unwrap());
    assert_eq!(sets_again(&world, &strangers).await, StatusCode::GONE);
    let other = strangers.replace("inp_", "inp_A");
    let cut = strangers.rsplit_once('.').unwrap().0.to_owned();
    for forged in [other, cut] {
        assert_eq!(sets_again(&world, &forged).await, StatusCode::GONE, "{forged}");
    }
    assert_eq!((world.head_of(&world.auth).await, user(&world, "ada@example.com").await.unwrap()), before);
}

#[tokio::test]
async fn who_has_a_verified_address_and_a_password_is_sent_a_link_as_before() {
    let world = world().await;
    invited(&world, "ada@example.com", &["viewer"]).await;
    let id = user(&world, "ada@example.com").await.unwrap()["id"].as_str().unwrap().to_owned();
    let sent = world.post(&format!("/v1/auth/users/{id}/send-password-link"), json!({})).await;
    assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
    crate::sign_in::mailed_link(&world, "ada@example.com", "Set a new password").await;
}
