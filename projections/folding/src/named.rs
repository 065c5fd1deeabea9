//! Enumerations in text columns, stored by the names that serde gives them.

use serde::Serialize;
use serde::de::{DeserializeOwned, IntoDeserializer, value};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// A value that is stored as the text to which serde serializes it, for example an enum's variant (`in_process`) or a currency (`EUR`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named<T>(pub T);

impl<T> Type<Postgres> for Named<T> {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(ty)
    }
}

impl<T> PgHasArrayType for Named<T> {
    fn array_type_info() -> PgTypeInfo {
        <&str as PgHasArrayType>::array_type_info()
    }
}

impl<T: Serialize> Encode<'_, Postgres> for Named<T> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match serde_json::to_value(&self.0)? {
            serde_json::Value::String(name) => Encode::<Postgres>::encode(name, buffer),
            other => Err(format!("only what serde writes as a string has a name, not {other}").into()),
        }
    }
}

impl<T: DeserializeOwned> Decode<'_, Postgres> for Named<T> {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let name = <String as Decode<Postgres>>::decode(value)?;
        let deserializer: value::StringDeserializer<value::Error> = name.into_deserializer();
        Ok(Self(T::deserialize(deserializer)?))
    }
}

/// The text to which serde serializes a value; empty if it is not serialized as a string.
pub fn name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
