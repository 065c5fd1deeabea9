//! The commands of OAuth clients.

use auth_aggregates::{Client, ClientCommand, ClientDetails, ClientId, ClientSecretSet, Jwk, OurAlgorithm};
use executor::{Command, Work};
use kernel::{Checks, Refusal};
use url::{Host, ParseError, Url};

use crate::grants::PROTOCOL;
use crate::reach::Reach;
use crate::{lengths, values};

/// The details of a client as sent; validated when the command runs.
#[derive(Clone, Debug, Default)]
pub struct ClientFields {
    pub name: String,
    pub confidential: bool,
    pub redirect_uris: Vec<String>,
    pub post_logout_redirect_uris: Vec<String>,
    pub trusted: bool,
    pub keys: Vec<Jwk>,
    /// The back-channel logout URI; `None` if the client wants no logout notifications.
    pub backchannel_logout_uri: Option<String>,
    /// Why the back-channel logout URI can't be called, if the caller found a reason. (The caller knows which addresses are in our
    /// network.)
    pub unreachable: Option<String>,
    pub exchanges: bool,
    /// The algorithm that signs its ID tokens and logout tokens.
    pub id_token_signed_response_alg: OurAlgorithm,
}

/// Registers a client.
#[derive(Clone, Debug)]
pub struct RegisterClient {
    pub fields: ClientFields,
    pub reach: Reach,
}

/// Replaces all details of a client.
#[derive(Clone, Debug)]
pub struct ChangeClient {
    pub client: ClientId,
    pub fields: ClientFields,
    pub reach: Reach,
}

/// Replaces a client's secret. Only the hash of the new one is passed in.
#[derive(Clone, Debug)]
pub struct SetClientSecret {
    pub client: ClientId,
    /// SHA-256, hexadecimal.
    pub secret_hash: String,
    pub reach: Reach,
}

/// Deactivates a client: it can't sign users in, and its grants are revoked.
#[derive(Clone, Debug)]
pub struct DeactivateClient {
    pub client: ClientId,
    pub reach: Reach,
}

/// Reactivates a client.
#[derive(Clone, Debug)]
pub struct ReactivateClient {
    pub client: ClientId,
    pub reach: Reach,
}

/// Records a failed authentication as this client.
#[derive(Clone, Debug)]
pub struct NoteRefusedClient {
    pub client: ClientId,
    /// The reason code.
    pub reason: &'static str,
}

impl ClientFields {
    fn check(&self) -> Result<ClientDetails, Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, lengths::NAME);
        if self.redirect_uris.is_empty() {
            checks.refuse("/redirect_uris", "empty", "a client needs at least one redirect URI");
        }
        let uris =
            [("/redirect_uris", &self.redirect_uris), ("/post_logout_redirect_uris", &self.post_logout_redirect_uris)];
        for (pointer, uris) in uris {
            let most = lengths::REDIRECT_URIS;
            checks.at_most(pointer, uris.len(), most);
            // Only the first ones are checked, because each is compared with all before it.
            for (index, uri) in uris.iter().enumerate().take(most) {
                let at = || format!("{pointer}/{index}");
                if let Err(detail) = redirect(uri, self.confidential) {
                    checks.refuse(at(), "redirect_uri", detail);
                }
                if uris.iter().take(index).any(|earlier| earlier == uri) {
                    checks.refuse(at(), "named_twice", "this address is listed twice");
                }
            }
        }
        if let Some(uri) = &self.backchannel_logout_uri {
            let allowed = redirect(uri, true).map_err(str::to_owned);
            if let Err(detail) = allowed.and(self.unreachable.clone().map_or(Ok(()), Err)) {
                checks.refuse("/backchannel_logout_uri", "backchannel_logout_uri", detail);
            }
        }
        if !self.confidential && !self.keys.is_empty() {
            checks.refuse(
                "/keys",
                "client_public",
                "a public client can't have keys, because it could not keep the private key confidential",
            );
        }
        if !self.confidential && self.exchanges {
            checks.refuse(
                "/exchanges",
                "client_public",
                "a public client can't authenticate, so it can't be allowed to do this",
            );
        }
        values::keys(&mut checks, "/keys", &self.keys);
        checks.finish()?;
        Ok(ClientDetails {
            name,
            confidential: self.confidential,
            redirect_uris: self.redirect_uris.clone(),
            post_logout_redirect_uris: self.post_logout_redirect_uris.clone(),
            trusted: self.trusted,
            keys: self.keys.clone(),
            backchannel_logout_uri: self.backchannel_logout_uri.clone(),
            exchanges: self.exchanges,
            id_token_signed_response_alg: self.id_token_signed_response_alg,
        })
    }
}

/// Checks a redirect URI: `https`, a loopback address, or an application's own scheme.
fn redirect(uri: &str, confidential: bool) -> Result<(), &'static str> {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Err("not an address such as https://app.example.com/back: it has no scheme");
    };
    let printable = uri.len() <= lengths::URI && uri.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    // A fragment never reaches a server, and a wildcard would match anybody's host.
    if !printable || uri.contains(['#', '*', '\\', '"', '<', '>']) {
        return Err("allowed are up to 500 printable characters of ASCII, without # * \\ \" < >");
    }
    let authority = rest.strip_prefix("//").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    match (scheme, authority) {
        (_, Some(authority)) if authority.contains('@') => Err("an address can't contain a user name"),
        ("https", Some(authority)) => place(uri, authority).map(drop),
        ("http", Some(authority)) => match place(uri, authority)?.host_str() {
            Some("127.0.0.1" | "[::1]" | "localhost") => Ok(()),
            _ => Err("http is allowed only for the user's own machine: 127.0.0.1, [::1], localhost"),
        },
        // RFC 8252 section 7.1: the scheme is a domain name of the application's maker in reverse order.
        (scheme, _) if !confidential && scheme.contains('.') && scheme.bytes().all(is_of_scheme) => Ok(()),
        _ if confidential => Err("allowed are https://… and http://127.0.0.1…"),
        _ => {
            Err("allowed are https://…, http://127.0.0.1…, and for public clients a scheme such as com.example.app:/…")
        }
    }
}

