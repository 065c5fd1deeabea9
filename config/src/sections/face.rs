//! What whoever comes to us meets: the server, its limits, what a question may cost, feeds.

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
    /// Where others reach us, such as `https://api.example.com`: the beginning of issuers and of mailed links. Empty: at the
    /// address on which we listen.
    pub public_url: String,
    /// The most bytes of a JSON body.
    pub body_limit: usize,
    /// The most bytes of an uploaded file.
    pub upload_limit: usize,
    /// How many uploaded files are held in memory at once.
    pub uploads: usize,
    /// How many of them may be one tenant's.
    pub uploads_of_a_tenant: usize,
    /// The most seconds that a request may take.
    pub timeout_seconds: u64,
    /// After how many seconds in which nothing came or went a connection is closed; later where a request may take longer.
    pub idle_seconds: u64,
    /// The most seconds that running requests get to finish when the server stops.
    pub drain_seconds: u64,
    /// Proxies before us that are believed from whom requests came (`X-Forwarded-For`): addresses, and networks such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
    /// Origins whose scripts may call us, such as `https://app.example.com`; `*`: all.
    pub cors_origins: Vec<String>,
    /// Whether answers are compressed for clients that ask for it.
    pub compression: bool,
}

/// An address, or `localhost`.
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
    /// Where we listen; port 0: any free one.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// Where people reach us.
    pub fn url(&self) -> String {
        if self.public_url.is_empty() { format!("http://{}", self.address()) } else { self.public_url.clone() }
    }

    /// The addresses and networks of the proxies before us that are believed.
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

    /// How long nothing may come or go on a connection.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.max(self.timeout_seconds + 1))
    }
}

/// Requests a second. 0: no limit.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    /// Of a tenant.
    pub tenant_per_second: u32,
    /// How many a tenant may send at once.
    pub tenant_burst: u32,
    /// With one token.
    pub token_per_second: u32,
    /// How many may be sent with one token at once.
    pub token_burst: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { tenant_per_second: 2_000, tenant_burst: 4_000, token_per_second: 1_000, token_burst: 2_000 }
    }
}

/// What a GraphQL query may cost.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphQl {
    /// The most levels of fields.
    pub depth: usize,
    /// The most fields, each counted as often as its lists may have rows.
    pub cost: u64,
    /// The most aliases.
    pub aliases: usize,
    /// The most seconds of a query.
    pub timeout_seconds: u64,
    /// The most seconds that a query waits for a read model to reach a position.
    pub wait_seconds: u64,
    /// The most subscriptions of one connection.
    pub subscriptions: usize,
}

impl Default for GraphQl {
    fn default() -> Self {
        Self { depth: 12, cost: 10_000, aliases: 30, timeout_seconds: 20, wait_seconds: 5, subscriptions: 20 }
    }
}

/// What events offer to others.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// The most feeds (`GET /v1/events`) of a tenant at a time.
    pub feeds_per_tenant: usize,
    /// How many seconds a feed may be silent before it says that it is there.
    pub heartbeat_seconds: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self { feeds_per_tenant: 20, heartbeat_seconds: 15 }
    }
}
