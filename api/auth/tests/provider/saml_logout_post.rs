//! Single logout in forms.

use auth_commands::SamlConnectionFields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{SecondsFormat, TimeDelta};
use reqwest::StatusCode;
use saml::{
    Certificate, IdentityProvider, LogoutContext, LogoutMessage, Own, PostedLogout, ServiceProvider as _, WebSso,
};
use testbed::{Browser, Shown, form};

use crate::identity_provider::{SLO, algorithms};
use crate::idp::{ADA, ENTITY, Idp, Sp};
use crate::saml_logout::{LogoutRequest, deflated, heard, inflated, is_signed_in, signed_in_through, signs_in, slo};
use crate::world::{Visits, World};

/// The `RelayState` that has to be returned, plain and as HTML.
const STATE: [&str; 2] = ["a state & more", "a state &amp; more"];

/// Metadata of an identity provider that supports forms only.
fn by_post(metadata: String) -> String {
    let service = |binding: &str| format!("bindings:HTTP-{binding}\" Location=\"{SLO}\"");
    metadata.replace(&service("Redirect"), &service("POST"))
}

/// A message with its signature inserted.
pub fn with(document: &str, signature: &str) -> String {
    document.replacen("</saml:Issuer>", &format!("</saml:Issuer>{signature}"), 1)
}

impl LogoutRequest {
    pub fn signed(&self, world: &World, idp: &Idp) -> String {
        let document = self.document(world);
        with(&document, &idp.signature(&self.id, &document, &algorithms()))
    }
}

/// Posts a form as the identity provider's page does: without cookies.
async fn posts(world: &World, sp: &Sp, fields: &[(&str, &str)]) -> Shown {
    Browser::default().send(form(world.http.post(slo(sp)), fields)).await
}

/// Posts a valid message, and returns the address to which the browser is redirected.
async fn sent_on(world: &World, sp: &Sp, kind: &str, document: &str) -> String {
    let shown = posts(world, sp, &[(kind, &STANDARD.encode(document)), ("RelayState", STATE[0])]).await;
    let (location, _) = shown.leads_to();
    assert!(location.starts_with(&format!("/t/acme/saml/{}/slo/finish?said=", sp.id)), "{location}");
    assert!(!location.contains(ADA) && shown.headers.get("set-cookie").is_none(), "{shown:?}");
    format!("{}{location}", world.url)
}

/// Posts a message of the identity provider, and follows the redirects as far as our pages lead.
pub async fn brings(world: &World, browser: &mut Browser, sp: &Sp, kind: &str, document: &str) -> Shown {
    browser.open(&sent_on(world, sp, kind, document).await).await
}

/// The message in the form of a page for the identity provider, verified as the provider would.
async fn brought(world: &World, sp: &Sp, shown: &Shown) -> LogoutMessage {
    assert_eq!(shown.status, StatusCode::OK, "{shown:?}");
    assert!(shown.body.contains(&format!("<form method=\"post\" action=\"{SLO}\">")), "{shown:?}");
    let policy = shown.header("content-security-policy");
    assert!(policy.contains("form-action 'self' https:;") && !policy.contains("script-src"), "{policy}");
    let metadata = world.http.get(&sp.entity_id).send().await.unwrap().text().await.unwrap();
    let after = metadata.split_once("use=\"signing\"").unwrap().1;
    let certificate = after.split_once("<ds:X509Certificate>").unwrap().1.split_once('<').unwrap().0;
    let us = IdentityProvider {
        entity_id: sp.entity_id.clone(),
        sign_in_url: String::new(),
        sign_out_url: None,
        sign_out_by_post: true,
        sign_out_answer_url: None,
        certificates: vec![Certificate::from_base64(certificate).unwrap()],
    };
    let own = Own { entity_id: ENTITY.to_owned(), acs: String::new(), slo: SLO.to_owned() };
    let (now, skew) = (world.now(), TimeDelta::seconds(5));
    let context = LogoutContext { own: &own, provider: &us, key: None, now, skew };
    let field = |name: &str| shown.body.contains(&format!("name=\"{name}\"")).then(|| shown.hidden(name));
    let (request, response) = (field("SAMLRequest"), field("SAMLResponse"));
    let posted = PostedLogout { request: request.as_deref(), response: response.as_deref(), relay_state: None };
    WebSso.read_posted_logout(&posted, &context).unwrap()
}

