//! Attacks on sign-in through an identity provider. The numbers are those of docs/src/threat-model.md. (Attacks on encryption:
//! `saml_encryption_attacks.rs`.)

use std::io::Write as _;
use std::time::Duration;

use auth_commands::{ChangeSamlConnection, CreateSamlConnection, Reach, SamlConnectionFields};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use futures::future::join_all;
use kernel::Refusal;
use reqwest::StatusCode;
use testbed::Browser;

use crate::idp::{ADA, Idp, Sp, Words, finish_sign_in, post_encoded, post_response, refused, start_sign_in};
use crate::world::{Visits, World, worked};

/// A connection that accepts unsolicited responses, which saves each test a step.
pub async fn connected() -> (World, Idp, Sp) {
    let world = World::start().await;
    let idp = Idp::new(&world);
    let sp = idp.connect(&world, true).await;
    (world, idp, sp)
}

/// Checks that an unmodified response is accepted, so that the test could fail.
async fn check_accepted(world: &World, idp: &Idp, sp: &Sp) {
    let said = idp.says(&Words::new(world, sp, None));
    let shown = finish_sign_in(world, &mut Browser::default(), sp, &said).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account");
}

#[tokio::test]
async fn attack_70_an_assertion_that_is_wrapped_around_or_put_beside_the_signed_one() {
    let (world, idp, sp) = connected().await;
    check_accepted(&world, &idp, &sp).await;
    let words = Words::new(&world, &sp, None);
    let (signature, bare) = (idp.signs(&words), words.assertion(""));
    let signed = words.assertion(&signature);
    let evil = Words { id: "_evil".to_owned(), name_id: "root@example.com".to_owned(), ..words.clone() };
    let twin = Words { id: words.id.clone(), ..evil.clone() };
    let status = words.status("");
    // A response that is signed as a whole.
    let whole = words.response(&bare);
    let of_whole = idp.signature("_response", &whole, &words.algorithms);
    let around = |inner: &str| of_whole.replace("</ds:Signature>", &format!("{inner}</ds:Signature>"));
    let object =
        |inner: &str| signature.replace("</ds:Signature>", &format!("<ds:Object>{inner}</ds:Object></ds:Signature>"));
    let extensions = |inner: &str| format!("<samlp:Extensions>{inner}</samlp:Extensions>");
    let detail = words.status(&format!("<samlp:StatusDetail>{signed}</samlp:StatusDetail>"));
    let inside = |outer: &Words, inner: &str| {
        outer.assertion("").replace("</saml:Assertion>", &format!("{inner}</saml:Assertion>"))
    };
    let shapes = [
        (1, words.response_with("_outer", &format!("{}{status}", around(&whole)), &evil.assertion(""))),
        (2, words.response_with("_outer", &format!("{whole}{of_whole}{status}"), &evil.assertion(""))),
        (3, words.response(&format!("{}{signed}", evil.assertion("")))),
        (4, words.response(&inside(&evil, &signed))),
        (5, words.response(&format!("{}{bare}", evil.assertion(&signature)))),
        (6, words.response(&evil.assertion(&signature.replace("</ds:Signature>", &format!("{bare}</ds:Signature>"))))),
        (7, words.response_with("_response", &format!("{}{status}", extensions(&evil.assertion(""))), &signed)),
        (8, words.response(&evil.assertion(&object(&bare)))),
        (9, words.response_with("_response", &detail, &evil.assertion(""))),
    ];
    for (number, document) in shapes {
        let before = world.head().await;
        let shown = post_response(&world, &sp, &document).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "wrapping {number} was believed: {shown:?}");
        assert_eq!((world.head().await, world.last_event().await.0.as_str()), (before + 1, "auth.sign_in.refused"));
    }
    // The same with equal ids, in a fresh world whose rate limits are not used up.
    let (world, idp, sp) = connected().await;
    let words = Words::new(&world, &sp, None);
    let (signed, twin) = (words.assertion(&idp.signs(&words)), Words { id: words.id.clone(), ..twin });
    for document in [
        words.response(&format!("{}{signed}", twin.assertion(""))),
        words.response(&format!("{signed}{}", twin.assertion(""))),
        words.response(&inside(&twin, &signed)),
    ] {
        refused(&world, &sp, &document, "saml_duplicate_id").await;
    }
}

