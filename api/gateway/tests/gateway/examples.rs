//! The examples in the contract: each matches its schema, and the refusals are those that clients get.

use std::collections::BTreeMap;

use jsonschema::{Draft, Validator};
use kernel::Role;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::codes::page;
use crate::contracts::openapi;
use crate::world::{Answer, World};

/// Converts a schema of OpenAPI 3.0 to JSON Schema. Members that the schema does not name are errors in an example.
fn translated(schema: &Value) -> Value {
    match schema {
        Value::Array(all) => all.iter().map(translated).collect(),
        Value::Object(members) => {
            let mut members: serde_json::Map<_, _> =
                members.iter().map(|(name, value)| (name.clone(), translated(value))).collect();
            let nullable = members.remove("nullable").is_some_and(|nullable| nullable == true);
            let alone = !["allOf", "anyOf", "oneOf"].iter().any(|several| members.contains_key(*several));
            if members.get("properties").is_some_and(Value::is_object) && alone {
                members.entry("additionalProperties").or_insert(json!(false));
            }
            let schema = Value::Object(members);
            if nullable { json!({ "anyOf": [schema, { "type": "null" }] }) } else { schema }
        }
        other => other.clone(),
    }
}

/// The schemas of the contract, for [`validator`].
pub fn components(contract: &Value) -> Value {
    json!({ "schemas": translated(&contract["components"]["schemas"]) })
}

