//! The master key in Vault, with a double of its transit engine (`testbed::VaultDouble`): operation with it, without it, and its
//! replacement by another key.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_aggregates::{KeyRingOpened, OurAlgorithm};
use auth_commands::{OpenKeyRing, protocol};
use config::{Config, SecretText};
use directory::{Directory, Tenant};
use eventstore::sealing::TENANT_KEY;
use eventstore::{Error, EventStore};
use executor::Executor;
use gateway::tenant_keys::TenantKeys;
use gateway::{ProvisionError, Server, Services, StartError, operator};
use kernel::{Role, SystemClock, SystemIds, TenantId};
use keys::{Context, DataKey, LocalMasterKey, MasterKey, Sealed, SystemRandom, Wrapped};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use testbed::{VAULT_TOKEN, VaultDouble, eventually};

use crate::provisioning::town_with;
use crate::world::{Answer, World};

const PLACE: &str = "transit:transit/inopsio";
const LOCAL: &str = "4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a";

fn in_vault(config: &mut Config, vault: &VaultDouble) {
    config.auth.master_key = SecretText::new(PLACE);
    config.vault.address.clone_from(&vault.address);
    config.vault.token = SecretText::new(VAULT_TOKEN);
    config.vault.timeout_seconds = 1;
}

async fn world(vault: &VaultDouble) -> World {
    World::start_with(|config| in_vault(config, vault)).await
}

async fn acme(world: &World) -> Tenant {
    Directory::open(&world.config).find("acme").await.unwrap()
}

/// Lets the tenant's issuer sign a token, and returns it.
async fn signs(world: &World) -> StatusCode {
    let address: SocketAddr = world.url.strip_prefix("http://").unwrap().parse().unwrap();
    let hour = Duration::from_hours(1);
    let token = operator::issue(&world.config, address, &acme(world).await, &[Role::Viewer], hour).await.unwrap();
    let lead = "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001";
    Answer::of(world.anonymous(Method::GET, lead).bearer_auth(&token)).await.status
}

/// A lead with a sealed name, read through the log.
async fn name_of(world: &World, lead: &str) -> Value {
    world.get(&format!("/v1/crm/leads/{lead}")).await.body["name"].clone()
}

/// The state of the key in Vault in `/ready`, and the overall status.
async fn ready(world: &World) -> (StatusCode, Value) {
    let report = Answer::of(world.anonymous(Method::GET, "/ready")).await;
    let dependencies = report.body["dependencies"].as_array().unwrap();
    (report.status, dependencies.iter().find(|one| one["name"] == PLACE).unwrap().clone())
}

async fn ready_is(world: &World, status: StatusCode, state: &str) -> Value {
    eventually(&format!("/ready says {state}"), async || {
        let (found, of_vault) = ready(world).await;
        (found == status && of_vault["state"] == state).then_some(of_vault)
    })
    .await
}

/// The master keys that wrapped the tenants' keys of a service.
async fn wrapped_by(world: &World, service: &str) -> Vec<String> {
    let holders: Vec<String> = sqlx::query_scalar("SELECT holder FROM log.claims WHERE kind = $1")
        .bind(TENANT_KEY)
        .fetch_all(&mut world.of(service).superuser().connect().await.unwrap())
        .await
        .unwrap();
    holders.iter().map(|holder| Wrapped::read(holder).wrapped_by().to_owned()).collect()
}

/// The envelopes of a tenant's key ring, in the order of its events.
async fn envelopes(world: &World, tenant: TenantId) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT payload->>'tenant_key' FROM log.events
         WHERE tenant_id = $1 AND event_type IN ('auth.key_ring.opened', 'auth.key_ring.resealed')
         ORDER BY position",
    )
    .bind(tenant.uuid())
    .fetch_all(&mut world.auth.superuser().connect().await.unwrap())
    .await
    .unwrap()
}

async fn auth_log(world: &World) -> EventStore {
    EventStore::open(&world.auth, world.config.log_settings(), Arc::new(SystemClock)).await.unwrap()
}

