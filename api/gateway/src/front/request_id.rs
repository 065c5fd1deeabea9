//! A request's id: the caller's where it has one, ours otherwise.

use kernel::IdSource;
use poem::http::HeaderMap;
use uuid::Uuid;

/// The namespace in which ids that are no UUIDs become UUIDs (RFC 9562, version 5).
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0e_2b4a_9d1c_4c57_8a3e_1f5d_7b60_92c4);

/// The id of a request. A caller's id that is no UUID becomes one, always the same.
pub fn of(headers: &HeaderMap, ids: &dyn IdSource) -> Uuid {
    let given = headers.get("x-request-id").and_then(|value| value.to_str().ok()).map(str::trim);
    match given {
        Some(text) if (1..=128).contains(&text.len()) => {
            Uuid::try_parse(text).unwrap_or_else(|_| Uuid::new_v5(&NAMESPACE, text.as_bytes()))
        }
        _ => ids.next(),
    }
}
