//! Tenant isolation: resources of another tenant look exactly like resources that don't exist.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::authentication::walked;
use crate::contracts::openapi;
use crate::needs::OPERATIONS;
use crate::sample_tenant::SampleTenant;
use crate::unasked::schema_of;
use crate::world::{Answer, World};

#[tokio::test]
async fn another_tenants_ids_get_the_very_answer_of_unknown_ones() {
    let world = World::start().await;
    let lead = world.lead("Ada").await;
    let unknown = Uuid::from_u128(0x0197_a8a0_0000_7000_8000_0000_0000_0001).to_string();
    let before = world.head().await;
    for (method, verb, body) in [
        (Method::GET, "", Value::Null),
        (Method::POST, "/assign", json!({ "owner": "eve" })),
        (Method::POST, "/start-work", json!({})),
        (Method::POST, "/change-details", json!({ "name": "Eve" })),
        (Method::POST, "/convert", json!({})),
    ] {
        let ask = async |id: &str| {
            let request =
                world.anonymous(method.clone(), &format!("/v1/crm/leads/{id}{verb}")).bearer_auth(world.stranger());
            let mut answer = Answer::of(if body.is_null() { request } else { request.json(&body) }).await;
            answer.assert_problem();
            // These may differ: the request id, and the requested id.
            answer.body["instance"] = Value::Null;
            answer.body["detail"] = answer.body["detail"].as_str().unwrap().replace(id, "<id>").into();
            answer
        };
        let (theirs, nobodys) = (ask(&lead).await, ask(&unknown).await);
        assert_eq!(theirs.status, StatusCode::NOT_FOUND, "{theirs:?}");
        assert_eq!((theirs.status, &theirs.body), (nobodys.status, &nobodys.body), "{verb}");
    }
    assert_eq!(world.head().await, before);
}

