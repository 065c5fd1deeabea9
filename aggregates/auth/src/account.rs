//! Accounts: the credentials of a user. An account has the id of its user; all other data of the user is in the user service.

use chrono::{DateTime, Utc};
use kernel::Personal;
use keys::Sealed;

use crate::{ClientId, Jwk, SessionId};

mod life;

pub use life::{Account, AccountCommand, AccountError, By, RESET_GOOD_FOR, Totp};

kernel::events! {
    /// Events of an account.
    pub enum AccountEvent of "auth.account" {
        /// A new password was set.
        PasswordSet = "auth.account.password_set" @ 1 {
            /// Argon2id hash of the password (PHC string), sealed.
            pub password: Sealed,
        },
        /// A link to set a new password was requested; it is sent by e-mail.
        PasswordResetRequested = "auth.account.password_reset_requested" @ 1 {
            /// Number of the link.
            pub turn: u32,
            /// When the link expires.
            pub until: DateTime<Utc>,
        },
        /// An authenticator (TOTP) was enrolled; its codes are required from now on.
        TotpEnrolled = "auth.account.totp_enrolled" @ 1 {
            /// Secret of the authenticator, sealed.
            pub secret: Sealed,
            /// Time step of the code that confirmed the enrolment; this code can't be used again.
            pub step: u64,
        },
        /// A code of the authenticator was used.
        TotpUsed = "auth.account.totp_used" @ 1 {
            /// Time step of the code (30 seconds each, since 1970); this code and earlier ones can't be used again.
            pub step: u64,
        },
        /// The authenticator was removed.
        TotpRemoved = "auth.account.totp_removed" @ 1 {},
        /// New recovery codes were set; earlier ones are no longer valid.
        RecoveryCodesSet = "auth.account.recovery_codes_set" @ 1 {
            /// SHA-256 hash of each code, hexadecimal. (A code has 80 random bits, so it can't be guessed.)
            pub hashes: Vec<String>,
        },
        /// A passkey was enrolled; it can be used instead of the password or after it.
        PasskeyEnrolled = "auth.account.passkey_enrolled" @ 1 {
            /// Credential id of the passkey, base64url-encoded.
            pub passkey: String,
            /// Name that the user gave the passkey.
            pub name: Personal<String>,
            /// Public key that verifies its signatures.
            pub key: Jwk,
            /// Signature counter of the passkey; 0 if it does not count.
            pub counter: u32,
            /// Whether the passkey may be synced between devices.
            pub synced: bool,
            /// Challenge that was signed, base64url-encoded; it can't be used again.
            pub challenge: String,
            pub at: DateTime<Utc>,
        },
        /// A passkey was used.
        PasskeyUsed = "auth.account.passkey_used" @ 1 {
            pub passkey: String,
            /// Signature counter of the passkey.
            pub counter: u32,
            /// Challenge that was signed, base64url-encoded; it can't be used again.
            pub challenge: String,
            pub at: DateTime<Utc>,
        },
        /// A passkey was renamed.
        PasskeyRenamed = "auth.account.passkey_renamed" @ 1 { pub passkey: String, pub name: Personal<String> },
        /// A passkey was removed and is no longer valid.
        PasskeyRemoved = "auth.account.passkey_removed" @ 1 { pub passkey: String },
        /// A recovery code was used instead of the authenticator or a passkey.
        RecoveryCodeUsed = "auth.account.recovery_code_used" @ 1 { pub hash: String },
        /// A client got tokens in a session, and is notified when the session ends.
        ClientJoined = "auth.account.client_joined" @ 1 {
            pub client: ClientId,
            pub session: SessionId,
            pub at: DateTime<Utc>,
        },
        /// All existing sessions of the user ended, with the grants made in them.
        SessionsEnded = "auth.account.sessions_ended" @ 1 {
            pub at: DateTime<Utc>,
            pub reason: String,
            /// Sessions of this era and earlier ones ended. Absent: those that had begun by then, judged by their times.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub era: Option<u32>,
        },
        /// The user signed in through an identity provider of their organization for the first time.
        AccountEntered = "auth.account.entered" @ 1 {},
        /// The account was closed: nobody can sign in with it any more.
        AccountClosed = "auth.account.closed" @ 1 { pub at: DateTime<Utc> },
        /// The account was closed and the personal data in it, in its sessions and in its sign-in attempts was erased.
        AccountErased = "auth.account.erased" @ 1 { pub at: DateTime<Utc> },
        /// The user consented that a client acts for them within this scope.
        ConsentGiven = "auth.account.consent_given" @ 1 { pub client: ClientId, pub scope: Vec<String> },
        /// The user's consent for a client was withdrawn; its grants ended.
        ConsentWithdrawn = "auth.account.consent_withdrawn" @ 1 { pub client: ClientId, pub at: DateTime<Utc> },
    }
}
