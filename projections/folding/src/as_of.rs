//! The two time axes of history rows: when something was true (valid time), and when the log recorded it (known time).

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// The moment, on both time axes, that a query asks about.
///
/// A version is selected if it had begun and was known by then, and the next version had not begun or was not known:
/// `valid_from <= at AND known_from <= known AND (valid_to > at OR known_to > known)`. Both times never decrease along a stream, so
/// exactly one version is selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsOf {
    /// The state that was true at this time; `None`: the current state. (The current time of a clock is not the same, since that clock may
    /// be behind the one that dated the last event.)
    pub at: Option<DateTime<Utc>>,
    /// Only what the log had recorded by this time; `None`: everything that it has recorded.
    pub known: Option<DateTime<Utc>>,
}

impl AsOf {
    /// The current state, with everything that is recorded.
    pub const TODAY: Self = Self { at: None, known: None };

    /// The state at a time, with everything that is recorded today.
    pub const fn at(at: DateTime<Utc>) -> Self {
        Self { at: Some(at), known: None }
    }

    /// The SQL condition on a history row, with `at` as `$2` and `known` as `$3`. Every form uses both parameters, so that Postgres can
    /// infer their types. Without `known` it is a condition on the range of valid time, which the indexes serve.
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

/// The end of a range of time: a time, or open (`infinity` in Postgres, so that range conditions need no case for NULL).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End(pub Option<DateTime<Utc>>);

/// In the binary protocol a `timestamptz` is the number of microseconds since 2000-01-01, and `infinity` is the largest number.
const INFINITY: i64 = i64::MAX;

/// 2000-01-01, the epoch of Postgres.
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
