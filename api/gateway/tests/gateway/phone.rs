//! Telephone numbers: a user verifies theirs by a code in a text message.

use kernel::Role;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testbed::{eventually, receiver};

use crate::users::{ask, member};
use crate::world::{Answer, World};

const NUMBER: &str = "+4930123456";

async fn world() -> World {
    World::start_with(|config| config.texts.catch = true).await
}

/// A user with a telephone number: their id, and their token.
async fn user(world: &World, name: &str, phone: &str) -> (String, String) {
    let (id, token) = member(world, name).await;
    let changed = call(world, &token, "change-profile", json!({ "name": name, "phone": phone })).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    (id, token)
}

fn request(world: &World, token: &str, verb: &str, body: &Value) -> RequestBuilder {
    world.anonymous(Method::POST, &format!("/v1/user/me/{verb}")).bearer_auth(token).json(body)
}

async fn call(world: &World, token: &str, verb: &str, body: Value) -> Answer {
    Answer::of(request(world, token, verb, &body)).await
}

/// The text messages to a number, newest first.
async fn texts(world: &World, number: &str) -> Vec<String> {
    let caught = Answer::of(world.anonymous(Method::GET, "/dev/mail.json")).await;
    let texts = caught.body["texts"].as_array().unwrap().iter().filter(|text| text["to"] == number);
    texts.map(|text| text["text"].as_str().unwrap().to_owned()).collect()
}

/// Requests a code, and reads it from the text message.
async fn code(world: &World, token: &str, number: &str) -> String {
    let before = texts(world, number).await.len();
    let asked = call(world, token, "send-phone-code", json!({})).await;
    assert_eq!(asked.status, StatusCode::OK, "{asked:?}");
    eventually("the message is there", async || {
        let texts = texts(world, number).await;
        (texts.len() > before).then(|| texts[0].split(' ').next().unwrap().to_owned())
    })
    .await
}

/// A different code.
fn other(code: &str) -> String {
    if code == "000000" { "000001".to_owned() } else { "000000".to_owned() }
}

#[tokio::test]
async fn a_user_shows_that_a_number_is_theirs_and_a_changed_one_is_not_shown() {
    let world = world().await;
    let (id, ada) = user(&world, "ada", NUMBER).await;
    let code = code(&world, &ada, NUMBER).await;
    let page = Answer::of(world.anonymous(Method::GET, "/dev/mail")).await;
    assert!(page.body.as_str().unwrap().contains(&code), "{page:?}");
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let verified = call(&world, &ada, "verify-phone", json!({ "code": spaced })).await;
    assert_eq!(verified.status, StatusCode::OK, "{verified:?}");
    let seen = async |done: &Answer| {
        ask(&world, done, &format!("user(id: \"{id}\") {{ phone phoneVerified }}")).await["user"].take()
    };
    assert_eq!(seen(&verified).await, json!({ "phone": NUMBER, "phoneVerified": true }));
    let me = Answer::of(world.anonymous(Method::GET, "/v1/user/me").bearer_auth(&ada)).await;
    assert_eq!(me.body["phone_verified"], true, "{me:?}");
    world
        .refuses(vec![
            (request(&world, &ada, "send-phone-code", &json!({})), StatusCode::CONFLICT, "phone_verified_already"),
            (
                request(&world, &ada, "verify-phone", &json!({ "code": code })),
                StatusCode::CONFLICT,
                "phone_verified_already",
            ),
        ])
        .await;
    let exported = Answer::of(world.anonymous(Method::GET, "/v1/user/me/export").bearer_auth(&ada)).await;
    let told = exported.body.to_string();
    assert!(told.contains("user.user.phone_verified") && told.contains(NUMBER), "{told}");
    let same = call(&world, &ada, "change-profile", json!({ "name": "Ada", "phone": NUMBER })).await;
    assert_eq!(seen(&same).await["phoneVerified"], true);
    let moved = call(&world, &ada, "change-profile", json!({ "name": "Ada", "phone": "+4930123457" })).await;
    assert_eq!(seen(&moved).await, json!({ "phone": "+4930123457", "phoneVerified": false }));
}

