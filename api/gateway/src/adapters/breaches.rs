//! Who keeps the list of passwords that were seen in breaches, over HTTP.

use std::io::Read as _;
use std::time::Duration;

use auth_api::Breaches;
use futures::FutureExt;
use futures::future::BoxFuture;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// How long the answer may take: somebody waits at a page.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest answer that is read: a range has about a thousand lines of 40 bytes.
const MOST: u64 = 1 << 20;

/// A service that answers ranges: `GET <url>/<five digits>`.
pub struct RangeService {
    url: String,
    agent: ureq::Agent,
}

impl RangeService {
    /// The one at a URL, over TLS with the machine's authorities.
    pub fn new(url: &str) -> Self {
        let trusted = rustls_native_certs::load_native_certs().certs;
        let trusted = trusted.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
        let tls = TlsConfig::builder().root_certs(RootCerts::from(trusted)).build();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .user_agent("inopsio")
            .tls_config(tls)
            .build()
            .into();
        Self { url: url.trim_end_matches('/').to_owned(), agent }
    }
}

impl Breaches for RangeService {
    fn range<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<String, String>> {
        // So that whoever watches the line can't tell by the length of the answer which range it is.
        let request = self.agent.get(format!("{}/{prefix}", self.url)).header("add-padding", "true");
        let ask = move || {
            let answer = request.call().map_err(|error| error.to_string())?;
            let mut range = String::new();
            let read = answer.into_body().into_reader().take(MOST).read_to_string(&mut range);
            read.map_err(|error| error.to_string()).map(|_| range)
        };
        async move { tokio::task::spawn_blocking(ask).await.map_err(|error| error.to_string())? }.boxed()
    }
}
