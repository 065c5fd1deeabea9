//! Responses signed by an independent program (`xmlsec1 --sign`), as providers write them: not in canonical form, with prefixes of their
//! own, inclusive namespaces, entities and CDATA. The private keys were thrown away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use saml::{Asserted, Certificate, Expected, Fault, IdentityProvider, Own, ServiceProvider, WebSso};

/// Signed by RSA with SHA-512, and on the two curves.
const SIGNED: [(&str, &str); 3] = [
    ("rsa", include_str!("fixtures/rsa.xml")),
    ("p256", include_str!("fixtures/p256.xml")),
    ("p384", include_str!("fixtures/p384.xml")),
];

fn certificate(document: &str) -> Certificate {
    let after = document.split_once("<ds:X509Certificate>").unwrap().1;
    Certificate::from_base64(after.split_once('<').unwrap().0).unwrap()
}

fn accept(name: &str, document: &str, certificates: Vec<Certificate>) -> Result<Asserted, Fault> {
    let own = Own {
        entity_id: "https://sp.example.com/metadata".to_owned(),
        acs: "https://sp.example.com/acs".to_owned(),
        slo: "https://sp.example.com/slo".to_owned(),
    };
    let provider = IdentityProvider {
        entity_id: format!("https://idp.example.com/{name}"),
        sign_in_url: "https://idp.example.com/sso".to_owned(),
        sign_out_url: None,
        sign_out_by_post: false,
        sign_out_answer_url: None,
        certificates,
    };
    let now: DateTime<Utc> = "2026-11-26T01:01:00Z".parse().unwrap();
    let (asked, skew) = (|_: &str| false, TimeDelta::seconds(5));
    let expected = Expected { own: &own, provider: &provider, key: None, asked: &asked, unsolicited: true, now, skew };
    WebSso.accept(&STANDARD.encode(document), &expected)
}

#[test]
fn what_xmlsec1_signed_is_verified_and_read_as_it_was_meant() {
    for (name, document) in SIGNED {
        let said = accept(name, document, vec![certificate(document)]).unwrap();
        assert_eq!((said.id, said.name_id.value.as_str()), (format!("_{name}"), "ada@example.com"));
        assert_eq!(said.authenticated_at, "2026-11-26T00:30:00.5Z".parse::<DateTime<Utc>>().unwrap());
        let groups: Vec<_> = said.attributes.iter().flat_map(|(_, values)| values).map(String::as_str).collect();
        assert_eq!(groups, ["R&D <Berlin>", "café", "a < b"]);
    }
}

#[test]
fn each_letter_counts_and_so_does_the_key() {
    let others: Vec<_> = SIGNED.iter().map(|(_, document)| certificate(document)).collect();
    for (index, (name, document)) in SIGNED.into_iter().enumerate() {
        let own = certificate(document);
        for (from, to) in [
            ("ada@example.com", "eve@example.com"),
            ("R&amp;D", "R&amp;d"),
            ("00:30:00.5Z", "00:31:00.5Z"),
            // The signature covers white space between elements, too.
            ("</Subject>\n", "</Subject> \n"),
        ] {
            let changed = document.replace(from, to);
            assert_ne!(changed, document);
            assert_eq!(accept(name, &changed, vec![own.clone()]), Err(Fault::Signature), "{name}: {to}");
        }
        // Differences that the canonical form removes do not matter.
        let same = document.replace("<Issuer>", "<Issuer  >").replace("<!-- as", "<!-- as they come, as");
        assert!(accept(name, &same, vec![own.clone()]).is_ok());
        let mut strangers = others.clone();
        strangers.remove(index);
        assert_eq!(accept(name, document, strangers.clone()), Err(Fault::Signature), "{name}: by others");
        strangers.push(own);
        assert!(accept(name, document, strangers).is_ok(), "{name}: one of several certificates");
        assert_eq!(accept(name, document, vec![]), Err(Fault::NoCertificate), "{name}: by nobody");
    }
}
