//! Single logout in redirects. (In forms: `saml_logout_post.rs`.)

use std::collections::HashMap;
use std::io::{Read as _, Write as _};

use auth_commands::SamlConnectionFields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{SecondsFormat, TimeDelta};
use reqwest::StatusCode;
use testbed::{Browser, Shown};
use url::form_urlencoded::Serializer;

use crate::identity_provider::SLO;
use crate::idp::{ADA, ENTITY, Idp, Sp, Words, finish_sign_in};
use crate::world::{Visits, World};

pub const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";

pub fn deflated(text: &[u8]) -> Vec<u8> {
    let mut deflater = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflater.write_all(text).unwrap();
    deflater.finish().unwrap()
}

pub fn inflated(text: &str) -> String {
    let bytes = STANDARD.decode(text).unwrap();
    let mut text = String::new();
    flate2::read::DeflateDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
    text
}

/// The signed query string of a message.
pub fn query(idp: &Idp, kind: &str, document: &[u8], relay_state: Option<&str>, algorithm: &str) -> String {
    let message = STANDARD.encode(deflated(document));
    let pairs = [(kind, message.as_str())].into_iter().chain(relay_state.map(|text| ("RelayState", text)));
    let signed = Serializer::new(String::new()).extend_pairs(pairs).append_pair("SigAlg", algorithm).finish();
    let signature = STANDARD.encode(idp.key.sign(signed.as_bytes()).unwrap());
    let signature = Serializer::new(String::new()).append_pair("Signature", &signature).finish();
    format!("{signed}&{signature}")
}

/// A logout request of the identity provider.
#[derive(Clone)]
pub struct LogoutRequest {
    pub id: String,
    pub issuer: String,
    pub destination: String,
    pub name: String,
    pub sessions: Vec<String>,
    pub age: TimeDelta,
}

pub fn slo(sp: &Sp) -> String {
    sp.acs.replace("/acs", "/slo")
}

impl LogoutRequest {
    pub fn new(sp: &Sp) -> Self {
        let (id, issuer, name) = ("_out".to_owned(), ENTITY.to_owned(), ADA.to_owned());
        Self { id, issuer, destination: slo(sp), name, sessions: vec!["s1".to_owned()], age: TimeDelta::zero() }
    }

    /// The request in canonical form.
    pub fn document(&self, world: &World) -> String {
        let Self { id, issuer, destination, name, .. } = self;
        let at = (world.now() - self.age).to_rfc3339_opts(SecondsFormat::Secs, true);
        let sessions = self.sessions.iter().map(|one| format!("<samlp:SessionIndex>{one}</samlp:SessionIndex>"));
        let space = "xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"";
        format!(
            "<samlp:LogoutRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" Destination=\"{destination}\" ID=\"{id}\" \
             IssueInstant=\"{at}\" Version=\"2.0\"><saml:Issuer {space}>{issuer}</saml:Issuer><saml:NameID \
             {space}>{name}</saml:NameID>{}</samlp:LogoutRequest>",
            sessions.collect::<Vec<_>>().concat()
        )
    }

    fn query(&self, world: &World, idp: &Idp) -> String {
        query(idp, "SAMLRequest", self.document(world).as_bytes(), None, RSA_SHA256)
    }
}

/// Ada, signed in by the identity provider.
async fn signed_in() -> (World, Idp, Sp, Browser) {
    signed_in_through(|metadata| metadata).await
}

/// Ada, signed in by an identity provider with modified metadata.
pub async fn signed_in_through(says: impl FnOnce(String) -> String) -> (World, Idp, Sp, Browser) {
    let world = World::start().await;
    let idp = Idp::new(&world);
    let fields = SamlConnectionFields { provider_initiated: true, metadata: says(idp.metadata()), ..idp.fields() };
    let sp = idp.connect_as(&world, fields).await;
    // This creates our keys, so that tests count only the events after it.
    assert!(world.get(&format!("saml/{}/metadata", sp.id)).send().await.unwrap().status().is_success());
    let mut browser = Browser::default();
    signs_in(&world, &idp, &sp, &mut browser).await;
    (world, idp, sp, browser)
}