/// Whether our response to the identity provider says that the user is signed out. It must return the `RelayState` of the request.
async fn answered(world: &World, sp: &Sp, shown: &Shown) -> bool {
    assert_eq!(shown.hidden("RelayState"), STATE[1]);
    let LogoutMessage::Answered { to, done } = brought(world, sp, shown).await else { panic!("a request: {shown:?}") };
    assert_eq!(to, "_out");
    done
}

#[tokio::test]
async fn who_signs_out_at_the_provider_by_a_form_is_signed_out_here_and_the_provider_hears_of_it() {
    let (world, idp, sp, mut browser) = signed_in_through(by_post).await;
    let out = LogoutRequest::new(&sp);
    let shown = brings(&world, &mut browser, &sp, "SAMLRequest", &out.signed(&world, &idp)).await;
    assert!(answered(&world, &sp, &shown).await);
    assert_eq!(world.last_event().await.0, "auth.session.ended");
    assert!(!is_signed_in(&world, &mut browser).await);
    // An identity provider that supports both is answered by a redirect, without a button.
    let (world, idp, sp, mut browser) = signed_in_through(|metadata| {
        let posted = format!(
            "<SingleLogoutService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Location=\"{SLO}/post\"/>"
        );
        metadata.replacen("<SingleLogoutService", &format!("{posted}<SingleLogoutService"), 1)
    })
    .await;
    let shown = brings(&world, &mut browser, &sp, "SAMLRequest", &LogoutRequest::new(&sp).signed(&world, &idp)).await;
    let said = heard(&shown);
    assert_eq!(said["RelayState"], STATE[0]);
    assert!(inflated(&said["SAMLResponse"]).contains("status:Success"));
    assert!(!is_signed_in(&world, &mut browser).await);
}

#[tokio::test]
async fn who_signs_out_here_brings_the_provider_a_form_and_comes_back_with_one() {
    let (world, idp, sp, mut browser) = signed_in_through(by_post).await;
    let page = browser.visit(&world, "logout").await;
    let shown = browser.fill_in(&world, "logout", &[("pending", &page.hidden("pending"))]).await;
    assert!(shown.headers.get("refresh").is_none() && !shown.body.contains("RelayState"), "{shown:?}");
    let LogoutMessage::Asked { id, name, sessions, .. } = brought(&world, &sp, &shown).await else {
        panic!("an answer: {shown:?}")
    };
    assert_eq!((name.value.as_str(), sessions), (ADA, vec!["s1".to_owned()]));
    assert!(!is_signed_in(&world, &mut browser).await, "whatever becomes of the other side");
    for (status, text) in [("Responder", "did not sign you out everywhere"), ("Success", "You can close this page")] {
        let at = world.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let answer = format!(
            "<samlp:LogoutResponse xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" Destination=\"{}\" ID=\"_a\" \
             InResponseTo=\"{id}\" IssueInstant=\"{at}\" Version=\"2.0\"><saml:Issuer \
             xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">{ENTITY}</saml:Issuer><samlp:Status><samlp:StatusCode \
             Value=\"urn:oasis:names:tc:SAML:2.0:status:{status}\"></samlp:StatusCode></samlp:Status></samlp:LogoutResponse>",
            slo(&sp)
        );
        let answer = with(&answer, &idp.signature("_a", &answer, &algorithms()));
        let shown = brings(&world, &mut browser, &sp, "SAMLResponse", &answer).await;
        assert!(shown.status == StatusCode::OK && shown.body.contains(text), "{status}: {shown:?}");
    }
}

#[tokio::test]
async fn our_metadata_names_both_ways_to_sign_out() {
    let (world, _, sp, _) = signed_in_through(by_post).await;
    let metadata = world.http.get(&sp.entity_id).send().await.unwrap().text().await.unwrap();
    for binding in ["Redirect", "POST"] {
        let service = format!(
            "<md:SingleLogoutService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-{binding}\" Location=\"{}\"/>",
            slo(&sp)
        );
        assert!(metadata.contains(&service), "{binding}: {metadata}");
    }
}

