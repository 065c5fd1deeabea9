//! Tests of a tenant's provider by HTTP, as clients and browsers use it, on a real log. The user service is a double.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod ahead;
mod attacks;
mod by_the_letter;
mod denials;
mod device;
mod encrypting;
mod exchange;
mod flow;
mod form_post;
mod identity_provider;
mod idle;
mod idp;
mod keyboards;
mod meanwhile;
mod native;
mod own_picture;
mod pages;
mod passkey_attacks;
mod passkeys;
mod people;
mod racing;
mod reach;
mod recovery;
mod refused_bearers;
mod required;
mod saml;
mod saml_attacks;
mod saml_encrypted_names;
mod saml_encryption_attacks;
mod saml_logout;
mod saml_logout_post;
mod second_factor;
mod shared_browsers;
mod signing_keys;
mod soft_key;
mod userinfo;
mod world;
