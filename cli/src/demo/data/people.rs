//! Generates companies and the people who work there.

use kernel::PostalAddress;

use super::dice::Dice;
use super::vocabulary::{COMPANY_FIRST, COMPANY_SECOND, COUNTRIES, Country, FAMILY, GIVEN, Place, TITLES};

/// A company. Its number makes name and domain unique.
#[derive(Clone, Debug)]
pub struct Company {
    pub name: String,
    pub domain: String,
    pub industry: &'static str,
    pub country: Country,
}

/// A person at a company.
#[derive(Clone, Debug)]
pub struct Person {
    pub name: String,
    pub title: &'static str,
    pub email: String,
    pub phone: Option<String>,
    pub address: Option<PostalAddress>,
}

impl Company {
    /// The company with this number. The words of its name are unique below 1,680; later names also contain a number.
    pub fn of(number: usize) -> Self {
        let pairs = COMPANY_FIRST.len() * COMPANY_SECOND.len();
        // A stride that is coprime to the number of pairs visits every pair once before it repeats.
        let pair = (number * 1_013) % pairs;
        let first = COMPANY_FIRST[pair / COMPANY_SECOND.len()];
        let (second, industry) = COMPANY_SECOND[pair % COMPANY_SECOND.len()];
        let round = number / pairs;
        let name = if round == 0 { format!("{first} {second}") } else { format!("{first} {second} {}", round + 1) };
        let domain = format!("{}.example", ascii_word(&name, '-'));
        // The country depends on the number alone, so a company is always in the same country.
        let country = Dice::new(number as u64, "country").weighted(COUNTRIES);
        Self { name, domain, industry, country }
    }
}

impl Person {
    /// Makes a person at a company. `number` makes the e-mail address unique.
    pub fn at(company: &Company, number: usize, dice: &mut Dice) -> Self {
        let (given, family) = (dice.pick(GIVEN), dice.pick(FAMILY));
        let email = format!("{}.{}{number}@{}", ascii_word(given, '-'), ascii_word(family, '-'), company.domain);
        let phone = dice.chance(70).then(|| format!("{}{:07}", company.country.calling, dice.between(0, 9_999_999)));
        let address = address_in(company.country, &mut Dice::new(number as u64, "address"));
        Self { name: format!("{given} {family}"), title: dice.pick(TITLES), email, phone, address }
    }
}

/// A postal address in a country, or none: only some people have one.
fn address_in(country: Country, dice: &mut Dice) -> Option<PostalAddress> {
    let Place { street, locality, postal_code } = country.place;
    dice.chance(40).then(|| PostalAddress {
        street: Some(street.replace('#', &dice.between(1, 140).to_string())),
        locality: Some(locality.to_owned()),
        region: None,
        postal_code: Some(postal_code.to_owned()),
        country: Some(country.code.to_owned()),
    })
}

/// Makes a word usable in an e-mail address or a domain: lower case, without accents.
fn ascii_word(text: &str, space: char) -> String {
    text.chars()
        .filter_map(|c| match c.to_lowercase().next().unwrap_or(c) {
            ' ' => Some(space),
            'á' | 'ä' | 'à' => Some('a'),
            'é' | 'è' => Some('e'),
            'í' | 'ı' => Some('i'),
            'ó' | 'ö' => Some('o'),
            'ú' | 'ü' => Some('u'),
            'ń' => Some('n'),
            lower => lower.is_ascii_alphanumeric().then_some(lower),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn companies_have_names_of_their_own() {
        let names: HashSet<_> = (0..4_000).map(|number| Company::of(number).name).collect();
        assert_eq!(names.len(), 4_000);
    }

    #[test]
    fn some_people_have_a_postal_address_that_can_be_sent() {
        let mut dice = Dice::new(1, "people");
        let people: Vec<_> = (0..200).map(|number| Person::at(&Company::of(number), number, &mut dice)).collect();
        let addresses: Vec<_> = people.iter().filter_map(|person| person.address.as_ref()).collect();
        assert!((40..120).contains(&addresses.len()), "{}", addresses.len());
        for address in addresses {
            let mut checks = kernel::Checks::default();
            assert_eq!(address.check(&mut checks, "/address"), *address);
            assert!(checks.ok(), "{address:?}");
        }
    }

    #[test]
    fn addresses_are_plain_ascii() {
        let mut dice = Dice::new(1, "people");
        for number in 0..2_000 {
            let company = Company::of(number);
            let person = Person::at(&company, number, &mut dice);
            assert!(person.email.is_ascii() && !person.email.contains(' '), "{}", person.email);
        }
        assert_eq!(ascii_word("Öztürk", '-'), "ozturk");
        assert_eq!(ascii_word("O’Brien", '-'), "obrien");
        assert_eq!(ascii_word("Wójcik De Vries", '-'), "wojcik-de-vries");
    }
}