#[tokio::test]
async fn attack_71_a_comment_in_the_name_of_whom_it_is_about() {
    let (world, idp, sp) = connected().await;
    // The signature covers the whole text around the comment, so the subject is the whole name: its domain is none of this provider's.
    let words = Words { name_id: "root@example.com.evil.example".to_owned(), ..Words::new(&world, &sp, None) };
    let signed = idp.says(&words);
    let cut = signed.replace("root@example.com.evil.example", "root@example.com<!-- -->.evil.example");
    assert_ne!(cut, signed);
    refused(&world, &sp, &cut, "saml_subject").await;
    // A name in the provider's own domain is read as a whole around a comment.
    let signed = idp.says(&Words::new(&world, &sp, None));
    let cut = signed.replace(ADA, "ada@exam<!-- -->ple.com");
    let shown = finish_sign_in(&world, &mut Browser::default(), &sp, &cut).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account");
    assert!(world.people_named(ADA).await, "somebody else is signed in");
}

#[tokio::test]
async fn attack_72_two_elements_of_one_id_whatever_it_is_called() {
    let (world, idp, sp) = connected().await;
    let words = Words::new(&world, &sp, None);
    let signed = words.assertion(&idp.signs(&words));
    for name in ["ID", "Id", "id", "xml:id", "AssertionID"] {
        let other = format!("<samlp:Extensions><x xmlns=\"urn:x\" {name}=\"{}\"></x></samlp:Extensions>", words.id);
        let before = format!("{other}{}", words.status(""));
        refused(&world, &sp, &words.response_with("_response", &before, &signed), "saml_duplicate_id").await;
    }
    check_accepted(&world, &idp, &sp).await;
}

#[tokio::test]
async fn attack_73_an_assertion_that_comes_a_second_time_or_many_times_at_once() {
    let (world, idp, sp) = connected().await;
    let said = idp.says(&Words::new(&world, &sp, None));
    // Verification alone does not consume it: it is accepted any number of times before somebody signs in with it.
    let ways = join_all((0..8).map(|_| async { post_response(&world, &sp, &said).await.leads_to().0 })).await;
    let (world, before) = (&world, world.head().await);
    let shown =
        join_all(ways.iter().map(|way| async move { Browser::default().open(&format!("{}{way}", world.url)).await }))
            .await;
    let signed_in = shown.iter().filter(|shown| shown.status == StatusCode::SEE_OTHER).count();
    assert_eq!(signed_in, 1, "{:?}", shown.iter().map(|shown| shown.status).collect::<Vec<_>>());
    let events = world.events().await.split_off(usize::try_from(before).unwrap());
    let count = |kind: &str| events.iter().filter(|(event, _)| event == kind).count();
    assert_eq!((count("auth.session.started"), count("auth.sign_in.refused")), (1, 7), "{events:?}");
    assert_eq!(count("auth.saml_assertion.used"), 1, "{events:?}");
    // It stays consumed later, and for other processes, because the log records it.
    let again = finish_sign_in(world, &mut Browser::default(), &sp, &said).await;
    assert_eq!((again.status, again.headers.get("set-cookie")), (StatusCode::FORBIDDEN, None), "{again:?}");
    assert_eq!(world.last_event().await.1["reason"], "saml_replayed");
}

#[tokio::test]
async fn attack_74_an_assertion_for_another_audience() {
    let (world, idp, sp) = connected().await;
    for audience in ["https://other.example.com/metadata", &format!("{}x", sp.entity_id), "", &world.issuer()] {
        let words = Words { audience: audience.to_owned(), ..Words::new(&world, &sp, None) };
        refused(&world, &sp, &idp.says(&words), "saml_audience").await;
    }
    // Without an audience restriction it is refused as well.
    let words = Words::new(&world, &sp, None);
    let open = words.assertion("").replace(
        &format!(
            "<saml:AudienceRestriction><saml:Audience>{}</saml:Audience></saml:AudienceRestriction>",
            words.audience
        ),
        "",
    );
    let signature = idp.signature(&words.id, &open, &words.algorithms);
    let signed = open.replace("</saml:Issuer>", &format!("</saml:Issuer>{signature}"));
    refused(&world, &sp, &words.response(&signed), "saml_audience").await;
    check_accepted(&world, &idp, &sp).await;
}

