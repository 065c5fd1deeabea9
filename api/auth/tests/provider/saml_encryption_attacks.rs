//! Attacks on encrypted assertions. The numbers are those of docs/src/threat-model.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use testbed::{Browser, Shown, form};

use crate::encrypting::{Encryption, key_of};
use crate::idp::{ADA, Idp, Sp, Words, post_response, refused};
use crate::saml_attacks::connected;
use crate::world::World;

/// Like [`connected`], but behind a proxy, so that each document can come from another network and the rate limit is not reached.
async fn connected_behind_a_proxy() -> (World, Idp, Sp) {
    let world = World::behind(&["127.0.0.0/8"]).await;
    let idp = Idp::new(&world);
    let sp = idp.connect(&world, true).await;
    (world, idp, sp)
}

async fn sent_from(world: &World, sp: &Sp, network: usize, document: &str) -> Shown {
    let text = STANDARD.encode(document);
    let request = form(world.http.post(&sp.acs), &[("SAMLResponse", &text)]);
    Browser::default().send(request.header("x-forwarded-for", format!("198.51.100.{network}"))).await
}

#[tokio::test]
async fn attack_119_an_encrypted_assertion_that_is_wrapped_that_nobody_signed_or_that_is_hidden() {
    let (world, idp, sp) = connected_behind_a_proxy().await;
    let (key, how) = (key_of(&world, &sp).await, Encryption::default());
    let words = Words::new(&world, &sp, None);
    let (signature, bare) = (idp.signs(&words), words.assertion(""));
    let signed = words.assertion(&signature);
    let sealed = |text: &str| words.response(&how.of(&key, text));
    let evil = Words { id: "_evil".to_owned(), name_id: "root@example.com".to_owned(), ..words.clone() };
    let inside = |outer: &Words, inner: &str| {
        outer.assertion("").replace("</saml:Assertion>", &format!("{inner}</saml:Assertion>"))
    };
    let object =
        |inner: &str| signature.replace("</ds:Signature>", &format!("<ds:Object>{inner}</ds:Object></ds:Signature>"));
    let twin = Words { id: words.id.clone(), ..evil.clone() };
    // The wrappings of attack 70, encrypted: anybody with our metadata can encrypt anything.
    let within = [
        bare.clone(),
        evil.assertion(""),
        format!("{}{signed}", evil.assertion("")),
        format!("{signed}{}", evil.assertion("")),
        inside(&evil, &signed),
        format!("{bare}{}", evil.assertion(&signature)),
        evil.assertion(&signature.replace("</ds:Signature>", &format!("{bare}</ds:Signature>"))),
        evil.assertion(&object(&bare)),
        inside(&twin, &signed),
        signed.replace(ADA, "root@example.com"),
        // Nested encryption, a response, two documents, and text that closes the element which we put around it.
        how.of(&key, &signed),
        words.response(&signed),
        format!("{signed}</opened><opened>{}", evil.assertion("")),
        format!("<x>{signed}</x>"),
        format!("<!DOCTYPE a>{signed}"),
        String::new(),
    ];
    for (number, text) in within.iter().enumerate() {
        let before = world.head().await;
        let shown = sent_from(&world, &sp, number, &sealed(text)).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "what was sealed as number {number} was believed: {shown:?}");
        assert_eq!(world.last_event().await.1["reason"], "saml_encryption", "number {number}");
        assert_eq!(world.head().await, before + 1);
    }
}

#[tokio::test]
async fn attack_119_around_an_encrypted_assertion_stands_nothing_that_is_read_instead() {
    let (world, idp, sp) = connected().await;
    let (key, how) = (key_of(&world, &sp).await, Encryption::default());
    let words = Words::new(&world, &sp, None);
    let signed = words.assertion(&idp.signs(&words));
    let sealed = how.of(&key, &signed);
    let evil = Words { id: "_evil".to_owned(), name_id: "root@example.com".to_owned(), ..words.clone() };
    for around in [
        format!("{}{sealed}", evil.assertion("")),
        format!("{sealed}{signed}"),
        format!("{sealed}{sealed}"),
        format!("<samlp:Extensions>{}</samlp:Extensions>{sealed}", evil.assertion("")),
        format!("{sealed}<samlp:Extensions>{}</samlp:Extensions>", idp.signs(&words)),
        sealed.replace("</saml:EncryptedAssertion>", &format!("{}</saml:EncryptedAssertion>", evil.assertion(""))),
    ] {
        refused(&world, &sp, &words.response(&around), "saml_structure").await;
    }
    // The provider's signature around the ciphertext does not hold for anything in its place.
    let whole = words.response(&sealed);
    assert_eq!(post_response(&world, &sp, &whole).await.status, StatusCode::SEE_OTHER, "the same, as it should be");
}

