//! What is recorded of where a request came from: of refused sign-ins, sessions and denied requests alike.

use std::net::IpAddr;

use auth_aggregates::Place;
use kernel::TenantId;
use keys::{Context, DataKey};

/// The most characters of a `User-Agent` header that are kept.
const AGENT: usize = 200;

/// How many bytes of the keyed hash of an IP address are kept.
const PSEUDONYM: usize = 16;

/// The IP address and the user agent of a request. Personal data: only for a record that somebody can have erased.
pub(crate) fn place(address: Option<IpAddr>, agent: Option<&str>) -> Place {
    let agent = agent.map(|agent| agent.chars().take(AGENT).collect::<String>());
    Place { address: address.map(|address| address.to_string().into()), agent: agent.map(Into::into) }
}

/// The pseudonym of an IP address, for a record whose person is not known, so that nobody could request its erasure. It is the same for all
/// requests from the address within the tenant, in records of refused sign-ins and of denied requests.
pub(crate) fn pseudonym(tenant: TenantId, key: &DataKey, address: IpAddr) -> String {
    let context = Context { tenant, purpose: "auth.sign_in.origin", subject: "" };
    hex::encode(&key.mac(context, address.to_string().as_bytes())[..PSEUDONYM])
}