/// Parses a URI as browsers do, and refuses it if a reader could mistake where it leads.
fn place(uri: &str, authority: &str) -> Result<Url, &'static str> {
    if authority.is_empty() {
        return Err("it has no host");
    }
    let url = Url::parse(uri).map_err(|error| match error {
        ParseError::EmptyHost => "it has no host",
        ParseError::InvalidPort => "its port is not one of 1 to 65535",
        _ => "its host is not valid",
    })?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| port.is_empty() || port.starts_with('0')) {
        return Err("its port is not one of 1 to 65535");
    }
    let label = |label: &str| {
        let of_label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(of_label)
    };
    match url.host() {
        // Browsers take other notations of numbers (127.1, 0x7f000001) for IP addresses.
        Some(Host::Ipv4(_) | Host::Ipv6(_)) if url.host_str() != Some(host) => {
            Err("its host is an IP address that is not in the usual notation")
        }
        Some(Host::Domain(name)) if !(name.len() <= 253 && name.split('.').all(label)) => Err("its host is not valid"),
        Some(_) => Ok(url),
        None => Err("it has no host"),
    }
}

/// Refuses to change a client that is `trusted` (needs no consent), or becomes so, or gets new redirect URIs, unless the caller has all
/// permissions of administrators: whoever controls such a client gets tokens for administrators. `becomes`: the new details. Users
/// consented to a client with its present redirect URIs.
async fn authorize_change(
    work: &mut Work<'_>,
    reach: &Reach,
    client: ClientId,
    becomes: Option<&ClientDetails>,
) -> Result<(), Refusal> {
    let before = work.read::<Client>(client).await?;
    let known = &before.details.redirect_uris;
    let leads_elsewhere = |details: &ClientDetails| details.redirect_uris.iter().any(|uri| !known.contains(uri));
    if before.details.trusted || becomes.is_some_and(|details| details.trusted || leads_elsewhere(details)) {
        return reach.over_anybody(work.caller()).await;
    }
    Ok(())
}

const fn is_of_scheme(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+')
}

impl Command for RegisterClient {
    const PERMISSION: &'static str = "auth:client:write";
    type Answer = ClientId;

    async fn run(&self, work: &mut Work<'_>) -> Result<ClientId, Refusal> {
        let details = self.fields.check()?;
        if details.trusted {
            self.reach.over_anybody(work.caller()).await?;
        }
        let client: ClientId = work.new_id();
        work.create::<Client>(client, ClientCommand::Register(details))?;
        Ok(client)
    }
}

impl Command for ChangeClient {
    const PERMISSION: &'static str = "auth:client:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let details = self.fields.check()?;
        authorize_change(work, &self.reach, self.client, Some(&details)).await?;
        work.update::<Client>(self.client, ClientCommand::Change(details)).await
    }
}

impl Command for SetClientSecret {
    const PERMISSION: &'static str = "auth:client:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        authorize_change(work, &self.reach, self.client, None).await?;
        let set = ClientSecretSet { secret_hash: self.secret_hash.clone() };
        work.update::<Client>(self.client, ClientCommand::SetSecret(set)).await
    }
}

impl Command for DeactivateClient {
    const PERMISSION: &'static str = "auth:client:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        authorize_change(work, &self.reach, self.client, None).await?;
        let at = work.now();
        work.update::<Client>(self.client, ClientCommand::Deactivate { at }).await
    }
}

impl Command for ReactivateClient {
    const PERMISSION: &'static str = "auth:client:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        authorize_change(work, &self.reach, self.client, None).await?;
        work.update::<Client>(self.client, ClientCommand::Reactivate).await
    }
}

impl Command for NoteRefusedClient {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Client>(self.client, ClientCommand::Refuse { reason: self.reason.to_owned() }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sent_over_tls_to_the_own_machine_or_to_an_application_of_its_own_scheme() {
        for good in [
            "https://app.example.com/back?x=1",
            "https://app.example.com:8443/back",
            "https://APP.example.com/",
            "https://192.0.2.7/back",
            "http://127.0.0.1:5000/back",
            "http://[::1]/back",
            "http://[::1]:65535/back",
            "http://localhost/",
        ] {
            assert_eq!(redirect(good, true), Ok(()), "{good}");
        }
        assert_eq!(redirect("com.example.app:/back", false), Ok(()));
        for bad in [
            "",
            "back",
            "http://app.example.com/back",
            "http://localhost.example.com/back",
            "https://app.example.com/#part",
            "https://*.example.com/back",
            "https://user@app.example.com/back",
            "https:///back",
            "javascript:alert(1)",
            "data:text/html,x",
            "com.example.app:/back",
            "https://app.example.com/ü",
            "https://app.example.com/ a",
            "https://app.example.com:0/back",
            "https://app.example.com:/back",
            "https://app.example.com:65536/back",
            "https://app.example.com:https/back",
            "https://app..example.com/back",
            "https://.example.com/back",
            "https://app.exa%6dple..com/back",
            "https://1.2.3.4.5/back",
            "https://256.1.1.1/back",
            "https://127.1/back",
            "https://0x7f000001/back",
            "https://[::1/back",
            "https://[0::1]/back",
            "http://127.1/back",
        ] {
            assert!(redirect(bad, true).is_err(), "{bad}");
        }
        assert!(redirect("javascript:alert(1)", false).is_err());
    }
}
