//! The security scheme: a bearer token, verified by the gateway.

use kernel::Caller;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::{Incoming, Problem};

/// A caller with a verified token; without one a request gets 401.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Caller);

pub(crate) const SCHEME: &str = "token";

pub(crate) fn register_scheme(registry: &mut Registry) {
    registry.create_security_scheme(
        SCHEME,
        MetaSecurityScheme {
            ty: "http",
            description: Some("A JSON Web Token that the tenant's issuer (`/t/<tenant>`, OpenID Connect) gave a person or a machine, or that `inopsio token` \
                 minted; or a machine's API key, `ink_…`. Both go into `Authorization: Bearer …`"),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        },
    );
}

impl<'a> ApiExtractor<'a> for Authenticated {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register_scheme(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(request: &'a Request, _: &mut RequestBody, _: ExtractParamOptions<()>) -> poem::Result<Self> {
        let incoming = Incoming::of(request).map_err(Problem::from)?;
        Ok(Self(incoming.identity.caller().map_err(Problem::from)?.clone()))
    }
}
