//! Several skills together: names that are taken, descriptions that cannot be told apart.
//!
//! Every skill is compared with those before it, but only with the few that can be near: two descriptions of which nine of ten
//! words are the same have one of their rarest words in common (prefix filtering; Chaudhuri, Ganti and Kaushik, "A primitive
//! operator for similarity joins in data cleaning", ICDE 2006). Of a description only hashes of its words are kept.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use skill::{Diagnostic, Draft, Location, Rule, Span};

/// With fewer words, descriptions are alike by chance.
const MIN_WORDS: usize = 3;

/// What a skill is compared with others by.
#[derive(Clone, Debug)]
pub struct Member {
    name: String,
    /// A hash of each word of the description, sorted, each once.
    words: Vec<u64>,
    file: String,
    name_span: Option<Span>,
    description_span: Option<Span>,
}

impl Member {
    /// `None` for a skill without a name or a description.
    pub fn new(draft: &Draft) -> Option<Self> {
        let frontmatter = draft.frontmatter()?;
        let span = |name: &str| frontmatter.field(name).map(|field| field.value_span);
        Some(Self {
            name: frontmatter.name()?.to_owned(),
            words: words(frontmatter.description()?),
            file: draft.skill_file()?.to_owned(),
            name_span: span("name"),
            description_span: span("description"),
        })
    }

    fn at(&self, span: Option<Span>) -> Location {
        match span {
            Some(span) => Location::span(&self.file, span),
            None => Location::file(&self.file),
        }
    }
}

/// What is found about each of `members`, in their order. With each goes where it is, for messages.
pub fn check_collection(members: &[(&str, &Member)]) -> Vec<Vec<Diagnostic>> {
    let mut found = vec![Vec::new(); members.len()];
    let mut names: HashMap<(String, &str), usize> = HashMap::new();
    let mut near = Neighbours::new(members.iter().map(|(_, member)| *member));
    for (index, (_, member)) in members.iter().enumerate() {
        // Each agent reads the skills in a directory of its own, so that copies for several of them are no collision.
        let (place, _) = members[index];
        match names.entry((agent_of(place), member.name.as_str())) {
            Entry::Occupied(first) => {
                let (place, _) = members[*first.get()];
                found[index].push(
                    Diagnostic::new(
                        Rule::NAME_TAKEN,
                        member.at(member.name_span),
                        format!("the skill at `{place}` is called `{}`, too", member.name),
                    )
                    .with_help("give one of them another name"),
                );
            }
            Entry::Vacant(entry) => {
                entry.insert(index);
                if let Some(near) = near.first(index) {
                    found[index].push(
                        Diagnostic::new(
                            Rule::DESCRIPTION_OVERLAP,
                            member.at(member.description_span),
                            format!("the description is nearly that of `{}`", near.name),
                        )
                        .with_help("say in each what the other does not do"),
                    );
                }
            }
        }
        near.add(index);
    }
    found
}

/// Which agent or plugin reads the skill at `place`: everything before its `skills`. Two of them may have one name.
fn agent_of(place: &str) -> String {
    let parts: Vec<&str> = place.split('/').collect();
    match parts.iter().rposition(|part| *part == "skills") {
        Some(at) => parts[..at].join("/"),
        None => String::new(),
    }
}

/// The members so far, by the words that a description must share with one to be near it.
struct Neighbours<'a> {
    members: Vec<&'a Member>,
    /// In how many descriptions a word is.
    counts: HashMap<u64, usize>,
    /// The members that have a word among their rarest, in their order.
    holders: HashMap<u64, Vec<usize>>,
}

impl<'a> Neighbours<'a> {
    fn new(members: impl Iterator<Item = &'a Member>) -> Self {
        let members: Vec<&Member> = members.collect();
        let mut counts = HashMap::new();
        for word in members.iter().flat_map(|member| &member.words) {
            *counts.entry(*word).or_default() += 1;
        }
        Self { members, counts, holders: HashMap::new() }
    }

