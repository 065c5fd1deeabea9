//! Encrypted name IDs, in assertions and in logout requests. The numbers are those of docs/src/threat-model.md.

use reqwest::StatusCode;
use rsa::RsaPublicKey;
use testbed::Browser;

use crate::encrypting::{Encryption, key_of};
use crate::identity_provider::algorithms;
use crate::idp::{ADA, Idp, Sp, Words, finish_sign_in, refused};
use crate::saml_attacks::connected;
use crate::saml_logout::{self, LogoutRequest, RSA_SHA256, is_signed_in, query, signed_in_through};
use crate::saml_logout_post::{brings, with};
use crate::world::World;

const SPACE: &str = " xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"";

/// An element `EncryptedID` that contains this text, encrypted.
fn encrypted(how: &Encryption, key: &RsaPublicKey, text: &str) -> String {
    how.of(key, text).replace("EncryptedAssertion", "EncryptedID")
}

fn name(text: &str) -> String {
    format!("<saml:NameID>{text}</saml:NameID>")
}

/// A signed assertion with this element in place of the name ID.
fn assertion(idp: &Idp, words: &Words, name: &str) -> String {
    let bare = words.assertion("");
    let (before, after) = bare.split_once("<saml:NameID").unwrap();
    let behind = after.split_once("</saml:NameID>").unwrap().1;
    // In canonical form a namespace is declared only once.
    let bare = format!("{before}{}{behind}", name.replace(SPACE, ""));
    with(&bare, &idp.signature(&words.id, &bare, &words.algorithms))
}

/// A logout request with this element in place of the name ID, in canonical form.
fn request(world: &World, sp: &Sp, name: &str) -> String {
    let document = LogoutRequest::new(sp).document(world);
    let plain = format!("<saml:NameID{SPACE}>{ADA}</saml:NameID>");
    assert!(document.contains(&plain), "{document}");
    document.replace(&plain, name)
}

#[tokio::test]
async fn the_name_in_an_assertion_may_be_encrypted_and_be_so_once_more_with_all_of_it() {
    let (world, idp, sp) = connected().await;
    let (key, how) = (key_of(&world, &sp).await, Encryption::default());
    let words = Words::new(&world, &sp, None);
    let of_name = assertion(&idp, &words, &encrypted(&how, &key, &name(ADA)));
    assert!(!of_name.contains(ADA));
    let again = Words::new(&world, &sp, None);
    let of_both = how.of(&key, &assertion(&idp, &again, &encrypted(&how, &key, &name(ADA))));
    for document in [words.response(&of_name), again.response(&of_both)] {
        let mut browser = Browser::default();
        let shown = finish_sign_in(&world, &mut browser, &sp, &document).await;
        assert_eq!(shown.leads_to().0, "/t/acme/account", "{shown:?}");
        assert!(is_signed_in(&world, &mut browser).await);
    }
}

#[tokio::test]
async fn the_name_in_a_request_to_sign_out_may_be_encrypted_in_an_address_and_in_a_form() {
    let (world, idp, sp, mut browser) = signed_in_through(|metadata| metadata).await;
    let key = key_of(&world, &sp).await;
    let chained = Encryption { cipher: "aes256-cbc", ..Encryption::default() };
    let document = request(&world, &sp, &encrypted(&chained, &key, &name(ADA)));
    let signed = with(&document, &idp.signature("_out", &document, &algorithms()));
    let shown = brings(&world, &mut browser, &sp, "SAMLRequest", &signed).await;
    assert_eq!(shown.status, StatusCode::SEE_OTHER, "{shown:?}");
    assert!(!is_signed_in(&world, &mut browser).await);

    let (world, idp, sp, mut browser) = signed_in_through(|metadata| metadata).await;
    let key = key_of(&world, &sp).await;
    let document = request(&world, &sp, &encrypted(&Encryption::default(), &key, &name(ADA)));
    let asked = query(&idp, "SAMLRequest", document.as_bytes(), None, RSA_SHA256);
    let shown = saml_logout::brings(&mut browser, &sp, &asked).await;
    assert_eq!(shown.status, StatusCode::SEE_OTHER, "{shown:?}");
    assert!(!is_signed_in(&world, &mut browser).await);
}

#[tokio::test]
async fn attack_133_a_name_that_somebody_encrypted_in_the_place_of_the_one_that_was_signed() {
    let (world, idp, sp) = connected().await;
    let (key, how) = (key_of(&world, &sp).await, Encryption::default());
    let stranger = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).unwrap().to_public_key();
    let words = Words::new(&world, &sp, None);
    let (own, evil) = (encrypted(&how, &key, &name(ADA)), encrypted(&how, &key, &name("root@example.com")));
    let says = |inside: &str| assertion(&idp, &words, inside);
    let twice = format!("{}{}", name(ADA), name("root@example.com"));
    let weak = Encryption { transport: "rsa-1_5", ..how.clone() };
    let (signed, value) = (says(&own), |text: &str| {
        text.rsplit_once("<xenc:CipherValue>").unwrap().1.split_once('<').unwrap().0.to_owned()
    });
    let cases = [
        (signed.replace(&value(&own), &value(&evil)), "saml_signature"),
        (says(&format!("{own}{}", name("root@example.com"))), "saml_structure"),
        (says(&format!("{own}{evil}")), "saml_structure"),
        (says(&encrypted(&weak, &key, &name(ADA))), "saml_cipher"),
        // What the decrypted text is must not be revealed, and only a single name ID is accepted.
        (says(&encrypted(&how, &stranger, &name(ADA))), "saml_encryption"),
        (says(&encrypted(&how, &key, &twice)), "saml_encryption"),
        (says(&encrypted(&how, &key, ADA)), "saml_encryption"),
        (says(&encrypted(&how, &key, &own)), "saml_encryption"),
        (says(&encrypted(&how, &key, &name(""))), "saml_encryption"),
    ];
    for (document, reason) in &cases {
        refused(&world, &sp, &words.response(document), reason).await;
    }
    let shown = finish_sign_in(&world, &mut Browser::default(), &sp, &words.response(&signed)).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account", "the same, as it should be");
}