/// Signs Ada in through the identity provider, in its session "s1".
pub async fn signs_in(world: &World, idp: &Idp, sp: &Sp, browser: &mut Browser) {
    let words = Words { session: Some("s1".to_owned()), ..Words::new(world, sp, None) };
    let shown = finish_sign_in(world, browser, sp, &idp.says(&words)).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account");
}

/// The parameters of the redirect to the identity provider.
pub fn heard(shown: &Shown) -> HashMap<String, String> {
    let (location, said) = shown.leads_to();
    assert!(location.starts_with(&format!("{SLO}?")), "{location}");
    said
}

pub async fn is_signed_in(world: &World, browser: &mut Browser) -> bool {
    browser.visit(world, "account").await.body.contains(ADA)
}

pub async fn brings(browser: &mut Browser, sp: &Sp, query: &str) -> Shown {
    browser.open(&format!("{}?{query}", slo(sp))).await
}

#[tokio::test]
async fn who_signs_out_at_the_provider_is_signed_out_here_and_the_provider_hears_of_it() {
    let (world, idp, sp, mut browser) = signed_in().await;
    let mut elsewhere = Browser::default();
    let words = Words { session: Some("s2".to_owned()), ..Words::new(&world, &sp, None) };
    finish_sign_in(&world, &mut elsewhere, &sp, &idp.says(&words)).await;
    let document = LogoutRequest::new(&sp).document(&world);
    let asked = query(&idp, "SAMLRequest", document.as_bytes(), Some("a state & more"), RSA_SHA256);
    let said = heard(&brings(&mut browser, &sp, &asked).await);
    assert_eq!(said["RelayState"], "a state & more");
    let answer = inflated(&said["SAMLResponse"]);
    for part in ["LogoutResponse", "InResponseTo=\"_out\"", "status:Success", &format!("Destination=\"{SLO}\"")] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    assert_eq!(world.last_event().await.0, "auth.session.ended");
    assert!(!is_signed_in(&world, &mut browser).await);
    assert!(is_signed_in(&world, &mut elsewhere).await, "the provider named one session");
    // Without session indexes, all sessions end; and a browser without a session counts as signed out.
    let all = LogoutRequest { sessions: Vec::new(), ..LogoutRequest::new(&sp) }.query(&world, &idp);
    for browser in [&mut elsewhere, &mut Browser::default()] {
        let said = heard(&brings(browser, &sp, &all).await);
        assert!(inflated(&said["SAMLResponse"]).contains("status:Success"));
        assert!(!is_signed_in(&world, browser).await);
    }
}

#[tokio::test]
async fn who_signs_out_here_is_signed_out_at_the_provider_too_and_comes_back() {
    let (world, idp, sp, mut browser) = signed_in().await;
    let page = browser.visit(&world, "logout").await;
    let shown = browser.fill_in(&world, "logout", &[("pending", &page.hidden("pending"))]).await;
    assert_eq!(shown.status, StatusCode::OK, "{shown:?}");
    let refresh = shown.headers["refresh"].to_str().unwrap().to_owned();
    let url = url::Url::parse(refresh.strip_prefix("0; url=").unwrap()).unwrap();
    assert!(url.as_str().starts_with(&format!("{SLO}?")), "{url}");
    assert!(!is_signed_in(&world, &mut browser).await, "whatever becomes of the other side");
    let parameter = |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    let asked = inflated(&parameter("SAMLRequest"));
    for part in ["LogoutRequest", ADA, "<samlp:SessionIndex>s1</samlp:SessionIndex>"] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    let id = asked.split_once(" ID=\"").unwrap().1.split_once('"').unwrap().0;
    for (status, text) in [("Responder", "did not sign you out everywhere"), ("Success", "You can close this page")] {
        let at = world.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let answer = format!(
            "<samlp:LogoutResponse xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
             xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_a\" Version=\"2.0\" IssueInstant=\"{at}\" \
             Destination=\"{}\" InResponseTo=\"{id}\"><saml:Issuer>{ENTITY}</saml:Issuer><samlp:Status><samlp:StatusCode \
             Value=\"urn:oasis:names:tc:SAML:2.0:status:{status}\"/></samlp:Status></samlp:LogoutResponse>",
            slo(&sp)
        );
        let back = query(&idp, "SAMLResponse", answer.as_bytes(), None, RSA_SHA256);
        let shown = brings(&mut browser, &sp, &back).await;
        assert!(shown.status == StatusCode::OK && shown.body.contains(text), "{status}: {shown:?}");
    }
}

