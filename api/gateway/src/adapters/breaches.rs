//! The HTTP client of a service that knows breached passwords.

use std::io::Read as _;
use std::time::Duration;

use auth_api::Breaches;
use futures::FutureExt;
use futures::future::BoxFuture;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The timeout of a request: a person is waiting for the page.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The longest answer that is read, in bytes: a range has about a thousand lines of 40 bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// A service that returns the hash suffixes of a range: `GET <url>/<five digits>`.
pub struct RangeService {
    url: String,
    agent: ureq::Agent,
}

impl RangeService {
    /// The service at a URL; TLS certificates are verified with the machine's certificate authorities.
    pub fn new(url: &str) -> Self {
        let trusted = rustls_native_certs::load_native_certs().certs;
        let trusted = trusted.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
        let tls = TlsConfig::builder().root_certs(RootCerts::from(trusted)).build();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
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
        // With padding, an observer of the connection can't infer the range from the length of the answer.
        let request = self.agent.get(format!("{}/{prefix}", self.url)).header("add-padding", "true");
        let ask = move || {
            let answer = request.call().map_err(|error| error.to_string())?;
            let mut range = String::new();
            let read = answer.into_body().into_reader().take(MAX_ANSWER).read_to_string(&mut range);
            read.map_err(|error| error.to_string()).map(|_| range)
        };
        async move { tokio::task::spawn_blocking(ask).await.map_err(|error| error.to_string())? }.boxed()
    }
}
