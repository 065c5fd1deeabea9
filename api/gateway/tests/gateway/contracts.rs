//! The checked-in contracts.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

#[test]
fn stored_events_changed_only_in_ways_that_leave_them_readable() {
    let broken = gateway::contracts::unreadable(&schemas()).unwrap();
    assert!(
        broken.is_empty(),
        "stored events could not be read any more:\n  {}\nKeep the old version of the event in a `retired` list with how it \
         becomes a current one (see kernel::events!), and give the changed one the next version.",
        broken.join("\n  ")
    );
}

#[test]
fn the_checked_in_contracts_are_current() {
    let stale: Vec<String> = gateway::contracts()
        .into_iter()
        .filter(|(path, content)| fs::read_to_string(schemas().join(path)).map_or(true, |there| there != *content))
        .map(|(path, _)| path)
        .collect();
    assert!(
        stale.is_empty(),
        "not current: {stale:?}\nRun `make schemas`, review the difference as code, and commit it."
    );
}

#[test]
fn the_contract_names_each_operation_and_leaves_no_stub() {
    let contract = gateway::contracts().into_iter().find(|(path, _)| path == "openapi.json").unwrap().1;
    assert!(!contract.contains("schema-stub"));
    let contract: Value = serde_json::from_str(&contract).unwrap();
    let mut references = Vec::new();
    collect(&contract, &mut references);
    for reference in references {
        assert!(contract.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    for (path, operations) in contract["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{method} {path}");
            // The description: the second paragraph of the operation's comment.
            assert!(operation["description"].is_string(), "describe {method} {path}");
            // Operations with mailed links need no token.
            if crate::authentication::PUBLIC.contains(&path.as_str()) {
                assert!(operation["security"].is_null(), "{method} {path}");
            } else {
                assert_eq!(operation["security"][0]["token"], serde_json::json!([]), "{method} {path}");
            }
            assert!(
                operation["responses"]["default"]["content"]["application/problem+json"].is_object(),
                "{method} {path}"
            );
        }
    }
}

#[test]
fn the_contract_says_how_long_and_how_large_values_may_be() {
    let contract = gateway::contracts().into_iter().find(|(path, _)| path == "openapi.json").unwrap().1;
    let contract: Value = serde_json::from_str(&contract).unwrap();
    let mut unbounded = Vec::new();
    for (name, schema) in contract["components"]["schemas"].as_object().unwrap() {
        // Request bodies refuse unknown members.
        if schema["additionalProperties"] != false {
            continue;
        }
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            let bounded = match schema["type"].as_str() {
                Some("string") => {
                    ["maxLength", "pattern", "format", "enum"].iter().any(|bound| !schema[bound].is_null())
                }
                Some("integer") => schema["minimum"].is_number() && schema["maximum"].is_number(),
                Some("array") => schema["maxItems"].is_number() || schema["items"]["format"] == "uuid",
                _ => true,
            };
            if !bounded {
                unbounded.push(format!("{name}.{property}: {schema}"));
            }
        }
    }
    assert!(unbounded.is_empty(), "give these their form (api/crm/src/rest/form.rs):\n{}", unbounded.join("\n"));
}

/// The OpenAPI contract.
pub fn openapi() -> Value {
    let contract = gateway::contracts().into_iter().find(|(path, _)| path == "openapi.json").unwrap().1;
    serde_json::from_str(&contract).unwrap()
}

/// The operation with this id.
fn operation<'c>(contract: &'c Value, id: &str) -> &'c Value {
    let mut all =
        contract["paths"].as_object().unwrap().values().flat_map(|methods| methods.as_object().unwrap().values());
    all.find(|operation| operation["operationId"] == id).unwrap_or_else(|| panic!("there is no {id}"))
}

fn headers(operation: &Value) -> Vec<&str> {
    let all = operation["parameters"].as_array().into_iter().flatten();
    all.filter(|p| p["in"] == "header").map(|p| p["name"].as_str().unwrap()).collect()
}