#[tokio::test]
async fn attack_75_an_assertion_that_was_sent_to_somebody_else() {
    let (world, idp, sp) = connected().await;
    let elsewhere = "https://other.example.com/acs".to_owned();
    let words = Words { recipient: elsewhere.clone(), ..Words::new(&world, &sp, None) };
    refused(&world, &sp, &idp.says(&words), "saml_recipient").await;
    let words = Words { destination: Some(elsewhere), ..Words::new(&world, &sp, None) };
    refused(&world, &sp, &idp.says(&words), "saml_destination").await;
    // With another subject confirmation method than bearer.
    let words = Words::new(&world, &sp, None);
    let held = words.assertion("").replace("cm:bearer", "cm:holder-of-key");
    let signature = idp.signature(&words.id, &held, &words.algorithms);
    let signed = held.replace("</saml:Issuer>", &format!("</saml:Issuer>{signature}"));
    refused(&world, &sp, &words.response(&signed), "saml_recipient").await;
    check_accepted(&world, &idp, &sp).await;
}

#[tokio::test]
async fn attack_76_an_assertion_of_yesterday_or_tomorrow() {
    let (world, idp, sp) = connected().await;
    let now = world.now();
    let second = TimeDelta::seconds(1);
    // The leeway for clocks is five seconds here.
    for (from, until) in [
        (now - TimeDelta::days(2), now - TimeDelta::days(1)),
        (now - TimeDelta::minutes(9), now - second * 6),
        (now + second * 7, now + TimeDelta::minutes(9)),
    ] {
        let words = Words { from, until, ..Words::new(&world, &sp, None) };
        refused(&world, &sp, &idp.says(&words), "saml_time").await;
    }
    let words = Words { authenticated_at: now + TimeDelta::hours(1), ..Words::new(&world, &sp, None) };
    refused(&world, &sp, &idp.says(&words), "saml_time").await;
    let late = Words { until: now - second * 3, ..Words::new(&world, &sp, None) };
    let shown = finish_sign_in(&world, &mut Browser::default(), &sp, &idp.says(&late)).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account", "clocks may differ a little");
}

#[tokio::test]
async fn attack_77_an_assertion_that_nobody_or_somebody_else_signed_and_a_provider_without_a_certificate() {
    let (world, idp, sp) = connected().await;
    let words = Words::new(&world, &sp, None);
    refused(&world, &sp, &words.response(&words.assertion("")), "saml_not_signed").await;
    // Signed by another key, whose certificate the document contains.
    let stranger = Idp::new(&world);
    refused(&world, &sp, &stranger.says(&words), "saml_signature").await;
    // Changed after it was signed.
    let signed = idp.says(&words);
    refused(&world, &sp, &signed.replace(ADA, "eve@example.com"), "saml_signature").await;
    refused(&world, &sp, &signed.replace("Value>staff<", "Value>boss<"), "saml_signature").await;
    // The signature of another element.
    let elsewhere = idp.signature("_response", &words.assertion(""), &words.algorithms);
    refused(&world, &sp, &words.response(&words.assertion(&elsewhere)), "saml_not_signed").await;
    // A provider without a certificate in its metadata can't be connected.
    let before = world.head().await;
    let metadata = idp.metadata();
    let (start, rest) = metadata.split_once("<KeyDescriptor").unwrap();
    let bare = format!("{start}{}", rest.split_once("</KeyDescriptor>").unwrap().1);
    let fields = SamlConnectionFields { metadata: bare, ..idp.fields() };
    let refusal = world
        .try_as_admin(&ChangeSamlConnection { connection: sp.id.parse().unwrap(), fields, reach: Reach::Everything })
        .await
        .unwrap_err();
    assert_eq!(errors(&refusal), [("/metadata", "saml_metadata")]);
    assert_eq!(world.head().await, before, "something was written");
    check_accepted(&world, &idp, &sp).await;
}