#[tokio::test]
async fn an_installation_begins_and_goes_on_after_a_restart_with_its_master_key_in_vault() {
    for vault in [VaultDouble::start().await, VaultDouble::deriving().await] {
        let mut world = world(&vault).await;
        let lead = world.lead("Ada Lovelace").await;
        assert_eq!(signs(&world).await, StatusCode::NOT_FOUND, "let in, and there is no such lead");
        assert_eq!(
            (wrapped_by(&world, "crm").await, wrapped_by(&world, "auth").await),
            (vec![PLACE.to_owned()], vec![PLACE.to_owned()])
        );
        world.restart(|_| ()).await;
        assert_eq!(name_of(&world, &lead).await, "Ada Lovelace");
        assert_eq!(signs(&world).await, StatusCode::NOT_FOUND);
        let of_vault = ready_is(&world, StatusCode::OK, "up").await;
        assert!(of_vault["latency_ms"].is_number(), "{of_vault}");
        let metrics = world.get("/metrics").await.body.as_str().unwrap().to_owned();
        for metric in [
            r#"inopsio_vault_requests_total{operation="decrypt",result="ok"}"#,
            r#"inopsio_vault_request_seconds_count{operation="encrypt"}"#,
        ] {
            assert!(metrics.contains(metric), "{metric} is not in {metrics}");
        }
    }
}

