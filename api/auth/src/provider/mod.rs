//! The OpenID Connect provider of each tenant, under `/t/{tenant}`.
//!
//! What the protocols say is done here by their letter: forms in, JSON out, errors as RFC 6749 has them. Who a client is, is
//! said once, in [`client`]; what is granted is a command of `auth-commands`; what is signed, the [`Authority`] signs.
//!
//! To add an endpoint: a file with its function (a [`Visit`] in, an [`Answer`] out), its line in [`routes`] and, where clients look
//! for it, in [`discovery`].

mod attempts;
mod client;
mod discovery;
mod error;
mod form;
mod introspect;
mod revoke;
mod token;
mod visit;

use std::sync::Arc;

use poem::endpoint::{BoxEndpoint, EndpointExt, make};
use poem::http::Method;
use poem::{PathPattern, Response};

pub use attempts::Attempts;
pub use error::{Answer, OAuthError};
pub use visit::Visit;

use crate::authority::Authority;
use crate::trust::Trust;

/// The provider of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Provider {
    /// Signs and opens.
    pub authority: Authority,
    /// Says whether a token holds.
    pub trust: Trust,
    /// Counts attempts that failed.
    pub attempts: Arc<Attempts>,
}

/// An endpoint of the provider: its path, its method, and what answers.
pub type Endpoint = (&'static str, Method, BoxEndpoint<'static, Response>);

macro_rules! endpoints {
    ($provider:expr; $($method:ident $path:literal => $answer:path),+ $(,)?) => {
        vec![$({
            let provider: Provider = $provider.clone();
            let endpoint = make(move |request: poem::Request| {
                let provider = provider.clone();
                async move {
                    let mut response = match Visit::begin(&provider, request).await {
                        Ok(visit) => $answer(&provider, visit).await.unwrap_or_else(|error| error.answer()),
                        Err(error) => error.answer(),
                    };
                    response.set_data(PathPattern(Arc::from($path)));
                    Ok::<_, poem::Error>(response)
                }
            });
            ($path, Method::$method, endpoint.boxed())
        }),+]
    };
}

/// All endpoints.
pub fn endpoints(provider: &Provider) -> Vec<Endpoint> {
    endpoints![provider;
        GET "/t/:tenant/.well-known/openid-configuration" => discovery::configuration,
        GET "/.well-known/oauth-authorization-server/t/:tenant" => discovery::configuration,
        GET "/t/:tenant/jwks" => discovery::keys,
        POST "/t/:tenant/token" => token::token,
        POST "/t/:tenant/introspect" => introspect::introspect,
        POST "/t/:tenant/revoke" => revoke::revoke,
    ]
}
