//! A user's uploaded picture, from its file to every place where it is shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::Picture;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testbed::{Shown, eventually};

use crate::branding::png;
use crate::issuers::issuer;
use crate::sign_in;
use crate::users::{ask, member};
use crate::world::{Answer, World};

fn file(colour: [u8; 3]) -> Vec<u8> {
    png(64, 64, colour)
}

fn sent(file: &[u8]) -> Value {
    json!({ "picture": STANDARD.encode(file) })
}

/// Changes the user's own picture or profile, and waits until read models show it.
async fn does(world: &World, token: &str, verb: &str, body: Value) -> Answer {
    let request = world.anonymous(Method::POST, &format!("/v1/user/me/{verb}")).bearer_auth(token).json(&body);
    let done = Answer::of(request).await;
    assert_eq!(done.status, StatusCode::OK, "{verb}: {done:?}");
    done
}

/// The URL of a user's picture, which must be the same wherever it is shown; for an uploaded one, its path. (A service in another process
/// knows only a configured public URL.)
async fn address(world: &World, done: &Answer, id: &str) -> Option<String> {
    let path = |picture: &Value| {
        let picture = picture.as_str()?;
        Some(picture.find("/t/").map_or(picture, |at| &picture[at..]).to_owned())
    };
    let in_graphql = ask(world, done, &format!("user(id: \"{id}\") {{ picture }}")).await;
    let in_rest = world.get(&format!("/v1/user/users/{id}")).await.body;
    let (in_graphql, in_rest) = (path(&in_graphql["user"]["picture"]), path(&in_rest["profile"]["picture"]));
    assert_eq!(in_graphql, in_rest);
    in_rest
}

async fn status(world: &World, path: &str) -> StatusCode {
    world.anonymous(Method::GET, path).send().await.unwrap().status()
}