#[tokio::test]
async fn what_can_not_be_sent_or_entered_is_refused_and_leaves_nothing() {
    let mut world = World::start_with(|config| config.texts.prefixes = vec!["+49".to_owned(), "+43".to_owned()]).await;
    let (_, ada) = user(&world, "ada", NUMBER).await;
    let (_, grace) = user(&world, "grace", "+819012345678").await;
    let send = |world: &World, token: &str| request(world, token, "send-phone-code", &json!({}));
    let enter =
        |world: &World, token: &str, code: &str| request(world, token, "verify-phone", &json!({ "code": code }));
    let administrator = world.token(&[Role::Admin]);
    world
        .refuses(vec![
            (send(&world, &ada), StatusCode::CONFLICT, "texts_not_sent"),
            (enter(&world, &ada, "123456"), StatusCode::CONFLICT, "code_not_good"),
            (enter(&world, &ada, "12345"), StatusCode::BAD_REQUEST, "validation_failed"),
            (send(&world, &administrator), StatusCode::NOT_FOUND, "not_a_user"),
            (enter(&world, &administrator, "123456"), StatusCode::NOT_FOUND, "not_a_user"),
        ])
        .await;
    world.restart(|config| config.texts.catch = true).await;
    let answer = Answer::of(send(&world, &grace)).await;
    assert_eq!((answer.code(), &answer.body["allowed"]), ("phone_not_reached", &json!(["+49", "+43"])), "{answer:?}");
    let gone = call(&world, &grace, "change-profile", json!({ "name": "Grace" })).await;
    assert_eq!(gone.status, StatusCode::OK);
    code(&world, &ada, NUMBER).await;
    world
        .refuses(vec![
            (send(&world, &grace), StatusCode::CONFLICT, "phone_missing"),
            (send(&world, &ada), StatusCode::TOO_MANY_REQUESTS, "codes_asked_too_often"),
        ])
        .await;
    let early = Answer::of(send(&world, &ada)).await;
    let wait = early.body["retry_after"].as_u64().unwrap();
    assert!((1..=61).contains(&wait) && early.header("retry-after") == wait.to_string(), "{early:?}");
}

#[tokio::test]
async fn a_code_goes_out_by_a_provider_and_again_when_it_was_away() {
    let provider = receiver::Receiver::answering(|_, before| {
        receiver::Reply::Status(if before == 0 { "503 Service Unavailable" } else { "201 Created" })
    })
    .await;
    let url = provider.url.replace("http://", "http://AC1:token@");
    let world = World::start_with(|config| {
        config.texts.url = config::SecretText::new(url);
        "Inopsio".clone_into(&mut config.texts.from);
    })
    .await;
    let (_, ada) = user(&world, "ada", NUMBER).await;
    let asked = call(&world, &ada, "send-phone-code", json!({})).await;
    assert_eq!(asked.status, StatusCode::OK, "{asked:?}");
    let taken = eventually("it is sent again", async || provider.got().get(1).cloned()).await;
    let read = |text: &str, name: &str| {
        let form = url::form_urlencoded::parse(text.as_bytes());
        form.into_owned().find(|(key, _)| key == name).unwrap().1
    };
    let of = |name: &str| read(&taken.body, name);
    assert_eq!(of("Body"), read(&provider.got()[0].body, "Body"), "another code");
    assert_eq!((of("To"), of("From")), (NUMBER.to_owned(), "Inopsio".to_owned()));
    let code = of("Body").split(' ').next().unwrap().to_owned();
    let verified = call(&world, &ada, "verify-phone", json!({ "code": code })).await;
    assert_eq!(verified.status, StatusCode::OK, "{verified:?}");
    let page = Answer::of(world.anonymous(Method::GET, "/dev/mail.json")).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND, "messages are shown where they are sent");
}

