//! The words that the data set is made of.

/// Given names.
pub const GIVEN: &[&str] = &[
    "Ada", "Aisha", "Alejandro", "Amélie", "Anna", "Arjun", "Aylin", "Beatriz", "Björn", "Camille", "Carlos", "Charlotte",
    "Chiara", "Daniel", "Elena", "Emil", "Emma", "Eszter", "Fatima", "Felix", "Filip", "Giulia", "Grace", "Hana", "Hugo",
    "Ines", "Ingrid", "Isla", "Ivan", "Jakub", "Jasper", "Joana", "Johanna", "Jonas", "Karim", "Katarzyna", "Kenji", "Lars",
    "Laura", "Léa", "Leon", "Lina", "Louis", "Luca", "Magnus", "Maja", "Marek", "Maria", "Mateo", "Matteo", "Mei", "Mia",
    "Mohammed", "Nadia", "Nina", "Noah", "Nora", "Olivia", "Oscar", "Paulo", "Petra", "Priya", "Rafael", "Rania", "Robert",
    "Rosa", "Samuel", "Sara", "Sofia", "Stefan", "Thomas", "Tomás", "Vera", "Viktor", "William", "Yara", "Yusuf", "Zofia",
];

/// Family names.
pub const FAMILY: &[&str] = &[
    "Almeida", "Andersen", "Bakker", "Baumann", "Becker", "Bernard", "Bianchi", "Brandt", "Byron", "Carter", "Castro",
    "Costa", "Dahl", "De Vries", "Dubois", "Eriksson", "Evans", "Ferrari", "Fischer", "Fontaine", "García", "Girard", "Gruber",
    "Haddad", "Hansen", "Hernández", "Hoffmann", "Horváth", "Hughes", "Ito", "Jansen", "Johansson", "Kamiński", "Keller",
    "Khan", "Kowalski", "Kumar", "Lambert", "Larsen", "Lehmann", "Lindqvist", "López", "Martin", "Mäkinen", "Meier", "Moreau",
    "Moretti", "Murphy", "Müller", "Navarro", "Nguyen", "Nielsen", "Novák", "O’Brien", "Okafor", "Olsen", "Patel", "Pereira",
    "Petrov", "Popescu", "Ricci", "Rossi", "Ruiz", "Santos", "Schmidt", "Schneider", "Silva", "Smith", "Svensson", "Tanaka",
    "Taylor", "Urbán", "Visser", "Wagner", "Walker", "Weber", "Wójcik", "Yılmaz", "Zimmermann", "Öztürk",
];

/// First words of company names.
pub const COMPANY_FIRST: &[&str] = &[
    "Alpen", "Amber", "Arc", "Atlas", "Aurora", "Baltic", "Beacon", "Blue", "Boreal", "Bright", "Cedar", "Cobalt", "Copper",
    "Coral", "Crest", "Delta", "Ember", "Equinox", "Falcon", "Fjord", "Forge", "Granite", "Harbour", "Helios", "Iberia",
    "Iron", "Juniper", "Keystone", "Lakeside", "Lumen", "Maple", "Meridian", "Nordwind", "Northstar", "Oak", "Onyx", "Orbit",
    "Pacific", "Pine", "Polar", "Prisma", "Quarry", "Rhein", "Ridge", "Sable", "Silver", "Solstice", "Summit", "Terra",
    "Tidal", "Umbra", "Vanguard", "Vela", "Vista", "Westfield", "Zenith",
];