fn statuses(operation: &Value) -> Vec<&str> {
    operation["responses"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_contract_says_what_the_front_understands_and_refuses() {
    let contract = openapi();
    let lead = operation(&contract, "getLead");
    assert_eq!(headers(lead), ["If-None-Match", "X-Tenant-Id"]);
    for status in ["200", "304", "400", "401", "403", "404", "429", "503", "default"] {
        assert!(statuses(lead).contains(&status), "{status}");
    }
    let assign = operation(&contract, "assignLead");
    let all = ["Idempotency-Key", "If-Match", "Occurred-At", "X-Request-Id", "traceparent", "X-Tenant-Id"];
    assert_eq!(headers(assign), all);
    assert!(statuses(assign).contains(&"412"));
    // An unknown parameter is refused everywhere, also where there are none.
    for (path, methods) in contract["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(statuses(operation).contains(&"400"), "{method} {path}");
        }
    }
    // Who is no user has no user of their own.
    for (id, absent) in [("getMe", true), ("verifyPhone", true), ("listEventTypes", false)] {
        assert_eq!(statuses(operation(&contract, id)).contains(&"404"), absent, "{id}");
    }
    // Operations that are routed by the service accept the header `X-Service`.
    for (id, named) in [("followEvents", true), ("createWebhook", true), ("listEventTypes", false), ("listJobs", false)]
    {
        assert_eq!(headers(operation(&contract, id)).contains(&"X-Service"), named, "{id}");
    }
    assert_eq!(
        headers(operation(&contract, "verifyEmail")),
        ["Idempotency-Key", "If-Match", "X-Request-Id", "traceparent"]
    );
}

#[test]
fn the_contract_names_no_header_where_it_is_always_refused() {
    let contract = openapi();
    let refuse_both = [
        "exportLeads",
        "startImport",
        "startUserImport",
        "createJob",
        "cancelJob",
        "createJobSchedule",
        "pauseJobQueue",
        "createJobBatch",
        "previewDeadLetter",
        "redriveDeadLetter",
        "editDeadLetter",
        "discardDeadLetter",
        "pingWebhook",
    ];
    for id in refuse_both {
        let (named, answers) = (headers(operation(&contract, id)), statuses(operation(&contract, id)));
        assert!(!named.contains(&"If-Match") && !named.contains(&"Occurred-At"), "{id}: {named:?}");
        assert!(!answers.contains(&"412"), "{id}: {answers:?}");
    }
    // Operations that create or import have no version to match.
    for id in ["captureLead", "registerUser", "registerMachine", "createWebhook", "importLeads"] {
        let operation = operation(&contract, id);
        assert!(!headers(operation).contains(&"If-Match"), "{id}");
        assert!(statuses(operation).contains(&"400") && !statuses(operation).contains(&"412"), "{id}");
    }
    let backdating = |id: &str| -> Option<String> {
        let all = operation(&contract, id)["parameters"].as_array().unwrap();
        let meaning = all.iter().find(|parameter| parameter["name"] == "Occurred-At")?["description"].as_str().unwrap();
        meaning.strip_suffix('.')?.rsplit(' ').next().map(str::to_owned)
    };
    assert_eq!(backdating("assignLead").as_deref(), Some("crm:history:backdate"));
    assert_eq!(backdating("importLeads").as_deref(), Some("crm:history:backdate"));
    assert_eq!(backdating("lockUser").as_deref(), Some("user:history:backdate"));
    assert_eq!(backdating("resumeSaga").as_deref(), Some("<service>:history:backdate"));
    // In these services no role has the permission to backdate, and public operations have no caller.
    for id in ["changeMachine", "revokeSession", "registerClient", "changeWebhook", "verifyEmail"] {
        assert_eq!(backdating(id), None, "{id}");
    }
    assert!(headers(operation(&contract, "changeMachine")).contains(&"If-Match"));
    assert!(headers(operation(&contract, "changeWebhook")).contains(&"If-Match"));
}

#[test]
fn what_nobody_may_store_has_an_etag_for_commands_only() {
    let contract = openapi();
    for id in [
        "getMe",
        "getBranding",
        "getSignInPolicy",
        "listSigningKeys",
        "listConsents",
        "getFollowUp",
        "getCurrencies",
        "getRegistrationPolicy",
        "getRole",
        "getWebhook",
    ] {
        let operation = operation(&contract, id);
        let answered = &operation["responses"]["200"]["headers"];
        assert!(answered["ETag"].is_object() && answered["Cache-Control"].is_object(), "{id}: {answered}");
        assert!(!headers(operation).contains(&"If-None-Match") && !statuses(operation).contains(&"304"), "{id}");
    }
    // Of all others the path names the one thing whose version it is.
    for (path, operations) in contract["paths"].as_object().unwrap() {
        let stored = operations["get"]["responses"]["304"].is_object();
        assert!(!stored || path.ends_with('}'), "{path}: who asks for it elsewhere finds another one");
    }
}

#[test]
fn the_contract_says_what_each_parameter_and_each_thing_means_in_forms_that_generators_read() {
    let contract = openapi();
    let mut unsaid = Vec::new();
    for operation in contract["paths"].as_object().unwrap().values().flat_map(|all| all.as_object().unwrap().values()) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["description"].as_str().is_none_or(str::is_empty) {
                unsaid.push(format!("{}: the parameter {}", operation["operationId"], parameter["name"]));
            }
        }
        let statuses = statuses(operation);
        assert!(statuses[0].starts_with('2') && statuses.last() == Some(&"default"), "{statuses:?}");
    }
    for (name, schema) in contract["components"]["schemas"].as_object().unwrap() {
        if schema["description"].as_str().is_none_or(str::is_empty) {
            unsaid.push(format!("the schema {name}"));
        }
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            if schema["description"].as_str().is_none_or(str::is_empty) {
                unsaid.push(format!("{name}.{property}"));
            }
        }
    }
    assert!(unsaid.is_empty(), "say what these are:\n{}", unsaid.join("\n"));
    // Null is expressed by `nullable`, and the sealed form of personal data is not part of the contract.
    let text = contract.to_string();
    assert!(!text.contains(r#""enum":[null]"#) && contract["components"]["schemas"]["Personal"].is_null());
    let lead = &contract["components"]["schemas"]["Lead"];
    assert_eq!(
        lead["properties"]["email"],
        serde_json::json!({ "type": "string", "description": "E-mail address, lower case." })
    );
}

#[test]
fn every_type_of_graphql_says_what_it_is() {
    let schema = gateway::contracts().into_iter().find(|(path, _)| path == "schema.graphql").unwrap().1;
    let lines: Vec<&str> = schema.lines().collect();
    let kinds = ["type ", "enum ", "input ", "scalar "];
    let roots = ["type Query {", "type Subscription {"];
    let unsaid = lines.windows(2).filter(|two| {
        kinds.iter().any(|kind| two[1].starts_with(kind)) && !two[0].ends_with('"') && !roots.contains(&two[1])
    });
    let unsaid: Vec<&str> = unsaid.map(|two| two[1]).collect();
    assert!(
        unsaid.is_empty(),
        "write a comment on what makes these (an impl with graphql_object needs its own): {unsaid:#?}"
    );
}

#[test]
fn an_operation_has_one_answer_that_is_no_refusal() {
    for operation in openapi()["paths"].as_object().unwrap().values().flat_map(|all| all.as_object().unwrap().values())
    {
        let done: Vec<_> = statuses(operation).into_iter().filter(|status| status.starts_with('2')).collect();
        let made = operation["responses"]["201"]["headers"]["Location"].is_object();
        assert!(done == ["200"] || (done == ["201"] && made), "{}: {done:?}", operation["operationId"]);
    }
}

#[test]
fn the_contract_has_every_member_that_a_refusal_carries() {
    let contract = openapi();
    let members = contract["components"]["schemas"]["Problem"]["properties"].as_object().unwrap();
    let mut unknown = Vec::new();
    for (path, text) in crate::sources::all() {
        for (_, rest) in text.match_indices(".with(\"").map(|(at, with)| text.split_at(at + with.len())) {
            let name = rest.split('"').next().unwrap();
            if !members.contains_key(name) || ["type", "title", "status", "code", "detail", "instance"].contains(&name)
            {
                unknown.push(format!("{name} in {}", path.display()));
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "say in api/face/src/problem.rs what they mean (status is taken):\n{}",
        unknown.join("\n")
    );
    for name in ["permission", "allowed", "retry_after", "header", "parameter", "argument"] {
        assert!(members[name]["description"].is_string(), "{name}");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                references.push(reference.to_owned());
            }
            members.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
