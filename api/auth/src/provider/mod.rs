//! The OpenID Connect provider of each tenant, under `/t/{tenant}`.
//!
//! The endpoints follow the protocols to the letter: form-encoded requests, JSON responses, errors as RFC 6749 defines them. [`client`] is
//! the one place that authenticates clients, the commands of `auth-commands` decide what is granted, and the [`Authority`] signs.
//!
//! To add an endpoint: write a file with its function (from a [`Visit`] to an [`Answer`]), add its line to `endpoints!` below and, if
//! clients discover it from the metadata, to [`discovery`].

mod account;
mod attempts;
mod authenticator;
mod authorization_request;
mod authorization_response;
mod authorize;
mod brand;
mod browser;
mod client;
mod client_address;
mod device;
mod discovery;
mod error;
mod exchange;
mod form;
mod goal;
mod hint;
mod id_token;
mod introspect;
mod logout;
mod logout_token;
mod mailed;
mod own_picture;
mod pages;
mod par;
mod passkey;
mod passkeys;
mod passwords;
mod pending;
mod pictures;
mod polls;
mod proxies;
mod reauthentication;
mod registration;
mod required;
mod revoke;
mod saml;
mod second_factor;
mod sign_in;
mod token;
mod upload;
mod user_agent;
mod userinfo;
mod visit;

use std::sync::Arc;

use ::saml::ServiceProvider;
use poem::endpoint::{BoxEndpoint, EndpointExt, make};
use poem::http::Method;
use poem::{PathPattern, Response};
use projector::ReadModels;

pub use attempts::{AttemptTarget, Attempts};
pub use client_address::ClientAddressHeader;
pub use error::{Answer, OAuthError};
pub use logout_token::{LogoutNotice, logout_notice};
pub use passwords::password_link;
pub use polls::Polls;
pub use proxies::Proxies;
pub use visit::Visit;

use self::pages::Brand;
use crate::authority::Authority;
use crate::password::Passwords;
use crate::trust::Trust;

/// The provider of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Provider {
    /// Signs tokens, and seals and opens secrets.
    pub authority: Authority,
    /// Checks whether a token is still valid.
    pub trust: Trust,
    /// Counts and rate-limits failed attempts.
    pub attempts: Arc<Attempts>,
    /// Rate-limits the polling of devices.
    pub polls: Arc<Polls>,
    /// Hashes and verifies passwords.
    pub passwords: Arc<Passwords>,
    /// The read models, for a user's sessions and the tenant's SAML connections; none: neither is shown.
    pub read_models: Option<ReadModels>,
    /// Speaks SAML with identity providers.
    pub saml: Arc<dyn ServiceProvider>,
    /// Determines the client's IP address of a request.
    pub client_address: ClientAddressHeader,
}

