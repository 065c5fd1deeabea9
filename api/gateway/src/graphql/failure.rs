//! Errors of requests that can't be executed, in GraphQL's form, each with a stable code.

use juniper::GraphQLError;
use kernel::Refusal;
use serde_json::{Map, Value, json};

/// The error list of a refusal: the same members as its problem document has.
pub fn refused(refusal: &Refusal) -> Value {
    let mut extensions = Map::new();
    extensions.insert("code".to_owned(), refusal.code().into());
    extensions.insert("status".to_owned(), face::status(refusal.kind()).as_u16().into());
    for (member, value) in refusal.extra() {
        extensions.entry(member).or_insert_with(|| value.clone());
    }
    json!([{ "message": refusal.detail(), "extensions": extensions }])
}

/// The error list of a request that the engine rejects: its messages and locations, to which this adds the code.
pub fn rejected(error: &GraphQLError) -> Value {
    let mut errors = match serde_json::to_value(error) {
        Ok(Value::Array(errors)) => errors,
        Ok(Value::Object(one)) => vec![Value::Object(one)],
        _ => vec![json!({ "message": error.to_string() })],
    };
    for error_of_list in errors.iter_mut().filter_map(Value::as_object_mut) {
        error_of_list.insert("extensions".to_owned(), json!({ "code": code(error), "status": 400 }));
    }
    Value::Array(errors)
}

const fn code(error: &GraphQLError) -> &'static str {
    match error {
        GraphQLError::ParseError(_) => "query_malformed",
        GraphQLError::ValidationError(_) => "query_invalid",
        GraphQLError::NoOperationProvided => "operation_missing",
        GraphQLError::MultipleOperationsProvided => "operation_ambiguous",
        GraphQLError::UnknownOperationName => "operation_unknown",
        GraphQLError::IsSubscription | GraphQLError::NotSubscription | GraphQLError::NotSupported(_) => {
            "operation_unsupported"
        }
    }
}
