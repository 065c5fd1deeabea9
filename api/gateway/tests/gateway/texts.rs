//! Every text in every command: forbidden characters, excessive length, wrong types, and days and times in another form are refused, and
//! nothing is written. The pattern in the contract says the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::authentication::walked;
use crate::needs::OPERATIONS;
use crate::unasked::schema_of;
use crate::world::{Answer, World};

/// Where a body contains texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The value is a text.
    Text,
    /// The value is a list of texts.
    Texts,
    /// The value contains no text.
    None,
}

/// Where a schema has texts, through references and alternatives.
fn place(contract: &Value, schema: &Value) -> Place {
    if let Some(reference) = schema["$ref"].as_str() {
        return place(contract, contract.pointer(reference.trim_start_matches('#')).unwrap());
    }
    for of in ["allOf", "anyOf", "oneOf"] {
        if let Some(parts) = schema[of].as_array() {
            let found = parts.iter().map(|part| place(contract, part)).find(|found| *found != Place::None);
            return found.unwrap_or(Place::None);
        }
    }
    match schema["type"].as_str() {
        Some("string") => Place::Text,
        Some("array") if place(contract, &schema["items"]) == Place::Text => Place::Texts,
        _ => Place::None,
    }
}

#[tokio::test]
async fn no_command_takes_a_nul_a_control_character_a_text_without_end_or_another_type() {
    let world = World::unlimited().await;
    let contract = world.get("/openapi.json").await.body;
    let bodies: BTreeMap<&str, &str> = OPERATIONS.iter().map(|(id, _, body)| (*id, *body)).collect();
    let heads = async || [world.head().await, world.head_of(world.of("user")).await, world.head_of(&world.auth).await];
    let (before, mut texts) = (heads().await, 0);
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters")
        {
            if operation["requestBody"]["content"].get("application/json").is_none() {
                continue;
            }
            let id = operation["operationId"].as_str().unwrap();
            let Some(members) = schema_of(&contract, operation)["properties"].as_object() else { continue };
            for (member, schema) in members {
                let place = place(&contract, schema);
                if place == Place::None {
                    continue;
                }
                texts += 1;
                for bad in [json!("a\0b"), json!("a\u{7}b"), json!("x".repeat(100_000)), json!({ "a": 1 })] {
                    let mut body: Value = serde_json::from_str(bodies[id]).unwrap();
                    let shown = bad.to_string().chars().take(20).collect::<String>();
                    body[member] = if place == Place::Texts { json!([bad]) } else { bad };
                    let request = world.request(method.to_uppercase().parse().unwrap(), &walked(pattern)).json(&body);
                    let answer = Answer::of(request).await;
                    let context = format!("{id} with {member}: {shown}: {answer:?}");
                    assert!(answer.status.is_client_error(), "{context}");
                    answer.assert_problem();
                }
            }
        }
    }
    assert!(texts > 100, "{texts} texts");
    assert_eq!(heads().await, before, "something was written");
}

/// The format of a schema's texts, through references and alternatives.
fn format_of<'c>(contract: &'c Value, schema: &'c Value) -> Option<&'c str> {
    if let Some(reference) = schema["$ref"].as_str() {
        return format_of(contract, contract.pointer(reference.trim_start_matches('#')).unwrap());
    }
    let mut parts = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|of| schema[of].as_array()).flatten();
    schema["format"].as_str().or_else(|| parts.find_map(|part| format_of(contract, part)))
}

#[tokio::test]
async fn a_day_and_a_time_have_one_form_in_each_body() {
    let world = World::unlimited().await;
    let contract = world.get("/openapi.json").await.body;
    let bodies: BTreeMap<&str, &str> = OPERATIONS.iter().map(|(id, _, body)| (*id, *body)).collect();
    let (before, mut tried) = (world.head().await, 0);
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let Some(members) = schema_of(&contract, operation)["properties"].as_object() else { continue };
            let id = operation["operationId"].as_str().unwrap();
            for (member, schema) in members {
                // Most of these chrono reads by itself.
                let others = match format_of(&contract, schema) {
                    Some("date") => ["2024-2-3", "+2024-02-03", "2024-02-3"],
                    Some("date-time") => ["2024-02-03 09:30:00Z", "2024-2-3T09:30:00Z", "2024-02-03T09:30Z"],
                    _ => continue,
                };
                for other in others {
                    let mut body: Value = serde_json::from_str(bodies[id]).unwrap();
                    body[member] = other.into();
                    let answer = world.post(&walked(pattern), body).await;
                    assert_eq!(
                        (answer.code(), answer.body["errors"][0]["pointer"].as_str()),
                        ("validation_failed", Some(format!("/{member}").as_str())),
                        "{id} with {other}: read {member} by kernel::deserialize_day, deserialize_optional_time or one like \
                         these: {answer:?}"
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= 15, "{tried}");
    assert_eq!(world.head().await, before, "something was written");
}

#[test]
fn the_pattern_of_texts_refuses_what_is_refused_and_nothing_else() {
    let contract = crate::contracts::openapi();
    let pattern = contract.pointer("/components/schemas/NewLead/properties/name/pattern").unwrap().as_str().unwrap();
    assert_eq!(pattern, face::form::TEXT);
    let pattern = regex::Regex::new(pattern).unwrap();
    let taken = |text: &str| {
        let mut checks = kernel::Checks::default();
        checks.paragraph("/text", text, 1..=200);
        checks.ok()
    };
    for c in (0..=0x1_ffff).filter_map(char::from_u32) {
        for text in [format!("a{c}b"), format!("{c}a"), c.to_string()] {
            // Those with more digits are left out of the pattern, and so are the few that are allowed but invisible.
            let beyond =
                u32::from(c) > 0xffff || matches!(c, '\u{200c}' | '\u{200d}' | '\u{2800}' | '\u{fe00}'..='\u{fe0f}');
            // At the end of a text these are trimmed like spaces.
            let beyond = beyond || matches!(c, '\u{b}' | '\u{c}' | '\u{85}');
            let (allowed, taken) = (pattern.is_match(&text), taken(&text));
            assert!(
                allowed == taken || (allowed && beyond),
                "{text:?}: the pattern says {allowed}, the command {taken}"
            );
        }
    }
    for text in ["", " ", "\u{3000}\n\t"] {
        assert!(!pattern.is_match(text) && !taken(text), "{text:?}");
    }
    assert!(pattern.is_match("  Ada\n") && taken("  Ada\n"));
}

#[test]
fn attack_249_the_pattern_of_texts_gives_a_validator_nothing_to_try_again() {
    let (first, rest) = face::form::TEXT.split_once('*').unwrap();
    let (second, _) = rest.split_once("][").unwrap();
    let [first, second] =
        [format!("{first}$"), format!("^{second}]$")].map(|pattern| regex::Regex::new(&pattern).unwrap());
    assert!(first.is_match("\u{3000}") && second.is_match("a"));
    for c in (0..=0x1_ffff).filter_map(char::from_u32).map(String::from) {
        assert!(!(first.is_match(&c) && second.is_match(&c)), "{c:?} can be in the first part and be the second");
    }
}
