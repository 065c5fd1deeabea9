//! The contract's schemas come from the same derive (`schemars`) as those of the events.
//!
//! poem-openapi keeps schemas in a form of its own that only its own derives fill. So a type is registered there as a stub
//! that carries its real schema, and [`resolve`] puts the real ones in place in the finished document.

use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use schemars::JsonSchema;
use schemars::generate::{Contract, SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Example;
use crate::form::TEXT;

/// Whether a type is received or sent: a client may leave out a field with a default, but a response always has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A request's body.
    In,
    /// An answer's body.
    Out,
}

const STUB: &str = "urn:inopsio:schema-stub";

/// The name of a type in `components.schemas`.
pub fn name<T: JsonSchema>() -> String {
    T::schema_name().into_owned()
}

/// Registers a type and the types that it refers to.
pub fn register<T: JsonSchema>(registry: &mut Registry, direction: Direction) {
    let name = name::<T>();
    if registry.schemas.contains_key(&name) {
        return;
    }
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.contract = match direction {
            Direction::In => Contract::Deserialize,
            Direction::Out => Contract::Serialize,
        };
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<T>();
    let mut definitions = generator.take_definitions(true);
    if !definitions.contains_key(&name) {
        // A type that schemars would inline, such as a plain string, also gets an entry under its name.
        definitions.insert(name.clone(), <T as JsonSchema>::json_schema(&mut generator).to_value());
    }
    definitions.values_mut().for_each(|definition| normalize_nullable(definition, direction));
    if direction == Direction::In {
        definitions.values_mut().for_each(add_text_pattern);
    }
    let stub = MetaSchema {
        title: Some(STUB.into()),
        default: Some(Value::Object(definitions)),
        write_only: direction == Direction::In,
        ..MetaSchema::ANY
    };
    registry.schemas.insert(name, stub);
}

