//! Request ids: the client's if it sends one, ours otherwise.

use kernel::IdSource;
use poem::http::HeaderMap;
use uuid::Uuid;

/// The namespace of UUIDs (RFC 9562, version 5) that are derived from clients' ids which are not UUIDs.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0e_2b4a_9d1c_4c57_8a3e_1f5d_7b60_92c4);

/// The id of a request. A client's id that is not a UUID is turned into one, always the same for the same text.
pub fn of(headers: &HeaderMap, ids: &dyn IdSource) -> Uuid {
    let given = headers.get("x-request-id").and_then(|value| value.to_str().ok()).map(str::trim);
    match given {
        Some(text) if (1..=128).contains(&text.len()) => {
            Uuid::try_parse(text).unwrap_or_else(|_| Uuid::new_v5(&NAMESPACE, text.as_bytes()))
        }
        _ => ids.next(),
    }
}
