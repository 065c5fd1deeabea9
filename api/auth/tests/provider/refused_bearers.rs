//! Records of refused tokens and API keys, which can't be used to fill the log.

use auth_aggregates::ApiKeyId;
use auth_api::authority::ApiKeyText;
use auth_api::trust::Trust;
use auth_commands::{DeactivateMachine, IssueApiKey, Reach, ReactivateMachine, RegisterMachine, RevokeApiKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use kernel::{IdSource, MachineId, SystemIds, TenantId};
use keys::SystemRandom;
use reqwest::StatusCode;
use serde_json::{Value, json};
use testbed::{Browser, eventually};

use crate::world::{World, json};

/// The payloads of the recorded events with this name.
async fn recorded(world: &World, name: &str) -> Vec<Value> {
    world.events().await.into_iter().filter(|(of, _)| of == name).map(|(_, said)| said).collect()
}

/// Waits until so many are recorded.
async fn are_recorded(world: &World, name: &str, count: usize) -> Vec<Value> {
    eventually("what was refused is on record", async || {
        let found = recorded(world, name).await;
        (found.len() >= count).then_some(found)
    })
    .await
}

/// A token with a changed header, claims or signature.
fn forged(token: &str, part: usize, member: &str, value: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut said: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&parts[part]).unwrap()).unwrap();
    said[member] = value.into();
    parts[part] = URL_SAFE_NO_PAD.encode(said.to_string());
    parts.join(".")
}

const REFUSED: &str = "auth.sign_in.refused";

#[tokio::test]
async fn attack_100_filling_the_log_with_tokens_that_are_none() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let tokens = app.tokens(&world, &mut Browser::default()).await;
    let access = tokens["access_token"].as_str().unwrap();
    let before = world.head().await;
    // Two processes, which share nothing but the log.
    let processes = [world.provider.trust.clone(), Trust::new(world.provider.authority.clone())];
    let attack = async || {
        for nth in 0..50 {
            for trust in &processes {
                let (nth, is) = (nth.to_string(), async |token: String| trust.check(&token).await.unwrap_err().code());
                assert_eq!(is(forged(access, 1, "sub", &nth)).await, "token_invalid");
                assert_eq!(is(forged(access, 0, "kid", &nth)).await, "token_invalid");
                assert_eq!(is(forged(access, 0, "typ", &nth)).await, "token_type");
                let nobody = format!("{}/t/nobody-{nth}", world.url);
                assert_eq!(is(forged(access, 1, "iss", &nobody)).await, "token_issuer");
            }
        }
    };
    attack().await;
    let mut found = are_recorded(&world, REFUSED, 2).await;
    found.sort_by_key(ToString::to_string);
    let record = |reason: &str| json!({ "event": REFUSED, "reason": reason, "place": {} });
    assert_eq!(found, [record("token_invalid"), record("token_type")], "nothing of the token, and of nobody's nothing");
    world.clock.advance(TimeDelta::minutes(61));
    attack().await;
    assert_eq!(are_recorded(&world, REFUSED, 4).await.len(), 4);
    assert_eq!(world.head().await, before + 4, "one a reason and hour");
    // An expired token is normal, and not recorded.
    let access = app.refreshes(&world, tokens["refresh_token"].as_str().unwrap());
    let access = json(access, StatusCode::OK).await["access_token"].as_str().unwrap().to_owned();
    world.clock.advance(TimeDelta::hours(2));
    let before = world.head().await;
    assert_eq!(world.provider.trust.check(&access).await.unwrap_err().code(), "token_expired");
    assert_eq!(world.head().await, before);
}

/// An API key of a machine: its id and its text.
async fn key_of(world: &World, machine: MachineId) -> (ApiKeyId, String) {
    let key = ApiKeyId::new(SystemIds.next());
    let text = ApiKeyText::generate(world.tenant.id, key, &SystemRandom).unwrap();
    let (name, secret_hash) = ("nightly".to_owned(), text.secret_hash());
    let issue =
        IssueApiKey { key, machine, name, secret_hash, scopes: vec![], expires_at: None, reach: Reach::Everything };
    world.run_as_admin(&issue).await;
    (key, text.write().to_string())
}

#[tokio::test]
async fn attack_101_an_api_keys_secret_that_is_tried_and_a_key_that_is_revoked() {
    let world = World::start().await;
    let register =
        RegisterMachine { name: "sensor".to_owned(), roles: vec!["viewer".to_owned()], reach: Reach::Everything };
    let machine = world.run_as_admin(&register).await;
    let (key, text) = key_of(&world, machine).await;
    let is = async |text: &str| world.provider.trust.check(text).await.map_err(|refusal| refusal.code()).map(drop);
    let guess = |tenant: TenantId, key| ApiKeyText::generate(tenant, key, &SystemRandom).unwrap().write().to_string();
    let before = world.head().await;
    // For an unknown key there is no aggregate to record the refusal in, and a tenant in a key's text need not exist.
    for _ in 0..20 {
        let unknown = guess(world.tenant.id, ApiKeyId::new(SystemIds.next()));
        assert_eq!(is(&unknown).await, Err("token_invalid"));
        assert_eq!(is(&guess(testbed::tenant(), key)).await, Err("token_invalid"));
    }
    assert_eq!(world.head().await, before, "something was written");
    for _ in 0..50 {
        assert_eq!(is(&guess(world.tenant.id, key)).await, Err("token_invalid"));
    }
    let reasons = async |count| {
        let found = are_recorded(&world, "auth.api_key.refused", count).await;
        found.iter().map(|said| said["reason"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(reasons(1).await, ["secret_wrong"]);
    assert_eq!(world.head().await, before + 1, "one an hour");
    world.run_as_admin(&DeactivateMachine { machine, reach: Reach::Everything }).await;
    world.clock.advance(TimeDelta::hours(1));
    assert_eq!(is(&text).await, Err("token_revoked"));
    assert_eq!(reasons(2).await, ["secret_wrong", "machine_inactive"]);
    world.run_as_admin(&ReactivateMachine { machine, reach: Reach::Everything }).await;
    assert_eq!(is(&text).await, Ok(()));
    world.run_as_admin(&RevokeApiKey { key, reach: Reach::Everything }).await;
    world.clock.advance(TimeDelta::hours(1));
    for _ in 0..20 {
        assert_eq!(is(&text).await, Err("token_revoked"));
    }
    assert_eq!(reasons(3).await, ["secret_wrong", "machine_inactive", "revoked"]);
}
