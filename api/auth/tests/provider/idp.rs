//! An identity provider that is connected to the tenant, and the browsers that go back and forth.

use auth_aggregates::{SamlAttributes, SamlRole};
use auth_commands::{CreateSamlConnection, Reach, SamlConnectionFields};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use testbed::{Browser, Shown, form};

pub use crate::identity_provider::*;
use crate::world::{Visits, World};

impl Timed for World {
    fn time(&self) -> DateTime<Utc> {
        self.now()
    }
}

impl Idp {
    /// The fields of a connection to it.
    pub fn fields(&self) -> SamlConnectionFields {
        SamlConnectionFields {
            name: "Example".to_owned(),
            metadata: self.metadata(),
            domains: vec!["example.com".to_owned()],
            provider_initiated: false,
            admits: true,
            attributes: SamlAttributes { email: None, name: None, roles: Some("groups".to_owned()) },
            roles: vec![SamlRole { value: "staff".to_owned(), role: "member".to_owned() }],
        }
    }

    /// Connects it to the tenant.
    pub async fn connect(&self, world: &World, unrequested: bool) -> Sp {
        self.connect_as(world, SamlConnectionFields { provider_initiated: unrequested, ..self.fields() }).await
    }

    /// Connects it with these fields.
    pub async fn connect_as(&self, world: &World, fields: SamlConnectionFields) -> Sp {
        let id = world.run_as_admin(&CreateSamlConnection { fields, reach: Reach::Everything }).await;
        // This creates the tenant's keys, so that tests count only the events after it.
        assert!(world.get("jwks").send().await.unwrap().status().is_success());
        let at = |endpoint: &str| format!("{}/saml/{id}/{endpoint}", world.issuer());
        Sp { id: id.to_string(), entity_id: at("metadata"), acs: at("acs") }
    }
}

/// Starts a sign-in through a connection, and returns the id of the authentication request.
pub async fn start_sign_in(world: &World, browser: &mut Browser, sp: &Sp) -> String {
    let (location, query) = browser.visit(world, &format!("saml/{}/login", sp.id)).await.leads_to();
    assert!(location.starts_with(SSO), "{location}");
    let request = inflated(&STANDARD.decode(&query["SAMLRequest"]).unwrap());
    request.split_once(" ID=\"").unwrap().1.split_once('"').unwrap().0.to_owned()
}

/// Posts a document to the assertion consumer service as the provider's page does: without cookies.
pub async fn post_response(world: &World, sp: &Sp, document: &str) -> Shown {
    post_encoded(world, sp, &STANDARD.encode(document)).await
}

pub async fn post_encoded(world: &World, sp: &Sp, text: &str) -> Shown {
    Browser::default().send(form(world.http.post(&sp.acs), &[("SAMLResponse", text)])).await
}

/// Posts the provider's response and follows the redirects as far as our pages lead.
pub async fn finish_sign_in(world: &World, browser: &mut Browser, sp: &Sp, document: &str) -> Shown {
    let shown = post_response(world, sp, document).await;
    assert_eq!(shown.status, StatusCode::SEE_OTHER, "{shown:?}");
    browser.open(&format!("{}{}", world.url, shown.leads_to().0)).await
}

/// Posts a document that must be refused for this reason, which is recorded by the only new event.
pub async fn refused(world: &World, sp: &Sp, document: &str, reason: &str) {
    let before = world.head().await;
    let shown = post_response(world, sp, document).await;
    assert_eq!((shown.status, shown.body.contains(&format!("({reason})"))), (StatusCode::FORBIDDEN, true), "{shown:?}");
    let (event, said) = world.last_event().await;
    assert_eq!((event.as_str(), said["reason"].as_str()), ("auth.sign_in.refused", Some(reason)));
    assert_eq!(world.head().await, before + 1, "more was written than the record");
    assert!(shown.headers.get("set-cookie").is_none(), "{shown:?}");
}

fn inflated(bytes: &[u8]) -> String {
    use std::io::Read;
    let mut text = String::new();
    flate2::read::DeflateDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}
