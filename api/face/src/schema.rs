//! The contract's schemas come from the same derive (`schemars`) as those of the events.
//!
//! poem-openapi keeps schemas in a form of its own that only its own derives fill. So a type is registered there as a stub
//! that carries its real schema, and [`resolve`] puts the real ones in place in the finished document.

use poem_openapi::registry::{MetaSchema, Registry};
use schemars::JsonSchema;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value};

/// Whether a type is read or written: a field with a default may be left out by the client, but is always sent by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A request's body.
    In,
    /// An answer's body.
    Out,
}

const STUB: &str = "urn:inopsio:schema-stub";

/// The name under which a type stands in `components.schemas`.
pub fn name<T: JsonSchema>() -> String {
    T::schema_name().into_owned()
}

/// Registers a type and all that it is made of.
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
        // A type that schemars inlines, such as a plain string, still gets its name here.
        definitions.insert(name.clone(), <T as JsonSchema>::json_schema(&mut generator).to_value());
    }
    let stub = MetaSchema { title: Some(STUB.into()), default: Some(Value::Object(definitions)), ..MetaSchema::ANY };
    registry.schemas.insert(name, stub);
}

/// Whether a body of this type must be sent: whether it has a member that can't be left out.
pub fn has_required<T: JsonSchema>() -> bool {
    schemars::schema_for!(T).get("required").and_then(Value::as_array).is_some_and(|required| !required.is_empty())
}

/// Puts the real schemas in the place of their stubs.
pub fn resolve(document: &mut Value) {
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else { return };
    let mut resolved = Map::new();
    for (name, schema) in std::mem::take(schemas) {
        match schema {
            Value::Object(mut stub) if stub.get("title").is_some_and(|title| title == STUB) => {
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
}