impl Provider {
    /// Runs `work` in the background, without delaying the response: its duration would reveal whether an account exists and may sign in.
    /// `what` names the work in the log message about a failure.
    fn in_background<F>(&self, what: &'static str, work: impl FnOnce(Self) -> F)
    where
        F: Future<Output = Result<(), OAuthError>> + Send + 'static,
    {
        let work = work(self.clone());
        tokio::spawn(async move {
            if let Err(error) = work.await {
                tracing::warn!(?error, "{what} could not be asked for");
            }
        });
    }
}

/// An endpoint of the provider: its path, its method, and its handler.
pub type Endpoint = (&'static str, Method, BoxEndpoint<'static, Response>);

macro_rules! endpoints {
    ($($method:ident $path:literal => $answer:path),+ $(,)?) => {
        const TENANT_ENDPOINTS: &[(&str, Method)] = &[$(($path, Method::$method)),+];

        fn tenant_endpoints(provider: &Provider) -> Vec<Endpoint> {
        vec![$({
            let provider = provider.clone();
            let endpoint = make(move |request: poem::Request| {
                let provider = provider.clone();
                async move {
                    let browser = is_browser(&request);
                    let mut response = match Visit::begin(&provider, request).await {
                        Ok(visit) => {
                            let tenant = visit.brand.clone();
                            $answer(&provider, visit).await.unwrap_or_else(|error| error.respond(browser, &tenant))
                        }
                        Err(error) => error.respond(browser, &Brand::default()),
                    };
                    response.set_data(PathPattern(Arc::from($path)));
                    Ok::<_, poem::Error>(response)
                }
            });
            ($path, Method::$method, endpoint.boxed())
        }),+]
        }
    };
}

endpoints! {
    GET "/t/:tenant" => account::at_issuer,
    GET "/t/:tenant/.well-known/openid-configuration" => discovery::configuration,
    GET "/.well-known/oauth-authorization-server/t/:tenant" => discovery::configuration,
    GET "/t/:tenant/logo" => brand::light,
    GET "/t/:tenant/logo/dark" => brand::dark,
    GET "/t/:tenant/jwks" => discovery::keys,
    GET "/t/:tenant/authorize" => authorize::authorize,
    POST "/t/:tenant/authorize" => authorize::authorize,
    GET "/t/:tenant/login" => authorize::login_page,
    POST "/t/:tenant/login" => authorize::login,
    POST "/t/:tenant/code" => second_factor::answer,
    POST "/t/:tenant/passkey" => passkey::answer,
    GET "/t/:tenant/passkey.js" => passkey::script,
    POST "/t/:tenant/required" => required::by_code,
    POST "/t/:tenant/required/passkey" => required::by_passkey,
    POST "/t/:tenant/consent" => authorize::consent,
    GET "/t/:tenant/password" => passwords::link_page,
    POST "/t/:tenant/password" => passwords::by_link,
    GET "/t/:tenant/forgot" => passwords::forgot_page,
    POST "/t/:tenant/forgot" => passwords::forgot,
    GET "/t/:tenant/account" => account::account_page,
    POST "/t/:tenant/account/sessions" => account::end,
    POST "/t/:tenant/account/applications" => account::withdraw,
    POST "/t/:tenant/account/picture" => own_picture::set,
    POST "/t/:tenant/account/picture/remove" => own_picture::remove,
    GET "/t/:tenant/account/password" => passwords::change_page,
    POST "/t/:tenant/account/password" => passwords::change,
    GET "/t/:tenant/account/authenticator" => authenticator::page,
    POST "/t/:tenant/account/authenticator" => authenticator::enrol,
    POST "/t/:tenant/account/authenticator/remove" => authenticator::remove,
    POST "/t/:tenant/account/authenticator/codes" => authenticator::renew_codes,
    GET "/t/:tenant/account/passkeys" => passkeys::page,
    POST "/t/:tenant/account/passkeys" => passkeys::enrol,
    POST "/t/:tenant/account/passkeys/rename" => passkeys::rename,
    POST "/t/:tenant/account/passkeys/remove" => passkeys::remove,
    POST "/t/:tenant/account/passkeys/codes" => passkeys::renew_codes,
    GET "/t/:tenant/invitation" => mailed::invitation_page,
    POST "/t/:tenant/invitation" => mailed::accept,
    GET "/t/:tenant/register" => registration::page,
    POST "/t/:tenant/register" => registration::ask,
    GET "/t/:tenant/verify-email" => mailed::verify_page,
    POST "/t/:tenant/verify-email" => mailed::verify,
    POST "/t/:tenant/saml" => saml::discover,
    GET "/t/:tenant/saml/:connection/metadata" => saml::metadata,
    GET "/t/:tenant/saml/:connection/login" => saml::login,
    POST "/t/:tenant/saml/:connection/acs" => saml::consume,
    GET "/t/:tenant/saml/:connection/finish" => saml::finish,
    GET "/t/:tenant/saml/:connection/slo" => saml::single_logout,
    POST "/t/:tenant/saml/:connection/slo" => saml::posted_logout,
    GET "/t/:tenant/saml/:connection/slo/finish" => saml::finish_logout,
    GET "/t/:tenant/logout" => logout::logout,
    POST "/t/:tenant/logout" => logout::logout,
    GET "/t/:tenant/userinfo" => userinfo::userinfo,
    POST "/t/:tenant/userinfo" => userinfo::userinfo,
    GET "/t/:tenant/device" => device::page,
    POST "/t/:tenant/device" => device::decide,
    POST "/t/:tenant/device_authorization" => device::ask,
    POST "/t/:tenant/par" => par::push,
    POST "/t/:tenant/token" => token::token,
    POST "/t/:tenant/introspect" => introspect::introspect,
    POST "/t/:tenant/revoke" => revoke::revoke,
}

/// The paths of mailed links, each with the tenant's page to which it redirects.
const MAILED: [(&str, &str); 2] = [("/invitation", "invitation"), ("/verify-email", "verify-email")];

/// The path of people's uploaded pictures. It may name the tenant by its id, too: not everybody who builds such an address knows the short
/// name.
const PICTURES: &str = "/t/:tenant/pictures/:picture";

/// All endpoints.
pub fn endpoints(provider: &Provider) -> Vec<Endpoint> {
    let mailed = MAILED.map(|(path, page)| {
        endpoint_outside_pages(provider, path, move |provider, request| async move {
            mailed::redirect_to_tenant(&provider, &request, page).await
        })
    });
    let pictures = endpoint_outside_pages(provider, PICTURES, |provider, request| async move {
        pictures::of_a_person(&provider, &request).await
    });
    tenant_endpoints(provider).into_iter().chain(mailed).chain([pictures]).collect()
}

/// Whether a path is that of a mailed link: the link tells the tenant, not the path.
pub fn is_mailed_link(path: &str) -> bool {
    MAILED.iter().any(|(of_link, _)| *of_link == path)
}

/// Each path and method that the provider serves, for proxies that forward requests to it.
pub fn paths() -> impl Iterator<Item = (&'static str, Method)> {
    let beside = MAILED.map(|(path, _)| path).into_iter().chain([PICTURES]);
    TENANT_ENDPOINTS.iter().cloned().chain(beside.map(|path| (path, Method::GET)))
}

/// An endpoint outside of a tenant's pages.
fn endpoint_outside_pages<F>(
    provider: &Provider,
    path: &'static str,
    answer: impl Fn(Provider, poem::Request) -> F + Send + Sync + 'static,
) -> Endpoint
where
    F: Future<Output = Answer> + Send + 'static,
{
    let provider = provider.clone();
    let endpoint = make(move |request: poem::Request| {
        let browser = is_browser(&request);
        let answered = answer(provider.clone(), request);
        async move {
            let mut response = answered.await.unwrap_or_else(|error| error.respond(browser, &Brand::default()));
            response.set_data(PathPattern(Arc::from(path)));
            Ok::<_, poem::Error>(response)
        }
    });
    (path, Method::GET, endpoint.boxed())
}

/// Whether the client accepts HTML, so that the response is shown to a person.
fn is_browser(request: &poem::Request) -> bool {
    request.header("accept").is_some_and(|accepted| accepted.contains("text/html"))
}