#[tokio::test]
async fn attack_122_a_request_to_sign_out_that_is_forged_or_somebody_elses() {
    let (world, idp, sp, mut browser) = signed_in().await;
    let (out, stranger) = (LogoutRequest::new(&sp), Idp::new(&world));
    let good = out.query(&world, &idp);
    let doubled = format!("{good}&{}", good.split_once('&').unwrap().0);
    let bomb = query(&idp, "SAMLRequest", &vec![b' '; 8 << 20], None, RSA_SHA256);
    let cases = [
        (good.split_once("&SigAlg").unwrap().0.to_owned(), "saml_not_signed"),
        (out.query(&world, &stranger), "saml_signature"),
        (good.replace("SAMLRequest", "RelayState=x&SAMLRequest"), "saml_signature"),
        (doubled, "saml_structure"),
        (good.replace("SAMLRequest", "SAMLResponse"), "saml_signature"),
        (query(&idp, "SAMLResponse", out.document(&world).as_bytes(), None, RSA_SHA256), "saml_structure"),
        (
            query(
                &idp,
                "SAMLRequest",
                out.document(&world).as_bytes(),
                None,
                "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
            ),
            "saml_algorithm",
        ),
        (bomb, "saml_too_long"),
        (
            LogoutRequest { issuer: "https://other.example".to_owned(), ..out.clone() }.query(&world, &idp),
            "saml_issuer",
        ),
    ];
    for (query, reason) in &cases {
        let before = world.head().await;
        let shown = brings(&mut browser, &sp, query).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "{reason}: {shown:?}");
        let (event, said) = world.last_event().await;
        assert_eq!((event.as_str(), said["reason"].as_str()), ("auth.sign_in.refused", Some(*reason)));
        assert_eq!(world.head().await, before + 1, "{reason}");
    }
    assert!(is_signed_in(&world, &mut browser).await);
    // About another user or another session: the message is valid but has no effect here, and the response says so.
    for other in [
        LogoutRequest { name: "eve@example.com".to_owned(), ..out.clone() },
        LogoutRequest { name: "eve@example.com".to_owned(), sessions: Vec::new(), ..out.clone() },
        LogoutRequest { sessions: vec!["s2".to_owned()], ..out.clone() },
    ] {
        let before = world.head().await;
        let said = heard(&brings(&mut browser, &sp, &other.query(&world, &idp)).await);
        let answer = inflated(&said["SAMLResponse"]);
        assert!(answer.contains("status:PartialLogout") && !answer.contains("status:Success"), "{answer}");
        assert_eq!(world.head().await, before, "something was written");
    }
    assert!(is_signed_in(&world, &mut browser).await);
    // With the valid request the browser is signed out, so that the test could fail.
    heard(&brings(&mut browser, &sp, &good).await);
    assert!(!is_signed_in(&world, &mut browser).await);
}

#[tokio::test]
async fn attack_122_a_request_to_sign_out_that_is_kept_or_for_somebody_else() {
    let (world, idp, sp, mut browser) = signed_in().await;
    let old = LogoutRequest { age: TimeDelta::minutes(6), ..LogoutRequest::new(&sp) };
    let soon = LogoutRequest { age: -TimeDelta::minutes(1), ..LogoutRequest::new(&sp) };
    let elsewhere = LogoutRequest { destination: "https://other.example/slo".to_owned(), ..LogoutRequest::new(&sp) };
    for (out, reason) in [(old, "saml_time"), (soon, "saml_time"), (elsewhere, "saml_destination")] {
        let shown = brings(&mut browser, &sp, &out.query(&world, &idp)).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "{shown:?}");
        assert_eq!(world.last_event().await.1["reason"], reason);
    }
    assert!(is_signed_in(&world, &mut browser).await);
}