/// A validator for a schema of the contract.
pub fn validator(components: &Value, schema: &Value) -> Validator {
    let mut root = translated(schema);
    root["components"] = components.clone();
    let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
    options.build(&root).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn operations(contract: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = contract["paths"].as_object().unwrap().values().flat_map(|methods| methods.as_object().unwrap().values());
    all.map(|operation| (operation["operationId"].as_str().unwrap(), operation))
}

/// The errors of a value, each with its path.
pub fn errors(validator: &Validator, example: &Value) -> Vec<String> {
    validator.iter_errors(example).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn every_answer_of_the_contract_has_an_example_of_its_own_form() {
    let contract = openapi();
    let components = components(&contract);
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (id, operation) in operations(&contract) {
        let done = operation["responses"].as_object().unwrap().iter().filter(|(status, _)| status.starts_with('2'));
        for content in done.flat_map(|(_, response)| response["content"].as_object().unwrap().values()) {
            seen += 1;
            match content.get("example") {
                None => wrong.push(format!("{id} has no example")),
                Some(example) => {
                    let found = errors(&validator(&components, &content["schema"]), example);
                    wrong.extend(found.into_iter().map(|error| format!("{id}: {error}")));
                }
            }
        }
    }
    assert!(wrong.is_empty() && seen > 180, "{seen} seen:\n{}", wrong.join("\n"));
}

#[test]
fn every_body_of_the_contract_has_an_example_of_its_own_form() {
    let contract = openapi();
    let components = components(&contract);
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (id, operation) in operations(&contract) {
        let Some(content) = operation["requestBody"]["content"].get("application/json") else { continue };
        let schema = contract.pointer(content["schema"]["$ref"].as_str().unwrap().trim_start_matches('#')).unwrap();
        seen += 1;
        let found = errors(&validator(&components, &content["schema"]), &schema["example"]);
        wrong.extend(found.into_iter().map(|error| format!("{id}: {error}")));
    }
    assert!(wrong.is_empty() && seen > 120, "{seen} seen:\n{}", wrong.join("\n"));
}

/// The refusals in the contract: status and document.
fn refusals(contract: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for (name, response) in contract["components"]["responses"].as_object().unwrap() {
        let shown = response["content"]["application/problem+json"]["examples"].as_object();
        let shown = shown.filter(|shown| !shown.is_empty()).unwrap_or_else(|| panic!("{name} shows no refusal"));
        found.extend(shown.iter().map(|(code, example)| (code.clone(), example["value"].clone())));
    }
    found
}

#[test]
fn every_refusal_of_the_contract_is_one_that_the_program_gives_and_the_book_explains() {
    let contract = openapi();
    let components = components(&contract);
    let problem = validator(&components, &json!({ "$ref": "#/components/schemas/Problem" }));
    let statuses: BTreeMap<String, String> = page();
    // The contract's own source is excluded, because it makes these refusals only as examples.
    let sources: Vec<_> = crate::sources::all();
    let made = |code: &str| {
        let quoted = format!("\"{code}\"");
        sources.iter().any(|(path, text)| !path.ends_with("reference/refused.rs") && text.contains(&quoted))
    };
    let shown = refusals(&contract);
    for (code, document) in &shown {
        assert_eq!(errors(&problem, document), Vec::<String>::new(), "{code}");
        assert_eq!(&document["code"], code);
        let status = document["status"].to_string();
        let said = statuses.get(code).unwrap_or_else(|| panic!("{code} is not in docs/src/errors.md"));
        assert!(said.split(", ").any(|said| said == status), "{code} is {status}, and {said} in docs/src/errors.md");
        assert!(made(code), "nothing refuses with {code}");
    }
    let of = |status: u16| shown.values().any(|document| document["status"] == status);
    for status in [400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503] {
        assert!(of(status), "no refusal is shown with the status {status}");
    }
}

#[tokio::test]
async fn the_refusals_that_the_contract_shows_are_what_clients_get() {
    let world = World::start().await;
    let shown = refusals(&openapi());
    let lead = world.lead("Ada").await;
    let path = format!("/v1/crm/leads/{lead}");
    let contact = json!({ "name": "Grace Hopper", "email": "grace@example.com" });
    let holder = world.post("/v1/crm/contacts", contact.clone()).await.body["id"].clone();
    let post = |path: &str| world.request(Method::POST, path);
    let leads = |body: Value| post("/v1/crm/leads").json(&body);
    let raw = |kind: &str, body: &'static str| post("/v1/crm/leads").header("content-type", kind).body(body);
    let opening = json!({
        "name": "A deal", "pipeline": "0197a8a0-0000-7000-8000-000000000005",
        "amount": { "minor": 1, "currency": "EUR" }, "close_date": "2030-01-01"
    });
    let viewer = world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(world.token(&[Role::Viewer]));
    let elsewhere = world.request(Method::GET, &path).header("x-tenant-id", "0197a8a0-0000-7000-8000-000000000001");
    let keyed = |name: &str| leads(json!({ "name": name })).header("idempotency-key", "import of May");
    assert_eq!(Answer::of(keyed("Ada")).await.status, StatusCode::CREATED);
    let large = " ".repeat(world.config.http.body_limit + 1);
    let cases: Vec<(&str, RequestBuilder)> = vec![
        ("validation_failed", leads(json!({ "name": "Ada", "email": "nowhere" }))),
        ("json_malformed", raw("application/json", "{\"name\":")),
        ("parameter_invalid", world.request(Method::GET, "/v1/dead-letters/crm?state=asleep")),
        ("token_missing", world.anonymous(Method::GET, &path)),
        ("permission_missing", viewer.json(&json!({ "name": "Ada" }))),
        ("tenant_differs", elsewhere),
        ("not_found", world.request(Method::GET, "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001")),
        ("lead_step_not_allowed", post(&format!("{path}/qualify")).json(&json!({}))),
        ("contact_email_taken", post("/v1/crm/contacts").json(&contact)),
        ("body_too_large", post("/v1/crm/leads").header("content-type", "application/json").body(large)),
        ("content_type_unsupported", raw("text/plain", "name: Ada")),
        ("reference_unknown", post("/v1/crm/opportunities").json(&opening)),
        ("idempotency_key_reused", keyed("Grace")),
    ];
    let mut left: Vec<&str> = shown.keys().map(String::as_str).collect();
    let mut differs = Vec::new();
    let mut compare = |code: &str, mut got: Value| {
        let mut wanted = shown[code].clone();
        left.retain(|one| *one != code);
        got["instance"] = wanted["instance"].clone();
        if code == "contact_email_taken" {
            assert_eq!(got["holder"], holder);
            wanted["holder"] = holder.clone();
        }
        if got != wanted {
            differs.push(format!("{code} shows\n  {wanted}\nand is\n  {got}"));
        }
    };
    for (code, request) in cases {
        compare(code, Answer::of(request).await.body);
    }
    let assigned = world.post(&format!("{path}/assign"), json!({ "owner": "ada" })).await;
    assert_eq!(assigned.body["version"], 2, "{assigned:?}");
    let late = post(&format!("{path}/start-work")).header("if-match", "\"1\"").json(&json!({}));
    compare("version_differs", Answer::of(late).await.body);
    assert!(differs.is_empty(), "{}", differs.join("\n"));
    // These depend on time, on load, or on a database that does not answer.
    assert_eq!(left, ["log_busy", "log_unavailable", "rate_limited", "token_expired"]);
}