#[tokio::test]
async fn while_vault_is_sealed_at_the_start_nothing_is_written_and_all_goes_on_when_it_is_opened() {
    let vault = VaultDouble::deriving().await;
    vault.seal(true);
    let world = world(&vault).await;
    let of_vault = ready_is(&world, StatusCode::SERVICE_UNAVAILABLE, "down").await;
    assert!(of_vault["detail"].as_str().unwrap().contains("sealed"), "{of_vault}");
    let lead = || world.request(Method::POST, "/v1/crm/leads").json(&json!({ "name": "Ada" }));
    world.refuses(vec![(lead(), StatusCode::SERVICE_UNAVAILABLE, "master_key_unavailable")]).await;
    vault.seal(false);
    let made = Answer::of(lead()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    ready_is(&world, StatusCode::OK, "up").await;
}

#[tokio::test]
async fn what_was_opened_goes_on_without_vault_and_no_tenant_is_made_meanwhile() {
    let vault = VaultDouble::start().await;
    let world = town_with(|config| in_vault(config, &vault)).await;
    let lead = world.lead("Ada Lovelace").await;
    assert_eq!(signs(&world).await, StatusCode::NOT_FOUND);
    ready_is(&world, StatusCode::OK, "up").await;
    // Makes the server unwrap the key ring.
    let rotate = || world.post("/v1/auth/signing-keys/rotate", json!({}));
    assert!(rotate().await.status.is_success());
    vault.away(true);
    ready_is(&world, StatusCode::OK, "down").await;
    assert_eq!(world.get("/ready").await.body["status"], "degraded");
    assert_eq!(name_of(&world, &lead).await, "Ada Lovelace");
    world.lead("Grace Hopper").await;
    // The changed key ring is read again; the key that seals it is cached.
    let rotated = rotate().await;
    assert!(rotated.status.is_success(), "{rotated:?}");

    let (head, tenants) = (world.head().await, Directory::open(&world.config).list().await.unwrap());
    for owner in [None, Some("ada@globex.example".to_owned())] {
        let refused = gateway::provision(&world.config, "globex", "Globex", owner).await.unwrap_err();
        let said = refused.to_string();
        assert!(matches!(refused, ProvisionError::Keyless(_)), "{said}");
        assert!(said.contains("nothing was written") && said.contains("does not answer"), "{said}");
    }
    assert_eq!((world.head().await, Directory::open(&world.config).list().await.unwrap()), (head, tenants));
    vault.away(false);
    gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
}

#[tokio::test]
async fn what_somebody_has_to_mend_in_vault_stops_the_start_and_is_named() {
    let vault = VaultDouble::start().await;
    vault.make("signing", "rsa-4096", false);
    let world = world(&vault).await;
    type Change = fn(&mut Config);
    let cases: [(Change, &str); 4] = [
        (|config| config.auth.master_key = SecretText::new("transit:transit/inopsoi"), "no key inopsoi"),
        (|config| config.auth.master_key = SecretText::new("transit:nowhere/inopsio"), "no transit engine at nowhere"),
        (|config| config.auth.master_key = SecretText::new("transit:transit/signing"), "rsa-4096"),
        (|config| config.vault.token = SecretText::new("hvs.canary"), "does not take the token"),
    ];
    for (change, wanted) in cases {
        let mut config = world.config.clone();
        change(&mut config);
        let Err(error) = Server::start(config, Services::All).await else { panic!("{wanted}: it started") };
        let said = error.to_string();
        assert!(matches!(error, StartError::Vault { .. }) && said.contains(wanted), "{said}");
        assert!(said.contains(&vault.address) && !said.contains("canary"), "{said}");
    }
    // A token that expires while the server runs is reported, and unwrapped keys remain usable.
    world.lead("Ada").await;
    vault.revoke(VAULT_TOKEN);
    let of_vault = ready_is(&world, StatusCode::OK, "down").await;
    assert!(of_vault["detail"].as_str().unwrap().contains("has ended"), "{of_vault}");
    world.lead("Grace").await;
}

#[tokio::test]
async fn erasure_and_deletion_destroy_keys_that_vault_wrapped() {
    let vault = VaultDouble::deriving().await;
    let world = town_with(|config| in_vault(config, &vault)).await;
    let lead = world.lead("Ada Lovelace").await;
    let erased = world.post(&format!("/v1/crm/leads/{lead}/erase"), json!({ "reason": "requested" })).await;
    assert!(erased.status.is_success(), "{erased:?}");
    let crm = || EventStore::open(&world.database, world.config.log_settings(), Arc::new(SystemClock));
    let store = crm().await.unwrap();
    let events = store.load(world.tenant, "crm.lead", &lead, 0).await.unwrap();
    assert!(events.len() >= 2 && events.iter().all(|event| !String::from_utf8_lossy(&event.payload).contains("Ada")));
    store.close().await;

    let globex = gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    let token = crate::world::token(&world.config, globex.tenant_id, &[Role::Admin]);
    eventually("globex is let in", async || {
        let lead = world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(&token).json(&json!({ "name": "Grace" }));
        Answer::of(lead).await.status.is_success().then_some(())
    })
    .await;
    gateway::delete(&world.config, "globex", "contract ended", 0).await.unwrap();
    eventually("its key is gone", async || (wrapped_by(&world, "crm").await.len() == 1).then_some(())).await;
    let store = crm().await.unwrap();
    let left = store.read_after(kernel::Position::START, 1_000).await.unwrap();
    let left: Vec<_> = left.into_iter().filter(|event| event.tenant == globex.tenant_id).collect();
    assert!(!left.is_empty(), "the bytes stay");
    for event in store.opened(left).await.unwrap() {
        assert!(!String::from_utf8_lossy(&event.payload).contains("Grace"), "{event:?}");
    }
    store.close().await;
}

#[tokio::test]
async fn what_is_left_of_a_deleted_tenants_keys_opens_with_no_master_key() {
    let world = town_with(|_| ()).await;
    let globex = gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    let [envelope] = &envelopes(&world, globex.tenant_id).await[..] else { panic!("one") };
    let (context, sealed) = (ring_context(globex.tenant_id), Sealed::read(envelope));
    let master = LocalMasterKey::parse(LOCAL, SystemRandom).unwrap();
    let directly = master.unwrap(context, &Wrapped::read(envelope)).await;
    assert!(matches!(&directly, Err(keys::Error::OtherMaster { .. })), "the master key alone opens it");
    let store = auth_log(&world).await;
    store.open_key(context, &sealed).await.unwrap();
    store.close().await;

    gateway::delete(&world.config, "globex", "contract ended", 0).await.unwrap();
    eventually("it is destroyed", async || {
        let claims: i64 = sqlx::query_scalar("SELECT count(*) FROM log.claims WHERE tenant_id = $1")
            .bind(globex.tenant_id.uuid())
            .fetch_one(&mut world.auth.superuser().connect().await.unwrap())
            .await
            .unwrap();
        (claims == 0).then_some(())
    })
    .await;
    assert_eq!(envelopes(&world, globex.tenant_id).await, [envelope.as_str()], "the event stays");
    // A new process, with the master key and the whole log, can't open it either.
    let store = auth_log(&world).await;
    let opened = store.open_key(context, &sealed).await;
    assert!(matches!(&opened, Err(Error::Key(keys::Error::DoesNotOpen))), "{opened:?}");
    store.close().await;
}

fn ring_context(tenant: TenantId) -> Context<'static> {
    Context { tenant, purpose: "auth.tenant_key", subject: "" }
}

/// Appends a key ring as an older program did: its key is wrapped by the master key, in the event.
async fn ring_of_before(world: &World) -> String {
    let store = auth_log(world).await;
    let settings = executor::Settings { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [0x5e; 32] };
    let executor = Executor::new(store.clone(), Arc::new(SystemClock), Arc::new(SystemIds), settings);
    let (master, key) =
        (LocalMasterKey::parse(LOCAL, SystemRandom).unwrap(), DataKey::generate(&SystemRandom).unwrap());
    let wrapped = master.wrap(ring_context(world.tenant), &key).await.unwrap();
    let opened = KeyRingOpened { tenant_key: wrapped.clone().into() };
    executor.run(&protocol(world.tenant, "auth"), &OpenKeyRing { opened, signing: Vec::new() }).await.unwrap();
    store.close().await;
    wrapped.as_str().to_owned()
}

