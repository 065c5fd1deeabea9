//! The methods of a path. For other methods, the response is 405 with the allowed ones (RFC 9110, section 15.5.6).

use face::Problem;
use kernel::Refusal;
use poem::error::MethodNotAllowedError;
use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, Request, Response, Result, RouteMethod};

/// The endpoints of one path, by method.
pub struct Methods {
    routes: RouteMethod,
    allowed: Vec<Method>,
}

impl Methods {
    /// Without any methods.
    pub fn new() -> Self {
        Self { routes: RouteMethod::new(), allowed: Vec::new() }
    }

    /// Only GET, which includes HEAD.
    pub fn get(endpoint: impl Endpoint<Output = Response> + 'static) -> Self {
        Self::new().on(Method::GET, endpoint)
    }

    /// Adds a method.
    #[must_use]
    pub fn on(mut self, method: Method, endpoint: impl Endpoint<Output = Response> + 'static) -> Self {
        self.allowed.push(method.clone());
        if method == Method::GET {
            self.allowed.push(Method::HEAD);
        }
        Self { routes: self.routes.method(method, endpoint), ..self }
    }

    /// `instead`: what the detail adds about the refused method.
    fn refuse(&self, instead: &str) -> Problem {
        let mut names: Vec<_> = self.allowed.iter().map(Method::as_str).collect();
        names.sort_unstable();
        let allowed = names.join(", ");
        let refusal = Refusal::invalid(
            "method_not_allowed",
            format!("this path does not support this method; allowed: {allowed}{instead}"),
        )
        .with("allowed", names);
        let problem = Problem::with_status(refusal, StatusCode::METHOD_NOT_ALLOWED);
        match HeaderValue::from_str(&allowed) {
            Ok(allowed) => problem.header(header::ALLOW, allowed),
            Err(_) => problem,
        }
    }
}

/// What to do instead of a request for a list, or of an update, which REST has not: both are what people try first.
fn instead(request: &Request) -> &'static str {
    let Some(path) = request.uri().path().strip_prefix("/v1/") else { return "" };
    // `crm/leads`, not what is below.
    let is_collection = path.matches('/').count() == 1;
    match request.method().as_str() {
        "GET" if is_collection => "; lists are queried with GraphQL, at /graphql",
        "PUT" | "PATCH" | "DELETE" => "; changes are commands of their own, sent with POST: see /docs",
        _ => "",
    }
}

impl Endpoint for Methods {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let instead = instead(&request);
        match self.routes.call(request).await {
            Err(error) if error.is::<MethodNotAllowedError>() => Err(self.refuse(instead).into()),
            answered => answered,
        }
    }
}

#[cfg(test)]
mod tests {
    use poem::endpoint::make_sync;

    use super::*;

    #[tokio::test]
    async fn who_tries_a_list_or_an_update_is_told_what_to_do_instead() {
        let methods = Methods::new().on(Method::POST, make_sync(|_| Response::builder().finish()));
        for (method, path, said) in [
            (Method::GET, "/v1/crm/leads", Some("GraphQL")),
            (Method::PATCH, "/v1/crm/leads", Some("POST: see /docs")),
            (Method::GET, "/t/acme/token", None),
        ] {
            let request = Request::builder().method(method).uri_str(path).finish();
            let error = methods.call(request).await.map(|_| ()).unwrap_err();
            let problem = error.downcast::<Problem>().map_err(|_| "another error").unwrap();
            let detail = problem.refusal().detail();
            assert!(said.map_or(detail.ends_with("allowed: POST"), |said| detail.contains(said)), "{path}: {detail}");
        }
    }
}
