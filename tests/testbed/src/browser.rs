//! A minimal browser for pages without scripts: it keeps cookies, does not follow redirects by itself, and finds the fields of forms.

use std::collections::HashMap;

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};

/// One person's browser.
pub struct Browser {
    client: Client,
    /// Cookies by name. (Paths are ignored: a test's browser visits only one tenant.)
    pub cookies: HashMap<String, String>,
}

/// A response.
#[derive(Debug)]
pub struct Shown {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

impl Default for Browser {
    fn default() -> Self {
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { client, cookies: HashMap::new() }
    }
}

impl Browser {
    /// A copy of the browser with the same cookies, which change independently from then on.
    #[must_use]
    pub fn window(&self) -> Self {
        Self { client: self.client.clone(), cookies: self.cookies.clone() }
    }

    /// Opens a page.
    pub async fn open(&mut self, url: &str) -> Shown {
        let request = self.client.get(url);
        self.send(request).await
    }

    /// Submits a form.
    pub async fn submit(&mut self, url: &str, fields: &[(&str, &str)]) -> Shown {
        let request = form(self.client.post(url), fields);
        self.send(request).await
    }

    /// Submits a form that uploads a file.
    pub async fn upload(&mut self, url: &str, name: &str, file: &[u8]) -> Shown {
        let request = upload_form(self.client.post(url), name, file);
        self.send(request).await
    }

    /// Sends a request with the stored cookies, and stores those of the response.
    pub async fn send(&mut self, request: RequestBuilder) -> Shown {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header("accept", "text/html");
        let request = if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        for set in headers.get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            match pair.split_once('=').unwrap() {
                (name, "") => _ = self.cookies.remove(name),
                (name, value) => _ = self.cookies.insert(name.to_owned(), value.to_owned()),
            }
        }
        Shown { status, headers, body: response.text().await.unwrap() }
    }
}

impl Shown {
    /// A header's value; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The value of a hidden field.
    pub fn hidden(&self, name: &str) -> String {
        let field = format!("name=\"{name}\" value=\"");
        let after = self.body.split_once(&field).unwrap_or_else(|| panic!("no field {name} in {self:?}")).1;
        after.split_once('"').unwrap().0.to_owned()
    }

    /// The error message on the page.
    pub fn alert(&self) -> &str {
        let after = self.body.split_once("role=\"alert\">").unwrap_or_else(|| panic!("no alert in {self:?}")).1;
        after.split_once('<').unwrap().0
    }

    /// The path and the query parameters of the redirect.
    pub fn leads_to(&self) -> (String, HashMap<String, String>) {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{self:?}");
        let location = self.header("location");
        let query = location.split_once('?').map_or("", |(_, query)| query);
        let parameters = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        (location.to_owned(), parameters)
    }

    /// The authorization code in a redirect to a client.
    pub fn code(&self) -> String {
        let (location, parameters) = self.leads_to();
        parameters.get("code").unwrap_or_else(|| panic!("no code in {location}")).clone()
    }
}

/// A request with form fields as its body.
pub fn form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    request.header("content-type", "application/x-www-form-urlencoded").body(body)
}

/// A request with a form that uploads a file (RFC 7578) as its body.
pub fn upload_form(request: RequestBuilder, name: &str, file: &[u8]) -> RequestBuilder {
    const BOUNDARY: &str = "----a-boundary";
    let before = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a file\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let body = [before.as_bytes(), file, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat();
    request.header("content-type", format!("multipart/form-data; boundary={BOUNDARY}")).body(body)
}

/// Decodes base32, as in the key of an authenticator.
pub fn base32(text: &str) -> Vec<u8> {
    let bits = text.bytes().map(|letter| {
        let value = if letter.is_ascii_digit() { letter - b'2' + 26 } else { letter - b'A' };
        format!("{value:05b}")
    });
    bits.collect::<Vec<_>>()
        .concat()
        .as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}
