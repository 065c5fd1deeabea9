//! The scalar `BigInt`, for numbers that may exceed the 32 bits of GraphQL's `Int`.

use juniper::{GraphQLScalar, ScalarValue};

/// A whole number of any size, as a string: `"12345678901"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, GraphQLScalar)]
#[graphql(
    name = "BigInt",
    to_output_with = ScalarValue::from_displayable,
    from_input_with = big_int,
    parse_token(i32, String)
)]
pub struct BigInt(pub i128);

impl std::fmt::Display for BigInt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn big_int(text: &str) -> Result<BigInt, Box<str>> {
    text.parse().map(BigInt).map_err(|_| format!("{text:?} is not a whole number").into())
}
