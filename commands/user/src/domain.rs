//! Domains of a tenant: claiming a domain, and the results of DNS lookups.

use executor::{ClaimKind, Command, Work};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use kernel::Refusal;
use user_aggregates::{ClaimedDomain, DomainClaimed, DomainCommand, DomainId};

use crate::access::Catalogue;
use crate::{lengths, registration};

/// Claims on domain names: a tenant claims each domain once.
pub(crate) static DOMAIN: ClaimKind = ClaimKind {
    name: "user.domain.name",
    code: "domain_claimed",
    detail: "this tenant has already claimed this domain (holder)",
};

/// Claims a domain for the tenant.
#[derive(Clone, Debug)]
pub struct ClaimDomain {
    pub domain: String,
}

/// Records that the domain's DNS record was found. If this lets everybody of the domain register, the caller needs all permissions that the
/// registration policy gives them.
#[derive(Clone, Debug)]
pub struct VerifyDomain {
    pub domain: DomainId,
    pub catalogue: Catalogue,
}

/// Records that the domain's DNS record was not found.
#[derive(Clone, Copy, Debug)]
pub struct NoteDomainRecordMissing {
    pub domain: DomainId,
}

/// Removes a domain from the tenant.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseDomain {
    pub domain: DomainId,
}

/// Why a text is not a valid domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotADomain {
    /// Not a domain name.
    #[error(
        "not a domain name such as example.com: labels of 1 to 63 letters, digits and hyphens (no hyphen at either end), separated by dots, at most 240 characters in total"
    )]
    Form,
    /// An IP address.
    #[error("IP addresses are not allowed; give a domain name, such as example.com")]
    Address,
    /// A name whose last label is a number.
    #[error("the last label of a domain name can't be a number: other programs would read it as an IP address")]
    Number,
    /// A name of a single label.
    #[error("a top-level domain can't be claimed; give a domain under it, such as example.com")]
    OnePart,
}

impl NotADomain {
    /// Its stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Form => "domain",
            Self::Address => "ip_address",
            Self::Number => "top_level_number",
            Self::OnePart => "top_level",
        }
    }
}

/// Normalizes a domain name to the form of the DNS: lower case, `xn--` for other scripts, without a trailing dot.
///
/// # Errors
/// If the text is not a valid domain name.
pub fn domain_name(text: &str) -> Result<String, NotADomain> {
    let text = text.trim();
    // IDNA ignores these characters, and people do not see them.
    if text.contains(kernel::is_deceptive) {
        return Err(NotADomain::Form);
    }
    if text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
        return Err(NotADomain::Address);
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = Uts46::new().to_ascii(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    let name = name.map_err(|_| NotADomain::Form)?.into_owned();
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(last) {
        // This includes IP addresses in a short form.
        return Err(if name.split('.').all(is_number) { NotADomain::Address } else { NotADomain::Number });
    }
    if last.len() == name.len() {
        return Err(NotADomain::OnePart);
    }
    if name.len() > *lengths::DOMAIN.end() { Err(NotADomain::Form) } else { Ok(name) }
}

impl Command for ClaimDomain {
    const PERMISSION: &'static str = "user:domain:write";
    type Answer = DomainId;

    async fn run(&self, work: &mut Work<'_>) -> Result<DomainId, Refusal> {
        let domain =
            domain_name(&self.domain).map_err(|wrong| Refusal::field("/domain", wrong.code(), wrong.to_string()))?;
        let id: DomainId = work.new_id();
        work.take(&DOMAIN, &domain, id);
        work.create::<ClaimedDomain>(id, DomainCommand::Claim(DomainClaimed { domain }))?;
        Ok(id)
    }
}

impl Command for VerifyDomain {
    const PERMISSION: &'static str = "user:domain:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let domain = work.read::<ClaimedDomain>(self.domain).await?;
        if !domain.verified || domain.record_missing {
            registration::authorize_verification(work, &self.catalogue).await?;
        }
        work.update::<ClaimedDomain>(self.domain, DomainCommand::Verify).await
    }
}

impl Command for NoteDomainRecordMissing {
    const PERMISSION: &'static str = "user:domain:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<ClaimedDomain>(self.domain, DomainCommand::NoteMissing).await
    }
}

impl Command for ReleaseDomain {
    const PERMISSION: &'static str = "user:domain:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let domain = work.read::<ClaimedDomain>(self.domain).await?;
        work.update::<ClaimedDomain>(self.domain, DomainCommand::Release).await?;
        if !domain.released {
            work.release(&DOMAIN, &domain.domain, self.domain);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_domain_has_one_form_however_it_is_written() {
        for (text, expected) in [
            ("example.com", "example.com"),
            (" Example.COM. ", "example.com"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.EXAMPLE", "xn--bcher-kva.example"),
            ("a.b.c-d.co.uk", "a.b.c-d.co.uk"),
            ("１２３.example", "123.example"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ] {
            assert_eq!(domain_name(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_nobody_can_have_is_refused() {
        let (label, long) = ("a".repeat(64), format!("{}com", "a.".repeat(120)));
        for (text, expected) in [
            ("", NotADomain::Form),
            (".", NotADomain::Form),
            ("com", NotADomain::OnePart),
            ("localhost", NotADomain::OnePart),
            ("127.0.0.1", NotADomain::Address),
            ("127.1.", NotADomain::Address),
            ("example.123", NotADomain::Number),
            ("[::1]", NotADomain::Address),
            ("fe80::1", NotADomain::Address),
            ("a..com", NotADomain::Form),
            ("-a.com", NotADomain::Form),
            ("a-.com", NotADomain::Form),
            ("a_b.com", NotADomain::Form),
            ("*.example.com", NotADomain::Form),
            ("a b.com", NotADomain::Form),
            ("a.com/x", NotADomain::Form),
            ("ada@example.com", NotADomain::Form),
            ("https://example.com", NotADomain::Form),
            ("exa\0mple.com", NotADomain::Form),
            ("xn--a.com", NotADomain::Form),
            (&format!("{label}.com"), NotADomain::Form),
            (&long, NotADomain::Form),
        ] {
            assert_eq!(domain_name(text), Err(expected), "{text}");
        }
    }
}