#[tokio::test]
async fn attack_78_a_document_that_reads_files_or_addresses() {
    let (world, idp, sp) = connected().await;
    let canary = Canary::listen().await;
    let words = Words { name_id: "&e;".to_owned(), ..Words::new(&world, &sp, None) };
    let signed = idp.says(&words);
    for declared in [
        "<!DOCTYPE r [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>".to_owned(),
        format!("<!DOCTYPE r [<!ENTITY e SYSTEM \"{}/e\">]>", canary.url),
        format!("<!DOCTYPE r SYSTEM \"{}/dtd\">", canary.url),
        format!("<!DOCTYPE r [<!ENTITY % p SYSTEM \"{}/p\"> %p;]>", canary.url),
        "<!DOCTYPE r>".to_owned(),
    ] {
        refused(&world, &sp, &format!("{declared}{signed}"), "saml_not_xml").await;
        let before = world.head().await;
        let metadata = format!("{declared}{}", idp.metadata());
        let fields = SamlConnectionFields { metadata, ..idp.fields() };
        let refusal = world.try_as_admin(&CreateSamlConnection { fields, reach: Reach::Everything }).await.unwrap_err();
        assert_eq!(errors(&refusal), [("/metadata", "saml_not_xml")]);
        assert_eq!(world.head().await, before, "something was written");
    }
    // A signature's reference to another document is not followed either.
    let words = Words::new(&world, &sp, None);
    let signed = idp.says(&words).replace(&format!("URI=\"#{}\"", words.id), &format!("URI=\"{}/r\"", canary.url));
    refused(&world, &sp, &signed, "saml_not_signed").await;
    canary.heard_nothing().await;
}

#[tokio::test]
async fn attack_79_a_document_that_grows_when_it_is_read() {
    let (world, idp, sp) = connected().await;
    let mut entities = "<!ENTITY e0 \"ha\">".to_owned();
    for level in 1..12 {
        let before = format!("&e{};", level - 1).repeat(10);
        entities = format!("{entities}<!ENTITY e{level} \"{before}\">");
    }
    let words = Words { name_id: "&e11;".to_owned(), ..Words::new(&world, &sp, None) };
    let bomb = format!("<!DOCTYPE r [{entities}]>{}", idp.says(&words));
    let began = worked();
    refused(&world, &sp, &bomb, "saml_not_xml").await;
    // Deeply nested elements.
    let deep = format!("{}{}", "<a>".repeat(10_000), "</a>".repeat(10_000));
    refused(&world, &sp, &words.response(&deep), "saml_not_xml").await;
    // As many names, attributes and namespaces as fit.
    let wide = (0..3_000).map(|n| format!("<a xmlns:n{n}=\"urn:{n}\"/>")).collect::<Vec<_>>().concat();
    refused(&world, &sp, &words.response(&wide), "saml_structure").await;
    let many = (0..4_000).map(|n| format!(" xmlns:n{n}=\"urn:{n}\"")).collect::<Vec<_>>().concat();
    refused(&world, &sp, &words.response(&format!("<a{many}/>")), "saml_structure").await;
    // A generous bound: exponential growth would take minutes and all memory.
    let took = worked().saturating_sub(began);
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test]
async fn attack_80_a_document_that_is_long_or_compressed() {
    let (world, idp, sp) = connected().await;
    let mut deflater = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        deflater.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = STANDARD.encode(deflater.finish().unwrap());
    let before = world.head().await;
    let shown = post_encoded(&world, &sp, &bomb).await;
    assert_eq!(shown.status, StatusCode::FORBIDDEN, "{shown:?}");
    // Posted data is never inflated: it is parsed as it is, and is no XML.
    assert_eq!(world.last_event().await.1["reason"], "saml_not_xml");
    assert_eq!(world.head().await, before + 1);
    let long = words_of_length(&world, &idp, &sp, 200 << 10);
    refused(&world, &sp, &long, "saml_too_long").await;
    let before = world.head().await;
    let huge = post_encoded(&world, &sp, &"A".repeat(1 << 20)).await;
    assert_eq!(huge.status, StatusCode::BAD_REQUEST, "{huge:?}");
    assert_eq!(world.head().await, before, "something was written");
    // The redirect binding, which would inflate it, is not available here.
    let start = bomb.get(..4_000).unwrap();
    let by_redirect = Browser::default().visit(&world, &format!("saml/{}/acs?SAMLResponse={start}", sp.id)).await;
    assert!(by_redirect.status.is_client_error(), "{by_redirect:?}");
    check_accepted(&world, &idp, &sp).await;
}