#[tokio::test]
async fn attack_120_who_makes_ciphertexts_is_not_told_what_becomes_of_them() {
    let (world, idp, sp) = connected_behind_a_proxy().await;
    let key = key_of(&world, &sp).await;
    let words = Words::new(&world, &sp, None);
    let signed = words.assertion(&idp.signs(&words));
    let stranger = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).unwrap().to_public_key();
    let (chained, sealed) = (Encryption { cipher: "aes256-cbc", ..Encryption::default() }, Encryption::default());
    let cut = |bytes: &[u8], length: usize| bytes[..length].to_vec();
    let (good, authentic) = (chained.encrypts(signed.as_bytes()), sealed.encrypts(signed.as_bytes()));
    let changed = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let (wrapped, method) = chained.wraps(&key);
    let answers = [
        // Another key; a wrapped key that was changed, truncated or is empty.
        chained.of(&stranger, &signed),
        chained.element(&changed(&wrapped, 7), &method, &good),
        chained.element(&cut(&wrapped, 255), &method, &good),
        chained.element(&[], &method, &good),
        // A key of the wrong length for the cipher.
        Encryption { cipher: "aes128-cbc", ..chained.clone() }.element(&wrapped, &method, &good),
        // A plaintext with wrong padding, that is no text, no XML or not signed, or whose first block was changed.
        chained.of_bytes(&key, &changed(&good, good.len() - 17)),
        chained.of_bytes(&key, &cut(&good, good.len() - 16)),
        chained.of_bytes(&key, &cut(&good, 16)),
        chained.of_bytes(&key, &cut(&good, 30)),
        chained.of_bytes(&key, &changed(&good, 2)),
        chained.of_bytes(&key, &changed(&good, 40)),
        chained.of(&key, "no XML"),
        chained.of(&key, &words.assertion("")),
        sealed.of_bytes(&key, &changed(&authentic, 20)),
        sealed.of_bytes(&key, &cut(&authentic, 11)),
    ];
    let mut heard = std::collections::BTreeSet::new();
    for (number, answer) in answers.iter().enumerate() {
        let shown = sent_from(&world, &sp, number, &words.response(answer)).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "{number}: {shown:?}");
        let (event, mut said) = world.last_event().await;
        // The origin differs, as each document comes from another network.
        said.as_object_mut().unwrap().remove("origin");
        heard.insert((event, said.to_string(), shown.body));
    }
    assert_eq!(heard.len(), 1, "answers differ: {heard:#?}");
    assert!(heard.first().unwrap().1.contains("saml_encryption"));
}

#[tokio::test]
async fn attack_121_an_assertion_that_is_encrypted_in_a_way_that_gives_it_away() {
    let (world, idp, sp) = connected().await;
    let key = key_of(&world, &sp).await;
    let words = Words::new(&world, &sp, None);
    let signed = words.assertion(&idp.signs(&words));
    let (how, sealed) = (Encryption::default(), Encryption::default().of(&key, &signed));
    let enc = "http://www.w3.org/2001/04/xmlenc#";
    let weak = Encryption { transport: "rsa-1_5", ..how.clone() }.of(&key, &signed);
    for document in [
        // RSA with PKCS #1 v1.5 (Bleichenbacher), even if everything else is right.
        weak,
        sealed.replace("http://www.w3.org/2009/xmlenc11#aes256-gcm", &format!("{enc}tripledes-cbc")),
        sealed.replace("http://www.w3.org/2009/xmlenc11#aes256-gcm", "none"),
        sealed.replace("rsa-oaep-mgf1p", "kw-aes256"),
        sealed.replace("xmldsig#sha1", "xmldsig-more#md5"),
        sealed.replace("<ds:DigestMethod", "<xenc:OAEPparams>AAAA</xenc:OAEPparams><ds:DigestMethod"),
    ] {
        refused(&world, &sp, &words.response(&document), "saml_cipher").await;
    }
    for document in [
        sealed.replace("#Element", "#Content"),
        sealed.replace("<xenc:CipherValue>", "<xenc:CipherReference URI=\"http://127.0.0.1/\"/><xenc:CipherValue>-"),
        sealed.replace("</ds:KeyInfo>", "<xenc:EncryptedKey></xenc:EncryptedKey></ds:KeyInfo>"),
        sealed.split_once("<xenc:EncryptedKey").unwrap().0.to_owned()
            + sealed.split_once("</xenc:EncryptedKey>").unwrap().1,
    ] {
        refused(&world, &sp, &words.response(&document), "saml_structure").await;
    }
}
