//! GraphiQL, served from files of this program: the page loads nothing from other servers.

use face::Problem;
use kernel::Refusal;
use poem::endpoint::make_sync;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Request, Response, Route};

use crate::reference::html;
use crate::routes::Methods;

/// The explorer's files, compressed with gzip (see `assets/graphiql/README.md`).
const FILES: [(&str, &str, &[u8]); 4] = [
    ("graphiql.min.js", "text/javascript", include_bytes!("../../assets/graphiql/graphiql.min.js.gz")),
    ("graphiql.min.css", "text/css", include_bytes!("../../assets/graphiql/graphiql.min.css.gz")),
    ("react.production.min.js", "text/javascript", include_bytes!("../../assets/graphiql/react.production.min.js.gz")),
    (
        "react-dom.production.min.js",
        "text/javascript",
        include_bytes!("../../assets/graphiql/react-dom.production.min.js.gz"),
    ),
];

const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' \
                      'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws: wss:; \
                      worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page, for a client that shows it to a person. A program that sends a query by GET must not take it for the answer.
///
/// # Errors
/// `not_acceptable`.
pub fn page(request: &Request) -> Result<Response, Problem> {
    if !shows_pages(request) {
        let detail =
            "queries are sent by POST; GET has the page GraphiQL (text/html), and WebSockets for subscriptions";
        let refusal = Refusal::invalid("not_acceptable", detail).with("allowed", "text/html");
        return Err(Problem::with_status(refusal, StatusCode::NOT_ACCEPTABLE));
    }
    Ok(html(include_str!("../../assets/graphiql/index.html"), POLICY))
}

/// Whether the client accepts HTML. If it accepts anything (or does not say what), it does so unless it sends a query.
fn shows_pages(request: &Request) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let accepted = accepted.flat_map(|line| line.split(',')).map(str::trim);
    let accepted: Vec<_> = accepted.filter(|range| !range.is_empty()).collect();
    let accepts = |range: &str| {
        accepted
            .iter()
            .any(|accepted| accepted.get(..range.len()).is_some_and(|start| start.eq_ignore_ascii_case(range)))
    };
    accepts("text/html")
        || accepts("text/*")
        || ((accepted.is_empty() || accepts("*/*")) && request.uri().query().is_none())
}

/// The page's files.
pub fn routes(route: Route) -> Route {
    FILES.into_iter().fold(route, |route, (name, content_type, packed)| {
        let file = make_sync(move |_| {
            let mut response = Response::builder().content_type(content_type).body(packed);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
            response
        });
        route.at(format!("/graphql/assets/{name}"), Methods::get(file))
    })
}
