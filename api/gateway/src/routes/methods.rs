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

    fn refuse(&self) -> Problem {
        let mut names: Vec<_> = self.allowed.iter().map(Method::as_str).collect();
        names.sort_unstable();
        let allowed = names.join(", ");
        let refusal = Refusal::invalid(
            "method_not_allowed",
            format!("this path does not support this method; allowed: {allowed}"),
        )
        .with("allowed", names);
        let problem = Problem::with_status(refusal, StatusCode::METHOD_NOT_ALLOWED);
        match HeaderValue::from_str(&allowed) {
            Ok(allowed) => problem.header(header::ALLOW, allowed),
            Err(_) => problem,
        }
    }
}

impl Endpoint for Methods {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        match self.routes.call(request).await {
            Err(error) if error.is::<MethodNotAllowedError>() => Err(self.refuse().into()),
            answered => answered,
        }
    }
}
