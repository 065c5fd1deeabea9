//! GraphiQL, served from files of this program: the page loads nothing from other servers.

use poem::endpoint::make_sync;
use poem::http::{HeaderValue, header};
use poem::{Response, Route};

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

/// The page.
pub fn page() -> Response {
    html(include_str!("../../assets/graphiql/index.html"), POLICY)
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
