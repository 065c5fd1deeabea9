//! The contracts that are checked in.

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
            // Whoever has a mailed link has no token.
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
        // Bodies that are read refuse what they do not know.
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

#[test]
fn the_contract_says_what_the_front_understands_and_refuses() {
    let contract = gateway::contracts().into_iter().find(|(path, _)| path == "openapi.json").unwrap().1;
    let contract: Value = serde_json::from_str(&contract).unwrap();
    let headers = |operation: &Value| -> Vec<String> {
        let all = operation["parameters"].as_array().into_iter().flatten();
        all.filter(|p| p["in"] == "header").map(|p| p["name"].as_str().unwrap().to_owned()).collect()
    };
    let statuses =
        |operation: &Value| -> Vec<String> { operation["responses"].as_object().unwrap().keys().cloned().collect() };
    let lead = &contract["paths"]["/v1/crm/leads/{lead}"]["get"];
    assert_eq!(headers(lead), ["If-None-Match"]);
    for status in ["200", "304", "400", "401", "403", "404", "429", "503", "default"] {
        assert!(statuses(lead).contains(&status.to_owned()), "{status}");
    }
    let import = &contract["paths"]["/v1/crm/leads/import"]["post"];
    assert!(!headers(import).contains(&"If-Match".to_owned()) && !statuses(import).contains(&"412".to_owned()));
    let assign = &contract["paths"]["/v1/crm/leads/{lead}/assign"]["post"];
    assert!(headers(assign).contains(&"If-Match".to_owned()) && statuses(assign).contains(&"412".to_owned()));
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
