//! `/openapi.json` and `/docs`: the REST contract, for programs and for people.

mod answers;
mod links;
mod named;
mod refused;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Role;
use poem::endpoint::{BoxEndpoint, make_sync};
use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Response, Route};
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::domains;
use crate::routes::Methods;

/// The routes `/openapi.json` and `/docs`, and a redirect from `/` to `/docs`.
pub fn routes(route: Route) -> Route {
    static JSON: LazyLock<Fixed> = LazyLock::new(|| Fixed::new(openapi().to_string()));
    static PAGE: LazyLock<Fixed> = LazyLock::new(|| Fixed::new(page()));
    route
        .at("/openapi.json", Methods::get(make_sync(|_| JSON.marked(json_of(JSON.text.as_str())))))
        .at("/docs", Methods::get(make_sync(|_| PAGE.marked(html(PAGE.text.as_str(), DOCS_POLICY)))))
        // For people who open the bare address in a browser.
        .at("/", Methods::get(make_sync(|_| to_docs())))
}

/// A large text that does not change while the program runs. Clients cache it, and revalidate it by its ETag.
struct Fixed {
    text: String,
    /// A weak tag, because the response may be compressed.
    tag: String,
}

impl Fixed {
    fn new(text: String) -> Self {
        let tag = format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(&text)[..16]));
        Self { text, tag }
    }

    /// Adds the caching headers to the response.
    fn marked(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

fn json_of(text: &'static str) -> Response {
    Response::builder().content_type("application/json").body(text)
}

fn to_docs() -> Response {
    let mut response = Response::builder().status(StatusCode::SEE_OTHER).finish();
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/docs"));
    response
}

/// A page with a content security policy, by which it can load nothing from other servers.
pub fn html(page: &'static str, policy: &'static str) -> Response {
    let mut response = Response::builder().content_type("text/html; charset=utf-8").body(page);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// The content security policy of `/docs`: browsers load nothing from other servers.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; \
                           img-src 'self' data:; font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";

/// The operations of all domains, only for poem-openapi to describe; `routes/` routes them.
struct AllOperations;

impl OpenApi for AllOperations {
    fn meta() -> Vec<MetaApi> {
        let mut scratch = Registry::new();
        let domains = domains::all();
        let domains = domains.iter().flat_map(|domain| (domain.describe)(&mut scratch)).collect::<Vec<_>>();
        domains.into_iter().chain(domains::describe_platform(&mut Registry::new())).collect()
    }

    fn register(registry: &mut Registry) {
        for domain in domains::all() {
            (domain.describe)(registry);
        }
        domains::describe_platform(registry);
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

/// The contract of all REST operations, OpenAPI 3.0.
pub fn openapi() -> Value {
    let service = OpenApiService::new(AllOperations, "Inopsio", env!("CARGO_PKG_VERSION")).description(description());
    let mut document: Value = serde_json::from_str(&service.spec()).unwrap_or_default();
    let examples = face::schema::resolve(&mut document);
    document["servers"] = json!([{ "url": "/" }]);
    document["info"]["license"] = json!({ "name": env!("CARGO_PKG_LICENSE") });
    answers::add(&mut document, &domains::grants(), &examples);
    named::add(&mut document);
    links::add(&mut document);
    document
}

/// The contract's description: what applies to all operations, and the table of permissions.
fn description() -> String {
    let mut text = String::from(
        "A command returns its position in the event log. A query that sends this position in the header \
         `X-Min-Position` waits until it sees the result of the command. A refused request changes nothing and returns a \
         problem document (RFC 9457) with a stable `code`. Read models are queried with GraphQL at `/graphql`.\n\n## Permissions\n\n",
    );
    text.push_str(&permissions());
    text
}

/// The table of permissions and built-in roles, of all services.
pub fn permissions() -> String {
    let mut text = String::from("| permission | allows |");
    for role in Role::ALL {
        let _ = write!(text, " {role} |");
    }
    text.push_str("\n| --- | --- |");
    text.push_str(&" :-: |".repeat(Role::ALL.len()));
    for grant in domains::grants() {
        let _ = write!(text, "\n| `{}` | {} |", grant.permission, grant.meaning);
        for role in Role::ALL {
            text.push_str(if grant.roles.contains(&role) { " ✓ |" } else { " |" });
        }
    }
    text.push('\n');
    text
}

/// The page of Scalar that poem-openapi contains, configured to show our contract.
fn page() -> String {
    let empty = OpenApiService::new((), "Inopsio", env!("CARGO_PKG_VERSION")).scalar_html();
    let begin = empty.find("<script").unwrap_or_default();
    let end = empty.find("</script>").map_or(begin, |at| at + "</script>".len());
    let settings = r#"<script id="api-reference" data-url="/openapi.json" data-configuration='{"withDefaultFonts":false,"telemetry":false,"hideClientButton":true}'></script>"#;
    let head = empty[..begin].replace("<title>Scalar</title>", "<title>Inopsio API</title>");
    format!("{}{settings}{}", head.replace("<html>", "<html lang=\"en\">"), &empty[end..])
}
