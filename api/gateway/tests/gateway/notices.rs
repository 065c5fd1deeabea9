//! People are told of what was changed about how they sign in, at the address that they verified last.

use reqwest::{Method, StatusCode};
use serde_json::json;
use testbed::{Browser, eventually};

use crate::first_password::{forgets, link, sets, user, with_mail};
use crate::issuers::issuer;
use crate::sign_in::{self, PASSWORD, invited};
use crate::world::{Answer, World};

const ADA: &str = "ada@example.com";
const EVE: &str = "eve@evil.example";
const ANOTHER: &str = "umbrella-cactus-violin";
const PASSWORD_CHANGED: &str = "Your password was changed";
const ADDRESS_CHANGED: &str = "The e-mail address of your account was changed";

/// The notices to an address, as subjects and texts, newest first, once no saga has anything to do.
async fn notices(world: &World, to: &str) -> Vec<(String, String)> {
    world.head().await;
    let answer = Answer::of(world.anonymous(Method::GET, "/dev/mail.json")).await;
    let mails = answer.body["mails"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone();
    let text = |mail: &serde_json::Value, member: &str| mail[member].as_str().unwrap().to_owned();
    let theirs = mails.into_iter().filter(|mail| mail["to"] == to);
    let all = theirs.map(|mail| (text(&mail, "subject"), text(&mail, "text")));
    all.filter(|(subject, _)| subject != "You are invited").collect()
}

async fn subjects(world: &World, to: &str) -> Vec<String> {
    notices(world, to).await.into_iter().map(|(subject, _)| subject).collect()
}

/// Somebody who is signed in, and knows the password, changes it.
async fn changes_password(world: &World, browser: &mut Browser) {
    let fields = [("old", PASSWORD), ("password", ANOTHER)];
    let changed = browser.submit(&format!("{}/account/password", issuer(world)), &fields).await;
    assert_eq!(changed.leads_to().0, "/t/acme/account");
}

#[tokio::test]
async fn who_changes_their_password_is_told_and_who_sets_their_first_one_is_not() {
    let world = sign_in::world().await;
    let mut browser = invited(&world, ADA, &["viewer"]).await;
    assert_eq!(subjects(&world, ADA).await, [""; 0]);
    changes_password(&world, &mut browser).await;
    let notices = notices(&world, ADA).await;
    let [(subject, text)] = &notices[..] else { panic!("not one notice: {notices:?}") };
    assert_eq!(subject, PASSWORD_CHANGED);
    assert!(text.starts_with("Hello Ada Lovelace,\n\nat ") && text.contains("to Acme:\n\n- "), "{text}");
    for page in ["forgot", "account"] {
        let page = format!("{}/{page}", issuer(&world));
        assert!(text.lines().any(|line| line == page), "{text}");
        assert!(browser.open(&page).await.status.is_success(), "{page} is none");
    }
}

#[tokio::test]
async fn who_is_given_a_new_password_by_mail_is_told_once_by_a_real_mail_server() {
    let (world, mails) = with_mail().await;
    let registered = world.post("/v1/user/users", json!({ "name": "Ada", "email": ADA })).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{registered:?}");
    eventually("the directory knows them", async || user(&world, ADA).await).await;
    forgets(&world, ADA).await;
    let first = link(&mails, ADA).await;
    assert!(sets(&world, &first, PASSWORD).await.body.contains("Your password is set"));
    let verified = async || user(&world, ADA).await.filter(|known| known["emailVerified"] == true);
    eventually("the address is theirs", verified).await;
    forgets(&world, ADA).await;
    let second = eventually("another link", async || Some(link(&mails, ADA).await).filter(|link| *link != first)).await;
    assert!(sets(&world, &second, ANOTHER).await.body.contains("Your password is set"));
    world.head().await;
    let subject = format!("Subject: {PASSWORD_CHANGED}\r\n");
    let told: Vec<_> = mails.mails().into_iter().filter(|mail| mail.data.contains(&subject)).collect();
    let [told] = &told[..] else { panic!("not one notice: {told:?}") };
    assert_eq!(told.to, ADA);
    assert!(!told.data.contains("token="), "it signs in: {told:?}");
}

#[tokio::test]
async fn attack_276_who_takes_over_an_account_and_changes_its_address_first_is_not_told_what_its_owner_should_hear() {
    let world = sign_in::world().await;
    let mut taken_over = invited(&world, ADA, &["viewer"]).await;
    let id = user(&world, ADA).await.unwrap()["id"].as_str().unwrap().to_owned();
    let changed = world.post(&format!("/v1/user/users/{id}/change-login"), json!({ "email": EVE })).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    eventually("the directory knows the address", async || user(&world, EVE).await).await;
    changes_password(&world, &mut taken_over).await;
    let mut told = subjects(&world, ADA).await;
    told.sort();
    assert_eq!(told, [ADDRESS_CHANGED, PASSWORD_CHANGED]);
    assert_eq!(subjects(&world, EVE).await, [""; 0]);
}