#[tokio::test]
async fn the_same_idempotency_key_of_two_tenants_is_two_keys() {
    let world = World::start().await;
    let capture = |token: String| {
        world
            .anonymous(Method::POST, "/v1/crm/leads")
            .bearer_auth(token)
            .header("idempotency-key", "same")
            .json(&json!({ "name": "Ada" }))
    };
    let ours = Answer::of(capture(world.token(&[kernel::Role::Admin]))).await;
    let theirs = Answer::of(capture(world.stranger())).await;
    assert_eq!((ours.status, theirs.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_ne!(ours.body["id"], theirs.body["id"]);
}

#[tokio::test]
async fn a_body_that_names_another_tenants_things_gets_the_very_answer_of_unknown_ones() {
    let world = World::start().await;
    let account = world.post("/v1/crm/accounts", json!({ "name": "Acme" })).await;
    let theirs = account.body["id"].as_str().unwrap();
    let unknown = "0197a8a0-0000-7000-8000-000000000001";
    let before = world.head().await;
    let ask = async |id: &str| {
        let request = world.anonymous(Method::POST, "/v1/crm/contacts").bearer_auth(world.stranger());
        let mut answer = Answer::of(request.json(&json!({ "name": "Eve", "account": id }))).await;
        answer.assert_problem();
        answer.body["instance"] = Value::Null;
        answer.body["errors"][0]["detail"] =
            answer.body["errors"][0]["detail"].as_str().unwrap().replace(id, "<id>").into();
        answer
    };
    let (theirs, nobodys) = (ask(theirs).await, ask(unknown).await);
    assert_eq!((theirs.status, theirs.code()), (StatusCode::UNPROCESSABLE_ENTITY, "reference_unknown"), "{theirs:?}");
    assert_eq!(theirs.body["errors"][0]["pointer"], "/account", "{theirs:?}");
    assert_eq!((theirs.status, &theirs.body), (nobodys.status, &nobodys.body));
    assert_eq!(world.head().await, before);
}

/// The paths of the operations whose body names the owner of a record.
fn operations_with_an_owner() -> BTreeSet<String> {
    let contract = openapi();
    let paths = contract["paths"].as_object().unwrap().iter();
    let with_owner = paths.filter(|(_, operations)| {
        let named = |operation: &Value| schema_of(&contract, operation)["properties"]["owner"].is_object();
        // An export only filters by it.
        operations.as_object().unwrap().values().any(|one| one["operationId"] != "exportLeads" && named(one))
    });
    with_owner.map(|(path, _)| path.clone()).collect()
}

#[tokio::test]
async fn attack_233_another_tenants_user_as_the_owner_gets_the_very_answer_of_nobody() {
    // CRM runs in a process of its own, which looks users up in the log of the user service.
    let world = World::apart().await;
    let new = json!({ "name": "Grace", "email": "grace@example.com", "roles": ["member"] });
    let user = world.post("/v1/user/users", new).await.body["id"].as_str().unwrap().to_owned();
    let unknown = "0197a8a0-0000-7000-8000-000000000001";
    let stranger = world.stranger();
    let send = async |path: &str, body: &Value| {
        Answer::of(world.anonymous(Method::POST, path).bearer_auth(&stranger).json(body)).await
    };
    let create = async |collection: &str, body: Value| {
        let answer = send(&format!("/v1/crm/{collection}"), &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.body["id"].as_str().unwrap().to_owned()
    };
    let (lead, account) = (json!({ "name": "Ada" }), json!({ "name": "Acme" }));
    let stages = json!([{ "name": "Offer", "probability": 50 }]);
    let pipeline = create("pipelines", json!({ "name": "Sales", "stages": stages })).await;
    let amount = json!({ "minor": 100, "currency": "EUR" });
    let deal = json!({ "name": "An engine", "pipeline": pipeline, "amount": amount, "close_date": "2027-03-31" });
    let given = [
        ("/v1/crm/leads/{lead}/assign", create("leads", lead.clone()).await, json!({})),
        ("/v1/crm/contacts/{contact}/reassign", create("contacts", lead.clone()).await, json!({})),
        ("/v1/crm/accounts/{account}/reassign", create("accounts", account.clone()).await, json!({})),
        ("/v1/crm/opportunities/{opportunity}/reassign", create("opportunities", deal.clone()).await, json!({})),
        ("/v1/crm/leads", String::new(), lead.clone()),
        ("/v1/crm/contacts", String::new(), lead),
        ("/v1/crm/accounts", String::new(), account),
        ("/v1/crm/opportunities", String::new(), deal),
    ];
    let tried: BTreeSet<String> = given.iter().map(|(pattern, ..)| (*pattern).to_owned()).collect();
    assert_eq!(
        tried,
        operations_with_an_owner(),
        "try each operation that gives somebody a record: add it here, and look its owner up (commands/crm/src/owner.rs)"
    );
    let before = world.head_of(&world.database).await;
    for (pattern, id, body) in given {
        let path = pattern.split('/').map(|part| if part.starts_with('{') { id.as_str() } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let ask = async |owner: &str| {
            let mut body = body.clone();
            body["owner"] = owner.into();
            let mut answer = send(&path, &body).await;
            answer.assert_problem();
            answer.body["instance"] = Value::Null;
            answer
        };
        let (theirs, nobodys) = (ask(&user).await, ask(unknown).await);
        assert_eq!((theirs.status, theirs.code()), (StatusCode::UNPROCESSABLE_ENTITY, "reference_unknown"), "{path}");
        let error = &theirs.body["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!("/owner"), &json!("cannot_sign_in")), "{path}");
        assert_eq!(theirs.body, nobodys.body, "{path}");
    }
    assert_eq!(world.head_of(&world.database).await, before, "a refusal writes nothing");
    let own = world.post("/v1/crm/leads", json!({ "name": "Ada", "owner": user })).await;
    assert_eq!(own.status, StatusCode::CREATED, "in their own tenant: {own:?}");
}

/// Path parameters that are not ids of a tenant's resources; and resources that this test can't create: an event that can't be applied, a
/// connected identity provider, a signed-in user.
const NO_IDS: [&str; 9] = ["service", "type", "version", "role", "queue", "letter", "connection", "session", "grant"];

#[tokio::test]
async fn attack_105_another_tenants_id_at_any_operation() {
    let sample = Box::pin(SampleTenant::build([])).await;
    let world = &sample.world;
    let unknown = "0197a8a0-0000-7000-8000-000000000001";
    let contract = world.get("/openapi.json").await.body;
    let bodies: BTreeMap<&str, &str> = OPERATIONS.iter().map(|(id, _, body)| (*id, *body)).collect();
    let heads = async || [world.head().await, world.head_of(world.of("user")).await, world.head_of(&world.auth).await];
    let (before, mut asked) = (heads().await, BTreeSet::new());
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        let names = pattern.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let names: Vec<&str> = names.filter(|name| !NO_IDS.contains(name)).collect();
        let Some(last) = names.last() else { continue };
        let id_of = |name: &str| match name {
            "import" if pattern.starts_with("/v1/user/") => &sample.ids["user_import"],
            name => sample.ids.get(name).unwrap_or_else(|| panic!("{pattern}: the sample has no {name}")),
        };
        let path = |ids: &dyn Fn(&str) -> String| {
            let part = |part: &str| match part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                // The services of the sample's sagas and jobs.
                Some("service") => if pattern.contains("{saga}") { "user" } else { "crm" }.to_owned(),
                Some(name) if names.contains(&name) => ids(name),
                _ => walked(part),
            };
            pattern.split('/').map(part).collect::<Vec<_>>().join("/")
        };
        let (theirs, nobodys) = (path(&|name| id_of(name).clone()), path(&|_| unknown.to_owned()));
        for (method, operation) in operations.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters")
        {
            let id = operation["operationId"].as_str().unwrap();
            let method: Method = method.to_uppercase().parse().unwrap();
            let ask = async |path: &str| {
                let request = world.anonymous(method.clone(), path).bearer_auth(world.stranger());
                let request = match bodies[id] {
                    "" => request,
                    json => request.header("content-type", "application/json").body(json),
                };
                let mut answer = Answer::of(request).await;
                if !answer.status.is_success() {
                    answer.assert_problem();
                    answer.body["instance"] = Value::Null;
                }
                let mut told = answer.body.to_string();
                for name in &names {
                    told = told.replace(id_of(name).as_str(), "<id>");
                }
                (answer.status, told.replace(unknown, "<id>"))
            };
            let (ours, unknowns) = (ask(&theirs).await, ask(&nobodys).await);
            assert_eq!(ours, unknowns, "{id}");
            if method == Method::GET {
                let own = world.request(method.clone(), &theirs).send().await.unwrap().status();
                // An unfinished export has no file yet.
                assert!(own.is_success() || id == "getJobOutput", "{id}: {own} for who has it");
                // An unknown user's list of consents is empty.
                assert!(ours.0 == StatusCode::NOT_FOUND || id == "listConsents", "{id}: {ours:?}");
            }
            asked.insert(*last);
        }
    }
    assert!(asked.len() > 15, "{asked:?}");
    assert_eq!(heads().await, before, "something was written");
}
