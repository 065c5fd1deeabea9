//! Marks: a summary of the words of a record's texts, which is stored with each of its words.
//!
//! While the records with one word are read, their marks show which of them can have another word, too. Only those have to be looked up.
//!
//! Marks are a Bloom filter of 128 bits. Each word, its first letter and its first two letters set two bits. A record that matches a term
//! has all bits of the term; another one has them only by chance. (Among 5,000 made-up users with five words each, that were at most two
//! for a word, and 32 for a single letter.)
//!
//! Marks are stored in read models. If you change how they are computed, raise the versions of the projections that store them.

use sqlx::{Postgres, QueryBuilder};

use crate::words::Term;

/// The marks of a record's words, or those that a search looks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marks {
    /// The bits of the column `marks_1`.
    pub first: i64,
    /// The bits of the column `marks_2`.
    pub second: i64,
}

/// What sets bits: the beginning of a word, or a whole word.
#[derive(Clone, Copy)]
enum Part {
    Beginning = 0,
    Whole = 1,
}

/// Whether a word comes from a text. Other index words, such as `:role:member`, begin with a colon, and are not in the marks: a record gets
/// and loses them often, and then all its entries would be written again.
fn is_of_text(word: &str) -> bool {
    !word.starts_with(':')
}

impl Marks {
    /// The marks of a record with these index words.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut marks = Self::default();
        for word in words.into_iter().filter(|word| is_of_text(word)) {
            marks.add_beginning(word);
            marks.add(Part::Whole, word);
        }
        marks
    }

    /// The marks that each record has that matches all these terms. Terms that are not in the marks add none.
    pub fn of_terms<'a>(terms: impl IntoIterator<Item = &'a Term>) -> Self {
        let mut marks = Self::default();
        for term in terms.into_iter().filter(|term| term.has_marks()) {
            let (Term::Begins(word) | Term::Is(word)) = term;
            marks.add_beginning(word);
            if let Term::Is(word) = term {
                marks.add(Part::Whole, word);
            }
        }
        marks
    }

    /// Whether these marks include all of the others.
    pub fn include(self, others: Self) -> bool {
        self.first & others.first == others.first && self.second & others.second == others.second
    }

    /// Adds the condition that the marks of an entry, with the alias `words`, include these.
    pub fn push(self, query: &mut QueryBuilder<'_, Postgres>, words: &str) {
        // Without bits there is no condition. The planner would assume that it excludes many entries.
        for (column, bits) in
            [("marks_1", self.first), ("marks_2", self.second)].into_iter().filter(|(_, bits)| *bits != 0)
        {
            query.push(format_args!(" AND ({words}.{column} & ")).push_bind(bits).push(") = ").push_bind(bits);
        }
    }

    fn add_beginning(&mut self, word: &str) {
        for (end, letter) in word.char_indices().take(2) {
            self.add(Part::Beginning, &word[..end + letter.len_utf8()]);
        }
    }

    fn add(&mut self, part: Part, text: &str) {
        let hash = hash(part, text);
        self.first |= 1_i64 << (hash & 63);
        self.second |= 1_i64 << ((hash >> 6) & 63);
    }
}

impl Term {
    /// Whether the term is in the marks of the records that match it.
    pub fn has_marks(&self) -> bool {
        match self {
            Self::Begins(_) => true,
            Self::Is(word) => is_of_text(word),
        }
    }
}

/// FNV-1a, of which the high bits are mixed into the low ones: the same on every machine and in every version of the program.
fn hash(part: Part, text: &str) -> u64 {
    let bytes = text.bytes().chain([part as u8]);
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(word: &str) -> Term {
        Term::Is(word.to_owned())
    }

    fn begins(word: &str) -> Term {
        Term::Begins(word.to_owned())
    }

    #[test]
    fn whoever_matches_a_term_has_its_marks() {
        let words = ["žofie", "o", "neill", "30", "example", "com", "工"];
        let marks = Marks::of(words);
        for word in words {
            assert!(marks.include(Marks::of_terms(&[is(word)])), "{word}");
            for (end, letter) in word.char_indices() {
                let beginning = &word[..end + letter.len_utf8()];
                assert!(marks.include(Marks::of_terms(&[begins(beginning)])), "{beginning}");
            }
        }
        assert!(marks.include(Marks::of_terms(&[is("žofie"), begins("exa"), is("com")])));
    }

    #[test]
    fn few_have_the_marks_of_a_word_by_chance() {
        let marks = Marks::of(["ada", "lovelace", "17", "example", "com"]);
        let words = || (0..10_000).map(|n| format!("{}{n}", char::from(b'a' + (n % 26) as u8)));
        let by_chance = words().filter(|word| marks.include(Marks::of_terms(&[is(word)]))).count();
        assert!(by_chance < 200, "{by_chance} of 10,000");
        assert!(!marks.include(Marks::of_terms(&[is("org")])));
    }

    #[test]
    fn what_a_record_belongs_to_is_not_in_its_marks() {
        assert_eq!(Marks::of([":role:member", "ada"]), Marks::of(["ada"]));
        assert_eq!(Marks::of_terms(&[is(":role:member")]), Marks::default());
        assert!(!is(":role:member").has_marks());
    }

    #[test]
    fn marks_stay_the_same_because_they_are_stored() {
        let ada = Marks { first: 1_126_450_199_527_424, second: 144_150_372_447_944_960 };
        assert_eq!(Marks::of(["ada"]), ada);
    }
}