/// Second words of company names, with the industry that they tell.
pub const COMPANY_SECOND: &[(&str, &str)] = &[
    ("Analytics", "Software"),
    ("Automotive", "Manufacturing"),
    ("Bank", "Finance"),
    ("Biotech", "Life sciences"),
    ("Capital", "Finance"),
    ("Clinics", "Health care"),
    ("Components", "Manufacturing"),
    ("Construction", "Construction"),
    ("Digital", "Software"),
    ("Energy", "Energy"),
    ("Engineering", "Engineering"),
    ("Foods", "Food"),
    ("Freight", "Logistics"),
    ("Insurance", "Insurance"),
    ("Labs", "Life sciences"),
    ("Logistics", "Logistics"),
    ("Media", "Media"),
    ("Mobility", "Transport"),
    ("Networks", "Telecommunications"),
    ("Optics", "Manufacturing"),
    ("Packaging", "Manufacturing"),
    ("Pharma", "Life sciences"),
    ("Retail", "Retail"),
    ("Robotics", "Manufacturing"),
    ("Software", "Software"),
    ("Solar", "Energy"),
    ("Systems", "Software"),
    ("Textiles", "Manufacturing"),
    ("Travel", "Travel"),
    ("Water", "Utilities"),
];

/// What people do.
pub const TITLES: &[&str] = &[
    "Chief Executive Officer", "Chief Financial Officer", "Chief Information Officer", "Chief Operating Officer",
    "Chief Technology Officer", "Data Protection Officer", "Head of Customer Service", "Head of Data", "Head of IT",
    "Head of Marketing", "Head of Operations", "Head of Procurement", "Head of Sales", "IT Manager", "Operations Manager",
    "Plant Manager", "Product Manager", "Project Manager", "Purchasing Manager", "Quality Manager", "Sales Manager",
    "Security Officer", "Software Architect", "Supply Chain Manager",
];

/// A country: its code, the currency it buys in, its calling code.
#[derive(Clone, Copy, Debug)]
pub struct Country {
    pub code: &'static str,
    pub currency: &'static str,
    pub calling: &'static str,
}

const fn country(code: &'static str, currency: &'static str, calling: &'static str) -> Country {
    Country { code, currency, calling }
}

/// Countries, with how many customers are there.
pub const COUNTRIES: &[(Country, usize)] = &[
    (country("DE", "EUR", "+4930"), 24),
    (country("FR", "EUR", "+3314"), 14),
    (country("GB", "GBP", "+4420"), 14),
    (country("US", "USD", "+1212"), 14),
    (country("ES", "EUR", "+3491"), 7),
    (country("IT", "EUR", "+3902"), 7),
    (country("NL", "EUR", "+3120"), 6),
    (country("CH", "CHF", "+4144"), 5),
    (country("SE", "SEK", "+4688"), 5),
    (country("PL", "PLN", "+4822"), 4),
];

/// Where leads come from, with how many do.
pub const SOURCES: &[(&str, usize)] = &[
    ("website", 38),
    ("campaign", 20),
    ("event", 12),
    ("referral", 11),
    ("cold_call", 10),
    ("partner", 6),
    ("other", 3),
];

/// Who sells.
pub const OWNERS: &[&str] = &[
    "anna.lind", "ben.okafor", "carla.moretti", "david.novak", "eva.schneider", "farid.haddad", "greta.larsen", "hugo.martin",
    "ines.costa", "jan.visser", "kim.tanaka", "lena.weber",
];

/// What is sold, with a usual price of a year in hundredths of a unit.
pub const PRODUCTS: &[(&str, i64)] = &[
    ("Starter", 240_000),
    ("Team", 960_000),
    ("Business", 3_600_000),
    ("Business with onboarding", 4_800_000),
    ("Enterprise", 12_000_000),
    ("Enterprise with support", 18_000_000),
];

/// Why deals are lost.
pub const LOST_REASONS: &[&str] =
    &["price", "went with a competitor", "no budget this year", "project was stopped", "no decision", "missing feature"];

/// Why leads are disqualified, as the API names it, with how many are.
pub const DISQUALIFIED: &[(&str, usize)] = &[
    ("no_answer", 34),
    ("no_need", 24),
    ("no_budget", 18),
    ("competitor", 10),
    ("duplicate", 6),
    ("spam", 5),
    ("other", 3),
];

/// Why leads go back.
pub const RECYCLED: &[&str] = &["call again next quarter", "budget comes next year", "contact is on leave"];

/// What the owner says of a qualified lead.
pub const NOTES: &[&str] = &[
    "asked for an offer", "pilot agreed", "budget confirmed", "decision maker met", "replaces an old system this year",
];