    /// So many of the rarest words of a description that a near one has at least one of them.
    fn rarest(&self, index: usize) -> Vec<u64> {
        let mut words = self.members[index].words.clone();
        words.sort_unstable_by_key(|word| (self.counts.get(word).copied().unwrap_or_default(), *word));
        // Near ones share nine tenths of the words of each, so they cannot miss all of one more than a tenth.
        words.truncate(words.len() - (words.len() * 9).div_ceil(10) + 1);
        words
    }

    /// The first member so far that has nearly the same description and another name.
    fn first(&self, index: usize) -> Option<&'a Member> {
        let member = self.members[index];
        let is_near = |other: &usize| {
            let other = self.members[*other];
            other.name != member.name && similar(&other.words, &member.words)
        };
        let mut first = None;
        for word in self.rarest(index) {
            let holders = self.holders.get(&word).into_iter().flatten().copied();
            let before = holders.take_while(|other| first.is_none_or(|first| *other < first));
            first = before.into_iter().find(is_near).or(first);
        }
        first.map(|first: usize| self.members[first])
    }

    fn add(&mut self, index: usize) {
        if self.members[index].words.len() >= MIN_WORDS {
            for word in self.rarest(index) {
                self.holders.entry(word).or_default().push(index);
            }
        }
    }
}

/// The words of a description as hashes, sorted, each once.
fn words(text: &str) -> Vec<u64> {
    let mut words: Vec<u64> = text
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| word.chars().count() > 2)
        .map(|word| {
            let mut hasher = DefaultHasher::new();
            word.to_lowercase().hash(&mut hasher);
            hasher.finish()
        })
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// Whether nine of ten words are the same (Jaccard index of the sets).
fn similar(left: &[u64], right: &[u64]) -> bool {
    // The smaller set bounds the index.
    let (small, large) = (left.len().min(right.len()), left.len().max(right.len()));
    if small < MIN_WORDS || small * 10 < large * 9 {
        return false;
    }
    let common = left.iter().filter(|word| right.binary_search(word).is_ok()).count();
    common * 10 >= (left.len() + right.len() - common) * 9
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn member(name: &str, description: &str) -> Member {
        Member {
            name: name.to_owned(),
            words: words(description),
            file: "SKILL.md".to_owned(),
            name_span: None,
            description_span: None,
        }
    }

    fn rules(members: &[Member]) -> Vec<Vec<(Rule, String)>> {
        let members: Vec<(&str, &Member)> = ["a", "b", "c", "d"].into_iter().cycle().zip(members).collect();
        let found = check_collection(&members).into_iter();
        found.map(|found| found.into_iter().map(|one| (one.rule, one.message)).collect()).collect()
    }

    #[test]
    fn names_and_descriptions_are_compared() {
        let found = rules(&[
            member("one", "Counts the words of a long text file"),
            member("one", "Something else entirely, about pictures"),
            member("two", "Counts the words of a LONG text file!"),
            member("three", "Counts the lines of a source tree"),
        ]);
        let taken = (Rule::NAME_TAKEN, "the skill at `a` is called `one`, too".to_owned());
        let near = (Rule::DESCRIPTION_OVERLAP, "the description is nearly that of `one`".to_owned());
        assert_eq!(found, [vec![], vec![taken], vec![near], vec![]]);
    }

    proptest! {
        /// The filter loses nothing: the first near one is that of comparing each with all before it.
        #[test]
        fn no_near_description_is_missed(
            length in 1..40_u64,
            changes in prop::collection::vec(prop::collection::btree_set(0_u64..40, 0..5), 1..30),
        ) {
            let words = |changed: &BTreeSet<u64>| {
                (0..40).filter(|word| (*word < length) != changed.contains(word)).collect()
            };
            let members: Vec<Member> = changes
                .iter()
                .enumerate()
                .map(|(index, changed)| Member { words: words(changed), ..member(&index.to_string(), "") })
                .collect();
            let mut neighbours = Neighbours::new(members.iter());
            for index in 0..members.len() {
                let wanted = members[..index].iter().find(|other| similar(&other.words, &members[index].words));
                let first = neighbours.first(index);
                prop_assert_eq!(first.map(|first| &first.name), wanted.map(|wanted| &wanted.name));
                neighbours.add(index);
            }
        }
    }
}
