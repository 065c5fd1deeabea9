//! Refusals in GraphQL's form: the same codes and members as in problem documents, under `extensions`.

use juniper::{FieldError, Value};
use kernel::{Kind, Refusal};

use crate::MissedEvents;

/// The GraphQL error of a refusal.
pub fn refuse(refusal: Refusal) -> FieldError {
    let mut extensions = juniper::Object::with_capacity(2 + refusal.extra().len());
    extensions.add_field("code", Value::scalar(refusal.code().to_owned()));
    extensions.add_field("status", Value::scalar(i32::from(crate::status(refusal.kind()).as_u16())));
    for (member, value) in refusal.extra() {
        extensions.add_field(member, to_value(value));
    }
    FieldError::new(refusal.detail(), Value::Object(extensions))
}

/// The error of a subscription that missed events: the client has to query the current state again.
pub fn missed(MissedEvents(count): MissedEvents) -> FieldError {
    let detail = format!("this subscription missed {count} events; query the current state again");
    refuse(Refusal::new(Kind::RateLimited, "events_missed", detail).with("missed", count))
}

fn to_value(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::null(),
        serde_json::Value::Bool(value) => Value::scalar(*value),
        // GraphQL's Int has 32 bits; larger numbers are sent as text.
        serde_json::Value::Number(number) => match number.as_i64().map(i32::try_from) {
            Some(Ok(value)) => Value::scalar(value),
            _ => Value::scalar(number.to_string()),
        },
        serde_json::Value::String(text) => Value::scalar(text.clone()),
        serde_json::Value::Array(values) => Value::list(values.iter().map(to_value).collect()),
        serde_json::Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.as_str(), to_value(value))).collect())
        }
    }
}