/// Posts a form that must be refused for this reason, which is recorded by the only new event.
async fn refused(world: &World, sp: &Sp, fields: &[(&str, &str)], reason: &str) {
    let before = world.head().await;
    let shown = posts(world, sp, fields).await;
    assert_eq!((shown.status, shown.body.contains(&format!("({reason})"))), (StatusCode::FORBIDDEN, true), "{shown:?}");
    let (event, said) = world.last_event().await;
    assert_eq!((event.as_str(), said["reason"].as_str()), ("auth.sign_in.refused", Some(reason)));
    assert_eq!(world.head().await, before + 1, "more was written than the record: {reason}");
}

#[tokio::test]
async fn attack_131_a_request_to_sign_out_that_is_wrapped_around_or_put_beside_the_signed_one() {
    let (world, idp, sp, mut browser) = signed_in_through(by_post).await;
    // The signed part is about another user, and the part around it is about Ada.
    let eve = LogoutRequest { name: "eve@example.com".to_owned(), ..LogoutRequest::new(&sp) };
    let bare = eve.document(&world);
    let signature = idp.signature(&eve.id, &bare, &algorithms());
    let signed = with(&bare, &signature);
    let (evil, twin) = (
        LogoutRequest { id: "_evil".to_owned(), ..LogoutRequest::new(&sp) }.document(&world),
        LogoutRequest::new(&sp).document(&world),
    );
    let extensions = |inner: &str| format!("<samlp:Extensions>{inner}</samlp:Extensions>");
    let object = signature.replace("</ds:Signature>", &format!("<ds:Object>{bare}</ds:Object></ds:Signature>"));
    let cases = [
        (evil.clone(), "saml_not_signed"),
        (with(&evil, &extensions(&signed)), "saml_not_signed"),
        (with(&evil, &format!("{signature}{}", extensions(&bare))), "saml_not_signed"),
        (with(&evil, &object), "saml_algorithm"),
        (with(&twin, &format!("{signature}{}", extensions(&bare))), "saml_duplicate_id"),
        (with(&twin, &signature), "saml_signature"),
        (with(&twin, &format!("{signature}{signature}")), "saml_structure"),
        (with(&twin, &format!("{signature}{}", extensions(&signature))), "saml_structure"),
        (signed.replace("eve@example.com", ADA), "saml_signature"),
    ];
    for (document, reason) in &cases {
        refused(&world, &sp, &[("SAMLRequest", &STANDARD.encode(document))], reason).await;
    }
    assert!(is_signed_in(&world, &mut browser).await);
    // The signed message is valid but about another user than the one at the browser, and the response says so.
    let before = world.head().await;
    let shown = brings(&world, &mut browser, &sp, "SAMLRequest", &signed).await;
    assert!(!answered(&world, &sp, &shown).await);
    assert_eq!(world.head().await, before, "something was written");
    assert!(is_signed_in(&world, &mut browser).await);
}

