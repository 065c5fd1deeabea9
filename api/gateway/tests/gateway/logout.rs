//! Applications are notified at their registered URL when a session ends (OpenID Connect Back-Channel Logout).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::{Server, Services};
use jwt_simple::prelude::{Ed25519PublicKey, EdDSAPublicKeyLike, VerificationOptions};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testbed::eventually;
use testbed::receiver::{Received, Receiver, Reply};

use crate::issuers::{claims, header, issuer, reads};
use crate::sign_in::{App, PASSWORD, invited, signs_in, world_with};
use crate::world::{Answer, World};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The logout token of a message, verified with the issuer's published keys, as any client does it.
async fn logout_token(world: &World, message: &Received, client: &str) -> Value {
    assert_eq!(message.headers["content-type"], "application/x-www-form-urlencoded");
    let token = message.body.strip_prefix("logout_token=").unwrap();
    assert_eq!((&header(token)["typ"], &header(token)["alg"]), (&json!("logout+jwt"), &json!("EdDSA")));
    let keys = Answer::of(world.anonymous(Method::GET, "/t/acme/jwks")).await.body;
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header(token)["kid"]).unwrap().clone();
    let key = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let options = VerificationOptions {
        allowed_issuers: Some([issuer(world)].into()),
        allowed_audiences: Some([client.to_owned()].into()),
        ..VerificationOptions::default()
    };
    Ed25519PublicKey::from_bytes(&key).unwrap().verify_token::<Value>(token, Some(options)).unwrap();
    let said = claims(token);
    assert_eq!((&said["events"], &said["nonce"]), (&json!({ EVENT: {} }), &Value::Null), "{said}");
    // A logout token is not accepted for anything else.
    let refused = Answer::of(reads(world, token)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{refused:?}");
    let hint = world.anonymous(Method::GET, &format!("/t/acme/logout?id_token_hint={token}"));
    assert_eq!(Answer::of(hint).await.status, StatusCode::BAD_REQUEST);
    said
}

#[tokio::test]
async fn an_application_is_told_when_a_session_ends_and_when_all_of_somebodys_do() {
    let world = world_with("127.0.0.1", |config| config.webhooks.allow_private = true).await;
    let receiver = Receiver::answering(|_, before| match before {
        0 => Reply::Status("503 Service Unavailable"),
        _ => Reply::Status("200 OK"),
    })
    .await;
    let found = Answer::of(world.anonymous(Method::GET, "/t/acme/.well-known/openid-configuration")).await.body;
    assert_eq!(
        (&found["backchannel_logout_supported"], &found["backchannel_logout_session_supported"]),
        (&json!(true), &json!(true))
    );
    let listens = App::with(&world, json!({ "backchannel_logout_uri": receiver.url })).await;
    let shown = world.get(&format!("/v1/auth/clients/{}", listens.id)).await;
    assert_eq!(shown.body["backchannel_logout_uri"], json!(receiver.url));
    let mut browser = invited(&world, "ada@example.com", &["viewer"]).await;
    let tokens = listens.tokens(&world, &mut browser).await;
    App::register(&world).await.tokens(&world, &mut browser).await;
    let id = claims(tokens["id_token"].as_str().unwrap());
    let sid = id["sid"].as_str().unwrap();
    let ended = world.post(&format!("/v1/auth/sessions/{sid}/revoke"), json!({})).await;
    assert_eq!(ended.status, StatusCode::OK, "{ended:?}");
    let told = eventually("it is told again", || async { Some(receiver.got()).filter(|got| got.len() == 2) }).await;
    let mut said = Vec::new();
    for message in &told {
        said.push(logout_token(&world, message, &listens.id).await);
    }
    assert_eq!((&said[0]["sub"], &said[0]["sid"]), (&id["sub"], &id["sid"]), "{said:?}");
    assert_eq!(said[0]["jti"], said[1]["jti"], "the same notice");

    signs_in(&world, &mut browser, &listens, "ada@example.com", PASSWORD).await.code();
    let user = id["sub"].as_str().unwrap();
    let locked = world.post(&format!("/v1/user/users/{user}/lock"), json!({ "reason": "lost a laptop" })).await;
    assert_eq!(locked.status, StatusCode::OK, "{locked:?}");
    let told = eventually("it is told of all", || async { receiver.got().get(2).cloned() }).await;
    let all = logout_token(&world, &told, &listens.id).await;
    assert_eq!((&all["sub"], &all["sid"]), (&id["sub"], &Value::Null), "{all}");
}

#[tokio::test]
async fn attack_67_an_applications_address_for_logouts_inside_our_network() {
    let mut world = world_with("127.0.0.1", |config| config.webhooks.allow_private = true).await;
    let receiver = Receiver::start().await;
    let outside = receiver.url.replace("http://", "https://");
    let app = App::with(&world, json!({ "backchannel_logout_uri": outside })).await;
    // The address was registered when private addresses were allowed; they are not any more.
    world.server.take().unwrap().shutdown().await;
    world.config.webhooks.allow_private = false;
    let server = Server::start(world.config.clone(), Services::All).await.unwrap();
    world.url = format!("http://{}", server.addr());
    world.server = Some(server);
    let before = world.head_of(&world.auth).await;
    for inside in [
        "http://10.0.0.1/out",
        "https://10.0.0.1/out",
        "https://127.1/out",
        "https://[::1]/out",
        "https://localhost/out",
        "https://db.internal/out",
        "https://example.com:0/out",
        "https://example.com:99999/out",
        "ftp://example.com/",
        "https://user@example.com/",
        "javascript:alert(1)",
    ] {
        let body = json!({
            "name": "app", "confidential": true, "redirect_uris": ["https://app.example.com/back"],
            "backchannel_logout_uri": inside,
        });
        let refused = world.post("/v1/auth/clients", body).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "validation_failed"), "{inside}");
    }
    assert_eq!(world.head_of(&world.auth).await, before, "something was written");
    // Names are resolved when the notice is sent, and addresses are checked then, too.
    let mut browser = invited(&world, "ada@example.com", &["viewer"]).await;
    let tokens = app.tokens(&world, &mut browser).await;
    let sid = claims(tokens["id_token"].as_str().unwrap())["sid"].as_str().unwrap().to_owned();
    world.post(&format!("/v1/auth/sessions/{sid}/revoke"), json!({})).await;
    let saga = eventually("it is tried", || async {
        let page = world.get(&format!("/v1/sagas/auth?saga=announce_logout&key={sid}")).await;
        let id = page.body["sagas"][0]["id"].as_str()?.to_owned();
        let saga = world.get(&format!("/v1/sagas/auth/{id}")).await.body;
        saga.to_string().contains("client_not_told").then_some(saga)
    })
    .await;
    assert!(saga.to_string().contains("is not a public address"), "{saga}");
    assert!(receiver.got().is_empty(), "{:?}", receiver.got());
}