#[tokio::test]
async fn attack_102_guessing_the_code_that_was_texted() {
    let world = world().await;
    let (_, eve) = user(&world, "eve", NUMBER).await;
    let code = code(&world, &eve, NUMBER).await;
    let before = world.head().await;
    let wrong = other(&code);
    // Concurrent attempts are all counted.
    let guesses = (0..40).map(|_| call(&world, &eve, "verify-phone", json!({ "code": wrong })));
    let answers = futures::future::join_all(guesses).await;
    for answer in &answers {
        assert!(["code_not_good", "changed_meanwhile"].contains(&answer.code()), "{answer:?}");
    }
    for _ in 0..5 {
        call(&world, &eve, "verify-phone", json!({ "code": wrong })).await;
    }
    assert_eq!(world.head().await, before + 5, "a record of each of five guesses, and of no more");
    // The correct code is not accepted any more, and gets the same answer as a wrong one.
    let right = call(&world, &eve, "verify-phone", json!({ "code": code })).await;
    let guess = call(&world, &eve, "verify-phone", json!({ "code": wrong })).await;
    assert_eq!((right.status, right.code()), (StatusCode::CONFLICT, "code_not_good"), "{right:?}");
    assert_eq!(right.body["detail"], guess.body["detail"]);
    assert_eq!(world.head().await, before + 5);
    // A new code is not sent at once either.
    let again = call(&world, &eve, "send-phone-code", json!({})).await;
    assert_eq!(again.code(), "codes_asked_too_often", "{again:?}");
}

#[tokio::test]
async fn attack_103_flooding_a_number_with_text_messages() {
    let world = world().await;
    let mut answers = Vec::new();
    // Many users claim the same number.
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let (_, token) = user(&world, name, NUMBER).await;
        let answer = call(&world, &token, "send-phone-code", json!({})).await;
        answers.push((answer.status, answer.body["position"].is_string()));
        let again = call(&world, &token, "send-phone-code", json!({})).await;
        assert_eq!(again.status, StatusCode::TOO_MANY_REQUESTS, "{again:?}");
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "who asks learns that others do: {answers:?}");
    // Once the sagas are idle: five were sent, and one to the user who was never sent any; the others wait.
    world.head().await;
    assert_eq!(texts(&world, NUMBER).await.len(), 6);
    let (_, other) = user(&world, "other", "+4930123457").await;
    code(&world, &other, "+4930123457").await;
}

#[tokio::test]
async fn attack_118_who_has_a_number_flooded_keeps_its_owner_from_no_code() {
    let world = world().await;
    for name in ["a", "b", "c", "d", "e"] {
        let (_, token) = user(&world, name, NUMBER).await;
        code(&world, &token, NUMBER).await;
    }
    // Now the hourly limit of the number is reached.
    let (id, owner) = user(&world, "owner", NUMBER).await;
    let code = code(&world, &owner, NUMBER).await;
    let verified = call(&world, &owner, "verify-phone", json!({ "code": code })).await;
    assert_eq!(verified.status, StatusCode::OK, "{verified:?}");
    let seen = ask(&world, &verified, &format!("user(id: \"{id}\") {{ phoneVerified }}")).await;
    assert_eq!(seen["user"]["phoneVerified"], true);
}

#[tokio::test]
async fn attack_104_a_code_that_was_sent_to_somebody_else() {
    let world = world().await;
    let (ada_id, ada) = user(&world, "ada", NUMBER).await;
    let (_, eve) = user(&world, "eve", "+4930123457").await;
    let (of_ada, of_eve) = (code(&world, &ada, NUMBER).await, code(&world, &eve, "+4930123457").await);
    assert_ne!(of_ada, of_eve, "one in a million");
    // Eve claims Ada's number: neither the code that was sent to Ada nor the one for Eve's own former number verifies it.
    let moved = call(&world, &eve, "change-profile", json!({ "name": "Eve", "phone": NUMBER })).await;
    assert_eq!(moved.status, StatusCode::OK);
    let before = world.head().await;
    for code in [&of_ada, &of_eve] {
        let answer = call(&world, &eve, "verify-phone", json!({ "code": code })).await;
        assert_eq!(answer.code(), "code_not_good", "{answer:?}");
    }
    // An administrator, of this tenant or another, can't enter Ada's code for her, or read it anywhere.
    for token in [world.token(&[Role::Admin]), world.stranger()] {
        let answer = call(&world, &token, "verify-phone", json!({ "code": of_ada })).await;
        assert_eq!(answer.code(), "not_a_user", "{answer:?}");
    }
    assert_eq!(world.head().await, before, "something was written");
    let erased = world.post(&format!("/v1/user/users/{ada_id}/erase"), json!({})).await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:?}");
    let seen = ask(&world, &erased, &format!("user(id: \"{ada_id}\") {{ phone phoneVerified }}")).await;
    assert_eq!(seen["user"], json!({ "phone": null, "phoneVerified": false }));
}
