//! Whole numbers within bounds that appear both in the contract and in the refusal.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A whole number from `MIN` to `MAX` in a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<T, const MIN: i64, const MAX: i64>(pub T);

struct Reader<T, const MIN: i64, const MAX: i64>(PhantomData<T>);

impl<T: TryFrom<i64>, const MIN: i64, const MAX: i64> Visitor<'_> for Reader<T, MIN, MAX> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let within = (MIN..=MAX).contains(&number).then(|| T::try_from(number).ok()).flatten();
        within.ok_or_else(|| outside::<E>(number, MIN, MAX))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        i64::try_from(number).map_or_else(|_| Err(outside(number, MIN, MAX)), |number| self.visit_i64(number))
    }
}

fn outside<E: Error>(number: impl std::fmt::Display, min: i64, max: i64) -> E {
    E::custom(format!("{number} is not allowed; allowed is a whole number from {min} to {max}"))
}

impl<'de, T: TryFrom<i64>, const MIN: i64, const MAX: i64> Deserialize<'de> for Whole<T, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(Reader::<T, MIN, MAX>(PhantomData)).map(Self)
    }
}

impl<T, const MIN: i64, const MAX: i64> JsonSchema for Whole<T, MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Whole_{MIN}_{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_outside_is_refused_with_what_is_allowed() {
        let read = |text: &str| {
            serde_json::from_str::<Whole<u8, 0, 100>>(text).map(|whole| whole.0).map_err(|error| error.to_string())
        };
        assert_eq!((read("0"), read("100")), (Ok(0), Ok(100)));
        for refused in ["101", "-1", "300", "9223372036854775808", "1.5", "\"7\"", "null", "1e2"] {
            let said = read(refused).unwrap_err();
            assert!(said.contains("a whole number from 0 to 100"), "{refused}: {said}");
        }
    }
}
