//! The header `X-Min-Position`: read-your-writes consistency for queries.

use kernel::{Position, Refusal, Service};

/// The positions that the read models must have reached for a query, by service: `crm=1234, erp=77`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinPositions(Vec<(Service, Position)>);

impl MinPositions {
    /// Parses the header's value; `known`: the services that exist.
    ///
    /// # Errors
    /// `header_invalid` for a malformed value, an unknown service, or a service that is named twice.
    pub fn parse(text: &str, known: &[Service]) -> Result<Self, Refusal> {
        let mut wanted: Vec<(Service, Position)> = Vec::new();
        for part in text.split(',') {
            let (name, position) = one(part)
                .ok_or_else(|| refuse(format!("{:?} is not <service>=<position>, such as crm=1234", part.trim())))?;
            let Some(service) = known.iter().find(|service| service.name() == name) else {
                let names: Vec<_> = known.iter().map(|service| service.name()).collect();
                return Err(refuse(format!("there is no service {name:?}; allowed: {}", names.join(", "))));
            };
            if wanted.iter().any(|(there, _)| there == service) {
                return Err(refuse(format!("{name} is there twice; send the later position only")));
            }
            wanted.push((*service, position));
        }
        Ok(Self(wanted))
    }

    /// The position that a service's read models must have reached, if any.
    pub fn of(&self, service: Service) -> Option<Position> {
        self.0.iter().find(|(wanted, _)| *wanted == service).map(|(_, position)| *position)
    }
}

fn one(part: &str) -> Option<(&str, Position)> {
    let (service, position) = part.split_once('=')?;
    // Digits only: `parse` would accept a plus sign.
    let position = position.trim();
    let digits = position.bytes().all(|byte| byte.is_ascii_digit());
    Some((service.trim(), position.parse().ok().filter(|_| digits)?))
}

fn refuse(what: String) -> Refusal {
    Refusal::invalid("header_invalid", format!("X-Min-Position: {what}")).with("header", "x-min-position")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_by_service() {
        let (crm, erp, user) = (Service::new("crm"), Service::new("erp"), Service::new("user"));
        let known = [crm, erp, user];
        let wanted = MinPositions::parse("crm=1234, erp = 7", &known).unwrap();
        assert_eq!(wanted.of(crm), Some(Position(1234)));
        assert_eq!(wanted.of(erp), Some(Position(7)));
        assert_eq!(wanted.of(user), None);
        for refused in ["", "crm", "crm=", "crm=-1", "crm=+1", "crm=1;erp=2", "foo=1", "crm=1,crm=2", "CRM=1", "crm=1,"]
        {
            assert!(MinPositions::parse(refused, &known).is_err(), "{refused}");
        }
    }
}