#[tokio::test]
async fn attack_131_a_form_that_nobody_of_the_provider_signed_or_that_is_for_somebody_else() {
    let (world, idp, sp, mut browser) = signed_in_through(by_post).await;
    let (out, stranger) = (LogoutRequest::new(&sp), Idp::new(&world));
    let (bare, good) = (out.document(&world), STANDARD.encode(out.signed(&world, &idp)));
    let (_, sha256) = algorithms();
    let weak = ("http://www.w3.org/2000/09/xmldsig#rsa-sha1".to_owned(), sha256);
    let weak = with(&bare, &idp.signature(&out.id, &bare, &weak));
    let elsewhere = LogoutRequest { destination: "https://other.example/slo".to_owned(), ..out.clone() };
    let other = LogoutRequest { issuer: "https://other.example".to_owned(), ..out.clone() };
    let (long, state) = (STANDARD.encode(vec![b' '; 24 << 10]), "x".repeat(2_000));
    let request = |text: String| vec![("SAMLRequest", text)];
    let cases = [
        (request(STANDARD.encode(out.signed(&world, &stranger))), "saml_signature"),
        (request(STANDARD.encode(weak)), "saml_algorithm"),
        (request(STANDARD.encode(other.signed(&world, &idp))), "saml_issuer"),
        (request(STANDARD.encode(elsewhere.signed(&world, &idp))), "saml_destination"),
        // Deflated, as in a redirect.
        (request(STANDARD.encode(deflated(bare.as_bytes()))), "saml_not_xml"),
        (request(long), "saml_too_long"),
        (vec![("SAMLRequest", good.clone()), ("RelayState", state)], "saml_too_long"),
        (vec![("SAMLResponse", good.clone())], "saml_structure"),
        (vec![("SAMLResponse", good.clone()), ("SAMLRequest", good.clone())], "saml_structure"),
    ];
    for (fields, reason) in &cases {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        refused(&world, &sp, &fields, reason).await;
    }
    assert!(is_signed_in(&world, &mut browser).await);
    // The valid one ends the session, so that the test could fail.
    brings(&world, &mut browser, &sp, "SAMLRequest", &out.signed(&world, &idp)).await;
    assert!(!is_signed_in(&world, &mut browser).await);
}

#[tokio::test]
async fn attack_132_a_request_to_sign_out_that_is_kept_and_brought_again() {
    let (world, idp, sp, mut browser) = signed_in_through(by_post).await;
    let document = LogoutRequest { sessions: Vec::new(), ..LogoutRequest::new(&sp) }.signed(&world, &idp);
    let kept = sent_on(&world, &sp, "SAMLRequest", &document).await;
    browser.open(&kept).await;
    assert!(!is_signed_in(&world, &mut browser).await);
    // It does not end a session that began later, neither by posting the form again nor by opening its address again.
    world.clock.advance(TimeDelta::seconds(10));
    signs_in(&world, &idp, &sp, &mut browser).await;
    let before = world.head().await;
    for again in [kept.clone(), sent_on(&world, &sp, "SAMLRequest", &document).await] {
        let shown = browser.open(&again).await;
        assert!(!answered(&world, &sp, &shown).await);
    }
    // Nor does it stay valid for long; and a made-up one is refused.
    world.clock.advance(TimeDelta::minutes(2));
    let forged = format!("{}/t/acme/saml/{}/slo/finish?said=", world.url, sp.id);
    for address in [kept, format!("{forged}{}", STANDARD.encode("{}")), forged] {
        assert_eq!(browser.open(&address).await.status, StatusCode::BAD_REQUEST, "{address}");
    }
    assert_eq!(world.head().await, before, "something was written");
    world.clock.advance(TimeDelta::minutes(4));
    refused(&world, &sp, &[("SAMLRequest", &STANDARD.encode(&document))], "saml_time").await;
    assert!(is_signed_in(&world, &mut browser).await);
}

#[tokio::test]
async fn attack_132_a_request_that_one_provider_made_is_worth_nothing_at_another_ones_address() {
    let (world, idp, sp, mut browser) = signed_in_through(by_post).await;
    let entity = "https://other.example.com/metadata";
    let fields = SamlConnectionFields {
        metadata: by_post(idp.metadata()).replace(ENTITY, entity),
        domains: vec!["other.example.com".to_owned()],
        ..idp.fields()
    };
    let other = idp.connect_as(&world, fields).await;
    let before = world.head().await;
    // The other connection has the same key and name ID, but a message ends only the sessions of its own connection.
    let out = LogoutRequest { issuer: entity.to_owned(), ..LogoutRequest::new(&other) };
    let kept = sent_on(&world, &other, "SAMLRequest", &out.signed(&world, &idp)).await;
    let shown = browser.open(&kept).await;
    assert!(answered(&world, &other, &shown).await, "nobody is signed in by it");
    let moved = browser.open(&kept.replace(&other.id, &sp.id)).await;
    assert_eq!(moved.status, StatusCode::BAD_REQUEST, "{moved:?}");
    assert_eq!(world.head().await, before, "something was written");
    assert!(is_signed_in(&world, &mut browser).await);
}