#[tokio::test]
async fn attack_81_a_signature_that_is_weak_or_that_anybody_can_make() {
    let (world, idp, sp) = connected().await;
    let words = Words::new(&world, &sp, None);
    let (sha256, rsa) = (words.algorithms.1.clone(), words.algorithms.0.clone());
    for (method, digest) in [
        ("http://www.w3.org/2000/09/xmldsig#rsa-sha1", sha256.as_str()),
        ("http://www.w3.org/2000/09/xmldsig#dsa-sha1", &sha256),
        ("http://www.w3.org/2000/09/xmldsig#hmac-sha1", &sha256),
        ("http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", &sha256),
        ("http://www.w3.org/2001/04/xmldsig-more#rsa-md5", &sha256),
        ("none", &sha256),
        (&rsa, "http://www.w3.org/2000/09/xmldsig#sha1"),
        (&rsa, "http://www.w3.org/2001/04/xmldsig-more#md5"),
    ] {
        let algorithms = (method.to_owned(), digest.to_owned());
        refused(&world, &sp, &idp.says(&Words { algorithms, ..words.clone() }), "saml_algorithm").await;
    }
    // An algorithm for another type of key than the provider's.
    let (world, idp, sp) = connected().await;
    let algorithms = ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256".to_owned(), sha256);
    let words = Words { algorithms, ..Words::new(&world, &sp, None) };
    refused(&world, &sp, &idp.says(&words), "saml_signature").await;
    // Transforms that leave parts unsigned.
    let words = Words::new(&world, &sp, None);
    let transform = "http://www.w3.org/TR/1999/REC-xpath-19991116";
    let signed = idp.says(&words).replacen("http://www.w3.org/2000/09/xmldsig#enveloped-signature", transform, 1);
    refused(&world, &sp, &signed, "saml_algorithm").await;
    check_accepted(&world, &idp, &sp).await;
}

#[tokio::test]
async fn attack_82_an_answer_that_is_brought_to_somebody_elses_browser() {
    let world = World::start().await;
    let idp = Idp::new(&world);
    let sp = idp.connect(&world, false).await;
    let mut eve = Browser::default();
    let request = start_sign_in(&world, &mut eve, &sp).await;
    let said = idp.says(&Words::new(&world, &sp, Some(&request)));
    let way = format!("{}{}", world.url, post_response(&world, &sp, &said).await.leads_to().0);
    // Ada follows Eve's link: without an authentication request of her own, and with one.
    let mut ada = Browser::default();
    for _ in 0..2 {
        let before = world.head().await;
        let shown = ada.open(&way).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "{shown:?}");
        assert!(!ada.cookies.contains_key("inopsio-acme"), "{:?}", ada.cookies);
        assert_eq!(world.last_event().await.1["reason"], "saml_browser");
        assert_eq!(world.head().await, before + 1, "more was written than the record");
        start_sign_in(&world, &mut ada, &sp).await;
    }
    // An unsolicited response, or one to a request that is not ours, is refused at once.
    refused(&world, &sp, &idp.says(&Words::new(&world, &sp, None)), "saml_unsolicited").await;
    refused(&world, &sp, &idp.says(&Words::new(&world, &sp, Some("_made-up"))), "saml_request").await;
    // A response to one request that contains an assertion for another.
    let other = start_sign_in(&world, &mut eve, &sp).await;
    let words = Words::new(&world, &sp, Some(&request));
    let signed = words.assertion(&idp.signs(&words));
    let around = Words { in_response_to: Some(other), ..words };
    refused(&world, &sp, &around.response(&signed), "saml_request").await;
    // A request from an hour ago.
    world.clock.advance(TimeDelta::hours(1));
    refused(&world, &sp, &idp.says(&Words::new(&world, &sp, Some(&request))), "saml_request").await;
}

