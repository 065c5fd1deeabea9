//! The sections of the API: the HTTP server, rate limits, limits of GraphQL queries, the event feed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The HTTP server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address to listen on.
    #[serde(deserialize_with = "address")]
    pub host: IpAddr,
    /// Port to listen on; 0: any free one.
    pub port: u16,
    /// Public base URL, such as `https://api.example.com`, used in token issuers and mailed links. Empty: the listening address.
    pub public_url: String,
    /// Maximum size of a JSON body, in bytes.
    pub body_limit: usize,
    /// Maximum size of an uploaded file, in bytes.
    pub upload_limit: usize,
    /// Maximum number of uploads held in memory at once.
    pub uploads: usize,
    /// Maximum number of those uploads per tenant.
    pub uploads_of_a_tenant: usize,
    /// Request timeout in seconds.
    pub timeout_seconds: u64,
    /// Idle timeout of a connection in seconds; at least one second longer than the request timeout (see [`idle`](Self::idle)).
    pub idle_seconds: u64,
    /// Seconds that running requests have to finish when the server stops.
    pub drain_seconds: u64,
    /// Proxies whose `X-Forwarded-For` header is trusted: addresses, and networks such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
    /// Origins allowed by CORS, such as `https://app.example.com`; `*`: all.
    pub cors_origins: Vec<String>,
    /// Whether responses are compressed for clients that accept it.
    pub compression: bool,
}

/// Deserializes an IP address, or `localhost` as 127.0.0.1.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.parse::<IpAddr>().map_err(|_| {
        D::Error::custom(format!("{text:?} is not allowed; allowed is an address such as 127.0.0.1, 0.0.0.0 or ::1"))
    })
}

impl Default for Http {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            public_url: String::new(),
            body_limit: 1 << 20,
            upload_limit: 32 << 20,
            uploads: 4,
            uploads_of_a_tenant: 2,
            timeout_seconds: 60,
            idle_seconds: 75,
            drain_seconds: 20,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            compression: true,
        }
    }
}

impl Http {
    /// The listening address; port 0: any free one.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// The public URL; by default that of the listening address.
    pub fn url(&self) -> String {
        if self.public_url.is_empty() { format!("http://{}", self.address()) } else { self.public_url.clone() }
    }

    /// The addresses and networks of the trusted proxies.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn proxies(&self) -> Result<Vec<IpNet>, String> {
        let network = |text: &String| {
            let text = text.trim();
            let address = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
            text.parse::<IpNet>().or_else(|_| address()).map_err(|_| text.to_owned())
        };
        self.trusted_proxies.iter().map(network).collect()
    }

    /// The idle timeout of a connection: always longer than a request may take.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.max(self.timeout_seconds + 1))
    }
}

/// Rate limits in requests per second. 0: no limit.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    /// Requests per second per tenant.
    pub tenant_per_second: u32,
    /// Burst of requests per tenant.
    pub tenant_burst: u32,
    /// Requests per second per token.
    pub token_per_second: u32,
    /// Burst of requests per token.
    pub token_burst: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { tenant_per_second: 2_000, tenant_burst: 4_000, token_per_second: 1_000, token_burst: 2_000 }
    }
}

/// Limits of GraphQL queries.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphQl {
    /// Maximum depth of fields.
    pub depth: usize,
    /// Maximum cost: the number of fields, each multiplied by the page sizes of the lists around it.
    pub cost: u64,
    /// Maximum number of aliases.
    pub aliases: usize,
    /// Query timeout in seconds.
    pub timeout_seconds: u64,
    /// Maximum seconds that a query waits for a read model to reach a position.
    pub wait_seconds: u64,
    /// Maximum subscriptions per connection.
    pub subscriptions: usize,
}

impl Default for GraphQl {
    fn default() -> Self {
        Self { depth: 12, cost: 10_000, aliases: 30, timeout_seconds: 20, wait_seconds: 5, subscriptions: 20 }
    }
}

/// The event feed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Maximum concurrent feeds (`GET /v1/events`) per tenant.
    pub feeds_per_tenant: usize,
    /// Seconds without an event after which a feed sends a heartbeat.
    pub heartbeat_seconds: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self { feeds_per_tenant: 20, heartbeat_seconds: 15 }
    }
}