/// Rewrites nullable members into the form of OpenAPI 3.0 that client generators understand: `nullable` beside the schema, instead of an
/// `anyOf` with null. In responses, optional members are left out rather than `null`, so they are not nullable.
fn normalize_nullable(schema: &mut Value, direction: Direction) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(|one| normalize_nullable(one, direction)),
        Value::Object(members) => {
            members.values_mut().for_each(|one| normalize_nullable(one, direction));
            if let Some(Value::Array(either)) = members.get_mut("anyOf")
                && let Some(null) = either.iter().position(|one| *one == json!({ "nullable": true, "enum": [null] }))
                && either.len() == 2
            {
                let other = either.swap_remove(1 - null);
                members.remove("anyOf");
                members.insert("allOf".to_owned(), json!([other]));
                members.insert("nullable".to_owned(), true.into());
            }
            let required = members.get("required").cloned().unwrap_or_default();
            let is_required = |name: &str| required.as_array().is_some_and(|all| all.iter().any(|one| one == name));
            if direction == Direction::Out
                && let Some(Value::Object(properties)) = members.get_mut("properties")
            {
                for (_, property) in properties.iter_mut().filter(|(name, _)| !is_required(name)) {
                    property.as_object_mut().and_then(|property| property.remove("nullable"));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Adds the pattern [`TEXT`] to texts of requests that may not be empty, unless they have another form: their length alone would allow blanks.
fn add_text_pattern(schema: &mut Value) {
    const OTHER_FORMS: [&str; 5] = ["pattern", "format", "enum", "contentEncoding", "contentMediaType"];
    match schema {
        Value::Array(all) => all.iter_mut().for_each(add_text_pattern),
        Value::Object(members) => {
            members.values_mut().for_each(add_text_pattern);
            if members.get("type").is_some_and(|of| of == "string")
                && members.get("minLength").and_then(Value::as_u64).is_some_and(|least| least > 0)
                && !OTHER_FORMS.iter().any(|form| members.contains_key(*form))
            {
                members.insert("pattern".to_owned(), TEXT.into());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Registers a response type with its example.
pub fn register_answer<T: Example + JsonSchema + Serialize>(registry: &mut Registry) {
    register::<T>(registry, Direction::Out);
    if let Some(stub) = registry.schemas.get_mut(&name::<T>()) {
        stub.example = serde_json::to_value(T::example()).ok();
    }
}

/// The header of an answer that repeats an earlier one, and what it means.
pub const REPEATED_HEADER: (&str, &str) =
    ("Idempotency-Replayed", "true if this repeats the first answer to the same key; nothing was done again");

/// An answer with a body of this type, for the contract: its status, its description, and its headers with what they mean.
pub fn answer<T: JsonSchema>(status: u16, description: &'static str, headers: &[(&str, &str)]) -> MetaResponses {
    let header = |(name, description): &(&str, &str)| MetaHeader {
        name: (*name).to_owned(),
        description: Some((*description).to_owned()),
        required: false,
        deprecated: false,
        schema: String::schema_ref(),
    };
    MetaResponses {
        responses: vec![MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: MetaSchemaRef::Reference(name::<T>()),
            }],
            headers: headers.iter().map(header).collect(),
        }],
    }
}

/// Whether a body of this type is required: whether it has a required member.
pub fn has_required<T: JsonSchema>() -> bool {
    schemars::schema_for!(T).get("required").and_then(Value::as_array).is_some_and(|required| !required.is_empty())
}

/// Replaces the stubs with the real schemas. Returns the examples of responses, by the names of their schemas. What both requests and
/// responses refer to has the form of requests, which allows more: a member may be left out, or be `null`.
pub fn resolve(document: &mut Value) -> Map<String, Value> {
    let mut examples = Map::new();
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else {
        return examples;
    };
    let mut resolved = Map::new();
    let mut registered: Vec<_> = std::mem::take(schemas).into_iter().collect();
    registered.sort_by_key(|(_, schema)| schema["writeOnly"] != true);
    for (name, schema) in registered {
        match schema {
            Value::Object(mut stub) if stub.get("title").is_some_and(|title| title == STUB) => {
                if let Some(example) = stub.remove("example") {
                    examples.insert(name, example);
                }
                if let Some(Value::Object(definitions)) = stub.remove("default") {
                    for (name, definition) in definitions {
                        resolved.entry(name).or_insert(definition);
                    }
                }
            }
            other => {
                resolved.insert(name, other);
            }
        }
    }
    let mut sorted: Vec<_> = resolved.into_iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    schemas.extend(sorted);
    examples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_null_says_so_beside_what_it_is_and_what_is_left_out_is_never_null() {
        let either = json!({ "description": "d", "anyOf": [{ "$ref": "#/x" }, { "nullable": true, "enum": [null] }] });
        let schema =
            || json!({ "required": ["a"], "properties": { "a": either, "b": either, "c": { "nullable": true } } });
        let (mut read, mut written) = (schema(), schema());
        normalize_nullable(&mut read, Direction::In);
        normalize_nullable(&mut written, Direction::Out);
        let nullable = json!({ "description": "d", "allOf": [{ "$ref": "#/x" }], "nullable": true });
        let never = json!({ "description": "d", "allOf": [{ "$ref": "#/x" }] });
        assert_eq!(read["properties"], json!({ "a": nullable, "b": nullable, "c": { "nullable": true } }));
        assert_eq!(written["properties"], json!({ "a": nullable, "b": never, "c": {} }));
    }

    #[test]
    fn a_text_that_may_not_be_empty_may_not_be_blank_either() {
        let text = |least: u8| json!({ "type": "string", "minLength": least });
        let date = json!({ "type": "string", "minLength": 1, "format": "date" });
        let mut schema = json!({ "properties": { "a": text(1), "b": text(0), "c": { "items": text(2) }, "d": date } });
        add_text_pattern(&mut schema);
        let of = |place: &str| schema.pointer(&format!("/properties/{place}/pattern"));
        assert_eq!((of("a"), of("c/items")), (Some(&json!(TEXT)), Some(&json!(TEXT))));
        assert_eq!((of("b"), of("d")), (None, None));
    }

    #[test]
    fn what_requests_and_responses_share_has_the_form_of_requests() {
        let stub =
            |shared: Value, read: bool| json!({ "title": STUB, "writeOnly": read, "default": { "Shared": shared } });
        let (of_body, of_answer) = (json!({ "type": "string", "nullable": true }), json!({ "type": "string" }));
        let both = json!({ "Answer": stub(of_answer, false), "Body": stub(of_body.clone(), true) });
        let mut document = json!({ "components": { "schemas": both } });
        resolve(&mut document);
        assert_eq!(document["components"]["schemas"], json!({ "Shared": of_body }));
    }
}
