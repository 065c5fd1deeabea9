//! The codes of refusals: those in the program's source against those on the book's page (`docs/src/errors.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kernel::Kind;
use regex::Regex;

/// The constructors of each kind of refusal.
const MAKERS: [(&str, Kind); 13] = [
    ("invalid", Kind::Invalid),
    ("unauthenticated", Kind::Unauthenticated),
    ("forbidden", Kind::Forbidden),
    ("not_found", Kind::NotFound),
    ("conflict", Kind::Conflict),
    ("precondition_failed", Kind::PreconditionFailed),
    ("too_large", Kind::TooLarge),
    ("unsupported_media", Kind::UnsupportedMedia),
    ("unprocessable", Kind::Unprocessable),
    ("rate_limited", Kind::RateLimited),
    ("internal", Kind::Internal),
    ("unavailable", Kind::Unavailable),
    ("timeout", Kind::Timeout),
];

/// The codes in the source, each with the statuses of the refusals that name it literally.
#[derive(Default)]
struct Found {
    codes: BTreeMap<String, BTreeSet<u16>>,
    /// Refusals whose code this test can't extract.
    unread: Vec<String>,
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// The lines without comments, because those may name former codes.
fn code_of(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The text from an opening brace to the matching closing one.
fn block(text: &str) -> &str {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 && c == '}' {
            return &text[..at];
        }
    }
    text
}

fn found() -> Found {
    let sources: Vec<(PathBuf, String)> =
        crate::sources::all().into_iter().map(|(path, text)| (path, code_of(&text))).collect();
    let word = pattern(r#""([a-z][a-z0-9_]+)""#);
    let names = MAKERS.map(|(name, _)| name).join("|");
    let made = pattern(&format!(r"\b(Refusal|Self)::({names})\(\s*([^,\s]+),"));
    let new = pattern(r"\bRefusal::new\(\s*(?:kernel::)?Kind::(\w+),\s*([^,\s]+),");
    let constant = pattern(r#"const ([A-Z_]+): &str = "([a-z][a-z0-9_]+)";"#);
    // Codes of field errors, claims and row errors.
    let member = pattern(r#"\bcode: "([a-z][a-z0-9_]+)"\s*[,}]"#);
    // Codes of one error or reference, after its pointer.
    let one = pattern(
        r#"\b(?:Refusal::(?:field|reference)|FieldError::new)\(\s*(?:format!\([^)]*\)|"[^"]*"|[^,"]*),\s*"([a-z][a-z0-9_]+)"\s*,"#,
    );
    // Codes in checks of values.
    let refused = pattern(r#"(?:\.refuse|\bchecks\.take)\(\s*[^;]*?,\s*"([a-z][a-z0-9_]+)"\s*,"#);
    // Codes in checks of several values.
    let named = pattern(r#"\brefuse\(\s*"([a-z][a-z0-9_]+)"\s*,"#);
    // Functions and matches that return the code of an error.
    let told = pattern(r"(?:let code = match [^{]*|fn code\w*\([^)]*\) -> &'static str )\{");
    // A JSON pointer and the code after it, in a tuple or a call.
    let pointed = pattern(r#"(?:"/([^"]*)"(?:\.to_owned\(\))?|format!\("/[^"]*"\)),\s*"([a-z][a-z0-9_]+)""#);
    // Functions and closures of a crate with a parameter for the code. (The kernel's are listed by name.)
    let given = pattern(r"(?:fn (\w+)\([^)]*\bcode: &'static str|let (\w+) = \|[^|]*\bcode: &(?:'static )?str)");
    let constants: BTreeMap<(String, String), String> = sources
        .iter()
        .flat_map(|(path, text)| {
            constant.captures_iter(text).map(|all| ((home(path), all[1].to_owned()), all[2].to_owned()))
        })
        .collect();
    let mut givers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources.iter().filter(|(path, _)| home(path) != "kernel") {
        let taking = given.captures_iter(text).filter_map(|all| Some(all.get(1).or(all.get(2))?.as_str().to_owned()));
        givers.entry(home(path)).or_default().extend(taking);
    }
    let mut found = Found::default();
    for (path, text) in &sources {
        let mut note = |code: &str, status: Option<u16>| {
            found.codes.entry(code.to_owned()).or_default().extend(status);
        };
        let mut unread = Vec::new();
        let mut say = |code: &str, kind: Kind| {
            let status = face::status(kind).as_u16();
            if let Some(word) = word.captures(code) {
                note(&word[1], Some(status));
            } else if let Some(known) = constants.get(&(home(path), code.to_owned())) {
                note(known, Some(status));
            } else if code != "code" && code.strip_suffix(".code").is_none() {
                unread.push(format!("{code} in {}", path.display()));
            }
        };
        for all in made.captures_iter(text) {
            let kind = MAKERS.iter().find(|(name, _)| *name == &all[2]).unwrap().1;
            if &all[1] == "Refusal" || text.contains("for Refusal {") {
                say(&all[3], kind);
            }
        }
        for all in new.captures_iter(text) {
            let kind = MAKERS.iter().find(|(_, kind)| format!("{kind:?}") == all[1]);
            say(&all[2], kind.unwrap().1);
        }
        found.unread.extend(unread);
        let mut note = |code: &str| {
            found.codes.entry(code.to_owned()).or_default();
        };
        member.captures_iter(text).for_each(|all| note(&all[1]));
        one.captures_iter(text).for_each(|all| note(&all[1]));
        refused.captures_iter(text).for_each(|all| note(&all[1]));
        named.captures_iter(text).for_each(|all| note(&all[1]));
        // A path and a page of the same name are no field and its error.
        let fields = pointed.captures_iter(text).filter(|all| all.get(1).is_none_or(|field| field.as_str() != &all[2]));
        fields.for_each(|all| note(&all[2]));
        for all in told.find_iter(text) {
            let body = block(&text[all.end() - 1..]);
            // Only what is after the arrow is a code, not the pattern before it or a searched text.
            for line in body.lines() {
                let said = line.rsplit("=>").next().unwrap();
                if let Some(word) = word.captures_iter(said).last() {
                    note(&word[1]);
                }
                if said.contains("map_or(") {
                    word.captures_iter(said).for_each(|word| note(&word[1]));
                }
            }
        }
        for name in givers.get(&home(path)).into_iter().flatten() {
            let calls = pattern(&format!(r#"\b{name}\(\s*(?:[^;"()]*?,\s*)?"([a-z][a-z0-9_]+)""#));
            calls.captures_iter(text).for_each(|all| note(&all[1]));
        }
    }
    found
}

/// The crate of a file, in which constants are looked up.
fn home(path: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let inside = path.strip_prefix(root).unwrap().to_str().unwrap();
    inside.split("/src/").next().unwrap().to_owned()
}

/// The codes on the page, with the statuses beside them.
pub fn page() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/errors.md");
    let page = fs::read_to_string(page).unwrap();
    let row = pattern(r"(?m)^\| `([a-z0-9_]+)` \| ([^|]*) \|");
    let mut known = BTreeMap::new();
    for all in row.captures_iter(&page) {
        // A code may be that of a refusal and of a field error; the first table has the status.
        known.entry(all[1].to_owned()).or_insert_with(|| all[2].to_owned());
    }
    known
}

#[test]
fn every_code_of_a_refusal_is_on_its_page_with_its_status_and_the_page_has_no_other() {
    let (found, known) = (found(), page());
    assert!(found.codes.len() > 250, "{} codes: this test can't read the program any more", found.codes.len());
    assert!(found.unread.is_empty(), "name these codes as text, or as a constant of the crate: {:#?}", found.unread);
    let missing: Vec<_> = found.codes.keys().filter(|code| !known.contains_key(*code)).collect();
    assert!(missing.is_empty(), "say in docs/src/errors.md what these codes mean: {missing:#?}");
    let gone: Vec<_> = known.keys().filter(|code| !found.codes.contains_key(*code)).collect();
    assert!(
        gone.is_empty(),
        "clients may rely on these codes, which docs/src/errors.md has and nothing gives: {gone:#?}"
    );
    // These have a status of their own, which is set where the refusal is made.
    let other = [
        "method_not_allowed",
        "not_acceptable",
        "answer_lost",
        "instance_lost",
        "request_refused",
        "uri_too_long",
        "headers_too_large",
    ];
    for (code, statuses) in found.codes.iter().filter(|(code, _)| !other.contains(&code.as_str())) {
        for status in statuses {
            assert!(known[code].contains(&status.to_string()), "{code} is {status}, not {}", known[code]);
        }
    }
}