#[tokio::test]
async fn the_master_key_moves_into_vault_and_back_and_what_it_wrapped_goes_with_it() {
    let vault = VaultDouble::deriving().await;
    let mut world = World::start().await;
    let before = ring_of_before(&world).await;
    let keys = TenantKeys::open(&world.config, world.tenant).await.unwrap();
    let kid = keys.rotate(OurAlgorithm::EdDSA).await.unwrap();
    keys.close().await;
    assert_eq!(signs(&world).await, StatusCode::NOT_FOUND, "with a ring of before");
    let lead = world.lead("Ada Lovelace").await;
    let local = wrapped_by(&world, "crm").await;
    assert!(local[0].starts_with("local-"), "{local:?}");

    // Without the former master key, nothing that it wrapped can be unwrapped, and the error says what to do.
    let mut alone = world.config.clone();
    in_vault(&mut alone, &vault);
    let refused = gateway::rewrap(&alone, 100, false, &|_, _| ()).await.unwrap_err().to_string();
    assert!(refused.contains(&local[0]) && refused.contains("INOPSIO_FORMER_MASTER_KEY"), "{refused}");
    assert_eq!(wrapped_by(&world, "crm").await, local);

    world
        .restart(|config| {
            in_vault(config, &vault);
            config.auth.former_master_key = SecretText::new(LOCAL);
        })
        .await;
    assert_eq!((name_of(&world, &lead).await, signs(&world).await), (json!("Ada Lovelace"), StatusCode::NOT_FOUND));
    let head = world.head().await;
    let rehearsed = gateway::rewrap(&world.config, 100, true, &|_, _| ()).await.unwrap();
    let renewed = |outcomes: &[gateway::Outcome]| {
        outcomes.iter().map(|outcome| (outcome.what.clone(), outcome.done.renewed)).collect::<Vec<_>>()
    };
    assert_eq!((world.head().await, wrapped_by(&world, "crm").await), (head, local.clone()));
    let done = gateway::rewrap(&world.config, 100, false, &|_, _| ()).await.unwrap();
    assert_eq!(renewed(&done), renewed(&rehearsed));
    assert!(done.iter().all(|outcome| outcome.done.left.is_empty()), "{done:?}");
    assert!(renewed(&done).contains(&("signing".to_owned(), 1)), "{done:?}");
    for service in ["crm", "auth"] {
        assert_eq!(wrapped_by(&world, service).await, [PLACE], "{service}");
    }
    let [old, new] = &envelopes(&world, world.tenant).await[..] else { panic!("two") };
    assert!(*old == before && new.starts_with("v1."), "{new}");

    // The former master key is removed: nothing in use needs it.
    world.restart(|config| config.auth.former_master_key = SecretText::default()).await;
    assert_eq!((name_of(&world, &lead).await, signs(&world).await), (json!("Ada Lovelace"), StatusCode::NOT_FOUND));
    let shown = world.get("/t/acme/jwks").await;
    assert!(
        shown.body["keys"].as_array().unwrap().iter().any(|key| key["kid"] == kid.as_str()),
        "the same keys: {shown:?}"
    );
    let again = gateway::rewrap(&world.config, 100, false, &|_, _| ()).await.unwrap();
    assert!(again.iter().all(|outcome| outcome.done.renewed == 0 && outcome.done.left.is_empty()), "{again:?}");

    // The key in Vault gets a new version, and later the keys are rewrapped with the local master key again.
    vault.rotate();
    let rotated = gateway::rewrap(&world.config, 1, false, &|_, _| ()).await.unwrap();
    assert!(renewed(&rotated).contains(&("crm".to_owned(), 1)), "{rotated:?}");
    vault.forget_before(2);
    world
        .restart(|config| {
            config.auth.master_key = SecretText::new("5b".repeat(32));
            config.auth.former_master_key = SecretText::new(PLACE);
        })
        .await;
    gateway::rewrap(&world.config, 100, false, &|_, _| ()).await.unwrap();
    vault.away(true);
    world.restart(|config| config.auth.former_master_key = SecretText::default()).await;
    assert_eq!((name_of(&world, &lead).await, signs(&world).await), (json!("Ada Lovelace"), StatusCode::NOT_FOUND));
    assert!(wrapped_by(&world, "crm").await[0].starts_with("local-"));
}
