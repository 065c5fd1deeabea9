//! The two axes of time: when something was so, and when the log knew it.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// The moment that a question is asked about.
///
/// A version of something is the answer if it began by then and was known by then, and the next version had not begun or was
/// not known: `valid_from <= at AND known_from <= known AND (valid_to > at OR known_to > known)`. As both times never go
/// back along a stream, that picks exactly one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsOf {
    /// How the world was at this time; `None`: how it is. (That is not the same as the time of some clock, which may be
    /// behind the clock that dated the last event.)
    pub at: Option<DateTime<Utc>>,
    /// As far as the log knew at this time; `None`: as far as it knows.
    pub known: Option<DateTime<Utc>>,
}

impl AsOf {
    /// The world as it is, as it is known.
    pub const TODAY: Self = Self { at: None, known: None };

    /// The world at a time, as it is known today.
    pub const fn at(at: DateTime<Utc>) -> Self {
        Self { at: Some(at), known: None }
    }

    /// The condition on a history row, with `at` as `$2` and `known` as `$3`, each of which every form mentions, so that
    /// Postgres knows its type. Without `known` it asks for one range of validity, for which the indexes are made.
    pub const fn condition(self) -> &'static str {
        match (self.at, self.known) {
            (None, None) => "valid_to = 'infinity' AND coalesce($2::timestamptz, $3::timestamptz) IS NULL",
            (Some(_), None) => "valid_from <= $2::timestamptz AND valid_to > $2 AND $3::timestamptz IS NULL",
            (None, Some(_)) => "known_from <= $3::timestamptz AND known_to > $3 AND $2::timestamptz IS NULL",
            (Some(_), Some(_)) => {
                "valid_from <= $2::timestamptz AND known_from <= $3::timestamptz AND (valid_to > $2 OR known_to > $3)"
            }
        }
    }
}

/// The end of a validity: a time, or still open (`infinity` in Postgres, so that range conditions need no NULL case).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End(pub Option<DateTime<Utc>>);

/// On the wire a `timestamptz` is microseconds since 2000-01-01, and `infinity` the greatest number.
const INFINITY: i64 = i64::MAX;

fn epoch() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(10_957)
}

impl Type<Postgres> for End {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for End {
    fn array_type_info() -> PgTypeInfo {
        <DateTime<Utc> as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for End {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match self.0 {
            Some(time) => time.encode_by_ref(buffer),
            None => INFINITY.encode_by_ref(buffer),
        }
    }
}

impl Decode<'_, Postgres> for End {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<Postgres>>::decode(value)?;
        Ok(Self((micros != INFINITY).then(|| epoch() + TimeDelta::microseconds(micros))))
    }
}
