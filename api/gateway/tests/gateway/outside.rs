//! Third-party clients and browsers (`tests/outside/`, installed by `scripts/setup test`) against a running gateway.

use std::path::{Path, PathBuf};
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jwt_simple::prelude::{ECDSAP256KeyPairLike, ES256KeyPair};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::branding::png;
use crate::issuers::{Machine, issuer};
use crate::scim::Provider;
use crate::sign_in::{self, PASSWORD, invited};
use crate::world::{Answer, World};

const BACK: &str = "https://app.example.com/back";
const OUT: &str = "https://app.example.com/out";
const LOGIN: &str = "ada@example.com";

/// The folder of these programs.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/outside")
}

/// A P-256 key pair: its private and public part as JWKs.
fn key() -> (Value, Value) {
    let pair = ES256KeyPair::generate();
    let point = pair.key_pair().public_key().to_bytes_uncompressed();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public = json!({ "kty": "EC", "crv": "P-256", "kid": "k1", "x": text(&point[1..33]), "y": text(&point[33..]) });
    let mut private = public.clone();
    private["d"] = text(&pair.to_bytes()).into();
    (private, public)
}

/// Creates a client with these members; returns its id.
async fn client(world: &World, more: Value) -> String {
    let mut body = json!({
        "name": "Stock client", "confidential": true, "redirect_uris": [BACK], "post_logout_redirect_uris": [OUT],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = world.post("/v1/auth/clients", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.body["id"].as_str().unwrap().to_owned()
}

/// Runs a third-party client against a tenant with a user who can sign in. The test is skipped if the program is not installed (for example
/// without Node ≥ 20).
async fn passes(program: &Path, installed: &str, script: &str) {
    if !folder().join(installed).exists() {
        eprintln!("left out: {installed} is not in tests/outside; `scripts/setup test` says why, or puts it there");
        return;
    }
    let world = sign_in::world().await;
    invited(&world, LOGIN, &["viewer"]).await;
    let (private, public) = key();
    let stock = client(&world, json!({})).await;
    let secret = world.post(&format!("/v1/auth/clients/{stock}/secret"), json!({})).await;
    let signer =
        client(&world, json!({ "keys": [public], "trusted": true, "id_token_signed_response_alg": "ES256" })).await;
    let old = client(&world, json!({ "trusted": true, "id_token_signed_response_alg": "RS256" })).await;
    let old_secret = world.post(&format!("/v1/auth/clients/{old}/secret"), json!({})).await;
    let machine = Machine::register(&world, "stock", &["viewer"]).await;
    let mut command = Command::new(program);
    command
        .arg(folder().join(script))
        .env("ISSUER", issuer(&world))
        .env("CLIENT", stock)
        .env("SECRET", secret.body["secret"].as_str().unwrap())
        .env("SIGNER", signer)
        .env("SIGNER_KEY", private.to_string())
        .env("OLD", old)
        .env("OLD_SECRET", old_secret.body["secret"].as_str().unwrap())
        .env("MACHINE", &machine.id)
        .env("MACHINE_SECRET", &machine.secret)
        .env("BACK", BACK)
        .env("OUT", OUT)
        .env("LOGIN", LOGIN)
        .env("PASSWORD", PASSWORD);
    says_ok(&mut command).await;
}

/// Runs a program that prints `ok` on success.
async fn says_ok(command: &mut Command) {
    let Output { status, stdout, stderr } = command.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&stdout);
    let ok = status.success() && said.trim_end() == "ok";
    assert!(ok, "{command:?}: {said}{}", String::from_utf8_lossy(&stderr));
}

#[tokio::test]
async fn authlib_signs_somebody_in_refreshes_revokes_introspects_and_signs_out_with_a_secret_and_by_signing() {
    passes(&folder().join(".venv/bin/python"), ".venv", "oidc.py").await;
}

#[tokio::test]
async fn openid_client_and_oauth4webapi_do_the_same() {
    passes(Path::new("node"), "node_modules", "oidc.mjs").await;
}

#[tokio::test]
async fn the_application_that_the_book_shows_signs_somebody_in_knows_them_and_signs_them_out() {
    passes(Path::new("node"), "node_modules", "connect.mjs").await;
}

#[tokio::test]
async fn graphql_over_http_is_as_its_audits_want_it() {
    if !folder().join("node_modules/graphql-http").exists() {
        eprintln!("left out: graphql-http is not in tests/outside; `scripts/setup test` says why, or puts it there");
        return;
    }
    let world = World::start().await;
    let mut command = Command::new("node");
    command
        .arg(folder().join("graphql.mjs"))
        .env("ENDPOINT", format!("{}/graphql", world.url))
        .env("TOKEN", world.token(&[kernel::Role::Admin]));
    says_ok(&mut command).await;
}

/// `INOPSIO_SCHEMATHESIS_EXAMPLES`: the number of generated requests for each operation.
#[tokio::test]
async fn what_the_contract_says_of_each_operation_is_so_whatever_schemathesis_asks() {
    let program = folder().join(".venv-schemathesis/bin/schemathesis");
    if !program.exists() {
        eprintln!("left out: schemathesis is not in tests/outside; `scripts/setup test` says why, or puts it there");
        return;
    }
    let world = World::start().await;
    let examples = std::env::var("INOPSIO_SCHEMATHESIS_EXAMPLES").unwrap_or_else(|_| "3".to_owned());
    // In a fresh folder, because schemathesis repeats former failures from its folder, and reads a configuration from there and above.
    let room = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    let _ = std::fs::remove_dir_all(&room);
    std::fs::create_dir_all(&room).unwrap();
    let mut command = Command::new(program);
    command
        .current_dir(&room)
        .args(["run", &format!("{}/openapi.json", world.url), "--no-color", "--seed", "1", "--phases", "fuzzing"])
        .args(["--header", &format!("Authorization: Bearer {}", world.token(&[kernel::Role::Admin]))])
        // A generated tenant id would be another tenant's, so that every request would get the same refusal.
        .args(["--header", &format!("X-Tenant-Id: {}", world.tenant)])
        .args(["--max-examples", &examples, "--checks"])
        .arg("not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance");
    // Something happens all the time, so that the stream of events has some while it is checked.
    let happenings = async {
        loop {
            world.post("/v1/crm/accounts", json!({ "name": "Engines" })).await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    };
    let output = tokio::select! {
        output = command.kill_on_drop(true).output() => output.unwrap(),
        () = happenings => unreachable!("it never ends"),
    };
    let Output { status, stdout, stderr } = output;
    let said = String::from_utf8_lossy(&stdout);
    let operations = world.get("/openapi.json").await.body["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|path| path.as_object().unwrap().keys().filter(|key| *key != "parameters").count())
        .sum::<usize>();
    let all = status.success() && said.contains(&format!("Tested: {operations}\n"));
    // The important part is at the end, and a long output is cut in the middle.
    assert!(all, "{said}{}\n{operations} operations, {status}", String::from_utf8_lossy(&stderr));
}

#[tokio::test]
async fn scim2_tester_finds_users_and_groups_kept_as_the_rfcs_say() {
    let program = folder().join(".venv-scim/bin/python");
    if !program.exists() {
        eprintln!("left out: scim2-tester is not in tests/outside; `scripts/setup test` says why, or puts it there");
        return;
    }
    let world = World::unlimited().await;
    let provider = Provider::of(&world).await;
    let mut command = Command::new(program);
    command.arg(folder().join("scim.py")).env("BASE", format!("{}/scim/v2", world.url)).env("KEY", &provider.key);
    says_ok(&mut command).await;
}

/// A Chromium: the one in `INOPSIO_CHROMIUM`, or one on the path.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("INOPSIO_CHROMIUM").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = ["chromium", "chromium-browser", "google-chrome"];
    let here = std::env::split_paths(&path).flat_map(|folder| programs.map(|program| folder.join(program)));
    named.into_iter().chain(here).find(|program| program.is_file())
}

/// An invited person does in Chromium what a script says. `policy`: the roles for which a second factor is required meanwhile.
async fn browses(script: &str, policy: &str) {
    browses_in(script, policy, async |_| Vec::new()).await;
}

/// The same with further preparations, whose results are passed to the script.
async fn browses_in(script: &str, policy: &str, prepare: impl AsyncFnOnce(&World) -> Vec<(&'static str, String)>) {
    let there = ["playwright-core", "axe-core"].iter().all(|one| folder().join("node_modules").join(one).exists());
    let Some(chromium) = chromium().filter(|_| there) else {
        eprintln!(
            "left out: there is no Chromium, or no playwright-core or axe-core in tests/outside; `scripts/setup test` says why"
        );
        return;
    };
    let world = sign_in::world_at("localhost").await;
    invited(&world, LOGIN, &["viewer"]).await;
    let set = world.post("/v1/auth/sign-in-policy/set", json!({ "second_factor": policy })).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    let open = world.post("/v1/user/registration-policy/set", json!({ "open_to": "everybody" })).await;
    assert_eq!(open.status, StatusCode::OK, "{open:?}");
    let logo = |colour| STANDARD.encode(png(160, 40, colour));
    let logos = json!({ "light": logo([20, 60, 120]), "dark": logo([220, 230, 240]) });
    let set = world.post("/v1/auth/branding/set-logo", logos).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    let prepared = prepare(&world).await;
    let mut command = Command::new("node");
    command
        .arg(folder().join(script))
        .envs(prepared)
        .env("ISSUER", format!("{}/t/acme", world.config.http.public_url))
        .env("LOGIN", LOGIN)
        .env("PASSWORD", PASSWORD)
        .env("CHROMIUM", chromium);
    says_ok(&mut command).await;
}

#[tokio::test]
async fn a_person_with_a_browser_makes_passkeys_and_signs_in_with_one_alone_and_after_the_password() {
    browses("passkeys.mjs", "off").await;
}

#[tokio::test]
async fn a_person_with_a_browser_who_must_have_a_second_factor_makes_a_passkey_before_they_are_in() {
    browses("required.mjs", "everyone").await;
}

#[tokio::test]
async fn a_person_with_a_browser_finds_no_page_that_breaks_a_rule_of_wcag() {
    browses_in("pages.mjs", "off", async |world| {
        let client = client(world, json!({})).await;
        let secret = world.post(&format!("/v1/auth/clients/{client}/secret"), json!({})).await.body["secret"].clone();
        let grace = "grace@people.example";
        let invited = world.post("/v1/user/invitations", json!({ "email": grace, "roles": ["viewer"] })).await;
        assert_eq!(invited.status, StatusCode::CREATED, "{invited:?}");
        crate::saml_attacks::connected(world).await;
        testbed::eventually("the sign-in page knows the provider", async || {
            let connections = json!({ "query": "{ auth { samlConnections { nodes { id } } } }" });
            let listed = Answer::of(world.request(Method::POST, "/graphql").json(&connections)).await;
            (listed.body["data"]["auth"]["samlConnections"]["nodes"] != json!([])).then_some(())
        })
        .await;
        vec![
            ("CLIENT", client),
            ("SECRET", secret.as_str().unwrap().to_owned()),
            ("BACK", BACK.to_owned()),
            ("GRACE", grace.to_owned()),
            ("PROVIDER", crate::identity_provider::SSO.to_owned()),
        ]
    })
    .await;
}

#[tokio::test]
async fn a_person_with_a_browser_registers_by_themselves() {
    browses("register.mjs", "off").await;
}

#[tokio::test]
async fn a_person_with_a_browser_sees_whose_pages_they_are() {
    browses("logo.mjs", "off").await;
}