#[tokio::test]
async fn attack_83_a_provider_that_speaks_of_whom_it_may_not_or_in_anothers_name() {
    let (world, idp, sp) = connected().await;
    world.person("root@other.example").await;
    let names = ["root@other.example", "root", "", "root@sub.example.com", "root@example.com@other.example"];
    for name_id in names {
        let words = Words { name_id: name_id.to_owned(), ..Words::new(&world, &sp, None) };
        refused(&world, &sp, &idp.says(&words), "saml_subject").await;
    }
    let words = Words { issuer: "https://other.example/metadata".to_owned(), ..Words::new(&world, &sp, None) };
    refused(&world, &sp, &idp.says(&words), "saml_issuer").await;
    let words =
        Words { status: "urn:oasis:names:tc:SAML:2.0:status:Responder".to_owned(), ..Words::new(&world, &sp, None) };
    refused(&world, &sp, &idp.says(&words), "saml_status").await;
    // Values without a mapping give no roles.
    let words = Words { groups: vec!["admin".to_owned(), "Staff".to_owned()], ..Words::new(&world, &sp, None) };
    finish_sign_in(&world, &mut Browser::default(), &sp, &idp.says(&words)).await;
    assert_eq!(world.person_of(ADA).await.roles, Vec::<String>::new());
    // Another tenant's connection is unknown, even with this tenant's assertions.
    let before = world.head().await;
    let acs = sp.acs.replace("/t/acme/", "/t/other/");
    let shown = post_response(&world, &Sp { acs, ..sp.clone() }, &idp.says(&Words::new(&world, &sp, None))).await;
    assert_eq!((shown.status, world.head().await), (StatusCode::NOT_FOUND, before), "{shown:?}");
}

#[tokio::test]
async fn attack_84_metadata_that_leads_us_or_people_somewhere() {
    let (world, idp, _) = connected().await;
    let canary = Canary::listen().await;
    let before = world.head().await;
    for sign_in in [
        "http://169.254.169.254/latest/meta-data",
        "http://idp.example.com/sso",
        "javascript:alert(1)",
        "https://user@idp.example.com/sso",
        "https://idp.example.com/sso#x",
        "file:///etc/passwd",
        "/sso",
        "https://idp.example.com/ sso",
        "https://idp.example.com/s\u{202e}so",
        "https://idp.example.com:0/sso",
    ] {
        let metadata =
            idp.metadata().replace(crate::idp::SSO, sign_in).replace(crate::idp::ENTITY, "https://new.example");
        let fields = SamlConnectionFields { metadata, domains: vec!["new.example".to_owned()], ..idp.fields() };
        let refusal = world.try_as_admin(&CreateSamlConnection { fields, reach: Reach::Everything }).await.unwrap_err();
        assert_eq!(errors(&refusal), [("/metadata", "saml_metadata")], "{sign_in}");
    }
    for entity in ["", " ", "https://idp.example/\u{202e}a", "https://idp.example/ a", "https://idp.example/\u{a0}"] {
        let metadata = idp.metadata().replace(crate::idp::ENTITY, entity);
        let fields = SamlConnectionFields { metadata, domains: vec!["new.example".to_owned()], ..idp.fields() };
        let refusal = world.try_as_admin(&CreateSamlConnection { fields, reach: Reach::Everything }).await.unwrap_err();
        assert_eq!(errors(&refusal), [("/metadata", "saml_metadata")], "{entity:?}");
    }
    assert_eq!(world.head().await, before, "something was written");
    // Other addresses in the metadata are stored as text and not requested.
    let metadata = idp.metadata().replace(crate::idp::ENTITY, &format!("{}/entity", canary.url)).replace(
        "<IDPSSODescriptor",
        &format!(
            "<Extensions><x xmlns=\"urn:x\" href=\"{0}/x\"/></Extensions><AdditionalMetadataLocation namespace=\"urn:x\">\
             {0}/more</AdditionalMetadataLocation><IDPSSODescriptor errorURL=\"{0}/error\"",
            canary.url
        ),
    );
    let fields = SamlConnectionFields { metadata, domains: vec!["new.example".to_owned()], ..idp.fields() };
    world.run_as_admin(&CreateSamlConnection { fields, reach: Reach::Everything }).await;
    canary.heard_nothing().await;
}

/// A response with an assertion of this length.
fn words_of_length(world: &World, idp: &Idp, sp: &Sp, length: usize) -> String {
    idp.says(&Words { groups: vec!["x".repeat(length)], ..Words::new(world, sp, None) })
}

/// The pointers and codes of a refusal's errors.
fn errors(refusal: &Refusal) -> Vec<(&str, &str)> {
    refusal.errors().iter().map(|error| (error.pointer.as_str(), error.code)).collect()
}

/// A server that must not get any request.
struct Canary {
    listener: tokio::net::TcpListener,
    url: String,
}

impl Canary {
    async fn listen() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Checks that nobody has connected: a connection would wait in the listener's queue.
    async fn heard_nothing(self) {
        let heard = tokio::time::timeout(Duration::from_millis(200), self.listener.accept()).await;
        assert!(heard.is_err(), "somebody called the canary");
    }
}
