//! Several skills together: names that are taken, descriptions that cannot be told apart.

use skill::{Diagnostic, Location, Rule, Span};

/// A skill among others.
#[derive(Clone, Debug)]
pub struct Member {
    /// Where it is, for messages.
    pub place: String,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// The path of the file that has both.
    pub file: String,
    /// Where the name stands in it.
    pub name_span: Option<Span>,
    /// Where the description stands in it.
    pub description_span: Option<Span>,
}

/// What is found about each of `members`, in their order.
pub fn check_collection(members: &[Member]) -> Vec<Vec<Diagnostic>> {
    let mut found = vec![Vec::new(); members.len()];
    let words: Vec<Vec<String>> = members.iter().map(|member| words(&member.description)).collect();
    for (index, member) in members.iter().enumerate() {
        if let Some(first) = members[..index].iter().find(|other| other.name == member.name) {
            found[index].push(
                Diagnostic::new(
                    Rule::NAME_TAKEN,
                    at(&member.file, member.name_span),
                    format!("the skill at `{}` is called `{}`, too", first.place, member.name),
                )
                .with_help("give one of them another name"),
            );
            continue;
        }
        let near = (0..index)
            .find(|other| members[*other].name != member.name && similar(&words[*other], &words[index]));
        if let Some(near) = near {
            found[index].push(
                Diagnostic::new(
                    Rule::DESCRIPTION_OVERLAP,
                    at(&member.file, member.description_span),
                    format!("the description is nearly that of `{}`", members[near].name),
                )
                .with_help("say in each what the other does not do"),
            );
        }
    }
    found
}

fn at(file: &str, span: Option<Span>) -> Location {
    match span {
        Some(span) => Location::span(file, span),
        None => Location::file(file),
    }
}

/// The words of a description, sorted, each once.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = text
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| word.chars().count() > 2)
        .map(str::to_lowercase)
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// Whether nine of ten words are the same (Jaccard index of the sets).
fn similar(left: &[String], right: &[String]) -> bool {
    // The smaller set bounds the index; most pairs end here.
    let (small, large) = (left.len().min(right.len()), left.len().max(right.len()));
    if small < 3 || small * 10 < large * 9 {
        return false;
    }
    let common = left.iter().filter(|word| right.binary_search(word).is_ok()).count();
    common * 10 >= (left.len() + right.len() - common) * 9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(place: &str, name: &str, description: &str) -> Member {
        Member {
            place: place.to_owned(),
            name: name.to_owned(),
            description: description.to_owned(),
            file: "SKILL.md".to_owned(),
            name_span: None,
            description_span: None,
        }
    }

    #[test]
    fn names_and_descriptions_are_compared() {
        let found = check_collection(&[
            member("a", "one", "Counts the words of a long text file"),
            member("b", "one", "Something else entirely, about pictures"),
            member("c", "two", "Counts the words of a LONG text file!"),
            member("d", "three", "Counts the lines of a source tree"),
        ]);
        let rules: Vec<Vec<Rule>> =
            found.iter().map(|found| found.iter().map(|diagnostic| diagnostic.rule).collect()).collect();
        assert_eq!(rules, [vec![], vec![Rule::NAME_TAKEN], vec![Rule::DESCRIPTION_OVERLAP], vec![]]);
        assert!(found[1][0].message.contains("`a`"));
    }
}
