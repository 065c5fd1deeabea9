//! Country codes (ISO 3166-1 alpha-2) and their validation.

use crate::Checks;

/// Officially assigned codes of ISO 3166-1 alpha-2.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK \
FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM \
JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS \
MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM \
US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

impl Checks {
    /// Validates a country code of ISO 3166-1 alpha-2, in upper or lower case. Returns it in upper case.
    pub fn country(&mut self, pointer: &str, text: &str) -> String {
        let code = text.trim().to_ascii_uppercase();
        if code.len() != 2 || !COUNTRIES.split(' ').any(|known| known == code) {
            self.refuse(pointer, "country", "not a country code of ISO 3166-1 alpha-2, like DE or US");
        }
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_those_of_iso_3166() {
        assert_eq!(COUNTRIES.split(' ').count(), 249);
        for (good, code) in [("DE", "DE"), ("us", "US"), (" fr ", "FR")] {
            let mut checks = Checks::default();
            assert_eq!(checks.country("/country", good), code);
            assert!(checks.ok(), "{good:?}");
        }
        for bad in ["", "D", "XX", "DEU", "Germany", "D E", "ß"] {
            let mut checks = Checks::default();
            checks.country("/country", bad);
            let refused: Vec<_> = checks.into_errors().into_iter().map(|error| error.code).collect();
            assert_eq!(refused, ["country"], "{bad:?}");
        }
    }
}
