//! Members of a body that are required but may be `null`: a value is removed by an explicit `null`, not by leaving the member out.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

/// The schema of such a member: `#[schemars(with = "face::Nullable<AccountId>")]`, together with [`nullable`], which reads it.
#[derive(Clone, Copy, Debug)]
pub struct Nullable<T>(PhantomData<T>);

/// Reads such a member: `#[serde(deserialize_with = "face::nullable")]`.
///
/// # Errors
/// Those of the format and of `T`. (A missing member is an error because serde has a `deserialize_with` without a default.)
pub fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

impl<T: JsonSchema> JsonSchema for Nullable<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Nullable_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Move {
        #[serde(deserialize_with = "nullable")]
        #[schemars(with = "Nullable<u8>")]
        to: Option<u8>,
    }

    #[test]
    fn what_may_be_null_has_to_be_there() {
        let read = |body| serde_json::from_value::<Move>(body).map_err(|error| error.to_string());
        assert_eq!(read(json!({ "to": 1 })), Ok(Move { to: Some(1) }));
        assert_eq!(read(json!({ "to": null })), Ok(Move { to: None }));
        assert_eq!(read(json!({})), Err("missing field `to`".to_owned()));
        assert!(crate::schema::has_required::<Move>());
    }
}