#[tokio::test]
async fn a_picture_that_somebody_uploads_is_shown_to_everybody_who_knows_where_it_is_for_as_long_as_they_have_it() {
    let world = World::start().await;
    let (ada, token) = member(&world, "ada").await;
    let first = does(&world, &token, "set-picture", sent(&file([1, 2, 3]))).await;
    let at = address(&world, &first, &ada).await.unwrap();
    let id = at.strip_prefix(&format!("/t/{}/pictures/", world.tenant)).unwrap();
    assert_eq!(id.len(), 32, "192 bits of chance: {at}");
    let shown = world.anonymous(Method::GET, &at).send().await.unwrap();
    assert_eq!(shown.status(), StatusCode::OK);
    for (name, value) in [
        ("content-type", "image/png"),
        ("cache-control", "public, max-age=300"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cross-origin-resource-policy", "cross-origin"),
    ] {
        assert_eq!(shown.headers()[name], value);
    }
    let tag = shown.headers()["etag"].clone();
    assert_eq!(shown.bytes().await.unwrap(), file([1, 2, 3]));
    let again = world.anonymous(Method::GET, &at).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(status(&world, &at.replace(&world.tenant.to_string(), "acme")).await, StatusCode::OK);
    let nothing = world.anonymous(Method::GET, &format!("{at}A")).send().await.unwrap();
    assert_eq!(nothing.status(), StatusCode::NOT_FOUND);
    assert_eq!(nothing.headers()["cache-control"], "no-store", "it may be there a moment later");
    for no_id in ["%00", "%C3%A4", "%27%20OR%20%27", &"A".repeat(2_000)] {
        assert_eq!(status(&world, &at.replace(id, no_id)).await, StatusCode::NOT_FOUND, "{no_id}");
    }
    let globex = gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    eventually("the other tenant is there", async || {
        (status(&world, "/t/globex/jwks").await == StatusCode::OK).then_some(())
    })
    .await;
    for other in [&*globex.tenant_id.to_string(), "globex", "0197a8a0-0000-7000-8000-000000000001"] {
        let elsewhere = at.replace(&world.tenant.to_string(), other);
        assert_eq!(status(&world, &elsewhere).await, StatusCode::NOT_FOUND, "{other}");
    }

    // Sending the profile back as it was read, with another name, keeps the picture.
    let mut profile = world.get(&format!("/v1/user/users/{ada}")).await.body["profile"].take();
    profile["name"] = "Ada King".into();
    let renamed = does(&world, &token, "change-profile", profile).await;
    assert_eq!(address(&world, &renamed, &ada).await.as_ref(), Some(&at));
    let set = world.post(&format!("/v1/user/users/{ada}/set-picture"), sent(&file([4, 5, 6]))).await;
    let second = address(&world, &set, &ada).await.unwrap();
    assert_ne!(second, at);
    assert_eq!((status(&world, &at).await, status(&world, &second).await), (StatusCode::NOT_FOUND, StatusCode::OK));
    // A form that was loaded before the removal does not restore the picture.
    let stale = json!({ "name": "Ada King", "picture": format!("https://api.example.com{at}"), "title": "Countess" });
    let stale = does(&world, &token, "change-profile", stale).await;
    assert_eq!(address(&world, &stale, &ada).await.as_ref(), Some(&second));
    let typed = json!({ "name": "Ada King", "picture": "https://example.com/ada.png" });
    let typed = does(&world, &token, "change-profile", typed).await;
    assert_eq!(address(&world, &typed, &ada).await.as_deref(), Some("https://example.com/ada.png"));
    assert_eq!(status(&world, &second).await, StatusCode::NOT_FOUND);
    let third = does(&world, &token, "set-picture", sent(&file([4, 5, 6]))).await;
    let third = address(&world, &third, &ada).await.unwrap();
    assert_eq!(status(&world, &third).await, StatusCode::OK);
    assert_ne!(third, second, "the same file, and another address");
    let removed = does(&world, &token, "remove-picture", json!({})).await;
    assert_eq!(address(&world, &removed, &ada).await, None);
    assert_eq!(status(&world, &third).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_is_no_user_any_more_or_erased_has_no_picture() {
    let world = World::start().await;
    for end in ["remove", "erase"] {
        let (ada, token) = member(&world, end).await;
        let set = does(&world, &token, "set-picture", sent(&file([7, 8, 9]))).await;
        let at = address(&world, &set, &ada).await.unwrap();
        assert_eq!(status(&world, &at).await, StatusCode::OK);
        let ended = world.post(&format!("/v1/user/users/{ada}/{end}"), json!({})).await;
        assert_eq!(ended.status, StatusCode::OK, "{ended:?}");
        assert_eq!(address(&world, &ended, &ada).await, None);
        assert_eq!(status(&world, &at).await, StatusCode::NOT_FOUND, "{end}");
    }
}

#[tokio::test]
async fn ones_own_data_has_the_picture_that_one_uploaded() {
    let world = World::start().await;
    let (_, token) = member(&world, "ada").await;
    for rgb in [[1, 2, 3], [4, 5, 6]] {
        does(&world, &token, "set-picture", sent(&file(rgb))).await;
    }
    let export = Answer::of(world.anonymous(Method::GET, "/v1/user/me/export").bearer_auth(&token)).await;
    assert_eq!(export.status, StatusCode::OK, "{export:?}");
    let history = export.body["history"].as_array().unwrap();
    let set = history.iter().filter(|told| told["event"] == "user.user.picture_set");
    let pictures: Vec<_> = set.map(|set| &set["data"]["uploaded"]["picture"]).collect();
    let base64 = |nth: usize| &pictures[nth]["base64"];
    let [first, second] = [[1, 2, 3], [4, 5, 6]].map(|rgb| sent(&file(rgb))["picture"].clone());
    assert_eq!((pictures.len(), base64(0), base64(1)), (2, &first, &second));
    assert_eq!(pictures[0]["width"], json!(64));
    assert!(history.is_sorted_by_key(|told| told["position"].as_u64()), "oldest first: {history:?}");
    assert!(export.body["user"]["profile"]["picture"].as_str().unwrap().contains("/pictures/"), "{export:?}");
}

#[tokio::test]
async fn what_is_no_picture_or_somebody_elses_is_refused_and_nothing_is_written() {
    let world = World::start().await;
    let ((ada, token), (grace, _)) = (member(&world, "ada").await, member(&world, "grace").await);
    let set = |path: &str, body: &Value| world.anonymous(Method::POST, path).bearer_auth(&token).json(body);
    let good = sent(&file([0; 3]));
    let mut cases = Vec::new();
    for path in [format!("/v1/user/users/{grace}/set-picture"), format!("/v1/user/users/{ada}/set-picture")] {
        cases.push((set(&path, &good), StatusCode::FORBIDDEN, "permission_missing"));
    }
    let remove = format!("/v1/user/users/{grace}/remove-picture");
    cases.push((set(&remove, &json!({})), StatusCode::FORBIDDEN, "permission_missing"));
    // Managers of users have no power over users with more permissions, and an unknown user gets 404.
    let root = json!({ "name": "root", "email": "root@example.com", "roles": ["admin"] });
    let root = world.post("/v1/user/users", root).await.body["id"].as_str().unwrap().to_owned();
    let manager = world.token_of("manager", &[kernel::Role::Manager]);
    let nobody = "0197a8a0-0000-7000-8000-000000000001";
    for (verb, body) in [("set-picture", &good), ("remove-picture", &json!({}))] {
        let path = |user: &str| format!("/v1/user/users/{user}/{verb}");
        let stronger = world.anonymous(Method::POST, &path(&root)).bearer_auth(&manager).json(body);
        cases.push((stronger, StatusCode::FORBIDDEN, "exceeds_own_permissions"));
        let of_nobody = world.request(Method::POST, &path(nobody)).json(body);
        cases.push((of_nobody, StatusCode::NOT_FOUND, "not_found"));
        let of_no_id = world.request(Method::POST, &path("ada")).json(body);
        cases.push((of_no_id, StatusCode::BAD_REQUEST, "parameter_invalid"));
    }
    let remove = set("/v1/user/me/remove-picture", &good);
    cases.push((remove, StatusCode::BAD_REQUEST, "validation_failed"));
    let url = format!("data:image/png;base64,{}", STANDARD.encode(file([0; 3])));
    for body in [
        json!({}),
        json!({ "picture": null }),
        json!({ "picture": url }),
        json!({ "picture": STANDARD.encode(file([0; 3])), "id": "mine" }),
        sent(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        sent(&png(2_000, 16, [0; 3])),
        sent(&[file([0; 3]), vec![0; 65_536]].concat()),
        json!({ "picture": "?" }),
        json!({ "url": "https://example.com/a.png" }),
    ] {
        cases.push((set("/v1/user/me/set-picture", &body), StatusCode::BAD_REQUEST, "validation_failed"));
    }
    let admin = world.request(Method::POST, "/v1/user/me/set-picture").json(&good);
    cases.push((admin, StatusCode::NOT_FOUND, "not_a_user"));
    world.refuses(cases).await;
}

/// The path of the picture on an account page.
fn on_page(page: &Shown) -> Option<String> {
    let (_, after) = page.body.split_once("src=\"/t/acme/pictures/")?;
    Some(format!("/t/acme/pictures/{}", after.split_once('"')?.0))
}

#[tokio::test]
async fn a_picture_that_somebody_uploads_on_the_account_page_is_theirs_and_has_the_limits_of_the_api() {
    let world = sign_in::world().await;
    let mut browser = sign_in::invited(&world, "ada@example.com", &["viewer"]).await;
    let account = format!("{}/account", issuer(&world));
    let upload = format!("{account}/picture");
    assert_eq!(on_page(&browser.open(&account).await), None);
    for colour in [[1, 2, 3], [4, 5, 6]] {
        let done = browser.upload(&upload, "picture", &file(colour)).await;
        assert_eq!(done.leads_to().0, "/t/acme/account", "{done:?}");
        eventually("the page shows it", async || {
            let at = on_page(&browser.window().open(&account).await)?;
            let shown = world.anonymous(Method::GET, &at).send().await.unwrap();
            (shown.bytes().await.unwrap() == file(colour)).then_some(())
        })
        .await;
    }

    let before = world.head().await;
    let mut large = file([7, 8, 9]);
    large.resize(Picture::MOST_BYTES + 1, 0);
    for (refused, status, text) in [
        (Vec::new(), StatusCode::BAD_REQUEST, "Choose a file first"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), StatusCode::BAD_REQUEST, "PNG, JPEG and WebP"),
        (png(1_100, 16, [0; 3]), StatusCode::BAD_REQUEST, "1100 × 16 pixels; allowed are 16 to 1024"),
        (large, StatusCode::BAD_REQUEST, "allowed are 64 KiB"),
        (vec![0; 3 << 20], StatusCode::PAYLOAD_TOO_LARGE, "allowed are 64 KiB"),
    ] {
        let shown = browser.upload(&upload, "picture", &refused).await;
        assert_eq!(shown.status, status, "{shown:?}");
        assert!(shown.alert().contains(text) && on_page(&shown).is_some(), "{shown:?}");
    }
    assert_eq!(world.head().await, before, "something was written");

    // Twenty a day, as over the API.
    for red in 0..18 {
        let done = browser.upload(&upload, "picture", &png(16, 16, [red, 0, 0])).await;
        assert_eq!(done.leads_to().0, "/t/acme/account", "{red}: {done:?}");
    }
    let before = world.head().await;
    let refused = browser.upload(&upload, "picture", &png(16, 16, [99, 0, 0])).await;
    assert!(refused.status == StatusCode::TOO_MANY_REQUESTS && refused.alert().contains(" hours"), "{refused:?}");
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|wait| wait > 3_600), "{refused:?}");
    assert_eq!(world.head().await, before, "something was written");

    let removed = browser.submit(&format!("{upload}/remove"), &[]).await;
    assert_eq!(removed.leads_to().0, "/t/acme/account", "{removed:?}");
    eventually("it is gone", async || on_page(&browser.window().open(&account).await).is_none().then_some(())).await;
}
